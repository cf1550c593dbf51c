//! The described Gateway, compiled for serving, and the one swap.
//!
//! [`compile`] makes a [`Snapshot`]: hosts hashed, rules sorted, names resolved to living upstreams. What
//! lives is in the [`registry`] and outlasts snapshots. [`apply`] puts a new snapshot in place with one
//! store; every request loads the snapshot once and keeps to it.

pub mod apply;
pub mod compile;
pub mod registry;

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::config::{Gateway, Rule};
use crate::lb::{Ask, Balancer, Candidates};
use crate::router::Table;
use crate::upstream::LiveUpstream;

/// What is served. Never changes once made.
#[derive(Debug)]
pub struct Snapshot {
    /// That of the offer it was made from; 0: nothing was offered yet.
    pub number: u64,
    /// Which rule answers.
    pub table: Table<Arc<Plan>>,
    /// What it was made from.
    pub gateway: Arc<Gateway>,
}

/// A rule with everything it needs to act.
#[derive(Debug)]
pub struct Plan {
    /// As described.
    pub rule: Arc<Rule>,
    /// Where its requests go; none: the rule is off.
    pub split: Option<Split>,
}

/// Shares of a rule's requests.
#[derive(Debug)]
pub struct Split {
    targets: Vec<(PlanTarget, u32)>,
    balancer: Box<dyn Balancer>,
}

/// Where a share goes.
#[derive(Clone, Debug)]
pub enum PlanTarget {
    /// Servers.
    Upstream(Arc<LiveUpstream>),
    /// The backend does not exist: 500.
    Missing,
}

impl Split {
    fn new(targets: Vec<(PlanTarget, u32)>) -> Self {
        let weights: Vec<u32> = targets.iter().map(|(_, weight)| *weight).collect();
        Self { balancer: crate::lb::shares(&weights), targets }
    }

    /// All of them, with their weights.
    pub fn targets(&self) -> &[(PlanTarget, u32)] {
        &self.targets
    }

    /// Where the next request goes. Smooth, not random; a share that cannot be served is not given to others.
    pub fn next(&self) -> Option<&PlanTarget> {
        match self.targets.as_slice() {
            [(only, weight)] if *weight > 0 => Some(only),
            _ => self
                .balancer
                .next(self, Ask::default())
                .and_then(|index| self.targets.get(index))
                .map(|(target, _)| target),
        }
    }
}

impl Candidates for Split {
    fn len(&self) -> usize {
        self.targets.len()
    }

    fn weight(&self, index: usize) -> u32 {
        self.targets.get(index).map_or(0, |(_, weight)| *weight)
    }

    fn is_usable(&self, _: usize) -> bool {
        true
    }
}

/// The snapshot in effect, for all workers.
#[derive(Debug)]
pub struct Published {
    current: ArcSwap<Snapshot>,
}

impl Default for Published {
    fn default() -> Self {
        let nothing = Snapshot { number: 0, table: Table::default(), gateway: Arc::default() };
        Self { current: ArcSwap::from_pointee(nothing) }
    }
}

impl Published {
    /// What is served now.
    pub fn load(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    fn swap(&self, next: Snapshot) {
        self.current.store(Arc::new(next));
    }
}
