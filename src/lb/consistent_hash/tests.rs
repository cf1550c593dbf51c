//! Tables, walks and bounds against plain models.

use proptest::prelude::*;

use super::*;
use crate::config::Attribute;
use crate::config::traffic::Algorithm;
use crate::lb::tests::{Fixed, Identities, cases};

fn algorithm(table: HashTable, bounded_load_percent: u32) -> Algorithm {
    let hash_on = vec![Attribute::ClientAddress];
    Algorithm::ConsistentHash(traffic::ConsistentHash { hash_on, table, bounded_load_percent })
}

fn ask(hash: u64) -> Ask {
    Ask { hash: Some(hash), random: 0 }
}

fn tables() -> impl Strategy<Value = HashTable> {
    prop_oneof![Just(HashTable::Maglev), Just(HashTable::Ring)]
}

/// Model: the exact most of a candidate, in fractions of whole numbers.
fn most(fixed: &Fixed, index: usize, percent: u32) -> u64 {
    let can_go: Vec<usize> = (0..fixed.len()).filter(|index| can_go(fixed, *index)).collect();
    let running: u64 = can_go.iter().map(|index| u64::from(fixed.load(*index))).sum();
    let weights: u64 = can_go.iter().map(|index| u64::from(fixed.weight(*index))).sum();
    let (above, below) = ((running + 1) * u64::from(fixed.weight(index)) * u64::from(percent), weights * 100);
    above / below + u64::from(above % below > 0)
}

#[test]
fn the_same_hash_goes_to_the_same_one() {
    let members = Identities::numbered(&[1; 5]);
    for table in [HashTable::Maglev, HashTable::Ring] {
        let (one, other) = (members.balancer(&algorithm(table, 0)), members.balancer(&algorithm(table, 0)));
        let fixed = Fixed::new(&[1; 5]);
        let picks: Vec<_> = (0..100).map(|hash| one.next(&fixed, ask(hash))).collect();
        assert_eq!(picks, (0..100).map(|hash| other.next(&fixed, ask(hash))).collect::<Vec<_>>());
        assert!((0..5).all(|index| picks.contains(&Some(index))), "{picks:?}");
    }
}

#[test]
fn without_a_hash_chance_decides() {
    let balancer = Identities::numbered(&[1; 3]).balancer(&algorithm(HashTable::Maglev, 0));
    let mut counts = [0; 3];
    for random in 0..3000 {
        let ask = Ask { hash: None, random };
        counts[balancer.next(&Fixed::new(&[1; 3]), ask).expect("all are usable")] += 1;
    }
    assert!(counts.iter().all(|count| (850..1150).contains(count)), "{counts:?}");
}

#[test]
fn one_popular_key_is_spread_when_its_owner_is_full() {
    let balancer = Identities::numbered(&[1; 4]).balancer(&algorithm(HashTable::Maglev, 125));
    let mut loads = [0_u32; 4];
    for _ in 0..40 {
        let index = balancer.next(&Fixed::new(&[1; 4]).loads(&loads), ask(7)).expect("all are usable");
        loads[index] += 1;
    }
    assert_eq!(loads.iter().max(), Some(&13), "{loads:?}");
    let unbounded = Identities::numbered(&[1; 4]).balancer(&algorithm(HashTable::Maglev, 0));
    let owner = unbounded.next(&Fixed::new(&[1; 4]), ask(7)).expect("all are usable");
    assert_eq!(loads[owner], 13, "the owner is filled first");
    assert_eq!(unbounded.next(&Fixed::new(&[1; 4]).loads(&loads), ask(7)), Some(owner));
}

#[test]
fn few_requests_of_one_client_stay_together() {
    let balancer = Identities::numbered(&[1; 4]).balancer(&algorithm(HashTable::Maglev, 125));
    let owner = balancer.next(&Fixed::new(&[1; 4]), ask(7)).expect("all are usable");
    let mut loads = [0_u32; 4];
    for _ in 0..8 {
        assert_eq!(balancer.next(&Fixed::new(&[1; 4]).loads(&loads), ask(7)), Some(owner));
        loads[owner] += 1;
    }
    assert_ne!(balancer.next(&Fixed::new(&[1; 4]).loads(&loads), ask(7)), Some(owner));
}

