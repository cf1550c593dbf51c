//! A Service port, as written in a backend, and the upstream that it is.
//!
//! Routes name Service ports by name or number; both lead to one identity, `namespace/service:port`, in
//! which the port's name stands if it has one. So `http` and `80` are one upstream with one set of health,
//! connections and counters, and a renumbered port keeps them.
//!
//! Looked up here: whether the Service and the port exist, what is spoken there, and what kind of thing stands behind:
//!
//! | the Service is | behind it |
//! |---|---|
//! | any with pods or written slices, headless or not | its endpoints, read in `endpoints`; that there are none is no fault of the route |
//! | the same, asked for with `via: clusterIP` | the one address that the cluster balances, as another upstream: nothing learnt of pods holds for it |
//! | an ExternalName | a DNS name, if the operator permits it |
//!
//! What a Service says and Sluice does not obey is told as a [`Warning`], since somebody meant something by it.

use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Service, ServicePort as PortEntry};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::config::nearest::nearest;
use crate::config::spec::{ServiceSpec, ViaSpec};
use crate::config::{Slug, UpstreamId};
use crate::controller::world::{ObjectName, World};

use super::{outside, protocol};

/// A port of a Service that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// `namespace/service:port`; with `/clusterIP` after it for the cluster's address.
    pub id: UpstreamId,
    /// Whose settings hold for it: `namespace/service:port`.
    pub settings_of: UpstreamId,
    /// The Service.
    pub service: ObjectName,
    /// Where its requests go.
    pub behind: Behind,
    /// Whether they are to stay in their zone, by the Service's trafficDistribution.
    pub prefers_zone: bool,
    /// What the Service says and is not obeyed.
    pub warnings: Vec<Warning>,
}

/// What stands behind a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Behind {
    /// What its slices name.
    Endpoints {
        /// The name that its slices give this port, too. Empty for the only port of a Service.
        name: String,
        /// What the pods listen on, where slices leave it open: the numeric targetPort, or the port itself.
        fallback: u16,
    },
    /// The address that the cluster gave the Service; none yet, if it is new.
    ClusterIp(Option<IpAddr>, u16),
    /// A DNS name.
    Name(String, u16),
}

/// Something that a Service says and that does not count here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// app-protocol or session-affinity.
    pub slug: Slug,
    /// For whoever uses the Service.
    pub message: String,
}

/// Why a Service port cannot be used: the kind of problem, and the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// service-missing, port-missing, app-protocol, headless-clusterip, url-not-allowed or ref-not-permitted.
    pub slug: Slug,
    /// For the person who wrote the line.
    pub message: String,
}

/// What a lookup comes to.
pub type Found = Result<ServicePort, Unusable>;

/// Finds the port of a Service in `namespace`.
///
/// # Errors
/// [`Unusable`], when the Service or the port does not exist, or nothing there may be or can be spoken to.
pub fn find(world: &World, namespace: &str, spec: &ServiceSpec) -> Found {
    let service = world.service(namespace, &spec.name).ok_or_else(|| service_missing(world, namespace, &spec.name))?;
    if is_external_name(service) {
        return find_external(world, service, namespace, spec);
    }
    let entry = find_entry(service, &spec.port).ok_or_else(|| port_missing(service, namespace, spec))?;
    let name = entry.name.clone().unwrap_or_default();
    let label = if name.is_empty() { entry.port.to_string() } else { name.clone() };
    let settings_of = UpstreamId::new(format!("{namespace}/{}:{label}", spec.name));
    let mut warnings = Vec::new();
    warnings.extend(protocol::check(entry, &settings_of)?);
    warnings.extend(affinity_warning(service, namespace));
    let (id, behind) = match spec.via.unwrap_or_default() {
        ViaSpec::Endpoints => (settings_of.clone(), Behind::Endpoints { name, fallback: fallback_port(entry) }),
        ViaSpec::ClusterIp => {
            let address = cluster_ip(service, namespace)?;
            let behind = Behind::ClusterIp(address, u16::try_from(entry.port).unwrap_or(0));
            (UpstreamId::new(format!("{settings_of}/clusterIP")), behind)
        }
    };
    Ok(ServicePort {
        id,
        settings_of,
        service: ObjectName::new(namespace, spec.name.clone()),
        prefers_zone: prefers_zone(service) && matches!(behind, Behind::Endpoints { .. }),
        behind,
        warnings,
    })
}

/// The address that the cluster balances.
fn cluster_ip(service: &Service, namespace: &str) -> Result<Option<IpAddr>, Unusable> {
    match service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref()) {
        Some("None") => {
            let name = service.metadata.name.as_deref().unwrap_or_default();
            let message = format!("Service {namespace}/{name} is headless, and a headless Service has no cluster IP");
            Err(Unusable { slug: Slug::HeadlessClusterIp, message })
        }
        address => Ok(address.and_then(|address| address.parse().ok())),
    }
}

