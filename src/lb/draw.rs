//! Drawing candidates by chance, each with the probability of its weight.
//!
//! There are two ways. The long one looks at every candidate once: at each usable one with weight *w*, when the
//! usable weights so far sum up to *t*, it takes that one with probability *w/t*. So the one at hand is always drawn
//! by weight from those seen, at the end from all, and nothing that changes meanwhile can make it fail.
//!
//! With hundreds of endpoints that costs more than the rest of a choice. So first, if weights do not change, a few
//! quick tries: a place by chance, kept with probability weight / heaviest. Whatever a kept try gives is drawn
//! by weight too, so the mixture of both ways is exact. With equal weights and nobody out, the first try is kept.
//!
//! All chance comes from one number of the caller's: [`Dice`] makes a sequence of it, each of which is uniform if the
//! number was.

use super::{Candidates, can_go, hash};

/// Tries before the long way: three of four candidates may be out and one in ten draws takes it.
const QUICK_TRIES: usize = 8;

/// A sequence of numbers made from one.
#[derive(Debug)]
pub struct Dice {
    state: u64,
}

impl Dice {
    /// The sequence of this number.
    pub fn new(random: u64) -> Self {
        Self { state: random }
    }

    /// The next number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.state = self.state.wrapping_add(hash::GOLDEN);
        hash::scale(hash::mix(self.state), bound)
    }
}

/// Draws from one set of candidates.
#[derive(Debug)]
pub struct Draw {
    /// The greatest weight; none: weights change, or there is none, and only the long way is exact.
    heaviest: Option<u32>,
}

impl Draw {
    /// For candidates of these weights.
    pub fn new(weights: impl Iterator<Item = u32>, has_changing_weights: bool) -> Self {
        let heaviest = weights.max().filter(|weight| *weight > 0 && !has_changing_weights);
        Self { heaviest }
    }

    /// One that can go, other than `except`.
    pub fn one(&self, candidates: &dyn Candidates, dice: &mut Dice, except: Option<usize>) -> Option<usize> {
        self.quickly(candidates, dice, except).or_else(|| thoroughly(candidates, dice, except))
    }

    fn quickly(&self, candidates: &dyn Candidates, dice: &mut Dice, except: Option<usize>) -> Option<usize> {
        let heaviest = u64::from(self.heaviest?);
        let len = candidates.len() as u64;
        for _ in 0..QUICK_TRIES {
            let index = usize::try_from(dice.below(len)).ok()?;
            let weight = u64::from(candidates.weight(index));
            let is_kept = weight >= heaviest || dice.below(heaviest) < weight;
            if is_kept && weight > 0 && Some(index) != except && candidates.is_usable(index) {
                return Some(index);
            }
        }
        None
    }
}

fn thoroughly(candidates: &dyn Candidates, dice: &mut Dice, except: Option<usize>) -> Option<usize> {
    let mut total = 0_u64;
    let mut drawn = None;
    for index in (0..candidates.len()).filter(|index| Some(*index) != except) {
        if !can_go(candidates, index) {
            continue;
        }
        let weight = u64::from(candidates.weight(index));
        total += weight;
        if dice.below(total) < weight || drawn.is_none() {
            drawn = Some(index);
        }
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lb::tests::Fixed;

    /// How often each is drawn in so many draws.
    fn drawn(draw: &Draw, fixed: &Fixed, times: u64) -> Vec<u64> {
        let mut counts = vec![0; fixed.len()];
        for time in 0..times {
            let mut dice = Dice::new(hash::mix(time));
            counts[draw.one(fixed, &mut dice, None).expect("somebody can go")] += 1;
        }
        counts
    }

    #[test]
    fn both_ways_draw_by_weight() {
        const TIMES: u64 = 100_000;
        let weights = [1_u32, 0, 7, 2, 2, 9, 4];
        let usable = [true, true, true, false, true, true, true];
        let fixed = Fixed::new(&weights).usable(&usable);
        let total: u32 = 1 + 7 + 2 + 9 + 4;
        for has_changing_weights in [false, true] {
            let counts = drawn(&Draw::new(weights.iter().copied(), has_changing_weights), &fixed, TIMES);
            for (index, count) in counts.iter().enumerate() {
                let weight = if usable[index] { f64::from(weights[index]) } else { 0.0 };
                let probability = weight / f64::from(total);
                let expected = probability * TIMES as f64;
                // Five standard deviations.
                let slack = 5.0 * (expected * (1.0 - probability)).sqrt();
                assert!((*count as f64 - expected).abs() <= slack, "{index}: {count}, expected {expected}");
            }
        }
    }

    #[test]
    fn the_exception_is_never_drawn_and_alone_is_nobody() {
        let draw = Draw::new([1, 1, 1].into_iter(), false);
        let fixed = Fixed::new(&[1, 1, 1]);
        for random in 0..200 {
            assert_ne!(draw.one(&fixed, &mut Dice::new(random), Some(1)), Some(1));
        }
        let alone = Fixed::new(&[1, 1, 1]).usable(&[false, true, false]);
        assert_eq!(draw.one(&alone, &mut Dice::new(3), Some(1)), None);
        assert_eq!(draw.one(&alone, &mut Dice::new(3), None), Some(1));
    }
}
