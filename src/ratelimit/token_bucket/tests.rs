//! The bucket against a level kept as an exact fraction, and against itself on many threads.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000_000;

fn rate(count: u32, seconds: u64) -> Rate {
    Rate { count, period: Duration::from_secs(seconds) }
}

/// Tokens left, in parts of which a token has `period` (in nanoseconds): each nanosecond adds `count` of them.
struct Level {
    count: i128,
    period: i128,
    most: i128,
    parts: i128,
    seen: u64,
}

impl Level {
    fn full(rate: Rate, burst: u32) -> Self {
        let period = i128::try_from(rate.period.as_nanos()).expect("small");
        let most = i128::from(burst) * period;
        Self { count: i128::from(rate.count), period, most, parts: most, seen: 0 }
    }

    fn fill(&mut self, nanos: u64) {
        self.parts = (self.parts + i128::from(nanos - self.seen) * self.count).min(self.most);
        self.seen = nanos;
    }

    fn has_token(&self) -> bool {
        self.parts >= self.period
    }
}

#[test]
fn a_burst_then_the_rate() {
    let bucket = TokenBucket::new(rate(2, 1), 3);
    let mut cell = 0;
    let mut ask = |nanos| {
        let (next, verdict) = bucket.take(cell, nanos);
        cell = next;
        (verdict.is_allowed, verdict.remaining, verdict.reset_after.as_millis(), verdict.retry_after.as_millis())
    };
    assert_eq!(ask(0), (true, 2, 500, 0));
    assert_eq!(ask(0), (true, 1, 1000, 0));
    assert_eq!(ask(0), (true, 0, 1500, 0));
    assert_eq!(ask(0), (false, 0, 1500, 500));
    assert_eq!(ask(SECOND / 2 - 1), (false, 0, 1000, 0), "a nanosecond is less than a millisecond");
    assert_eq!(ask(SECOND / 2), (true, 0, 1500, 0));
    assert_eq!(ask(10 * SECOND), (true, 2, 500, 0));
}

#[test]
fn seven_a_second_are_exact_after_a_day() {
    let bucket = TokenBucket::new(rate(7, 1), 7);
    let mut cell = 0;
    let mut passed = 0;
    // Asked ten times a second, and at the very end of the day.
    for tenth in 0..=864_000_u64 {
        let (next, verdict) = bucket.take(cell, tenth * SECOND / 10);
        cell = next;
        passed += u64::from(verdict.is_allowed);
    }
    assert!((7 * 86_400..=7 * 86_400 + 7).contains(&passed), "{passed}");
}

#[test]
fn a_rate_that_is_no_whole_number_of_nanoseconds_is_exact_too() {
    // 3333.33 ns each: cut to nanoseconds this would be 30 too many a second.
    let bucket = TokenBucket::new(rate(300_000, 1), 1);
    let mut cell = 0;
    let mut passed = 0_u64;
    for step in 0..2_000_000_u64 {
        let (next, verdict) = bucket.take(cell, step * 500);
        cell = next;
        passed += u64::from(verdict.is_allowed);
    }
    assert!(passed <= 300_001, "{passed}");
}

#[test]
fn the_slowest_and_the_fastest_rate_fit() {
    for (rate, burst) in [
        (rate(1, 999 * 86_400), u32::MAX),
        (rate(999_999_999, 1), u32::MAX),
        (rate(999_999_999, 1), 1),
        (rate(1, 1), u32::MAX),
        (Rate { count: 0, period: Duration::ZERO }, 0),
        (Rate { count: u32::MAX, period: Duration::MAX }, 5),
    ] {
        let bucket = TokenBucket::new(rate, burst);
        let thirty_years = 30 * 365 * 86_400 * SECOND;
        let (cell, verdict) = bucket.take(0, thirty_years);
        assert!(verdict.is_allowed);
        assert_eq!(verdict.remaining, burst.max(1) - 1, "{rate:?}");
        assert!(bucket.as_new_after(cell, thirty_years) > 0);
    }
}

#[test]
fn h125_a_clock_that_goes_back_gives_nothing_away() {
    let terms = TokenBucket::new(rate(1, 1), 2);
    let (cell, _) = terms.take(0, 100 * SECOND);
    assert!(!terms.take(cell, 50 * SECOND).1.is_allowed, "used at 100 s is used at 50 s");
    let bucket = SharedBucket::new(terms);
    let passes = |seconds| bucket.check(seconds * SECOND).is_allowed;
    assert!(passes(100) && passes(99), "two may come at once, whatever a worker's clock says");
    assert!(!passes(50) && !passes(100) && passes(101));
}

#[test]
fn what_is_used_stays_used_when_the_burst_changes() {
    let used = |burst: u32, later: u32| {
        let older = TokenBucket::new(rate(1, 1), 50);
        let cell = (0..burst).fold(0, |cell, _| older.take(cell, SECOND).0);
        let newer = TokenBucket::new(rate(3, 1), later);
        let (_, verdict) = newer.take(newer.carry(&older, cell, SECOND), SECOND);
        (verdict.is_allowed, verdict.remaining)
    };
    assert_eq!(used(40, 100), (true, 59));
    assert_eq!(used(40, 41), (true, 0));
    assert_eq!(used(40, 30), (false, 0));
    assert_eq!(used(0, 30), (true, 29));
}

#[test]
fn a_changed_shared_bucket_keeps_its_counts() {
    let bucket = SharedBucket::new(TokenBucket::new(rate(1, 60), 10));
    assert_eq!((0..8).filter(|_| bucket.check(SECOND).is_allowed).count(), 8);
    bucket.update(TokenBucket::new(rate(1, 3600), 12), SECOND);
    assert_eq!((0..8).filter(|_| bucket.check(SECOND).is_allowed).count(), 4);
    bucket.give_back(SECOND);
    assert_eq!((0..8).filter(|_| bucket.check(SECOND).is_allowed).count(), 1);
}

