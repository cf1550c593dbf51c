//! A regular expression that users write: RE2-like, linear in time, and it must match the whole value.
//!
//! A [`Pattern`] is one that compiles and stays small, so whoever holds it need not ask again. A path pattern that
//! does not compile still has to cover its place (a rule that vanished would leave its requests to a wider one):
//! [`Pattern::literal_beginning`] covers whatever begins like it.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use regex::{Captures, Regex, RegexBuilder};

/// Bytes that one may take compiled: far above what paths and header values need, little enough for thousands.
const MAX_COMPILED_BYTES: usize = 64 * 1024;
/// Parentheses within parentheses.
const MAX_NESTING: u32 = 32;

/// A regular expression that compiles. Equal if written the same.
#[derive(Clone)]
pub struct Pattern {
    text: Arc<str>,
    regex: Regex,
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// What the parser says, on one line.
    #[error("not a regular expression: {0}")]
    Syntax(String),
    /// RE2 knows it and we do not.
    #[error("\\Q…\\E is not supported: escape each character")]
    Quoting,
    /// Compiled it is too large.
    #[error("compiled it is over 64 KiB")]
    TooLarge,
}

impl Pattern {
    /// Compiles.
    ///
    /// # Errors
    /// [`PatternError`]
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.contains("\\Q") {
            return Err(PatternError::Quoting);
        }
        compile(text, &format!("^(?:{text})$"))
    }

    /// What covers at least all that a broken pattern was meant to: every value that begins with its literal part.
    pub fn literal_beginning(text: &str) -> Self {
        let literal = literal_prefix(text);
        compile(text, &format!("^{}.*$", regex::escape(literal))).unwrap_or_else(|_| Self::anything(text))
    }

    #[expect(clippy::expect_used, reason = "a constant expression compiles")]
    fn anything(text: &str) -> Self {
        Self { text: text.into(), regex: Regex::new("^(?s:.*)$").expect("it compiles, see the test") }
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What every value that matches begins with, as far as that is plain to see.
    pub fn literal_prefix(&self) -> &str {
        literal_prefix(&self.text)
    }

    /// Whether the whole value matches.
    pub fn matches(&self, value: &str) -> bool {
        self.regex.is_match(value)
    }

    /// The groups of a value that matches.
    pub fn captures<'v>(&self, value: &'v str) -> Option<Captures<'v>> {
        self.regex.captures(value)
    }

    /// How many groups it has, without the whole.
    pub fn groups(&self) -> usize {
        self.regex.captures_len() - 1
    }

    /// Whether it has a group of this name.
    pub fn has_group(&self, name: &str) -> bool {
        self.regex.capture_names().flatten().any(|known| known == name)
    }
}

fn literal_prefix(text: &str) -> &str {
    let is_literal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '~' | '%' | '=' | ',' | '@');
    let text = text.strip_prefix('^').unwrap_or(text);
    // In `a|b`, `ab*` and `ab?` the beginning, or its last character, need not be there.
    let end = if text.contains('|') { 0 } else { text.find(|c| !is_literal(c)).unwrap_or(text.len()) };
    let is_last_doubtful = text[end..].starts_with(['*', '?', '{']);
    &text[..if is_last_doubtful { end.saturating_sub(1) } else { end }]
}

fn compile(written: &str, whole: &str) -> Result<Pattern, PatternError> {
    let built = RegexBuilder::new(whole)
        .size_limit(MAX_COMPILED_BYTES)
        .nest_limit(MAX_NESTING)
        .dot_matches_new_line(true)
        .build();
    match built {
        Ok(regex) => {
            // `a)|(b` would be balanced only by what we put around it.
            if regex::Regex::new(written).is_err() && !whole.ends_with(".*$") {
                return Err(PatternError::Syntax("unbalanced parentheses".to_owned()));
            }
            Ok(Pattern { text: written.into(), regex })
        }
        Err(regex::Error::CompiledTooBig(_)) => Err(PatternError::TooLarge),
        Err(error) => Err(PatternError::Syntax(last_line(&error.to_string()))),
    }
}

/// The parser draws where the mistake is, over several lines; the last one says what it is.
fn last_line(text: &str) -> String {
    let last = text.lines().last().unwrap_or_default();
    last.trim().strip_prefix("error: ").unwrap_or(last).to_owned()
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl Ord for Pattern {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl PartialOrd for Pattern {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl serde::Serialize for Pattern {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_value_has_to_match() {
        let pattern = Pattern::parse("/api/v[0-9]+|/old").expect("it compiles");
        assert!(pattern.matches("/api/v1") && pattern.matches("/old"));
        assert!(!pattern.matches("/api/v1/x") && !pattern.matches("/x/old") && !pattern.matches("/old\n"));
    }

    #[test]
    fn h088_what_is_broken_or_huge_is_refused() {
        let message = |text: &str| Pattern::parse(text).expect_err(text).to_string();
        assert!(message("/a[").contains("unclosed character class"), "{}", message("/a["));
        assert!(message("a)|(b").starts_with("not a regular expression"), "{}", message("a)|(b"));
        assert_eq!(message("\\Qa\\E"), "\\Q…\\E is not supported: escape each character");
        assert_eq!(message("(a{1000}){1000}"), "compiled it is over 64 KiB");
        assert!(Pattern::parse(&"(".repeat(200)).is_err());
    }

    #[test]
    fn a_broken_pattern_covers_what_begins_like_it() {
        for (broken, covered, not_covered) in [
            ("/api/v[", "/api/vX", "/apo"),
            ("/api/v*[", "/api/", "/ap"),
            ("^/a/(", "/a/b", "/b"),
            ("/a.b[", "/axb", "/b"),
        ] {
            let pattern = Pattern::literal_beginning(broken);
            assert!(pattern.matches(covered), "{broken} {covered}");
            assert!(!pattern.matches(not_covered), "{broken} {not_covered}");
        }
        assert!(Pattern::literal_beginning("/a|/b[").matches("/b"));
        assert!(Pattern::anything("[").matches("/any\nthing"));
    }

    #[test]
    fn what_matches_begins_like_the_literal_prefix() {
        for (pattern, literal, matching) in [
            ("/api/v[0-9]+", "/api/v", "/api/v1"),
            ("^/a-b/x*y", "/a-b/", "/a-b/y"),
            ("/a{0}b", "/", "/b"),
            ("/a|/b", "", "/b"),
            ("(?i)/a", "", "/A"),
            ("/a(?i)b", "/a", "/aB"),
            ("/a+", "/a", "/aa"),
            ("", "", ""),
        ] {
            let pattern = Pattern::parse(pattern).expect("it compiles");
            assert_eq!(pattern.literal_prefix(), literal, "{pattern}");
            assert!(pattern.matches(matching), "{pattern}");
        }
    }

    #[test]
    fn groups_by_number_and_name() {
        let pattern = Pattern::parse("/v[0-9]+(/orders/(?P<id>.*))").expect("it compiles");
        assert_eq!(pattern.groups(), 2);
        assert!(pattern.has_group("id") && !pattern.has_group("x"));
        let groups = pattern.captures("/v2/orders/7").expect("it matches");
        assert_eq!(&groups[1], "/orders/7");
    }
}
