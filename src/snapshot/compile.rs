//! From a described Gateway to a snapshot.
//!
//! The result always decides as a compilation of everything from nothing would; the work is that of what changed.
//! Routes that did not change are the same `Arc` as before ([`Order`] finds the others), so their rules stay where
//! they are in the tables, and the tables of a snapshot are a copy that shares all other places with the one
//! before ([`Tables`]). Upstreams are adopted by the registry before any plan refers to them.
//!
//! The plan of a rule belongs to the rule: the same `Arc<Rule>` keeps its plan, and with it its place in its split,
//! on all hosts together.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crate::config::route::Target;
use crate::config::traffic::RateLimit;
use crate::config::{Action, Destination, HostPattern, Offer, Route, Rule, Source};
use crate::middleware::Access;
use crate::middleware::Limits;
use crate::middleware::edit::Edits;
use crate::middleware::respond::Answer;
use crate::router::listeners::{Entering, Leaving};
use crate::router::precedence::Position;
use crate::router::{Candidate, Tables};

use super::order::{Changes, Numbered, Order};
use super::registry::Registry;
use super::{Plan, PlanAction, PlanTarget, Snapshot, Split, ToUpstream};

/// Compiles offers, one after the other.
#[derive(Debug)]
pub struct Compiler {
    registry: Arc<Registry>,
    order: Order,
    tables: Tables<Arc<Plan>>,
}

/// Plans by the address of their rule, which lives as long as the changes it is part of.
type Plans = HashMap<*const Rule, Arc<Plan>>;

/// What changes at one host.
#[derive(Default)]
struct HostChanges<'a> {
    gone: Vec<Leaving<'a>>,
    come: Vec<Entering<'a, Arc<Plan>>>,
}

impl Compiler {
    /// With nothing compiled yet.
    pub fn new(registry: Arc<Registry>) -> Self {
        Self { registry, order: Order::default(), tables: Tables::default() }
    }

    /// Makes the snapshot of an offer.
    pub fn compile(&mut self, offer: &Offer) -> Snapshot {
        self.registry.adopt(&offer.gateway);
        let mut changes = self.order.go_to(&offer.gateway);
        let plans = self.plans(&changes);
        if changes.is_everything {
            changes.gone.clear();
            self.tables = Tables::default();
        }
        self.change_tables(&changes, &plans);
        Snapshot { number: offer.number, tables: self.tables.clone(), gateway: Arc::clone(&offer.gateway) }
    }

    /// A plan for every rule that comes: that of the very same rule if it was there, else a new one.
    fn plans(&self, changes: &Changes) -> Plans {
        let coming = changes.come.iter().flat_map(|(route, _)| &route.rules);
        let mut plans: HashMap<*const Rule, Option<Arc<Plan>>> =
            coming.clone().map(|rule| (Arc::as_ptr(rule), None)).collect();
        for numbered in &changes.gone {
            for (index, rule) in (0..).zip(&numbered.0.rules) {
                if let Some(plan) = plans.get_mut(&Arc::as_ptr(rule)) {
                    *plan = self.known_plan(numbered, index, rule).cloned();
                }
            }
        }
        let plan_of = |rule: &Arc<Rule>| {
            let kept = plans.get(&Arc::as_ptr(rule)).cloned().flatten();
            (Arc::as_ptr(rule), kept.unwrap_or_else(|| Arc::new(self.plan(rule))))
        };
        coming.map(plan_of).collect()
    }

    fn known_plan(&self, (route, number): &Numbered, index: u32, rule: &Rule) -> Option<&Arc<Plan>> {
        let listener = route.listeners.first().map_or("", String::as_str);
        let table = self.tables.of(listener).get(route.hosts.first())?;
        table.find(rule, position(route, *number, index)).map(|candidate| &candidate.plan)
    }

