//! Whether a request looks the way a rule wants it, and if not, what is different.

use std::fmt;

use crate::config::route::HeaderEquals;
use crate::config::{Match, PathMatch};

use super::Head;

/// The first condition of a rule that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// The path is another one.
    Path(PathMatch),
    /// The method is not among those listed.
    Method,
    /// No value of this header is equal.
    Header(HeaderEquals),
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(PathMatch::Exact(path)) => write!(f, "the path is not {path}"),
            Self::Path(PathMatch::Prefix(path)) => write!(f, "the path is not below {path}"),
            Self::Path(PathMatch::Regex(pattern)) => write!(f, "the path does not match {pattern}"),
            Self::Method => f.write_str("the method is not one of its methods"),
            Self::Header(header) => write!(f, "the header {} is not {:?}", header.name, header.value),
        }
    }
}

/// All conditions, the path among them.
///
/// # Errors
/// The first that does not hold.
pub fn check(matches: &Match, head: &Head<'_>) -> Result<(), Mismatch> {
    if !path_holds(&matches.path, head.path) {
        return Err(Mismatch::Path(matches.path.clone()));
    }
    check_rest(matches, head)
}

/// All conditions but the path, for callers that found the rule by its path.
///
/// # Errors
/// The first that does not hold.
pub fn check_rest(matches: &Match, head: &Head<'_>) -> Result<(), Mismatch> {
    if !matches.methods.is_empty() && !matches.methods.iter().any(|method| method.0 == *head.method) {
        return Err(Mismatch::Method);
    }
    for header in &matches.headers {
        if !header_holds(header, head) {
            return Err(Mismatch::Header(header.clone()));
        }
    }
    Ok(())
}

/// `Host` is the host as normalised; of a repeated header some value has to be equal.
fn header_holds(header: &HeaderEquals, head: &Head<'_>) -> bool {
    if header.name == http::header::HOST {
        return header.value == head.host;
    }
    head.headers.get_all(&header.name).iter().any(|value| value.as_bytes() == header.value.as_bytes())
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
