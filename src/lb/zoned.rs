//! The own zone first: requests stay where they came in, as long as that is fair to the servers there.
//!
//! Between zones a request costs money and a millisecond. But "always the own zone" overloads a zone with few
//! servers, and "the own zone if it has a server" does so suddenly, when the last but one goes. So:
//!
//! - of Z zones that have usable endpoints, each is due one part in Z of what all endpoints can take. While the own
//!   zone has at least that, **everything** stays in it;
//! - if it has less, it gets in proportion to what it has, and the excess goes elsewhere: to the zones that have more
//!   than their part, by how much they have more. Zones that are themselves short get nothing;
//! - if it has nothing usable, all others serve by their weights.
//!
//! So with replicas of Sluice that get equally much in each zone, every endpoint gets exactly its share by weight, as if
//! there were no zones: an equation that the property test checks for every zone's point of view together. With weights
//! 1, 4, 4 in zones a, b, c a replica in a keeps 1/9 · 3 = a third and sends a third to b and to c each; those in b and c
//! keep all they have. With 1, 2, 6 the one in a keeps a third and sends the rest to c alone, as b is short itself.
//!
//! What counts is weight that can be used now (health, breakers, room, slow start), so a zone whose servers fall ill
//! hands over bit by bit. Endpoints of which no zone is known are one more zone, never the own one. Not known here: how
//! many replicas of Sluice run where. Where they are uneven, zones with few of them get less; Kubernetes' own hints make
//! the same assumption about clients.
//!
//! Inside the zone chosen any [`Balancer`] goes on; each zone has its own, with its own turns. The zone is drawn, not
//! taken in turn: by the hash of the request where there is one, so that the same user stays where they were.

use std::collections::BTreeMap;

use crate::config::traffic::Algorithm;

use super::{Ask, Balancer, Candidates, Member, balancer, can_go, hash};

/// 16 zones are told apart; regions have three to six. Endpoints of any further ones are together, so that a choice
/// stays one pass over the candidates whatever somebody writes into slices.
const MAX_ZONES: usize = 16;

/// A balancer for each zone, and the choice between zones.
#[derive(Debug)]
pub struct Zoned {
    /// The own one first, even if nothing is in it.
    zones: Vec<Zone>,
}

#[derive(Debug)]
struct Zone {
    /// Which candidates stand in it.
    members: Vec<usize>,
    balancer: Box<dyn Balancer>,
}

impl Zoned {
    /// For members of which each stands in the zone at its place in `zones`, seen from the zone `own`.
    pub fn new(
        algorithm: &Algorithm,
        members: &[Member<'_>],
        zones: &[Option<&str>],
        own: &str,
        has_changing_weights: bool,
    ) -> Self {
        let mut places: BTreeMap<Option<&str>, usize> = BTreeMap::from([(Some(own), 0)]);
        let mut grouped: Vec<Vec<usize>> = vec![Vec::new()];
        for index in 0..members.len() {
            let next = places.len().min(MAX_ZONES - 1);
            let place = *places.entry(zones.get(index).copied().flatten()).or_insert(next);
            if grouped.len() <= place {
                grouped.resize_with(place + 1, Vec::new);
            }
            grouped.get_mut(place).into_iter().for_each(|zone| zone.push(index));
        }
        let zone = |of_zone: Vec<usize>| {
            let its_own: Vec<Member<'_>> = of_zone.iter().filter_map(|index| members.get(*index).copied()).collect();
            Zone { members: of_zone, balancer: balancer(algorithm, &its_own, has_changing_weights) }
        };
        Self { zones: grouped.into_iter().map(zone).collect() }
    }
}

impl Balancer for Zoned {
    fn next(&self, candidates: &dyn Candidates, ask: Ask) -> Option<usize> {
        let weights: Vec<u64> = self.zones.iter().map(|zone| zone.usable_weight(candidates)).collect();
        // The hash decides inside the zone as well: mixed once more, the two decisions have nothing in common.
        let lot = ask.hash.map_or(ask.random, |hash| hash::mix(hash ^ hash::GOLDEN));
        let drawn = draw(&weights, lot).and_then(|zone| self.zones.get(zone));
        // Somebody's last place may have gone to somebody else meanwhile: then any zone will do.
        let first = drawn.and_then(|zone| zone.next(candidates, ask));
        first.or_else(|| self.zones.iter().find_map(|zone| zone.next(candidates, ask)))
    }

    fn name(&self) -> &'static str {
        self.zones.first().map_or("nobody", |own| own.balancer.name())
    }

    fn turns(&self) -> Vec<(u64, i64)> {
        self.zones.iter().flat_map(|zone| zone.balancer.turns()).collect()
    }

