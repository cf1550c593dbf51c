//! Fastest: the better of two drawn candidates, by expected latency times load.
//!
//! Two different candidates are drawn by weight; of these goes the one with the lower *cost × (load + 1) / weight*,
//! where cost is its peak-EWMA [latency](super::latency) and load what runs there now. So a request goes where it
//! will probably be finished first: to a server that takes 10 ms and has three exchanges running (40) rather than to
//! one that takes 50 ms and is idle (50), but not once the first has five (60).
//!
//! Why two and not the best of all: with many workers and replicas, all would see the same best one and bury it until
//! its latency tells. The choice of two keeps the longest queue at log log n (Mitzenmacher, "The power of two choices
//! in randomized load balancing", 2001) and nobody has to look at all of them.
//!
//! **Who is not known** (just begun, or silent so long that what was known has faded) gets the next request that
//! draws it while nothing runs there: somebody has to find out. While that request runs, its latency counts as equal
//! to the other's, and only load and weight decide: a new server that never answers collects no more than its share.
//!
//! **A slow one comes back.** Its cost fades by time, so that after some of [`TAU`](super::latency::TAU) it is tried
//! again.
//!
//! **Weights** count twice, in the draw and in the comparison. Under load both ends meet: the numbers of exchanges
//! running stand in the proportion of the weights. While everybody is idle the heavier one of two is preferred by
//! more than its weight; shares that must be exact are for round robin.
//!
//! A server that fails at once looks fast. Keeping it out is the duty of health and breaker, by
//! [`Candidates::is_usable`], and of the caller, who records only the latency of answers.

use super::draw::{Dice, Draw};
use super::{Ask, Balancer, Candidates};

/// The better of two.
#[derive(Debug)]
pub struct Fastest {
    draw: Draw,
}

impl Fastest {
    /// Drawing like this.
    pub fn new(draw: Draw) -> Self {
        Self { draw }
    }
}

impl Balancer for Fastest {
    fn next(&self, candidates: &dyn Candidates, ask: Ask) -> Option<usize> {
        let mut dice = Dice::new(ask.random);
        let first = self.draw.one(candidates, &mut dice, None)?;
        match self.draw.one(candidates, &mut dice, Some(first)) {
            Some(second) if is_better(candidates, second, first) => Some(second),
            _ => Some(first),
        }
    }

    fn name(&self) -> &'static str {
        "fastest of two (peak EWMA)"
    }
}

fn is_better(candidates: &dyn Candidates, one: usize, other: usize) -> bool {
    let (load, other_load) = (candidates.load(one), candidates.load(other));
    let (cost, other_cost) = match (candidates.cost(one), candidates.cost(other)) {
        (0, 1..) if load == 0 => return true,
        (1.., 0) if other_load == 0 => return false,
        (0, _) | (_, 0) => (1, 1),
        known => known,
    };
    // 64 bits of cost, 33 of load and 32 of weight: at most (2^64 - 1) * 2^32 * (2^32 - 1), which is below 2^128.
    let score = |cost: u64, load: u32, weight_of_other: u32| {
        u128::from(cost) * (u128::from(load) + 1) * u128::from(weight_of_other)
    };
    score(cost, load, candidates.weight(other)) < score(other_cost, other_load, candidates.weight(one))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lb::tests::{Fixed, cases};

    /// Who goes of two, drawn in this order or that.
    fn of_two(costs: [u64; 2], loads: [u32; 2], weights: [u32; 2]) -> [usize; 2] {
        let fixed = Fixed::new(&weights).costs(&costs).loads(&loads);
        let in_order = |one, other| if is_better(&fixed, other, one) { other } else { one };
        [in_order(0, 1), in_order(1, 0)]
    }

    #[test]
    fn latency_times_load_decides() {
        assert_eq!(of_two([10, 50], [3, 0], [1, 1]), [0, 0]);
        assert_eq!(of_two([10, 50], [5, 0], [1, 1]), [1, 1]);
        assert_eq!(of_two([10, 10], [3, 7], [1, 2]), [0, 1], "alike: who was drawn first");
        assert_eq!(of_two([u64::MAX; 2], [u32::MAX, u32::MAX - 1], [u32::MAX; 2]), [1, 1]);
    }

    #[test]
    fn who_is_not_known_is_tried_once_at_a_time() {
        assert_eq!(of_two([5, 0], [0, 0], [1, 1]), [1, 1]);
        assert_eq!(of_two([5, 0], [0, 1], [1, 1]), [0, 0]);
        assert_eq!(of_two([5, 0], [3, 1], [1, 1]), [1, 1], "then load decides");
        assert_eq!(of_two([0, 0], [3, 1], [1, 1]), [1, 1]);
    }

    #[test]
    fn a_server_ten_times_slower_gets_much_less() {
        // Each exchange lasts as many turns as it costs; one begins each turn.
        let costs = [10_u64, 10, 10, 100];
        let fastest = Fastest::new(Draw::new([1; 4].into_iter(), false));
        let mut ends: Vec<(u64, usize)> = Vec::new();
        let mut counts = [0_u64; 4];
        for turn in 0..10_000 {
            ends.retain(|(end, _)| *end > turn);
            let load = |of: usize| ends.iter().filter(|(_, index)| *index == of).count() as u32;
            let fixed = Fixed::new(&[1; 4]).costs(&costs).loads(&[load(0), load(1), load(2), load(3)]);
            let ask = Ask { hash: None, random: crate::lb::hash::mix(turn) };
            let index = fastest.next(&fixed, ask).expect("all are usable");
            counts[index] += 1;
            ends.push((turn + costs[index], index));
        }
        assert!(counts[3] < 1000, "{counts:?}");
        assert!(counts[..3].iter().all(|count| (2700..3600).contains(count)), "{counts:?}");
    }

    proptest! {
        #![proptest_config(cases())]

        #[test]
        fn nobody_goes_who_is_worse_than_all_others(
            members in proptest::collection::vec((1_u64..50, 0_u32..5, 1_u32..4), 2..7),
            random in any::<u64>(),
        ) {
            let costs: Vec<u64> = members.iter().map(|m| m.0).collect();
            let loads: Vec<u32> = members.iter().map(|m| m.1).collect();
            let weights: Vec<u32> = members.iter().map(|m| m.2).collect();
            let fixed = Fixed::new(&weights).costs(&costs).loads(&loads);
            let fastest = Fastest::new(Draw::new(weights.iter().copied(), false));
            let index = fastest.next(&fixed, Ask { hash: None, random }).expect("all are usable");
            // Model: with fractions, and over all pairs.
            let score = |(cost, load, weight): (u64, u32, u32)| {
                cost as f64 * f64::from(load + 1) / f64::from(weight)
            };
            let beats_somebody = (0..members.len())
                .any(|other| other != index && score(members[index]) <= score(members[other]) + 1e-9);
            prop_assert!(beats_somebody);
        }
    }
}
