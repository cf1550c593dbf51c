//! What is served where: routes, their rules, and what a rule looks at.
//!
//! Everything here is checked and normalised: hosts in lower case, paths in the form they are matched
//! in, every rule with exactly one action. Written text becomes these types in `describe` and nowhere else.

use std::fmt;
use std::sync::Arc;

use http::{HeaderName, Method};
use serde::Serialize;

use super::cidr::Cidr;
use super::id::{RuleId, UpstreamId};
use super::message::{HeaderEdits, Redirect, Respond};
use super::pattern::Pattern;
use super::traffic::Traffic;

/// Hosts with a list of rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// Where it is written, and its age.
    pub source: Source,
    /// Who answers for it; empty: any host that nobody named.
    pub hosts: Vec<HostPattern>,
    /// Names of the listeners it is served on; empty: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub listeners: Vec<String>,
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
    /// First key of precedence, -1000 to 1000.
    #[serde(skip_serializing_if = "super::is_default")]
    pub priority: i32,
    /// What is done.
    pub action: Action,
    /// Choices about its requests, with all that is inherited; shared by rules that have the same.
    #[serde(skip_serializing_if = "super::is_default")]
    pub traffic: Arc<Traffic>,
}

/// All of it must hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Match {
    /// The path of the request.
    pub path: PathMatch,
    /// Sorted; empty: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<MethodName>,
    /// Sorted by name. Some value of the header must be equal.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderEquals>,
    /// Query parameters, sorted by name. Some value of the parameter must be equal.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub query: Vec<NameEquals>,
    /// Cookies, sorted by name. Some cookie of the name must be equal.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cookies: Vec<NameEquals>,
    /// Further ones, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

impl Match {
    /// Everything below `/`.
    pub fn everything() -> Self {
        Self::path(PathMatch::Prefix("/".to_owned()))
    }

    /// This path, whatever else.
    pub fn path(path: PathMatch) -> Self {
        Self {
            path,
            methods: Vec::new(),
            headers: Vec::new(),
            query: Vec::new(),
            cookies: Vec::new(),
            conditions: Vec::new(),
        }
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
        for query in &self.query {
            write!(f, " query:{}={:?}", query.name, query.value)?;
        }
        for cookie in &self.cookies {
            write!(f, " cookie:{}={:?}", cookie.name, cookie.value)?;
        }
        for condition in &self.conditions {
            write!(f, " {condition}")?;
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
    /// The whole path matches.
    Regex(Pattern),
}

impl fmt::Display for PathMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(path) => write!(f, "exact {path}"),
            Self::Prefix(path) => write!(f, "prefix {path}"),
            Self::Regex(pattern) => write!(f, "regex {pattern}"),
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

impl Serialize for MethodName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
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

/// A query parameter or cookie with the value it must have, byte for byte. Parameters are decoded first; cookies have no
/// coding of their own (RFC 6265) and are compared as they are.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NameEquals {
    /// Case counts.
    pub name: String,
    /// Case counts.
    pub value: String,
}

/// A condition beyond equality.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Condition {
    /// Of the values of a header, query parameter or cookie.
    Values(Subject, Test),
    /// The client's address is in one of these.
    ClientAddress(Vec<Cidr>),
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Values(subject, test) => write!(f, "{subject} {test}"),
            Self::ClientAddress(ranges) => {
                f.write_str("clientAddress in ")?;
                ranges
                    .iter()
                    .enumerate()
                    .try_for_each(|(index, range)| write!(f, "{}{range}", if index == 0 { "" } else { "," }))
            }
        }
    }
}

/// What a condition looks at.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Subject {
    /// In lower case.
    Header(String),
    /// Case counts.
    Query(String),
    /// Case counts.
    Cookie(String),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Query(name) => write!(f, "query:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
        }
    }
}

/// What values must be like. `NoneOf` and `Present(false)` look at every value, the others at some value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Test {
    /// Some value is one of these; sorted.
    AnyOf(Vec<String>),
    /// No value is one of these; holds without any value; sorted.
    NoneOf(Vec<String>),
    /// Some value begins so.
    Prefix(String),
    /// Some value matches whole.
    Regex(Pattern),
    /// Whether there is a value.
    Present(bool),
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AnyOf(values) => write!(f, "anyOf {values:?}"),
            Self::NoneOf(values) => write!(f, "noneOf {values:?}"),
            Self::Prefix(prefix) => write!(f, "prefix {prefix:?}"),
            Self::Regex(pattern) => write!(f, "regex {pattern:?}"),
            Self::Present(present) => write!(f, "present {present}"),
        }
    }
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Send on to one of these, by weight.
    Forward(Vec<Target>),
    /// Send the client elsewhere.
    Redirect(Redirect),
    /// Answer itself.
    Respond(Respond),
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
    /// For this target only, after those of the rule.
    #[serde(skip_serializing_if = "HeaderEdits::is_empty")]
    pub request_headers: HeaderEdits,
    /// For this target only, before those of the rule.
    #[serde(skip_serializing_if = "HeaderEdits::is_empty")]
    pub response_headers: HeaderEdits,
}

impl Target {
    /// Without changes of its own.
    pub fn plain(to: Destination, weight: u32) -> Self {
        Self { to, weight, request_headers: HeaderEdits::default(), response_headers: HeaderEdits::default() }
    }
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

fn serialize_header_name<S: serde::Serializer>(name: &HeaderName, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(name.as_str())
}
