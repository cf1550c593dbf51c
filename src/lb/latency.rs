//! How long exchanges with an endpoint take: a peak-EWMA in one atomic word, shared by all workers.
//!
//! The average of all time tells too late that a server has begun to stall. So a sample above the estimate becomes
//! the estimate at once, and samples below pull it down slowly: with *d = e^(-age / TAU)*, the estimate becomes *d ×
//! estimate + (1 - d) × sample*. When nothing is heard the estimate fades the same way towards 0, which is "not
//! known". Example with [`TAU`] = 10 s: at an estimate of 10 ms one answer takes 200 ms: 200 ms from now on. Answers
//! of 10 ms every second bring it to 82 ms after 10 s and to 36 ms after 20 s. A server that is avoided as 20 times
//! slower than the others is asked again after 30 s of silence (200 ms × e^-3 = 10 ms).
//!
//! Weighing by age and not by count makes it the same for busy and quiet servers. (The idea is that of Finagle's
//! load balancer, 2013.)
//!
//! **One word**, so that a reader never sees half of a change and nobody waits: the upper half is the time of the
//! last change in ticks of [`TICK`], the lower half the estimate in nanoseconds as a 32-bit float. The errors: the
//! age is off by at most one tick, which is 0.16 % of the estimate; each change rounds by 2^-24 of it; samples within
//! the tick of the last change do not pull it down (their share would be below 0.16 %), which also keeps busy workers
//! from writing to the same word with each answer. Ticks wrap after two years; an endpoint silent for longer than one
//! is misjudged once. A `now` that is a little behind (workers keep coarse clocks) counts as no time passed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// 10 s: longer than the pause of a garbage collector, shorter than people wait before they look.
pub const TAU: Duration = Duration::from_secs(10);

/// 16 ms: far below [`TAU`], and 2^32 of them are two years.
pub const TICK: Duration = Duration::from_millis(16);

/// The estimate of one endpoint.
#[derive(Debug)]
pub struct Latency {
    began: Instant,
    /// Ticks since `began`, then the estimate; 0: nothing known.
    word: AtomicU64,
}

/// The two halves of the word.
#[derive(Clone, Copy)]
struct State {
    tick: u32,
    nanos: f32,
}

impl State {
    fn from_word(word: u64) -> Self {
        let [a, b, c, d, e, f, g, h] = word.to_be_bytes();
        Self { tick: u32::from_be_bytes([a, b, c, d]), nanos: f32::from_be_bytes([e, f, g, h]) }
    }

    fn word(self) -> u64 {
        u64::from(self.tick) << 32 | u64::from(self.nanos.to_bits())
    }

    /// What is left of the estimate at a later tick, as a share.
    fn remainder(self, tick: u32) -> f64 {
        let ticks = tick.wrapping_sub(self.tick);
        // More than half of all ticks ahead is a clock that is behind.
        if ticks == 0 || ticks > u32::MAX / 2 {
            return 1.0;
        }
        (-f64::from(ticks) * TICK.as_secs_f64() / TAU.as_secs_f64()).exp()
    }

    /// The state after this sample; none: nothing changes.
    fn after(self, sample: f32, tick: u32) -> Option<Self> {
        let left = self.remainder(tick);
        let faded = f64::from(self.nanos) * left;
        #[expect(clippy::cast_possible_truncation, reason = "a mean of two 32-bit floats")]
        let pulled = (faded + f64::from(sample) * (1.0 - left)) as f32;
        match f64::from(sample) >= faded {
            true => Some(Self { tick, nanos: sample }),
            false if left < 1.0 => Some(Self { tick, nanos: pulled }),
            false => None,
        }
    }
}

impl Latency {
    /// Nothing known yet.
    pub fn new(now: Instant) -> Self {
        Self { began: now, word: AtomicU64::new(0) }
    }

    /// An exchange took so long.
    pub fn record(&self, took: Duration, now: Instant) {
        // At least 1 ns: 0 means not known. Beyond 2^24 ns the float rounds, by less than one in 16 million.
        let sample = (took.as_secs_f32() * 1e9).max(1.0);
        let tick = self.tick(now);
        let change = |word| State::from_word(word).after(sample, tick).map(State::word);
        // Relaxed: the word orders nothing but itself. An error is `after` saying that nothing changes.
        let _ = self.word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
    }

