//! Who may serve what: hosts are owned, matches are taken, settings are set once.
//!
//! - Who may use a host, and how much of it, is told by [`Hosts`]. Objects that may not use a host lose it and keep
//!   their others; objects that may use a part lose the rules outside. Priorities count for those who have the host.
//! - The same match twice on a host: the earlier rule serves; the operator's file stands before all objects. The later
//!   rule is left where it is, as precedence lets it answer nothing there; it takes over by itself when the earlier
//!   one goes.
//! - Two settings for one Service port: the oldest entry counts, whole.
//! - Over the bounds on rules the youngest objects are left out.
//!
//! Only the loser is told. So nobody can cause writes to somebody else's object.
//!
//! A route whose last host is lost is dropped, never kept with an empty list: that would mean any host.
//!
//! Where a part of a route is served on some of its hosts and all of it on others, it becomes several routes with the
//! same rules in them: what a rule is does not depend on where it is served.
//!
//! The work is one pass over all hosts; matches are compared only on hosts that several objects serve (what
//! an object does to itself is known from its Part). `translate` repeats it only when an object changed.
//! `loss` tells owners what they lost.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::gateway_route::{Part, PartRoute};
use super::hosts::{Hosts, Leave};
use super::loss::{Losses, Winner, object_of};
use super::services::ServicePort;
use crate::config::describe::{Duplicate, find_duplicates};
use crate::config::{Action, HostPattern, Problem, Route, Rule, Slug, Upstream, UpstreamId, UpstreamSettings};
use crate::controller::world::{ObjectName, OperatorFile, RouteObject};

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
    /// The name with the state that was read.
    pub fn generation(&self) -> (String, i64) {
        (self.name.to_string(), self.object.metadata.generation.unwrap_or_default())
    }

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
    /// Routes that had to be cut, to be found again by pointer: object, position in it, piece.
    cut: HashMap<(ObjectName, usize, usize), Arc<Route>>,
}

/// Decides, over `entries` in order of rank. `earlier` lends what has not changed.
pub fn admit(entries: &[Entry], operator: &OperatorFile, earlier: &Admission) -> Admission {
    let mut admission =
        Admission { losses: entries.iter().map(|_| Losses::default()).collect(), ..Admission::default() };
    let hosts = Hosts::of(entries, operator);
    leave_out_beyond_bounds(entries, &hosts, &mut admission.losses);
    for (at, place, host) in &hosts.void {
        if let Some(owner) = hosts.owner_besides(host, &entries[*at].name.namespace) {
            admission.losses[*at].report_void_grant(&entries[*at], *place, host, owner, entries);
        }
    }
    let mut admitted: Vec<(usize, Arc<Route>)> = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        if admission.losses[at].is_left_out {
            continue;
        }
        for part in &entry.part.routes {
            let routes = admit_route(at, part, entries, &hosts, &mut admission, earlier);
            admitted.extend(routes.into_iter().map(|route| (at, route)));
        }
    }
    let served = Served::of(&admitted, entries, operator);
    report_own_duplicates(entries, &served, &mut admission.losses);
    report_duplicates(&admitted, entries, operator, &served, &mut admission.losses);
    settle_settings(entries, &mut admission);
    count_nowhere(entries, &admitted, &mut admission.losses);
    admission.routes = admitted.into_iter().map(|(_, route)| route).collect();
    admission
}

/// A host fills up by those only who may serve there, or anybody could crowd its owner out of it.
fn leave_out_beyond_bounds(entries: &[Entry], hosts: &Hosts<'_>, losses: &mut [Losses]) {
    let mut in_all = 0;
    let mut on_host: HashMap<&HostPattern, usize> = HashMap::new();
    for (entry, losses) in entries.iter().zip(losses) {
        let namespace = entry.name.namespace.as_str();
        let mut own: HashMap<&HostPattern, usize> = HashMap::new();
        let mut served = 0;
        for part in &entry.part.routes {
            if part.route.hosts.is_empty() {
                served += part.route.rules.len();
            }
            for host in &part.route.hosts {
                if !matches!(hosts.leave(host, namespace), Leave::Nothing(_)) {
                    *own.entry(host).or_default() += part.route.rules.len();
                    served += part.route.rules.len();
                }
            }
        }
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
            *on_host.entry(host).or_default() += rules;
        }
    }
}

