//! How many requests may come: in a time ([`Limiter`]) and at once ([`Gate`]).
//!
//! A limit is *described* by a `config::traffic::RateLimit`; a [`Limiter`] is the same limit while it lives: the
//! counts of all its keys, shared by all workers and by everybody who uses the limit (a policy's limit counts all its
//! users together). It is found by the limit's identity and so outlasts changes of rate, burst and status; another
//! name, key or algorithm is another limiter, because the counts would mean something else
//! ([`Limiter::is_same_kind`]).
//!
//! ```text
//! check(key, now) ─┬─ no key:  one cell      TokenBucket: an atomic       SlidingWindow: a short mutex
//!                  └─ keys:    PerClient     a shard's short mutex, one lookup, one step of arithmetic
//! ```
//!
//! The arithmetic ([`TokenBucket`](token_bucket::TokenBucket), [`SlidingWindow`](sliding_window::SlidingWindow)) is
//! pure: terms and a cell go in, a cell and a [`Verdict`] come out. Time comes as an argument and is counted from
//! when the limiter was made, on the monotonic clock: steps of the wall clock change nothing, and a `now` that is a
//! little older than another worker's is harmless.
//!
//! What always holds: no more than `max_keys` keys are kept; a request for a known key allocates nothing and takes
//! one lock for one step; a refused request is not counted, so who asks too often is served at the full rate all the
//! same, and whoever stops asking is forgotten by [`Limiter::collect`] once nothing would tell them from a newcomer.
//!
//! Called by `middleware::limit` for each request, and by `snapshot`, which makes, updates and collects.

pub mod concurrency;
pub mod key;
pub mod per_client;
pub mod sliding_window;
pub mod token_bucket;

use std::fmt::Debug;
use std::time::{Duration, Instant};

use crate::config::Attribute;
use crate::config::id::LimiterId;
use crate::config::traffic::{RateAlgorithm, RateLimit};

pub use concurrency::{Full, Gate, Guard};
pub use key::{Key, KeyBuilder, Seeds};
use per_client::{One, PerClient};
use sliding_window::SlidingWindow;
use token_bucket::{SharedBucket, TokenBucket};

/// Keys that one limit keeps: 100,000, some 6 MB, enough for the clients of a busy minute.
pub const DEFAULT_MAX_KEYS: usize = 100_000;

/// What a limit says about one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it may pass. Then it is counted.
    pub is_allowed: bool,
    /// The most that can ever pass at once.
    pub limit: u32,
    /// How many more could pass now.
    pub remaining: u32,
    /// Until nothing is used any more, if nobody asks.
    pub reset_after: Duration,
    /// Until the next one can pass, if nobody else asks; zero for one that passed.
    pub retry_after: Duration,
}

/// How one kind of limit reckons: what is agreed (`Self`) and what one key has used of it (`Cell`, new by default).
/// `nanos` is the time since the limiter was made.
pub(crate) trait Terms: Copy + Debug + PartialEq {
    /// What one key has used.
    type Cell: Copy + Debug + Default;

    /// Counts one request, if it may pass.
    fn take(&self, cell: Self::Cell, nanos: u64) -> (Self::Cell, Verdict);

    /// Undoes one count.
    fn give_back(&self, cell: Self::Cell, nanos: u64) -> Self::Cell;

    /// Nanoseconds until nothing would tell the cell from a new one; 0: it is as new.
    fn as_new_after(&self, cell: Self::Cell, nanos: u64) -> u64;

    /// What was used under other terms, in these.
    fn carry(&self, older: &Self, cell: Self::Cell, nanos: u64) -> Self::Cell;
}

/// A rate limit while it lives.
#[derive(Debug)]
pub struct Limiter {
    id: LimiterId,
    algorithm: RateAlgorithm,
    key: Vec<Attribute>,
    seeds: Seeds,
    began: Instant,
    counts: Counts,
}

