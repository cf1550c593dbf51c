//! Protects servers from requests that they cannot serve now: the breaker of one endpoint.
//!
//! # What it does
//!
//! *Closed*, it lets everything through and counts results in a sliding [`window`]. When there are enough of them
//! and too many are failures, it *opens*: the endpoint gets nothing, other endpoints get it instead, and if all are
//! open the client is told 503 and when to come back. When the time is over it is *half-open*: a few requests go
//! through as trials. If all of them are good it closes with an empty window, at the first bad one it opens again,
//! twice as long.
//!
//! With the defaults: 20 requests within 10 s, of which 10 fail, open it for 10 s. Then 3 trials. If one of them
//! fails it is open for 20 s, then 40, 80, 120, 120 ...
//!
//! # Choices
//!
//! - **Share in a window, not failures in a row.** One good answer of a cheap path would reset a row for ever, while
//!   everything else fails. A row is what [`passive health`](crate::config::upstream::PassiveHealth) counts; that
//!   protects clients and never takes the last endpoint, a breaker does.
//! - **Openings in a row** are those with a failed trial between them, or so close that it closed for less time than
//!   it was open before (and less than a window): a server that is fine with three requests and falls over at full
//!   load would otherwise be hit every 10 s for ever. Staying closed for that long makes the next opening a first one.
//! - **Results are judged by the settings of the moment.** They are passed in and never kept: an edited threshold
//!   judges the window that is there, with the next result. Only the length of an opening is settled when it begins.
//! - **Late results do not count.** A request let through while closed may end minutes later, in the middle of the
//!   trials, with an answer about the past. Each phase has a number, a permit remembers that of the phase which gave
//!   it, and only results of the present phase are heard.
//! - **A trial that is cancelled** (the client went away) tells nothing; its place is given to another request.
//!   A trial that hangs keeps its place until one of the timeouts of its request ends it.
//!
//! # Sharing
//!
//! One breaker serves all workers. Looking ([`Breaker::permits`]) is one load of [`Breaker::look`], whatever the
//! state; taking a permit while closed is that load and a reference. Results are counted under a mutex that is held
//! for ten additions and never across an await. (Counters without a lock would have to be swapped while a slot ends,
//! and the moment of opening could be missed or come twice.)
//!
//! The parts beside it: [`limits`] bounds how much an upstream gets at once, [`budget`] how many retries.

pub mod budget;
pub mod limits;
mod look;
pub mod window;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use http::StatusCode;

use crate::config::upstream::CircuitBreaker;

use look::{Look, PAYLOAD};
use window::Window;

/// Trials at most, whatever is configured: what fits into a [`Look`].
const MAX_TRIALS: u32 = 1 << 30;

/// The breaker of one endpoint. Begins closed.
#[derive(Debug)]
pub struct Breaker {
    /// A [`Look`]; written under the lock, read without.
    look: AtomicU64,
    /// The first opening: times in a [`Look`] are counted from here.
    origin: OnceLock<Instant>,
    inside: Mutex<Inside>,
}

/// What a breaker does with requests. The numbers are those of `gateway_circuit_state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// All are let through.
    Closed = 0,
    /// A few are let through, to see.
    HalfOpen = 1,
    /// None is let through.
    Open = 2,
}

/// How a try ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Well.
    Success,
    /// With an answer that is a failure, or with none.
    Failure,
}

impl Outcome {
    /// Of a try that was answered, `took` after it began until its head was there.
    pub fn of_answer(settings: &CircuitBreaker, status: StatusCode, took: Duration) -> Self {
        let is_slow = settings.slower_than.is_some_and(|limit| took > limit);
        if is_slow || settings.statuses.contains(status) { Self::Failure } else { Self::Success }
    }
}

/// Leave to try an endpoint once. Dropped without [`Permit::settle`], the try counts as neither good nor bad.
#[derive(Debug)]
pub struct Permit {
    breaker: Arc<Breaker>,
    /// The phase that gave it.
    phase: u64,
    is_trial: bool,
}

