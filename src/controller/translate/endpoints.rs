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
//!
//! Slices can be written by hand, and then they name what their author likes. Addresses in the operator's
//! `cluster.denyAddresses` are left out of them ([`Denied`]), as are a few that no slice can mean.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{EndpointAddress, Endpoints, ObjectReference, Service};
use k8s_openapi::api::discovery::v1::{EndpointConditions, EndpointSlice};

use super::services::{Behind, ServicePort};
use crate::config::{Cidr, Endpoint, EndpointId, EndpointState};
use crate::controller::world::{MANAGED_BY_LABEL, World};

/// Keeps the slices of Services with a selector true: what is in them are pods.
const SLICE_CONTROLLER: &str = "endpointslice-controller.k8s.io";

/// One endpoint as seen in one place. The better one is the lesser, so that the choice between two does not depend on
/// their order: state, then name, then a known zone before none.
type Seen = (EndpointState, String, bool, Option<String>);
type ByAddress = BTreeMap<(IpAddr, u16), Seen>;

/// The endpoints behind a Service port, ordered by address.
pub fn endpoints(world: &World, port: &ServicePort, denied: &[Cidr]) -> Vec<Endpoint> {
    match &port.behind {
        Behind::Endpoints { name, fallback } => of_slices(world, port, Port { name, fallback: *fallback }, denied),
        Behind::ClusterIp(address, number) => {
            let host = address.filter(|_| *number > 0).map(|address| address.to_string());
            host.map(|host| single(host, *number)).into_iter().collect()
        }
        Behind::Name(host, number) => vec![single(host.clone(), *number)],
    }
}

/// Whether something has been said about the servers of a Service. A Service that chooses pods gets its
/// first slice, even an empty one, from the cluster a moment after it was made.
pub fn is_settled(world: &World, service: &Service, port: &ServicePort) -> bool {
    let needs_slices = matches!(port.behind, Behind::Endpoints { .. }) && chooses_pods(service);
    !needs_slices || world.slices(&port.service).next().is_some()
}

fn chooses_pods(service: &Service) -> bool {
    service.spec.as_ref().and_then(|spec| spec.selector.as_ref()).is_some_and(|selector| !selector.is_empty())
}

/// An upstream of one server.
fn single(host: String, port: u16) -> Endpoint {
    let id = EndpointId::new("");
    let mut endpoint = Endpoint { id, host, port, weight: 1, state: EndpointState::Active, zone: None };
    endpoint.id = EndpointId::new(endpoint.authority());
    endpoint
}

fn of_slices(world: &World, of: &ServicePort, port: Port<'_>, denied: &[Cidr]) -> Vec<Endpoint> {
    let service = world.service(&of.service.namespace, &of.service.name).map(AsRef::as_ref);
    let mut found = Gathered { seen: ByAddress::new(), denied: Denied(denied) };
    let slices: Vec<&EndpointSlice> = world.slices(&of.service).map(AsRef::as_ref).collect();
    if slices.is_empty() {
        if let Some(endpoints) = world.endpoints(&of.service) {
            found.add_endpoints(endpoints, port);
        }
    } else {
        let family = family(service, &slices);
        for slice in slices.iter().filter(|slice| slice.address_type == family) {
            let is_of_controller = service.is_some_and(chooses_pods) && is_of_controller(slice);
            found.denied = Denied(if is_of_controller { &[] } else { denied });
            found.add_slice(slice, port);
        }
    }
    let is_any_active = found.seen.values().any(|(state, ..)| *state == EndpointState::Active);
    let describe = |((address, port), (state, id, _, zone)): ((IpAddr, u16), Seen)| Endpoint {
        id: EndpointId::new(id),
        host: address.to_string(),
        port,
        weight: 1,
        state: if is_any_active { state } else { EndpointState::Active },
        zone,
    };
    found.seen.into_iter().map(describe).collect()
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

/// The label alone proves nothing, as anybody may write it. Together with a selector it does: then the controller takes
/// the slice for its own, and puts it right or removes it.
fn is_of_controller(slice: &EndpointSlice) -> bool {
    let labels = slice.metadata.labels.as_ref();
    labels.and_then(|labels| labels.get(MANAGED_BY_LABEL)).is_some_and(|manager| manager == SLICE_CONTROLLER)
}

/// The port that is looked for in slices.
#[derive(Clone, Copy)]
struct Port<'a> {
    name: &'a str,
    fallback: u16,
}

impl Port<'_> {
    fn is_it(self, name: Option<&str>, protocol: Option<&str>) -> bool {
        name.unwrap_or_default() == self.name && protocol.is_none_or(|protocol| protocol == "TCP")
    }
}

/// Where hand-written slices may not lead.
#[derive(Clone, Copy)]
struct Denied<'a>(&'a [Cidr]);

impl Denied<'_> {
    /// Apart from the operator's list: into our own pod, to the node's metadata service, or to nobody in particular. The
    /// API server refuses such addresses, too.
    fn permits(self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let is_link_local = match address {
            IpAddr::V4(address) => address.is_link_local(),
            IpAddr::V6(address) => address.is_unicast_link_local(),
        };
        let is_nowhere = address.is_loopback() || address.is_unspecified() || address.is_multicast() || is_link_local;
        !is_nowhere && !self.0.iter().any(|range| range.contains(address))
    }
}

/// What was found so far.
struct Gathered<'a> {
    seen: ByAddress,
    denied: Denied<'a>,
}

impl Gathered<'_> {
    fn add_slice(&mut self, slice: &EndpointSlice, port: Port<'_>) {
        for entry in slice.ports.iter().flatten() {
            if !port.is_it(entry.name.as_deref(), entry.protocol.as_deref()) {
                continue;
            }
            let Some(number) = entry.port.map_or(Some(port.fallback), to_port) else { continue };
            for endpoint in &slice.endpoints {
                let Some(state) = state(endpoint.conditions.as_ref()) else { continue };
                // Only the first address of an entry has a meaning; Kubernetes itself looks at no other.
                if let Some(address) = endpoint.addresses.first() {
                    self.add(address, number, state, endpoint.target_ref.as_ref(), endpoint.zone.as_ref());
                }
            }
        }
    }

    fn add_endpoints(&mut self, endpoints: &Endpoints, port: Port<'_>) {
        for subset in endpoints.subsets.iter().flatten() {
            for entry in subset.ports.iter().flatten() {
                let is_it = port.is_it(entry.name.as_deref(), entry.protocol.as_deref());
                let Some(number) = is_it.then(|| to_port(entry.port)).flatten() else { continue };
                for EndpointAddress { ip, target_ref, .. } in subset.addresses.iter().flatten() {
                    self.add(ip, number, EndpointState::Active, target_ref.as_ref(), None);
                }
            }
        }
    }

    fn add(
        &mut self,
        address: &str,
        port: u16,
        state: EndpointState,
        pod: Option<&ObjectReference>,
        zone: Option<&String>,
    ) {
        let address = address.parse().ok().filter(|address| self.denied.permits(*address));
        let Some(address) = address.filter(|_| port > 0) else { return };
        let authority = std::net::SocketAddr::new(address, port).to_string();
        let id = match pod.and_then(|pod| pod.uid.as_deref()) {
            Some(uid) => format!("{authority}/{uid}"),
            None => authority,
        };
        let zone = zone.filter(|zone| !zone.is_empty()).cloned();
        let new = (state, id, zone.is_none(), zone);
        self.seen.entry((address, port)).and_modify(|known| *known = new.clone().min(known.clone())).or_insert(new);
    }
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
