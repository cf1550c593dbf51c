//! How long an exchange may take: no byte for a while, one try, and altogether.

use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::config::Timeouts;
use crate::upstream::deadline::{Deadline, Deadlines, TICK};

use super::Proxy;

/// Bounds of one exchange in time, as instants.
#[derive(Debug)]
pub struct Clock {
    deadline: Deadline,
    ticks: Rc<Deadlines>,
    idle: Duration,
    /// When the whole exchange must be over.
    ends: Option<Instant>,
    /// When the running try must have an answer.
    try_ends: Option<Instant>,
    /// Bytes that had passed when something last moved, and when that was.
    moved: (u64, Instant),
}

/// Which bound was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUp {
    /// No byte either way.
    Idle,
    /// The running try.
    Try,
    /// The whole exchange.
    Request,
}

impl Clock {
    /// From the start of the exchange.
    pub fn new(proxy: &Proxy, timeouts: &Timeouts, started: Instant) -> Self {
        Self {
            deadline: Deadline::new(proxy.deadlines()),
            ticks: Rc::clone(proxy.deadlines()),
            idle: timeouts.idle,
            ends: (!timeouts.request.is_zero()).then(|| started + timeouts.request),
            try_ends: None,
            moved: (0, proxy.deadlines().now()),
        }
    }

    /// A try begins now; zero: it has no bound of its own.
    pub fn begin_try(&mut self, within: Duration) {
        self.try_ends = (!within.is_zero()).then(|| Instant::now() + within);
        self.moved = (0, self.ticks.now());
    }

    /// The try has an answer.
    pub fn end_try(&mut self) {
        self.try_ends = None;
    }

    /// From now on this long without a byte is too long.
    pub fn set_idle(&mut self, idle: Duration) {
        self.idle = idle;
    }

    /// What is left of the whole exchange; none if it has no bound.
    pub fn left(&self) -> Option<Duration> {
        self.ends.map(|ends| ends.saturating_duration_since(self.ticks.now()))
    }

    /// The same of the running try, whichever ends first.
    pub fn left_of_try(&self) -> Option<Duration> {
        let ends = [self.ends, self.try_ends].into_iter().flatten().min();
        ends.map(|ends| ends.saturating_duration_since(self.ticks.now()))
    }

    /// The time, to a tick.
    pub fn now(&self) -> Instant {
        self.ticks.now()
    }

    /// Whether the time of the whole exchange is over. Asked also while data flows.
    pub fn is_over(&self) -> bool {
        self.ends.is_some_and(|ends| self.ticks.now() >= ends)
    }

    /// Ready when time is up. `progress` grows with each byte.
    pub fn poll(&mut self, cx: &std::task::Context<'_>, progress: u64) -> Poll<TimeUp> {
        if progress != self.moved.0 {
            self.moved = (progress, self.ticks.now());
        }
        let idle_ends = (!self.idle.is_zero()).then(|| self.moved.1 + self.idle + TICK);
        let bounds = [(self.ends, TimeUp::Request), (self.try_ends, TimeUp::Try), (idle_ends, TimeUp::Idle)];
        // Of equal ones the first: it says most.
        let first = bounds.into_iter().filter_map(|(at, which)| Some((at?, which))).min_by_key(|(at, _)| *at);
        let Some((at, which)) = first else { return Poll::Pending };
        self.deadline.poll(cx, at).map(|()| which)
    }
}
