//! Rules of one host that look at the same thing: only one of them can ever serve.

use std::collections::BTreeMap;

use crate::config::route::{HostPattern, Match, Route, Rule};

/// Rules of one host that look at the same thing: the first in precedence serves, the others never do.
///
/// Returns, for each later one, the place where it is written and the earlier route and rule. `routes`
/// must be in the order of precedence (source, then position).
#[expect(clippy::mutable_key_type, reason = "a pattern compares by its text, not by its engine's caches")]
pub fn find_duplicates<'a>(routes: impl Iterator<Item = &'a Route>) -> Vec<Duplicate<'a>> {
    let mut seen: BTreeMap<(Option<&HostPattern>, &Match), (&Route, &Rule)> = BTreeMap::new();
    let mut found = Vec::new();
    for route in routes {
        let hosts: Vec<Option<&HostPattern>> =
            if route.hosts.is_empty() { vec![None] } else { route.hosts.iter().map(Some).collect() };
        for rule in &route.rules {
            for host in &hosts {
                match seen.get(&(*host, &rule.matches)) {
                    Some((winner_route, winner)) => {
                        found.push(Duplicate { host: *host, route, rule, winner_route, winner });
                    }
                    None => {
                        seen.insert((*host, &rule.matches), (route, rule));
                    }
                }
            }
        }
    }
    found
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
