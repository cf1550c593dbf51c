//! Upstreams while they run: their endpoints, connections, load, and what is known about their health.
//!
//! A [`LiveUpstream`] is found by identity and outlives descriptions. What changes when pods come and go is
//! one thing: its [`EndpointSet`], swapped as a whole. A [`LiveEndpoint`] keeps its identity and what is
//! known about it (health, breaker, latency, load) across such swaps; weights and states belong to the set.
//!
//! Rules choose how endpoints are picked, and several rules may choose alike: a [`Choice`] is held by all rules that do,
//! and every set has a balancer for each choice that somebody holds. So two rules with round robin move one cursor.
//!
//! The way of a request: room in the upstream, [`EndpointSet::pick`] an endpoint and take its [`Permit`],
//! [`pool::Pool`] gives an idle connection or [`connect`] makes one, [`http1`] carries the exchange, the connection
//! goes back to the pool, the permit is settled with what came of it.

pub mod connect;
pub mod deadline;
pub mod endpoint;
pub mod http1;
pub mod permit;
pub mod pool;
pub mod probe;
pub mod resolve;
pub mod set;
mod spare;

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use arc_swap::{ArcSwap, Guard};

use crate::circuitbreaker::budget::RetryBudget;
use crate::circuitbreaker::limits::Room;
use crate::config::traffic::{Algorithm, LoadBalancer, ZoneUse};
use crate::config::{Endpoint, Upstream, UpstreamId};
use crate::health::{Ejections, Rest};
use crate::observe::metrics::ServiceMetrics;

pub use endpoint::LiveEndpoint;
use probe::ProbeTarget;

pub use permit::{Outcome, Permit};
pub use set::{Avoided, EndpointSet, Member, NoEndpoint};

/// A group of interchangeable servers, running.
#[derive(Debug)]
pub struct LiveUpstream {
    id: UpstreamId,
    current: ArcSwap<EndpointSet>,
    /// Locked by changes only; a choice that nobody holds leaves its place to the next one.
    choices: Mutex<Vec<Weak<Choice>>>,
    metrics: Arc<ServiceMetrics>,
    /// Where we run, if that is known.
    zone: Option<Box<str>>,
    ejections: Ejections,
    /// Requests running and waiting, all rules together.
    pub room: Arc<Room>,
    /// Tries added, all rules together.
    pub budget: RetryBudget,
}

/// A way of choosing among the endpoints of one upstream. While somebody holds it, every set has a balancer for it.
#[derive(Debug)]
pub struct Choice {
    number: usize,
    how: LoadBalancer,
}

impl Choice {
    /// How.
    pub fn algorithm(&self) -> &Algorithm {
        &self.how.algorithm
    }

    /// Whether the own zone comes first, in this upstream.
    fn prefers_zone(&self, described: &Upstream) -> bool {
        self.how.zone.map_or(described.prefers_zone, |zone| zone == ZoneUse::Prefer)
    }

    fn number(&self) -> usize {
        self.number
    }
}

