//! The rules of one host, so that the one that answers is found fast however many there are.
//!
//! Up to [`FEW`] rules stand in a list in the order of precedence, and the first that matches answers. More
//! are found by their path:
//!
//! | path | where | asked with |
//! |---|---|---|
//! | `exactPath` | by the path | the request's path |
//! | `pathRegex` | by its folder: its literal beginning up to the last `/` | each folder above the request's path |
//! | `path` | by the prefix, without a final `/` | the request's path and each folder above |
//!
//! Every place holds its rules in the order of precedence, so the first that matches is its best. Where all rules
//! have one priority, which is how most hosts are, exact goes before pattern before prefix, and a longer prefix
//! before a shorter: the first place that answers is the answer (of patterns, the best of all folders). Where
//! priorities differ all places are asked, and a rule is looked at only while it ranks before the best so far.
//!
//! # What a decision costs
//!
//! One look-up for each folder of the path, but only up to the longest prefix that is described: a path of 4,000
//! segments is cut to that length first. Then the rules of the places found, one after the other: 10 to 30 ns for a
//! rule whose method or header differs, 50 to 300 ns for a pattern on a short path (patterns are linear in the path
//! and need no more than 64 KiB each). A thousand patterns that all begin with `/api/` cost a request below `/api`
//! up to 0.3 ms, and other requests nothing; patterns without a literal beginning are asked for every path. The
//! other way, one automaton for all patterns of a host, was left out: with hundreds of patterns its states grow
//! past any bound and it falls back to following all of them at once.
//!
//! # What a change costs
//!
//! Places lie in [`SharedMap`]s: a changed copy shares all but the shards of the places that changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::config::{Match, PathMatch, Rule};

use super::conditions::{self, Mismatch};
use super::precedence::{Position, Precedence, Rank};
use super::seen::Seen;
use super::shared_map::SharedMap;

/// Rules up to which a list is as fast as looking up: each costs a comparison of two short texts.
const FEW: usize = 8;

/// A rule on one host, with what the caller keeps beside it.
#[derive(Clone, Debug)]
pub struct Candidate<P> {
    /// As described.
    pub rule: Arc<Rule>,
    /// The caller's.
    pub plan: P,
    /// The last keys of precedence; unique among the rules of a host.
    pub position: Position,
}

impl<P> Candidate<P> {
    /// Its place in the order of precedence.
    pub fn rank(&self) -> Rank {
        Rank(Precedence::of(&self.rule), self.position)
    }

