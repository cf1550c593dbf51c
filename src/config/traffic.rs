//! Choices about a request, apart from where it goes: bounds in time, tries, balancing, limits, who may ask.
//!
//! They are inherited: `defaults`, then the policies of `use` in order, then the route, then the rule; the nearest
//! wins, field by field. What stands here is the result for one rule.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde::Serialize;

use super::attribute::Attribute;
use super::cidr::Cidr;
use super::id::LimiterId;
use super::message::{HeaderEdits, Rewrite};
use super::route::MethodName;
use super::status_set::StatusSet;
use super::units::Rate;

/// 60 s: nginx' read timeout, known to all.
pub const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// 1 h: quiet streams are normal; dead peers are found by TCP keep-alive.
pub const DEFAULT_STREAM_IDLE_TIMEOUT: Duration = Duration::from_secs(3600);
/// 2: a rolling update may show two dead endpoints.
pub const DEFAULT_RETRY_ATTEMPTS: u32 = 2;
/// 64 KiB: longer bodies are not held for another try.
pub const DEFAULT_RETRY_BODY_BYTES: u64 = 64 * 1024;
/// No endpoint over 1.25 times the mean.
pub const DEFAULT_BOUNDED_LOAD_PERCENT: u32 = 125;

/// All choices of one rule. What is a default is not shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Traffic {
    /// Bounds in time.
    #[serde(skip_serializing_if = "super::is_default")]
    pub timeouts: Timeouts,
    /// When and how often it is tried again.
    #[serde(skip_serializing_if = "super::is_default")]
    pub retries: Retries,
    /// Which endpoint goes next.
    #[serde(skip_serializing_if = "super::is_default")]
    pub load_balancer: LoadBalancer,
    /// All must pass; names are unique.
    #[serde(skip_serializing_if = "super::is_default")]
    pub rate_limits: Vec<Arc<RateLimit>>,
    /// Requests at once.
    #[serde(skip_serializing_if = "super::is_default")]
    pub concurrency: Option<Arc<Concurrency>>,
    /// Longest request body in bytes, none: the listener's.
    #[serde(skip_serializing_if = "super::is_default")]
    pub request_body: Option<u64>,
    /// What is changed on the way to servers, for every backend.
    #[serde(skip_serializing_if = "super::is_default")]
    pub request_headers: HeaderEdits,
    /// What is changed on the way back.
    #[serde(skip_serializing_if = "super::is_default")]
    pub response_headers: HeaderEdits,
    /// Another path or host for servers.
    #[serde(skip_serializing_if = "super::is_default")]
    pub rewrite: Option<Rewrite>,
    /// Who may ask.
    #[serde(skip_serializing_if = "super::is_default")]
    pub security: Security,
    /// Which requests are logged.
    #[serde(skip_serializing_if = "super::is_default")]
    pub access_log: Sampling,
    /// Upgrades let through, in lower case.
    #[serde(skip_serializing_if = "super::is_default")]
    pub upgrades: Upgrades,
}

/// Bounds in time of one exchange. Zero: no bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Timeouts {
    /// First byte in to last byte out, retries included; ends at an upgrade. Default none: a total breaks downloads.
    #[serde(serialize_with = "super::serialize_duration")]
    pub request: Duration,
    /// One try, up to the head of its answer.
    #[serde(serialize_with = "super::serialize_duration")]
    pub per_try: Duration,
    /// No byte either way.
    #[serde(serialize_with = "super::serialize_duration")]
    pub idle: Duration,
    /// Instead of `idle` for upgraded connections and `text/event-stream`.
    #[serde(serialize_with = "super::serialize_duration")]
    pub stream_idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            request: Duration::ZERO,
            per_try: Duration::ZERO,
            idle: DEFAULT_IDLE_TIMEOUT,
            stream_idle: DEFAULT_STREAM_IDLE_TIMEOUT,
        }
    }
}

/// When and how often a request is tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Retries {
    /// Tries after the first; 0: none.
    pub attempts: u32,
    /// Why one may be made.
    pub triggers: Triggers,
    /// Answers that may be tried again.
    pub statuses: StatusSet,
    /// Bound `reset`, `timeout` and statuses.
    pub methods: Vec<MethodName>,
    /// Before the second retry; full jitter. The first retry after a connection failed does not wait.
    #[serde(serialize_with = "super::serialize_duration")]
    pub backoff: Duration,
    /// It doubles up to this.
    #[serde(serialize_with = "super::serialize_duration")]
    pub max_backoff: Duration,
    /// Longest body in bytes that is held for another try.
    pub body_bytes: u64,
}

impl Default for Retries {
    fn default() -> Self {
        let idempotent = ["DELETE", "GET", "HEAD", "OPTIONS", "PUT", "TRACE"];
        let method = |name: &&str| http::Method::from_bytes(name.as_bytes()).ok().map(MethodName);
        Self {
            attempts: DEFAULT_RETRY_ATTEMPTS,
            triggers: Triggers::default(),
            statuses: StatusSet::default(),
            methods: idempotent.iter().filter_map(method).collect(),
            backoff: Duration::from_millis(25),
            max_backoff: Duration::from_millis(250),
            body_bytes: DEFAULT_RETRY_BODY_BYTES,
        }
    }
}

