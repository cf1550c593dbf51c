//! Servers: the endpoints of an upstream and what is known about all of them.

use std::ops::RangeInclusive;
use std::time::Duration;

use http::StatusCode;

use super::Scope;
use super::form::describe_url;
use super::health::{describe_breaker, describe_health, describe_slow_start};
use super::value::Block;
use crate::config::id::EndpointId;
use crate::config::problem::Problem;
use crate::config::spec::{
    EndpointSpec, EndpointStateSpec, PoolSpec, RetryBudgetSpec, UpstreamDefaultsSpec, UpstreamLimitsSpec,
};
use crate::config::upstream::{Endpoint, EndpointState, Limits, PoolSettings, RetryBudget, UpstreamSettings};

/// Waiting for room has an end: who waits holds a connection.
const PENDING_TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(3600);
/// As many as a machine has ports for, and some.
const AT_ONCE: RangeInclusive<i32> = 1..=1_000_000;

/// The settings of an upstream: what is written replaces what is inherited, field by field, blocks whole. Where
/// nothing usable is written in a block, its default stands.
pub fn describe_settings(
    spec: &UpstreamDefaultsSpec,
    inherited: &UpstreamSettings,
    at: &str,
    problems: &mut Vec<Problem>,
) -> UpstreamSettings {
    let mut settings = inherited.clone();
    let mut block = Block::new(at, problems);
    block.duration("connectTimeout", spec.connect_timeout.as_deref(), &mut settings.connect_timeout);
    if let Some(pool) = &spec.pool {
        settings.pool = describe_pool(pool, &mut block.below("pool"));
    }
    if let Some(limits) = &spec.limits {
        settings.limits = describe_limits(limits, &mut block.below("limits"));
    }
    if let Some(health) = &spec.health_check {
        describe_health(health, &mut block.below("healthCheck"), &mut settings);
    }
    if let Some(breaker) = &spec.circuit_breaker {
        settings.circuit_breaker = describe_breaker(breaker, &mut block.below("circuitBreaker"));
    }
    if let Some(slow_start) = &spec.slow_start {
        settings.slow_start = describe_slow_start(slow_start, &mut block.below("slowStart"));
    }
    if let Some(budget) = &spec.retry_budget {
        settings.retry_budget = describe_retry_budget(budget, &mut block.below("retryBudget"));
    }
    let mut status = settings.when_empty.as_u16();
    block.count("whenEmpty", spec.when_empty, &(400..=599), &mut status);
    settings.when_empty = StatusCode::from_u16(status).unwrap_or(settings.when_empty);
    settings
}

fn describe_pool(spec: &PoolSpec, block: &mut Block<'_>) -> PoolSettings {
    let mut pool = PoolSettings::default();
    block.duration("idleTimeout", spec.idle_timeout.as_deref(), &mut pool.idle_timeout);
    let mut max_idle = u16::try_from(pool.max_idle).unwrap_or(u16::MAX);
    block.count("maxIdle", spec.max_idle, &(0..=10_000), &mut max_idle);
    pool.max_idle = usize::from(max_idle);
    let mut max_requests = 0_u32;
    block.count("maxRequests", spec.max_requests, &(0..=1_000_000_000), &mut max_requests);
    pool.max_requests = u64::from(max_requests);
    block.duration("maxAge", spec.max_age.as_deref(), &mut pool.max_age);
    pool
}

fn describe_limits(spec: &UpstreamLimitsSpec, block: &mut Block<'_>) -> Limits {
    let mut limits = Limits::default();
    block.bound("connections", spec.connections, &AT_ONCE, &mut limits.connections);
    block.bound("requests", spec.requests, &AT_ONCE, &mut limits.requests);
    let (connections, requests) = (spec.per_endpoint_connections, spec.per_endpoint_requests);
    block.bound("perEndpointConnections", connections, &AT_ONCE, &mut limits.per_endpoint_connections);
    block.bound("perEndpointRequests", requests, &AT_ONCE, &mut limits.per_endpoint_requests);
    block.count("pending", spec.pending, &(0..=100_000), &mut limits.pending);
    let timeout = spec.pending_timeout.as_deref();
    block.duration_within("pendingTimeout", timeout, &PENDING_TIMEOUT, &mut limits.pending_timeout);
    limits
}

fn describe_retry_budget(spec: &RetryBudgetSpec, block: &mut Block<'_>) -> RetryBudget {
    let mut budget = RetryBudget::default();
    block.count("percent", spec.percent, &(0..=100), &mut budget.percent);
    block.count("minPerSecond", spec.min_per_second, &(0..=10_000), &mut budget.min_per_second);
    budget
}

/// The endpoints of a named upstream.
pub fn describe_endpoints(
    specs: &[EndpointSpec],
    scope: &dyn Scope,
    at: &str,
    problems: &mut Vec<Problem>,
) -> Vec<Endpoint> {
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for (index, spec) in specs.iter().enumerate() {
        let place = format!("{at}.endpoints[{index}].url");
        match describe_url(&spec.url, weight_of(spec.weight), scope, &place) {
            Ok(endpoint) => merge_endpoint(&mut endpoints, with_state_and_id(endpoint, spec)),
            Err(problem) => problems.push(problem),
        }
    }
    endpoints
}

/// `address:port/id`, as translation makes it of a pod's uid.
fn with_state_and_id(mut endpoint: Endpoint, spec: &EndpointSpec) -> Endpoint {
    if let Some(id) = &spec.id {
        endpoint.id = EndpointId::new(format!("{}/{id}", endpoint.authority()));
    }
    endpoint.zone.clone_from(&spec.zone);
    endpoint.state = match spec.state.unwrap_or_default() {
        EndpointStateSpec::Active => EndpointState::Active,
        EndpointStateSpec::Draining => EndpointState::Draining,
    };
    endpoint
}

/// The share of a backend or endpoint: 1 if nothing is written.
pub fn weight_of(weight: Option<i32>) -> u32 {
    weight.map_or(1, |weight| u32::try_from(weight).unwrap_or(0))
}

/// The same server written twice is one endpoint with both shares and the better state.
pub fn merge_endpoint(endpoints: &mut Vec<Endpoint>, endpoint: Endpoint) {
    match endpoints.iter_mut().find(|known| known.id == endpoint.id) {
        Some(known) => {
            known.weight = known.weight.saturating_add(endpoint.weight);
            known.state = known.state.min(endpoint.state);
        }
        None => endpoints.push(endpoint),
    }
}
