//! What an object lost against others, and how its owner is told.
//!
//! Only the loser is told. So nobody can cause writes to somebody else's object.

use std::collections::{BTreeMap, BTreeSet};

use super::gateway_route::PartRoute;
use super::hosts::{Granted, Leave, Owner};
use super::ownership::Entry;
use super::verdict::Conflict;
use crate::config::{Effect, HostPattern, PathMatch, Problem, Route, Slug, Source};

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
    /// Left out as a whole.
    pub is_left_out: bool,
    /// On how many hosts a rule lost against one with the same match.
    duplicates: BTreeMap<String, usize>,
}

/// Whom a rule with the same match lost against.
#[derive(Clone, Copy, Debug)]
pub enum Winner<'a> {
    /// An earlier rule of the same object.
    Itself,
    /// The operator's file.
    File,
    /// Another object.
    Object {
        /// Its age.
        created: i64,
        /// `namespace/name`.
        name: &'a str,
        /// Or of the same age, and first by name.
        is_older: bool,
    },
}

impl Losses {
    /// On how many hosts a rule lost against one with the same match.
    pub fn lost_to_others(&self, place: &str) -> usize {
        self.duplicates.get(place).copied().unwrap_or_default()
    }

    /// Tells what of a route is not served on a host.
    pub fn report_leave(
        &mut self,
        leave: &Leave<'_>,
        host: &HostPattern,
        entry: &Entry,
        part: &PartRoute,
        entries: &[Entry],
    ) {
        match leave {
            Leave::Whole => {}
            Leave::Within(granted) => self.report_outside(leave, granted, part, entries),
            Leave::Nothing(owner) => {
                let path = format!("spec.routes[{}].hosts", part.index);
                self.rules.extend(part.route.rules.iter().map(|rule| rule.at.clone()));
                self.report_owner(path, host, *owner, (&entry.name.namespace, true), entries);
            }
        }
    }

    /// A grant of a host that somebody else has.
    pub fn report_void_grant(
        &mut self,
        entry: &Entry,
        place: usize,
        host: &HostPattern,
        owner: Owner<'_>,
        entries: &[Entry],
    ) {
        let Some(grant) = entry.part.grants.get(place) else { return };
        let before = self.problems.len();
        let path = format!("spec.grants[{}].hosts", grant.index);
        self.report_owner(path, host, owner, (&entry.name.namespace, false), entries);
        for problem in self.problems.iter_mut().skip(before) {
            problem.effect = Effect::Ignored;
        }
    }

    fn report_owner(
        &mut self,
        path: String,
        host: &HostPattern,
        owner: Owner<'_>,
        (namespace, wants_path): (&str, bool),
        entries: &[Entry],
    ) {
        let (slug, message, winner, created) = match owner {
            Owner::File => {
                let message = format!(
                    "{host} belongs to the operator's file; it can give it to namespace {namespace} with cluster.hostGrants"
                );
                (Slug::HostOwned, message, Some("the operator's file".to_owned()), None)
            }
            Owner::Oldest(at) => {
                let Some(winner) = entries.get(at) else { return };
                let (whose, name) = (&winner.name.namespace, &winner.name);
                let how = if wants_path {
                    format!("; it can grant namespace {namespace} a path with spec.grants")
                } else {
                    String::new()
                };
                let message = format!("{host} belongs to namespace {whose} (GatewayRoute {name}){how}");
                (Slug::HostOwned, message, Some(format!("GatewayRoute {name}")), Some(winner.object.created()))
            }
            Owner::Pinned(_) | Owner::Nobody | Owner::Everybody => {
                let message = format!("namespace {namespace} is in no cluster.hostGrants entry for {host}");
                (Slug::HostNotGranted, message, None, None)
            }
        };
        self.problems.push(Problem::new(path.clone(), slug, message.clone()));
        if let Some(winner) = winner {
            let since = created.map(since).unwrap_or_default();
            self.conflicts.push(Conflict { path, winner, since, message });
        }
    }