/// Why a retry may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Triggers {
    /// No connection: any method.
    pub connect_failure: bool,
    /// The server says that it did not begin: any method.
    pub refused_stream: bool,
    /// A reused connection died before an answer: any method if nothing was written, else `methods`.
    pub stale_connection: bool,
    /// The connection died before a response head.
    pub reset: bool,
    /// `perTry` is over.
    pub timeout: bool,
}

impl Default for Triggers {
    fn default() -> Self {
        Self { connect_failure: true, refused_stream: true, stale_connection: true, reset: false, timeout: false }
    }
}

/// Which endpoint goes next.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadBalancer {
    /// How.
    pub algorithm: Algorithm,
    /// Whether endpoints of the own zone come first; none: as the upstream says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<ZoneUse>,
}

impl Default for LoadBalancer {
    fn default() -> Self {
        Self { algorithm: Algorithm::RoundRobin, zone: None }
    }
}

/// Whether endpoints of the own zone come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ZoneUse {
    /// Zones do not count.
    Ignore,
    /// The own zone gets what is fair, the excess goes elsewhere.
    Prefer,
}

/// How an endpoint is chosen. All obey weights.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Algorithm {
    /// One after the other, in smooth shares.
    RoundRobin,
    /// The one with fewest exchanges running, by weight.
    LeastConnections,
    /// The better of two drawn ones by peak-EWMA latency times load.
    Fastest,
    /// Drawn by weight.
    Random,
    /// By what a request has.
    ConsistentHash(ConsistentHash),
}

/// A hash that keeps most requests where they were when endpoints come and go.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsistentHash {
    /// What is looked at, together; where a request has none of it, the client's address.
    pub hash_on: Vec<Attribute>,
    /// How the table is made.
    pub table: HashTable,
    /// No endpoint over this share of the mean load; 0: no bound.
    pub bounded_load_percent: u32,
}

/// How a hash becomes an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum HashTable {
    /// Google's Maglev: constant time, almost even.
    #[default]
    Maglev,
    /// A ring of points: fewest moves.
    Ring,
}

/// At most so many requests in a time.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RateLimit {
    /// Where it is written, and its name: who shares it shares its counts.
    pub id: LimiterId,
    /// Unique in its list.
    pub name: String,
    /// The limit.
    pub rate: Rate,
    /// Token bucket: how many may come at once. One second of the rate, at least 1, if nothing is said.
    pub burst: u32,
    /// How it is reckoned.
    pub algorithm: RateAlgorithm,
    /// What is counted apart; empty: one count for all.
    pub key: Vec<Attribute>,
    /// What a request without the key is counted as.
    pub missing_key: MissingKey,
    /// Whether replicas count together.
    pub scope: RateScope,
    /// Of the answer, 400 to 599.
    #[serde(serialize_with = "serialize_status")]
    pub status: StatusCode,
    /// What clients are told about it.
    pub headers: RateHeaders,
    /// Not counted.
    pub exempt: Vec<Cidr>,
    /// Whether it refuses or only counts.
    pub mode: RateMode,
}

/// How a rate is reckoned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum RateAlgorithm {
    /// Fills steadily up to `burst`.
    #[default]
    TokenBucket,
    /// At most the rate in any window of its length, by two counts.
    SlidingWindow,
}

/// What a request without the key is counted as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum MissingKey {
    /// By the client's address.
    #[default]
    ClientAddress,
    /// Not at all.
    Skip,
    /// It is refused.
    Reject,
}

/// Whether replicas count together. One process is one replica until replicas know each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum RateScope {
    /// Together.
    #[default]
    Shared,
    /// Each by itself.
    Replica,
}

/// What clients are told about a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum RateHeaders {
    /// `RateLimit` and `RateLimit-Policy` (IETF draft-ietf-httpapi-ratelimit-headers-10).
    Standard,
    /// `X-RateLimit-Limit`, `-Remaining`, `-Reset`.
    Legacy,
    /// Nothing but `Retry-After` when it is met.
    #[default]
    None,
}

/// Whether a limit refuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum RateMode {
    /// It refuses.
    #[default]
    Enforce,
    /// It only counts what it would refuse.
    Report,
}

/// Requests at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Concurrency {
    /// Where it is written: who shares it shares its counts.
    pub id: LimiterId,
    /// At most.
    pub max: u32,
    /// What is counted apart; empty: all together.
    pub per: Vec<Attribute>,
    /// How many may wait.
    pub queue: u32,
    /// How long.
    #[serde(serialize_with = "super::serialize_duration")]
    pub queue_timeout: Duration,
    /// Of the answer.
    #[serde(serialize_with = "serialize_status")]
    pub status: StatusCode,
}

/// Who may ask, by address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Security {
    /// Only these; none: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<Cidr>>,
    /// Not these; counts before `allow`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<Cidr>,
}

/// Which requests are logged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sampling {
    /// One of so many; 0: none but `always`.
    pub one_in: u32,
    /// Whatever the share.
    pub always: StatusSet,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { one_in: 1, always: StatusSet::of(&[(500, 599)]) }
    }
}

/// Upgrades let through, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Upgrades(pub Vec<String>);

impl Default for Upgrades {
    fn default() -> Self {
        Self(vec!["websocket".to_owned()])
    }
}

fn serialize_status<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}