impl Permit {
    /// Tells how the try ended. Gives the state that this has brought about, if it is a new one, for the log.
    pub fn settle(mut self, outcome: Outcome, settings: &CircuitBreaker, now: Instant) -> Option<State> {
        // What is given back below is no longer the drop's.
        let is_trial = std::mem::take(&mut self.is_trial);
        self.breaker.settle(self.phase, is_trial, outcome, settings, now)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.is_trial {
            self.breaker.give_back(self.phase);
        }
    }
}

impl Default for Breaker {
    fn default() -> Self {
        Self::new()
    }
}

impl Breaker {
    /// Closed, knowing nothing.
    pub fn new() -> Self {
        let inside = Inside::default();
        let look = AtomicU64::new(Look::Closed { phase: inside.number }.to_bits());
        Self { look, origin: OnceLock::new(), inside: Mutex::new(inside) }
    }

    /// Whether a request may be tried now. Nothing is taken: another may be faster.
    pub fn permits(&self, settings: &CircuitBreaker, now: Instant) -> bool {
        match self.look() {
            Look::Closed { .. } => true,
            Look::Open { until } => self.nanos(now) >= until,
            Look::HalfOpen { running, good } => {
                let wanted = trials(settings);
                // Fewer may be wanted than before: then those that were good are enough to close.
                running + good < wanted || good >= wanted
            }
        }
    }

    /// Takes leave to try a request; none while open, or half-open with all trials under way.
    pub fn admit(self: &Arc<Self>, settings: &CircuitBreaker, now: Instant) -> Option<Permit> {
        let (phase, is_trial) = match self.look() {
            Look::Closed { phase } => (phase, false),
            Look::Open { until } if self.nanos(now) < until => return None,
            Look::Open { .. } | Look::HalfOpen { .. } => self.admit_trial(settings, now)?,
        };
        Some(Permit { breaker: Arc::clone(self), phase, is_trial })
    }

    /// What it does with requests. An opening that is over counts as half-open: the next request is a trial.
    pub fn state(&self, now: Instant) -> State {
        match self.look() {
            Look::Closed { .. } => State::Closed,
            Look::Open { until } if self.nanos(now) < until => State::Open,
            Look::Open { .. } | Look::HalfOpen { .. } => State::HalfOpen,
        }
    }

    /// When a request may be tried again; none while closed, zero while half-open, as a trial ends at any moment.
    pub fn retry_after(&self, now: Instant) -> Option<Duration> {
        match self.look() {
            Look::Closed { .. } => None,
            Look::Open { until } => Some(Duration::from_nanos(until.saturating_sub(self.nanos(now)))),
            Look::HalfOpen { .. } => Some(Duration::ZERO),
        }
    }

    fn admit_trial(&self, settings: &CircuitBreaker, now: Instant) -> Option<(u64, bool)> {
        let mut inside = self.lock();
        let is_trial = inside.admit(settings, now)?;
        self.publish(&inside);
        Some((inside.number, is_trial))
    }

    fn settle(
        &self,
        phase: u64,
        is_trial: bool,
        outcome: Outcome,
        settings: &CircuitBreaker,
        now: Instant,
    ) -> Option<State> {
        // While it is open, late results come in crowds; they need not queue at the lock to be forgotten.
        if !is_trial && self.look() != (Look::Closed { phase }) {
            return None;
        }
        let mut inside = self.lock();
        if inside.number != phase {
            return None;
        }
        inside.hear(outcome, settings, now);
        self.publish(&inside);
        (inside.number != phase).then(|| inside.phase.state())
    }

    /// A trial ended without a result.
    fn give_back(&self, phase: u64) {
        let mut inside = self.lock();
        if inside.number != phase {
            return;
        }
        if let Phase::HalfOpen { running, .. } = &mut inside.phase {
            *running -= 1;
        }
        self.publish(&inside);
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        // Nothing below panics between two writes that belong together.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self) -> Look {
        Look::from_bits(self.look.load(Ordering::Acquire))
    }

    /// Shows the others what is inside. Only under the lock.
    fn publish(&self, inside: &Inside) {
        let look = match inside.phase {
            Phase::Closed { .. } => Look::Closed { phase: inside.number },
            Phase::HalfOpen { running, good } => Look::HalfOpen { running, good },
            Phase::Open { since, until } => {
                self.origin.get_or_init(|| since);
                Look::Open { until: self.nanos(until) }
            }
        };
        self.look.store(look.to_bits(), Ordering::Release);
    }