    /// Rules that reach beyond what is granted, and priorities that are not theirs to set.
    fn report_outside(&mut self, leave: &Leave<'_>, granted: &[Granted<'_>], part: &PartRoute, entries: &[Entry]) {
        for rule in &part.route.rules {
            if !leave.covers(&rule.matches.path) {
                self.rules.insert(rule.at.clone());
                let message = outside_message(granted, written(&rule.matches.path), entries);
                self.report_once(Problem::new(rule.at.clone(), Slug::PathNotGranted, message));
            } else if rule.priority != 0 {
                let message = "priority is for the owner of the host; 0 is used";
                self.report_once(Problem::new(format!("{}.priority", rule.at), Slug::PriorityOwner, message));
            }
        }
    }

    /// However many hosts it is about.
    fn report_once(&mut self, problem: Problem) {
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// A rule is not served on a host, as another one looks at the same. Each pair once, however many hosts they share.
    pub fn report_duplicate(&mut self, loser_at: &str, winner_at: &str, winner: Winner<'_>) {
        let message = match winner {
            Winner::Object { created, name, is_older: true } => format!(
                "the same host and match as GatewayRoute {name} {winner_at}, which is older ({}) and is served",
                since(created)
            ),
            Winner::Object { name, .. } => format!(
                "the same host and match as GatewayRoute {name} {winner_at}, which is as old, comes first by name and is served"
            ),
            Winner::File => format!(
                "the same host and match as {winner_at} of the operator's file, which stands before objects and is served"
            ),
            Winner::Itself => {
                format!("the same host and match as {winner_at}, which comes first and is served")
            }
        };
        let problem = Problem::new(loser_at, Slug::DuplicateMatch, message.clone());
        self.rules.insert(loser_at.to_owned());
        *self.duplicates.entry(loser_at.to_owned()).or_default() += 1;
        if self.problems.contains(&problem) {
            return;
        }
        self.problems.push(problem);
        let (winner, since) = match winner {
            Winner::Itself => return,
            Winner::File => (format!("the operator's file {winner_at}"), String::new()),
            Winner::Object { created, name, .. } => (format!("GatewayRoute {name} {winner_at}"), since(created)),
        };
        self.conflicts.push(Conflict { path: loser_at.to_owned(), winner, since, message });
    }

    /// An older entry says something about the same Service.
    pub fn report_settings(&mut self, index: usize, winner: &Entry, winner_index: usize) {
        let path = format!("spec.upstreams[{index}]");
        let winner_name = format!("GatewayRoute {} spec.upstreams[{winner_index}]", winner.name);
        let message = format!("{winner_name} is older and counts");
        self.problems.push(Problem::new(path.clone(), Slug::SettingsConflict, message.clone()));
        let since = since(winner.object.created());
        self.conflicts.push(Conflict { path, winner: winner_name, since, message });
    }
}

fn written(path: &PathMatch) -> &str {
    match path {
        PathMatch::Exact(path) | PathMatch::Prefix(path) => path,
        PathMatch::Regex(pattern) => pattern.as_str(),
    }
}

/// `shop grants /checkout here, /cart lies outside`.
fn outside_message(granted: &[Granted<'_>], path: &str, entries: &[Entry]) -> String {
    let mut told: Vec<String> = Vec::new();
    for Granted { by, path } in granted {
        let namespace = entries.get(*by).map_or("", |entry| entry.name.namespace.as_str());
        let one = format!("{namespace} grants {path} here");
        if !told.contains(&one) {
            told.push(one);
        }
    }
    format!("{}, {path} lies outside", told.join(", "))
}

/// Age and name of the object that a route is from; none for the file's.
pub fn object_of(route: &Route) -> Option<(i64, &str)> {
    match &route.source {
        Source::Object { created, name } => Some((*created, name)),
        Source::File => None,
    }
}

/// A time as it stands in objects.
fn since(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map(|time| time.to_string()).unwrap_or_default()
}
