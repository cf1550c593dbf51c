//! Rules of one host that look at the same thing: only one of them can ever serve.

use std::collections::BTreeMap;

use crate::config::route::{HostPattern, Match, Route, Rule};

/// What two rules have in common when only one of them can ever serve: host, priority, and all a request must look
/// like.
type Place<'a> = (Option<&'a HostPattern>, i32, &'a Match);

/// Rules of one host that look at the same thing on a listener that both are served on: the first in precedence
/// serves, the others never do. Of two priorities the higher is meant to serve, so that is no duplicate.
///
/// Returns, for each later one, the place where it is written and the earlier route and rule. `routes`
/// must be in the order of precedence (source, then position).
#[expect(clippy::mutable_key_type, reason = "a pattern compares by its text, not by its engine's caches")]
pub fn find_duplicates<'a>(routes: impl Iterator<Item = &'a Route>) -> Vec<Duplicate<'a>> {
    let mut seen: BTreeMap<Place<'a>, Vec<(&'a Route, &'a Rule)>> = BTreeMap::new();
    let mut found = Vec::new();
    for route in routes {
        let hosts: Vec<Option<&HostPattern>> =
            if route.hosts.is_empty() { vec![None] } else { route.hosts.iter().map(Some).collect() };
        for rule in &route.rules {
            for host in &hosts {
                let earlier = seen.entry((*host, rule.priority, &rule.matches)).or_default();
                match earlier.iter().find(|(known, _)| share_a_listener(known, route)) {
                    Some((winner_route, winner)) => {
                        found.push(Duplicate { host: *host, route, rule, winner_route, winner });
                    }
                    None => earlier.push((route, rule)),
                }
            }
        }
    }
    found
}

/// No listeners are all of them.
fn share_a_listener(one: &Route, other: &Route) -> bool {
    one.listeners.is_empty()
        || other.listeners.is_empty()
        || one.listeners.iter().any(|name| other.listeners.contains(name))
}

/// Two rules with the same match on one host.
#[derive(Debug)]
pub struct Duplicate<'a> {
    /// The host; none: any host.
    pub host: Option<&'a HostPattern>,
    /// The later one's route.
    pub route: &'a Route,
    /// The later one, which is not served on this host.
    pub rule: &'a Rule,
    /// The earlier one's route.
    pub winner_route: &'a Route,
    /// The earlier one.
    pub winner: &'a Rule,
}