    /// Whether the rule matches, and if not, the first condition that fails.
    ///
    /// # Errors
    /// That condition.
    pub fn check(&self, seen: &Seen<'_>) -> Result<(), Mismatch<'_>> {
        conditions::check(&self.rule.matches, seen)
    }

    /// The same for a request that found it by its path. A pattern comes last, as it costs most.
    fn holds(&self, seen: &Seen<'_>) -> bool {
        let matches: &Match = &self.rule.matches;
        conditions::check_rest(matches, seen).is_ok()
            && match &matches.path {
                PathMatch::Regex(pattern) => pattern.matches(seen.head().path),
                PathMatch::Exact(_) | PathMatch::Prefix(_) => true,
            }
    }
}

/// The rules of one host.
#[derive(Clone, Debug)]
pub struct HostTable<P> {
    rules: Rules<P>,
}

#[derive(Clone, Debug)]
enum Rules<P> {
    /// In the order of precedence.
    Few(Vec<Candidate<P>>),
    Many(Box<Places<P>>),
}

/// Rules by the form of their path.
#[derive(Clone, Debug)]
struct Places<P> {
    exact: SharedMap<Vec<Candidate<P>>>,
    patterns: SharedMap<Vec<Candidate<P>>>,
    prefixes: SharedMap<Vec<Candidate<P>>>,
    /// At least the length of the longest folder of a pattern, in bytes.
    longest_folder: usize,
    /// At least the length of the longest prefix, in bytes.
    longest_prefix: usize,
    /// How many rules have a priority.
    priorities: BTreeMap<i32, usize>,
    len: usize,
}

impl<P> Default for HostTable<P> {
    fn default() -> Self {
        Self { rules: Rules::Few(Vec::new()) }
    }
}

impl<P> HostTable<P> {
    /// How many rules there are.
    pub fn len(&self) -> usize {
        match &self.rules {
            Rules::Few(list) => list.len(),
            Rules::Many(places) => places.len,
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first rule, by precedence, whose conditions all hold.
    pub fn decide(&self, seen: &Seen<'_>) -> Option<&Candidate<P>> {
        match &self.rules {
            Rules::Few(list) => list.iter().find(|candidate| candidate.check(seen).is_ok()),
            Rules::Many(places) => places.decide(seen),
        }
    }

    /// Its rules in the order of precedence.
    pub fn candidates(&self) -> Vec<&Candidate<P>> {
        match &self.rules {
            Rules::Few(list) => list.iter().collect(),
            Rules::Many(places) => {
                let mut all: Vec<_> = places.all().flat_map(|map| map.values().flatten()).collect();
                all.sort_by_cached_key(|candidate| candidate.rank());
                all
            }
        }
    }

    /// The candidate of this rule at this position.
    pub fn find(&self, rule: &Rule, position: Position) -> Option<&Candidate<P>> {
        let list = match &self.rules {
            Rules::Few(list) => Some(list),
            Rules::Many(places) => {
                let (kind, key) = place_of(&rule.matches.path);
                places.map(kind).get(key)
            }
        };
        list.into_iter().flatten().find(|candidate| candidate.position == position)
    }
}

impl<P: Clone> HostTable<P> {
    /// Takes rules out and puts others in.
    pub fn change(&mut self, gone: &[(&Rule, Position)], come: Vec<Candidate<P>>) {
        if let Rules::Few(list) = &mut self.rules {
            list.retain(|candidate| !gone.iter().any(|(_, position)| candidate.position == *position));
            list.reserve_exact(come.len());
            list.extend(come);
            if list.len() <= FEW {
                list.sort_by_key(Candidate::rank);
            } else {
                let mut places = Places::default();
                places.add(std::mem::take(list));
                self.rules = Rules::Many(Box::new(places));
            }
            return;
        }
        if let Rules::Many(places) = &mut self.rules {
            places.remove(gone);
            places.add(come);
        }
    }
}

impl<P> Default for Places<P> {
    fn default() -> Self {
        Self {
            exact: SharedMap::default(),
            patterns: SharedMap::default(),
            prefixes: SharedMap::default(),
            longest_folder: 0,
            longest_prefix: 0,
            priorities: BTreeMap::new(),
            len: 0,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Exact,
    Pattern,
    Prefix,
}

/// Where rules with this path are kept.
fn place_of(path: &PathMatch) -> (Kind, &str) {
    match path {
        PathMatch::Exact(path) => (Kind::Exact, path),
        PathMatch::Prefix(path) => (Kind::Prefix, path.strip_suffix('/').unwrap_or(path)),
        PathMatch::Regex(pattern) => {
            let literal = pattern.literal_prefix();
            (Kind::Pattern, literal.rfind('/').map_or("", |end| &literal[..end]))
        }
    }
}

impl<P> Places<P> {
    fn map(&self, kind: Kind) -> &SharedMap<Vec<Candidate<P>>> {
        match kind {
            Kind::Exact => &self.exact,
            Kind::Pattern => &self.patterns,
            Kind::Prefix => &self.prefixes,
        }
    }

    fn all(&self) -> impl Iterator<Item = &SharedMap<Vec<Candidate<P>>>> {
        [&self.exact, &self.patterns, &self.prefixes].into_iter()
    }

    fn decide(&self, seen: &Seen<'_>) -> Option<&Candidate<P>> {
        let path = seen.head().path;
        let has_one_priority = self.priorities.len() <= 1;
        let mut best = None;
        ask(self.exact.get(path), seen, &mut best);
        if best.is_some() && has_one_priority {
            return best;
        }
        if !self.patterns.is_empty() {
            // The path itself is no folder: a pattern with that folder wants more.
            for folder in self_and_folders(path, self.longest_folder).filter(|folder| folder.len() < path.len()) {
                ask(self.patterns.get(folder), seen, &mut best);
            }
            if best.is_some() && has_one_priority {
                return best;
            }
        }
        for prefix in self_and_folders(path, self.longest_prefix) {
            ask(self.prefixes.get(prefix), seen, &mut best);
            if best.is_some() && has_one_priority {
                return best;
            }
        }
        best
    }
}

/// Puts the first of these that matches in place of a `best` that it goes before.
fn ask<'t, P>(place: Option<&'t Vec<Candidate<P>>>, seen: &Seen<'_>, best: &mut Option<&'t Candidate<P>>) {
    for candidate in place.into_iter().flatten() {
        if best.is_some_and(|best| best.rank() < candidate.rank()) {
            return;
        }
        if candidate.holds(seen) {
            *best = Some(candidate);
            return;
        }
    }
}

/// `/a/b` gives `/a/b`, `/a` and the empty text; what is longer than `longest` bytes is left out.
fn self_and_folders(path: &str, longest: usize) -> impl Iterator<Item = &str> {
    let cut = |path: &str, before: usize| path.as_bytes()[..before].iter().rposition(|byte| *byte == b'/');
    let first = match path.len() <= longest {
        true => Some(path),
        false => cut(path, longest + 1).map(|end| &path[..end]),
    };
    std::iter::successors(first, move |path| cut(path, path.len()).map(|end| &path[..end]))
}

impl<P: Clone> Places<P> {
    fn map_mut(&mut self, kind: Kind) -> &mut SharedMap<Vec<Candidate<P>>> {
        match kind {
            Kind::Exact => &mut self.exact,
            Kind::Pattern => &mut self.patterns,
            Kind::Prefix => &mut self.prefixes,
        }
    }

    fn remove(&mut self, gone: &[(&Rule, Position)]) {
        let mut positions: BTreeMap<(Kind, &str), BTreeSet<Position>> = BTreeMap::new();
        for (rule, position) in gone {
            positions.entry(place_of(&rule.matches.path)).or_default().insert(*position);
        }
        for ((kind, key), positions) in positions {
            let Some(mut kept) = self.map_mut(kind).remove(key) else { continue };
            for candidate in kept.extract_if(.., |candidate| positions.contains(&candidate.position)) {
                self.len -= 1;
                let priority = candidate.rule.priority;
                let count = self.priorities.get(&priority).copied().unwrap_or_default();
                if count > 1 {
                    self.priorities.insert(priority, count - 1);
                } else {
                    self.priorities.remove(&priority);
                }
            }
            if !kept.is_empty() {
                self.map_mut(kind).insert(key, kept);
            }
        }
    }

    fn add(&mut self, come: Vec<Candidate<P>>) {
        // Places that got something before what they had. Sorted once, as one place may get all of a thousand rules.
        let mut unsorted = BTreeSet::new();
        for candidate in come {
            let rule = Arc::clone(&candidate.rule);
            let (kind, key) = place_of(&rule.matches.path);
            self.len += 1;
            *self.priorities.entry(rule.priority).or_default() += 1;
            match kind {
                Kind::Exact => {}
                Kind::Pattern => self.longest_folder = self.longest_folder.max(key.len()),
                Kind::Prefix => self.longest_prefix = self.longest_prefix.max(key.len()),
            }
            let place = self.map_mut(kind).get_or_default(key);
            if place.last().is_some_and(|last| last.rank() > candidate.rank()) {
                unsorted.insert((kind, Box::<str>::from(key)));
            }
            if place.is_empty() {
                // Most paths have one rule.
                place.reserve_exact(1);
            }
            place.push(candidate);
        }
        for (kind, key) in unsorted {
            self.map_mut(kind).get_or_default(&key).sort_by_cached_key(Candidate::rank);
        }
    }
}

#[cfg(test)]
impl<P> HostTable<P> {
    /// How many shards of places two tables do not share: for tests of what a change costs.
    pub fn shards_not_shared_with(&self, other: &Self) -> usize {
        let (Rules::Many(own), Rules::Many(other)) = (&self.rules, &other.rules) else { return usize::MAX };
        own.all().zip(other.all()).map(|(own, other)| own.shards_not_shared_with(other)).sum()
    }
}