    /// Nanoseconds that an exchange is expected to take; 0: not known, or too long ago.
    pub fn cost(&self, now: Instant) -> u64 {
        let state = State::from_word(self.word.load(Ordering::Relaxed));
        if state.nanos == 0.0 {
            return 0;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "never negative, and it saturates")]
        let nanos = (f64::from(state.nanos) * state.remainder(self.tick(now))).round() as u64;
        nanos
    }

    fn tick(&self, now: Instant) -> u32 {
        let ticks = now.saturating_duration_since(self.began).as_millis() / TICK.as_millis();
        #[expect(clippy::cast_possible_truncation, reason = "ticks wrap, see the header")]
        let wrapped = ticks as u32;
        wrapped
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lb::tests::cases;

    const MS: Duration = Duration::from_millis(1);

    fn near(nanos: u64, wanted: Duration) -> bool {
        let wanted = wanted.as_nanos() as f64;
        (nanos as f64 - wanted).abs() <= wanted * 0.01 + 1.0
    }

    #[test]
    fn a_peak_counts_at_once_and_fades() {
        let began = Instant::now();
        let latency = Latency::new(began);
        assert_eq!(latency.cost(began), 0);
        latency.record(10 * MS, began);
        latency.record(200 * MS, began);
        assert!(near(latency.cost(began), 200 * MS));
        for second in 1..=20 {
            let now = began + Duration::from_secs(second);
            latency.record(10 * MS, now);
            match second {
                10 => assert!(near(latency.cost(now), 80 * MS), "{}", latency.cost(now)),
                20 => assert!(near(latency.cost(now), 36 * MS), "{}", latency.cost(now)),
                _ => {}
            }
        }
    }

    #[test]
    fn silence_ends_in_not_known() {
        let began = Instant::now();
        let latency = Latency::new(began);
        latency.record(200 * MS, began);
        assert!(near(latency.cost(began + 3 * TAU), Duration::from_nanos(9_957_413)));
        assert_eq!(latency.cost(began + 30 * TAU), 0);
    }

    #[test]
    fn a_clock_that_is_behind_changes_nothing() {
        let began = Instant::now();
        let latency = Latency::new(began);
        latency.record(50 * MS, began + Duration::from_secs(5));
        latency.record(MS, began + Duration::from_secs(4));
        assert!(near(latency.cost(began), 50 * MS));
    }

    #[test]
    fn ticks_may_wrap() {
        let before = State { tick: u32::MAX - 10, nanos: 1e6 };
        let left = before.remainder(u32::MAX.wrapping_add(615));
        assert!((left - (-1.0_f64).exp()).abs() < 0.001, "{left}");
    }

    #[test]
    fn workers_at_once_lose_no_peak() {
        let began = Instant::now();
        let latency = Latency::new(began);
        std::thread::scope(|scope| {
            for worker in 0..4_u32 {
                let latency = &latency;
                scope.spawn(move || {
                    for sample in 0..1000 {
                        latency.record(MS * (worker * 1000 + sample), began);
                    }
                });
            }
        });
        assert!(near(latency.cost(began), 3999 * MS));
    }

    proptest! {
        #![proptest_config(cases())]

        #[test]
        fn it_is_near_an_estimate_without_ticks_and_words(
            samples in proptest::collection::vec((1_u64..2_000, 16_u64..5_000), 1..40),
        ) {
            let began = Instant::now();
            let latency = Latency::new(began);
            // Model: the formula of the header in 64-bit floats and exact times. Times are whole ticks, so that
            // only the arithmetic differs.
            let (mut exact, mut last, mut now) = (0.0_f64, began, began);
            for (millis, pause) in samples {
                now += TICK * u32::try_from(pause / 16).expect("small");
                let took = Duration::from_millis(millis);
                latency.record(took, now);
                let left = (-(now - last).as_secs_f64() / TAU.as_secs_f64()).exp();
                let sample = took.as_nanos() as f64;
                exact = if sample >= exact * left { sample } else { exact * left + sample * (1.0 - left) };
                last = now;
                let cost = latency.cost(now) as f64;
                prop_assert!((cost - exact).abs() <= exact * 1e-4 + 1.0, "{cost} {exact}");
            }
        }
    }
}
