//! When which endpoint is probed next.
//!
//! - A new endpoint is probed within its first second, or interval if that is shorter: it is used unknown until then.
//! - Its second probe comes after a random part of an interval. So those that began together, at a start, are spread
//!   over the whole interval from then on.
//! - From the end of one probe to the next it is the interval, a tenth more or less, so that replicas which started
//!   together do not stay together.
//! - One endpoint never has two probes at once, however slow it is, also if it goes and comes back meanwhile; all
//!   together never have more than the schedule was made for. What is due longest is next.
//!
//! Pure: time and randomness come in, what is to be done goes out. Endpoints are known by their numbers, which are
//! never used again.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

/// Within this a new endpoint is probed: spread a little, as a start may bring thousands of them.
const FIRST_WITHIN: Duration = Duration::from_secs(1);

/// A random number in a range of 1024: fine enough to spread, and without floats.
pub type Random<'a> = &'a mut dyn FnMut() -> u16;

/// Who is probed, and when.
#[derive(Debug)]
pub struct Schedule {
    known: HashMap<u64, Entry>,
    due: BTreeSet<(Instant, u64)>,
    running: usize,
    max_running: usize,
}

#[derive(Debug)]
struct Entry {
    phase: Phase,
    is_first: bool,
    is_gone: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Waits(Instant),
    Runs,
}

impl Schedule {
    /// With at most so many probes at once.
    pub fn new(max_running: usize) -> Self {
        Self { known: HashMap::new(), due: BTreeSet::new(), running: 0, max_running }
    }

    /// Takes over who is to be probed, with their intervals. Who is known stays as due as it was, or earlier if its
    /// interval has become that short.
    pub fn adopt(&mut self, wanted: &HashMap<u64, Duration>, now: Instant, random: Random<'_>) {
        let (known, due) = (&mut self.known, &mut self.due);
        known.retain(|number, entry| {
            entry.is_gone = !wanted.contains_key(number);
            match entry.phase {
                Phase::Waits(at) if entry.is_gone => {
                    due.remove(&(at, *number));
                    false
                }
                // It is kept until it ends, so that it cannot come back and run twice.
                Phase::Waits(_) | Phase::Runs => true,
            }
        });
        for (number, interval) in wanted {
            match known.get_mut(number) {
                Some(entry) => {
                    let latest = now + longest(*interval);
                    if let Phase::Waits(at) = &mut entry.phase
                        && *at > latest
                    {
                        due.remove(&(*at, *number));
                        due.insert((latest, *number));
                        *at = latest;
                    }
                }
                None => {
                    let at = now + part(FIRST_WITHIN.min(*interval), random);
                    due.insert((at, *number));
                    known.insert(*number, Entry { phase: Phase::Waits(at), is_first: true, is_gone: false });
                }
            }
        }
    }

    /// Somebody whose probe is due; it counts as running until [`ended`](Self::ended).
    pub fn next(&mut self, now: Instant) -> Option<u64> {
        if self.running >= self.max_running {
            return None;
        }
        let (at, number) = *self.due.first()?;
        if at > now {
            return None;
        }
        self.due.pop_first();
        self.running += 1;
        if let Some(entry) = self.known.get_mut(&number) {
            entry.phase = Phase::Runs;
        }
        Some(number)
    }

    /// When [`next`](Self::next) is to be asked again; none: only after a probe has ended or somebody is new.
    pub fn wake_at(&self) -> Option<Instant> {
        if self.running >= self.max_running { None } else { self.due.first().map(|(at, _)| *at) }
    }

    /// A probe has ended.
    pub fn ended(&mut self, number: u64, interval: Duration, now: Instant, random: Random<'_>) {
        let Some(entry) = self.known.get_mut(&number).filter(|entry| entry.phase == Phase::Runs) else { return };
        self.running -= 1;
        if entry.is_gone {
            self.known.remove(&number);
            return;
        }
        let wait = if std::mem::take(&mut entry.is_first) {
            part(interval, random)
        } else {
            // From nine tenths to eleven.
            interval - interval / 10 + part(interval / 5, random)
        };
        entry.phase = Phase::Waits(now + wait);
        self.due.insert((now + wait, number));
    }
}

/// The longest time between two probes.
fn longest(interval: Duration) -> Duration {
    interval + interval / 10
}

