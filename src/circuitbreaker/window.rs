//! How many results were good and bad lately: a sliding window in ten slots.
//!
//! Keeping every result with its time would be exact and without bound. Here results of about the same time
//! share a slot: it begins with its first result, takes what comes within a tenth of the window, and is
//! forgotten as a whole when its beginning is a window old. So the window is never longer than it says and at
//! most a tenth shorter: of a window of 10 s the last 9 s count for certain, what is 10 s old never does.
//!
//! Slots know when they began and not how long a window was then. That is why an edited window judges what is
//! there at once: a shorter one leaves old slots out, a longer one takes those in that are still kept. (A grid
//! of slots numbered by time would have to be counted anew, or forgotten.) Ten slots are all there ever are:
//! when a longer window needs an eleventh, the oldest one goes.
//!
//! Called by [`Breaker`](super::Breaker) under its lock.

use std::time::{Duration, Instant};

/// Parts of a window: a tenth is as exact as a threshold in whole percents needs, and ten are summed in no time.
const SLOTS: usize = 10;

/// Results of the last while.
#[derive(Debug, Default)]
pub struct Window {
    /// A ring; the newest stands before `next`.
    /// Made with the first result, as most windows never see one.
    slots: Option<Box<[Option<Slot>; SLOTS]>>,
    next: usize,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    began: Instant,
    counts: Counts,
}

/// Results, counted. They stop at the largest number, which takes a million a second for an hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Good ones.
    pub successes: u32,
    /// Bad ones.
    pub failures: u32,
}

impl Window {
    /// Counts a result. Time that seems to go back, as workers look at their clocks one after another, counts as
    /// the newest time known.
    pub fn add(&mut self, is_failure: bool, length: Duration, now: Instant) {
        let counts = &mut self.slot(length, now).counts;
        let count = if is_failure { &mut counts.failures } else { &mut counts.successes };
        *count = count.saturating_add(1);
    }

    /// What came within the last `length`.
    pub fn counts(&self, length: Duration, now: Instant) -> Counts {
        let is_young = |slot: &&Slot| now.saturating_duration_since(slot.began) < length;
        self.slots.iter().flat_map(|slots| slots.iter().flatten()).filter(is_young).fold(
            Counts::default(),
            |sum, slot| Counts {
                successes: sum.successes.saturating_add(slot.counts.successes),
                failures: sum.failures.saturating_add(slot.counts.failures),
            },
        )
    }

    /// The newest slot, or a new one if that is full.
    fn slot(&mut self, length: Duration, now: Instant) -> &mut Slot {
        let slots = self.slots.get_or_insert_default();
        let newest = (self.next + SLOTS - 1) % SLOTS;
        let span = length / SLOTS as u32;
        let takes_more = |slot: &Slot| now.saturating_duration_since(slot.began) < span || now <= slot.began;
        let index = if slots[newest].as_ref().is_some_and(takes_more) {
            newest
        } else {
            let index = self.next;
            slots[index] = None;
            self.next = (index + 1) % SLOTS;
            index
        };
        slots[index].get_or_insert(Slot { began: now, counts: Counts::default() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn counts(successes: u32, failures: u32) -> Counts {
        Counts { successes, failures }
    }

    #[test]
    fn what_is_a_window_old_is_forgotten() {
        let (mut window, start) = (Window::default(), Instant::now());
        window.add(true, 10 * SECOND, start);
        window.add(false, 10 * SECOND, start + 5 * SECOND);
        assert_eq!(window.counts(10 * SECOND, start + 9 * SECOND), counts(1, 1));
        assert_eq!(window.counts(10 * SECOND, start + 10 * SECOND), counts(1, 0));
        assert_eq!(window.counts(10 * SECOND, start + 15 * SECOND), counts(0, 0));
    }

    #[test]
    fn an_edited_window_judges_what_is_there() {
        let (mut window, start) = (Window::default(), Instant::now());
        for second in 0..10 {
            window.add(second < 5, 10 * SECOND, start + second * SECOND);
        }
        let now = start + 9 * SECOND;
        assert_eq!(window.counts(10 * SECOND, now), counts(5, 5));
        assert_eq!(window.counts(3 * SECOND, now), counts(3, 0));
        assert_eq!(window.counts(60 * SECOND, now + 20 * SECOND), counts(5, 5), "what is kept comes back");
    }

    #[test]
    fn a_clock_that_is_behind_counts_as_the_newest_time() {
        let (mut window, start) = (Window::default(), Instant::now() + 60 * SECOND);
        window.add(true, 10 * SECOND, start);
        window.add(true, 10 * SECOND, start - 30 * SECOND);
        assert_eq!(window.counts(10 * SECOND, start), counts(0, 2));
        assert_eq!(window.counts(10 * SECOND, start - 30 * SECOND), counts(0, 2));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Against a list of all results: what is younger than nine tenths counts, what is older than all does not.
        #[test]
        fn the_window_is_at_most_a_tenth_too_short(
            steps in proptest::collection::vec((0_u64..400, any::<bool>()), 1..200),
            length in 1_u64..2_000,
        ) {
            let length = Duration::from_millis(length);
            let (mut window, start) = (Window::default(), Instant::now());
            let mut list: Vec<(Instant, bool)> = Vec::new();
            let mut now = start;
            for (wait, is_failure) in steps {
                now += Duration::from_millis(wait);
                window.add(is_failure, length, now);
                list.push((now, is_failure));
                let within = |span: Duration, is_failure: bool| {
                    list.iter().filter(|(at, bad)| now - *at < span && *bad == is_failure).count() as u32
                };
                let found = window.counts(length, now);
                let sure = length - length / 10;
                prop_assert!(within(sure, true) <= found.failures && found.failures <= within(length, true));
                prop_assert!(within(sure, false) <= found.successes && found.successes <= within(length, false));
            }
        }
    }
}
