//! The two counts against the same formula reckoned from a list of all requests.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000_000;

fn window(limit: u32, seconds: u64) -> SlidingWindow {
    SlidingWindow::new(Rate { count: limit, period: Duration::from_secs(seconds) })
}

/// All that passed, by time.
#[derive(Default)]
struct List(Vec<u64>);

impl List {
    fn between(&self, from: u64, to: u64) -> u128 {
        self.0.iter().filter(|at| (from..to).contains(at)).count() as u128
    }

    /// Whether the estimate leaves room for one more, multiplied by the width.
    fn has_room(&self, limit: u32, width: u64, now: u64) -> bool {
        let slot = now / width * width;
        let before = self.between(slot.saturating_sub(width), slot);
        let current = self.between(slot, slot + width);
        let share = before * u128::from(slot + width - now);
        share + (current + 1) * u128::from(width) <= u128::from(limit) * u128::from(width)
    }

    fn most_in_any_window(&self, width: u64) -> u128 {
        self.0.iter().map(|&at| self.between(at, at + width)).max().unwrap_or(0)
    }
}

fn ask(window: SlidingWindow, cell: &mut Cell, nanos: u64) -> Verdict {
    let (next, verdict) = window.take(*cell, nanos);
    *cell = next;
    verdict
}

#[test]
fn the_slot_before_counts_by_its_share() {
    let window = window(100, 60);
    let mut cell = Cell::default();
    assert_eq!((0..80).filter(|_| ask(window, &mut cell, 59 * SECOND).is_allowed).count(), 80);
    let quarter = (60 + 15) * SECOND;
    assert_eq!((0..80).filter(|_| ask(window, &mut cell, quarter).is_allowed).count(), 40);
    let refused = ask(window, &mut cell, quarter);
    assert_eq!(refused.remaining, 0);
    assert_eq!(refused.retry_after, Duration::from_millis(750), "80 fade within 60 s, one within 750 ms");
    assert_eq!(refused.reset_after, Duration::from_secs(45 + 60));
}

#[test]
fn a_full_slot_tells_when_the_next_one_lets_somebody_pass() {
    let window = window(1, 10);
    let mut cell = Cell::default();
    assert!(ask(window, &mut cell, 3 * SECOND).is_allowed);
    let refused = ask(window, &mut cell, 4 * SECOND);
    assert_eq!(refused.retry_after, Duration::from_secs(16), "the slot of the one has to fade completely");
    assert!(!ask(window, &mut cell, 20 * SECOND - 1).is_allowed);
    assert!(ask(window, &mut cell, 20 * SECOND).is_allowed);
}

#[test]
fn the_documented_error_is_the_largest() {
    let (window, mut cell, mut list) = (window(100, 60), Cell::default(), List::default());
    for millis in (59_900..120_000_u64).step_by(10) {
        for _ in 0..if millis == 59_900 { 100 } else { 1 } {
            if ask(window, &mut cell, millis * 1_000_000).is_allowed {
                list.0.push(millis);
            }
        }
    }
    assert_eq!(list.between(15_001, 75_001), 125);
    assert!(list.most_in_any_window(60_000) < 200);
}

#[test]
fn who_asks_steadily_is_held_to_the_rate() {
    let (window, mut cell, mut list) = (window(100, 60), Cell::default(), List::default());
    for millis in (0..600_000).step_by(50) {
        if ask(window, &mut cell, millis * 1_000_000).is_allowed {
            list.0.push(millis);
        }
    }
    assert!(list.most_in_any_window(60_000) <= 101, "{}", list.most_in_any_window(60_000));
    assert!(list.0.len() >= 990, "{}", list.0.len());
}

#[test]
fn h125_a_clock_that_goes_back_gives_nothing_away() {
    let window = window(2, 10);
    let mut cell = Cell::default();
    assert!(ask(window, &mut cell, 100 * SECOND).is_allowed);
    assert!(ask(window, &mut cell, 99 * SECOND).is_allowed);
    assert!(!ask(window, &mut cell, 5 * SECOND).is_allowed);
    assert!(!ask(window, &mut cell, 101 * SECOND).is_allowed);
}

#[test]
fn what_is_used_stays_used_when_the_rate_changes() {
    let older = window(50, 60);
    let mut cell = Cell::default();
    assert_eq!((0..40).filter(|_| ask(older, &mut cell, 90 * SECOND).is_allowed).count(), 40);
    let left = |newer: SlidingWindow| {
        let mut cell = newer.carry(&older, cell, 90 * SECOND);
        (0..500).filter(|_| ask(newer, &mut cell, 90 * SECOND).is_allowed).count()
    };
    assert_eq!(left(window(100, 60)), 60);
    assert_eq!(left(window(30, 60)), 0);
    assert_eq!(left(window(100, 3600)), 60);
    assert_eq!(left(window(10, 1)), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_says_what_the_formula_says_of_a_list_of_all_requests(
        limit in 1_u32..12,
        width in prop_oneof![1_u64..20, 1_u64..1000],
        steps in proptest::collection::vec(prop_oneof![Just(0_u64), 0_u64..30, 0_u64..500], 1..200),
    ) {
        let window = SlidingWindow { limit, width };
        let (mut cell, mut list, mut now) = (Cell::default(), List::default(), 0);
        for step in steps {
            now += step;
            let has_room = list.has_room(limit, width, now);
            let before = cell;
            let verdict = ask(window, &mut cell, now);
            prop_assert_eq!(verdict.is_allowed, has_room);
            if has_room {
                list.0.push(now);
            } else {
                let wait = u64::try_from(verdict.retry_after.as_nanos()).expect("small");
                prop_assert!(list.has_room(limit, width, now + wait));
                prop_assert!(!list.has_room(limit, width, now + wait - 1));
                prop_assert_eq!(window.take(before, now).1, verdict);
            }
            let mut probe = cell;
            let more = (0..=limit).take_while(|_| ask(window, &mut probe, now).is_allowed).count();
            prop_assert_eq!(more, verdict.remaining as usize);
            let rest = window.as_new_after(cell, now);
            prop_assert_eq!(window.take(cell, now + rest).1, window.take(Cell::default(), now + rest).1);
        }
        prop_assert!(list.most_in_any_window(width) <= 2 * u128::from(limit));
    }

    #[test]
    fn a_request_given_back_was_never_there(
        limit in 1_u32..10, width in 1_u64..100, taken in 0_u32..10, now in 0_u64..200, later in 0_u64..200,
    ) {
        let window = SlidingWindow { limit, width };
        let mut cell = Cell::default();
        for _ in 0..taken.min(limit - 1) {
            ask(window, &mut cell, now);
        }
        let (with, verdict) = window.take(cell, now);
        prop_assert!(verdict.is_allowed);
        let then = now + later;
        prop_assert_eq!(window.take(window.give_back(with, then), then).1, window.take(cell, then).1);
    }
}
