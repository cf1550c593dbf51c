//! The rules of all hosts that are served on one listener.
//!
//! A clone is cheap and shares what stays the same ([`SharedMap`]), down to the places of one host's rules. So a
//! change is made on a copy, the copy is published, and the old one costs nothing but what is no longer in it.

use std::sync::Arc;

use crate::config::{HostPattern, Rule};

use super::precedence::Position;
use super::rules::{Candidate, HostTable};
use super::seen::Seen;
use super::shared_map::SharedMap;
use super::{Decision, Head};

/// The rules of all hosts.
#[derive(Debug)]
pub struct Table<P> {
    exact: SharedMap<Arc<HostTable<P>>>,
    /// Keyed by what follows `*.`.
    wildcard: SharedMap<Arc<HostTable<P>>>,
    any: Option<Arc<HostTable<P>>>,
}

/// Whose rules decide about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecidedBy<'h> {
    /// This host itself.
    Exact(&'h str),
    /// A wildcard for what is before this.
    Wildcard(&'h str),
    /// Routes without hosts.
    Any,
}

impl<P> Default for Table<P> {
    fn default() -> Self {
        Self { exact: SharedMap::default(), wildcard: SharedMap::default(), any: None }
    }
}

impl<P> Clone for Table<P> {
    fn clone(&self) -> Self {
        Self { exact: self.exact.clone(), wildcard: self.wildcard.clone(), any: self.any.clone() }
    }
}

impl<P> Table<P> {
    /// Which rule answers.
    pub fn decide(&self, head: &Head<'_>) -> Decision<'_, P> {
        match self.host_table(head.host) {
            Some((table, _)) => table.decide(&Seen::new(*head)).map_or(Decision::NoRoute, Decision::Rule),
            None => Decision::NoHost,
        }
    }

    /// The one host table that decides for a host: exact, else the longest wildcard, else any.
    pub fn host_table<'h>(&self, host: &'h str) -> Option<(&HostTable<P>, DecidedBy<'h>)> {
        if let Some(table) = self.exact.get(host) {
            return Some((table, DecidedBy::Exact(host)));
        }
        if !self.wildcard.is_empty() {
            let mut rest = host;
            while let Some((_, suffix)) = rest.split_once('.') {
                if let Some(table) = self.wildcard.get(suffix) {
                    return Some((table, DecidedBy::Wildcard(suffix)));
                }
                rest = suffix;
            }
        }
        self.any.as_deref().map(|table| (table, DecidedBy::Any))
    }

    /// The table that stands at this place, if any; `None` is any host.
    pub fn get(&self, host: Option<&HostPattern>) -> Option<&Arc<HostTable<P>>> {
        match host {
            Some(HostPattern::Exact(name)) => self.exact.get(name),
            Some(HostPattern::Wildcard(suffix)) => self.wildcard.get(suffix),
            None => self.any.as_ref(),
        }
    }

    /// How many hosts there are, any host as one.
    pub fn hosts(&self) -> usize {
        self.exact.len() + self.wildcard.len() + usize::from(self.any.is_some())
    }

    /// Puts a host's table in its place, or takes it away.
    pub fn put(&mut self, host: Option<&HostPattern>, table: Option<Arc<HostTable<P>>>) {
        let (map, key) = match host {
            Some(HostPattern::Exact(name)) => (&mut self.exact, name),
            Some(HostPattern::Wildcard(suffix)) => (&mut self.wildcard, suffix),
            None => {
                self.any = table;
                return;
            }
        };
        match table {
            Some(table) => map.insert(key, table),
            None => drop(map.remove(key)),
        }
    }

    /// Takes rules out of a host and puts others in. A host without rules is not there.
    pub fn change(&mut self, host: Option<&HostPattern>, gone: &[(&Rule, Position)], come: Vec<Candidate<P>>)
    where
        P: Clone,
    {
        let mut table = self.get(host).map_or_else(HostTable::default, |known| HostTable::clone(known));
        table.change(gone, come);
        self.put(host, (!table.is_empty()).then(|| Arc::new(table)));
    }
}

#[cfg(test)]
impl<P> Table<P> {
    /// How many shards of hosts two tables do not share: for tests of what a change costs.
    pub fn shards_not_shared_with(&self, other: &Self) -> usize {
        self.exact.shards_not_shared_with(&other.exact)
    }
}
