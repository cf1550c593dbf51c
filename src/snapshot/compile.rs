//! From a described Gateway to a snapshot.
//!
//! The result is always what a compilation of everything from nothing would give; the work is that of what
//! changed. A host's table depends on that host's rules alone, and rules that did not change are the same
//! `Arc` as before, so a host whose list of rules is the same list of pointers keeps its table. Upstreams are
//! adopted by the registry before any plan refers to them.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::{Action, Destination, Gateway, HostPattern, Offer, Rule};
use crate::router::{HostTable, Table};

use super::registry::Registry;
use super::{Plan, PlanTarget, Snapshot, Split};

/// Compiles offers, one after the other.
#[derive(Debug)]
pub struct Compiler {
    registry: Arc<Registry>,
    hosts: HashMap<Option<HostPattern>, CompiledHost>,
}

/// A host's table with the rules it was made from, in the order they were given.
#[derive(Debug)]
struct CompiledHost {
    rules: Vec<Arc<Rule>>,
    table: Arc<HostTable<Arc<Plan>>>,
}

impl Compiler {
    /// With nothing compiled yet.
    pub fn new(registry: Arc<Registry>) -> Self {
        Self { registry, hosts: HashMap::new() }
    }

    /// Makes the snapshot of an offer.
    pub fn compile(&mut self, offer: &Offer) -> Snapshot {
        self.registry.adopt(&offer.gateway.upstreams);
        let mut old = std::mem::take(&mut self.hosts);
        let mut table = Table::default();
        for (host, rules) in rules_by_host(&offer.gateway) {
            let compiled = match old.remove(&host) {
                Some(known) if is_same(&known.rules, &rules) => known,
                known => self.compile_host(rules, known.as_ref()),
            };
            table.insert(host.as_ref(), Arc::clone(&compiled.table));
            self.hosts.insert(host, compiled);
        }
        Snapshot { number: offer.number, table, gateway: Arc::clone(&offer.gateway) }
    }

    fn compile_host(&self, rules: Vec<Arc<Rule>>, known: Option<&CompiledHost>) -> CompiledHost {
        // The plan of the very same rule is kept, and with it the place in its split.
        let candidates = known.map_or(&[][..], |known| known.table.candidates());
        let plans: HashMap<*const Rule, &Arc<Plan>> =
            candidates.iter().map(|candidate| (Arc::as_ptr(&candidate.rule), &candidate.plan)).collect();
        let with_plan = rules.iter().map(|rule| {
            let kept = plans.get(&Arc::as_ptr(rule)).map(|plan| Arc::clone(plan));
            (Arc::clone(rule), kept.unwrap_or_else(|| Arc::new(self.plan(rule))))
        });
        let table = Arc::new(HostTable::compile(with_plan));
        CompiledHost { rules, table }
    }

    fn plan(&self, rule: &Arc<Rule>) -> Plan {
        let split = match &rule.action {
            Action::Broken | Action::Redirect(_) | Action::Respond(_) => None,
            Action::Forward(targets) => {
                let targets = targets.iter().map(|target| (self.resolve(&target.to), target.weight));
                Some(Split::new(targets.collect()))
            }
        };
        Plan { rule: Arc::clone(rule), split }
    }

    fn resolve(&self, destination: &Destination) -> PlanTarget {
        match destination {
            Destination::Missing => PlanTarget::Missing,
            Destination::Upstream(id) => match self.registry.find(id) {
                Some(live) => PlanTarget::Upstream(live),
                None => {
                    debug_assert!(false, "every upstream that a route names is described: {id}");
                    PlanTarget::Missing
                }
            },
        }
    }
}

/// The rules of each host, in the order of sources and positions.
fn rules_by_host(gateway: &Gateway) -> HashMap<Option<HostPattern>, Vec<Arc<Rule>>> {
    let mut hosts: HashMap<Option<HostPattern>, Vec<Arc<Rule>>> = HashMap::new();
    for route in &gateway.routes {
        if route.hosts.is_empty() {
            hosts.entry(None).or_default().extend(route.rules.iter().cloned());
        }
        for host in &route.hosts {
            hosts.entry(Some(host.clone())).or_default().extend(route.rules.iter().cloned());
        }
    }
    hosts
}

fn is_same(old: &[Arc<Rule>], new: &[Arc<Rule>]) -> bool {
    old.len() == new.len() && old.iter().zip(new).all(|(old, new)| Arc::ptr_eq(old, new))
}

#[cfg(test)]
mod tests;
