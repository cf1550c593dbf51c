//! Upstreams that are Service ports, each remembered with all that it was made of.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Endpoints, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;

use super::services::{Behind, ServicePort};
use super::{are_same, are_same_option, endpoints};
use crate::config::{Cidr, Upstream, UpstreamSettings};
use crate::controller::world::World;

/// An upstream with all that it was made of.
#[derive(Debug)]
pub struct RememberedUpstream {
    /// What it was made of.
    pub from: UpstreamInput,
    /// What came of it.
    pub upstream: Arc<Upstream>,
}

/// Everything that an upstream depends on.
#[derive(Debug)]
pub struct UpstreamInput {
    port: ServicePort,
    settings: UpstreamSettings,
    denied: Arc<[Cidr]>,
    service: Option<Arc<Service>>,
    slices: Vec<Arc<EndpointSlice>>,
    endpoints: Option<Arc<Endpoints>>,
}

impl UpstreamInput {
    /// Looks it up.
    pub fn gather(world: &World, port: &ServicePort, settings: UpstreamSettings, denied: &Arc<[Cidr]>) -> Self {
        Self {
            port: port.clone(),
            settings,
            denied: Arc::clone(denied),
            service: world.service(&port.service.namespace, &port.service.name).cloned(),
            slices: world.slices(&port.service).cloned().collect(),
            endpoints: world.endpoints(&port.service).cloned(),
        }
    }

    /// Whether the same would come of it.
    pub fn is_same(&self, other: &Self) -> bool {
        self.port == other.port
            && self.settings == other.settings
            && self.denied == other.denied
            && are_same_option(self.service.as_ref(), other.service.as_ref())
            && are_same(&self.slices, &other.slices)
            && are_same_option(self.endpoints.as_ref(), other.endpoints.as_ref())
    }
}

/// Makes the upstream; the earlier one if it is equal.
pub fn build(world: &World, from: UpstreamInput, earlier: Option<&Arc<Upstream>>) -> RememberedUpstream {
    let mut settings = from.settings.clone();
    // The cluster's address is no server, and what answers there is another one each time.
    if matches!(from.port.behind, Behind::ClusterIp(..)) {
        settings = UpstreamSettings { active_health: None, passive_health: None, slow_start: None, ..settings };
    }
    // Addresses were looked at when they were gathered; a name is looked at with each connection.
    let is_name = matches!(from.port.behind, Behind::Name(..));
    let upstream = Upstream {
        id: from.port.id.clone(),
        label: from.port.id.to_string(),
        is_of_urls: false,
        endpoints: endpoints::endpoints(world, &from.port, &from.denied),
        prefers_zone: from.port.prefers_zone,
        denied: if is_name { Arc::clone(&from.denied) } else { Arc::default() },
        settings: settings.into(),
    };
    let upstream = match earlier {
        Some(earlier) if **earlier == upstream => Arc::clone(earlier),
        _ => Arc::new(upstream),
    };
    RememberedUpstream { from, upstream }
}
