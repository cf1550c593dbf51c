//! How fast statuses are written: so many a second, and none for a while after the server could not take one.
//!
//! A lone change is written at once. At a start with thousands of objects the rate decides: 5,000 first statuses
//! take 25 s. What fails because of the server (no answer, 429, 5xx) would fail for every other object as well, so
//! it stops all writing for a moment that doubles; what fails because of one object does not.
//!
//! Pure: time comes in.

use std::time::Duration;

use tokio::time::Instant;

use crate::controller::watch::jittered;

/// Between two writes: 200 a second. Every write is an event for everyone who watches, all replicas among them.
const GAP: Duration = Duration::from_millis(5);
/// What may go out at once after a quiet time: a whole small application.
const BURST: u32 = 50;
/// First pause after the server failed; doubles.
const MIN_PAUSE: Duration = Duration::from_millis(500);
/// Last pause: a returning API server has statuses within this.
const MAX_PAUSE: Duration = Duration::from_secs(15);

/// When the next write may go out.
#[derive(Debug)]
pub struct Pace {
    /// When all that was written would have been written one by one, [`GAP`] apart.
    written_until: Instant,
    paused_until: Instant,
    failures: u32,
}

impl Pace {
    /// Nothing was written yet.
    pub fn new(now: Instant) -> Self {
        Self { written_until: now, paused_until: now, failures: 0 }
    }

    /// The earliest moment of the next write.
    pub fn next(&self) -> Instant {
        let burst = GAP * (BURST - 1);
        // Subtracting from an Instant may fail on a machine that has just started: then nothing was written long ago.
        let by_rate = self.written_until.checked_sub(burst).unwrap_or(self.paused_until);
        by_rate.max(self.paused_until)
    }

    /// One goes out.
    pub fn wrote(&mut self, now: Instant) {
        self.written_until = self.written_until.max(now) + GAP;
    }

    /// The server has taken one.
    pub fn worked(&mut self) {
        self.failures = 0;
    }

    /// The server could not take one. Returns the pause if it is a new one.
    pub fn failed(&mut self, now: Instant, asked: Option<Duration>) -> Option<Duration> {
        if now < self.paused_until {
            // Sent before the pause began: the same failure.
            return None;
        }
        let wait = MIN_PAUSE.saturating_mul(1 << self.failures.min(16)).min(MAX_PAUSE);
        self.failures += 1;
        let pause = jittered(wait).max(asked.unwrap_or_default().min(MAX_PAUSE));
        self.paused_until = now + pause;
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_out_at_once_and_then_the_rate_decides() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        for _ in 0..BURST {
            assert!(pace.next() <= now);
            pace.wrote(now);
        }
        assert_eq!(pace.next(), now + GAP);
        let mut at = now;
        for _ in 0..5000 {
            at = at.max(pace.next());
            pace.wrote(at);
        }
        let took = at - now;
        assert!(took > Duration::from_secs(24) && took < Duration::from_secs(26), "{took:?}");
    }

    #[test]
    fn a_failing_server_is_left_alone_and_found_again() {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        for _ in 0..10 {
            let pause = pace.failed(now, None).unwrap();
            assert!(pause <= MAX_PAUSE && pace.next() == now + pause);
            assert_eq!(pace.failed(now + pause / 2, None), None, "of the same moment");
            now += pause;
        }
        pace.worked();
        assert!(pace.failed(now, None).unwrap() <= MIN_PAUSE);
        let mut pace = Pace::new(now);
        assert!(pace.failed(now, Some(Duration::from_secs(7))).unwrap() >= Duration::from_secs(7));
    }
}
