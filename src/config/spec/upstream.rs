//! Groups of servers as written: which they are, and what is known about them.
//!
//! What is known ([`UpstreamDefaultsSpec`]) is the same for an upstream, for a Service in an object and for
//! `defaults.upstream`. A field that an upstream has replaces that of the defaults whole, blocks too: nobody has to
//! look in two places to see what one block says.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::ServiceSpec;
use crate::config::schema;

/// What is known about servers: in a file a named group of endpoints, in an object a Service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.service), has(self.endpoints)].exists_one(x, x) && has(self.service) != has(self.name)")
        .message("set exactly one of service, endpoints; an upstream is named by its service or by name, not by both"),
)]
pub struct UpstreamSpec {
    /// What backends call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub name: Option<String>,
    /// Its servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub endpoints: Option<Vec<EndpointSpec>>,
    /// A Service of the object's namespace, whose servers these settings are about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceSpec>,
    /// What is known about them.
    #[serde(flatten)]
    pub settings: UpstreamDefaultsSpec,
}

/// What is known about servers, whichever they are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpstreamDefaultsSpec {
    /// How long one connection may take to be made; then another endpoint is tried. Default 2s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub connect_timeout: Option<String>,
    /// Connections kept between requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolSpec>,
    /// How much these servers may get at once. Default: no bounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<UpstreamLimitsSpec>,
    /// Who is asked, who is judged by answers, who is left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheckSpec>,
    /// Leaves an endpoint alone that fails too often. Default off; {} turns it on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub circuit_breaker: Option<CircuitBreakerSpec>,
    /// The weight of a new endpoint grows linearly. Default off; {} turns it on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_start: Option<SlowStartSpec>,
    /// How many tries may be added to requests, all rules together, over ten seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_budget: Option<RetryBudgetSpec>,
    /// The status of the answer without any endpoint. Default 503.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 400, max = 599))]
    pub when_empty: Option<i32>,
}

/// Connections kept between requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolSpec {
    /// How long an unused connection is kept. Default 4s: below the 5s at which common servers close.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub idle_timeout: Option<String>,
    /// Unused connections kept for each endpoint and worker. Default 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000))]
    pub max_idle: Option<i32>,
    /// Requests on one connection. Default 0: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub max_requests: Option<i32>,
    /// How old a connection may become. Default 0s: any age.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub max_age: Option<String>,
}

/// How much servers may get at once; over it 503.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpstreamLimitsSpec {
    /// Connections to all endpoints together, idle ones too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub connections: Option<i32>,
    /// Requests at all endpoints together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub requests: Option<i32>,
    /// Connections to one endpoint, idle ones too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub per_endpoint_connections: Option<i32>,
    /// Requests at one endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub per_endpoint_requests: Option<i32>,
    /// Requests that may wait for room. Default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub pending: Option<i32>,
    /// How long they wait, 1ms to 1h. Default 1s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub pending_timeout: Option<String>,
}

/// Which endpoints are used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheckSpec {
    /// Endpoints are asked how they are. Default off; {} turns it on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<ActiveHealthSpec>,
    /// Endpoints that fail in a row are left alone for a while. Default on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passive: Option<PassiveHealthSpec>,
    /// Below this share of usable endpoints health is ignored. Default 1: when none is left; 0: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub panic_percent: Option<i32>,
}

/// Endpoints are asked how they are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.type) && self.type == 'tcp') || [has(self.path), has(self.method), has(self.host), has(self.headers), has(self.statuses)].all(x, !x)")
        .message(schema::PROBE_FORM_MESSAGE),
)]
pub struct ActiveHealthSpec {
    /// Off, although inherited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
    /// A request, or only a connection. Default http.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ProbeTypeSpec>,
    /// What is asked for, with a query if need be. Default /
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::probe_path")]
    pub path: Option<String>,
    /// Default GET.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::method")]
    pub method: Option<String>,
    /// The Host of the request, with a port if need be. Default: the endpoint's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 260))]
    pub host: Option<String>,
    /// Default: the endpoint's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::port")]
    pub port: Option<i32>,
    /// Sent besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::headers")]
    pub headers: Option<BTreeMap<String, String>>,
    /// Answers of a healthy endpoint. Default 2xx.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::some_statuses")]
    pub statuses: Option<Vec<IntOrString>>,
    /// From the end of one probe to the next, 100ms to 1h. Default 5s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub interval: Option<String>,
    /// Of one probe, connection included, 1ms to 1m. Default 2s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub timeout: Option<String>,
    /// Good probes in a row that make an endpoint healthy again. Default 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub healthy_after: Option<i32>,
    /// Bad probes in a row that make it unhealthy. Default 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub unhealthy_after: Option<i32>,
}

/// What a probe is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ProbeTypeSpec {
    /// A request.
    #[default]
    Http,
    /// A connection.
    Tcp,
}

/// Endpoints that fail in a row are left alone for a while.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PassiveHealthSpec {
    /// Off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
    /// In a row. Default 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub failures: Option<i32>,
    /// Answers that are failures, beside connections that fail or die and tries that take too long.
    /// Default 502, 503, 504; []: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::statuses")]
    pub statuses: Option<Vec<IntOrString>>,
    /// The first time, 100ms to 24h; it doubles with each further one. Default 10s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub eject_for: Option<String>,
    /// At most. Default 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub max_eject_for: Option<String>,
    /// Share of the endpoints. Default 50; the last usable one is never taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub max_eject_percent: Option<i32>,
}

/// An endpoint that fails too often gets nothing for a while, then a few to see.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CircuitBreakerSpec {
    /// Off, although inherited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
    /// Share of failures that opens it. Default 50.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub failure_percent: Option<i32>,
    /// Fewer requests in the window tell nothing. Default 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub min_requests: Option<i32>,
    /// How far back it looks, 1s to 1h. Default 10s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub window: Option<String>,
    /// Open the first time, 100ms to 24h; it doubles with each further one in a row. Default 10s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub open_for: Option<String>,
    /// At most. Default 2m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub max_open_for: Option<String>,
    /// Let through while half-open; all of them good closes it. Default 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub half_open_requests: Option<i32>,
    /// Answers that are failures, beside connections that fail or die and tries that take too long.
    /// Default 5xx; []: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::statuses")]
    pub statuses: Option<Vec<IntOrString>>,
    /// An answer whose head takes longer is a failure, too. Default 0s: however long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub slower_than: Option<String>,
}

/// The weight of a new endpoint grows linearly.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SlowStartSpec {
    /// Until it has all of its weight, at most 1h. Default 30s; 0s: off, although inherited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub window: Option<String>,
    /// Where it begins. Default 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub min_percent: Option<i32>,
}

/// How many tries may be added to requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetryBudgetSpec {
    /// Of the requests. Default 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub percent: Option<i32>,
    /// So many a second in any case. Default 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000))]
    pub min_per_second: Option<i32>,
}

/// One server address.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointSpec {
    /// http://host:port
    #[schemars(length(max = 512))]
    pub url: String,
    /// Share of requests beside the other endpoints. Default 1; 0: nothing new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub weight: Option<i32>,
    /// Where it stands, for loadBalancer.zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub zone: Option<String>,
    /// draining: running exchanges stay, new ones come only when no active endpoint is left. Default active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<EndpointStateSpec>,
    /// Tells a new server on an old address from the old one; in dumps the pod's uid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub id: Option<String>,
}

/// Whether new work may go to a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum EndpointStateSpec {
    /// Takes new requests.
    #[default]
    Active,
    /// Is going away.
    Draining,
}