/// Less than the whole.
fn part(whole: Duration, random: Random<'_>) -> Duration {
    whole * u32::from(random() % 1024) / 1024
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_thousand_that_begin_together_are_probed_at_once_and_spread_over_the_interval_after_it() {
        let (mut schedule, start) = (Schedule::new(2000), Instant::now());
        let mut seed = 1_u32;
        let mut random = move || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 16) as u16
        };
        let wanted: HashMap<u64, Duration> = (0..1000).map(|number| (number, 10 * SECOND)).collect();
        schedule.adopt(&wanted, start, &mut random);
        let mut per_second = [0; 30];
        for tick in 0..300_u32 {
            let now = start + tick * SECOND / 10;
            while let Some(number) = schedule.next(now) {
                per_second[tick as usize / 10] += 1;
                schedule.ended(number, 10 * SECOND, now, &mut random);
            }
        }
        let first = per_second[0] + per_second[1];
        assert!(first >= 1000, "{per_second:?}");
        assert!(per_second[3..].iter().all(|count| (50..170).contains(count)), "{per_second:?}");
    }

    #[test]
    fn a_shorter_interval_counts_at_once() {
        let (mut schedule, now) = (Schedule::new(9), Instant::now());
        let mut random = || 512;
        schedule.adopt(&HashMap::from([(7, 3600 * SECOND)]), now, &mut random);
        assert_eq!(schedule.wake_at(), Some(now + SECOND / 2));
        assert_eq!(schedule.next(now + SECOND), Some(7));
        schedule.ended(7, 3600 * SECOND, now + SECOND, &mut random);
        assert_eq!(schedule.wake_at(), Some(now + 1801 * SECOND));
        schedule.adopt(&HashMap::from([(7, 10 * SECOND)]), now, &mut random);
        assert_eq!(schedule.wake_at(), Some(now + 11 * SECOND));
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// These are wanted, with this interval in seconds.
        Adopt(Vec<u64>, u32),
        /// All that is due begins.
        Begin,
        /// One of those running ends.
        End(usize),
        Wait(u64),
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            1 => (proptest::collection::vec(0_u64..6, 0..6), 1_u32..20).prop_map(|(who, wait)| Step::Adopt(who, wait)),
            3 => Just(Step::Begin),
            3 => (0_usize..9).prop_map(Step::End),
            3 => (0_u64..4_000).prop_map(Step::Wait),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() })]

        /// Against a list of who runs and when each ended.
        #[test]
        fn h106_one_probe_at_a_time_for_each_and_none_forgotten(
            steps in proptest::collection::vec(any_step(), 1..150),
            max_running in 1_usize..5,
            seed in any::<u16>(),
        ) {
            let mut state = seed;
            let mut random = move || {
                state = state.wrapping_mul(25_173).wrapping_add(13_849);
                state
            };
            let (mut schedule, mut now) = (Schedule::new(max_running), Instant::now());
            let mut wanted: HashMap<u64, Duration> = HashMap::new();
            let mut running: Vec<u64> = Vec::new();
            // Since when each is wanted or has ended its last probe, and how many it had.
            let mut since: HashMap<u64, (Instant, usize)> = HashMap::new();
            // Intervals were edited: then only the latest time is known.
            let mut intervals: HashMap<u64, Vec<Duration>> = HashMap::new();
            for step in steps {
                match step {
                    Step::Adopt(who, interval) => {
                        wanted = who.into_iter().map(|number| (number, interval * SECOND)).collect();
                        schedule.adopt(&wanted, now, &mut random);
                        since.retain(|number, _| wanted.contains_key(number) || running.contains(number));
                        intervals.retain(|number, _| since.contains_key(number));
                        for number in wanted.keys() {
                            since.entry(*number).or_insert((now, 0));
                            intervals.entry(*number).or_default().push(interval * SECOND);
                        }
                    }
                    Step::Begin => while let Some(number) = schedule.next(now) {
                        prop_assert!(!running.contains(&number), "{number} runs already");
                        prop_assert!(wanted.contains_key(&number));
                        running.push(number);
                        let (last, count) = since[&number];
                        let shortest = intervals[&number].iter().min().expect("one");
                        if count > 1 {
                            prop_assert!(now - last >= *shortest * 9 / 10, "{number} is early");
                        }
                        intervals.insert(number, vec![wanted[&number]]);
                    },
                    Step::End(which) if !running.is_empty() => {
                        let number = running.remove(which % running.len());
                        let interval = wanted.get(&number).copied().unwrap_or(SECOND);
                        schedule.ended(number, interval, now, &mut random);
                        match wanted.contains_key(&number) {
                            true => {
                                let count = since.get(&number).map_or(0, |(_, count)| *count);
                                since.insert(number, (now, count + 1));
                                intervals.insert(number, vec![interval]);
                            }
                            false => {
                                since.remove(&number);
                            }
                        }
                    }
                    Step::End(_) => {}
                    Step::Wait(millis) => now += Duration::from_millis(millis),
                }
                prop_assert!(running.len() <= max_running);
                if running.len() < max_running {
                    for number in wanted.keys().filter(|number| !running.contains(number)) {
                        let longest = intervals[number].iter().max().expect("one");
                        let latest = since[number].0 + *longest * 11 / 10;
                        prop_assert!(schedule.wake_at().is_some_and(|at| at <= latest.max(now)), "{number} is forgotten");
                    }
                }
            }
        }
    }
}
