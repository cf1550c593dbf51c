//! The living things that outlast snapshots, found by identity.
//!
//! A description names an upstream; the registry says which running one that is. While a name stays in the
//! description its upstream stays, with all it knows, whatever else changes. When the name goes, the upstream
//! is let go: exchanges that still run hold it, idle connections close.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::{Upstream, UpstreamId};
use crate::observe::metrics::{Backend, Metrics};
use crate::upstream::LiveUpstream;

/// All living upstreams.
#[derive(Debug)]
pub struct Registry {
    upstreams: Mutex<HashMap<UpstreamId, Arc<LiveUpstream>>>,
    metrics: Arc<Metrics>,
}

impl Registry {
    /// An empty one, counting into `metrics`.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { upstreams: Mutex::default(), metrics }
    }

    /// Brings what lives in line with what is described: new upstreams begin, known ones take over their new
    /// endpoints and settings, those no longer described go.
    pub fn adopt(&self, described: &[Arc<Upstream>]) {
        let mut upstreams = self.upstreams.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = HashMap::with_capacity(described.len());
        for upstream in described {
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
        self.upstreams.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// All endpoints, for a scrape.
    pub fn backends(&self) -> Vec<Backend> {
        let upstreams = self.upstreams.lock().unwrap_or_else(PoisonError::into_inner);
        let sets = upstreams.values().map(|upstream| upstream.current());
        sets.flat_map(|set| {
            let backend = |member: &crate::upstream::Member| Backend {
                label: member.endpoint.label().to_owned(),
                in_flight: member.endpoint.in_flight(),
                // Without health checks every endpoint is unknown, which counts as healthy.
                is_healthy: true,
                circuit: 0,
            };
            set.members().iter().map(backend).collect::<Vec<_>>()
        })
        .collect()
    }
}
