//! The way to an endpoint: which one, with leave to try it, and by a kept connection or a new one.
//!
//! All that is bounded is taken here and in this order: a request's place and a breaker's trial (the permit), then a
//! place for a connection if no idle one is at hand. An endpoint whose connections are all in use is passed over like
//! any that is full; if all are, the request waits, if the upstream lets it. Nothing is kept of what was taken while it
//! waits.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::lb::Ask;
use crate::proxy::refusal::{Refusal, Refused};
use crate::upstream::connect::connect;
use crate::upstream::http1::Connection;
use crate::upstream::{Avoided, LiveEndpoint, NoEndpoint, Permit};

use super::Attempt;

/// How an endpoint is reached.
pub(super) enum Way {
    /// By a connection used before.
    Idle(Box<Connection>),
    /// By a new one, which keeps this place while it is open.
    New(Option<Box<dyn Any + Send>>),
}

/// Why there is no connection.
pub(super) enum NoConnection {
    /// The endpoint is not there.
    Failed,
    /// We have nothing left to connect with.
    Exhausted,
    /// The time of the whole request is over.
    TimeUp,
}

impl Attempt<'_> {
    /// Leave to try an endpoint and a way to it, now or when somebody has left.
    pub(super) async fn way(&mut self) -> Result<(Arc<LiveEndpoint>, Way), Refused> {
        if let Some(found) = self.way_now()? {
            return Ok(found);
        }
        let upstream = &self.routed.to.upstream;
        let limits = upstream.current().settings().limits.clone();
        let mut waiting = upstream.room.wait(&limits, Instant::now()).map_err(|_| Refusal::UpstreamFull)?;
        let ends = self.clock.left().and_then(|left| Instant::now().checked_add(left));
        let (until, refusal) = match ends {
            Some(ends) if ends < waiting.until() => (ends, Refusal::RequestTimeout),
            _ => (waiting.until(), Refusal::UpstreamFull),
        };
        loop {
            tokio::time::timeout_at(until.into(), waiting.turn()).await.map_err(|_| refusal)?;
            if let Some(found) = self.way_now()? {
                waiting.leave();
                return Ok(found);
            }
        }
    }

    /// The same without waiting: none if all have as much as they may get.
    fn way_now(&mut self) -> Result<Option<(Arc<LiveEndpoint>, Way)>, Refused> {
        let mut crowded = Vec::new();
        loop {
            let permit = match self.pick(&crowded) {
                Ok(permit) => permit,
                Err(NoEndpoint::Full) => return Ok(None),
                // The crowded ones will have room again.
                Err(_) if !crowded.is_empty() => return Ok(None),
                Err(why) => return Err(self.refused(why)),
            };
            let endpoint = Arc::clone(permit.endpoint());
            match self.way_to(&endpoint) {
                Some(way) => {
                    self.exchange.record.permit = Some(permit);
                    return Ok(Some((endpoint, way)));
                }
                None => crowded.push(endpoint),
            }
        }
    }

    /// An idle connection, or a place for a new one; none if the endpoint has as many as it may have.
    fn way_to(&self, endpoint: &Arc<LiveEndpoint>) -> Option<Way> {
        if self.may_use_idle
            && let Some(idle) = self.proxy.pool.take(endpoint, self.clock.now())
        {
            return Some(Way::Idle(idle));
        }
        let set = self.routed.to.upstream.current();
        endpoint.try_connect(&set.settings().limits).ok().map(Way::New)
    }

    fn pick(&self, crowded: &[Arc<LiveEndpoint>]) -> Result<Permit, NoEndpoint> {
        let to = &self.routed.to;
        let ask = Ask { hash: self.routed.hash, random: self.proxy.ids.number() };
        let avoided = Avoided { tried: &self.tried, crowded };
        to.upstream.current().pick_apart_from(&to.upstream, &to.choice, ask, &avoided, self.clock.now())
    }

    fn refused(&self, why: NoEndpoint) -> Refused {
        match why {
            NoEndpoint::Empty => {
                let status = self.routed.to.upstream.current().settings().when_empty;
                Refused::from(Refusal::NoEndpoints).with_status(status)
            }
            NoEndpoint::Unhealthy => Refusal::NoHealthyEndpoint.into(),
            NoEndpoint::CircuitOpen(after) => {
                // It was reckoned from the last tick; whole seconds are told, and a tick must not make one more.
                let since = Instant::now().saturating_duration_since(self.clock.now());
                Refused::from(Refusal::CircuitOpen).with_retry_after(after.saturating_sub(since))
            }
            NoEndpoint::Full => Refusal::UpstreamFull.into(),
        }
    }

    /// By this way.
    pub(super) async fn connection(
        &mut self,
        endpoint: &LiveEndpoint,
        way: Way,
    ) -> Result<Box<Connection>, NoConnection> {
        let place = match way {
            Way::Idle(idle) => return Ok(idle),
            Way::New(place) => place,
        };
        let described = Arc::clone(self.routed.to.upstream.current().described());
        let mut within = described.settings.connect_timeout;
        if self.clock.is_over() {
            return Err(NoConnection::TimeUp);
        }
        if let Some(left) = self.clock.left_of_try() {
            // Nothing at all would mean no bound.
            let left = left.max(Duration::from_millis(1));
            within = if within.is_zero() { left } else { within.min(left) };
        }
        connect(&self.proxy.shared.resolver, endpoint.address(), &described.denied, within, place).await.map_err(
            |error| {
                tracing::debug!(backend = endpoint.label(), %error, "no connection");
                match error {
                    _ if self.clock.is_over() => NoConnection::TimeUp,
                    error if error.is_exhausted() => NoConnection::Exhausted,
                    _ => NoConnection::Failed,
                }
            },
        )
    }
}
