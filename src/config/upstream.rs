//! A group of interchangeable servers, as described. What runs is `upstream::LiveUpstream`.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use serde::Serialize;

use super::cidr::Cidr;
use super::id::{EndpointId, UpstreamId};
use super::route::MethodName;
use super::status_set::StatusSet;

/// 2 s: one lost SYN, resent after 1 s, is survived.
pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// 4 s: below the 5 s at which common servers (Node.js, gunicorn) close an idle connection.
pub const DEFAULT_POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// Idle connections kept to one endpoint by one worker.
pub const DEFAULT_POOL_MAX_IDLE: usize = 100;
/// 1 %: health counts until nobody is left.
pub const DEFAULT_PANIC_PERCENT: u32 = 1;

/// Servers of which any may answer, and what is known about all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Upstream {
    /// What it is, whatever its settings.
    pub id: UpstreamId,
    /// The `service` label in metrics and logs: the identity, or for URLs the route's name.
    pub label: String,
    /// Whether it is made of the URLs of one rule: then its endpoints are known by their address alone.
    pub is_of_urls: bool,
    /// In the order written; for Services ordered by address, so that equal input gives equal output.
    pub endpoints: Vec<Endpoint>,
    /// Whether requests stay in the own zone where the rule says nothing about it.
    #[serde(skip_serializing_if = "super::is_default")]
    pub prefers_zone: bool,
    /// Where no connection may go, whatever a name resolves to; empty for servers that the operator wrote.
    #[serde(skip_serializing_if = "super::is_default")]
    pub denied: Arc<[Cidr]>,
    /// Knowledge about these servers. Not shown where it is the default.
    #[serde(skip_serializing_if = "super::is_default")]
    /// Shared by those that have the same.
    pub settings: Arc<UpstreamSettings>,
}

/// What is known about the servers of an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UpstreamSettings {
    /// How long one connection may take to be made.
    #[serde(serialize_with = "super::serialize_duration")]
    pub connect_timeout: Duration,
    /// Connections kept between requests.
    pub pool: PoolSettings,
    /// How much these servers may get at once.
    pub limits: Limits,
    /// Probes; none: servers are not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active_health: Option<ActiveHealth>,
    /// Judged by their answers; none: they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passive_health: Option<PassiveHealth>,
    /// Below this share of usable endpoints health is ignored, 0 to 100; 0: never.
    pub panic_percent: u32,
    /// Protects servers; none: off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub circuit_breaker: Option<CircuitBreaker>,
    /// New endpoints get more and more; none: all at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_start: Option<SlowStart>,
    /// How many tries may be added to requests, all rules together.
    pub retry_budget: RetryBudget,
    /// The answer without any endpoint, 400 to 599.
    #[serde(serialize_with = "serialize_status")]
    pub when_empty: StatusCode,
}

impl Default for UpstreamSettings {
    fn default() -> Self {
        Self {
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            pool: PoolSettings::default(),
            limits: Limits::default(),
            active_health: None,
            passive_health: Some(PassiveHealth::default()),
            panic_percent: DEFAULT_PANIC_PERCENT,
            circuit_breaker: None,
            slow_start: None,
            retry_budget: RetryBudget::default(),
            when_empty: StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// Connections kept between requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolSettings {
    /// How long an unused connection is kept.
    #[serde(serialize_with = "super::serialize_duration")]
    pub idle_timeout: Duration,
    /// Unused connections kept for each endpoint and worker.
    pub max_idle: usize,
    /// Requests on one connection; 0: any.
    pub max_requests: u64,
    /// Of a connection; zero: any.
    #[serde(serialize_with = "super::serialize_duration")]
    pub max_age: Duration,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            idle_timeout: DEFAULT_POOL_IDLE_TIMEOUT,
            max_idle: DEFAULT_POOL_MAX_IDLE,
            max_requests: 0,
            max_age: Duration::ZERO,
        }
    }
}

/// How much servers may get at once. None: no bound, as a cap nobody chose is an outage nobody expects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Connections to all endpoints, idle ones too.
    pub connections: Option<u32>,
    /// Requests at all endpoints.
    pub requests: Option<u32>,
    /// Connections to one endpoint, idle ones too.
    pub per_endpoint_connections: Option<u32>,
    /// Requests at one endpoint.
    pub per_endpoint_requests: Option<u32>,
    /// Requests that may wait for room.
    pub pending: u32,
    /// How long.
    #[serde(serialize_with = "super::serialize_duration")]
    pub pending_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: None,
            requests: None,
            per_endpoint_connections: None,
            per_endpoint_requests: None,
            pending: 0,
            pending_timeout: Duration::from_secs(1),
        }
    }
}

/// Probes of each endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ActiveHealth {
    /// What is asked.
    pub probe: Probe,
    /// Another port than the endpoint's.
    pub port: Option<u16>,
    /// From the end of one probe to the next.
    #[serde(serialize_with = "super::serialize_duration")]
    pub interval: Duration,
    /// Of one probe, connection included.
    #[serde(serialize_with = "super::serialize_duration")]
    pub timeout: Duration,
    /// Good probes in a row that make an endpoint healthy again.
    pub healthy_after: u32,
    /// Bad probes in a row that make it unhealthy.
    pub unhealthy_after: u32,
}

