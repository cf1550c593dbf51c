//! A bucket that fills steadily: `burst` requests may come at once, then as many as the rate fills in.
//!
//! **The choice.** A bucket is usually kept as a level and the time it was last looked at, two numbers that must
//! change together. Kept here is one number instead: the moment at which the bucket will be full again if nobody asks
//! (the "theoretical arrival time" of the generic cell rate algorithm, ITU-T I.371). A request moves it one token's
//! worth of time on, and may do so as long as it stays within `burst` tokens of now. One number is one
//! compare-exchange: no lock, and N threads together pass exactly as many as one would.
//!
//! **The arithmetic.** At 7/s a token takes 142,857,142.857… ns. Rounded to nanoseconds for each token, 300,000/s
//! would be off by 2.6 million requests a day. So the moment is not kept in nanoseconds but in *units* of which a
//! token has a whole number, and rounding happens where time is turned into units, from the beginning each time:
//!
//! ```text
//! filled(t)  = floor(t * units per token * count / period)      t in ns since the limiter was made
//! full_at'   = max(full_at, filled(now)) + one token
//! may pass   : full_at' <= filled(now) + burst tokens
//! ```
//!
//! Errors do not add up: `full_at` is at any moment exactly the true value cut to a unit. From that follows: what a
//! bucket without rounding would let pass, this one lets pass; what it lets pass a bucket without rounding would
//! have, one unit later at the latest. There are about 8 units in the time of a nanosecond, so "one unit" is below
//! the clock's resolution. For counts up to 8 and those that divide eight periods in nanoseconds (powers of ten,
//! 50/s, 600/m ...) both are equal.
//!
//! **Example.** 2/s, burst 3: at 0 s three pass, the fourth is told to come back after 0.5 s. At 0.5 s one passes. At
//! 10 s, three.
//!
//! **Limits.** 64 bits hold some fifty years of uptime. A bucket never holds less than nothing: refused requests are
//! not counted. A clock that goes back, as when a worker read it a little earlier than another, would find all that
//! was filled in since gone, and refuse; so time stands still instead: a shared bucket goes by the latest `now` it
//! has been told.
//!
//! **A change of rate or burst** keeps the number of used tokens, at most the new burst. Who had used 40 of 50 has 60
//! left of 100, and 0 left of 30 (and gets the next one after one token's time).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use super::{Terms, Verdict, from_nanos};
use crate::config::units::Rate;

/// Units filled in a nanosecond, at most: finer than the clock, and fifty years fit into 64 bits.
const UNITS_A_NANOSECOND: u64 = 8;
/// A whole bucket has at most 2^62 units, so that sums with it still fit.
const MAX_UNITS: u64 = 1 << 62;

/// What is agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenBucket {
    /// Requests at once, at least 1.
    burst: u32,
    /// Units of one token.
    token: u64,
    /// Units of a whole bucket.
    depth: u64,
    /// So many units ...
    units: u64,
    /// ... in so many nanoseconds; without a common divisor.
    nanos: u64,
}

impl TokenBucket {
    /// From what is configured; nothing in it is taken as less than 1.
    pub fn new(rate: Rate, burst: u32) -> Self {
        let count = u64::from(rate.count.max(1));
        let burst = burst.max(1);
        // Nine years at most, so that eight times as much still fits.
        let period = u64::try_from(rate.period.as_nanos()).unwrap_or(u64::MAX).clamp(1, MAX_UNITS / 16);
        let fine = UNITS_A_NANOSECOND * period / count;
        let token = fine.min(MAX_UNITS / u64::from(burst)).max(1);
        let units = count.saturating_mul(token);
        let divisor = greatest_common_divisor(units, period);
        Self { burst, token, depth: token * u64::from(burst), units: units / divisor, nanos: period / divisor }
    }

    /// Units filled in since the beginning.
    fn filled(&self, nanos: u64) -> u64 {
        if self.nanos == 1 {
            return nanos.saturating_mul(self.units);
        }
        let units = u128::from(nanos) * u128::from(self.units) / u128::from(self.nanos);
        u64::try_from(units).unwrap_or(u64::MAX)
    }

