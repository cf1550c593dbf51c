//! Servers: the endpoints of an upstream and what is known about all of them.

use std::time::Duration;

use super::Scope;
use super::form::describe_url;
use crate::config::problem::{Problem, Slug};
use crate::config::spec::{EndpointSpec, PoolSpec};
use crate::config::units::parse_duration;
use crate::config::upstream::{Endpoint, UpstreamSettings};

/// The settings of an upstream, with defaults where nothing, or nothing usable, is written.
pub fn describe_settings(
    connect_timeout: Option<&str>,
    pool: Option<&PoolSpec>,
    at: &str,
    problems: &mut Vec<Problem>,
) -> UpstreamSettings {
    let mut settings = UpstreamSettings::default();
    read_duration(connect_timeout, &format!("{at}.connectTimeout"), problems, &mut settings.connect_timeout);
    if let Some(pool) = pool {
        let place = format!("{at}.pool.idleTimeout");
        read_duration(pool.idle_timeout.as_deref(), &place, problems, &mut settings.pool.idle_timeout);
        if let Some(max_idle) = pool.max_idle {
            settings.pool.max_idle = usize::try_from(max_idle).unwrap_or(0);
        }
    }
    settings
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
            Ok(endpoint) => merge_endpoint(&mut endpoints, endpoint),
            Err(problem) => problems.push(problem),
        }
    }
    endpoints
}

/// The share of a backend or endpoint: 1 if nothing is written.
pub fn weight_of(weight: Option<i32>) -> u32 {
    weight.map_or(1, |weight| u32::try_from(weight).unwrap_or(0))
}

/// The same server written twice is one endpoint with both shares.
pub fn merge_endpoint(endpoints: &mut Vec<Endpoint>, endpoint: Endpoint) {
    match endpoints.iter_mut().find(|known| known.id == endpoint.id) {
        Some(known) => known.weight = known.weight.saturating_add(endpoint.weight),
        None => endpoints.push(endpoint),
    }
}

/// Takes a written duration over; a wrong one is a problem and changes nothing.
pub fn read_duration(text: Option<&str>, at: &str, problems: &mut Vec<Problem>, value: &mut Duration) {
    match text.map(parse_duration) {
        Some(Ok(duration)) => *value = duration,
        Some(Err(error)) => problems.push(Problem::new(at, Slug::DurationForm, error.to_string())),
        None => {}
    }
}