/// Hosts of one route that get the same of its rules.
struct Piece {
    hosts: Vec<HostPattern>,
    rules: Vec<Arc<Rule>>,
}

/// The route with the hosts and rules that it may have, in pieces; none if that is nothing.
fn admit_route(
    at: usize,
    part: &PartRoute,
    entries: &[Entry],
    hosts: &Hosts<'_>,
    admission: &mut Admission,
    earlier: &Admission,
) -> Vec<Arc<Route>> {
    let entry = &entries[at];
    let route = &part.route;
    let mut pieces: Vec<Piece> = Vec::new();
    for host in &route.hosts {
        let leave = hosts.leave(host, &entry.name.namespace);
        admission.losses[at].report_leave(&leave, host, entry, part, entries);
        let rules = rules_within(&leave, &route.rules);
        if rules.is_empty() {
            continue;
        }
        match pieces.iter_mut().find(|piece| piece.rules == rules) {
            Some(piece) => piece.hosts.push(host.clone()),
            None => pieces.push(Piece { hosts: vec![host.clone()], rules }),
        }
    }
    let is_whole = |piece: &Piece| piece.hosts.len() == route.hosts.len() && are_same_rules(&piece.rules, &route.rules);
    let routes = match pieces.as_slice() {
        [] if route.hosts.is_empty() => vec![Arc::clone(route)],
        [only] if is_whole(only) => vec![Arc::clone(route)],
        _ => cut(pieces, entry, part, admission, earlier),
    };
    if !routes.is_empty() {
        for id in &part.uses {
            if let Some(port) = entry.part.ports.get(id) {
                admission.ports.entry(id.clone()).or_insert_with(|| port.clone());
            } else if let Some(upstream) = entry.part.upstreams.get(id) {
                admission.upstreams.insert(id.clone(), Arc::clone(upstream));
            }
        }
    }
    routes
}

/// Those that may be served, as they may be.
fn rules_within(leave: &Leave<'_>, rules: &[Arc<Rule>]) -> Vec<Arc<Rule>> {
    if *leave == Leave::Whole {
        return rules.to_vec();
    }
    let inside = rules.iter().filter(|rule| leave.covers(&rule.matches.path));
    let without_priority = |rule: &Arc<Rule>| match rule.priority {
        0 => Arc::clone(rule),
        _ => Arc::new(Rule { priority: 0, ..Rule::clone(rule) }),
    };
    inside.map(without_priority).collect()
}

fn are_same_rules(left: &[Arc<Rule>], right: &[Arc<Rule>]) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(left, right)| Arc::ptr_eq(left, right))
}

/// A route of its own for each piece: that of before, if it is as before.
fn cut(
    pieces: Vec<Piece>,
    entry: &Entry,
    part: &PartRoute,
    admission: &mut Admission,
    earlier: &Admission,
) -> Vec<Arc<Route>> {
    let mut routes = Vec::new();
    for (index, Piece { hosts, rules }) in pieces.into_iter().enumerate() {
        let key = (entry.name.clone(), part.index, index);
        let (source, listeners) = (part.route.source.clone(), part.route.listeners.clone());
        let mut cut = Arc::new(Route { source, hosts, listeners, rules });
        if let Some(known) = earlier.cut.get(&key).filter(|known| **known == cut) {
            cut = Arc::clone(known);
        }
        admission.cut.insert(key, Arc::clone(&cut));
        routes.push(cut);
    }
    routes
}

/// Which entries serve on which host; no host is any host.
struct Served<'a> {
    first: HashMap<Option<&'a HostPattern>, usize>,
    /// Served by several objects, by the file too, or in part only: matches have to be compared.
    shared: HashSet<Option<&'a HostPattern>>,
}

impl<'a> Served<'a> {
    fn of(admitted: &'a [(usize, Arc<Route>)], entries: &'a [Entry], operator: &'a OperatorFile) -> Self {
        let in_file: HashSet<Option<&HostPattern>> = operator.gateway.routes.iter().flat_map(|r| hosts_of(r)).collect();
        let mut served = Self { first: HashMap::new(), shared: HashSet::new() };
        for (at, route) in admitted {
            let is_cut = !entries[*at].part.routes.iter().any(|part| Arc::ptr_eq(&part.route, route));
            for host in hosts_of(route) {
                let first = *served.first.entry(host).or_insert(*at);
                if first != *at || is_cut || in_file.contains(&host) {
                    served.shared.insert(host);
                }
            }
        }
        served
    }
}

