//! The one form of a path: what is matched is what is sent on, byte for byte.
//!
//! If the router and a server behind it read a path differently, a rule can be walked around: `//admin`,
//! `/%61dmin`, `/public/../admin`, `/public/..;/admin`. So there is one normalisation, before anything looks:
//!
//! - escapes of unreserved characters are decoded, all others are written with capitals (RFC 3986, 6.2.2);
//! - raw bytes that a path may not have, but clients send, are escaped: everything outside ASCII;
//! - empty segments are merged, dot segments resolved (`..` at the root stays at the root);
//! - `%2F` stays as it is and never separates;
//! - refused: `%00`, broken escapes, raw backslashes and control characters, and segments that some servers
//!   read as dot segments (`..;x`, `..%2Fx`, `..%5Cx`).
//!
//! Two of these are the listener's choice ([`PathReading`]): empty segments may be kept (then `..` takes one away
//! as it takes any other, RFC 3986, 5.2.4, and a path may begin with `//`: it must not stand alone in a
//! `Location`), and `%2F` may be refused. Whatever the choice, normalising twice is normalising once.
//!
//! Most paths are in that form already and are only looked at.

use std::borrow::Cow;

use crate::config::listener::PathReading;

/// The path cannot be read in one way only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It does not begin with `/`.
    #[error("a path begins with /")]
    NoSlash,
    /// `%` without two hexadecimal digits.
    #[error("a % in the path is not followed by two hexadecimal digits")]
    BrokenEscape,
    /// `%00`, a control character, or a backslash.
    #[error("the path contains a character that servers read differently")]
    Forbidden,
    /// A segment such as `..;x`.
    #[error("the path contains a segment that some servers read as ..")]
    DottedParameter,
    /// `%2F`, where the listener refuses it.
    #[error("the path contains an encoded slash, which this listener refuses")]
    EncodedSlash,
}

/// Normalises a path, without its query.
///
/// # Errors
/// [`PathError`] for what is refused.
pub fn normalise(path: &str, reading: PathReading) -> Result<Cow<'_, str>, PathError> {
    if !path.starts_with('/') {
        return Err(PathError::NoSlash);
    }
    if is_normal(path.as_bytes(), reading) {
        return Ok(Cow::Borrowed(path));
    }
    let unescaped = normalise_escapes(path.as_bytes(), reading)?;
    resolve_segments(&unescaped, reading).map(Cow::Owned)
}

/// A quick look that says yes only to paths in normal form.
fn is_normal(path: &[u8], reading: PathReading) -> bool {
    let mut previous = 0;
    for &byte in path {
        match byte {
            b'%' | b'\\' | b';' | 0..=b' ' | 0x7f.. => return false,
            b'.' if previous == b'/' => return false,
            b'/' if previous == b'/' && !reading.keeps_slashes => return false,
            _ => previous = byte,
        }
    }
    true
}

fn normalise_escapes(path: &[u8], reading: PathReading) -> Result<String, PathError> {
    let mut out = String::with_capacity(path.len() + 16);
    let mut bytes = path.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let high = bytes.next().and_then(hex_value).ok_or(PathError::BrokenEscape)?;
                let low = bytes.next().and_then(hex_value).ok_or(PathError::BrokenEscape)?;
                match high << 4 | low {
                    0 => return Err(PathError::Forbidden),
                    b'/' if reading.rejects_encoded_slash => return Err(PathError::EncodedSlash),
                    value if is_unreserved(value) => out.push(char::from(value)),
                    value => push_escaped(&mut out, value),
                }
            }
            b'\\' | 0..=b' ' | 0x7f => return Err(PathError::Forbidden),
            0x80.. => push_escaped(&mut out, byte),
            _ => out.push(char::from(byte)),
        }
    }
    Ok(out)
}

fn resolve_segments(path: &str, reading: PathReading) -> Result<String, PathError> {
    let mut segments: Vec<&str> = Vec::new();
    let mut rest = path.split('/').skip(1).peekable();
    while let Some(segment) = rest.next() {
        let is_last = rest.peek().is_none();
        match segment {
            "." => {}
            ".." => drop(segments.pop()),
            "" if is_last || !reading.keeps_slashes => {}
            _ if has_hidden_dots(segment) => return Err(PathError::DottedParameter),
            _ => segments.push(segment),
        }
        if is_last && matches!(segment, "" | "." | "..") {
            // What the path names is a folder: it ends with a slash.
            segments.push("");
        }
    }
    let mut out = String::with_capacity(path.len());
    for segment in &segments {
        out.push('/');
        out.push_str(segment);
    }
    Ok(out)
}

