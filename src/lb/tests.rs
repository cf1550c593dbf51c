//! What all balancers keep, and candidates to try them with.

use proptest::prelude::*;

use super::*;
use crate::config::Attribute;
use crate::config::traffic::{self, HashTable};

/// Nothing is written beside the sources.
pub(crate) fn cases() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) }
}

/// Members by the hash of a made-up address, with these weights.
pub(crate) fn named(weights: &[u32]) -> Vec<(u64, u32)> {
    (0..)
        .zip(weights)
        .map(|(number, weight): (u32, _)| (hash::of_text(&format!("10.0.0.{number}:80")), *weight))
        .collect()
}

/// Candidates that do not change.
pub(crate) struct Fixed {
    weights: Vec<u32>,
    usable: Vec<bool>,
    loads: Vec<u32>,
    costs: Vec<u64>,
}

impl Fixed {
    pub(crate) fn new(weights: &[u32]) -> Self {
        let len = weights.len();
        Self { weights: weights.to_vec(), usable: vec![true; len], loads: vec![0; len], costs: vec![0; len] }
    }

    pub(crate) fn usable(mut self, usable: &[bool]) -> Self {
        self.usable = usable.to_vec();
        self
    }

    pub(crate) fn loads(mut self, loads: &[u32]) -> Self {
        self.loads = loads.to_vec();
        self
    }

    pub(crate) fn costs(mut self, costs: &[u64]) -> Self {
        self.costs = costs.to_vec();
        self
    }

    pub(crate) fn weights(&self) -> &[u32] {
        &self.weights
    }
}

impl Candidates for Fixed {
    fn len(&self) -> usize {
        self.weights.len()
    }
    fn weight(&self, index: usize) -> u32 {
        self.weights[index]
    }
    fn is_usable(&self, index: usize) -> bool {
        self.usable[index]
    }
    fn load(&self, index: usize) -> u32 {
        self.loads[index]
    }
    fn cost(&self, index: usize) -> u64 {
        self.costs[index]
    }
}

/// Names and weights of members.
pub(crate) struct Identities(Vec<(String, u32)>);

impl Identities {
    pub(crate) fn numbered(weights: &[u32]) -> Self {
        Self((0..).zip(weights).map(|(number, weight): (u32, _)| (format!("10.0.0.{number}:80"), *weight)).collect())
    }

    pub(crate) fn rotated(&self, by: usize) -> Self {
        let mut members = self.0.clone();
        members.rotate_left(by);
        Self(members)
    }

    pub(crate) fn id(&self, index: usize) -> &str {
        &self.0[index].0
    }

    pub(crate) fn weights(&self) -> Vec<u32> {
        self.0.iter().map(|(_, weight)| *weight).collect()
    }

    pub(crate) fn balancer(&self, algorithm: &Algorithm) -> Box<dyn Balancer> {
        self.with_weights(algorithm, false)
    }

    fn with_weights(&self, algorithm: &Algorithm, has_changing_weights: bool) -> Box<dyn Balancer> {
        let members: Vec<Member<'_>> = self.0.iter().map(|(id, weight)| Member { id, weight: *weight }).collect();
        super::balancer(algorithm, &members, has_changing_weights)
    }
}

fn algorithms() -> Vec<Algorithm> {
    let hash = |table, bounded_load_percent| {
        let hash_on = vec![Attribute::ClientAddress];
        Algorithm::ConsistentHash(traffic::ConsistentHash { hash_on, table, bounded_load_percent })
    };
    vec![
        Algorithm::RoundRobin,
        Algorithm::LeastConnections,
        Algorithm::Fastest,
        Algorithm::Random,
        hash(HashTable::Maglev, 0),
        hash(HashTable::Maglev, 125),
        hash(HashTable::Ring, 0),
        hash(HashTable::Ring, 125),
    ]
}