/// Its node is too small a place for a preference: it is the zone's.
fn prefers_zone(service: &Service) -> bool {
    let wanted = service.spec.as_ref().and_then(|spec| spec.traffic_distribution.as_deref());
    matches!(wanted, Some("PreferClose" | "PreferSameZone" | "PreferSameNode"))
}

fn affinity_warning(service: &Service, namespace: &str) -> Option<Warning> {
    let affinity = service.spec.as_ref().and_then(|spec| spec.session_affinity.as_deref());
    (affinity == Some("ClientIP")).then(|| {
        let name = service.metadata.name.as_deref().unwrap_or_default();
        let message = format!(
            "sessionAffinity ClientIP of Service {namespace}/{name} does not count here: affinity is a rule's sticky (not supported yet), or loadBalancer: {{algorithm: consistentHash, hashOn: [clientAddress]}}"
        );
        Warning { slug: Slug::SessionAffinity, message }
    })
}

/// A DNS name with the port that is given: such a Service needs no list of ports, but may have one.
fn find_external(world: &World, service: &Service, namespace: &str, spec: &ServiceSpec) -> Found {
    let target = service.spec.as_ref().and_then(|spec| spec.external_name.as_deref()).unwrap_or_default();
    let target = target.to_ascii_lowercase();
    let given = match &spec.port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(text) => {
            text.parse().ok().or_else(|| find_entry(service, &spec.port).map(|entry| entry.port))
        }
    };
    let number = given.and_then(|number| u16::try_from(number).ok()).filter(|number| *number > 0);
    let number = number.ok_or_else(|| port_missing(service, namespace, spec))?;
    outside::check_host(&world.operator.terms, &target).map_err(|why| {
        let message = format!("Service {namespace}/{} is an ExternalName: {why}", spec.name);
        Unusable { slug: Slug::UrlNotAllowed, message }
    })?;
    let id = UpstreamId::new(format!("{namespace}/{}:{number}", spec.name));
    Ok(ServicePort {
        id: id.clone(),
        settings_of: id,
        service: ObjectName::new(namespace, spec.name.clone()),
        behind: Behind::Name(target, number),
        prefers_zone: false,
        warnings: Vec::new(),
    })
}

fn is_external_name(service: &Arc<Service>) -> bool {
    service.spec.as_ref().and_then(|spec| spec.type_.as_deref()) == Some("ExternalName")
}

/// TCP only: nothing else carries HTTP here, and one number may be given for both TCP and UDP.
fn entries(service: &Service) -> impl Iterator<Item = &PortEntry> {
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    ports.iter().filter(|port| port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP"))
}

/// `"8080"` is a number, too. A port without a name goes by its number only.
fn find_entry<'s>(service: &'s Service, wanted: &IntOrString) -> Option<&'s PortEntry> {
    let number = match wanted {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(text) => text.parse::<i32>().ok(),
    };
    entries(service).find(|entry| match (number, wanted) {
        (Some(number), _) => entry.port == number,
        (None, IntOrString::String(name)) => entry.name.as_ref().is_some_and(|own| !own.is_empty() && own == name),
        (None, IntOrString::Int(_)) => false,
    })
}

fn fallback_port(entry: &PortEntry) -> u16 {
    let target = match &entry.target_port {
        Some(IntOrString::Int(number)) => *number,
        Some(IntOrString::String(text)) => text.parse().unwrap_or(entry.port),
        None => entry.port,
    };
    u16::try_from(target).unwrap_or(0)
}

fn service_missing(world: &World, namespace: &str, name: &str) -> Unusable {
    let known = world.services(namespace).map(|services| services.keys().map(String::as_str));
    let hint = known.and_then(|known| nearest(name, known));
    let message = match hint {
        Some(hint) => format!("Service {namespace}/{name} not found: did you mean {hint}?"),
        None => format!("Service {namespace}/{name} not found"),
    };
    Unusable { slug: Slug::ServiceMissing, message }
}

fn port_missing(service: &Service, namespace: &str, spec: &ServiceSpec) -> Unusable {
    let wanted = match &spec.port {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(text) => format!("{text:?}"),
    };
    let known: Vec<String> = entries(service)
        .map(|entry| match entry.name.as_deref() {
            None | Some("") => entry.port.to_string(),
            Some(name) => format!("{name} ({})", entry.port),
        })
        .collect();
    let known = if known.is_empty() { "no TCP ports".to_owned() } else { known.join(", ") };
    let message = format!("Service {namespace}/{} has no port {wanted}; it has {known}", spec.name);
    Unusable { slug: Slug::PortMissing, message }
}
