//! Which of several goes next: one interface, [`Balancer`], for endpoints of an upstream and for the
//! backends of a rule.
//!
//! A balancer knows nothing of servers. It sees [`Candidates`]: how many, how heavy, and which may be used
//! now. Its own state (a cursor, running weights) is all it keeps, and it is shared by all workers, so that
//! a client that connects anew for each request still sees an even spread.

pub mod round_robin;
pub mod weighted;

pub use round_robin::RoundRobin;
pub use weighted::Weighted;

/// What can be chosen from, as seen at this moment.
pub trait Candidates {
    /// How many; they are named by `0..len`.
    fn len(&self) -> usize;

    /// Share beside the others. 0 is never chosen.
    fn weight(&self, index: usize) -> u32;

    /// Whether it may be chosen now.
    fn is_usable(&self, index: usize) -> bool;

    /// Whether there is nothing to choose from.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Chooses the next one.
pub trait Balancer: Send + Sync + std::fmt::Debug {
    /// The next candidate; none if no usable one has a weight.
    fn next(&self, candidates: &dyn Candidates) -> Option<usize>;
}

/// The balancer for these weights: a plain cursor where all are equal, else smooth shares.
pub fn balancer_for(weights: &[u32]) -> Box<dyn Balancer> {
    let mut weighted = weights.iter().filter(|weight| **weight > 0);
    let first = weighted.next();
    if weighted.all(|weight| Some(weight) == first) {
        Box::new(RoundRobin::default())
    } else {
        Box::new(Weighted::new(weights.len()))
    }
}