#[test]
fn every_algorithm_has_its_name() {
    let names = |weights: &[u32], changing| -> Vec<&str> {
        let members = Identities::numbered(weights);
        algorithms().iter().map(|algorithm| members.with_weights(algorithm, changing).name()).collect()
    };
    let others = [
        "least connections",
        "fastest of two (peak EWMA)",
        "random",
        "consistent hash (maglev)",
        "consistent hash (maglev)",
        "consistent hash (ring)",
        "consistent hash (ring)",
    ];
    assert_eq!(names(&[2, 2, 0], false), [&["round robin"], &others[..]].concat());
    assert_eq!(names(&[2, 3], false), [&["weighted round robin"], &others[..]].concat());
    assert_eq!(names(&[2, 2], true), [&["weighted round robin"], &others[..]].concat());
    assert_eq!(shares(&[1, 1]).name(), "round robin");
    assert_eq!(shares(&[95, 5]).name(), "weighted round robin");
}

#[test]
fn a_set_that_changes_with_each_request_is_still_served_evenly() {
    for algorithm in [Algorithm::RoundRobin, Algorithm::LeastConnections] {
        let mut earlier: Option<Box<dyn Balancer>> = None;
        let mut counts = [0; 4];
        for round in 0..400 {
            // One of the weights is changed back and forth, as is the order.
            let members = Identities::numbered(&[3, 3, 3, 3]).rotated(round % 2);
            let balancer = members.with_weights(&algorithm, round % 3 == 0);
            if let Some(earlier) = &earlier {
                balancer.adopt(earlier.as_ref());
            }
            let index = balancer.next(&Fixed::new(&[3; 4]), Ask::default()).expect("all are usable");
            let number: usize = members.id(index)["10.0.0.".len()..][..1].parse().expect("a digit");
            counts[number] += 1;
            earlier = Some(balancer);
        }
        assert!(counts.iter().all(|count| (80..=120).contains(count)), "{algorithm:?} {counts:?}");
    }
}

#[test]
fn the_balancer_of_another_kind_can_be_adopted() {
    let members = Identities::numbered(&[1, 2, 3]);
    for earlier in &algorithms() {
        for later in &algorithms() {
            let (earlier, later) = (members.balancer(earlier), members.balancer(later));
            later.adopt(earlier.as_ref());
            assert!(later.next(&Fixed::new(&[1, 2, 3]), Ask::default()).is_some());
        }
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn somebody_goes_as_long_as_anybody_can_and_nobody_else(
        members in proptest::collection::vec(
            (prop_oneof![0_u32..4, Just(u32::MAX)], any::<bool>(), prop_oneof![0_u32..9, Just(u32::MAX)], 0_u64..9),
            0..9,
        ),
        described in proptest::collection::vec(0_u32..4, 9),
        ask in (proptest::option::of(any::<u64>()), any::<u64>()),
        has_changing_weights in any::<bool>(),
    ) {
        let weights: Vec<u32> = members.iter().map(|m| m.0).collect();
        let usable: Vec<bool> = members.iter().map(|m| m.1).collect();
        let loads: Vec<u32> = members.iter().map(|m| m.2).collect();
        let costs: Vec<u64> = members.iter().map(|m| m.3).collect();
        let fixed = Fixed::new(&weights).usable(&usable).loads(&loads).costs(&costs);
        let anybody_can_go = members.iter().any(|(weight, usable, ..)| *weight > 0 && *usable);
        // The described weights may be quite different ones: those asked for at the moment count.
        let known = Identities::numbered(if has_changing_weights { &described[..members.len()] } else { &weights });
        for algorithm in algorithms() {
            let balancer = known.with_weights(&algorithm, has_changing_weights);
            for turn in 0..5 {
                let ask = Ask { hash: ask.0, random: ask.1.wrapping_add(turn) };
                match balancer.next(&fixed, ask) {
                    Some(index) => prop_assert!(weights[index] > 0 && usable[index], "{:?}", algorithm),
                    None => prop_assert!(!anybody_can_go, "{:?}", algorithm),
                }
            }
        }
    }
}
