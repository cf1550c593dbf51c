//! How many tries may be added to the requests of an upstream, so that retries never become the outage.
//!
//! When everything fails, every request wants its retries: with two each, servers that are down already get three
//! times the load, and stay down. The budget bounds that: over any ten seconds, retries are at most `percent` of the
//! requests, or `minPerSecond` times ten, whichever is more. With the defaults, 20 and 10, an upstream with 1000
//! requests a second gets at most 200 retries a second on top: 1.2 times the load, however many fail. One with a
//! request a second may retry each of them.
//!
//! *Whichever is more*, and not the sum: with the sum the amplification would be 1.2 plus something at every load.
//! All rules that use the upstream share the budget, as the servers do.
//!
//! # Counting
//!
//! Requests and retries are counted by the second, in a ring of 16 atomic words, each with its second beside its
//! count; no lock, and no work for seconds in which nothing happens. A second is no sharp edge, so both are counted
//! to the careful side: requests of the last ten begun seconds, which is less than ten whole ones, and retries of the
//! last eleven, which is more. A retry is first counted and then judged, and taken back if it was too much: two
//! workers that ask at once for the last one may both be refused, but never both get it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::config::upstream;

/// Over how long retries and requests are compared.
const SECONDS: u64 = 10;
/// Words in a ring: more than the eleven looked at, so that a worker whose clock is behind writes to none of them.
const RING: usize = 16;

/// Of one upstream, shared by all workers.
#[derive(Debug, Default)]
pub struct RetryBudget {
    /// The first request: seconds are counted from here.
    origin: OnceLock<Instant>,
    /// Made with the first request and the first retry: of a hundred thousand upstreams most have none.
    requests: OnceLock<Box<Ring>>,
    retries: OnceLock<Box<Ring>>,
}

impl RetryBudget {
    /// Nothing counted yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts a request; its retries are not requests.
    pub fn request(&self, now: Instant) {
        self.requests.get_or_init(Box::default).add(self.second(now));
    }

    /// Whether one more try may be added now. It is counted, if so.
    pub fn try_retry(&self, settings: &upstream::RetryBudget, now: Instant) -> bool {
        let second = self.second(now);
        let of_retries = self.retries.get_or_init(Box::default);
        of_retries.add(second);
        let retries = of_retries.sum(second, SECONDS + 1);
        let requests = self.requests.get().map_or(0, |ring| ring.sum(second, SECONDS));
        let is_minimum = retries <= u64::from(settings.min_per_second) * SECONDS;
        let is_allowed = is_minimum || retries * 100 <= requests * u64::from(settings.percent);
        if !is_allowed {
            of_retries.take_back(second);
        }
        is_allowed
    }

    /// The number of the second, from 1: a word of zeros is older than all.
    fn second(&self, now: Instant) -> u64 {
        let origin = self.origin.get_or_init(|| now);
        now.saturating_duration_since(*origin).as_secs() + 1
    }
}

/// Counts by the second: 32 bits the second (136 years), 32 bits the count.
#[derive(Debug, Default)]
struct Ring([AtomicU64; RING]);

impl Ring {
    fn add(&self, second: u64) {
        let word = self.word(second);
        let mut found = word.load(Ordering::SeqCst);
        loop {
            if found >> 32 == second {
                // Four milliards in a second do not happen, so the count does not run into the second.
                word.fetch_add(1, Ordering::SeqCst);
                return;
            }
            if found >> 32 > second {
                // Our clock is a whole ring behind: what is counted there is of another time.
                return;
            }
            match word.compare_exchange_weak(found, second << 32 | 1, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return,
                Err(newer) => found = newer,
            }
        }
    }

    fn take_back(&self, second: u64) {
        let is_still_there = |found: u64| (found >> 32 == second && found & COUNT > 0).then(|| found - 1);
        let _ = self.word(second).fetch_update(Ordering::SeqCst, Ordering::SeqCst, is_still_there);
    }

    /// Of this second and those before it, `seconds` in all.
    fn sum(&self, second: u64, seconds: u64) -> u64 {
        let is_looked_at = |found: &u64| (second.saturating_sub(seconds - 1)..=second).contains(&(found >> 32));
        self.0.iter().map(|word| word.load(Ordering::SeqCst)).filter(is_looked_at).map(|found| found & COUNT).sum()
    }

    fn word(&self, second: u64) -> &AtomicU64 {
        &self.0[(second % RING as u64) as usize]
    }
}

