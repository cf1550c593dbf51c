//! Which of two matching rules of one host goes first: a total order.
//!
//! | key | better |
//! |---|---|
//! | `priority` | higher |
//! | kind of path | exact, then pattern, then prefix (no path is the prefix `/`) |
//! | length of the path in bytes (of the pattern as written), without a final `/` | longer |
//! | `methods` | given |
//! | number of header conditions, those of `conditions` among them | more |
//! | number of query conditions, likewise | more |
//! | number of all other conditions: cookies, client addresses | more |
//! | source | file, then objects by age and name |
//! | position | earlier |
//!
//! The last two are a rule's [`Position`]: whoever describes routes says which goes before which. They are unique,
//! so the order is total, and the order in which rules are written decides only the last tie. Kind, length,
//! methods, headers, query, source and position are Gateway API's keys, so rules translated from an HTTPRoute keep
//! their order; priority and the last count are ours, and "pattern before prefix" fills what it leaves open.
//!
//! An example: for `GET /api/users?debug=1`, `path: /api/users` goes before `path: /api` with three headers (its
//! path is longer), and `path: /api` with `priority: 1` goes before both.

use std::cmp::Reverse;
use std::fmt;

use crate::config::{Condition, Match, PathMatch, Rule, Subject};

/// The keys that a rule has by itself. Smaller goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Precedence {
    priority: Reverse<i32>,
    kind: Kind,
    path_bytes: Reverse<usize>,
    has_methods: Reverse<bool>,
    headers: Reverse<usize>,
    queries: Reverse<usize>,
    others: Reverse<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Exact,
    Pattern,
    Prefix,
}

/// Where a rule stands among all that are described. Smaller goes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Grows from route to route: sources in their order, in a source the routes as written.
    pub route: u64,
    /// Of the rule inside its route.
    pub rule: u32,
    /// Equal for rules of one source: tells which of the last two keys decided.
    pub source: u32,
}

/// The first key at which a rule lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// Higher goes first.
    Priority,
    /// Exact, pattern, prefix.
    PathKind,
    /// Longer goes first.
    PathLength,
    /// Given goes first.
    Methods,
    /// More go first.
    Headers,
    /// More go first.
    Queries,
    /// More go first.
    Others,
    /// File, older object, name.
    Source,
    /// Earlier goes first.
    Position,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Priority => "a higher priority",
            Self::PathKind => "a narrower kind of path (exactPath before pathRegex before path)",
            Self::PathLength => "a longer path",
            Self::Methods => "methods",
            Self::Headers => "more header conditions",
            Self::Queries => "more query conditions",
            Self::Others => "more conditions on cookies and addresses",
            Self::Source => "a source that goes first (the file, then the older object)",
            Self::Position => "an earlier place in the same source",
        })
    }
}

impl Precedence {
    /// Those of a rule.
    pub fn of(rule: &Rule) -> Self {
        let matches = &rule.matches;
        let (kind, path) = match &matches.path {
            PathMatch::Exact(path) => (Kind::Exact, path.as_str()),
            PathMatch::Regex(pattern) => (Kind::Pattern, pattern.as_str()),
            PathMatch::Prefix(path) => (Kind::Prefix, path.as_str()),
        };
        let (headers, queries) = (count(matches, is_about_header), count(matches, is_about_query));
        let others = matches.conditions.len() - headers - queries;
        Self {
            priority: Reverse(rule.priority),
            kind,
            path_bytes: Reverse(path.strip_suffix('/').unwrap_or(path).len()),
            has_methods: Reverse(!matches.methods.is_empty()),
            headers: Reverse(matches.headers.len() + headers),
            queries: Reverse(matches.query.len() + queries),
            others: Reverse(matches.cookies.len() + others),
        }
    }

    /// The key at which `self` lost against `winner`, if it is one of these.
    fn lost_at(&self, winner: &Self) -> Option<Key> {
        let keys = [
            (self.priority != winner.priority, Key::Priority),
            (self.kind != winner.kind, Key::PathKind),
            (self.path_bytes != winner.path_bytes, Key::PathLength),
            (self.has_methods != winner.has_methods, Key::Methods),
            (self.headers != winner.headers, Key::Headers),
            (self.queries != winner.queries, Key::Queries),
            (self.others != winner.others, Key::Others),
        ];
        keys.into_iter().find_map(|(differs, key)| differs.then_some(key))
    }
}

/// All keys of a rule. Smaller goes first; no two rules are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank(pub Precedence, pub Position);

impl Rank {
    /// The key at which `self` lost against `winner`.
    pub fn lost_at(&self, winner: &Self) -> Key {
        let by_source = if self.1.source == winner.1.source { Key::Position } else { Key::Source };
        self.0.lost_at(&winner.0).unwrap_or(by_source)
    }
}

fn count(matches: &Match, is_counted: fn(&Condition) -> bool) -> usize {
    matches.conditions.iter().filter(|condition| is_counted(condition)).count()
}

fn is_about_header(condition: &Condition) -> bool {
    matches!(condition, Condition::Values(Subject::Header(_), _))
}

fn is_about_query(condition: &Condition) -> bool {
    matches!(condition, Condition::Values(Subject::Query(_), _))
}