impl Default for ActiveHealth {
    /// Often enough to be out in a quarter of a minute, seldom enough not to show in an endpoint's load.
    fn default() -> Self {
        Self {
            probe: Probe::Http(HttpProbe::default()),
            port: None,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            healthy_after: 2,
            unhealthy_after: 3,
        }
    }
}

/// What a probe asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Probe {
    /// A request.
    Http(HttpProbe),
    /// Whether a connection can be made.
    Tcp,
}

/// A request that a healthy endpoint answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpProbe {
    /// GET, if nothing is said.
    pub method: MethodName,
    /// `/`, if nothing is said; may have a query.
    pub path: String,
    /// Of the request; none: the endpoint's authority.
    pub host: Option<String>,
    /// Besides.
    pub headers: Vec<(String, String)>,
    /// Answers of a healthy endpoint: 2xx, if nothing is said.
    pub statuses: StatusSet,
}

impl Default for HttpProbe {
    fn default() -> Self {
        Self {
            method: MethodName(Method::GET),
            path: "/".to_owned(),
            host: None,
            headers: Vec::new(),
            statuses: StatusSet::of(&[(200, 299)]),
        }
    }
}

/// Endpoints that fail are left alone for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PassiveHealth {
    /// In a row.
    pub failures: u32,
    /// Answers that are failures, beside connections that fail or die and tries that take too long.
    pub statuses: StatusSet,
    /// The first time; it doubles with each further one.
    #[serde(serialize_with = "super::serialize_duration")]
    pub eject_for: Duration,
    /// At most.
    #[serde(serialize_with = "super::serialize_duration")]
    pub max_eject_for: Duration,
    /// Of all endpoints, 0 to 100. The last usable one is never taken.
    pub max_eject_percent: u32,
}

impl Default for PassiveHealth {
    fn default() -> Self {
        Self {
            failures: 5,
            statuses: StatusSet::of(&[(502, 504)]),
            eject_for: Duration::from_secs(10),
            max_eject_for: Duration::from_secs(300),
            max_eject_percent: 50,
        }
    }
}

/// An endpoint that fails too often gets nothing for a while, then a few to see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CircuitBreaker {
    /// Of the window's requests, 1 to 100.
    pub failure_percent: u32,
    /// Fewer tell nothing.
    pub min_requests: u32,
    /// How far back it looks.
    #[serde(serialize_with = "super::serialize_duration")]
    pub window: Duration,
    /// Open the first time; it doubles with each further one in a row.
    #[serde(serialize_with = "super::serialize_duration")]
    pub open_for: Duration,
    /// At most.
    #[serde(serialize_with = "super::serialize_duration")]
    pub max_open_for: Duration,
    /// Let through while half-open; all of them good closes it.
    pub half_open_requests: u32,
    /// Answers that are failures, beside connections that fail or die and tries that take too long.
    pub statuses: StatusSet,
    /// An answer whose head takes longer is a failure too.
    #[serde(serialize_with = "super::serialize_optional_duration")]
    pub slower_than: Option<Duration>,
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self {
            failure_percent: 50,
            min_requests: 20,
            window: Duration::from_secs(10),
            open_for: Duration::from_secs(10),
            max_open_for: Duration::from_secs(120),
            half_open_requests: 3,
            statuses: StatusSet::of(&[(500, 599)]),
            slower_than: None,
        }
    }
}

/// A new endpoint's weight grows linearly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SlowStart {
    /// Until it has all of it.
    #[serde(serialize_with = "super::serialize_duration")]
    pub window: Duration,
    /// Where it begins, 1 to 100.
    pub min_percent: u32,
}

impl Default for SlowStart {
    fn default() -> Self {
        Self { window: Duration::from_secs(30), min_percent: 10 }
    }
}

/// How many tries may be added, over ten seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryBudget {
    /// Of the requests.
    pub percent: u32,
    /// So many a second in any case.
    pub min_per_second: u32,
}

impl Default for RetryBudget {
    /// 20 % and 10: a hundred percent failures become at most 1.2 times the requests.
    fn default() -> Self {
        Self { percent: 20, min_per_second: 10 }
    }
}

/// One server address. A URL is one endpoint even if its name has several addresses: they are tried
/// in turn, `localhost` is not two servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// What it is, inside its upstream.
    pub id: EndpointId,
    /// IP address without brackets, or DNS name.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Share of requests beside the other endpoints; 0: nothing new.
    pub weight: u32,
    /// Whether new work may go there.
    pub state: EndpointState,
    /// Where it stands, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

impl Endpoint {
    /// `host:port`, IPv6 in brackets: as it stands in URLs, labels and messages.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// What the description says of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum EndpointState {
    /// Takes new requests.
    Active,
    /// Is going away: running exchanges stay, new ones come only when no active one is left.
    Draining,
}

fn serialize_status<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}
