//! Consistent hash: requests that have something in common go to the same candidate, and mostly still do when
//! candidates come and go.
//!
//! The hash of the request (`Ask::hash`, a [`stable_hash`](super::stable_hash) of the chosen attributes) is looked up
//! in a table made for the set: [Maglev](super::maglev) or a [ring](super::ring). Tables are made of identities and
//! weights only, so replicas agree without talking.
//!
//! **Unusable**: whoever owns the entry but may not be used now is passed over; the next entry of the table decides,
//! and so on. Neighbouring entries belong to anybody, so the requests of the one who fell out are spread over all
//! others, and all other requests stay where they are. After [`MAX_STEPS`] entries (nearly all are unusable then) the
//! rest is settled by one look at every candidate: of those who may go, the one with the highest hash of request and
//! identity together (rendezvous hashing, which has the same properties).
//!
//! **Bounded load** (Mirrokni, Thorup, Zadimoghaddam, "Consistent hashing with bounded loads", 2016): one popular key
//! must not bury its server. With a bound of 125 % nobody gets a request who would then run more than 1.25 times its
//! fair share of all that runs, rounded up: ⌈(running + 1) × weight / weights × 125 / 100⌉. Example: 4 equal
//! candidates, 39 exchanges running: ⌈40 / 4 × 1.25⌉ = 13 is the most; whoever has 13 is passed over like an unusable
//! one. Of few that run, such shares mean nothing: with 2 running on 4 candidates the most would be 1, and a browser's
//! second request would go elsewhere than its first. So nobody is passed over who runs fewer than [`FEW`]. If the bound
//! is at least 100 %, somebody is always below it; else, when nobody is, it does not count. The
//! weights are those of usable candidates now. The load of all is summed up only if the owner runs more than few: with
//! hundreds of endpoints that is the dear part, and a bound of 0 spares it.
//!
//! The table holds the described weights. In slow start weights are lower for a while; then the bound is lower too,
//! but the share of keys is not: keys that moved away and back would be worse.

use super::hash::{mix, of_text};
use super::maglev::Maglev;
use super::ring::Ring;
use super::{Ask, Balancer, Candidates, Member, can_go};
use crate::config::traffic::{self, HashTable};

/// 64: with half of the candidates out, one request in 2^64 needs more; with nine of ten out, one in a thousand.
const MAX_STEPS: usize = 64;

/// 8: so many at once are no burden to any server.
const FEW: u32 = 8;

/// By what a request has.
#[derive(Debug)]
pub struct ConsistentHash {
    table: Table,
    identities: Vec<u64>,
    bounded_load_percent: u32,
}

#[derive(Debug)]
enum Table {
    Maglev(Maglev),
    Ring(Ring),
}

impl ConsistentHash {
    /// The table of these members.
    pub fn new(how: &traffic::ConsistentHash, members: &[Member<'_>]) -> Self {
        let parts: Vec<(u64, u32)> = members.iter().map(|member| (of_text(member.id), member.weight)).collect();
        let table = match how.table {
            HashTable::Maglev => Table::Maglev(Maglev::new(&parts)),
            HashTable::Ring => Table::Ring(Ring::new(&parts)),
        };
        let identities = parts.iter().map(|(id, _)| *id).collect();
        Self { table, identities, bounded_load_percent: how.bounded_load_percent }
    }

    /// The nearest one for this hash that is accepted.
    fn nearest(&self, hash: u64, accepts: impl Fn(usize) -> bool) -> Option<usize> {
        let (owners, place) = match &self.table {
            Table::Maglev(maglev) => (maglev.owners(), maglev.place(hash)),
            Table::Ring(ring) => (ring.owners(), ring.place(hash)),
        };
        let (before, from) = owners.split_at_checked(place).unwrap_or_default();
        let walk = from.iter().chain(before).take(MAX_STEPS).filter_map(|owner| usize::try_from(*owner).ok());
        let mut walk = walk.filter(|index| accepts(*index));
        walk.next().or_else(|| self.highest(hash, &accepts))
    }

    fn highest(&self, hash: u64, accepts: impl Fn(usize) -> bool) -> Option<usize> {
        let scores = self.identities.iter().enumerate().filter(|(index, _)| accepts(*index));
        scores.max_by_key(|(_, id)| (mix(hash ^ **id), **id)).map(|(index, _)| index)
    }
}

impl Balancer for ConsistentHash {
    fn next(&self, candidates: &dyn Candidates, ask: Ask) -> Option<usize> {
        // Mixed once more: a hash that is only a number in a row is as good as any.
        let hash = mix(ask.hash.unwrap_or(ask.random));
        let owner = self.nearest(hash, |index| can_go(candidates, index))?;
        if self.bounded_load_percent == 0 || candidates.load(owner) < FEW {
            return Some(owner);
        }
        let bound = Bound::new(candidates, self.bounded_load_percent);
        if bound.admits(candidates, owner) {
            return Some(owner);
        }
        let admitted = |index| can_go(candidates, index) && bound.admits(candidates, index);
        self.nearest(hash, admitted).or(Some(owner))
    }

    fn name(&self) -> &'static str {
        match self.table {
            Table::Maglev(_) => "consistent hash (maglev)",
            Table::Ring(_) => "consistent hash (ring)",
        }
    }
}

/// The most that may run at each.
struct Bound {
    running: u128,
    weights: u128,
    percent: u128,
}

impl Bound {
    fn new(candidates: &dyn Candidates, percent: u32) -> Self {
        let mut bound = Self { running: 0, weights: 0, percent: u128::from(percent) };
        for index in (0..candidates.len()).filter(|index| can_go(candidates, *index)) {
            bound.running += u128::from(candidates.load(index));
            bound.weights += u128::from(candidates.weight(index));
        }
        bound
    }

    /// Whether one more may run there.
    fn admits(&self, candidates: &dyn Candidates, index: usize) -> bool {
        let weight = u128::from(candidates.weight(index));
        // Far below 128 bits: 32 of load and 32 of weight for each of 2^32 candidates, 32 of weight, 32 of percent.
        let most = ((self.running + 1) * weight * self.percent).div_ceil((self.weights * 100).max(1));
        u128::from(candidates.load(index)) < most.max(u128::from(FEW))
    }
}

#[cfg(test)]
mod tests;
