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

use std::sync::{Mutex, PoisonError};

use super::{Balancer, Candidates};

/// Running weights, by position.
#[derive(Debug)]
pub struct Weighted {
    running: Mutex<Vec<i64>>,
}

impl Weighted {
    /// For this many candidates.
    pub fn new(len: usize) -> Self {
        Self { running: Mutex::new(vec![0; len]) }
    }
}

impl Balancer for Weighted {
    fn next(&self, candidates: &dyn Candidates) -> Option<usize> {
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
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Fixed<'a>(&'a [u32], &'a [bool]);

    impl Candidates for Fixed<'_> {
        fn len(&self) -> usize {
            self.0.len()
        }
        fn weight(&self, index: usize) -> u32 {
            self.0[index]
        }
        fn is_usable(&self, index: usize) -> bool {
            self.1[index]
        }
    }

    #[test]
    fn turns_are_interleaved() {
        let balancer = Weighted::new(3);
        let picks: Vec<_> = (0..7).filter_map(|_| balancer.next(&Fixed(&[5, 1, 1], &[true; 3]))).collect();
        assert_eq!(picks, [0, 0, 1, 0, 2, 0, 0]);
    }

    proptest! {
        #[test]
        fn every_round_gives_exact_shares(
            members in proptest::collection::vec((0_u32..20, any::<bool>()), 1..8),
            rounds in 1_usize..4,
        ) {
            let (weights, usable): (Vec<u32>, Vec<bool>) = members.into_iter().unzip();
            let balancer = Weighted::new(weights.len());
            let share = |index: usize| if usable[index] { weights[index] as usize } else { 0 };
            let round: usize = (0..weights.len()).map(share).sum();
            let mut counts = vec![0_usize; weights.len()];
            for _ in 0..round * rounds {
                let index = balancer.next(&Fixed(&weights, &usable)).expect("somebody has weight");
                counts[index] += 1;
            }
            if round == 0 {
                prop_assert_eq!(balancer.next(&Fixed(&weights, &usable)), None);
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
            let balancer = Weighted::new(weights.len());
            let usable = vec![true; weights.len()];
            let total: u32 = weights.iter().sum();
            let mut counts = vec![0_i64; weights.len()];
            for turn in 1..=turns {
                let index = balancer.next(&Fixed(&weights, &usable)).expect("somebody has weight");
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
