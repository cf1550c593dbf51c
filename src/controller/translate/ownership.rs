//! Who may serve what: hosts are owned, matches are taken, settings are set once.
//!
//! - A host belongs to the namespace of the oldest `GatewayRoute` that names exactly this host (age, then
//!   name). Objects of other namespaces lose that host and keep their others. A wildcard does not own the
//!   names below it: whoever names them first owns them.
//! - The same match twice on a host: the earlier rule serves. The later one is left where it is, as
//!   precedence lets it answer nothing there; it takes over by itself when the earlier one goes.
//! - Two settings for one Service port: the oldest entry counts, whole.
//! - Over the bounds on rules the youngest objects are left out.
//!
//! Only the loser is told. So nobody can cause writes to somebody else's object.
//!
//! A route whose last host is lost is dropped, never kept with an empty list: that would mean any host.
//!
//! The work is one pass over all hosts; matches are compared only on hosts that several objects name (what
//! an object does to itself is known from its Part). `translate` repeats it only when an object changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::gateway_route::{Part, PartRoute};
use super::services::ServicePort;
use super::verdict::Conflict;
use crate::config::describe::{Duplicate, find_duplicates};
use crate::config::{Action, HostPattern, Problem, Route, Rule, Slug, Source, Upstream, UpstreamId, UpstreamSettings};
use crate::controller::world::{ObjectName, RouteObject};

/// Rules on one host. More is a mistake; a table of this size still compiles in well under a second.
pub const MAX_RULES_PER_HOST: usize = 20_000;
/// Rules in all.
pub const MAX_RULES: usize = 200_000;

/// One object that counts, with what it says.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Namespace and name.
    pub name: ObjectName,
    /// The object.
    pub object: Arc<RouteObject>,
    /// What it says.
    pub part: Arc<Part>,
}

impl Entry {
    /// Age first, then name.
    pub fn rank(&self) -> (i64, &ObjectName) {
        (self.object.created(), &self.name)
    }
}

/// What is served of all objects together.
#[derive(Clone, Debug, Default)]
pub struct Admission {
    /// By age and name of their objects; inside one in the order written.
    pub routes: Vec<Arc<Route>>,
    /// The servers that these name by URL.
    pub upstreams: BTreeMap<UpstreamId, Arc<Upstream>>,
    /// The Service ports that these name.
    pub ports: BTreeMap<UpstreamId, ServicePort>,
    /// What counts for them.
    pub settings: BTreeMap<UpstreamId, UpstreamSettings>,
    /// One for each entry, in the same order.
    pub losses: Vec<Losses>,
    /// Routes that had to be cut, to be found again by pointer.
    cut: HashMap<(ObjectName, usize), Arc<Route>>,
}

/// What an object lost.
#[derive(Clone, Debug, Default)]
pub struct Losses {
    /// To be told to its owner.
    pub problems: Vec<Problem>,
    /// Against whom.
    pub conflicts: Vec<Conflict>,
    /// Places of rules that lost on at least one host.
    pub rules: BTreeSet<String>,
    /// Rules that lost everywhere.
    pub nowhere: usize,
    /// On how many hosts a rule lost against one with the same match.
    duplicates: BTreeMap<String, usize>,
    /// Left out as a whole.
    pub is_left_out: bool,
}

/// Decides, over `entries` in order of rank. `earlier` lends what has not changed.
pub fn admit(entries: &[Entry], earlier: &Admission) -> Admission {
    let mut admission =
        Admission { losses: entries.iter().map(|_| Losses::default()).collect(), ..Admission::default() };
    leave_out_beyond_bounds(entries, &mut admission.losses);
    let hosts = Hosts::of(entries, &admission.losses);
    let mut admitted: Vec<(usize, Arc<Route>)> = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        if admission.losses[at].is_left_out {
            continue;
        }
        for part in &entry.part.routes {
            if let Some(route) = admit_route(at, part, entries, &hosts, &mut admission, earlier) {
                admitted.push((at, route));
            }
        }
    }
    report_own_duplicates(entries, &hosts, &mut admission.losses);
    report_duplicates(&admitted, entries, &hosts, &mut admission.losses);
    settle_settings(entries, &mut admission);
    count_nowhere(entries, &admitted, &mut admission.losses);
    admission.routes = admitted.into_iter().map(|(_, route)| route).collect();
    admission
}

/// Who names which host, by position among the entries.
struct Hosts<'a> {
    owners: HashMap<&'a HostPattern, usize>,
    /// Named by several objects of the owner's namespace.
    shared: BTreeSet<&'a HostPattern>,
}

impl<'a> Hosts<'a> {
    fn of(entries: &'a [Entry], losses: &[Losses]) -> Self {
        let mut owners: HashMap<&HostPattern, usize> = HashMap::new();
        let mut shared = BTreeSet::new();
        for (at, entry) in entries.iter().enumerate().filter(|(at, _)| !losses[*at].is_left_out) {
            for host in entry.part.routes.iter().flat_map(|route| &route.route.hosts) {
                let owner = *owners.entry(host).or_insert(at);
                if owner != at && entries[owner].name.namespace == entry.name.namespace {
                    shared.insert(host);
                }
            }
        }
        Self { owners, shared }
    }

