//! The described Gateway: plain data, whatever its source.
//!
//! A YAML file and cluster objects are read as the same written types ([`spec`]), turned into the same
//! described types by the same code ([`describe`]), and reach the proxy the same way: as one [`Gateway`]
//! inside an [`Offer`]. Nothing else does. What is in here is checked and normalised, knows nothing of
//! sockets or of Kubernetes, and never changes once made; shared parts are shared by `Arc`, so that what
//! two descriptions have in common can be recognised by pointer.
//!
//! `route` says what is served where, `traffic` how, `message` what is changed on the way, `upstream` what is known
//! about servers, `listener` about clients' side, `cluster` what objects may do. `attribute`, `cidr`, `pattern`, `status_set` are
//! values in them. `id` names what outlives a description, `units` reads texts, `problem` says what is wrong and `place`
//! where. `file` reads the file skin: `yaml` gives values and places, `check` holds them against the
//! schema as `shape` sees it, `vocabulary` and `nearest` guess what was meant.

pub mod attribute;
pub mod check;
pub mod cidr;
pub mod cluster;
pub mod describe;
pub mod dump;
pub mod file;
pub mod id;
pub mod listener;
pub mod message;
pub mod nearest;
pub mod pattern;
pub mod place;
pub mod problem;
pub mod route;
pub mod schema;
pub mod shape;
pub mod spec;
pub mod status_set;
pub mod traffic;
pub mod units;
pub mod upstream;
pub mod vocabulary;
pub mod yaml;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

pub use attribute::Attribute;
pub use cidr::Cidr;
pub use cluster::{ClusterRules, Terms};
pub use id::{EndpointId, LimiterId, RuleId, UpstreamId};
pub use listener::Listener;
pub use pattern::Pattern;
pub use problem::{Effect, Problem, Slug};
pub use route::{
    Action, Condition, Destination, HostPattern, Match, PathMatch, Route, Rule, Source, Subject, Target, Test,
};
pub use spec::{AccessLogFormat, HostOwnership};
pub use status_set::StatusSet;
pub use traffic::{Timeouts, Traffic};
pub use upstream::{Endpoint, EndpointState, Upstream, UpstreamSettings};

/// Clients with a series of their own in metrics: enough to see who is busy, few enough for any Prometheus.
pub const DEFAULT_METRIC_CLIENTS: usize = 100;
/// Keys of rate limits that are counted at once: some ten megabytes.
pub const DEFAULT_RATE_LIMIT_KEYS: usize = 100_000;

/// The whole description of what is served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Gateway {
    /// Where clients connect; names and ports are unique.
    pub listeners: Vec<Listener>,
    /// File first, then objects by age and name; inside a source in the order written.
    pub routes: Vec<Arc<Route>>,
    /// Every upstream that a route names is here, once.
    pub upstreams: Vec<Arc<Upstream>>,
    /// How requests are logged.
    pub access_log: AccessLogFormat,
    /// Clients with a series of their own in metrics; the others are `other`.
    #[serde(skip_serializing_if = "is_default_clients")]
    pub metric_clients: usize,
    /// Keys of rate limits that are counted at once.
    #[serde(skip_serializing_if = "is_default_keys")]
    pub rate_limit_keys: usize,
    /// Which state of each object this was made from, by `namespace/name`: for people, nothing depends on it.
    #[serde(skip)]
    pub generations: Arc<BTreeMap<String, i64>>,
}

impl Default for Gateway {
    /// Nothing is served, nowhere.
    fn default() -> Self {
        Self {
            listeners: Vec::new(),
            routes: Vec::new(),
            upstreams: Vec::new(),
            access_log: AccessLogFormat::default(),
            metric_clients: DEFAULT_METRIC_CLIENTS,
            rate_limit_keys: DEFAULT_RATE_LIMIT_KEYS,
            generations: Arc::default(),
        }
    }
}

/// Control plane to data plane: serve this. Only the newest offer counts.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Grows by one with each offer of a process.
    pub number: u64,
    /// What to serve.
    pub gateway: Arc<Gateway>,
    /// Read from disk, where it was written then, as the cluster cannot be asked. None: it is how things are now.
    pub stale_since: Option<std::time::SystemTime>,
}

/// Data plane to control plane: every request from now on is decided by this offer or a later one.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    /// That of the [`Offer`]; 0 before the first.
    pub number: u64,
}

/// What is a default is left out where a description is shown: what was chosen stands out.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn is_default_clients(clients: &usize) -> bool {
    *clients == DEFAULT_METRIC_CLIENTS
}

fn is_default_keys(keys: &usize) -> bool {
    *keys == DEFAULT_RATE_LIMIT_KEYS
}

/// Writes a duration the way users write it.
fn serialize_duration<S: serde::Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format_duration(*value))
}

/// The same for one that may be absent.
fn serialize_optional_duration<S: serde::Serializer>(
    value: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serialize_duration(value, serializer),
        None => serializer.serialize_none(),
    }
}

/// `1500ms`, `30s`: the shortest form that [`units::parse_duration`] reads back.
fn format_duration(value: Duration) -> String {
    if value.subsec_millis() == 0 { format!("{}s", value.as_secs()) } else { format!("{}ms", value.as_millis()) }
}
