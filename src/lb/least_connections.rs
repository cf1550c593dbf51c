//! Least connections: the candidate with the fewest exchanges running, by weight.
//!
//! Compared is *load / weight*, as the products across, without fractions: 3 exchanges at weight 2 are less
//! than 2 at weight 1. It fits requests of very different length, which round robin would pile up on some.
//!
//! **Ties** are the usual case: with few requests everybody is idle. Taking the first would send all of them to one
//! server. So they go in turn, by (smooth weighted) round robin among the tied: an idle set behaves exactly like
//! round robin.
//!
//! Loads change while they are compared, as other workers begin and end exchanges. Then the choice is that of a
//! moment ago, off by what happened since; if nobody is tied any more when the turn is asked for, the one found first
//! goes.
//!
//! A new endpoint has no exchanges and gets every request until it has as many as the others; slow start
//! (weights that grow) is what softens that.

use super::{Ask, Balancer, Candidates, can_go};

/// By load, ties in turn.
#[derive(Debug)]
pub struct LeastConnections {
    ties: Box<dyn Balancer>,
}

impl LeastConnections {
    /// With what decides between equals.
    pub fn new(ties: Box<dyn Balancer>) -> Self {
        Self { ties }
    }
}

impl Balancer for LeastConnections {
    fn next(&self, candidates: &dyn Candidates, ask: Ask) -> Option<usize> {
        let mut least: Option<(usize, Standing)> = None;
        for index in (0..candidates.len()).filter(|index| can_go(candidates, *index)) {
            let standing = Standing::of(candidates, index);
            if least.is_none_or(|(_, other)| standing.is_below(other)) {
                least = Some((index, standing));
            }
        }
        let (first, standing) = least?;
        self.ties.next(&Tied { candidates, standing }, ask).or(Some(first))
    }

    fn name(&self) -> &'static str {
        "least connections"
    }

    fn turns(&self) -> Vec<(u64, i64)> {
        self.ties.turns()
    }

    fn adopt(&self, earlier: &dyn Balancer) {
        self.ties.adopt(earlier);
    }
}

#[derive(Clone, Copy)]
struct Standing {
    load: u64,
    weight: u64,
}

impl Standing {
    fn of(candidates: &dyn Candidates, index: usize) -> Self {
        Self { load: u64::from(candidates.load(index)), weight: u64::from(candidates.weight(index)) }
    }

    fn is_below(self, other: Self) -> bool {
        self.load * other.weight < other.load * self.weight
    }
}

/// Those with the least load.
struct Tied<'a> {
    candidates: &'a dyn Candidates,
    standing: Standing,
}

impl Candidates for Tied<'_> {
    fn len(&self) -> usize {
        self.candidates.len()
    }

    fn weight(&self, index: usize) -> u32 {
        self.candidates.weight(index)
    }

    fn is_usable(&self, index: usize) -> bool {
        self.candidates.is_usable(index) && !self.standing.is_below(Standing::of(self.candidates, index))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::traffic::Algorithm;
    use crate::lb::tests::{Fixed, Identities, cases};

    fn picks(fixed: &Fixed, count: usize) -> Vec<usize> {
        let identities = Identities::numbered(fixed.weights());
        let balancer = identities.balancer(&Algorithm::LeastConnections);
        (0..count).filter_map(|_| balancer.next(fixed, Ask::default())).collect()
    }

    #[test]
    fn load_is_compared_by_weight() {
        assert_eq!(picks(&Fixed::new(&[1, 2]).loads(&[2, 3]), 2), [1, 1]);
        assert_eq!(picks(&Fixed::new(&[1, 3]).loads(&[1, 4]), 2), [0, 0]);
        assert_eq!(picks(&Fixed::new(&[u32::MAX; 2]).loads(&[u32::MAX, u32::MAX - 1]), 1), [1]);
    }

    #[test]
    fn equals_go_in_turn() {
        assert_eq!(picks(&Fixed::new(&[1, 1, 1]), 4), [0, 1, 2, 0]);
        assert_eq!(picks(&Fixed::new(&[1, 1, 1, 1]).loads(&[1, 0, 5, 0]), 4), [1, 3, 1, 3]);
        assert_eq!(picks(&Fixed::new(&[5, 1, 1]), 7), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(picks(&Fixed::new(&[2, 1]).loads(&[4, 2]), 3), [0, 1, 0]);
    }

    proptest! {
        #![proptest_config(cases())]

        #[test]
        fn nobody_usable_has_less(
            members in proptest::collection::vec((0_u32..5, 0_u32..9, any::<bool>()), 0..9),
            turns in 1_usize..20,
        ) {
            let weights: Vec<u32> = members.iter().map(|m| m.0).collect();
            let loads: Vec<u32> = members.iter().map(|m| m.1).collect();
            let usable: Vec<bool> = members.iter().map(|m| m.2).collect();
            // Model: the smallest fraction, as a float, of a filtered list.
            let least = members
                .iter()
                .filter(|(weight, _, usable)| *usable && *weight > 0)
                .map(|(weight, load, _)| f64::from(*load) / f64::from(*weight))
                .min_by(f64::total_cmp);
            let picks = picks(&Fixed::new(&weights).loads(&loads).usable(&usable), turns);
            prop_assert_eq!(picks.is_empty(), least.is_none());
            for index in picks {
                prop_assert!(usable[index] && weights[index] > 0);
                prop_assert_eq!(Some(f64::from(loads[index]) / f64::from(weights[index])), least);
            }
        }
    }
}
