//! The rate limits of a rule: all must pass, in their order, and the first that does not refuses.
//!
//! A refused request is counted nowhere. Limits behind the one that refused are not asked; what limits before it have
//! counted is given back. Otherwise a client at the end of its daily quota would also use up what it shares with
//! others, by requests that were never served. Between count and giving back another request may be refused that
//! would just have fitted; that is the price of not holding several locks at once.
//!
//! For each limit: clients in `exempt` are not counted; the key is made of the request's attributes; a request
//! without all of them is counted by the client's address, or not at all, or refused (`missingKey`). A limit in mode
//! `report` counts like any other, and what it would refuse is told ([`LimitOutcome::reported`]) but passes.
//!
//! Compiled by `snapshot` with limiters from the registry, asked by `proxy`. A rule without limits costs one
//! comparison.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue, StatusCode};

use super::address_set::AddressSet;
use super::asked::Asked;
use super::attribute::{Found, feed, feed_client, one_client};
use super::limit_headers::{Told, whole_seconds};
use crate::config::Attribute;
use crate::config::traffic::{MissingKey, RateLimit, RateMode};
use crate::ratelimit::{Key, Limiter, Verdict};

/// The limits of a rule, compiled.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    entries: Box<[Entry]>,
}

#[derive(Clone, Debug)]
struct Entry {
    limit: Arc<RateLimit>,
    limiter: Arc<Limiter>,
    exempt: AddressSet,
    /// Whether keys are clients' addresses, so that the address names them.
    is_by_address: bool,
}

/// What all limits together say.
#[derive(Clone, Debug, Default)]
pub struct LimitOutcome {
    /// None: the request may pass.
    pub refusal: Option<LimitRefusal>,
    /// Limits that only report and would have refused it.
    pub reported: Vec<Met>,
    /// For the answer, whoever gives it.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// A limit that was met, and by whom: what is counted.
#[derive(Clone, Debug)]
pub struct Met {
    /// Which.
    pub limit: Arc<RateLimit>,
    /// The client's address, IPv6 cut to /64.
    pub client: IpAddr,
    /// A short hash of the key, where that is something else than the client's address. Means nothing outside the
    /// process.
    pub key_hash: Option<u32>,
}

/// What the client is told.
#[derive(Clone, Debug)]
pub struct LimitRefusal {
    /// Which limit refused whom.
    pub met: Met,
    /// Of the answer.
    pub status: StatusCode,
    /// `Retry-After` in seconds, at least 1.
    pub retry_after: u64,
    /// The request lacks what is counted by: it was not too many.
    pub is_key_missing: bool,
}

/// What one limit says.
enum Counted {
    /// The request does not concern it.
    Not,
    Passed(Key, Verdict),
    Refused(Met, Option<Verdict>),
}

impl LimitOutcome {
    /// Whether the request may pass.
    pub fn is_allowed(&self) -> bool {
        self.refusal.is_none()
    }
}

impl Limits {
    /// In the order in which they are asked.
    pub fn new(limits: Vec<(Arc<RateLimit>, Arc<Limiter>)>) -> Self {
        let entry = |(limit, limiter): (Arc<RateLimit>, Arc<Limiter>)| Entry {
            exempt: AddressSet::new(&limit.exempt),
            is_by_address: limit.key.iter().all(|attribute| *attribute == Attribute::ClientAddress),
            limit,
            limiter,
        };
        Self { entries: limits.into_iter().map(entry).collect() }
    }

    /// Whether there is nothing to ask.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Counts a request, if all let it pass.
    pub fn check(&self, asked: &Asked<'_>, now: Instant) -> LimitOutcome {
        let mut outcome = LimitOutcome::default();
        if !self.entries.is_empty() {
            let mut told = Told::default();
            pass(&self.entries, asked, now, &mut told, &mut outcome);
            outcome.headers = told.into_headers();
        }
        outcome
    }
}

/// Whether these entries let a request pass. Nests as deep as a rule has limits, which is a handful; so what one has
/// counted is at hand when another behind it refuses.
fn pass(entries: &[Entry], asked: &Asked<'_>, now: Instant, told: &mut Told, outcome: &mut LimitOutcome) -> bool {
    let Some((entry, rest)) = entries.split_first() else { return true };
    match entry.count(asked, now) {
        Counted::Not => pass(rest, asked, now, told, outcome),
        Counted::Passed(key, verdict) => {
            told.add(&entry.limit, verdict);
            let is_passed = pass(rest, asked, now, told, outcome);
            if !is_passed {
                entry.limiter.give_back(key, now);
            }
            is_passed
        }
        Counted::Refused(met, _) if entry.limit.mode == RateMode::Report => {
            outcome.reported.push(met);
            pass(rest, asked, now, told, outcome)
        }
        Counted::Refused(met, verdict) => {
            *told = Told::default();
            if let Some(verdict) = verdict {
                told.add(&entry.limit, verdict);
            }
            let wait = verdict.map_or(Duration::ZERO, |verdict| verdict.retry_after);
            let status = met.limit.status;
            let is_key_missing = verdict.is_none();
            outcome.refusal =
                Some(LimitRefusal { met, status, retry_after: whole_seconds(wait).max(1), is_key_missing });
            false
        }
    }
}

impl Entry {
    fn count(&self, asked: &Asked<'_>, now: Instant) -> Counted {
        if self.exempt.contains(asked.client) {
            return Counted::Not;
        }
        let (key, is_by_address) = match self.key(asked) {
            Ok(found) => found,
            Err(MissingKey::Reject) => return Counted::Refused(self.met(asked, None), None),
            Err(_) => return Counted::Not,
        };
        let verdict = self.limiter.check(key, now);
        if verdict.is_allowed {
            return Counted::Passed(key, verdict);
        }
        Counted::Refused(self.met(asked, (!is_by_address).then(|| key.short())), Some(verdict))
    }

    /// The key, and whether the client's address names it.
    fn key(&self, asked: &Asked<'_>) -> Result<(Key, bool), MissingKey> {
        if self.limit.key.is_empty() {
            return Ok((Key::ALL, true));
        }
        let mut builder = self.limiter.key_builder();
        if feed(&self.limit.key, asked, &mut |bytes| builder.feed(bytes)) == Found::All {
            return Ok((builder.finish(), self.is_by_address));
        }
        if self.limit.missing_key != MissingKey::ClientAddress {
            return Err(self.limit.missing_key);
        }
        let mut builder = self.limiter.key_builder();
        feed_client(asked, &mut |bytes| builder.feed(bytes));
        Ok((builder.finish(), true))
    }

    fn met(&self, asked: &Asked<'_>, key_hash: Option<u32>) -> Met {
        Met { limit: Arc::clone(&self.limit), client: one_client(asked.client), key_hash }
    }
}

#[cfg(test)]
mod tests;
