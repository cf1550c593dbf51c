//! What a rule's requests get: the levels above it and its own, put on one another and shared where they are equal.
//!
//! A hundred thousand rules with nothing of their own share one [`Traffic`]; those which use the same policies, or
//! say the same as one described shortly before, share theirs.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Describer;
use super::at::At;
use super::layer::Layer;
use super::traffic::describe_layer;
use crate::config::problem::Slug;
use crate::config::spec::TrafficFields;
use crate::config::traffic::Traffic;

/// How many different results are compared with a new one: neighbours in a file are alike, and comparing is cheap.
const MAX_RECENT: usize = 16;

/// Results that may come again, the newest first.
#[derive(Debug, Default)]
pub struct Recent(VecDeque<Arc<Traffic>>);

impl Recent {
    fn share(&mut self, traffic: Traffic) -> Arc<Traffic> {
        if let Some(known) = self.0.iter().find(|known| ***known == traffic) {
            return Arc::clone(known);
        }
        let new = Arc::new(traffic);
        self.0.truncate(MAX_RECENT - 1);
        self.0.push_front(Arc::clone(&new));
        new
    }
}

/// What rules take from the levels above them.
pub struct Levels {
    /// The route's own.
    pub route: Layer,
    /// All of them: defaults, the route's policies, the route.
    pub traffic: Arc<Traffic>,
}

impl Describer<'_> {
    /// What holds where nothing is written.
    pub(super) fn no_levels(&self) -> Levels {
        Levels { route: Layer::default(), traffic: self.scope.defaults() }
    }

    /// A level of its own over those above it. `uses` replaces the policies of the route.
    pub(super) fn inherit(
        &mut self,
        above: &Levels,
        uses: Option<&Vec<String>>,
        fields: &TrafficFields,
        owner: &str,
        at: At<'_>,
    ) -> Levels {
        let policies = uses.map(|names| self.policies(names, at.field("use")));
        if policies.is_none() && *fields == TrafficFields::default() {
            return Levels { route: Layer::default(), traffic: Arc::clone(&above.traffic) };
        }
        let mut traffic = match &policies {
            None => Traffic::clone(&above.traffic),
            Some(policies) => {
                let mut traffic = Traffic::clone(&self.scope.defaults());
                policies.iter().for_each(|policy| policy.put_on(&mut traffic));
                above.route.put_on(&mut traffic);
                traffic
            }
        };
        let layer = describe_layer(fields, owner, at, &mut self.out.problems);
        self.claim_limits(&layer, at);
        layer.put_on(&mut traffic);
        Levels { route: layer, traffic: self.recent.share(traffic) }
    }

    fn policies(&mut self, names: &[String], at: At<'_>) -> Vec<Arc<Layer>> {
        let mut policies = Vec::new();
        for (index, name) in names.iter().enumerate() {
            match self.scope.policy(name, &at.index(index).to_string()) {
                Ok(policy) => policies.push(policy),
                Err(problem) => self.out.problems.push(problem),
            }
        }
        policies
    }

    /// Two limits of one identity would share their counts: those of two unnamed routes for the same hosts.
    fn claim_limits(&mut self, layer: &Layer, at: At<'_>) {
        for id in layer.limits() {
            match self.limits.get(id).cloned() {
                Some(taken) => {
                    let message = format!("the limit {id} is written at {taken} too: give one of the two a name");
                    self.reader().note(at, Slug::DuplicateName, message);
                }
                None => {
                    self.limits.insert(id.clone(), at.to_string());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
