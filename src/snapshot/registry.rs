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
    /// What was adopted last.
    adopted: Mutex<Arc<Gateway>>,
    limiters: Mutex<HashMap<LimiterId, Weak<Limiter>>>,
    gates: Mutex<HashMap<LimiterId, Weak<Gate>>>,
    /// Keys of one limiter at most.
    max_keys: AtomicUsize,
    metrics: Arc<Metrics>,
    /// Where we run, if that is known.
    zone: Option<String>,
}

impl Registry {
    /// An empty one, counting into `metrics`, in no zone.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self::in_zone(metrics, None)
    }

    /// An empty one in this zone of the cluster.
    pub fn in_zone(metrics: Arc<Metrics>, zone: Option<String>) -> Self {
        Self {
            upstreams: Mutex::default(),
            adopted: Mutex::default(),
            limiters: Mutex::default(),
            gates: Mutex::default(),
            max_keys: AtomicUsize::new(Gateway::default().rate_limit_keys),
            metrics,
            zone,
        }
    }

    /// Brings what lives in line with what is described: new upstreams begin, known ones take over their new
    /// endpoints and settings, those no longer described go.
    ///
    /// Upstreams that are the same `Arc` as last time, at the beginning and at the end of the list, are not looked at: of
    /// a hundred thousand with one change that leaves one.
    pub fn adopt(&self, gateway: &Arc<Gateway>) {
        self.max_keys.store(gateway.rate_limit_keys, Ordering::Relaxed);
        lock(&self.limiters).retain(|_, limiter| limiter.strong_count() > 0);
        lock(&self.gates).retain(|_, gate| gate.strong_count() > 0);
        let last = std::mem::replace(&mut *lock(&self.adopted), Arc::clone(gateway));
        let (old, new) = between(&last.upstreams, &gateway.upstreams);
        let mut upstreams = lock(&self.upstreams);
        let mut known: HashMap<&UpstreamId, Arc<LiveUpstream>> =
            old.iter().filter_map(|upstream| Some((&upstream.id, upstreams.remove(&upstream.id)?))).collect();
        for upstream in new {
            let live = match known.remove(&upstream.id) {
                // A label cannot change without the identity, but for routes that are renamed.
                Some(known) if known.metrics().label() == upstream.label => {
                    known.update(upstream);
                    known
                }
                _ => Arc::new(LiveUpstream::new(upstream, self.metrics.service(&upstream.label), self.zone.as_deref())),
            };
            upstreams.insert(upstream.id.clone(), live);
        }
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

/// What is left of two lists without what they have in common at the beginning and at the end.
fn between<'a, T>(old: &'a [Arc<T>], new: &'a [Arc<T>]) -> (&'a [Arc<T>], &'a [Arc<T>]) {
    let is_same = |(old, new): &(&Arc<T>, &Arc<T>)| Arc::ptr_eq(old, new);
    let head = old.iter().zip(new).take_while(is_same).count();
    let (old, new) = (&old[head..], &new[head..]);
    let tail = old.iter().rev().zip(new.iter().rev()).take_while(is_same).count();
    (&old[..old.len() - tail], &new[..new.len() - tail])
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics between two writes that belong together.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
