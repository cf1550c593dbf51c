//! One server address while it runs.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use crate::config::{Endpoint, EndpointId, Upstream};

/// What is known about an endpoint, whatever the settings around it. Shared by all workers.
#[derive(Debug)]
pub struct LiveEndpoint {
    id: EndpointId,
    number: u64,
    address: Address,
    label: String,
    in_flight: AtomicUsize,
    is_retired: AtomicBool,
}

/// Where to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An IP address.
    Socket(SocketAddr),
    /// A DNS name, looked up for each connection.
    Name(String, u16),
}

impl LiveEndpoint {
    /// Brings an endpoint to life.
    pub fn new(upstream: &Upstream, described: &Endpoint) -> Self {
        // Numbers are for pools only: unique in the process, never shown.
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let address = match described.host.parse::<IpAddr>() {
            Ok(ip) => Address::Socket(SocketAddr::new(ip, described.port)),
            Err(_) => Address::Name(described.host.clone(), described.port),
        };
        let authority = described.authority();
        let label = if upstream.is_of_urls { authority } else { format!("{}/{authority}", upstream.id) };
        Self {
            id: described.id.clone(),
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            address,
            label,
            in_flight: AtomicUsize::new(0),
            is_retired: AtomicBool::new(false),
        }
    }

    /// What it is, inside its upstream.
    pub fn id(&self) -> &EndpointId {
        &self.id
    }

    /// Unique in this process.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Where to connect.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The `backend` label.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Exchanges running there now.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Whether no description names it any more.
    pub fn is_retired(&self) -> bool {
        self.is_retired.load(Ordering::Relaxed)
    }

    pub(super) fn retire(&self) {
        self.is_retired.store(true, Ordering::Relaxed);
    }

    /// Counts an exchange for as long as the guard lives.
    pub fn begin(self: &Arc<Self>) -> Load {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Load { endpoint: Arc::clone(self) }
    }
}

/// One exchange at an endpoint; given back on drop, with the last byte of the body.
#[derive(Debug)]
pub struct Load {
    endpoint: Arc<LiveEndpoint>,
}

impl Load {
    /// Where it runs.
    pub fn endpoint(&self) -> &Arc<LiveEndpoint> {
        &self.endpoint
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.endpoint.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
