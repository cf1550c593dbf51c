//! One server address while it runs.
//!
//! What is known about it outlasts edits of weights, thresholds and rules: the settings that judge it are passed to
//! each call and never kept here. Shared by all workers.

use std::any::Any;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use crate::circuitbreaker::Breaker;
use crate::circuitbreaker::limits::{EndpointRoom, Full, Place, Room};
use crate::config::upstream::{Limits, SlowStart};
use crate::config::{Endpoint, EndpointId, Upstream, UpstreamSettings};
use crate::health::Health;
use crate::lb::Latency;

use super::permit::Taken;

/// An endpoint that runs.
#[derive(Debug)]
pub struct LiveEndpoint {
    id: EndpointId,
    number: u64,
    address: Address,
    authority: String,
    label: String,
    born: Instant,
    in_flight: AtomicUsize,
    is_retired: AtomicBool,
    room: Arc<EndpointRoom>,
    health: Arc<Health>,
    breaker: Arc<Breaker>,
    latency: Latency,
}

/// Where to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An IP address.
    Socket(SocketAddr),
    /// A DNS name.
    Name(String, u16),
}

impl LiveEndpoint {
    /// Brings an endpoint to life.
    pub fn new(upstream: &Upstream, described: &Endpoint, room: &Arc<Room>, now: Instant) -> Self {
        // Numbers are for pools and probes only: unique in the process, never shown.
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let address = match described.host.parse::<IpAddr>() {
            Ok(ip) => Address::Socket(SocketAddr::new(ip, described.port)),
            Err(_) => Address::Name(described.host.clone(), described.port),
        };
        let authority = described.authority();
        let label = if upstream.is_of_urls { authority.clone() } else { format!("{}/{authority}", upstream.id) };
        Self {
            id: described.id.clone(),
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            address,
            authority,
            label,
            born: now,
            in_flight: AtomicUsize::new(0),
            is_retired: AtomicBool::new(false),
            room: Arc::new(EndpointRoom::new(room)),
            health: Arc::default(),
            breaker: Arc::default(),
            latency: Latency::new(now),
        }
    }

    /// What it is, inside its upstream.
    pub fn id(&self) -> &EndpointId {
        &self.id
    }

    /// Unique in this process.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Where to connect.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// `host:port` as described.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The `backend` label.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Exchanges running there now.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// What probes and answers show.
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// Protects it.
    pub fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    /// 0 closed, 1 half-open, 2 open.
    pub fn circuit_state(&self, now: Instant) -> u8 {
        self.breaker.state(now) as u8
    }

    /// How long its answers take.
    pub fn latency(&self) -> &Latency {
        &self.latency
    }

    /// Whether no description names it any more.
    pub fn is_retired(&self) -> bool {
        self.is_retired.load(Ordering::Relaxed)
    }

    pub(super) fn retire(&self) {
        self.is_retired.store(true, Ordering::Relaxed);
    }

    /// Whether its health lets it get requests.
    pub fn is_healthy(&self, now: Instant) -> bool {
        self.health.is_usable(now)
    }

    /// Whether its breaker lets it get a request.
    pub fn is_permitted(&self, settings: &UpstreamSettings, now: Instant) -> bool {
        settings.circuit_breaker.as_ref().is_none_or(|breaker| self.breaker.permits(breaker, now))
    }

    /// Whether breaker and limits let it get a request.
    pub fn has_room(&self, settings: &UpstreamSettings, now: Instant) -> bool {
        self.is_permitted(settings, now) && self.room.has_room(&settings.limits)
    }

    /// What of its weight it gets, in parts of `whole`: it grows from the least to all of it.
    pub fn warmth(&self, slow: &SlowStart, now: Instant, whole: u32) -> u32 {
        let age = now.saturating_duration_since(self.born);
        if age >= slow.window {
            return whole;
        }
        let grown = u128::from(whole) * age.as_nanos() / slow.window.as_nanos().max(1);
        let least = whole.saturating_mul(slow.min_percent) / 100;
        u32::try_from(grown).unwrap_or(whole).max(least).max(1)
    }

    /// Takes what a request counts for here; none if there is no room any more.
    pub(super) fn admit(&self, settings: &UpstreamSettings, now: Instant) -> Option<Taken> {
        let is_bounded = settings.limits.requests.is_some() || settings.limits.per_endpoint_requests.is_some();
        let place = if is_bounded { Some(self.room.try_enter(&settings.limits).ok()?) } else { None };
        let circuit = match &settings.circuit_breaker {
            Some(breaker) => Some(self.breaker.admit(breaker, now)?),
            None => None,
        };
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Some(Taken { circuit, place })
    }

    /// An exchange has ended.
    pub(super) fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Takes a place for a connection, to be kept as long as it is open; none where connections have no bound.
    ///
    /// # Errors
    /// [`Full`] if it has as many as it may have.
    pub fn try_connect(&self, limits: &Limits) -> Result<Option<Box<dyn Any + Send>>, Full> {
        if !bounds_connections(limits) {
            return Ok(None);
        }
        let place: Place = self.room.try_connect(limits)?;
        Ok(Some(Box::new(place)))
    }

    /// Whether somebody may wait for the place of a connection: then it is closed and not kept, as the one who waits
    /// may be at another worker, which could not use it.
    pub fn has_place_awaited(&self, limits: &Limits) -> bool {
        bounds_connections(limits) && self.room.room().waiting() > 0
    }
}

fn bounds_connections(limits: &Limits) -> bool {
    limits.connections.is_some() || limits.per_endpoint_connections.is_some()
}