    fn adopt(&self, earlier: &dyn Balancer) {
        self.zones.iter().for_each(|zone| zone.balancer.adopt(earlier));
    }
}

impl Zone {
    fn usable_weight(&self, candidates: &dyn Candidates) -> u64 {
        let usable = self.members.iter().filter(|index| can_go(candidates, **index));
        usable.map(|index| u64::from(candidates.weight(*index))).sum()
    }

    fn next(&self, candidates: &dyn Candidates, ask: Ask) -> Option<usize> {
        let inside = Inside { candidates, members: &self.members };
        self.balancer.next(&inside, ask).and_then(|place| self.members.get(place).copied())
    }
}

/// The zone for a lot that is uniform over all 64 bits, by usable weights, the own one first; none if nothing is usable.
fn draw(weights: &[u64], lot: u64) -> Option<usize> {
    let shares = shares(weights);
    let all: u128 = shares.iter().sum();
    if all == 0 {
        return None;
    }
    // Both are far below 64 bits, see `shares`.
    let mut left = (u128::from(lot) * all) >> 64;
    for (zone, share) in shares.iter().enumerate() {
        if left < *share {
            return Some(zone);
        }
        left -= share;
    }
    None
}

/// What each zone gets of our requests, the own one first; only the proportions count.
///
/// With W the weight of all, w that of the own zone and Z zones, the own zone gets `w·Z` of `W`. The rest, `W - w·Z`, is
/// parted by the surplus `v·Z - W` of the others. All surpluses together are S, so everything is multiplied by S to stay
/// in whole numbers. A weight is at most 10^6, in hundredths 10^8, and of a million endpoints 10^14, so the products stay
/// below 10^34.
fn shares(weights: &[u64]) -> Vec<u128> {
    let weights: Vec<u128> = weights.iter().map(|weight| u128::from(*weight)).collect();
    let own = weights.first().copied().unwrap_or_default();
    let all: u128 = weights.iter().sum();
    let zones: u128 = weights.iter().map(|weight| u128::from(*weight > 0)).sum();
    if own == 0 {
        return weights;
    }
    if own * zones >= all {
        return std::iter::once(1).chain(weights.iter().skip(1).map(|_| 0)).collect();
    }
    let surplus = |weight: &u128| (weight * zones).saturating_sub(all);
    let all_surplus: u128 = weights.iter().skip(1).map(surplus).sum();
    let excess = all - own * zones;
    let own_share = own * zones * all_surplus;
    std::iter::once(own_share).chain(weights.iter().skip(1).map(|weight| surplus(weight) * excess)).collect()
}

/// The candidates of one zone, by their place in it.
struct Inside<'a> {
    candidates: &'a dyn Candidates,
    members: &'a [usize],
}

impl Inside<'_> {
    fn of<T: Default>(&self, place: usize, ask: impl Fn(&dyn Candidates, usize) -> T) -> T {
        self.members.get(place).map_or_else(T::default, |index| ask(self.candidates, *index))
    }
}

