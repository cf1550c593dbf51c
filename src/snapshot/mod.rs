//! The described Gateway, compiled for serving, and the one swap.
//!
//! [`compile`] makes a [`Snapshot`]: hosts hashed, rules sorted, names resolved to living upstreams. What
//! lives is in the [`registry`] and outlasts snapshots. [`apply`] puts a new snapshot in place with one
//! store ([`published`]); every request looks at the snapshot once and keeps to what it found. The old one is
//! freed where nobody waits for it ([`retire`]).
//!
//! A new snapshot shares with the one before all that is the same, so making one costs what changed ([`order`]).

pub mod apply;
pub mod compile;
pub mod order;
pub mod published;
pub mod registry;
pub mod retire;

use std::sync::Arc;

use crate::config::message::Redirect;
use crate::config::{Gateway, Rule};
use crate::lb::{Ask, Balancer, Candidates};
use crate::middleware::edit::Edits;
use crate::middleware::respond::Answer;
use crate::middleware::{Access, Limits};
use crate::ratelimit::concurrency::Gate;
use crate::router::{Table, Tables};
use crate::upstream::{Choice, LiveUpstream};

pub use crate::ratelimit::concurrency::Guard;
pub use published::{Published, Reader};

/// What is served. Never changes once made.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// That of the offer it was made from; 0: nothing was offered yet.
    pub number: u64,
    /// Which rule answers, by listener.
    pub tables: Tables<Arc<Plan>>,
    /// What it was made from.
    pub gateway: Arc<Gateway>,
}

impl Snapshot {
    /// Which rule answers what comes in on a listener.
    pub fn table(&self, listener: &str) -> &Table<Arc<Plan>> {
        self.tables.of(listener)
    }
}

/// A rule with everything it needs to act.
#[derive(Debug)]
pub struct Plan {
    /// As described.
    pub rule: Arc<Rule>,
    /// Who may ask.
    pub access: Access,
    /// How many may ask in a time.
    pub limits: Limits,
    /// How many may ask at once.
    pub gate: Option<Arc<Gate>>,
    /// Changes to the headers of its own and of servers' answers.
    pub answer_edits: Edits,
    /// What is done.
    pub action: PlanAction,
}

/// What a rule does.
#[derive(Debug)]
pub enum PlanAction {
    /// Sends requests on.
    Forward(Split),
    /// Sends clients elsewhere.
    Redirect(Redirect),
    /// Answers itself.
    Respond(Answer),
    /// Answers 500.
    Off,
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
    Upstream(Arc<ToUpstream>),
    /// The backend does not exist: 500.
    Missing,
}

/// The way of a share to its servers.
#[derive(Debug)]
pub struct ToUpstream {
    /// The servers.
    pub upstream: Arc<LiveUpstream>,
    /// How one of them is picked.
    pub choice: Arc<Choice>,
    /// Changes to the headers of requests.
    pub edits: Edits,
    /// Changes to the headers of answers.
    pub answer_edits: Edits,
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
