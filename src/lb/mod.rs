//! Which of several goes next: one interface, [`Balancer`], for endpoints of an upstream and for the
//! backends of a rule.
//!
//! A balancer knows nothing of servers. It sees [`Candidates`]: how many, how heavy, how busy, and which may be
//! used now; and of the request only what decides, [`Ask`]. Its own state (a cursor, running weights, a table) is
//! all it keeps, and it is shared by all workers, so that a client that connects anew for each request still sees
//! an even spread.
//!
//! | algorithm | looks at | state | cost of a choice |
//! |---|---|---|---|
//! | [round robin](round_robin) | nothing | a cursor | first usable |
//! | [weighted round robin](weighted) | weights | running weights, one short lock | every candidate |
//! | [least connections](least_connections) | load, weights | those of round robin, for ties | every candidate |
//! | [fastest](fastest) | latency, load, weights | none | two candidates |
//! | [random](random) | weights | none | one candidate |
//! | [consistent hash](consistent_hash) | the request, weights, load if bounded | a table | one look; every candidate if bounded and busy |
//!
//! [`zoned`] stands before any of them and has the own zone go first.
//!
//! What always holds, whatever the algorithm: a candidate of weight 0 or one that may not be used is never chosen,
//! and somebody is chosen as long as one is left. A balancer is made for one set of candidates, each at its place; a
//! changed set gets a new balancer, which goes on where the old one stood ([`Balancer::adopt`]). Called by `upstream`
//! and `snapshot`.

pub mod consistent_hash;
pub mod draw;
pub mod fastest;
pub mod hash;
pub mod latency;
pub mod least_connections;
pub mod maglev;
pub mod random;
pub mod ring;
pub mod round_robin;
pub mod weighted;
pub mod zoned;

use crate::config::traffic::Algorithm;

pub use consistent_hash::ConsistentHash;
pub use fastest::Fastest;
pub use hash::stable_hash;
pub use latency::Latency;
pub use least_connections::LeastConnections;
pub use random::Random;
pub use round_robin::RoundRobin;
pub use weighted::Weighted;
pub use zoned::Zoned;

/// What can be chosen from, as seen at this moment.
pub trait Candidates {
    /// How many; they are named by `0..len`.
    fn len(&self) -> usize;

    /// Share beside the others. 0 is never chosen. May change from call to call (slow start).
    fn weight(&self, index: usize) -> u32;

    /// Whether it may be chosen now.
    fn is_usable(&self, index: usize) -> bool;

    /// Exchanges running there now.
    fn load(&self, _index: usize) -> u32 {
        0
    }

    /// [`Latency::cost`]: nanoseconds that an exchange is expected to take; 0: not known.
    fn cost(&self, _index: usize) -> u64 {
        0
    }

    /// Whether there is nothing to choose from.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What of a request decides.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ask {
    /// [`stable_hash`] of what the rule hashes on; none: the request is sent by chance.
    pub hash: Option<u64>,
    /// Fresh randomness, uniform over all values.
    pub random: u64,
}

/// Chooses the next one.
pub trait Balancer: Send + Sync + std::fmt::Debug {
    /// The next candidate; none if no usable one has a weight.
    fn next(&self, candidates: &dyn Candidates, ask: Ask) -> Option<usize>;

    /// How it is called in explanations.
    fn name(&self) -> &'static str;

    /// How far each candidate is ahead of its turn, by the [hash](hash::of_text) of its identity. Only the
    /// differences count: who has most goes next. Empty where there are no turns.
    fn turns(&self) -> Vec<(u64, i64)> {
        Vec::new()
    }

    /// Goes on where the balancer of the earlier set stood: a set that changes often must not always begin at its
    /// first member. Candidates are found by identity.
    fn adopt(&self, _earlier: &dyn Balancer) {}
}

/// A candidate as it is known when a balancer is made.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// What it is, in every process and for as long as it lives. Two replicas build equal tables from equal
    /// identities and weights, in whatever order they stand.
    pub id: &'a str,
    /// As described; 0: nothing new.
    pub weight: u32,
}

fn can_go(candidates: &dyn Candidates, index: usize) -> bool {
    candidates.weight(index) > 0 && candidates.is_usable(index)
}

/// The balancer of these members. `has_changing_weights`: [`Candidates::weight`] will tell other weights than those
/// described here.
pub fn balancer(algorithm: &Algorithm, members: &[Member<'_>], has_changing_weights: bool) -> Box<dyn Balancer> {
    let parts = || members.iter().map(|member| (hash::of_text(member.id), member.weight)).collect::<Vec<_>>();
    let draw = || draw::Draw::new(members.iter().map(|member| member.weight), has_changing_weights);
    match algorithm {
        Algorithm::RoundRobin => in_turn(&parts(), has_changing_weights),
        Algorithm::LeastConnections => Box::new(LeastConnections::new(in_turn(&parts(), has_changing_weights))),
        Algorithm::Fastest => Box::new(Fastest::new(draw())),
        Algorithm::Random => Box::new(Random::new(draw())),
        Algorithm::ConsistentHash(how) => Box::new(ConsistentHash::new(how, members)),
    }
}

/// The balancer for shares that are places in a list: what splits a rule's requests between its backends. It
/// may adopt another one only where the same backends stand at the same places.
pub fn shares(weights: &[u32]) -> Box<dyn Balancer> {
    let parts: Vec<_> = (0_u64..).zip(weights.iter().copied()).collect();
    in_turn(&parts, false)
}

/// A plain cursor where all weights are equal and stay so, else smooth shares.
fn in_turn(members: &[(u64, u32)], has_changing_weights: bool) -> Box<dyn Balancer> {
    let mut heavy = members.iter().map(|(_, weight)| *weight).filter(|weight| *weight > 0);
    let first = heavy.next();
    if !has_changing_weights && heavy.all(|weight| Some(weight) == first) {
        Box::new(RoundRobin::new(members.iter().map(|(id, _)| *id).collect()))
    } else {
        Box::new(Weighted::new(members))
    }
}

#[cfg(test)]
mod tests;
