//! Upstreams while they run: their endpoints, connections, load.
//!
//! A [`LiveUpstream`] is found by identity and outlives descriptions. What changes when pods come and go is
//! one thing: its [`EndpointSet`], swapped as a whole. A [`LiveEndpoint`] keeps its identity and what is
//! known about it across such swaps; weights and states belong to the set.
//!
//! The way of a request: [`LiveUpstream::pick`] an endpoint, [`pool::Pool`] gives an idle connection or
//! [`connect`] makes one, [`http1`] carries the exchange, the connection goes back to the pool.

pub mod connect;
pub mod deadline;
pub mod endpoint;
pub mod http1;
pub mod pool;
pub mod probe;

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use crate::config::{Endpoint, EndpointId, EndpointState, Upstream, UpstreamId, UpstreamSettings};
use crate::lb::{Balancer, Candidates, balancer_for};
use crate::observe::metrics::ServiceMetrics;

pub use endpoint::{LiveEndpoint, Load};

/// A group of interchangeable servers, running.
#[derive(Debug)]
pub struct LiveUpstream {
    id: UpstreamId,
    current: ArcSwap<EndpointSet>,
    metrics: Arc<ServiceMetrics>,
}

/// The endpoints of an upstream at one moment, with its settings.
#[derive(Debug)]
pub struct EndpointSet {
    described: Arc<Upstream>,
    members: Vec<Member>,
    /// No active endpoint is left: draining ones serve.
    uses_draining: bool,
    balancer: Box<dyn Balancer>,
}

/// An endpoint as a member of a set.
#[derive(Debug)]
pub struct Member {
    /// The living thing.
    pub endpoint: Arc<LiveEndpoint>,
    /// Share of requests.
    pub weight: u32,
    /// Whether new work may go there.
    pub state: EndpointState,
}

impl LiveUpstream {
    /// Brings an upstream to life.
    pub fn new(described: &Arc<Upstream>, metrics: Arc<ServiceMetrics>) -> Self {
        let empty = EndpointSet::new(Arc::clone(described), Vec::new());
        let upstream = Self { id: described.id.clone(), current: ArcSwap::from_pointee(empty), metrics };
        upstream.update(described);
        upstream
    }

    /// What it is.
    pub fn id(&self) -> &UpstreamId {
        &self.id
    }

    /// Where its requests are counted.
    pub fn metrics(&self) -> &Arc<ServiceMetrics> {
        &self.metrics
    }

    /// Its endpoints and settings now.
    pub fn current(&self) -> Guard<Arc<EndpointSet>> {
        self.current.load()
    }

    /// Takes over a new description. Endpoints that stay keep what is known about them; those that go are
    /// retired: their idle connections close, running exchanges finish.
    pub fn update(&self, described: &Arc<Upstream>) {
        let old = self.current.load();
        if Arc::ptr_eq(&old.described, described) && old.members.len() == described.endpoints.len() {
            return;
        }
        let member = |endpoint| Self::member(&old, described, endpoint);
        let members: Vec<Member> = described.endpoints.iter().map(member).collect();
        for gone in &old.members {
            if !members.iter().any(|member| Arc::ptr_eq(&member.endpoint, &gone.endpoint)) {
                gone.endpoint.retire();
            }
        }
        self.current.store(Arc::new(EndpointSet::new(Arc::clone(described), members)));
    }

    fn member(old: &EndpointSet, upstream: &Upstream, described: &Endpoint) -> Member {
        let endpoint = match old.find(&described.id) {
            Some(known) => Arc::clone(known),
            None => Arc::new(LiveEndpoint::new(upstream, described)),
        };
        Member { endpoint, weight: described.weight, state: described.state }
    }
}

impl Drop for LiveUpstream {
    fn drop(&mut self) {
        for member in &self.current.load().members {
            member.endpoint.retire();
        }
    }
}

impl EndpointSet {
    fn new(described: Arc<Upstream>, members: Vec<Member>) -> Self {
        let is_active = |member: &Member| member.state == EndpointState::Active && member.weight > 0;
        let uses_draining = !members.iter().any(is_active);
        let counts = |member: &Member| uses_draining || member.state == EndpointState::Active;
        let weights: Vec<u32> = members.iter().map(|member| if counts(member) { member.weight } else { 0 }).collect();
        Self { described, uses_draining, balancer: balancer_for(&weights), members }
    }

    /// Knowledge about these servers.
    pub fn settings(&self) -> &UpstreamSettings {
        &self.described.settings
    }

    /// All of them, those too that get nothing new.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The endpoint that goes next, another one than those already tried if there is one.
    pub fn pick(&self, tried: &[Arc<LiveEndpoint>]) -> Option<Arc<LiveEndpoint>> {
        let untried = Untried { set: self, tried };
        let index = self.balancer.next(&untried).or_else(|| match tried {
            [] => None,
            _ => self.balancer.next(&Untried { set: self, tried: &[] }),
        })?;
        self.members.get(index).map(|member| Arc::clone(&member.endpoint))
    }

    fn find(&self, id: &EndpointId) -> Option<&Arc<LiveEndpoint>> {
        self.members.iter().map(|member| &member.endpoint).find(|endpoint| endpoint.id() == id)
    }
}

/// The members of a set, without those already tried for this request.
struct Untried<'a> {
    set: &'a EndpointSet,
    tried: &'a [Arc<LiveEndpoint>],
}

impl Candidates for Untried<'_> {
    fn len(&self) -> usize {
        self.set.members.len()
    }

    fn weight(&self, index: usize) -> u32 {
        match self.set.members.get(index) {
            Some(member) if self.set.uses_draining || member.state == EndpointState::Active => member.weight,
            _ => 0,
        }
    }

    fn is_usable(&self, index: usize) -> bool {
        let Some(member) = self.set.members.get(index) else { return false };
        !self.tried.iter().any(|tried| Arc::ptr_eq(tried, &member.endpoint))
    }
}

#[cfg(test)]
mod tests;
