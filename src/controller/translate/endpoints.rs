//! What stands behind a Service port: slices become the endpoints of an upstream.
//!
//! | seen in a slice | becomes |
//! |---|---|
//! | ready, or nothing said | active |
//! | not ready, but serving and terminating | draining; active if no active one is left |
//! | anything else | left out |
//!
//! Each slice says itself which number the port has, as named target ports differ between pods. The same
//! address and port in two slices (they move between slices while those are rebalanced) is one endpoint
//! in the better state. Of two address families the Service's first counts. `Endpoints` objects count only
//! where a Service has no slices at all. The result is ordered by address: equal input, equal output.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{EndpointAddress, Endpoints, ObjectReference, Service};
use k8s_openapi::api::discovery::v1::{EndpointConditions, EndpointSlice};

use super::services::ServicePort;
use crate::config::{Endpoint, EndpointId, EndpointState};
use crate::controller::world::World;

/// The better state first, then the name, so that the choice between two does not depend on their order.
type Seen = (EndpointState, String);
type ByAddress = BTreeMap<(IpAddr, u16), Seen>;

/// The endpoints behind a Service port, ordered by address.
pub fn endpoints(world: &World, port: &ServicePort) -> Vec<Endpoint> {
    let mut seen = ByAddress::new();
    let slices: Vec<&EndpointSlice> = world.slices(&port.service).map(AsRef::as_ref).collect();
    if slices.is_empty() {
        if let Some(endpoints) = world.endpoints(&port.service) {
            add_endpoints(endpoints, port, &mut seen);
        }
    } else {
        let service = world.service(&port.service.namespace, &port.service.name).map(AsRef::as_ref);
        let family = family(service, &slices);
        for slice in slices.iter().filter(|slice| slice.address_type == family) {
            add_slice(slice, port, &mut seen);
        }
    }
    let is_any_active = seen.values().any(|(state, _)| *state == EndpointState::Active);
    let describe = |((address, port), (state, id)): ((IpAddr, u16), Seen)| Endpoint {
        id: EndpointId::new(id),
        host: address.to_string(),
        port,
        weight: 1,
        state: if is_any_active { state } else { EndpointState::Active },
    };
    seen.into_iter().map(describe).collect()
}

/// Whether something has been said about the servers of a Service. A Service that chooses pods gets its
/// first slice, even an empty one, from the cluster a moment after it was made.
pub fn is_settled(world: &World, service: &Service, port: &ServicePort) -> bool {
    let chooses_pods =
        service.spec.as_ref().and_then(|spec| spec.selector.as_ref()).is_some_and(|selector| !selector.is_empty());
    !chooses_pods || world.slices(&port.service).next().is_some()
}

/// The Service's first family, or, if it has no slice of that, the one that its slices have.
fn family(service: Option<&Service>, slices: &[&EndpointSlice]) -> &'static str {
    let first = service
        .and_then(|service| service.spec.as_ref())
        .and_then(|spec| spec.ip_families.as_ref())
        .and_then(|families| families.first());
    let prefers_v6 = first.is_some_and(|family| family == "IPv6");
    let (wanted, other) = if prefers_v6 { ("IPv6", "IPv4") } else { ("IPv4", "IPv6") };
    if slices.iter().any(|slice| slice.address_type == wanted) { wanted } else { other }
}

fn add_slice(slice: &EndpointSlice, port: &ServicePort, seen: &mut ByAddress) {
    for entry in slice.ports.iter().flatten() {
        let is_it = entry.name.as_deref().unwrap_or_default() == port.name && is_tcp(entry.protocol.as_deref());
        let Some(number) = is_it.then(|| entry.port.map_or(Some(port.fallback), to_port)).flatten() else { continue };
        for endpoint in &slice.endpoints {
            let Some(state) = state(endpoint.conditions.as_ref()) else { continue };
            // Only the first address of an entry has a meaning; Kubernetes itself looks at no other.
            if let Some(address) = endpoint.addresses.first() {
                add(address, number, state, endpoint.target_ref.as_ref(), seen);
            }
        }
    }
}

fn add_endpoints(endpoints: &Endpoints, port: &ServicePort, seen: &mut ByAddress) {
    for subset in endpoints.subsets.iter().flatten() {
        for entry in subset.ports.iter().flatten() {
            let is_it = entry.name.as_deref().unwrap_or_default() == port.name && is_tcp(entry.protocol.as_deref());
            let Some(number) = is_it.then(|| to_port(entry.port)).flatten() else { continue };
            for EndpointAddress { ip, target_ref, .. } in subset.addresses.iter().flatten() {
                add(ip, number, EndpointState::Active, target_ref.as_ref(), seen);
            }
        }
    }
}

fn is_tcp(protocol: Option<&str>) -> bool {
    protocol.is_none_or(|protocol| protocol == "TCP")
}

fn to_port(number: i32) -> Option<u16> {
    u16::try_from(number).ok().filter(|number| *number > 0)
}

fn state(conditions: Option<&EndpointConditions>) -> Option<EndpointState> {
    let Some(conditions) = conditions else { return Some(EndpointState::Active) };
    match (conditions.ready, conditions.serving, conditions.terminating) {
        (None | Some(true), _, _) => Some(EndpointState::Active),
        (Some(false), Some(true), Some(true)) => Some(EndpointState::Draining),
        _ => None,
    }
}

fn add(address: &str, port: u16, state: EndpointState, pod: Option<&ObjectReference>, seen: &mut ByAddress) {
    let Some(address) = address.parse().ok().filter(is_reachable).filter(|_| port > 0) else { return };
    let authority = std::net::SocketAddr::new(address, port).to_string();
    let id = match pod.and_then(|pod| pod.uid.as_deref()) {
        Some(uid) => format!("{authority}/{uid}"),
        None => authority,
    };
    let new = (state, id);
    seen.entry((address, port)).and_modify(|known| *known = new.clone().min(known.clone())).or_insert(new);
}

/// Slices can be written by hand: they may not lead into our own pod or to the node's metadata service.
/// The API server refuses such addresses, too.
fn is_reachable(address: &IpAddr) -> bool {
    let address = address.to_canonical();
    let is_link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    !(address.is_loopback() || address.is_unspecified() || address.is_multicast() || is_link_local)
}
