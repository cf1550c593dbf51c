//! A group of interchangeable servers, as described. What runs is `upstream::LiveUpstream`.

use std::time::Duration;

use serde::Serialize;

use super::id::{EndpointId, UpstreamId};

/// 2 s: one lost SYN, resent after 1 s, is survived.
pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// 4 s: below the 5 s at which common servers (Node.js, gunicorn) close an idle connection.
pub const DEFAULT_POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// Idle connections kept to one endpoint by one worker.
pub const DEFAULT_POOL_MAX_IDLE: usize = 100;

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
    /// Knowledge about these servers.
    pub settings: UpstreamSettings,
}

/// What is known about the servers of an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UpstreamSettings {
    /// How long one connection may take to be made.
    #[serde(serialize_with = "super::serialize_duration")]
    pub connect_timeout: Duration,
    /// How long an unused connection is kept.
    #[serde(serialize_with = "super::serialize_duration")]
    pub pool_idle_timeout: Duration,
    /// Unused connections kept for each endpoint and worker.
    pub pool_max_idle: usize,
}

impl Default for UpstreamSettings {
    fn default() -> Self {
        Self {
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            pool_idle_timeout: DEFAULT_POOL_IDLE_TIMEOUT,
            pool_max_idle: DEFAULT_POOL_MAX_IDLE,
        }
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
