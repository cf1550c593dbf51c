//! Which of two matching rules of one host goes first: a total order.
//!
//! | key | better |
//! |---|---|
//! | kind of path | exact, then prefix (no path is the prefix `/`) |
//! | length of the path in bytes, without a final `/` | longer |
//! | `methods` | given |
//! | number of header conditions | more |
//! | source | file, then objects by age and name |
//! | position | earlier |
//!
//! The first four are here; the last two are the order in which rules are handed to
//! [`HostTable::compile`](super::HostTable::compile), which sorts stably. They are Gateway API's keys, so rules
//! translated from an HTTPRoute keep their order. The order in which rules are written decides only the last tie.

use std::cmp::Reverse;
use std::fmt;

use crate::config::{Match, PathMatch};

/// Smaller goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Precedence {
    kind: Kind,
    path_bytes: Reverse<usize>,
    has_methods: Reverse<bool>,
    headers: Reverse<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Exact,
    /// By pattern.
    Regex,
    Prefix,
}

/// The first key at which a rule lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// Exact goes before prefix.
    PathKind,
    /// Longer goes first.
    PathLength,
    /// Given goes first.
    Methods,
    /// More go first.
    Headers,
    /// File, older object, name; then the earlier position.
    SourceOrPosition,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PathKind => "an exact path goes before a prefix",
            Self::PathLength => "the longer path goes first",
            Self::Methods => "a rule with methods goes first",
            Self::Headers => "the rule with more header conditions goes first",
            Self::SourceOrPosition => "the older source or the earlier position goes first",
        })
    }
}

impl Precedence {
    /// The keys that a match has by itself.
    pub fn of(matches: &Match) -> Self {
        let (kind, path) = match &matches.path {
            PathMatch::Exact(path) => (Kind::Exact, path.as_str()),
            PathMatch::Regex(pattern) => (Kind::Regex, pattern.as_str()),
            PathMatch::Prefix(path) => (Kind::Prefix, path.as_str()),
        };
        Self {
            kind,
            path_bytes: Reverse(path.strip_suffix('/').unwrap_or(path).len()),
            has_methods: Reverse(!matches.methods.is_empty()),
            headers: Reverse(matches.headers.len()),
        }
    }

    /// The key at which `self` lost against `winner`.
    pub fn lost_at(&self, winner: &Self) -> Key {
        if self.kind != winner.kind {
            Key::PathKind
        } else if self.path_bytes != winner.path_bytes {
            Key::PathLength
        } else if self.has_methods != winner.has_methods {
            Key::Methods
        } else if self.headers != winner.headers {
            Key::Headers
        } else {
            Key::SourceOrPosition
        }
    }
}
