//! The query as names and values, the way forms are read: `a=1&b=two+words&a=%33`.
//!
//! Pieces between `&` are split at their first `=`; a piece without one has an empty value, an empty piece is
//! nothing. In names and values `+` is a space and escapes are decoded; a `%` without two hexadecimal digits
//! stays as it is. What comes out are bytes: nothing says that they are UTF-8.

use std::borrow::Cow;

/// A name with its value, decoded.
pub type Pair<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

/// All parameters in the order written. Most borrow from the query.
pub fn parameters(query: &str) -> impl Iterator<Item = Pair<'_>> {
    query.as_bytes().split(|byte| *byte == b'&').filter(|piece| !piece.is_empty()).map(|piece| {
        match piece.iter().position(|byte| *byte == b'=') {
            Some(at) => (decode(&piece[..at]), decode(&piece[at + 1..])),
            None => (decode(piece), Cow::Borrowed(&[][..])),
        }
    })
}

fn decode(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (first, after) {
            (b'+', _) => out.push(b' '),
            (b'%', [high, low, after @ ..]) => match (hex_value(*high), hex_value(*low)) {
                (Some(high), Some(low)) => {
                    out.push(high << 4 | low);
                    rest = after;
                }
                _ => out.push(b'%'),
            },
            (other, _) => out.push(*other),
        }
    }
    Cow::Owned(out)
}

fn hex_value(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(query: &str) -> Vec<(String, String)> {
        let text = |bytes: Cow<'_, [u8]>| String::from_utf8_lossy(&bytes).into_owned();
        parameters(query).map(|(name, value)| (text(name), text(value))).collect()
    }

    #[test]
    fn parameters_as_forms_write_them() {
        for (query, wanted) in [
            ("", vec![]),
            ("&&", vec![]),
            ("a=1", vec![("a", "1")]),
            ("a=1&b=2&a=3", vec![("a", "1"), ("b", "2"), ("a", "3")]),
            ("a", vec![("a", "")]),
            ("=x", vec![("", "x")]),
            ("a=b=c", vec![("a", "b=c")]),
            ("two+words=%2b+%41", vec![("two words", "+ A")]),
            ("a%3Db=%26", vec![("a=b", "&")]),
            ("a=%&b=%4&c=%zz&d=100%", vec![("a", "%"), ("b", "%4"), ("c", "%zz"), ("d", "100%")]),
            ("a=1;b=2", vec![("a", "1;b=2")]),
        ] {
            let wanted: Vec<_> = wanted.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            assert_eq!(read(query), wanted, "{query}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn what_is_escaped_comes_back(pairs in proptest::collection::vec((".{0,6}", ".{0,6}"), 0..6)) {
            let escape = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
            let written: Vec<String> =
                pairs.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
            prop_assert_eq!(read(&written.join("&")), pairs);
        }
    }
}
