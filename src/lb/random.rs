//! Random: each request by chance, with the probability of the weights.
//!
//! No state and nothing shared, so it scales best; but shares are met only on the average. Of 100 requests to four
//! equal endpoints one gets 25 give or take 9. Weights are obeyed exactly ([`draw`](super::draw)).

use super::draw::{Dice, Draw};
use super::{Ask, Balancer, Candidates};

/// Draws by weight.
#[derive(Debug)]
pub struct Random {
    draw: Draw,
}

impl Random {
    /// Drawing like this.
    pub fn new(draw: Draw) -> Self {
        Self { draw }
    }
}

impl Balancer for Random {
    fn next(&self, candidates: &dyn Candidates, ask: Ask) -> Option<usize> {
        self.draw.one(candidates, &mut Dice::new(ask.random), None)
    }

    fn name(&self) -> &'static str {
        "random"
    }
}
