//! An address that the proxy accepts on.

use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;

use super::cidr::Cidr;

/// The port served when nothing is said, as the original gateway had it; needs no root.
pub const DEFAULT_PORT: u16 = 9000;

/// Where clients connect. All workers listen on it, each with a socket of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// Unique among listeners; `protocol-port` if not given.
    pub name: String,
    /// One local address, or all of them in both families when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// TCP port; never 0.
    pub port: u16,
    /// Who the client is.
    #[serde(skip_serializing_if = "super::is_default")]
    pub client_address: ClientAddress,
    /// How paths are read.
    #[serde(skip_serializing_if = "super::is_default")]
    pub paths: PathReading,
    /// What clients may cost.
    #[serde(skip_serializing_if = "super::is_default")]
    pub limits: ListenerLimits,
}

/// Who the client is: the peer, or whom a trusted peer names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientAddress {
    /// Whose `header` is believed, walked from the right to the first address not in here.
    pub trust: Vec<Cidr>,
    /// `x-forwarded-for`, if nothing is said; lower case.
    pub header: String,
}

impl Default for ClientAddress {
    fn default() -> Self {
        Self { trust: Vec::new(), header: "x-forwarded-for".to_owned() }
    }
}

/// How paths are read. Dot segments are resolved and harmless escapes decoded always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PathReading {
    /// `//` stays; else it is `/`.
    pub keeps_slashes: bool,
    /// `%2F` is refused; else it stays and never separates.
    pub rejects_encoded_slash: bool,
}

/// What clients of a listener may cost. Zero durations: no bound.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerLimits {
    /// Bytes of a request head, 64 KiB: holds large cookies, costs little to parse. Over it: 431.
    pub head_bytes: usize,
    /// Header lines, 100. Over it: 431.
    pub headers: usize,
    /// Bytes of a target, 8 KiB. Over it: 414.
    pub uri_bytes: usize,
    /// For a whole head, 10 s: three lost packets fit, slowloris does not. Over it: 408.
    #[serde(serialize_with = "super::serialize_duration")]
    pub head_time: Duration,
    /// Between reads of a body, 30 s. Over it: 408.
    #[serde(serialize_with = "super::serialize_duration")]
    pub body_idle: Duration,
    /// Between writes, 30 s. Over it: closed.
    #[serde(serialize_with = "super::serialize_duration")]
    pub write_idle: Duration,
    /// Of an idle connection, 75 s: above the usual 60 s of load balancers, so that they close first.
    #[serde(serialize_with = "super::serialize_duration")]
    pub keep_alive: Duration,
    /// Bytes of a request body; none: any, as bodies are streamed. Over it: 413.
    pub request_body: Option<u64>,
    /// Connections of this listener; none: 90 % of the descriptors the process may open. Over it: accepting pauses.
    pub connections: Option<u32>,
    /// Connections of one client address (IPv6: /64); none: any. Over it: closed.
    pub connections_per_client: Option<u32>,
    /// 1 h, give or take a tenth: long connections must find new replicas. Then `Connection: close`.
    #[serde(serialize_with = "super::serialize_duration")]
    pub connection_age: Duration,
    /// Requests on one connection; 0: any. Then `Connection: close`.
    pub requests_per_connection: u64,
}

impl Default for ListenerLimits {
    fn default() -> Self {
        Self {
            head_bytes: 64 * 1024,
            headers: 100,
            uri_bytes: 8 * 1024,
            head_time: Duration::from_secs(10),
            body_idle: Duration::from_secs(30),
            write_idle: Duration::from_secs(30),
            keep_alive: Duration::from_secs(75),
            request_body: None,
            connections: None,
            connections_per_client: None,
            connection_age: Duration::from_secs(3600),
            requests_per_connection: 0,
        }
    }
}

impl Listener {
    /// The listener of a description that names none: cleartext HTTP on all addresses, port 9000.
    pub fn default_http() -> Self {
        Self::named_by_port(DEFAULT_PORT)
    }

    /// A cleartext HTTP listener on all addresses, named after its port.
    pub fn named_by_port(port: u16) -> Self {
        Self {
            name: format!("http-{port}"),
            address: None,
            port,
            client_address: ClientAddress::default(),
            paths: PathReading::default(),
            limits: ListenerLimits::default(),
        }
    }
}
