//! Which rule answers a request: one pure function, `(Table, request head) -> Decision`.
//!
//! The proxy calls [`Table::decide`] for every request; `sluice explain` calls [`Table::explain`], which
//! asks the very same tests and also says why every other rule lost. There is no second implementation.
//!
//! ```text
//! request head ── host.rs ──> the one host that decides ── path.rs, conditions.rs ──> first rule in precedence
//! ```
//!
//! The host decides alone: an exact host, else the longest wildcard, else the routes without hosts. If no
//! rule of that host matches, the answer is 404 and no wider host is asked, as its owner may be a stranger.
//!
//! A host's table is compiled from that host's rules alone, so it can be shared between snapshots while they
//! stay the same. Inside it rules stand in the order of precedence; exact paths and prefixes are found by
//! hash, so the cost of a decision grows with the depth of the path and not with the number of rules.
//!
//! `P` is what the caller keeps with a rule: the proxy its plan, tests a number.

pub mod conditions;
pub mod explain;
pub mod host;
pub mod path;
pub mod precedence;

use std::collections::HashMap;
use std::sync::Arc;

use http::{HeaderMap, Method};

use crate::config::{HostPattern, PathMatch, Rule};

use conditions::Mismatch;
use precedence::Precedence;

type FastMap<K, V> = HashMap<K, V, ahash::RandomState>;

/// What of a request decides.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Normalised by [`host::normalise`].
    pub host: &'a str,
    /// Normalised by [`path::normalise`], without query.
    pub path: &'a str,
    /// As in the request line.
    pub method: &'a Method,
    /// As received.
    pub headers: &'a HeaderMap,
}

/// What answers.
#[derive(Debug)]
pub enum Decision<'t, P> {
    /// This rule.
    Rule(&'t Candidate<P>),
    /// The host is known, none of its rules matches.
    NoRoute,
    /// Nobody named this host, and there is no route for any host.
    NoHost,
}

/// The rules of all hosts.
#[derive(Debug)]
pub struct Table<P> {
    exact: FastMap<String, Arc<HostTable<P>>>,
    /// Keyed by what follows `*.`.
    wildcard: FastMap<String, Arc<HostTable<P>>>,
    any: Option<Arc<HostTable<P>>>,
}

/// The rules of one host.
#[derive(Debug)]
pub struct HostTable<P> {
    /// In the order of precedence: a smaller rank wins.
    candidates: Vec<Candidate<P>>,
    /// Ranks by exact path.
    exact: FastMap<String, Vec<u32>>,
    /// Ranks by prefix, written without a final `/` (the prefix `/` is the empty text).
    prefixes: FastMap<String, Vec<u32>>,
}

/// A rule on one host, with what the caller keeps beside it.
#[derive(Debug)]
pub struct Candidate<P> {
    /// As described.
    pub rule: Arc<Rule>,
    /// The caller's.
    pub plan: P,
    precedence: Precedence,
}

impl<P> Default for Table<P> {
    fn default() -> Self {
        Self { exact: FastMap::default(), wildcard: FastMap::default(), any: None }
    }
}

impl<P> Table<P> {
    /// Puts a host's table in its place; `None` is any host.
    pub fn insert(&mut self, host: Option<&HostPattern>, table: Arc<HostTable<P>>) {
        match host {
            Some(HostPattern::Exact(name)) => drop(self.exact.insert(name.clone(), table)),
            Some(HostPattern::Wildcard(suffix)) => drop(self.wildcard.insert(suffix.clone(), table)),
            None => self.any = Some(table),
        }
    }

    /// The table that stands at this place, if any.
    pub fn get(&self, host: Option<&HostPattern>) -> Option<&Arc<HostTable<P>>> {
        match host {
            Some(HostPattern::Exact(name)) => self.exact.get(name),
            Some(HostPattern::Wildcard(suffix)) => self.wildcard.get(suffix),
            None => self.any.as_ref(),
        }
    }

    /// Which rule answers.
    pub fn decide(&self, head: &Head<'_>) -> Decision<'_, P> {
        match self.host_table(head.host) {
            Some(table) => table.decide(head).map_or(Decision::NoRoute, Decision::Rule),
            None => Decision::NoHost,
        }
    }

    /// The one host table that decides for a host: exact, else the longest wildcard, else any.
    fn host_table(&self, host: &str) -> Option<&HostTable<P>> {
        if let Some(table) = self.exact.get(host) {
            return Some(table);
        }
        if !self.wildcard.is_empty() {
            let mut rest = host;
            while let Some((_, suffix)) = rest.split_once('.') {
                if let Some(table) = self.wildcard.get(suffix) {
                    return Some(table);
                }
                rest = suffix;
            }
        }
        self.any.as_deref()
    }
}

impl<P> HostTable<P> {
    /// Compiles the rules of one host. `rules` come in the order of sources and positions, the last keys of
    /// precedence.
    pub fn compile(rules: impl IntoIterator<Item = (Arc<Rule>, P)>) -> Self {
        let mut candidates: Vec<Candidate<P>> = rules
            .into_iter()
            .map(|(rule, plan)| Candidate { precedence: Precedence::of(&rule.matches), rule, plan })
            .collect();
        // Stable: where all keys are equal, source and position decide.
        candidates.sort_by_key(|candidate| candidate.precedence);
        let mut table = Self { candidates, exact: FastMap::default(), prefixes: FastMap::default() };
        for (rank, candidate) in (0_u32..).zip(&table.candidates) {
            let (map, key) = match &candidate.rule.matches.path {
                PathMatch::Exact(path) => (&mut table.exact, path.as_str()),
                PathMatch::Prefix(path) => (&mut table.prefixes, path.strip_suffix('/').unwrap_or(path)),
                PathMatch::Regex(_) => continue,
            };
            map.entry(key.to_owned()).or_default().push(rank);
        }
        table
    }

    /// Its rules in the order of precedence.
    pub fn candidates(&self) -> &[Candidate<P>] {
        &self.candidates
    }

    /// The first rule, by precedence, whose conditions all hold.
    ///
    /// The buckets are asked from the most specific path to the least: exact, then prefixes from long to
    /// short. That is the order of ranks, as kind and length of the path are the first keys of precedence.
    fn decide(&self, head: &Head<'_>) -> Option<&Candidate<P>> {
        if let Some(found) = self.exact.get(head.path).and_then(|ranks| self.first(ranks, head)) {
            return Some(found);
        }
        let mut prefix = head.path;
        while let Some(end) = prefix.rfind('/') {
            // `/a/b` is asked as `/a/b`, `/a`, and the empty text; `/a/b/` first as itself without the slash.
            if let Some(found) = self.prefixes.get(prefix).and_then(|ranks| self.first(ranks, head)) {
                return Some(found);
            }
            prefix = &prefix[..end];
        }
        self.prefixes.get("").and_then(|ranks| self.first(ranks, head))
    }

    fn first(&self, ranks: &[u32], head: &Head<'_>) -> Option<&Candidate<P>> {
        ranks
            .iter()
            .filter_map(|rank| self.candidates.get(*rank as usize))
            .find(|candidate| conditions::check_rest(&candidate.rule.matches, head).is_ok())
    }
}

impl<P> Candidate<P> {
    /// Whether the rule matches, and if not, the first condition that fails.
    ///
    /// # Errors
    /// That condition.
    pub fn check(&self, head: &Head<'_>) -> Result<(), Mismatch> {
        conditions::check(&self.rule.matches, head)
    }
}

#[cfg(test)]
mod tests;