    /// The entry that owns a host, unless it is of this namespace.
    fn foreign_owner(&self, host: &HostPattern, namespace: &str, entries: &[Entry]) -> Option<usize> {
        let owner = *self.owners.get(host)?;
        (entries[owner].name.namespace != namespace).then_some(owner)
    }
}

fn leave_out_beyond_bounds(entries: &[Entry], losses: &mut [Losses]) {
    let mut in_all = 0;
    let mut on_host: HashMap<&HostPattern, usize> = HashMap::new();
    // A host fills up by its owner's rules only, or anybody could crowd the owner out of it.
    let mut owners: HashMap<&HostPattern, &str> = HashMap::new();
    for (entry, losses) in entries.iter().zip(losses) {
        let namespace = entry.name.namespace.as_str();
        let mut own: HashMap<&HostPattern, usize> = HashMap::new();
        for part in &entry.part.routes {
            for host in &part.route.hosts {
                if *owners.get(host).unwrap_or(&namespace) == namespace {
                    *own.entry(host).or_default() += part.route.rules.len();
                }
            }
        }
        let served: usize = own.values().sum();
        let is_full = |(host, rules): (&&HostPattern, &usize)| {
            on_host.get(*host).copied().unwrap_or_default() + rules > MAX_RULES_PER_HOST
        };
        if in_all + served > MAX_RULES || own.iter().any(is_full) {
            let message = format!(
                "over {MAX_RULES_PER_HOST} rules for one host or {MAX_RULES} in all: the youngest objects are left out"
            );
            losses.problems.push(Problem::new("spec", Slug::TooMany, message));
            losses.is_left_out = true;
            continue;
        }
        in_all += served;
        for (host, rules) in own {
            owners.insert(host, namespace);
            *on_host.entry(host).or_default() += rules;
        }
    }
}

/// The route with the hosts that it may have; none if that is none.
fn admit_route(
    at: usize,
    part: &PartRoute,
    entries: &[Entry],
    hosts: &Hosts<'_>,
    admission: &mut Admission,
    earlier: &Admission,
) -> Option<Arc<Route>> {
    let entry = &entries[at];
    let owner_of = |host: &HostPattern| hosts.foreign_owner(host, &entry.name.namespace, entries);
    let mut kept = Vec::new();
    for host in &part.route.hosts {
        match owner_of(host) {
            None => kept.push(host.clone()),
            Some(owner) => {
                let losses = &mut admission.losses[at];
                report_foreign_host(host, part, &entries[owner], losses);
            }
        }
    }
    if kept.is_empty() {
        return None;
    }
    for id in &part.uses {
        if let Some(port) = entry.part.ports.get(id) {
            admission.ports.entry(id.clone()).or_insert_with(|| port.clone());
        } else if let Some(upstream) = entry.part.upstreams.get(id) {
            admission.upstreams.insert(id.clone(), Arc::clone(upstream));
        }
    }
    if kept.len() == part.route.hosts.len() {
        return Some(Arc::clone(&part.route));
    }
    let key = (entry.name.clone(), part.index);
    let mut cut = Arc::new(Route { hosts: kept, ..Route::clone(&part.route) });
    if let Some(known) = earlier.cut.get(&key).filter(|known| **known == cut) {
        cut = Arc::clone(known);
    }
    admission.cut.insert(key, Arc::clone(&cut));
    Some(cut)
}

fn report_foreign_host(host: &HostPattern, part: &PartRoute, owner: &Entry, losses: &mut Losses) {
    let path = format!("spec.routes[{}].hosts", part.index);
    let message = format!("{host} belongs to namespace {} (GatewayRoute {})", owner.name.namespace, owner.name);
    losses.rules.extend(part.route.rules.iter().map(|rule| rule.at.clone()));
    losses.problems.push(Problem::new(path.clone(), Slug::HostOwned, message.clone()));
    losses.conflicts.push(Conflict {
        path,
        winner: format!("GatewayRoute {}", owner.name),
        since: since(owner.object.created()),
        message,
    });
}

/// On hosts that no other object of the namespace names, what an object does to itself is all there is.
fn report_own_duplicates(entries: &[Entry], hosts: &Hosts<'_>, losses: &mut [Losses]) {
    for (entry, losses) in entries.iter().zip(losses).filter(|(_, losses)| !losses.is_left_out) {
        for duplicate in &entry.part.duplicates {
            let is_lost = hosts.foreign_owner(&duplicate.host, &entry.name.namespace, entries).is_some();
            if !is_lost && !hosts.shared.contains(&duplicate.host) {
                report_duplicate(&duplicate.loser_at, &duplicate.winner_at, None, losses);
            }
        }
    }
}

