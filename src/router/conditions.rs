//! Whether a request looks the way a rule wants it, and if not, what is different.
//!
//! Of a header, parameter or cookie that is there several times *some* value has to be as wanted. Conditions
//! that exclude (`noneOf`, `present: false`) look at *every* value: otherwise one more value would be a way
//! around them. A header's value is the whole line as received: `a, b` is one value and not two, as only the
//! header's own grammar could say where it ends. Values that are not UTF-8 match no pattern.

use std::fmt;

use crate::config::route::{HeaderEquals, MethodName, NameEquals};
use crate::config::{Cidr, Condition, Match, PathMatch, Subject, Test};

use super::seen::{HeadValue, Seen};

/// The first condition of a rule that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch<'r> {
    /// The path is another one.
    Path(&'r PathMatch),
    /// The method is not among these.
    Method(&'r [MethodName]),
    /// No value of this header is equal.
    Header(&'r HeaderEquals),
    /// No value of this query parameter is equal.
    Query(&'r NameEquals),
    /// No cookie of this name is equal.
    Cookie(&'r NameEquals),
    /// The values of something are not as this test wants them.
    Values(&'r Subject, &'r Test),
    /// The client is in none of these ranges.
    Client(&'r [Cidr]),
}

impl fmt::Display for Mismatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(PathMatch::Exact(path)) => write!(f, "the path is not {path}"),
            Self::Path(PathMatch::Prefix(path)) => write!(f, "the path is not below {path}"),
            Self::Path(PathMatch::Regex(pattern)) => write!(f, "the path does not match {pattern}"),
            Self::Method(methods) => {
                write!(f, "the method is not {}", listed(methods.iter().map(|m| m.as_str().to_owned())))
            }
            Self::Header(header) => write!(f, "the header {} is not {:?}", header.name, header.value),
            Self::Query(query) => write!(f, "the query parameter {} is not {:?}", query.name, query.value),
            Self::Cookie(cookie) => write!(f, "the cookie {} is not {:?}", cookie.name, cookie.value),
            Self::Values(subject, test) => write_test(f, subject, test),
            Self::Client(ranges) => {
                write!(f, "the client's address is not in {}", listed(ranges.iter().map(Cidr::to_string)))
            }
        }
    }
}

fn write_test(f: &mut fmt::Formatter<'_>, subject: &Subject, test: &Test) -> fmt::Result {
    match subject {
        Subject::Header(name) => write!(f, "the header {name} "),
        Subject::Query(name) => write!(f, "the query parameter {name} "),
        Subject::Cookie(name) => write!(f, "the cookie {name} "),
    }?;
    let quoted = |values: &[String]| listed(values.iter().map(|value| format!("{value:?}")));
    match test {
        Test::AnyOf(values) => write!(f, "is not {}", quoted(values)),
        Test::NoneOf(values) => write!(f, "must not be {}", quoted(values)),
        Test::Prefix(prefix) => write!(f, "does not begin with {prefix:?}"),
        Test::Regex(pattern) => write!(f, "does not match {pattern}"),
        Test::Present(true) => f.write_str("has to be there"),
        Test::Present(false) => f.write_str("must not be there"),
    }
}

/// `a, b or c`
fn listed(texts: impl Iterator<Item = String>) -> String {
    let mut texts: Vec<String> = texts.collect();
    match texts.pop() {
        Some(last) if !texts.is_empty() => format!("{} or {last}", texts.join(", ")),
        last => last.unwrap_or_default(),
    }
}

/// All conditions, the path among them.
///
/// # Errors
/// The first that does not hold.
pub fn check<'r>(matches: &'r Match, seen: &Seen<'_>) -> Result<(), Mismatch<'r>> {
    if !path_holds(&matches.path, seen.head().path) {
        return Err(Mismatch::Path(&matches.path));
    }
    check_rest(matches, seen)
}

/// All conditions but the path, for callers that found the rule by its path.
///
/// # Errors
/// The first that does not hold.
pub fn check_rest<'r>(matches: &'r Match, seen: &Seen<'_>) -> Result<(), Mismatch<'r>> {
    let head = seen.head();
    if !matches.methods.is_empty() && !matches.methods.iter().any(|method| method.0 == *head.method) {
        return Err(Mismatch::Method(&matches.methods));
    }
    for header in &matches.headers {
        if !seen.header(&header.name).any(|value| value == header.value.as_bytes()) {
            return Err(Mismatch::Header(header));
        }
    }
    for query in &matches.query {
        if !seen.query(&query.name).any(|value| value == query.value.as_bytes()) {
            return Err(Mismatch::Query(query));
        }
    }
    for cookie in &matches.cookies {
        if !seen.cookie(&cookie.name).any(|value| value == cookie.value.as_bytes()) {
            return Err(Mismatch::Cookie(cookie));
        }
    }
    matches.conditions.iter().try_for_each(|condition| check_condition(condition, seen))
}

fn check_condition<'r>(condition: &'r Condition, seen: &Seen<'_>) -> Result<(), Mismatch<'r>> {
    match condition {
        Condition::Values(subject, test) => {
            let holds = match subject {
                Subject::Header(name) => test_holds(test, seen.header_of_name(name)),
                Subject::Query(name) => test_holds(test, seen.query(name)),
                Subject::Cookie(name) => test_holds(test, seen.cookie(name)),
            };
            if holds { Ok(()) } else { Err(Mismatch::Values(subject, test)) }
        }
        Condition::ClientAddress(ranges) => {
            let is_in = ranges.iter().any(|range| range.contains(seen.head().client));
            if is_in { Ok(()) } else { Err(Mismatch::Client(ranges)) }
        }
    }
}

fn test_holds<'v>(test: &Test, mut values: impl Iterator<Item = HeadValue<'v>>) -> bool {
    let is_one_of = |wanted: &[String], value: HeadValue<'_>| wanted.iter().any(|wanted| wanted.as_bytes() == value);
    match test {
        Test::AnyOf(wanted) => values.any(|value| is_one_of(wanted, value)),
        Test::NoneOf(unwanted) => !values.any(|value| is_one_of(unwanted, value)),
        Test::Prefix(prefix) => values.any(|value| value.starts_with(prefix.as_bytes())),
        Test::Regex(pattern) => values.any(|value| str::from_utf8(value).is_ok_and(|text| pattern.matches(text))),
        Test::Present(wanted) => values.next().is_some() == *wanted,
    }
}

fn path_holds(wanted: &PathMatch, path: &str) -> bool {
    match wanted {
        PathMatch::Exact(exact) => path == exact,
        PathMatch::Regex(pattern) => pattern.matches(path),
        PathMatch::Prefix(prefix) => {
            let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
            path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
    }
}