/// Whether some servers would find a dot segment in it: those that cut parameters off, decode `%2F` before they
/// resolve, or take backslashes for slashes.
fn has_hidden_dots(segment: &str) -> bool {
    let pieces = segment.split("%2F").flat_map(|piece| piece.split("%5C")).flat_map(|piece| piece.split(';'));
    segment.contains(['%', ';']) && pieces.into_iter().any(|piece| matches!(piece, "." | ".."))
}

fn push_escaped(out: &mut String, byte: u8) {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    out.push('%');
    out.push(DIGITS[usize::from(byte >> 4)]);
    out.push(DIGITS[usize::from(byte & 15)]);
}

fn hex_value(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MERGE: PathReading = PathReading { keeps_slashes: false, rejects_encoded_slash: false };
    const KEEP: PathReading = PathReading { keeps_slashes: true, rejects_encoded_slash: false };

    fn normal(path: &str, reading: PathReading) -> String {
        normalise(path, reading).map_or_else(|error| format!("{error:?}"), Cow::into_owned)
    }

    #[test]
    fn h085_one_form_for_every_spelling() {
        for (given, wanted) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/b/", "/a/b/"),
            ("//admin", "/admin"),
            ("/a//b///c", "/a/b/c"),
            ("/a/../b", "/b"),
            ("/a/./b", "/a/b"),
            ("/a/..", "/"),
            ("/a/b/..", "/a/"),
            ("/../../etc", "/etc"),
            ("/%2e%2e/etc", "/etc"),
            ("/a/%2E/b", "/a/b"),
            ("/%61dmin", "/admin"),
            ("/a%2fb", "/a%2Fb"),
            ("/a%5cb", "/a%5Cb"),
            ("/a;x=1/b", "/a;x=1/b"),
            ("/.well-known/x", "/.well-known/x"),
            ("/...", "/..."),
            ("/caf\u{e9}", "/caf%C3%A9"),
            ("/%c0%ae", "/%C0%AE"),
        ] {
            assert_eq!(normal(given, MERGE), wanted, "{given}");
        }
    }

    #[test]
    fn h085_what_can_be_read_two_ways_is_refused() {
        for path in [
            "",
            "a",
            "/%00",
            "/a%",
            "/a%2",
            "/a%zz",
            "/a\\b",
            "/a\tb",
            "/a b",
            "/..;/admin",
            "/a/.;x/b",
            "/%2e%2e;/a",
            "/a/..%2fadmin",
            "/a/x%2F..%2Fadmin",
            "/a/..%5cadmin",
        ] {
            assert!(normalise(path, MERGE).is_err() && normalise(path, KEEP).is_err(), "{path:?}");
        }
    }

    #[test]
    fn h085_a_listener_may_keep_slashes_and_refuse_encoded_ones() {
        for (given, wanted) in [
            ("/", "/"),
            ("//", "//"),
            ("//admin", "//admin"),
            ("/a//b/", "/a//b/"),
            ("/a//..", "/a/"),
            ("/a//../b", "/a/b"),
            ("/..//a", "//a"),
            ("/a/./", "/a/"),
            ("/a/..", "/"),
            ("/%61//b", "/a//b"),
        ] {
            assert_eq!(normal(given, KEEP), wanted, "{given}");
        }
        let reading = PathReading { rejects_encoded_slash: true, ..MERGE };
        assert_eq!(normal("/a%2fb", reading), "EncodedSlash");
        assert_eq!(normal("/a%5Cb", reading), "/a%5Cb");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]
        #[test]
        fn normal_form_is_final(path in "/[a./%;25CEF]{0,40}", keeps_slashes: bool, rejects_encoded_slash: bool) {
            let reading = PathReading { keeps_slashes, rejects_encoded_slash };
            if let Ok(once) = normalise(&path, reading) {
                prop_assert_eq!(normalise(&once, reading), Ok(once.clone()));
                prop_assert!(keeps_slashes || !once.contains("//"), "{}", once);
                prop_assert!(!once.split('/').any(|segment| matches!(segment, "." | "..")), "{}", once);
                prop_assert!(!rejects_encoded_slash || !once.contains("%2F"), "{}", once);
                prop_assert!(once.starts_with('/'));
            }
        }

        #[test]
        fn what_keeps_slashes_merged_is_what_merges(path in "/[a-b/]{0,20}") {
            // Without dots and escapes the two readings differ in nothing but runs of slashes.
            let mut merged = normal(&path, KEEP);
            while merged.contains("//") {
                merged = merged.replace("//", "/");
            }
            prop_assert_eq!(normal(&path, MERGE), merged);
        }
    }
}
