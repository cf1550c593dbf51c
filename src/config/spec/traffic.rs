//! Choices about requests as written: the fields that routes, rules, policies and defaults share.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{ConcurrencySpec, HeaderEditsSpec, RateLimitSpec, RewriteSpec, UpstreamDefaultsSpec};
use crate::config::schema;

/// What holds wherever nothing nearer is said (file only).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DefaultsSpec {
    /// For every rule.
    #[serde(flatten)]
    pub traffic: TrafficFields,
    /// For every upstream, field by field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<UpstreamDefaultsSpec>,
}

/// Choices with a name, which routes and rules take over by `use` (file only).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicySpec {
    /// What `use` calls it.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// What it says.
    #[serde(flatten)]
    pub traffic: TrafficFields,
}

/// Choices about requests: what defaults, policies, routes and rules have in common.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrafficFields {
    /// Bounds in time. Merged member by member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<TimeoutsSpec>,
    /// When and how often it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<RetriesSpec>,
    /// Which endpoint goes next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_balancer: Option<LoadBalancerSpec>,
    /// At most so many requests in a time; all must pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::rate_limits")]
    pub rate_limits: Option<Vec<RateLimitSpec>>,
    /// At most so many requests at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<ConcurrencySpec>,
    /// At most so many bytes. Merged member by member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<RuleLimitsSpec>,
    /// Changes on the way to servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_headers: Option<HeaderEditsSpec>,
    /// Changes on the way back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_headers: Option<HeaderEditsSpec>,
    /// Another path or host for servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<RewriteSpec>,
    /// Who may ask. Merged member by member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security: Option<SecuritySpec>,
    /// Which requests are logged. Merged member by member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_log: Option<SamplingSpec>,
    /// Upgrades let through. Default websocket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::upgrades")]
    pub upgrades: Option<Vec<String>>,
}

/// Bounds in time. 0s: no bound.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.request) || !has(self.perTry) || duration(self.request) == duration('0s') || duration(self.perTry) <= duration(self.request)")
        .message("perTry may not be longer than request"),
)]
pub struct TimeoutsSpec {
    /// First byte in to last byte out, retries included: 504. Default 0s, as a total breaks downloads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub request: Option<String>,
    /// One attempt. Default 0s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub per_try: Option<String>,
    /// No byte either way: 504, or reset once the response began. Default 60s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub idle: Option<String>,
    /// Instead of idle for upgraded connections and text/event-stream. Default 1h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub stream_idle: Option<String>,
}

/// When and how often a request is tried again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetriesSpec {
    /// Tries after the first. Default 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10))]
    pub attempts: Option<i32>,
    /// Why one may be made. Default connectFailure, refusedStream, staleConnection: no server took the request up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    pub triggers: Option<Vec<TriggerSpec>>,
    /// Answers that may be tried again: 503, "5xx", "500-504". Default none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub statuses: Option<Vec<IntOrString>>,
    /// Methods for reset, timeout and statuses. Default GET, HEAD, OPTIONS, TRACE, PUT, DELETE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::methods_or_none")]
    pub methods: Option<Vec<String>>,
    /// Longest wait before the second retry. Default 25ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub backoff: Option<String>,
    /// It doubles up to this. Default 250ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub max_backoff: Option<String>,
    /// Longest body that is held for another try. Default 64KiB, at most 16MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::size")]
    pub body: Option<String>,
}

/// Why a retry may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum TriggerSpec {
    /// No connection could be made.
    ConnectFailure,
    /// The server says that it did not begin.
    RefusedStream,
    /// A reused connection died before an answer.
    StaleConnection,
    /// The connection died before a response head.
    Reset,
    /// perTry is over.
    Timeout,
}

/// Which endpoint goes next.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(has(self.algorithm) && self.algorithm == 'consistentHash') == has(self.hashOn)")
        .message("hashOn goes with algorithm consistentHash, and the other way round"),
    validation = Rule::new("has(self.hashOn) || !(has(self.table) || has(self.boundedLoadPercent))")
        .message("table and boundedLoadPercent belong to algorithm consistentHash"),
)]
pub struct LoadBalancerSpec {
    /// roundRobin, leastConnections, fastest, random or consistentHash. Default roundRobin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<AlgorithmSpec>,
    /// What consistentHash looks at: clientAddress, header:NAME, cookie:NAME, query:NAME, path ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::some_attributes")]
    pub hash_on: Option<Vec<String>>,
    /// maglev or ring. Default maglev.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<HashTableSpec>,
    /// No endpoint above this share of the mean load; 0: no bound. Default 125.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::bounded_load")]
    pub bounded_load_percent: Option<i32>,
    /// prefer: requests stay in the own zone as long as it has its fair share of usable endpoints. Default: what the
    /// Service's trafficDistribution says, else ignore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<ZoneUseSpec>,
}

/// Whether endpoints of the own zone come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ZoneUseSpec {
    /// Zones do not count.
    Ignore,
    /// The own zone gets what is fair, the excess goes elsewhere.
    Prefer,
}

/// How an endpoint is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum AlgorithmSpec {
    /// One after the other.
    RoundRobin,
    /// The one with fewest running exchanges.
    LeastConnections,
    /// The better of two by latency and load.
    Fastest,
    /// Drawn.
    Random,
    /// By what a request has.
    ConsistentHash,
}

/// How a hash becomes an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum HashTableSpec {
    /// Constant time, almost even.
    Maglev,
    /// Fewest moves.
    Ring,
}

/// At most so many bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuleLimitsSpec {
    /// Longer request bodies get 413. Default: the listener's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::size")]
    pub request_body: Option<String>,
}

/// Who may ask.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecuritySpec {
    /// Only clients of these ranges. Default all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::allowed_ranges")]
    pub allow: Option<Vec<String>>,
    /// No clients of these ranges; counts before allow. Default none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::ranges")]
    pub deny: Option<Vec<String>>,
}

/// Which requests are logged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SamplingSpec {
    /// One of so many; 0: only always. Default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub one_in: Option<i32>,
    /// Answers that are logged in any case. Default "5xx".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub always: Option<Vec<IntOrString>>,
}
