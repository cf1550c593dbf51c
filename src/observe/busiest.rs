//! Whom a counter names: the busiest hundred, and `other`.
//!
//! A metric with a label for each client would grow with every address that ever came; an attacker could fill the
//! memory of the gateway and of whoever stores its metrics. So there are never more than `max` labels and `other`,
//! and, as important for a store of time series, labels change seldom.
//!
//! **The choice.** Who is busy is estimated by a "space saving" sketch (Metwally, Agrawal, El Abbadi, 2005): four
//! times `max` counters; a caller without one takes over the smallest and inherits its count as its possible error,
//! so that whoever caused more than one in `3 * max` of all events is certain to have one. The sketch alone would
//! rename its smallest counters at each new address. So labels are given apart from it: the first `max` callers get
//! one, and later a caller takes over the label with the least count only when it has *certainly* (estimate less
//! error) been seen more than twice as often. Each such change more than doubles a count, so of N events at most `max
//! * log2(N)` change a label: of a billion, 3000, however many addresses they come from.
//!
//! ```text
//! max 2:  a a a a  b b b  c c c c c c      a=4 b=3 other=6     six are not more than twice three
//!         the seventh c                    a=4 c=1 other=9     c has b's label; b's three are in other
//! ```
//!
//! **What holds.** All labels together count every event once: who gets a label begins at 0 there, what it was before
//! is in `other`, and what a label had when it was taken over goes to `other`. So `other` and the sum never fall.
//!
//! Pure: no clock, no randomness. Used by metrics behind a short mutex, for refused requests only.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

/// Who is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Caller {
    /// A client.
    Address(IpAddr),
    /// The short hash of a limit's key, for what must not be shown.
    Key(u32),
}

impl Caller {
    /// By the hash of its key, if it has one, else by its address.
    pub fn new(address: IpAddr, key_hash: Option<u32>) -> Self {
        key_hash.map_or(Self::Address(address), Self::Key)
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Key(hash) => write!(f, "key-{hash:08x}"),
        }
    }
}

/// The `client` label of all who have none of their own.
pub const OTHER: &str = "other";

/// Labels for clients: 100 are more than a person looks through.
pub const DEFAULT_MAX_LABELS: usize = 100;

/// Counters of the sketch for each label.
const COUNTERS_A_LABEL: usize = 4;

/// Counts by caller, with a bound.
#[derive(Debug)]
pub struct Busiest {
    max: usize,
    counters: Vec<Counter>,
    places: HashMap<Caller, usize, ahash::RandomState>,
    labels: usize,
    /// No label has been certainly seen less often. Only grows, so that it is seldom looked for.
    least: u64,
    other: u64,
}

#[derive(Debug)]
struct Counter {
    caller: Caller,
    /// At least as often as it was seen.
    estimate: u64,
    /// The estimate is at most so much too large.
    error: u64,
    /// What its label has counted.
    shown: Option<u64>,
}

impl Counter {
    fn certain(&self) -> u64 {
        self.estimate - self.error
    }
}

impl Busiest {
    /// With at most `max` labels, at least 1.
    pub fn new(max: usize) -> Self {
        let max = max.max(1);
        Self { max, counters: Vec::new(), places: HashMap::default(), labels: 0, least: 0, other: 0 }
    }

    /// Counts one event.
    pub fn count(&mut self, caller: Caller) {
        let index = self.place(caller);
        let has_room = self.labels < self.max;
        let Some(counter) = self.counters.get_mut(index) else { return };
        counter.estimate += 1;
        if let Some(shown) = &mut counter.shown {
            *shown += 1;
            return;
        }
        let certain = counter.certain();
        if has_room {
            counter.shown = Some(1);
            self.labels += 1;
        } else if !self.takes_over(index, certain) {
            self.other += 1;
        }
    }

    /// All labels with their counts, in no order; without [`OTHER`].
    pub fn labels(&self) -> impl Iterator<Item = (Caller, u64)> {
        self.counters.iter().filter_map(|counter| Some((counter.caller, counter.shown?)))
    }

    /// What is counted as [`OTHER`].
    pub fn other(&self) -> u64 {
        self.other
    }

    /// The caller's counter, or the smallest that has no label.
    fn place(&mut self, caller: Caller) -> usize {
        if let Some(index) = self.places.get(&caller) {
            return *index;
        }
        let mut index = self.counters.len();
        if index < self.max * COUNTERS_A_LABEL {
            self.counters.push(Counter { caller, estimate: 0, error: 0, shown: None });
        } else {
            let unlabelled = self.counters.iter().enumerate().filter(|(_, counter)| counter.shown.is_none());
            // There are more counters than labels, so one is found.
            index = unlabelled.min_by_key(|(_, counter)| counter.estimate).map_or(0, |(index, _)| index);
            if let Some(counter) = self.counters.get_mut(index) {
                self.places.remove(&counter.caller);
                *counter = Counter { caller, estimate: counter.estimate, error: counter.estimate, shown: None };
            }
        }
        self.places.insert(caller, index);
        index
    }

