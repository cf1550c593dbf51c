//! Where each rule serves: on which hosts and listeners no rule with the same match stands before it.
//!
//! Objects may say the same twice; the earlier one serves, and the other one stays in its place and answers nothing. In
//! a file that is a mistake, so there such a rule is left out where it loses. Two that share one listener of several are
//! both kept, the later one on the listeners that it has alone.

use std::collections::BTreeMap;

use crate::config::Gateway;
use crate::config::route::{HostPattern, Match, Route, Rule};

/// Rules of one route that serve on the same hosts and listeners, in the order written.
#[derive(Debug)]
pub struct Piece<'g> {
    /// The route they come from.
    pub route: &'g Route,
    /// Empty: any host.
    pub hosts: Vec<&'g HostPattern>,
    /// Empty: all.
    pub listeners: Vec<&'g str>,
    /// At least one.
    pub rules: Vec<&'g Rule>,
}

/// Which listeners a match is taken on.
type Taken<'g> = BTreeMap<(Option<&'g HostPattern>, i32, &'g Match), Vec<&'g str>>;

/// All rules of a Gateway that serve anywhere, in its order.
#[expect(clippy::mutable_key_type, reason = "a pattern compares by its text, not by its engine's caches")]
pub fn pieces(gateway: &Gateway) -> Vec<Piece<'_>> {
    let all: Vec<&str> = gateway.listeners.iter().map(|listener| listener.name.as_str()).collect();
    let mut taken = Taken::new();
    let mut pieces: Vec<Piece<'_>> = Vec::new();
    for route in &gateway.routes {
        let first = pieces.len();
        for rule in &route.rules {
            for (listeners, hosts) in places(route, rule, &all, &mut taken) {
                let last = pieces.get_mut(first..).and_then(<[Piece<'_>]>::last_mut);
                match last.filter(|last| last.hosts == hosts && last.listeners == listeners) {
                    Some(last) => last.rules.push(rule),
                    None => pieces.push(Piece { route, hosts, listeners, rules: vec![rule] }),
                }
            }
        }
    }
    pieces
}

/// Where a rule serves: hosts by the listeners they are served on. A host of none stands for any host.
#[expect(clippy::mutable_key_type, reason = "see above")]
fn places<'g>(
    route: &'g Route,
    rule: &'g Rule,
    all: &[&'g str],
    taken: &mut Taken<'g>,
) -> Vec<(Vec<&'g str>, Vec<&'g HostPattern>)> {
    let hosts: Vec<Option<&HostPattern>> =
        if route.hosts.is_empty() { vec![None] } else { route.hosts.iter().map(Some).collect() };
    let wanted: Vec<&str> =
        if route.listeners.is_empty() { all.to_vec() } else { route.listeners.iter().map(String::as_str).collect() };
    let mut places: Vec<(Vec<&str>, Vec<&HostPattern>)> = Vec::new();
    for host in hosts {
        let before = taken.entry((host, rule.priority, &rule.matches)).or_default();
        let free: Vec<&str> = wanted.iter().copied().filter(|name| !before.contains(name)).collect();
        if free.is_empty() {
            continue;
        }
        before.extend(&free);
        // All of them stay unsaid where they were.
        let listeners = if free.len() == wanted.len() && route.listeners.is_empty() { Vec::new() } else { free };
        match places.iter_mut().find(|(known, _)| *known == listeners) {
            Some((_, hosts)) => hosts.extend(host),
            None => places.push((listeners, host.into_iter().collect())),
        }
    }
    places
}