fn report_duplicates(admitted: &[(usize, Arc<Route>)], entries: &[Entry], hosts: &Hosts<'_>, losses: &mut [Losses]) {
    let on_shared = |(at, route): &(usize, Arc<Route>)| {
        let shared: Vec<HostPattern> = route.hosts.iter().filter(|host| hosts.shared.contains(host)).cloned().collect();
        (!shared.is_empty()).then(|| (*at, Route { hosts: shared, ..Route::clone(route) }))
    };
    let routes: Vec<(usize, Route)> = admitted.iter().filter_map(on_shared).collect();
    let by_source: HashMap<&str, usize> =
        routes.iter().filter_map(|(at, route)| Some((object_of(route)?.1, *at))).collect();
    for Duplicate { route, rule, winner_route, winner, .. } in find_duplicates(routes.iter().map(|(_, route)| route)) {
        let Some(loser) = object_of(route).and_then(|(_, name)| by_source.get(name)) else { continue };
        let other = (route.source != winner_route.source).then(|| object_of(winner_route)).flatten();
        let other =
            other.map(|(created, name)| Winner { created, name, is_older: created < entries[*loser].object.created() });
        report_duplicate(&rule.at, &winner.at, other.as_ref(), &mut losses[*loser]);
    }
}

/// The object that a rule lost against.
struct Winner<'a> {
    created: i64,
    name: &'a str,
    is_older: bool,
}

/// Each pair once, however many hosts they share.
fn report_duplicate(loser_at: &str, winner_at: &str, winner: Option<&Winner<'_>>, losses: &mut Losses) {
    let message = match winner {
        Some(Winner { created, name, is_older: true }) => format!(
            "the same host and match as GatewayRoute {name} {winner_at}, which is older ({}) and is served",
            since(*created)
        ),
        Some(Winner { name, .. }) => format!(
            "the same host and match as GatewayRoute {name} {winner_at}, which is as old, comes first by name and is served"
        ),
        None => format!("the same host and match as {winner_at}, which comes first and is served"),
    };
    let problem = Problem::new(loser_at, Slug::DuplicateMatch, message.clone());
    losses.rules.insert(loser_at.to_owned());
    *losses.duplicates.entry(loser_at.to_owned()).or_default() += 1;
    if losses.problems.contains(&problem) {
        return;
    }
    losses.problems.push(problem);
    if let Some(Winner { created, name, .. }) = winner {
        losses.conflicts.push(Conflict {
            path: loser_at.to_owned(),
            winner: format!("GatewayRoute {name} {winner_at}"),
            since: since(*created),
            message,
        });
    }
}

/// The oldest entry counts, whole.
fn settle_settings(entries: &[Entry], admission: &mut Admission) {
    let mut taken: BTreeMap<&UpstreamId, (usize, usize)> = BTreeMap::new();
    for (at, entry) in entries.iter().enumerate() {
        if admission.losses[at].is_left_out {
            continue;
        }
        for settings in &entry.part.settings {
            let Some((winner, index)) = taken.get(&settings.upstream) else {
                taken.insert(&settings.upstream, (at, settings.index));
                admission.settings.insert(settings.upstream.clone(), settings.settings.clone());
                continue;
            };
            let winner = &entries[*winner];
            let path = format!("spec.upstreams[{}]", settings.index);
            let winner_name = format!("GatewayRoute {} spec.upstreams[{index}]", winner.name);
            let message = format!("{winner_name} is older and counts");
            let losses = &mut admission.losses[at];
            losses.problems.push(Problem::new(path.clone(), Slug::SettingsConflict, message.clone()));
            losses.conflicts.push(Conflict {
                path,
                winner: winner_name,
                since: since(winner.object.created()),
                message,
            });
        }
    }
}

/// Rules of routes that kept no host, and rules that lost each host to an earlier one.
fn count_nowhere(entries: &[Entry], admitted: &[(usize, Arc<Route>)], losses: &mut [Losses]) {
    // Rules that are off are counted as such, and not twice.
    let counts = |rule: &Rule| rule.action != Action::Broken;
    let mut served = vec![0; entries.len()];
    for (at, route) in admitted {
        let lost = &losses[*at].duplicates;
        let is_served = |place: &str| lost.get(place).is_none_or(|hosts| *hosts < route.hosts.len());
        served[*at] += route.rules.iter().filter(|rule| counts(rule) && is_served(&rule.at)).count();
    }
    for ((entry, losses), served) in entries.iter().zip(losses).zip(served) {
        let rules = entry.part.routes.iter().flat_map(|part| &part.route.rules);
        let with_host = rules.filter(|rule| counts(rule)).count();
        losses.nowhere = with_host - served;
    }
}

fn object_of(route: &Route) -> Option<(i64, &str)> {
    match &route.source {
        Source::Object { created, name } => Some((*created, name)),
        Source::File => None,
    }
}

/// A time as it stands in objects.
fn since(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map(|time| time.to_string()).unwrap_or_default()
}