impl LiveUpstream {
    /// Brings an upstream to life, as seen from this zone.
    pub fn new(described: &Arc<Upstream>, metrics: Arc<ServiceMetrics>, zone: Option<&str>) -> Self {
        let empty = EndpointSet::empty(Arc::clone(described));
        let upstream = Self {
            id: described.id.clone(),
            current: ArcSwap::from_pointee(empty),
            choices: Mutex::default(),
            metrics,
            zone: zone.map(Into::into),
            ejections: Ejections::default(),
            room: Arc::default(),
            budget: RetryBudget::default(),
        };
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

    /// This choice, for as long as it is held; the same for everybody who asks alike.
    pub fn choice(&self, how: &LoadBalancer) -> Arc<Choice> {
        let mut choices = self.choices.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = choices.iter().filter_map(Weak::upgrade).find(|known| known.how == *how) {
            return known;
        }
        let free = choices.iter().position(|choice| choice.strong_count() == 0);
        let number = free.unwrap_or(choices.len());
        let choice = Arc::new(Choice { number, how: how.clone() });
        match choices.get_mut(number) {
            Some(place) => *place = Arc::downgrade(&choice),
            None => choices.push(Arc::downgrade(&choice)),
        }
        let old = self.current.load();
        self.current.store(Arc::new(old.with_choice(&choice, self.zone.as_deref())));
        choice
    }

    /// Takes over a new description. Endpoints that stay keep what is known about them; those that go are
    /// retired: their idle connections close, running exchanges finish.
    pub fn update(&self, described: &Arc<Upstream>) {
        let choices = self.choices.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.current.load();
        if Arc::ptr_eq(old.described(), described) && old.members().len() == described.endpoints.len() {
            return;
        }
        let now = Instant::now();
        let member = |endpoint| self.member(&old, described, endpoint, now);
        let members: Vec<Member> = described.endpoints.iter().map(member).collect();
        for gone in old.members() {
            if !members.iter().any(|member| Arc::ptr_eq(&member.endpoint, &gone.endpoint)) {
                gone.endpoint.retire();
            }
        }
        let held: Vec<Option<Arc<Choice>>> = choices.iter().map(Weak::upgrade).collect();
        for member in &members {
            member.endpoint.health().adopt(&described.settings);
        }
        self.current.store(Arc::new(EndpointSet::new(
            Arc::clone(described),
            members,
            &held,
            &old,
            self.zone.as_deref(),
        )));
        // Limits may be higher, endpoints may be new.
        self.room.look_again();
    }

    fn member(&self, old: &EndpointSet, upstream: &Upstream, described: &Endpoint, now: Instant) -> Member {
        let endpoint = match old.find(&described.id) {
            Some(known) => Arc::clone(known),
            None => Arc::new(LiveEndpoint::new(upstream, described, &self.room, now)),
        };
        Member {
            endpoint,
            weight: described.weight,
            state: described.state,
            zone: described.zone.as_deref().map(Into::into),
        }
    }
}

impl LiveUpstream {
    /// Its endpoints, if they are probed.
    pub fn probed(&self) -> Vec<ProbeTarget> {
        let set = self.current.load();
        let Some(settings) = &set.settings().active_health else { return Vec::new() };
        let settings = Arc::new(settings.clone());
        let denied = &set.described().denied;
        let target = |member: &Member| ProbeTarget {
            denied: Arc::clone(denied),
            number: member.endpoint.number(),
            address: member.endpoint.address().clone(),
            authority: member.endpoint.authority().to_owned(),
            settings: Arc::clone(&settings),
            health: Arc::clone(member.endpoint.health()),
        };
        set.members().iter().map(target).collect()
    }

    /// What a try teaches about the health and latency of its endpoint; whether its answer is a good one so far.
    fn learn(&self, endpoint: &LiveEndpoint, outcome: Outcome, now: Instant) -> bool {
        let set = self.current.load();
        if let Outcome::Answered(_, took) = outcome {
            endpoint.latency().record(took, now);
        }
        let Some(passive) = &set.settings().passive_health else { return false };
        let is_failure = match outcome {
            Outcome::Answered(status, _) => passive.statuses.contains(status),
            Outcome::Failed => true,
        };
        if !is_failure {
            return true;
        }
        let look = || Rest::of(set.others(endpoint).map(|other| &**other.health()), now);
        let ejected = endpoint.health().passive().record_failure(passive, now, &self.ejections, look);
        if let Some(ejected) = ejected {
            tracing::warn!(backend = endpoint.label(), seconds = ejected.as_secs_f64(), "failed too often, left alone");
        }
        false
    }
}

impl Drop for LiveUpstream {
    fn drop(&mut self) {
        for member in self.current.load().members() {
            member.endpoint.retire();
        }
    }
}

#[cfg(test)]
mod tests;
