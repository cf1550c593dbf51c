//! What one level says about requests, and how levels are put on one another.
//!
//! `defaults`, then the policies of `use` in their order, then the route, then the rule: each is a [`Layer`], in which
//! what is not said is absent. Layers are put over the built-in defaults one after the other, and the nearest wins:
//! - a first-level field is replaced whole: `retries: {attempts: 1}` does not keep the `statuses` of the level above;
//! - `timeouts`, `limits`, `security` and `accessLog` are replaced member by member;
//! - changes to headers add up, as else a level below would lose the Strict-Transport-Security of a level above by
//!   adding a header of its own. A name that is set again has the inner value, one that is removed is not set or
//!   added by the levels above;
//! - an empty list, and `concurrency: {disabled: true}`, mean none, although there was one.
//!
//! A limit keeps the identity of the level it is written at. So a policy's limit counts all its users together.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use crate::config::cidr::Cidr;
use crate::config::id::LimiterId;
use crate::config::message::{HeaderEdits, Rewrite};
use crate::config::status_set::StatusSet;
use crate::config::traffic::{Concurrency, LoadBalancer, RateLimit, Retries, Traffic, Upgrades};

/// What one level says. Absent: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layer {
    pub(super) request: Option<Duration>,
    pub(super) per_try: Option<Duration>,
    pub(super) idle: Option<Duration>,
    pub(super) stream_idle: Option<Duration>,
    pub(super) retries: Option<Retries>,
    pub(super) load_balancer: Option<LoadBalancer>,
    pub(super) rate_limits: Option<Vec<Arc<RateLimit>>>,
    /// The inner none: not limited.
    pub(super) concurrency: Option<Option<Arc<Concurrency>>>,
    /// The inner none: unlimited.
    pub(super) request_body: Option<Option<u64>>,
    pub(super) request_headers: HeaderEdits,
    pub(super) response_headers: HeaderEdits,
    /// The inner none: nothing is rewritten.
    pub(super) rewrite: Option<Option<Rewrite>>,
    pub(super) allow: Option<Vec<Cidr>>,
    pub(super) deny: Option<Vec<Cidr>>,
    pub(super) one_in: Option<u32>,
    pub(super) always: Option<StatusSet>,
    pub(super) upgrades: Option<Upgrades>,
}

impl Layer {
    /// Puts this level over the levels above.
    pub fn put_on(&self, traffic: &mut Traffic) {
        replace(&mut traffic.timeouts.request, self.request.as_ref());
        replace(&mut traffic.timeouts.per_try, self.per_try.as_ref());
        replace(&mut traffic.timeouts.idle, self.idle.as_ref());
        replace(&mut traffic.timeouts.stream_idle, self.stream_idle.as_ref());
        replace(&mut traffic.retries, self.retries.as_ref());
        replace(&mut traffic.load_balancer, self.load_balancer.as_ref());
        replace(&mut traffic.rate_limits, self.rate_limits.as_ref());
        replace(&mut traffic.concurrency, self.concurrency.as_ref());
        replace(&mut traffic.request_body, self.request_body.as_ref());
        add_up(&mut traffic.request_headers, &self.request_headers);
        add_up(&mut traffic.response_headers, &self.response_headers);
        replace(&mut traffic.rewrite, self.rewrite.as_ref());
        if let Some(allow) = &self.allow {
            traffic.security.allow = Some(allow.clone());
        }
        replace(&mut traffic.security.deny, self.deny.as_ref());
        replace(&mut traffic.access_log.one_in, self.one_in.as_ref());
        replace(&mut traffic.access_log.always, self.always.as_ref());
        replace(&mut traffic.upgrades, self.upgrades.as_ref());
    }

    /// The limits that are written at this level.
    pub fn limits(&self) -> impl Iterator<Item = &LimiterId> {
        let rates = self.rate_limits.iter().flatten().map(|limit| &limit.id);
        rates.chain(self.concurrency.iter().flatten().map(|limit| &limit.id))
    }
}

fn replace<T: Clone>(value: &mut T, nearer: Option<&T>) {
    if let Some(nearer) = nearer {
        value.clone_from(nearer);
    }
}

fn add_up(outer: &mut HeaderEdits, inner: &HeaderEdits) {
    let is_removed = |name: &HeaderName| inner.remove.contains(name);
    outer.set.retain(|edit| !is_removed(&edit.name) && inner.set.iter().all(|nearer| nearer.name != edit.name));
    outer.add.retain(|edit| !is_removed(&edit.name));
    outer.set.extend(inner.set.iter().cloned());
    outer.add.extend(inner.add.iter().cloned());
    for name in &inner.remove {
        if !outer.remove.contains(name) {
            outer.remove.push(name.clone());
        }
    }
}
