//! What is served where: routes, their rules, and what a rule looks at.
//!
//! Everything here is checked and normalised: hosts in lower case, paths in the form they are matched
//! in, every rule with exactly one action. Written text becomes these types in `describe` and nowhere else.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method};
use serde::Serialize;

use super::id::{RuleId, UpstreamId};

/// 60 s: nginx' read timeout, known to all.
pub const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Hosts with a list of rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// Where it is written, and its age.
    pub source: Source,
    /// Who answers for it; empty: any host that nobody named.
    pub hosts: Vec<HostPattern>,
    /// In the order written.
    pub rules: Vec<Arc<Rule>>,
}

/// Where a route comes from: the last keys of precedence. The file stands before objects, the older
/// object before the younger, then the name decides.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// The operator's file.
    File,
    /// A cluster object.
    Object {
        /// Seconds since 1970; objects carry whole seconds.
        created: i64,
        /// `namespace/name`.
        name: String,
    },
}

/// An exact host, or one wildcard for one or more whole labels in front. Lower case, without port and
/// final dot.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// `shop.example.com`
    Exact(String),
    /// `*.example.com`, kept as `example.com`.
    Wildcard(String),
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host),
            Self::Wildcard(suffix) => write!(f, "*.{suffix}"),
        }
    }
}

impl Serialize for HostPattern {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What a request must look like and what is done with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// What it is, whatever its settings.
    pub id: RuleId,
    /// The name users see: the one given, or host and path as written.
    pub name: String,
    /// Where it is written: `routes[0].rules[1]`, for `explain` and messages.
    pub at: String,
    /// When it applies.
    pub matches: Match,
    /// What is done.
    pub action: Action,
    /// Bounds in time.
    pub timeouts: Timeouts,
}

/// All of it must hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Match {
    /// The path of the request.
    pub path: PathMatch,
    /// Sorted; empty: all.
    #[serde(serialize_with = "serialize_methods", skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<MethodName>,
    /// Sorted by name. Some value of the header must be equal.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderEquals>,
}

impl Match {
    /// Everything below `/`.
    pub fn everything() -> Self {
        Self { path: PathMatch::Prefix("/".to_owned()), methods: Vec::new(), headers: Vec::new() }
    }
}

/// The canonical form: equal text, equal meaning. The identity of an unnamed rule.
impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path)?;
        for (index, method) in self.methods.iter().enumerate() {
            write!(f, "{}{}", if index == 0 { " methods=" } else { "," }, method.as_str())?;
        }
        for header in &self.headers {
            write!(f, " {}={:?}", header.name, header.value)?;
        }
        Ok(())
    }
}

/// How the path is compared. Paths are in normal form.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum PathMatch {
    /// This path alone: `/a` is not `/a/`.
    Exact(String),
    /// Whole segments: `/api` covers `/api` and `/api/x`, not `/apis`. No final `/`, except `/` itself.
    Prefix(String),
}

impl fmt::Display for PathMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(path) => write!(f, "exact {path}"),
            Self::Prefix(path) => write!(f, "prefix {path}"),
        }
    }
}

/// A method, comparable so that lists have one order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MethodName(pub Method);

impl MethodName {
    /// As it stands in the request line.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl Ord for MethodName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl PartialOrd for MethodName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// A header with the value it must have. The name ignores case, the value does not.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HeaderEquals {
    /// Lower case.
    #[serde(serialize_with = "serialize_header_name")]
    pub name: HeaderName,
    /// Compared byte for byte.
    pub value: String,
}

impl Ord for HeaderEquals {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.name.as_str(), &self.value).cmp(&(other.name.as_str(), &other.value))
    }
}

impl PartialOrd for HeaderEquals {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Send on to one of these, by weight.
    Forward(Vec<Target>),
    /// The rule is off and answers 500: it keeps its place, as its requests would otherwise fall to a
    /// wider rule without its checks.
    Broken,
}

/// One share of a rule's requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Where they go.
    pub to: Destination,
    /// Share beside the other targets; 0: nothing.
    pub weight: u32,
}

/// Where a share of requests goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Destination {
    /// An upstream of the same description.
    Upstream(UpstreamId),
    /// The backend does not exist or is not permitted: these requests get 500, the others are served.
    Missing,
}

/// Bounds in time of one exchange. Zero: no bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Timeouts {
    /// First byte in to last byte out, retries included. Default none: a total breaks downloads.
    #[serde(serialize_with = "super::serialize_duration")]
    pub request: Duration,
    /// No byte either way.
    #[serde(serialize_with = "super::serialize_duration")]
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { request: Duration::ZERO, idle: DEFAULT_IDLE_TIMEOUT }
    }
}

fn serialize_methods<S: serde::Serializer>(methods: &[MethodName], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(methods.iter().map(MethodName::as_str))
}

fn serialize_header_name<S: serde::Serializer>(name: &HeaderName, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(name.as_str())
}