    fn nanos(&self, at: Instant) -> u64 {
        let since = self.origin.get().map_or(Duration::ZERO, |origin| at.saturating_duration_since(*origin));
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX).min(PAYLOAD)
    }
}

/// How many good trials close it.
fn trials(settings: &CircuitBreaker) -> u32 {
    settings.half_open_requests.clamp(1, MAX_TRIALS)
}

/// What is behind the lock.
#[derive(Debug, Default)]
struct Inside {
    /// Of the phase: each begins with the next number.
    number: u64,
    phase: Phase,
    /// Of this closed phase.
    window: Window,
    /// Openings in a row, the present or last one included.
    openings: u32,
    /// How long the last one was.
    opening: Duration,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Closed {
        /// None: it was never open.
        since: Option<Instant>,
    },
    /// Trials under way, and those that ended well.
    HalfOpen {
        running: u32,
        good: u32,
    },
    Open {
        since: Instant,
        until: Instant,
    },
}

impl Default for Phase {
    fn default() -> Self {
        Self::Closed { since: None }
    }
}

impl Phase {
    fn state(self) -> State {
        match self {
            Self::Closed { .. } => State::Closed,
            Self::HalfOpen { .. } => State::HalfOpen,
            Self::Open { .. } => State::Open,
        }
    }
}

impl Inside {
    /// Lets a request through, as a trial or not; or does not.
    fn admit(&mut self, settings: &CircuitBreaker, now: Instant) -> Option<bool> {
        if let Phase::Open { until, .. } = self.phase {
            if now < until {
                return None;
            }
            self.begin(Phase::HalfOpen { running: 0, good: 0 });
        }
        let Phase::HalfOpen { running, good } = &mut self.phase else { return Some(false) };
        if *good >= trials(settings) {
            self.begin(Phase::Closed { since: Some(now) });
            return Some(false);
        }
        if *running + *good >= trials(settings) {
            return None;
        }
        *running += 1;
        Some(true)
    }

    /// Takes in a result of the present phase.
    fn hear(&mut self, outcome: Outcome, settings: &CircuitBreaker, now: Instant) {
        let is_failure = outcome == Outcome::Failure;
        match &mut self.phase {
            Phase::Closed { .. } => {
                self.window.add(is_failure, settings.window, now);
                if self.is_failing(settings, now) {
                    self.open(settings, now);
                }
            }
            Phase::HalfOpen { .. } if is_failure => self.open(settings, now),
            Phase::HalfOpen { running, good } => {
                *running -= 1;
                *good += 1;
                if *good >= trials(settings) {
                    self.begin(Phase::Closed { since: Some(now) });
                }
            }
            // No permit is given while open.
            Phase::Open { .. } => {}
        }
    }

    fn is_failing(&self, settings: &CircuitBreaker, now: Instant) -> bool {
        let counts = self.window.counts(settings.window, now);
        let failures = u64::from(counts.failures);
        let all = failures + u64::from(counts.successes);
        let is_enough = all >= u64::from(settings.min_requests.max(1));
        is_enough && failures > 0 && failures * 100 >= all * u64::from(settings.failure_percent)
    }

    fn open(&mut self, settings: &CircuitBreaker, now: Instant) {
        let is_further = match self.phase {
            Phase::HalfOpen { .. } => true,
            Phase::Closed { since: Some(since) } => {
                now.saturating_duration_since(since) < self.opening.max(settings.window)
            }
            Phase::Closed { since: None } | Phase::Open { .. } => false,
        };
        self.openings = if is_further { self.openings.saturating_add(1) } else { 1 };
        // Doubled 31 times, a millisecond is longer than any bound that can be written.
        let times = 1 << (self.openings - 1).min(31);
        self.opening = settings.open_for.saturating_mul(times).min(settings.max_open_for);
        self.begin(Phase::Open { since: now, until: now + self.opening });
    }

    fn begin(&mut self, phase: Phase) {
        self.number += 1;
        self.phase = phase;
        self.window = Window::default();
    }
}

#[cfg(test)]
mod tests;