    /// Nanoseconds from now until so many are filled in.
    fn wait(&self, units: u64, nanos: u64) -> u128 {
        let at = (u128::from(units) * u128::from(self.nanos)).div_ceil(u128::from(self.units));
        at.saturating_sub(u128::from(nanos))
    }
}

impl Terms for TokenBucket {
    /// When it is full, in units.
    type Cell = u64;

    fn take(&self, full_at: u64, nanos: u64) -> (u64, Verdict) {
        let filled = self.filled(nanos);
        let most = filled.saturating_add(self.depth);
        let used_until = full_at.max(filled);
        let next = used_until.saturating_add(self.token);
        let is_allowed = next <= most;
        let used_until = if is_allowed { next } else { used_until };
        let remaining = most.saturating_sub(used_until) / self.token;
        let verdict = Verdict {
            is_allowed,
            limit: self.burst,
            remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
            reset_after: from_nanos(self.wait(used_until, nanos)),
            retry_after: from_nanos(if is_allowed { 0 } else { self.wait(next - self.depth, nanos) }),
        };
        (if is_allowed { next } else { full_at }, verdict)
    }

    fn give_back(&self, full_at: u64, _nanos: u64) -> u64 {
        // What has been filled in meanwhile was not needed; below `filled` a bucket is just full.
        full_at.saturating_sub(self.token)
    }

    fn as_new_after(&self, full_at: u64, nanos: u64) -> u64 {
        if full_at <= self.filled(nanos) {
            return 0;
        }
        u64::try_from(self.wait(full_at, nanos)).unwrap_or(u64::MAX)
    }

    fn carry(&self, older: &Self, full_at: u64, nanos: u64) -> u64 {
        let used = full_at.saturating_sub(older.filled(nanos));
        if used == 0 {
            return 0;
        }
        let used = u128::from(used) * u128::from(self.token) / u128::from(older.token);
        let used = u64::try_from(used).unwrap_or(u64::MAX).min(self.depth);
        self.filled(nanos).saturating_add(used)
    }
}

/// One bucket for everybody, without a lock.
#[derive(Debug)]
pub struct SharedBucket {
    current: ArcSwap<Current>,
    latest: AtomicU64,
}

#[derive(Debug)]
struct Current {
    terms: TokenBucket,
    full_at: AtomicU64,
}

impl SharedBucket {
    /// A full one.
    pub fn new(terms: TokenBucket) -> Self {
        let current = ArcSwap::from_pointee(Current { terms, full_at: AtomicU64::new(0) });
        Self { current, latest: AtomicU64::new(0) }
    }

    /// Counts a request, if it may pass.
    pub fn check(&self, nanos: u64) -> Verdict {
        let nanos = self.latest.fetch_max(nanos, Ordering::Relaxed).max(nanos);
        let current = self.current.load();
        let mut full_at = current.full_at.load(Ordering::Relaxed);
        loop {
            let (next, verdict) = current.terms.take(full_at, nanos);
            if !verdict.is_allowed {
                return verdict;
            }
            match current.full_at.compare_exchange_weak(full_at, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return verdict,
                Err(other) => full_at = other,
            }
        }
    }

    /// Undoes one count.
    pub fn give_back(&self, nanos: u64) {
        let current = self.current.load();
        let undo = |full_at| Some(current.terms.give_back(full_at, nanos));
        // The closure always gives a value, so this cannot fail.
        let _ = current.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, undo);
    }

    /// Takes over other terms. What other workers count in the very moment of the change, at most one request each,
    /// is not carried over.
    pub fn update(&self, terms: TokenBucket, nanos: u64) {
        let nanos = self.latest.fetch_max(nanos, Ordering::Relaxed).max(nanos);
        let older = self.current.load();
        if older.terms != terms {
            let full_at = terms.carry(&older.terms, older.full_at.load(Ordering::Relaxed), nanos);
            self.current.store(Arc::new(Current { terms, full_at: AtomicU64::new(full_at) }));
        }
    }
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a.max(1) } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests;