impl Candidates for Inside<'_> {
    fn len(&self) -> usize {
        self.members.len()
    }

    fn weight(&self, place: usize) -> u32 {
        self.of(place, |candidates, index| candidates.weight(index))
    }

    fn is_usable(&self, place: usize) -> bool {
        self.of(place, |candidates, index| candidates.is_usable(index))
    }

    fn load(&self, place: usize) -> u32 {
        self.of(place, |candidates, index| candidates.load(index))
    }

    fn cost(&self, place: usize) -> u64 {
        self.of(place, |candidates, index| candidates.cost(index))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lb::tests::{Fixed, cases};

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("10.0.0.{number}:80")).collect()
    }

    fn zoned(algorithm: &Algorithm, weights: &[u32], zones: &[Option<&str>], own: &str) -> Zoned {
        let names = names(weights.len());
        let members: Vec<Member<'_>> =
            names.iter().zip(weights).map(|(id, weight)| Member { id, weight: *weight }).collect();
        Zoned::new(algorithm, &members, zones, own, false)
    }

    #[test]
    fn the_examples_of_the_essay() {
        assert_eq!(shares(&[4, 1, 4]), [1, 0, 0]);
        // A third each: 1/9 of the weight is a third of a fair share.
        let of = shares(&[1, 4, 4]);
        assert!(of[0] == of[1] && of[1] == of[2] && of[0] > 0, "{of:?}");
        let of = shares(&[1, 2, 6]);
        assert_eq!((of[0] * 2, of[1]), (of[2], 0));
        assert_eq!(shares(&[0, 2, 6]), [0, 2, 6]);
    }

    #[test]
    fn everything_stays_while_the_own_zone_has_its_part() {
        let zones = [Some("a"), Some("b"), None, Some("a")];
        let balancer = zoned(&Algorithm::RoundRobin, &[1, 1, 1, 1], &zones, "a");
        let fixed = Fixed::new(&[1, 1, 1, 1]);
        let picks: Vec<_> = (0..4).map(|turn| balancer.next(&fixed, Ask { hash: None, random: turn << 62 })).collect();
        assert_eq!(picks, [Some(0), Some(3), Some(0), Some(3)]);
    }

    #[test]
    fn a_zone_without_anybody_is_no_reason_to_answer_nothing() {
        let balancer = zoned(&Algorithm::Random, &[1, 1], &[Some("b"), Some("c")], "a");
        assert!(balancer.next(&Fixed::new(&[1, 1]), Ask::default()).is_some());
        let nobody = zoned(&Algorithm::Random, &[], &[], "a");
        assert_eq!(nobody.next(&Fixed::new(&[]), Ask::default()), None);
    }

    #[test]
    fn more_zones_than_anybody_has_share_the_last_place() {
        let written: Vec<String> = (0..40).map(|number| format!("z{number}")).collect();
        let zones: Vec<Option<&str>> = written.iter().map(|zone| Some(zone.as_str())).collect();
        let balancer = zoned(&Algorithm::RoundRobin, &[1; 40], &zones, "z3");
        assert_eq!(balancer.zones.len(), MAX_ZONES);
        assert_eq!(balancer.zones.iter().map(|zone| zone.members.len()).sum::<usize>(), 40);
    }

    proptest! {
        #![proptest_config(cases())]

        /// One replica in each zone that has endpoints, all with equally many requests: together they give each zone
        /// exactly what its endpoints are due.
        #[test]
        fn seen_from_all_zones_together_every_zone_gets_its_share(weights in prop::collection::vec(1..1000_u64, 1..8)) {
            let all: u64 = weights.iter().sum();
            let mut got = vec![0.0_f64; weights.len()];
            for own in 0..weights.len() {
                let mut seen = weights.clone();
                seen.swap(0, own);
                let mut shares: Vec<f64> = shares(&seen).iter().map(|share| *share as f64).collect();
                let sum: f64 = shares.iter().sum();
                shares.swap(0, own);
                for (got, share) in got.iter_mut().zip(shares) {
                    *got += share / sum;
                }
            }
            for (got, weight) in got.iter().zip(&weights) {
                let due = *weight as f64 * weights.len() as f64 / all as f64;
                prop_assert!((got - due).abs() < 1e-9, "{got} instead of {due} of {weights:?}");
            }
        }

        #[test]
        fn somebody_usable_is_chosen_and_from_the_own_zone_if_that_is_fair(
            members in prop::collection::vec((0..4_u32, any::<bool>(), 0..4_usize), 0..20),
            which in 0..5_usize,
            hash in prop::option::of(any::<u64>()),
            random in any::<u64>(),
        ) {
            let algorithm = [
                Algorithm::RoundRobin,
                Algorithm::LeastConnections,
                Algorithm::Fastest,
                Algorithm::Random,
                Algorithm::ConsistentHash(crate::config::traffic::ConsistentHash {
                    hash_on: Vec::new(),
                    table: crate::config::traffic::HashTable::Maglev,
                    bounded_load_percent: 0,
                }),
            ][which].clone();
            let weights: Vec<u32> = members.iter().map(|member| member.0).collect();
            let usable: Vec<bool> = members.iter().map(|member| member.1).collect();
            let zones: Vec<Option<&str>> =
                members.iter().map(|member| [Some("a"), Some("b"), Some("c"), None][member.2]).collect();
            let fixed = Fixed::new(&weights).usable(&usable);
            let balancer = zoned(&algorithm, &weights, &zones, "a");
            let chosen = balancer.next(&fixed, Ask { hash, random });
            let usable_weight = |zone: Option<&str>| -> u64 {
                (0..members.len()).filter(|i| zones[*i] == zone && usable[*i]).map(|i| u64::from(weights[i])).sum()
            };
            let by_zone: Vec<u64> = [Some("a"), Some("b"), Some("c"), None].into_iter().map(usable_weight).collect();
            let all: u64 = by_zone.iter().sum();
            match chosen {
                None => prop_assert_eq!(all, 0),
                Some(index) => {
                    prop_assert!(usable[index] && weights[index] > 0);
                    let present = by_zone.iter().filter(|weight| **weight > 0).count() as u64;
                    if by_zone[0] > 0 && by_zone[0] * present >= all {
                        prop_assert_eq!(zones[index], Some("a"));
                    }
                }
            }
        }
    }
}