/// The bits of a count.
const COUNT: u64 = (1 << 32) - 1;

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const WINDOW: Duration = Duration::from_secs(10);
    const SECOND: Duration = Duration::from_secs(1);

    fn settings(percent: u32, min_per_second: u32) -> upstream::RetryBudget {
        upstream::RetryBudget { percent, min_per_second }
    }

    #[test]
    fn a_quiet_upstream_may_retry_everything_and_nothing_more_after_the_minimum() {
        let (budget, now) = (RetryBudget::new(), Instant::now());
        budget.request(now);
        assert!((0..100).all(|_| budget.try_retry(&settings(20, 10), now)));
        assert!(!budget.try_retry(&settings(20, 10), now));
        assert!(!budget.try_retry(&settings(20, 10), now + WINDOW));
        assert!(budget.try_retry(&settings(20, 10), now + WINDOW + SECOND));
    }

    #[test]
    fn nothing_configured_is_nothing_allowed() {
        let (budget, now) = (RetryBudget::new(), Instant::now());
        budget.request(now);
        assert!(!budget.try_retry(&settings(0, 0), now));
        assert!(budget.try_retry(&settings(100, 0), now));
        assert!(!budget.try_retry(&settings(100, 0), now));
    }

    #[test]
    fn workers_that_ask_at_once_never_get_more_than_there_is() {
        let (budget, now) = (Arc::new(RetryBudget::new()), Instant::now());
        let ask = move |budget: Arc<RetryBudget>| (0..500).filter(|_| budget.try_retry(&settings(0, 7), now)).count();
        let workers: Vec<_> =
            (0..8).map(|_| Arc::clone(&budget)).map(|mine| thread::spawn(move || ask(mine))).collect();
        let granted: usize = workers.into_iter().map(|worker| worker.join().expect("no panic")).sum();
        // Eight that ask at once for the last ones may take seven of them from each other.
        assert!((63..=70).contains(&granted), "{granted}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Against lists of all requests and retries.
        #[test]
        fn retries_stay_within_their_share_over_any_ten_seconds(
            steps in proptest::collection::vec((0_u64..900, 0_usize..20, 0_usize..20), 1..80),
            percent in 0_u32..120,
            min_per_second in 0_u32..4,
        ) {
            let (budget, mut now) = (RetryBudget::new(), Instant::now());
            let (mut requests, mut retries): (Vec<Instant>, Vec<Instant>) = Default::default();
            let within = |list: &[Instant], now: Instant, span| list.iter().filter(|at| now - **at < span).count();
            let allows = |requests: usize, retries: usize| {
                retries <= min_per_second as usize * 10 || retries * 100 <= requests * percent as usize
            };
            for (wait, asked, again) in steps {
                now += Duration::from_millis(wait);
                (0..asked).for_each(|_| budget.request(now));
                requests.extend((0..asked).map(|_| now));
                for _ in 0..again {
                    if budget.try_retry(&settings(percent, min_per_second), now) {
                        retries.push(now);
                        prop_assert!(allows(within(&requests, now, WINDOW), within(&retries, now, WINDOW)));
                    } else {
                        // Seconds have edges: what is just inside or outside may count or not.
                        let sure = within(&requests, now, WINDOW - SECOND);
                        let seen = within(&retries, now, WINDOW + SECOND);
                        prop_assert!(!allows(sure, seen + 1));
                    }
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 24, ..ProptestConfig::default() })]

        #[test]
        fn h105_retry_storm_stays_below_a_fifth_more(
            per_second in 50_usize..400,
            wanted in 1_usize..10,
            tick in 20_u64..500,
        ) {
            let (budget, start) = (RetryBudget::new(), Instant::now());
            let (mut requests, mut tries): (Vec<Instant>, Vec<Instant>) = Default::default();
            for step in 0..30_000 / tick {
                let now = start + Duration::from_millis(step * tick);
                // Every request fails, and so does every retry.
                let until_now = (step + 1) * tick * per_second as u64 / 1000;
                while (requests.len() as u64) < until_now {
                    budget.request(now);
                    requests.push(now);
                    tries.push(now);
                    let retries = (0..wanted).take_while(|_| budget.try_retry(&settings(20, 10), now)).count();
                    tries.extend((0..retries).map(|_| now));
                }
                if now - start >= WINDOW {
                    let within = |list: &[Instant]| list.iter().filter(|at| now - **at < WINDOW).count();
                    // 100 in ten seconds are free, which is a fifth of 50 a second.
                    let allowed = (within(&requests) * 20 / 100).max(100) + 1;
                    prop_assert!(within(&tries) - within(&requests) <= allowed);
                    prop_assert!(within(&tries) * 10 <= within(&requests) * 12 + 10);
                }
            }
        }
    }
}
