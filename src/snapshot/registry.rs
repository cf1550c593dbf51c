//! The living things that outlast snapshots, found by identity.
//!
//! A description names an upstream; the registry says which running one that is. While a name stays in the
//! description its upstream stays, with all it knows, whatever else changes. When the name goes, the upstream
//! is let go: exchanges that still run hold it, idle connections close.
//!
//! Limiters and gates live as long as a plan holds them: the next snapshot's plans are made before those of the last
//! are gone, so a limit that is in both keeps its counts, whatever else changed. What is looked for is where a limit is
//! written and its name, so a policy's limit is one for all its users.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use crate::config::traffic::{Concurrency, RateLimit};
use crate::config::{Gateway, LimiterId, UpstreamId};
use crate::observe::metrics::{Backend, Metrics};
use crate::ratelimit::Limiter;
use crate::ratelimit::concurrency::Gate;
use crate::upstream::LiveUpstream;
use crate::upstream::probe::ProbeTarget;

/// All that lives.
#[derive(Debug)]
pub struct Registry {
    upstreams: Mutex<HashMap<UpstreamId, Arc<LiveUpstream>>>,
    limiters: Mutex<HashMap<LimiterId, Weak<Limiter>>>,
    gates: Mutex<HashMap<LimiterId, Weak<Gate>>>,
    /// Keys of one limiter at most.
    max_keys: AtomicUsize,
    metrics: Arc<Metrics>,
}

impl Registry {
    /// An empty one, counting into `metrics`.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            upstreams: Mutex::default(),
            limiters: Mutex::default(),
            gates: Mutex::default(),
            max_keys: AtomicUsize::new(Gateway::default().rate_limit_keys),
            metrics,
        }
    }

    /// Brings what lives in line with what is described: new upstreams begin, known ones take over their new
    /// endpoints and settings, those no longer described go.
    pub fn adopt(&self, gateway: &Gateway) {
        self.max_keys.store(gateway.rate_limit_keys, Ordering::Relaxed);
        lock(&self.limiters).retain(|_, limiter| limiter.strong_count() > 0);
        lock(&self.gates).retain(|_, gate| gate.strong_count() > 0);
        let mut upstreams = lock(&self.upstreams);
        let mut next = HashMap::with_capacity(gateway.upstreams.len());
        for upstream in &gateway.upstreams {
            let live = match upstreams.remove(&upstream.id) {
                // A label cannot change without the identity, but for routes that are renamed.
                Some(known) if known.metrics().label() == upstream.label => {
                    known.update(upstream);
                    known
                }
                _ => Arc::new(LiveUpstream::new(upstream, self.metrics.service(&upstream.label))),
            };
            next.insert(upstream.id.clone(), live);
        }
        *upstreams = next;
    }

    /// The living upstream of this name.
    pub fn find(&self, id: &UpstreamId) -> Option<Arc<LiveUpstream>> {
        lock(&self.upstreams).get(id).cloned()
    }

    /// The limiter of this limit, with the counts it has.
    pub fn limiter(&self, limit: &RateLimit) -> Arc<Limiter> {
        let mut limiters = lock(&self.limiters);
        let known = limiters.get(&limit.id).and_then(Weak::upgrade).filter(|known| known.is_same_kind(limit));
        if let Some(known) = known {
            known.update(limit, Instant::now());
            return known;
        }
        let limiter = Arc::new(Limiter::new(limit, self.max_keys.load(Ordering::Relaxed), Instant::now()));
        limiters.insert(limit.id.clone(), Arc::downgrade(&limiter));
        limiter
    }

    /// The gate of this limit, with those who are inside.
    pub fn gate(&self, limit: &Concurrency) -> Arc<Gate> {
        let mut gates = lock(&self.gates);
        if let Some(known) = gates.get(&limit.id).and_then(Weak::upgrade).filter(|known| known.is_same_kind(limit)) {
            known.update(limit);
            return known;
        }
        let gate = Gate::new(limit);
        gates.insert(limit.id.clone(), Arc::downgrade(&gate));
        gate
    }

    /// Has limiters forget keys that are as new; some at each call, so that none takes long.
    pub fn collect(&self, now: Instant) {
        let limiters: Vec<Arc<Limiter>> = lock(&self.limiters).values().filter_map(Weak::upgrade).collect();
        for limiter in limiters {
            limiter.collect(now);
        }
    }

    /// All endpoints that are probed.
    pub fn probed(&self) -> Vec<ProbeTarget> {
        let upstreams: Vec<Arc<LiveUpstream>> = lock(&self.upstreams).values().cloned().collect();
        upstreams.iter().flat_map(|upstream| upstream.probed()).collect()
    }

    /// All endpoints, for a scrape.
    pub fn backends(&self) -> Vec<Backend> {
        let now = Instant::now();
        let upstreams = lock(&self.upstreams);
        let sets = upstreams.values().map(|upstream| upstream.current());
        sets.flat_map(|set| {
            let backend = |member: &crate::upstream::Member| Backend {
                label: member.endpoint.label().to_owned(),
                in_flight: member.endpoint.in_flight(),
                is_healthy: member.endpoint.is_healthy(now),
                circuit: member.endpoint.circuit_state(now),
            };
            set.members().iter().map(backend).collect::<Vec<_>>()
        })
        .collect()
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics between two writes that belong together.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
