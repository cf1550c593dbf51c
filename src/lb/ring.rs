//! A ring of points: from a hash to the candidate whose point comes next.
//!
//! (Karger et al., "Consistent hashing and random trees", 1997.) Each candidate has a number of points among all
//! 64-bit numbers, made from its identity. A request goes to the owner of the first point at or above its hash, and
//! from the last on to the first.
//!
//! **How stable**: the points of one candidate do not depend on the others, so when one goes, its requests move
//! and no other: exactly minimal, which the [Maglev table](super::maglev) is not.
//!
//! **How even**: by chance, unlike Maglev. With [`POINTS`] = 160 points a candidate's share differs from the exact
//! one by 8 % (one standard deviation, 1/√160); one in a hundred has 20 % too much. That, and a search through a
//! sorted list instead of one look, is the price.
//!
//! **Weights**: the heaviest has [`POINTS`] points, the others in proportion, rounded up: a weight below 1/160 of the
//! heaviest gets more than its share. When the heaviest changes, the numbers of points of the others change with it;
//! as point *k* of a candidate is always the same, only the added or missing ones move requests.
//!
//! **Bounded**: the points of the heaviest are halved until all together are at most [`MAX_POINTS`] (1 MiB), which
//! begins at 410 candidates; halving takes points away and adds none. More candidates than that have one point each.

use super::hash::{GOLDEN, mix};

/// Of the heaviest candidate: what ketama (2007) made usual.
const POINTS: u64 = 160;

/// All together, as long as there are not more candidates: 16 bytes each.
const MAX_POINTS: u64 = 65_536;

/// Points in rising order, with their owners beside.
#[derive(Debug)]
pub struct Ring {
    points: Vec<u64>,
    owners: Vec<u32>,
}

impl Ring {
    /// The ring of candidates with these hashed identities and weights; those of weight 0 have no point.
    pub fn new(members: &[(u64, u32)]) -> Self {
        let heaviest = members.iter().map(|(_, weight)| u64::from(*weight)).max().unwrap_or(0).max(1);
        let most = points_of_heaviest(members.len() as u64);
        let mut all: Vec<(u64, u64, u32)> = Vec::new();
        for (index, (id, weight)) in (0_u32..).zip(members) {
            let count = (u64::from(*weight) * most).div_ceil(heaviest);
            all.extend((1..=count).map(|number| (point(*id, number), *id, index)));
        }
        // Should two points fall together, the lower identity has it, wherever it stands.
        all.sort_unstable();
        Self {
            points: all.iter().map(|(point, ..)| *point).collect(),
            owners: all.iter().map(|(.., index)| *index).collect(),
        }
    }

    /// The owners of the points in rising order; empty if nobody has a weight.
    pub fn owners(&self) -> &[u32] {
        &self.owners
    }

    /// The point that a hash belongs to.
    pub fn place(&self, hash: u64) -> usize {
        let place = self.points.partition_point(|point| *point < hash);
        if place < self.points.len() { place } else { 0 }
    }
}

fn points_of_heaviest(members: u64) -> u64 {
    let mut most = POINTS;
    while most > 1 && most * members > MAX_POINTS {
        most /= 2;
    }
    most
}

fn point(id: u64, number: u64) -> u64 {
    mix(id.wrapping_add(GOLDEN.wrapping_mul(number)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lb::tests::{cases, named};

    /// Keys of each candidate among so many.
    fn counts(members: &[(u64, u32)], keys: u64) -> Vec<u64> {
        let ring = Ring::new(members);
        let mut counts = vec![0; members.len()];
        for key in 0..keys {
            counts[ring.owners()[ring.place(mix(key))] as usize] += 1;
        }
        counts
    }

    #[test]
    fn shares_follow_the_weights_roughly() {
        let counts = counts(&named(&[1, 2, 0, 2]), 100_000);
        assert_eq!(counts[2], 0);
        for (count, share) in [(counts[0], 20_000_u64), (counts[1], 40_000), (counts[3], 40_000)] {
            assert!(count.abs_diff(share) < share / 4, "{counts:?}");
        }
    }

    #[test]
    fn the_number_of_points_is_bounded() {
        assert_eq!(Ring::new(&named(&[1; 409])).owners().len(), 409 * 160);
        assert_eq!(Ring::new(&named(&[1; 410])).owners().len(), 410 * 80);
        assert_eq!(Ring::new(&named(&vec![1; 70_000])).owners().len(), 70_000);
        assert_eq!(Ring::new(&named(&[1, 1_000_000])).owners().len(), 161);
        assert_eq!(Ring::new(&named(&[u32::MAX, 0])).owners().len(), 160);
        assert!(Ring::new(&[]).owners().is_empty());
    }

    proptest! {
        #![proptest_config(cases())]

        #[test]
        fn a_hash_belongs_to_the_nearest_point_above(
            weights in proptest::collection::vec(0_u32..4, 1..6),
            hashes in proptest::collection::vec(any::<u64>(), 1..20),
        ) {
            prop_assume!(weights.iter().any(|weight| *weight > 0));
            let members = named(&weights);
            let ring = Ring::new(&members);
            let heaviest = *weights.iter().max().expect("some");
            for hash in hashes {
                // Model: the smallest distance upwards, over all points of all candidates.
                let points = members.iter().zip(0_u32..).flat_map(|((id, weight), index)| {
                    (1..=(u64::from(*weight) * 160).div_ceil(u64::from(heaviest))).map(move |k| (point(*id, k), index))
                });
                let nearest = points.min_by_key(|(point, _)| point.wrapping_sub(hash)).expect("some");
                prop_assert_eq!(ring.owners()[ring.place(hash)], nearest.1);
            }
        }

        #[test]
        fn one_gone_moves_its_own_and_no_other(count in 2_usize..12, gone in 0_usize..12, key in any::<u64>()) {
            let gone = gone % count;
            let mut weights = vec![3; count];
            let before = Ring::new(&named(&weights));
            weights[gone] = 0;
            let after = Ring::new(&named(&weights));
            let old = before.owners()[before.place(key)];
            let new = after.owners()[after.place(key)];
            prop_assert!(old as usize == gone || old == new);
        }
    }
}
