//! What lies outside the cluster, and whether an object may have requests sent there.
//!
//! A tenant could otherwise send the gateway to the node's metadata service, to the API server, or to another tenant,
//! past network policies and grants. So a host is reached only if the operator lists it (`cluster.externalHosts`), and an
//! address only if it is outside `cluster.denyAddresses`. A name may resolve to anything, so the second is asked with
//! every connection, by `upstream`; what is written as an address is judged here as well, where its author sees it.
//!
//! Where the operator says nothing, denied are [`NOWHERE`], the API server (the addresses of the Service
//! `default/kubernetes`, and the one we were given at the start) and the own pods: a loop through ourselves would be the
//! least of what could be made of our own ports.

use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::discovery::v1::EndpointSlice;

use crate::config::{Cidr, Terms};
use crate::controller::world::{ObjectName, World};

/// Ranges that are nobody's server: this machine, this link, no address at all; in IPv6 with the old form of IPv4 in it.
const NOWHERE: [&str; 5] = ["0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "::/96", "fe80::/10"];

/// Whether objects may name this host, in lower case; an IP address without brackets.
///
/// # Errors
/// The text for whoever named it.
pub fn check_host(terms: &Terms, host: &str) -> Result<(), String> {
    let address = host.parse::<IpAddr>().ok().map(|address| address.to_canonical());
    let usual =
        address.map_or_else(|| host.strip_suffix('.').unwrap_or(host).to_owned(), |address| address.to_string());
    if !terms.cluster.permits_external(&usual) {
        return Err(format!("{host} is not in cluster.externalHosts"));
    }
    let is_denied = |address: &IpAddr| match &terms.cluster.deny_addresses {
        Some(written) => written.iter().any(|range| range.contains(*address)),
        None => nowhere().any(|range| range.contains(*address)),
    };
    if address.as_ref().is_some_and(is_denied) {
        return Err(format!("{host} is in cluster.denyAddresses"));
    }
    Ok(())
}

/// Where no connection may go that an object or a hand-written slice asks for. `earlier` is given back if it says the same.
pub fn denied(world: &World, earlier: &Arc<[Cidr]>) -> Arc<[Cidr]> {
    let mut denied: Vec<Cidr> = match &world.operator.terms.cluster.deny_addresses {
        Some(written) => written.clone(),
        None => nowhere().chain(addresses_of_api_server(world)).chain(addresses_of_own_pods(world)).collect(),
    };
    denied.sort_unstable();
    denied.dedup();
    if **earlier == *denied { Arc::clone(earlier) } else { denied.into() }
}

fn nowhere() -> impl Iterator<Item = Cidr> {
    NOWHERE.iter().filter_map(|range| Cidr::parse(range).ok())
}

fn addresses_of_api_server(world: &World) -> Vec<Cidr> {
    let name = ObjectName::new("default", "kubernetes");
    let service = world.service(&name.namespace, &name.name).and_then(|service| service.spec.as_ref());
    let of_service = service.into_iter().flat_map(|spec| spec.cluster_ips.iter().flatten());
    let of_slices = world.slices(&name).flat_map(|slice| addresses(slice));
    let addresses = of_service.chain(of_slices).filter_map(|address| Cidr::parse(address).ok());
    addresses.chain(world.own.api_server).collect()
}

/// All pods of the Services that have the own pod among theirs.
fn addresses_of_own_pods(world: &World) -> Vec<Cidr> {
    let Some(own) = &world.own.pod else { return Vec::new() };
    let services = world.slices_of_namespace(&own.namespace);
    let of_own = services.filter(|slices| slices.values().any(|slice| has_pod(slice, &own.name)));
    let addresses = of_own.flat_map(|slices| slices.values().flat_map(|slice| addresses(slice)));
    addresses.filter_map(|address| Cidr::parse(address).ok()).collect()
}

fn has_pod(slice: &EndpointSlice, name: &str) -> bool {
    let mut pods = slice.endpoints.iter().filter_map(|endpoint| endpoint.target_ref.as_ref());
    pods.any(|pod| pod.kind.as_deref() == Some("Pod") && pod.name.as_deref() == Some(name))
}

fn addresses(slice: &EndpointSlice) -> impl Iterator<Item = &String> {
    slice.endpoints.iter().flat_map(|endpoint| &endpoint.addresses)
}