    fn change_tables(&mut self, changes: &Changes, plans: &Plans) {
        let mut by_host: HashMap<Option<&HostPattern>, HostChanges<'_>> = HashMap::new();
        for (route, number) in &changes.gone {
            for (index, rule) in (0..).zip(&route.rules) {
                let position = position(route, *number, index);
                for host in hosts(route) {
                    let leaving = Leaving { listeners: &route.listeners, rule, position };
                    by_host.entry(host).or_default().gone.push(leaving);
                }
            }
        }
        for (route, number) in &changes.come {
            for (index, rule) in (0..).zip(&route.rules) {
                let Some(plan) = plans.get(&Arc::as_ptr(rule)) else { continue };
                let (rule, position) = (Arc::clone(rule), position(route, *number, index));
                let candidate = Candidate { rule, plan: Arc::clone(plan), position };
                for host in hosts(route) {
                    let entering = Entering { listeners: &route.listeners, candidate: candidate.clone() };
                    by_host.entry(host).or_default().come.push(entering);
                }
            }
        }
        for listener in changes.come.iter().flat_map(|(route, _)| &route.listeners) {
            self.tables.name(listener);
        }
        for (host, changes) in by_host {
            self.tables.change(host, &changes.gone, &changes.come);
        }
        for listener in changes.gone.iter().flat_map(|(route, _)| &route.listeners) {
            self.tables.unname(listener);
        }
    }

    fn plan(&self, rule: &Arc<Rule>) -> Plan {
        let traffic = &rule.traffic;
        let action = match &rule.action {
            Action::Broken => PlanAction::Off,
            Action::Redirect(redirect) => PlanAction::Redirect(redirect.clone()),
            Action::Respond(respond) => match Answer::compile(respond) {
                Ok(answer) => PlanAction::Respond(answer),
                Err(error) => {
                    debug_assert!(false, "a described content type is a header value: {error}");
                    PlanAction::Off
                }
            },
            Action::Forward(targets) => {
                let targets = targets.iter().map(|target| (self.resolve(rule, target), target.weight));
                PlanAction::Forward(Split::new(targets.collect()))
            }
        };
        let limiter = |limit: &Arc<RateLimit>| (Arc::clone(limit), self.registry.limiter(limit));
        Plan {
            rule: Arc::clone(rule),
            access: Access::new(&traffic.security),
            limits: Limits::new(traffic.rate_limits.iter().map(limiter).collect()),
            gate: traffic.concurrency.as_ref().map(|concurrency| self.registry.gate(concurrency)),
            answer_edits: Edits::of_response([&traffic.response_headers]),
            action,
        }
    }

    fn resolve(&self, rule: &Rule, target: &Target) -> PlanTarget {
        let Destination::Upstream(id) = &target.to else { return PlanTarget::Missing };
        let Some(upstream) = self.registry.find(id) else {
            debug_assert!(false, "every upstream that a route names is described: {id}");
            return PlanTarget::Missing;
        };
        let traffic = &rule.traffic;
        PlanTarget::Upstream(Arc::new(ToUpstream {
            choice: upstream.choice(&traffic.load_balancer),
            edits: Edits::of_request([&traffic.request_headers, &target.request_headers]),
            answer_edits: Edits::of_response([&traffic.response_headers, &target.response_headers]),
            upstream,
        }))
    }
}

/// Where a route is served; `None` is any host.
fn hosts(route: &Route) -> impl Iterator<Item = Option<&HostPattern>> {
    let any = route.hosts.is_empty().then_some(None);
    any.into_iter().chain(route.hosts.iter().map(Some))
}

fn position(route: &Route, number: u64, rule: u32) -> Position {
    Position { route: number, rule, source: source(&route.source) }
}

/// Tells sources apart, for `explain`: two that meet in a number only change a word there.
#[expect(clippy::cast_possible_truncation, reason = "any bits will do")]
fn source(source: &Source) -> u32 {
    match source {
        Source::File => 0,
        Source::Object { name, .. } => {
            let mut hasher = DefaultHasher::new();
            name.hash(&mut hasher);
            hasher.finish() as u32
        }
    }
}

#[cfg(test)]
mod tests;
