//! The one swap.

use std::sync::Arc;

use crate::config::Offer;
use crate::observe::metrics::Metrics;

use super::compile::Compiler;
use super::registry::Registry;
use super::{Published, Snapshot};

/// Compiles offers and puts them in place.
#[derive(Debug)]
pub struct Applier {
    compiler: Compiler,
    published: Arc<Published>,
    metrics: Arc<Metrics>,
}

impl Applier {
    /// Puts snapshots into `published`.
    pub fn new(registry: Arc<Registry>, published: Arc<Published>, metrics: Arc<Metrics>) -> Self {
        Self { compiler: Compiler::new(registry), published, metrics }
    }

    /// Compiles and swaps. When this returns, every request that begins is decided by this offer.
    pub fn apply(&mut self, offer: &Offer) {
        let snapshot: Snapshot = self.compiler.compile(offer);
        self.published.swap(snapshot);
        self.metrics.snapshot_number.set(i64::try_from(offer.number).unwrap_or(i64::MAX));
    }
}