#[test]
fn many_threads_pass_exactly_what_one_would() {
    let bucket = SharedBucket::new(TokenBucket::new(rate(7, 1), 1000));
    let passed: usize = std::thread::scope(|scope| {
        let ask = || (0..500).filter(|_| bucket.check(SECOND).is_allowed).count();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread")).sum()
    });
    assert_eq!(passed, 1000);
}

fn any_rate() -> impl Strategy<Value = Rate> {
    let count = prop_oneof![1_u32..=10, 1_u32..=1000, 1_u32..=999_999_999];
    let seconds = prop_oneof![Just(1_u64), Just(60), Just(3600), Just(86_400), 1_u64..=999 * 86_400];
    (count, seconds).prop_map(|(count, seconds)| rate(count, seconds))
}

/// Steps of time around that of one token, so that borders are met.
fn steps(rate: Rate) -> impl Strategy<Value = Vec<u64>> {
    let token = u64::try_from(rate.period.as_nanos()).expect("small") / u64::from(rate.count);
    let step = prop_oneof![Just(0), Just(token), Just(token + 1), 0..=2 * token + 2, 0..=20 * token + 20];
    proptest::collection::vec(step, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_lets_pass_what_a_bucket_without_rounding_does(
        (rate, steps) in any_rate().prop_flat_map(|rate| (Just(rate), steps(rate))),
        burst in 1_u32..20,
        began in 0_u64..100_000 * SECOND,
    ) {
        let bucket = TokenBucket::new(rate, burst);
        let mut level = Level::full(rate, burst);
        // One unit, in the level's parts: how much too early a token may be given.
        let unit = level.period / i128::from(bucket.token) + 1;
        let mut cell = 0;
        let mut nanos = began;
        level.seen = began;
        for step in steps {
            nanos += step;
            if nanos > 40 * 365 * 86_400 * SECOND {
                break;
            }
            level.fill(nanos);
            let (next, verdict) = bucket.take(cell, nanos);
            if level.has_token() {
                prop_assert!(verdict.is_allowed);
            }
            if verdict.is_allowed {
                prop_assert!(level.parts + unit >= level.period);
                level.parts -= level.period;
                let left = (level.parts + unit) / level.period;
                prop_assert!(i128::from(verdict.remaining) <= left);
                prop_assert!(i128::from(verdict.remaining) + 1 >= left);
            } else {
                prop_assert_eq!(next, cell, "a refused request is not counted");
                let wait = u64::try_from(verdict.retry_after.as_nanos()).expect("small");
                prop_assert!(bucket.take(cell, nanos + wait).1.is_allowed);
                prop_assert!(!bucket.take(cell, nanos + wait - 1).1.is_allowed);
            }
            let rest = bucket.as_new_after(next, nanos);
            prop_assert_eq!(Duration::from_nanos(rest), verdict.reset_after);
            prop_assert_eq!(bucket.take(next, nanos + rest).1, bucket.take(0, nanos + rest).1);
            cell = next;
        }
    }

    #[test]
    fn common_rates_are_exact_to_the_nanosecond(
        (count, seconds) in prop_oneof![
            (1_u32..=8, 1_u64..1000),
            (0_u32..=9, Just(1)).prop_map(|(zeros, seconds)| (10_u32.pow(zeros), seconds)),
            Just((50, 1)), Just((600, 60)), Just((10_000, 86_400)),
        ],
        burst in 1_u32..20,
        steps in proptest::collection::vec(0_u64..3 * SECOND, 1..200),
    ) {
        let rate = rate(count, seconds);
        let bucket = TokenBucket::new(rate, burst);
        let mut level = Level::full(rate, burst);
        let (mut cell, mut nanos) = (0, 0);
        for step in steps {
            nanos += step / u64::from(count) * seconds;
            level.fill(nanos);
            let (next, verdict) = bucket.take(cell, nanos);
            prop_assert_eq!(verdict.is_allowed, level.has_token());
            if verdict.is_allowed {
                level.parts -= level.period;
            }
            cell = next;
        }
    }

    #[test]
    fn a_request_given_back_was_never_there(
        rate in any_rate(), burst in 2_u32..20, taken in 1_u32..20, later in 0_u64..10 * SECOND,
    ) {
        let bucket = TokenBucket::new(rate, burst);
        let cell = (1..taken.min(burst)).fold(0, |cell, _| bucket.take(cell, SECOND).0);
        let (with, verdict) = bucket.take(cell, SECOND);
        prop_assert!(verdict.is_allowed);
        let now = SECOND + later;
        prop_assert_eq!(bucket.take(bucket.give_back(with, now), now).1, bucket.take(cell, now).1);
    }

    #[test]
    fn a_change_never_gives_more_than_the_new_burst_and_keeps_what_is_used(
        older in any_rate(), newer in any_rate(),
        (burst, later) in (1_u32..50, 1_u32..50), taken in 0_u32..50,
    ) {
        let before = TokenBucket::new(older, burst);
        let after = TokenBucket::new(newer, later);
        let taken = taken.min(burst);
        let cell = (0..taken).fold(0, |cell, _| before.take(cell, SECOND).0);
        let mut cell = after.carry(&before, cell, SECOND);
        let mut passed = 0;
        for _ in 0..100 {
            let (next, verdict) = after.take(cell, SECOND);
            cell = next;
            passed += u32::from(verdict.is_allowed);
        }
        // Turning units of one bucket into those of another may round by one request in a rate of very few units a token.
        let left = later.saturating_sub(taken);
        prop_assert!(passed == left || passed == (left + 1).min(later), "{} of {}", passed, left);
    }
}
