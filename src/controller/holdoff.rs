//! When to act on changes: the first one at once, those that follow within 10 ms together.
//!
//! Lone changes, the usual case, cost no wait. A storm (a rolling update, a controller that writes
//! hundreds of objects) is worked off in steps of 10 ms instead of once for each event. The wait counts
//! from the last action and is never pushed back by further events, so a storm cannot starve anybody.
//!
//! Pure: time comes in, a deadline goes out. The loop in `controller` sleeps.

use std::time::Duration;

use tokio::time::Instant;

/// At most this long after the last action: far below what people notice, long enough to gather a storm.
pub const GATHER: Duration = Duration::from_millis(10);

/// Remembers the last action and whether something waits for the next.
#[derive(Debug, Default)]
pub struct HoldOff {
    last_action: Option<Instant>,
    due: Option<Instant>,
}

impl HoldOff {
    /// Something has changed.
    pub fn note(&mut self, now: Instant) {
        let earliest = self.last_action.map_or(now, |last| (last + GATHER).max(now));
        self.due.get_or_insert(earliest);
    }

    /// When to act; none while nothing waits.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// All that waited has been acted upon.
    pub fn acted(&mut self, now: Instant) {
        self.last_action = Some(now);
        self.due = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_change_acts_at_once() {
        let mut holdoff = HoldOff::default();
        assert_eq!(holdoff.due(), None);
        let now = Instant::now();
        holdoff.note(now);
        assert_eq!(holdoff.due(), Some(now));
    }

    #[test]
    fn changes_soon_after_are_gathered_and_never_pushed_back() {
        let mut holdoff = HoldOff::default();
        let start = Instant::now();
        holdoff.note(start);
        holdoff.acted(start);
        for millis in 1..10 {
            holdoff.note(start + Duration::from_millis(millis));
            assert_eq!(holdoff.due(), Some(start + GATHER));
        }
    }

    #[test]
    fn after_a_quiet_time_the_next_acts_at_once_again() {
        let mut holdoff = HoldOff::default();
        let start = Instant::now();
        holdoff.note(start);
        holdoff.acted(start);
        let later = start + Duration::from_millis(11);
        holdoff.note(later);
        assert_eq!(holdoff.due(), Some(later));
    }
}
