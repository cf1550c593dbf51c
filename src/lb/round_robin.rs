//! Round robin: one after the other, those that may not be used skipped.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Ask, Balancer, Candidates, can_go};

/// A cursor. Weights count only as zero or not: equal ones need no more.
#[derive(Debug)]
pub struct RoundRobin {
    identities: Vec<u64>,
    cursor: AtomicUsize,
}

impl RoundRobin {
    /// For the candidates of these identities.
    pub fn new(identities: Vec<u64>) -> Self {
        Self { identities, cursor: AtomicUsize::new(0) }
    }
}

impl Balancer for RoundRobin {
    fn next(&self, candidates: &dyn Candidates, _: Ask) -> Option<usize> {
        let len = candidates.len();
        if len == 0 {
            return None;
        }
        // Relaxed: the cursor orders nothing but itself. Wrapping at the end of usize costs one uneven turn.
        let start = self.cursor.fetch_add(1, Ordering::Relaxed) % len;
        let found = (0..len).map(|step| (start + step) % len).find(|index| can_go(candidates, *index))?;
        // Past what was skipped, or its turns would all go to the one after it.
        let skipped = (found + len - start) % len;
        if skipped > 0 {
            self.cursor.fetch_add(skipped, Ordering::Relaxed);
        }
        Some(found)
    }

    fn name(&self) -> &'static str {
        "round robin"
    }

    /// Who stands at the cursor is furthest ahead, then who follows it.
    fn turns(&self) -> Vec<(u64, i64)> {
        let start = self.cursor.load(Ordering::Relaxed) % self.identities.len().max(1);
        let (after, from) = self.identities.split_at_checked(start).unwrap_or_default();
        from.iter().chain(after).rev().copied().zip(1..).collect()
    }

    fn adopt(&self, earlier: &dyn Balancer) {
        let turns: HashMap<u64, i64> = earlier.turns().into_iter().collect();
        let known = self.identities.iter().enumerate().filter_map(|(at, id)| turns.get(id).map(|ahead| (*ahead, at)));
        // Of several that are equally far the first, as they would go.
        if let Some((_, next)) = known.max_by_key(|(ahead, at)| (*ahead, std::cmp::Reverse(*at))) {
            self.cursor.store(next, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lb::tests::Fixed;

    fn turns(usable: &[bool], count: usize) -> Vec<Option<usize>> {
        let balancer = RoundRobin::new((0..usable.len() as u64).collect());
        let fixed = Fixed::new(&vec![1; usable.len()]).usable(usable);
        (0..count).map(|_| balancer.next(&fixed, Ask::default())).collect()
    }

    #[test]
    fn everyone_in_turn() {
        assert_eq!(turns(&[true, true, true], 4), [Some(0), Some(1), Some(2), Some(0)]);
    }

    #[test]
    fn the_share_of_a_dead_one_is_spread_evenly() {
        let picks = turns(&[true, false, true], 300);
        let of = |index| picks.iter().filter(|pick| **pick == Some(index)).count();
        assert_eq!((of(0), of(1), of(2)), (150, 0, 150));
    }

    #[test]
    fn nobody_usable_is_nobody() {
        assert_eq!(turns(&[false, false], 1), [None]);
        assert_eq!(turns(&[], 1), [None]);
    }

    #[test]
    fn a_changed_set_goes_on_with_whoever_was_next() {
        let next = |old: &[u64], turns: usize, new: &[u64]| {
            let earlier = RoundRobin::new(old.to_vec());
            for _ in 0..turns {
                earlier.next(&Fixed::new(&vec![1; old.len()]), Ask::default());
            }
            let later = RoundRobin::new(new.to_vec());
            later.adopt(&earlier);
            later.next(&Fixed::new(&vec![1; new.len()]), Ask::default()).map(|index| new[index])
        };
        assert_eq!(next(&[1, 2, 3], 1, &[1, 2, 3, 4]), Some(2));
        assert_eq!(next(&[1, 2, 3], 1, &[4, 3, 1]), Some(3), "2 is gone, 3 came after it");
        assert_eq!(next(&[1, 2, 3], 2, &[2, 1]), Some(1));
        assert_eq!(next(&[1, 2], 1, &[7, 8]), Some(7));
        assert_eq!(next(&[], 1, &[7, 8]), Some(7));
        assert_eq!(next(&[1], 1, &[]), None);
    }
}
