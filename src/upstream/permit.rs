//! Leave to try an endpoint, and how the try ended.
//!
//! A permit counts as load from the pick to the last byte of the answer. What came of the try is told once, when the
//! head of the answer is there or will not come: then health, breaker and latency learn from it. That an answer was
//! good is told to health only when the permit is dropped, as it may still break off: a server that cuts every answer
//! in half would else look well with each head. A permit that is dropped without a word (the client went) teaches
//! nothing and gives everything back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;

use crate::circuitbreaker;
use crate::circuitbreaker::limits::Place;

use super::{LiveEndpoint, LiveUpstream};

/// How a try ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With an answer, whose head was here after this long.
    Answered(StatusCode, Duration),
    /// No connection, or it died, or it took too long.
    Failed,
}

/// What was taken of an endpoint.
#[derive(Debug)]
pub struct Taken {
    pub(super) circuit: Option<circuitbreaker::Permit>,
    pub(super) place: Option<Place>,
}

/// One exchange at an endpoint.
#[derive(Debug)]
pub struct Permit {
    upstream: Arc<LiveUpstream>,
    endpoint: Arc<LiveEndpoint>,
    circuit: Option<circuitbreaker::Permit>,
    /// Given back by its drop.
    _place: Option<Place>,
    is_settled: bool,
    /// The answer is a good one so far.
    is_good: bool,
}

impl Permit {
    pub(super) fn new(upstream: Arc<LiveUpstream>, endpoint: Arc<LiveEndpoint>, taken: Taken) -> Self {
        Self { upstream, endpoint, circuit: taken.circuit, _place: taken.place, is_settled: false, is_good: false }
    }

    /// Where it runs.
    pub fn endpoint(&self) -> &Arc<LiveEndpoint> {
        &self.endpoint
    }

    /// Tells how the try ended; only the first word counts.
    pub fn settle(&mut self, outcome: Outcome, now: Instant) {
        if std::mem::replace(&mut self.is_settled, true) {
            return;
        }
        self.is_good = self.upstream.learn(&self.endpoint, outcome, now);
        let Some(circuit) = self.circuit.take() else { return };
        let set = self.upstream.current();
        let Some(breaker) = &set.settings().circuit_breaker else { return };
        let outcome = match outcome {
            Outcome::Failed => circuitbreaker::Outcome::Failure,
            Outcome::Answered(status, took) => circuitbreaker::Outcome::of_answer(breaker, status, took),
        };
        if let Some(state) = circuit.settle(outcome, breaker, now) {
            tracing::warn!(backend = self.endpoint.label(), ?state, "its circuit breaker changed");
        }
    }

    /// The upstream it is of.
    pub fn upstream(&self) -> &Arc<LiveUpstream> {
        &self.upstream
    }

    /// The answer broke off after its head.
    pub fn broke_off(&mut self, now: Instant) {
        self.is_good = self.upstream.learn(&self.endpoint, Outcome::Failed, now);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.is_good {
            self.endpoint.health().passive().record_success();
        }
        self.endpoint.leave();
    }
}
