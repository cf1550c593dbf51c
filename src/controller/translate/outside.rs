//! What lies outside the cluster, and whether an object may have requests sent there.
//!
//! A tenant could otherwise send the gateway to the node's metadata service, to the API server, or to another tenant,
//! past network policies and grants. So a host is reached only if the operator lists it (`cluster.externalHosts`), and an
//! address only if it is outside `cluster.denyAddresses`: the first is asked here, the second here for an address that is
//! written and with each connection for what a name resolves to.

use std::sync::Arc;

use crate::config::Cidr;
use crate::controller::world::World;

/// Whether objects may name this host, in lower case; an IP address without brackets.
///
/// # Errors
/// The text for whoever named it.
pub fn check_host(_world: &World, host: &str) -> Result<(), String> {
    Err(format!("{host} is not in cluster.externalHosts"))
}

/// Where no connection may go that an object or a hand-written slice asks for.
pub fn denied(_world: &World) -> Arc<[Cidr]> {
    Arc::default()
}
