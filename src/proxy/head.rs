//! Is this head one that everybody along the way reads the same? Checked before the router sees it.
//!
//! The connection has parsed the message and refused what is no HTTP. Here is what HTTP allows and a gateway must
//! not, by whichever version of HTTP it came: two Hosts, a body length told twice, transfer codings besides chunked, methods in
//! lower case, CONNECT, users in the target. A refused request ends its connection.

use std::borrow::Cow;
use std::net::IpAddr;

use http::{HeaderMap, HeaderValue, Method, Version, header, request::Parts};

use crate::config::listener::PathReading;
use crate::router::{Head, host, path};

use super::refusal::Refusal;

/// 8 KiB of path and query: as nginx allows for a line.
const MAX_TARGET_BYTES: usize = 8 * 1024;
/// The longest registered method has 17.
const MAX_METHOD_BYTES: usize = 32;

/// What a checked head says, in normal form.
#[derive(Debug)]
pub struct Checked<'a> {
    /// Without port; empty for HTTP/1.0 without Host.
    pub host: Cow<'a, str>,
    /// As written.
    pub port: Option<u16>,
    /// Without query.
    pub path: Cow<'a, str>,
    /// As it came, without `?`.
    pub query: Option<&'a str>,
}

impl<'a> Checked<'a> {
    /// What the router looks at.
    pub fn as_router_head(&'a self, parts: &'a Parts, client: IpAddr) -> Head<'a> {
        Head {
            host: &self.host,
            path: &self.path,
            query: self.query,
            method: &parts.method,
            headers: &parts.headers,
            client,
        }
    }
}

/// Checks a request head, with the listener's choice of how paths are read.
///
/// # Errors
/// The refusal.
pub fn check(parts: &Parts, reading: PathReading) -> Result<Checked<'_>, Refusal> {
    check_method(&parts.method)?;
    let single = Single::of(&parts.headers)?;
    single.check_framing()?;
    single.check_expectation()?;
    let host = read_host(parts, single.host)?;
    let written = parts.uri.path();
    let query = parts.uri.query();
    if written.len() + query.map_or(0, str::len) > MAX_TARGET_BYTES {
        return Err(Refusal::UriTooLong);
    }
    let path = path::normalise(written, reading).map_err(|_| Refusal::BadPath)?;
    if query.is_some_and(|query| !query.bytes().all(|byte| byte.is_ascii_graphic() || byte >= 0x80)) {
        return Err(Refusal::BadPath);
    }
    Ok(Checked { host: host.name, port: host.port, path, query })
}

fn check_method(method: &Method) -> Result<(), Refusal> {
    match *method {
        Method::GET | Method::POST | Method::HEAD | Method::PUT | Method::DELETE | Method::OPTIONS | Method::PATCH => {
            Ok(())
        }
        // TRACE shows what was added on the way; CONNECT would make a tunnel.
        Method::CONNECT | Method::TRACE => Err(Refusal::MethodNotAllowed),
        _ if method.as_str() == "TRACK" => Err(Refusal::MethodNotAllowed),
        _ => {
            let text = method.as_str();
            let is_plain = text.len() <= MAX_METHOD_BYTES && !text.bytes().any(|byte| byte.is_ascii_lowercase());
            if is_plain { Ok(()) } else { Err(Refusal::UnknownMethod) }
        }
    }
}

/// What of a head may be there once at most.
#[derive(Default)]
struct Single<'a> {
    length: Option<&'a HeaderValue>,
    coding: Option<&'a HeaderValue>,
    expectation: Option<&'a HeaderValue>,
    host: Option<&'a HeaderValue>,
}

impl<'a> Single<'a> {
    /// One look over all headers costs less than asking for each of the four.
    fn of(headers: &'a HeaderMap) -> Result<Self, Refusal> {
        let mut found = Self::default();
        for (name, value) in headers {
            let (place, refusal) = match *name {
                header::HOST => (&mut found.host, Refusal::BadHost),
                header::CONTENT_LENGTH => (&mut found.length, Refusal::BadFraming),
                header::TRANSFER_ENCODING => (&mut found.coding, Refusal::BadFraming),
                header::EXPECT => (&mut found.expectation, Refusal::BadExpectation),
                _ => continue,
            };
            if place.replace(value).is_some() {
                return Err(refusal);
            }
        }
        Ok(found)
    }

    /// One way to tell the length, and one value for it.
    fn check_framing(&self) -> Result<(), Refusal> {
        if self.length.is_some() && self.coding.is_some() {
            return Err(Refusal::BadFraming);
        }
        if self.length.is_some_and(|value| value.is_empty() || !value.as_bytes().iter().all(u8::is_ascii_digit)) {
            return Err(Refusal::BadFraming);
        }
        if self.coding.is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"chunked")) {
            return Err(Refusal::BadFraming);
        }
        Ok(())
    }

    fn check_expectation(&self) -> Result<(), Refusal> {
        match self.expectation {
            Some(value) if !value.as_bytes().eq_ignore_ascii_case(b"100-continue") => Err(Refusal::BadExpectation),
            _ => Ok(()),
        }
    }
}

/// RFC 9112, section 3.2: exactly one Host in HTTP/1.1; the authority of an absolute target wins.
fn read_host<'a>(parts: &'a Parts, written: Option<&'a HeaderValue>) -> Result<host::Host<'a>, Refusal> {
    let of_header = match written {
        Some(value) => Some(value.to_str().map_err(|_| Refusal::BadHost)?),
        None if parts.version <= Version::HTTP_10 => None,
        None => return Err(Refusal::BadHost),
    };
    let text = match (parts.uri.authority(), of_header) {
        (Some(authority), Some(of_header)) => {
            // It loses, but a broken one is still a broken request.
            host::normalise(of_header).map_err(|_| Refusal::BadHost)?;
            authority.as_str()
        }
        (Some(authority), None) => authority.as_str(),
        (None, Some(of_header)) => of_header,
        (None, None) => return Ok(host::Host { name: Cow::Borrowed(""), port: None }),
    };
    host::normalise(text).map_err(|_| Refusal::BadHost)
}
