//! An address that the proxy accepts on.

use std::net::IpAddr;

use serde::Serialize;

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
}

impl Listener {
    /// The listener of a description that names none: cleartext HTTP on all addresses, port 9000.
    pub fn default_http() -> Self {
        Self::named_by_port(DEFAULT_PORT)
    }

    /// A cleartext HTTP listener on all addresses, named after its port.
    pub fn named_by_port(port: u16) -> Self {
        Self { name: format!("http-{port}"), address: None, port }
    }
}
