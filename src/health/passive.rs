//! What the answers of an endpoint show: one that fails several times in a row is left alone for a while.
//!
//! # What it does
//!
//! `failures` in a row, whoever's requests they were, *eject* the endpoint: it gets nothing for `ejectFor`. Any success
//! in between ends the row. Back again it is used like the others, and it takes a whole row to eject it again, for
//! twice as long, up to `maxEjectFor`. That it was ejected before is forgotten step by step: each stretch as long as
//! its last ejection in which it is back without a new one takes one doubling off.
//!
//! With the defaults: 5 failures, 10 s out; 5 more, 20 s; 5 more, 40 s. Then it works. 40 s later the next ejection
//! would be 40 s again, 80 s later 20 s, 120 s later 10 s.
//!
//! # What it never does
//!
//! Ejection is for the clients' sake: they are better off elsewhere. So there must be an elsewhere. The last usable
//! endpoint is never taken, and never are more than `maxEjectPercent` of them (rounded down: 50 % of three is one)
//! ejected at the same time. To know that takes a look at the whole set, and two workers that look at once could each
//! take one of the last two. So decisions on the endpoints of one upstream are made one at a time, under the lock of
//! their [`Ejections`], and the caller's look ([`Rest`]) is called under it. That is rare: once in `failures` failures,
//! as also a decision not to eject ends the row. When all endpoints fail, and none can be ejected, a row for each
//! endpoint has to fill before anybody looks again.
//!
//! What a server failed at before its ejection and is told after it does not count: while ejected, failures are
//! not heard.
//!
//! The alternative, comparing success rates between endpoints, needs much traffic on many endpoints to mean anything.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::config::upstream::PassiveHealth;

use super::{Health, Status};

/// The bit that says that something went well once.
const SUCCEEDED: u32 = 1 << 31;
/// The longest row that is counted.
const LONGEST_ROW: u32 = 1 << 30;

/// The health of one endpoint, as its answers show it.
#[derive(Debug, Default)]
pub struct Passive {
    /// Failures in a row, and [`SUCCEEDED`].
    row: AtomicU32,
    /// In nanoseconds from the origin; 0: never ejected.
    ejected_until: AtomicU64,
    /// The first ejection.
    origin: OnceLock<Instant>,
    past: Mutex<Past>,
}

/// What earlier ejections mean for the next one.
#[derive(Debug, Default)]
struct Past {
    /// In a row, less what was forgotten by the last one.
    ejections: u32,
    /// The last one.
    last: Option<(Instant, Duration)>,
}

/// Decides about the endpoints of one upstream, one at a time.
#[derive(Debug, Default)]
pub struct Ejections {
    deciding: Mutex<()>,
}

/// The other endpoints of the set, as seen while one is about to be ejected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rest {
    /// How many there are.
    pub others: usize,
    /// Of these, ejected now.
    pub ejected: usize,
    /// Of these, usable now.
    pub usable: usize,
}

impl Rest {
    /// Of these others.
    pub fn of<'a>(others: impl IntoIterator<Item = &'a Health>, now: Instant) -> Self {
        others.into_iter().fold(Self::default(), |rest, health| Self {
            others: rest.others + 1,
            ejected: rest.ejected + usize::from(health.passive().is_ejected(now)),
            usable: rest.usable + usize::from(health.is_usable(now)),
        })
    }

    fn can_spare_one(self, max_eject_percent: u32) -> bool {
        let all = self.others as u128 + 1;
        let ejected = self.ejected as u128 + 1;
        self.usable > 0 && ejected * 100 <= all * u128::from(max_eject_percent)
    }
}

impl Passive {
    /// What is known.
    pub fn status(&self, now: Instant) -> Status {
        if self.is_ejected(now) {
            Status::Unhealthy
        } else if self.row.load(Ordering::Relaxed) & SUCCEEDED != 0 {
            Status::Healthy
        } else {
            Status::Unknown
        }
    }

    /// Whether it gets nothing now.
    pub fn is_ejected(&self, now: Instant) -> bool {
        let until = self.ejected_until.load(Ordering::Acquire);
        until > 0 && self.nanos(now) < until
    }

    /// A try went well. Costs one load when the one before did.
    pub fn record_success(&self) {
        if self.row.load(Ordering::Relaxed) != SUCCEEDED {
            self.row.store(SUCCEEDED, Ordering::Relaxed);
        }
    }

    /// A try failed. Gives the time for which the endpoint is ejected because of it, for the log. `look` is called
    /// when it comes to that, and sees no ejection of the same upstream half done.
    pub fn record_failure(
        &self,
        settings: &PassiveHealth,
        now: Instant,
        ejections: &Ejections,
        look: impl FnOnce() -> Rest,
    ) -> Option<Duration> {
        if self.is_ejected(now) {
            return None;
        }
        let longest = settings.failures.clamp(1, LONGEST_ROW);
        let before = self.row.fetch_add(1, Ordering::Relaxed) & !SUCCEEDED;
        if before + 1 < longest {
            return None;
        }
        let _deciding = ejections.lock();
        // While we waited, another worker may have decided about the same row.
        if self.is_ejected(now) || self.row.load(Ordering::Relaxed) & !SUCCEEDED < longest {
            return None;
        }
        self.row.fetch_and(SUCCEEDED, Ordering::Relaxed);
        look().can_spare_one(settings.max_eject_percent).then(|| self.eject(settings, now))
    }

    /// As new: answers are not judged any more.
    pub fn forget(&self) {
        *self.past() = Past::default();
        self.ejected_until.store(0, Ordering::Release);
        self.row.store(0, Ordering::Relaxed);
    }

    fn eject(&self, settings: &PassiveHealth, now: Instant) -> Duration {
        let mut past = self.past();
        let forgotten = past.last.map_or(0, |(until, length)| stretches(now.saturating_duration_since(until), length));
        past.ejections = past.ejections.saturating_sub(forgotten).saturating_add(1);
        // Doubled 31 times, a millisecond is longer than any bound that can be written.
        let times = 1 << (past.ejections - 1).min(31);
        let length = settings.eject_for.saturating_mul(times).min(settings.max_eject_for);
        past.last = Some((now + length, length));
        self.origin.get_or_init(|| now);
        self.ejected_until.store(self.nanos(now + length), Ordering::Release);
        length
    }

    fn past(&self) -> MutexGuard<'_, Past> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn nanos(&self, at: Instant) -> u64 {
        let since = self.origin.get().map_or(Duration::ZERO, |origin| at.saturating_duration_since(*origin));
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// How often `length` has passed.
fn stretches(passed: Duration, length: Duration) -> u32 {
    let times = passed.as_nanos().checked_div(length.as_nanos()).unwrap_or(u128::MAX);
    u32::try_from(times).unwrap_or(u32::MAX)
}

impl Ejections {
    fn lock(&self) -> MutexGuard<'_, ()> {
        self.deciding.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
