//! Smooth weighted round robin: exact shares, evenly interleaved.
//!
//! Each turn every usable candidate gains its weight; the one with most goes, and pays the sum of what was
//! gained. With weights 5, 1, 1 the turns are a a b a c a a and not a a a a a b c, so a small server never
//! sees a burst. Over any span in which nothing changes, each candidate's count differs from its exact share
//! by less than one turn per candidate. (The algorithm is nginx', from its commit 52327e0627f4, 2012.)
//!
//! The alternative, drawing at random by weight, needs no state but is off by the square root of the count:
//! a 5 % canary would see 2 or 9 of its first hundred requests.
//!
//! One short mutex guards the running weights. It is held for one pass over the candidates and never across
//! an await; with equal weights [`RoundRobin`](super::RoundRobin) is used instead.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::{Ask, Balancer, Candidates};

/// Running weights, by position.
#[derive(Debug)]
pub struct Weighted {
    identities: Vec<u64>,
    /// All described weights together: how far ahead anybody may begin.
    total: i64,
    running: Mutex<Vec<i64>>,
}

impl Weighted {
    /// For candidates of these identities and weights.
    pub fn new(members: &[(u64, u32)]) -> Self {
        let identities = members.iter().map(|(id, _)| *id).collect();
        let total = members.iter().map(|(_, weight)| i64::from(*weight)).sum();
        Self { identities, total, running: Mutex::new(vec![0; members.len()]) }
    }
}

impl Balancer for Weighted {
    fn next(&self, candidates: &dyn Candidates, _: Ask) -> Option<usize> {
        // A poisoned lock still holds numbers; any numbers are good enough to go on with.
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        debug_assert_eq!(running.len(), candidates.len(), "a balancer is made for one set of candidates");
        let mut total: i64 = 0;
        let mut best: Option<(usize, i64)> = None;
        for (index, value) in running.iter_mut().enumerate().take(candidates.len()) {
            let weight = i64::from(candidates.weight(index));
            if weight == 0 || !candidates.is_usable(index) {
                continue;
            }
            total += weight;
            *value += weight;
            if best.is_none_or(|(_, most)| *value > most) {
                best = Some((index, *value));
            }
        }
        let (index, _) = best?;
        if let Some(value) = running.get_mut(index) {
            *value -= total;
        }
        Some(index)
    }

    fn name(&self) -> &'static str {
        "weighted round robin"
    }

    fn turns(&self) -> Vec<(u64, i64)> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        self.identities.iter().copied().zip(running.iter().copied()).collect()
    }

    /// Whoever stays keeps what it has, but no more than one round of the new weights: with weights a hundred times
    /// smaller it would go a hundred times in a row. Who is new begins in the middle of the others.
    fn adopt(&self, earlier: &dyn Balancer) {
        let turns: HashMap<u64, i64> = earlier.turns().into_iter().collect();
        let limit = |ahead: &i64| (*ahead).clamp(-self.total, self.total);
        let known: Vec<Option<i64>> = self.identities.iter().map(|id| turns.get(id).map(limit)).collect();
        let count = i64::try_from(known.iter().flatten().count()).unwrap_or(i64::MAX);
        let middle = known.iter().flatten().sum::<i64>() / count.max(1);
        let begin = known.iter().map(|ahead| ahead.unwrap_or(middle));
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = begin.collect();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lb::tests::{Fixed, cases};

    fn of(weights: &[u32]) -> Weighted {
        Weighted::new(&(0_u64..).zip(weights.iter().copied()).collect::<Vec<_>>())
    }

    fn picks(balancer: &Weighted, weights: &[u32], count: usize) -> Vec<usize> {
        (0..count).filter_map(|_| balancer.next(&Fixed::new(weights), Ask::default())).collect()
    }

    #[test]
    fn turns_are_interleaved() {
        assert_eq!(picks(&of(&[5, 1, 1]), &[5, 1, 1], 7), [0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn a_changed_set_goes_on_where_the_old_one_stood() {
        let earlier = of(&[5, 1, 1]);
        picks(&earlier, &[5, 1, 1], 2);
        let later = Weighted::new(&[(9, 1), (2, 1), (1, 1), (0, 5)]);
        later.adopt(&earlier);
        // 0 just had two turns and waits for one though it is the heaviest now; the new one, 9, is last of the light.
        assert_eq!(picks(&later, &[1, 1, 1, 5], 5), [1, 3, 2, 3, 0]);
    }

    #[test]
    fn much_smaller_weights_do_not_cause_a_burst() {
        let earlier = of(&[900, 1000]);
        picks(&earlier, &[900, 1000], 1);
        let later = of(&[1, 1]);
        later.adopt(&earlier);
        let picks = picks(&later, &[1, 1], 10);
        let first = picks.iter().filter(|index| **index == 0).count();
        assert!((4..=7).contains(&first), "{picks:?}");
    }

    proptest! {
        #![proptest_config(cases())]

        #[test]
        fn every_round_gives_exact_shares(
            members in proptest::collection::vec((0_u32..20, any::<bool>()), 1..8),
            rounds in 1_usize..4,
        ) {
            let (weights, usable): (Vec<u32>, Vec<bool>) = members.into_iter().unzip();
            let balancer = of(&weights);
            let fixed = Fixed::new(&weights).usable(&usable);
            let share = |index: usize| if usable[index] { weights[index] as usize } else { 0 };
            let round: usize = (0..weights.len()).map(share).sum();
            let mut counts = vec![0_usize; weights.len()];
            for _ in 0..round * rounds {
                let index = balancer.next(&fixed, Ask::default()).expect("somebody has weight");
                counts[index] += 1;
            }
            if round == 0 {
                prop_assert_eq!(balancer.next(&fixed, Ask::default()), None);
            }
            for (index, count) in counts.iter().enumerate() {
                prop_assert_eq!(*count, share(index) * rounds);
            }
        }

        #[test]
        fn at_any_moment_nobody_is_far_from_the_exact_share(
            weights in proptest::collection::vec(1_u32..20, 2..6),
            turns in 1_usize..200,
        ) {
            let balancer = of(&weights);
            let fixed = Fixed::new(&weights);
            let total: u32 = weights.iter().sum();
            let mut counts = vec![0_i64; weights.len()];
            for turn in 1..=turns {
                let index = balancer.next(&fixed, Ask::default()).expect("somebody has weight");
                counts[index] += 1;
                for (index, count) in counts.iter().enumerate() {
                    // |count - turn * weight / total| < number of candidates, without fractions.
                    let off = (count * i64::from(total) - turn as i64 * i64::from(weights[index])).abs();
                    prop_assert!(off < i64::from(total) * weights.len() as i64);
                }
            }
        }
    }
}