#[test]
fn a_bound_that_nobody_can_keep_does_not_count() {
    for table in [HashTable::Maglev, HashTable::Ring] {
        let balancer = Identities::numbered(&[1; 2]).balancer(&algorithm(table, 1));
        assert!(balancer.next(&Fixed::new(&[1; 2]).loads(&[500, 500]), ask(7)).is_some());
    }
}

#[test]
fn the_last_of_many_is_found() {
    for table in [HashTable::Maglev, HashTable::Ring] {
        for count in [1, 100, 700] {
            let balancer = Identities::numbered(&vec![1; count]).balancer(&algorithm(table, 125));
            let mut usable = vec![false; count];
            let fixed = Fixed::new(&vec![1; count]).usable(&usable);
            assert_eq!(balancer.next(&fixed, ask(1)), None);
            usable[count - 1] = true;
            let fixed = Fixed::new(&vec![1; count]).usable(&usable);
            assert!((0..50).all(|hash| balancer.next(&fixed, ask(hash)) == Some(count - 1)));
        }
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn order_does_not_matter(
        weights in proptest::collection::vec(0_u32..5, 1..8),
        by in 0_usize..8,
        hash in any::<u64>(),
        table in tables(),
    ) {
        let algorithm = algorithm(table, 0);
        let members = Identities::numbered(&weights);
        let turned = members.rotated(by % weights.len());
        let pick = |members: &Identities| {
            let picked = members.balancer(&algorithm).next(&Fixed::new(&members.weights()), ask(hash));
            picked.map(|index| members.id(index).to_owned())
        };
        prop_assert_eq!(pick(&members), pick(&turned));
    }

    #[test]
    fn only_requests_of_the_unusable_move(
        usable in proptest::collection::vec(any::<bool>(), 2..10),
        hash in any::<u64>(),
        table in tables(),
    ) {
        let weights = vec![1; usable.len()];
        let balancer = Identities::numbered(&weights).balancer(&algorithm(table, 0));
        let owner = balancer.next(&Fixed::new(&weights), ask(hash)).expect("all are usable");
        let picked = balancer.next(&Fixed::new(&weights).usable(&usable), ask(hash));
        if usable[owner] {
            prop_assert_eq!(picked, Some(owner));
        } else {
            prop_assert_eq!(picked.is_some(), usable.contains(&true));
        }
    }

    #[test]
    fn the_bound_holds_while_anybody_is_below_it(
        members in proptest::collection::vec((0_u32..4, 0_u32..30, any::<bool>()), 1..8),
        percent in prop_oneof![Just(100_u32), Just(125), 1_u32..300],
        hash in any::<u64>(),
        table in tables(),
    ) {
        let weights: Vec<u32> = members.iter().map(|m| m.0).collect();
        let loads: Vec<u32> = members.iter().map(|m| m.1).collect();
        let usable: Vec<bool> = members.iter().map(|m| m.2).collect();
        let fixed = Fixed::new(&weights).loads(&loads).usable(&usable);
        let balancer = Identities::numbered(&weights).balancer(&algorithm(table, percent));
        let is_below = |index: usize| can_go(&fixed, index) && u64::from(loads[index]) < most(&fixed, index, percent).max(8);
        let anybody_is_below = (0..members.len()).any(is_below);
        let anybody_can_go = (0..members.len()).any(|index| can_go(&fixed, index));
        prop_assert!(percent < 100 || anybody_is_below == anybody_can_go);
        match balancer.next(&fixed, ask(hash)) {
            Some(index) => prop_assert!(can_go(&fixed, index) && (is_below(index) || !anybody_is_below)),
            None => prop_assert!(!anybody_can_go),
        }
    }
}