#[derive(Debug)]
enum Counts {
    Bucket(SharedBucket),
    Window(One<SlidingWindow>),
    Buckets(PerClient<TokenBucket>),
    Windows(PerClient<SlidingWindow>),
}

impl Limiter {
    /// With nothing counted. `max_keys` is at least 1; `now` is where its time begins.
    pub fn new(limit: &RateLimit, max_keys: usize, now: Instant) -> Self {
        let bucket = TokenBucket::new(limit.rate, limit.burst);
        let window = SlidingWindow::new(limit.rate);
        let counts = match (limit.algorithm, limit.key.is_empty()) {
            (RateAlgorithm::TokenBucket, true) => Counts::Bucket(SharedBucket::new(bucket)),
            (RateAlgorithm::SlidingWindow, true) => Counts::Window(One::new(window)),
            (RateAlgorithm::TokenBucket, false) => Counts::Buckets(PerClient::new(bucket, max_keys)),
            (RateAlgorithm::SlidingWindow, false) => Counts::Windows(PerClient::new(window, max_keys)),
        };
        Self {
            id: limit.id.clone(),
            algorithm: limit.algorithm,
            key: limit.key.clone(),
            seeds: Seeds::default(),
            began: now,
            counts,
        }
    }

    /// Whether its counts mean the same for this description. Else a new one has to be made.
    pub fn is_same_kind(&self, limit: &RateLimit) -> bool {
        self.id == limit.id && self.algorithm == limit.algorithm && self.key == limit.key
    }

    /// Takes over another rate and burst; what is used stays used. Costs nothing if they are the same.
    pub fn update(&self, limit: &RateLimit, now: Instant) {
        let nanos = self.nanos(now);
        let bucket = TokenBucket::new(limit.rate, limit.burst);
        let window = SlidingWindow::new(limit.rate);
        match &self.counts {
            Counts::Bucket(one) => one.update(bucket, nanos),
            Counts::Window(one) => one.update(window, nanos),
            Counts::Buckets(table) => table.update(bucket, nanos),
            Counts::Windows(table) => table.update(window, nanos),
        }
    }

    /// A key of this limiter in the making.
    pub fn key_builder(&self) -> KeyBuilder {
        self.seeds.builder()
    }

    /// Counts a request, if it may pass. A limit without a key looks at no key.
    pub fn check(&self, key: Key, now: Instant) -> Verdict {
        let nanos = self.nanos(now);
        match &self.counts {
            Counts::Bucket(one) => one.check(nanos),
            Counts::Window(one) => one.check(nanos),
            Counts::Buckets(table) => table.check(key, nanos),
            Counts::Windows(table) => table.check(key, nanos),
        }
    }

    /// Undoes the count of a request that passed here and was refused elsewhere.
    pub fn give_back(&self, key: Key, now: Instant) {
        let nanos = self.nanos(now);
        match &self.counts {
            Counts::Bucket(one) => one.give_back(nanos),
            Counts::Window(one) => one.give_back(nanos),
            Counts::Buckets(table) => table.give_back(key, nanos),
            Counts::Windows(table) => table.give_back(key, nanos),
        }
    }

    /// Forgets keys that nothing tells from new ones, and says how many. One call looks at one shard of at most 4096
    /// keys, well below a millisecond; once a second for each limiter empties the largest table in half a minute.
    pub fn collect(&self, now: Instant) -> usize {
        let nanos = self.nanos(now);
        match &self.counts {
            Counts::Bucket(_) | Counts::Window(_) => 0,
            Counts::Buckets(table) => table.collect(nanos),
            Counts::Windows(table) => table.collect(nanos),
        }
    }

    /// Keys kept now.
    pub fn keys(&self) -> usize {
        match &self.counts {
            Counts::Bucket(_) | Counts::Window(_) => 0,
            Counts::Buckets(table) => table.len(),
            Counts::Windows(table) => table.len(),
        }
    }

    fn nanos(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.began).as_nanos()).unwrap_or(u64::MAX)
    }
}

/// A fraction of time as such, rounded down by the caller.
fn from_nanos(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
