//! Which table decides on which listener.
//!
//! Most routes are served on all listeners, and then there is one table. As soon as a route names a listener,
//! that listener has a table of its own with the routes for all and those that name it; routes that name others
//! are not in it, so they are out before the host is looked up. The tables share what they have in common: a
//! host that no such route names has one [`HostTable`](super::HostTable) for all listeners, by pointer.
//!
//! Finding the table costs nothing while no route names a listener, and else a comparison of a few short names.

use std::sync::Arc;

use crate::config::{HostPattern, Rule};

use super::Table;
use super::precedence::Position;
use super::rules::Candidate;

/// The tables of all listeners. A clone is cheap.
#[derive(Clone, Debug)]
pub struct Tables<P> {
    /// Of every listener that no route names.
    common: Table<P>,
    named: Vec<Named<P>>,
}

#[derive(Clone, Debug)]
struct Named<P> {
    listener: Box<str>,
    table: Table<P>,
    /// How many routes name it.
    routes: usize,
}

/// A rule that is taken out of a host.
#[derive(Clone, Copy, Debug)]
pub struct Leaving<'a> {
    /// Those of its route; empty: all.
    pub listeners: &'a [String],
    /// As it was put in.
    pub rule: &'a Rule,
    /// As it was put in.
    pub position: Position,
}

/// A rule that is put into a host.
#[derive(Clone, Debug)]
pub struct Entering<'a, P> {
    /// Those of its route; empty: all.
    pub listeners: &'a [String],
    /// The rule.
    pub candidate: Candidate<P>,
}

impl<P> Default for Tables<P> {
    fn default() -> Self {
        Self { common: Table::default(), named: Vec::new() }
    }
}

impl<P> Tables<P> {
    /// The table that decides what comes in on a listener.
    pub fn of(&self, listener: &str) -> &Table<P> {
        let named = self.named.iter().find(|named| *named.listener == *listener);
        named.map_or(&self.common, |named| &named.table)
    }

    /// One more route names this listener. Told before its rules are put in.
    pub fn name(&mut self, listener: &str) {
        match self.named.iter_mut().find(|named| *named.listener == *listener) {
            Some(named) => named.routes += 1,
            None => self.named.push(Named { listener: listener.into(), table: self.common.clone(), routes: 1 }),
        }
    }

    /// One less route names this listener. Told after its rules were taken out.
    pub fn unname(&mut self, listener: &str) {
        for named in self.named.iter_mut().filter(|named| *named.listener == *listener) {
            named.routes -= 1;
        }
        self.named.retain(|named| named.routes > 0);
    }

    /// Takes rules out of a host and puts others in, on the listeners where they are served.
    pub fn change(&mut self, host: Option<&HostPattern>, gone: &[Leaving<'_>], come: &[Entering<'_, P>])
    where
        P: Clone,
    {
        let before = self.common.get(host).cloned();
        change_where(&mut self.common, host, gone, come, <[String]>::is_empty);
        let after = self.common.get(host);
        let mut named_here = gone.iter().map(|gone| gone.listeners).chain(come.iter().map(|come| come.listeners));
        let is_for_all = named_here.all(<[String]>::is_empty);
        for named in &mut self.named {
            let own = named.table.get(host);
            if is_for_all && own.map(Arc::as_ptr) == before.as_ref().map(Arc::as_ptr) {
                named.table.put(host, after.cloned());
                continue;
            }
            let is_served =
                |listeners: &[String]| listeners.is_empty() || listeners.iter().any(|l| **l == *named.listener);
            change_where(&mut named.table, host, gone, come, is_served);
            // What is served on all is always in it: as many are the same.
            let len = |table: Option<&Arc<super::HostTable<P>>>| table.map_or(0, |table| table.len());
            if len(named.table.get(host)) == len(after) {
                named.table.put(host, after.cloned());
            }
        }
    }
}

fn change_where<P: Clone>(
    table: &mut Table<P>,
    host: Option<&HostPattern>,
    gone: &[Leaving<'_>],
    come: &[Entering<'_, P>],
    is_served: impl Fn(&[String]) -> bool,
) {
    let gone: Vec<(&Rule, Position)> =
        gone.iter().filter(|gone| is_served(gone.listeners)).map(|gone| (gone.rule, gone.position)).collect();
    let come: Vec<Candidate<P>> =
        come.iter().filter(|come| is_served(come.listeners)).map(|come| come.candidate.clone()).collect();
    if !gone.is_empty() || !come.is_empty() {
        table.change(host, &gone, come);
    }
}
