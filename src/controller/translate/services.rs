//! A Service port, as written in a backend, and the upstream that it is.
//!
//! Routes name Service ports by name or number; both lead to one identity, `namespace/service:port`, in
//! which the port's name stands if it has one. So `http` and `80` are one upstream with one set of health,
//! connections and counters, and a renumbered port keeps them.
//!
//! Looked up here: whether the Service and the port exist. What stands behind the port is read in
//! `endpoints`; that it is empty is no fault of the route.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Service, ServicePort as PortEntry};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::config::nearest::nearest;
use crate::config::spec::ServiceSpec;
use crate::config::{Slug, UpstreamId};
use crate::controller::world::{ObjectName, World};

/// A port of a Service that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// `namespace/service:port`.
    pub id: UpstreamId,
    /// The Service.
    pub service: ObjectName,
    /// The name that its slices give this port, too. Empty for the only port of a Service.
    pub name: String,
    /// What the pods listen on, where slices leave it open: the numeric targetPort, or the port itself.
    pub fallback: u16,
}

/// Why a Service port cannot be used: the kind of problem, and the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// service-missing, port-missing, url-not-allowed or ref-not-permitted.
    pub slug: Slug,
    /// For the person who wrote the line.
    pub message: String,
}

/// What a lookup comes to.
pub type Found = Result<ServicePort, Unusable>;

/// Finds the port of a Service in `namespace`.
///
/// # Errors
/// [`Unusable`], when the Service or the port does not exist, or the Service is only a DNS name.
pub fn find(world: &World, namespace: &str, spec: &ServiceSpec) -> Found {
    let service = world.service(namespace, &spec.name).ok_or_else(|| service_missing(world, namespace, &spec.name))?;
    if is_external_name(service) {
        let target = service.spec.as_ref().and_then(|spec| spec.external_name.as_deref()).unwrap_or_default();
        let message =
            format!("Service {namespace}/{} stands for {target:?}, which is not in cluster.externalHosts", spec.name);
        return Err(Unusable { slug: Slug::UrlNotAllowed, message });
    }
    let entry = find_entry(service, &spec.port).ok_or_else(|| port_missing(service, namespace, spec))?;
    let name = entry.name.clone().unwrap_or_default();
    let label = if name.is_empty() { entry.port.to_string() } else { name.clone() };
    Ok(ServicePort {
        id: UpstreamId::new(format!("{namespace}/{}:{label}", spec.name)),
        service: ObjectName::new(namespace, spec.name.clone()),
        name,
        fallback: fallback_port(entry),
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
