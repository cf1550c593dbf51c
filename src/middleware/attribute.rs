//! The value of a thing of a request that something is reckoned by: the key of a limit, of a gate, of a consistent
//! hash.
//!
//! Values are views into the request; only a query parameter with escapes is copied. Several values together are fed
//! to a hash as bytes that can be read back in one way only: for each its kind (absent, given, or the client's
//! address in its place), its length in eight bytes, then the value. So `["ab", "c"]` and `["a", "bc"]` are two keys,
//! and no header value can be written that equals the key of a request without the header. The bytes are the same in
//! every process, which is what a consistent hash between replicas needs; keys of limits come from seeded hashes of
//! them.

use std::borrow::Cow;
use std::net::IpAddr;

use http::header;

use super::asked::Asked;
use crate::config::Attribute;
use crate::config::cidr::cut;
use crate::ratelimit::{Gate, Key};

/// One customer's share of IPv6: any of its 2^64 addresses is the same client.
const IPV6_CLIENT_PREFIX: u8 = 64;

/// What a value is, in the bytes fed to a hash.
const ABSENT: u8 = 0;
const GIVEN: u8 = 1;
const CLIENT_INSTEAD: u8 = 2;

/// One value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Of the client.
    Address(IpAddr),
    /// Any bytes; headers need not be text.
    Bytes(Cow<'a, [u8]>),
}

/// How many of the attributes asked for a request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// All, also if none was asked for.
    All,
    /// Some, and some not.
    Some,
    /// None.
    None,
}

/// The client's address as one client: IPv6 cut to /64.
pub fn one_client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        v6 @ IpAddr::V6(_) => cut(v6, IPV6_CLIENT_PREFIX),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// The value of an attribute, if the request has it. One that is there and empty is a value.
pub fn value_of<'a>(attribute: &Attribute, asked: &Asked<'a>) -> Option<Value<'a>> {
    let text = |text: &'a str| Some(Value::Bytes(Cow::Borrowed(text.as_bytes())));
    match attribute {
        Attribute::ClientAddress => Some(Value::Address(one_client(asked.client))),
        Attribute::Host => text(asked.host),
        Attribute::Method => text(asked.parts.method.as_str()),
        Attribute::Path => text(asked.path),
        Attribute::Route => text(asked.route.as_str()),
        Attribute::Listener => text(asked.listener),
        Attribute::Header(name) => {
            asked.parts.headers.get(name).map(|value| Value::Bytes(Cow::Borrowed(value.as_bytes())))
        }
        Attribute::Cookie(name) => cookie(asked, name.as_bytes()).map(|value| Value::Bytes(Cow::Borrowed(value))),
        Attribute::Query(name) => query_parameter(asked.query?, name.as_bytes()).map(Value::Bytes),
    }
}

/// Feeds the values of all attributes to `sink`, absent ones too. A value reaches it in one piece, framed as the
/// header of this file says.
pub fn feed(attributes: &[Attribute], asked: &Asked<'_>, sink: &mut dyn FnMut(&[u8])) -> Found {
    let mut found = 0;
    for attribute in attributes {
        match value_of(attribute, asked) {
            Some(Value::Address(address)) => feed_address(GIVEN, address, sink),
            Some(Value::Bytes(bytes)) => feed_framed(GIVEN, &bytes, sink),
            None => {
                feed_framed(ABSENT, &[], sink);
                continue;
            }
        }
        found += 1;
    }
    match found {
        _ if found == attributes.len() => Found::All,
        0 => Found::None,
        _ => Found::Some,
    }
}

/// Feeds the client's address, in the place of values that a request does not have.
pub fn feed_client(asked: &Asked<'_>, sink: &mut dyn FnMut(&[u8])) {
    feed_address(CLIENT_INSTEAD, one_client(asked.client), sink);
}

/// The key of a request at a gate. A request that has not all of `per` is counted by the client's address, so that
/// leaving a header out opens no other way in.
pub fn gate_key(per: &[Attribute], asked: &Asked<'_>, gate: &Gate) -> Key {
    if per.is_empty() {
        return Key::ALL;
    }
    let mut builder = gate.key_builder();
    if feed(per, asked, &mut |bytes| builder.feed(bytes)) != Found::All {
        builder = gate.key_builder();
        feed_client(asked, &mut |bytes| builder.feed(bytes));
    }
    builder.finish()
}

fn feed_address(kind: u8, address: IpAddr, sink: &mut dyn FnMut(&[u8])) {
    match address {
        IpAddr::V4(v4) => feed_framed(kind, &v4.octets(), sink),
        IpAddr::V6(v6) => feed_framed(kind, &v6.octets(), sink),
    }
}

fn feed_framed(kind: u8, bytes: &[u8], sink: &mut dyn FnMut(&[u8])) {
    let [a, b, c, d, e, f, g, h] = u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes();
    sink(&[kind, a, b, c, d, e, f, g, h]);
    sink(bytes);
}

/// The first cookie of a name, in all `Cookie` lines (HTTP/2 may cut them). RFC 6265, section 4.2: pairs between `;`;
/// the name ends at the first `=`; spaces around are not part of either; quotes are part of the value.
fn cookie<'a>(asked: &Asked<'a>, name: &[u8]) -> Option<&'a [u8]> {
    let lines = asked.parts.headers.get_all(header::COOKIE).iter();
    let mut pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    pairs.find_map(|pair| {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let (key, value) = (pair.get(..equals)?, pair.get(equals + 1..)?);
        (key.trim_ascii() == name).then(|| value.trim_ascii())
    })
}

/// The first parameter of a name, decoded. One without `=` is there and empty.
fn query_parameter<'a>(query: &'a str, name: &[u8]) -> Option<Cow<'a, [u8]>> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (*decoded(key) == *name).then(|| decoded(value))
    })
}

/// As forms are written: `+` is a space, `%41` is `A`; a `%` without two digits is itself.
fn decoded(text: &str) -> Cow<'_, [u8]> {
    let bytes = text.as_bytes();
    if !bytes.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(bytes);
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'+', _) => out.push(b' '),
            (b'%', [high, low, after @ ..]) => match (hex_value(*high), hex_value(*low)) {
                (Some(high), Some(low)) => {
                    out.push(high << 4 | low);
                    rest = after;
                }
                _ => out.push(byte),
            },
            _ => out.push(byte),
        }
    }
    Cow::Owned(out)
}

fn hex_value(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests;
