//! Which rule answers a request: one pure function, `(Table, request head) -> Decision`.
//!
//! The proxy calls [`Table::decide`] for every request; `sluice explain` calls [`Table::explain`], which
//! asks the very same tests and also says why every other rule lost. There is no second implementation.
//!
//! ```text
//! request head ── table.rs ──> the one host that decides ── rules.rs, conditions.rs ──> first rule in precedence
//!   host.rs, path.rs: in normal form          seen.rs: query and cookies, read once if a rule asks
//! ```
//!
//! The host decides alone: an exact host, else the longest wildcard, else the routes without hosts. If no
//! rule of that host matches, the answer is 404 and no wider host is asked, as its owner may be a stranger.
//! Which rule of a host goes first is told in [`precedence`], how it is found in [`rules`].
//!
//! A [`Table`] is made from another by changing some hosts; all the rest is shared between the two
//! ([`shared_map`]), so the work for one change is that change's, with a hundred thousand routes as with ten.
//!
//! `P` is what the caller keeps with a rule: the proxy its plan, tests a number.

pub mod conditions;
pub mod cookie;
pub mod explain;
pub mod host;
pub mod listeners;
pub mod path;
pub mod precedence;
pub mod query;
pub mod rules;
pub mod seen;
pub mod shared_map;
pub mod table;

use std::net::IpAddr;

use http::{HeaderMap, Method};

pub use listeners::Tables;
pub use rules::{Candidate, HostTable};
pub use table::Table;

/// What of a request decides.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Normalised by [`host::normalise`].
    pub host: &'a str,
    /// Normalised by [`path::normalise`], without query.
    pub path: &'a str,
    /// As received, without `?`.
    pub query: Option<&'a str>,
    /// As in the request line.
    pub method: &'a Method,
    /// As received.
    pub headers: &'a HeaderMap,
    /// As the listener sees it.
    pub client: IpAddr,
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

#[cfg(test)]
mod tests;
