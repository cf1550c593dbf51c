//! The host a request is for, in the one form that is matched, logged and sent on.
//!
//! Lower case, without port and final dot. What is no host (spaces, `@`, `/`, a broken IPv6 literal or port)
//! is refused, so that no two parties along the way can read it differently.

use std::borrow::Cow;
use std::net::Ipv6Addr;

/// The text is no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a host name with an optional port")]
pub struct HostError;

/// A host and the port that was written with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host<'a> {
    /// Lower case, no final dot; IPv6 addresses in brackets.
    pub name: Cow<'a, str>,
    /// As written.
    pub port: Option<u16>,
}

/// RFC 1035: 253 characters as text.
const MAX_NAME_BYTES: usize = 253;

/// Normalises the value of a `Host` header or the authority of a target.
///
/// # Errors
/// [`HostError`] if it is no host, or has a user in front.
pub fn normalise(text: &str) -> Result<Host<'_>, HostError> {
    if text.starts_with('[') {
        let (name, port) = split_port(text)?;
        return Ok(Host { name: normalise_ipv6(name)?, port });
    }
    let scan = Scan::of(text)?;
    let (name, port) = (text.get(..scan.end).unwrap_or_default(), text.get(scan.end + 1..).unwrap_or_default());
    let port = read_port(port)?;
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() || name.len() > MAX_NAME_BYTES || looks_like_bad_ipv4(name) {
        return Err(HostError);
    }
    let name = if scan.has_capitals { Cow::Owned(name.to_ascii_lowercase()) } else { Cow::Borrowed(name) };
    Ok(Host { name, port })
}

/// What one look over a name with an optional port shows.
struct Scan {
    /// Where the name ends: at the colon, or at the end.
    end: usize,
    has_capitals: bool,
}

impl Scan {
    fn of(text: &str) -> Result<Self, HostError> {
        let mut has_capitals = false;
        // As if one stood before it: a name does not begin with a dot.
        let mut previous = b'.';
        for (at, byte) in text.bytes().enumerate() {
            match byte {
                b':' => return Ok(Self { end: at, has_capitals }),
                b'.' if previous == b'.' => return Err(HostError),
                b'A'..=b'Z' => has_capitals = true,
                b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {}
                _ => return Err(HostError),
            }
            previous = byte;
        }
        Ok(Self { end: text.len(), has_capitals })
    }
}

/// An IPv6 address in brackets, with what follows.
fn split_port(text: &str) -> Result<(&str, Option<u16>), HostError> {
    let Some((name, port)) = text.rfind(']').and_then(|end| text.split_at_checked(end + 1)) else {
        return Err(HostError);
    };
    match port.strip_prefix(':') {
        Some(port) => Ok((name, read_port(port)?)),
        None if port.is_empty() => Ok((name, None)),
        None => Err(HostError),
    }
}

/// RFC 3986 allows an empty port: it is the default one.
fn read_port(port: &str) -> Result<Option<u16>, HostError> {
    if port.is_empty() {
        return Ok(None);
    }
    if port.len() > 5 || !port.bytes().all(|b| b.is_ascii_digit()) {
        return Err(HostError);
    }
    port.parse().map(Some).map_err(|_| HostError)
}

fn normalise_ipv6(name: &str) -> Result<Cow<'_, str>, HostError> {
    let inner = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).ok_or(HostError)?;
    let address: Ipv6Addr = inner.parse().map_err(|_| HostError)?;
    Ok(Cow::Owned(format!("[{address}]")))
}

/// A last label of digits only makes it an IPv4 address to many readers; then it has to be one, as the standard
/// library reads it: four decimal numbers of one to three digits, up to 255, without a zero in front.
fn looks_like_bad_ipv4(name: &str) -> bool {
    if !name.as_bytes().last().is_some_and(u8::is_ascii_digit) {
        return false;
    }
    let (mut labels, mut are_good, mut is_last_number) = (0, true, false);
    for label in name.as_bytes().split(|byte| *byte == b'.') {
        labels += 1;
        let number = match label {
            [one] => read_digits(&[*one]),
            [b'1'..=b'9', _] | [b'1'..=b'9', _, _] => read_digits(label),
            _ => None,
        };
        are_good &= number.is_some_and(|number| number <= 255);
        is_last_number = !label.is_empty() && label.iter().all(u8::is_ascii_digit);
    }
    is_last_number && labels > 1 && !(are_good && labels == 4)
}

fn read_digits(label: &[u8]) -> Option<u32> {
    label.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + u32::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_with_dots_are_addresses_as_the_standard_library_reads_them(
            labels in proptest::collection::vec("[0-9]{0,4}|[0-9a]{1,3}", 1..6),
        ) {
            let name = labels.join(".");
            let last = labels.last().map_or("", String::as_str);
            let is_number = !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit());
            let expected = is_number && labels.len() > 1 && name.parse::<Ipv4Addr>().is_err();
            prop_assert_eq!(looks_like_bad_ipv4(&name), expected, "{}", name);
        }
    }

    #[test]
    fn h034_case_port_and_final_dot_do_not_count() {
        for text in [
            "shop.example.com",
            "SHOP.example.COM",
            "shop.example.com.",
            "shop.example.com:8080",
            "Shop.Example.com.:80",
        ] {
            assert_eq!(normalise(text).map(|host| host.name.into_owned()), Ok("shop.example.com".to_owned()), "{text}");
        }
        assert_eq!(normalise("a:8080").map(|host| host.port), Ok(Some(8080)));
        assert_eq!(normalise("[::1]:80").map(|host| host.name.into_owned()), Ok("[::1]".to_owned()));
    }

    #[test]
    fn h033_what_is_no_host_is_refused() {
        for text in [
            "",
            ".",
            ":80",
            "a b",
            "a,b",
            "a/b",
            "user@a",
            "a\0",
            "[::1",
            "::1",
            "[::1]x",
            "a:b",
            "a:99999",
            "a:-1",
            "a..b",
            "a..",
            "a..:80",
            ".a",
            "1.2.3",
            "1.2.3.4.5",
            "256.1.1.1",
            "a:80:80",
        ] {
            assert!(normalise(text).is_err(), "{text:?}");
        }
    }
}
