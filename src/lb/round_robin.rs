//! Round robin: one after the other, those that may not be used skipped.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Balancer, Candidates};

/// A cursor. Weights count only as zero or not: equal ones need no more.
#[derive(Debug, Default)]
pub struct RoundRobin {
    cursor: AtomicUsize,
}

impl Balancer for RoundRobin {
    fn next(&self, candidates: &dyn Candidates) -> Option<usize> {
        let len = candidates.len();
        if len == 0 {
            return None;
        }
        // Relaxed: the cursor orders nothing but itself. Wrapping at the end of usize costs one uneven turn.
        let start = self.cursor.fetch_add(1, Ordering::Relaxed) % len;
        let found = (0..len)
            .map(|step| (start + step) % len)
            .find(|index| candidates.weight(*index) > 0 && candidates.is_usable(*index))?;
        // Past what was skipped, or its turns would all go to the one after it.
        let skipped = (found + len - start) % len;
        if skipped > 0 {
            self.cursor.fetch_add(skipped, Ordering::Relaxed);
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(Vec<bool>);

    impl Candidates for Fixed {
        fn len(&self) -> usize {
            self.0.len()
        }
        fn weight(&self, _: usize) -> u32 {
            1
        }
        fn is_usable(&self, index: usize) -> bool {
            self.0[index]
        }
    }

    fn turns(usable: &[bool], count: usize) -> Vec<Option<usize>> {
        let balancer = RoundRobin::default();
        (0..count).map(|_| balancer.next(&Fixed(usable.to_vec()))).collect()
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
}