    /// Gives it the label of the least busy, if it is more than twice as busy.
    fn takes_over(&mut self, index: usize, certain: u64) -> bool {
        if certain / 2 < self.least || certain < 3 {
            return false;
        }
        let labelled = self.counters.iter_mut().filter(|counter| counter.shown.is_some());
        let Some(least) = labelled.min_by_key(|counter| counter.certain()) else { return false };
        self.least = least.certain();
        if certain <= self.least.saturating_mul(2) {
            return false;
        }
        self.other += least.shown.take().unwrap_or_default();
        if let Some(counter) = self.counters.get_mut(index) {
            counter.shown = Some(1);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use proptest::prelude::*;

    use super::*;

    fn shown(busiest: &Busiest) -> HashMap<Caller, u64> {
        busiest.labels().collect()
    }

    #[test]
    fn a_label_is_taken_over_by_who_is_more_than_twice_as_busy() {
        let [a, b, c] = [Caller::Key(1), Caller::Key(2), Caller::Key(3)];
        let mut busiest = Busiest::new(2);
        for caller in [a, a, a, a, b, b, b, c, c, c, c, c, c] {
            busiest.count(caller);
        }
        assert_eq!((shown(&busiest), busiest.other()), (HashMap::from([(a, 4), (b, 3)]), 6));
        busiest.count(c);
        assert_eq!((shown(&busiest), busiest.other()), (HashMap::from([(a, 4), (c, 1)]), 9));
    }

    #[test]
    fn h129_a_flood_of_addresses_makes_no_labels() {
        let mut busiest = Busiest::new(DEFAULT_MAX_LABELS);
        let mut ever = HashSet::new();
        for number in 0..200_000_u32 {
            let heavy = Caller::Key(number % 7);
            let flood = Caller::Address(IpAddr::V4(number.into()));
            busiest.count(heavy);
            busiest.count(flood);
            if number.is_multiple_of(100) {
                ever.extend(busiest.labels().map(|(caller, _)| caller));
            }
        }
        assert!((0..7).all(|number| shown(&busiest).contains_key(&Caller::Key(number))));
        assert!(ever.len() <= 110, "{}", ever.len());
        assert_eq!(busiest.places.len(), busiest.counters.len());
        assert!(busiest.counters.len() <= 4 * DEFAULT_MAX_LABELS);
    }

    #[test]
    fn callers_as_labels() {
        let address = "2001:db8::".parse().expect("an address");
        assert_eq!(Caller::new(address, None).to_string(), "2001:db8::");
        assert_eq!(Caller::new(address, Some(0xbeef)).to_string(), "key-0000beef");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn labels_are_few_and_true_and_sum_up(
            max in 1_usize..6,
            events in proptest::collection::vec(prop_oneof![0_u32..6, 0_u32..20, 0_u32..1000], 1..600),
        ) {
            let mut busiest = Busiest::new(max);
            let mut seen: HashMap<Caller, u64> = HashMap::new();
            let mut labels: HashSet<Caller> = HashSet::new();
            let mut changes = 0;
            let mut other = 0;
            for (number, event) in (1_u64..).zip(&events) {
                let caller = Caller::Key(*event);
                busiest.count(caller);
                *seen.entry(caller).or_default() += 1;
                let shown = shown(&busiest);
                prop_assert!(shown.len() <= max);
                prop_assert_eq!(shown.values().sum::<u64>() + busiest.other(), number, "every event counts once");
                prop_assert!(busiest.other() >= other);
                other = busiest.other();
                for (caller, count) in &shown {
                    prop_assert!(count <= &seen[caller]);
                }
                let now: HashSet<Caller> = shown.keys().copied().collect();
                changes += now.difference(&labels).count();
                labels = now;
                // Who is certainly busy has a label: twice the least of the labelled, and the sketch's error.
                let least = shown.keys().map(|caller| seen[caller]).min().unwrap_or_default();
                let is_busy = seen[&caller] > 2 * least + number.div_ceil(3 * max as u64) + 1;
                prop_assert!(shown.len() < max || !is_busy || shown.contains_key(&caller));
            }
            let bound = max as f64 * (1.0 + (events.len() as f64).log2());
            prop_assert!(changes as f64 <= bound, "{} changes", changes);
        }
    }
}
