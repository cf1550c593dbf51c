//! How long an exchange may take: no byte for a while, and altogether.

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
    /// Bytes that had passed when something last moved, and when that was.
    moved: (u64, Instant),
}

/// Which bound was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUp {
    /// No byte either way.
    Idle,
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
            moved: (0, proxy.deadlines().now()),
        }
    }

    /// What is left of the whole exchange; none if it has no bound.
    pub fn left(&self) -> Option<Duration> {
        self.ends.map(|ends| ends.saturating_duration_since(self.ticks.now()))
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
        let (at, which) = match (idle_ends, self.ends) {
            (Some(idle), Some(ends)) if ends <= idle => (ends, TimeUp::Request),
            (Some(idle), _) => (idle, TimeUp::Idle),
            (None, Some(ends)) => (ends, TimeUp::Request),
            (None, None) => return Poll::Pending,
        };
        self.deadline.poll(cx, at).map(|()| which)
    }
}