/// Any host is one, too.
fn hosts_of(route: &Route) -> Vec<Option<&HostPattern>> {
    if route.hosts.is_empty() { vec![None] } else { route.hosts.iter().map(Some).collect() }
}

/// On hosts that no other object serves, what an object does to itself is all there is.
fn report_own_duplicates(entries: &[Entry], served: &Served<'_>, losses: &mut [Losses]) {
    for ((at, entry), losses) in entries.iter().enumerate().zip(losses).filter(|(_, losses)| !losses.is_left_out) {
        for duplicate in &entry.part.duplicates {
            let host = duplicate.host.as_ref();
            if served.first.get(&host) == Some(&at) && !served.shared.contains(&host) {
                losses.report_duplicate(&duplicate.loser_at, &duplicate.winner_at, Winner::Itself);
            }
        }
    }
}

fn report_duplicates(
    admitted: &[(usize, Arc<Route>)],
    entries: &[Entry],
    operator: &OperatorFile,
    served: &Served<'_>,
    losses: &mut [Losses],
) {
    if served.shared.is_empty() {
        return;
    }
    let on_shared = |route: &Arc<Route>| {
        let is_shared = |host: &&HostPattern| served.shared.contains(&Some(*host));
        let hosts: Vec<HostPattern> = route.hosts.iter().filter(is_shared).cloned().collect();
        let counts = if route.hosts.is_empty() { served.shared.contains(&None) } else { !hosts.is_empty() };
        counts.then(|| Route { hosts, ..Route::clone(route) })
    };
    let routes: Vec<(usize, Route)> =
        admitted.iter().filter_map(|(at, route)| Some((*at, on_shared(route)?))).collect();
    let of_file: Vec<Route> = operator.gateway.routes.iter().filter_map(on_shared).collect();
    let by_source: HashMap<&str, usize> =
        routes.iter().filter_map(|(at, route)| Some((object_of(route)?.1, *at))).collect();
    let all = of_file.iter().chain(routes.iter().map(|(_, route)| route));
    for Duplicate { route, rule, winner_route, winner, .. } in find_duplicates(all) {
        let Some(loser) = object_of(route).and_then(|(_, name)| by_source.get(name)) else { continue };
        let winner_of_all = match object_of(winner_route) {
            None => Winner::File,
            Some(_) if route.source == winner_route.source => Winner::Itself,
            Some((created, name)) => {
                Winner::Object { created, name, is_older: created < entries[*loser].object.created() }
            }
        };
        losses[*loser].report_duplicate(&rule.at, &winner.at, winner_of_all);
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
            admission.losses[at].report_settings(settings.index, &entries[*winner], *index);
        }
    }
}

/// Rules that are served nowhere although they could be: those that lost every host, to an owner or to an earlier rule.
fn count_nowhere(entries: &[Entry], admitted: &[(usize, Arc<Route>)], losses: &mut [Losses]) {
    // Rules that are off are counted as such, and not twice.
    let counts = |rule: &Rule| rule.action != Action::Broken;
    let mut hosts: Vec<HashMap<&str, usize>> = vec![HashMap::new(); entries.len()];
    for (at, route) in admitted.iter().filter(|(at, _)| !losses[*at].rules.is_empty()) {
        for rule in route.rules.iter().filter(|rule| counts(rule)) {
            *hosts[*at].entry(rule.at.as_str()).or_default() += route.hosts.len().max(1);
        }
    }
    for ((entry, losses), hosts) in entries.iter().zip(losses).zip(hosts) {
        if losses.rules.is_empty() && !losses.is_left_out {
            continue;
        }
        let is_served = |place: &str| hosts.get(place).is_some_and(|hosts| losses.lost_to_others(place) < *hosts);
        let rules = entry.part.routes.iter().flat_map(|part| &part.route.rules).filter(|rule| counts(rule));
        losses.nowhere = rules.filter(|rule| !is_served(&rule.at)).count();
    }
}
