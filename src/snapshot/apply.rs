//! The one swap.

use std::sync::Arc;

use crate::config::Offer;
use crate::observe::metrics::Metrics;

use super::Published;
use super::compile::Compiler;
use super::registry::Registry;
use super::retire::Retired;

/// Compiles offers and puts them in place.
#[derive(Debug)]
pub struct Applier {
    compiler: Compiler,
    published: Arc<Published>,
    retired: Retired,
    metrics: Arc<Metrics>,
}

impl Applier {
    /// Puts snapshots into `published`.
    ///
    /// # Errors
    /// If the thread that frees old snapshots cannot be started.
    pub fn start(registry: Arc<Registry>, published: Arc<Published>, metrics: Arc<Metrics>) -> std::io::Result<Self> {
        Ok(Self { compiler: Compiler::new(registry), published, retired: Retired::start()?, metrics })
    }

    /// Compiles and swaps. When this returns, every request that begins is decided by this offer.
    pub fn apply(&mut self, offer: &Offer) {
        self.metrics.limited.set_names(offer.gateway.metric_clients);
        let snapshot = self.compiler.compile(offer);
        self.retired.take(self.published.swap(snapshot));
        self.metrics.snapshot_number.set(i64::try_from(offer.number).unwrap_or(i64::MAX));
    }
}
