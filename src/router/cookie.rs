//! The cookies of a request: the `name=value` pairs of all its `Cookie` lines (RFC 6265, section 4.2).
//!
//! Pairs stand between `;`, with blanks around them that do not count; a piece without `=` names nothing. Names
//! and values are taken as they are: cookies know no escapes, and quotes are part of a value. That is how the
//! browser shows them and how servers get them.

use http::{HeaderMap, header};

/// All cookies in the order received.
pub fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    let lines = headers.get_all(header::COOKIE).iter();
    lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';')).filter_map(|piece| {
        let at = piece.iter().position(|byte| *byte == b'=')?;
        Some((piece[..at].trim_ascii(), piece[at + 1..].trim_ascii()))
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn cookies_of_all_lines() {
        let mut headers = HeaderMap::new();
        for line in ["a=1; b = 2;c;a=x=y; ", "d=\"q\"; A=%41", ""] {
            headers.append(header::COOKIE, HeaderValue::from_static(line));
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let found: Vec<String> = cookies(&headers).map(|(n, v)| format!("{}={}", text(n), text(v))).collect();
        assert_eq!(found, ["a=1", "b=2", "a=x=y", "d=\"q\"", "A=%41"]);
    }
}
