//! Servers: every upstream with its endpoints and what is known about them.
//!
//! URLs of a rule are written in the rule. Nothing can be said about such servers but by the defaults for all, so what is
//! known about them becomes those defaults, and every other upstream says what differs from them.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::route::{Action, Destination};
use crate::config::spec::{
    ActiveHealthSpec, CircuitBreakerSpec, DefaultsSpec, EndpointSpec, EndpointStateSpec, HealthCheckSpec,
    PassiveHealthSpec, PoolSpec, ProbeTypeSpec, RetryBudgetSpec, SlowStartSpec, UpstreamDefaultsSpec,
    UpstreamLimitsSpec, UpstreamSpec,
};
use crate::config::traffic::ZoneUse;
use crate::config::upstream::{
    ActiveHealth, CircuitBreaker, Endpoint, EndpointState, Limits, PassiveHealth, PoolSettings, Probe, SlowStart,
    Upstream, UpstreamSettings,
};
use crate::config::{Gateway, UpstreamId};

use super::names::Names;
use super::unit;

/// Characters of an endpoint's id in a file, by its schema.
const MAX_ID_CHARS: usize = 63;

/// The servers of a Gateway.
#[derive(Debug)]
pub struct Servers<'g> {
    /// What holds for the URLs of rules.
    pub defaults: Option<DefaultsSpec>,
    /// Those with a name.
    pub upstreams: Vec<UpstreamSpec>,
    /// What they are called in the file.
    names: BTreeMap<&'g UpstreamId, String>,
    /// Those that are written as URLs of their rule.
    of_urls: BTreeMap<&'g UpstreamId, &'g Upstream>,
    /// Those that want their requests to stay in their zone.
    with_zone: BTreeSet<&'g UpstreamId>,
    missing: Option<String>,
}

impl Servers<'_> {
    /// The name of an upstream in the file; none if it is written as URLs.
    pub fn name(&self, id: &UpstreamId) -> Option<&str> {
        self.names.get(id).map(String::as_str)
    }

    /// The URLs of an upstream that has no name.
    pub fn urls(&self, id: &UpstreamId) -> &[Endpoint] {
        self.of_urls.get(id).map(|upstream| upstream.endpoints.as_slice()).unwrap_or_default()
    }

    /// Whether an upstream wants its requests to stay in their zone.
    pub fn prefers_zone(&self, id: &UpstreamId) -> bool {
        self.with_zone.contains(id)
    }

    /// The name of what does not exist.
    pub fn missing(&self) -> Option<&str> {
        self.missing.as_deref()
    }
}

/// Writes them all.
pub fn write(gateway: &Gateway) -> Servers<'_> {
    let plain = UpstreamSettings::default();
    let of_urls = gateway.upstreams.iter().filter(|upstream| upstream.is_of_urls);
    let for_urls = of_urls.map(|upstream| &*upstream.settings).next().unwrap_or(&plain);
    let defaults = settings(for_urls, &plain);
    let without_zones = without_zones(gateway);
    let mut names = Names::default();
    let mut servers = Servers {
        defaults: (defaults != UpstreamDefaultsSpec::default())
            .then(|| DefaultsSpec { upstream: Some(defaults), ..DefaultsSpec::default() }),
        upstreams: Vec::new(),
        names: BTreeMap::new(),
        of_urls: BTreeMap::new(),
        with_zone: gateway.upstreams.iter().filter(|one| one.prefers_zone).map(|one| &one.id).collect(),
        missing: None,
    };
    for upstream in &gateway.upstreams {
        if upstream.is_of_urls && *upstream.settings == *for_urls {
            servers.of_urls.insert(&upstream.id, upstream);
            continue;
        }
        // Names of files' routes, which only URLs of a rule have.
        let wanted = upstream.id.as_str().trim_start_matches("file/");
        let name = names.free(wanted);
        let has_zones = !without_zones.contains(&upstream.id);
        servers.upstreams.push(UpstreamSpec {
            name: Some(name.clone()),
            endpoints: Some(upstream.endpoints.iter().map(|one| endpoint(one, has_zones)).collect()),
            service: None,
            settings: settings(&upstream.settings, for_urls),
        });
        servers.names.insert(&upstream.id, name);
    }
    if lacks_something(gateway) {
        let name = names.free("missing");
        let settings = UpstreamDefaultsSpec { when_empty: Some(500), ..UpstreamDefaultsSpec::default() };
        let (endpoints, service) = (Some(Vec::new()), None);
        servers.upstreams.push(UpstreamSpec { name: Some(name.clone()), endpoints, service, settings });
        servers.missing = Some(name);
    }
    servers
}

/// Rules that send on, with where they send to and how.
fn forwarding(gateway: &Gateway) -> impl Iterator<Item = (Option<ZoneUse>, Vec<&Destination>)> {
    let rules = gateway.routes.iter().flat_map(|route| &route.rules);
    rules.filter_map(|rule| match &rule.action {
        Action::Forward(targets) => {
            Some((rule.traffic.load_balancer.zone, targets.iter().map(|target| &target.to).collect()))
        }
        _ => None,
    })
}

fn lacks_something(gateway: &Gateway) -> bool {
    forwarding(gateway).any(|(_, to)| to.contains(&&Destination::Missing))
}

/// Upstreams that ignore zones where another one of the same rule prefers them: a rule says one thing for all.
fn without_zones(gateway: &Gateway) -> BTreeSet<&UpstreamId> {
    let prefers: BTreeMap<&UpstreamId, bool> =
        gateway.upstreams.iter().map(|upstream| (&upstream.id, upstream.prefers_zone)).collect();
    let mut without = BTreeSet::new();
    for (_, to) in forwarding(gateway).filter(|(zone, _)| zone.is_none()) {
        let ids: Vec<&UpstreamId> = to
            .into_iter()
            .filter_map(|to| match to {
                Destination::Upstream(id) => Some(id),
                Destination::Missing => None,
            })
            .collect();
        let prefers = |id: &&UpstreamId| prefers.get(id).copied().unwrap_or_default();
        if ids.iter().any(prefers) {
            without.extend(ids.into_iter().filter(|id| !prefers(id)));
        }
    }
    without
}

fn endpoint(endpoint: &Endpoint, has_zones: bool) -> EndpointSpec {
    let authority = endpoint.authority();
    let id = endpoint.id.as_str().strip_prefix(&authority).and_then(|rest| rest.strip_prefix('/'));
    EndpointSpec {
        url: url(endpoint),
        weight: (endpoint.weight != 1).then(|| unit::number(endpoint.weight)),
        zone: endpoint.zone.clone().filter(|_| has_zones),
        state: (endpoint.state == EndpointState::Draining).then_some(EndpointStateSpec::Draining),
        id: id.filter(|id| !id.is_empty()).map(|id| id.chars().take(MAX_ID_CHARS).collect()),
    }
}

/// `http://host:port`
pub fn url(endpoint: &Endpoint) -> String {
    format!("http://{}", endpoint.authority())
}

/// What differs from `base`, block by block.
fn settings(settings: &UpstreamSettings, base: &UpstreamSettings) -> UpstreamDefaultsSpec {
    let health = |of: &UpstreamSettings| (of.active_health.clone(), of.passive_health.clone(), of.panic_percent);
    UpstreamDefaultsSpec {
        connect_timeout: (settings.connect_timeout != base.connect_timeout)
            .then(|| unit::duration(settings.connect_timeout)),
        pool: (settings.pool != base.pool).then(|| pool(&settings.pool)),
        limits: (settings.limits != base.limits).then(|| limits(&settings.limits)),
        health_check: (health(settings) != health(base)).then(|| health_check(settings)),
        circuit_breaker: (settings.circuit_breaker != base.circuit_breaker)
            .then(|| circuit_breaker(settings.circuit_breaker.as_ref())),
        slow_start: (settings.slow_start != base.slow_start).then(|| slow_start(settings.slow_start.as_ref())),
        retry_budget: (settings.retry_budget != base.retry_budget).then(|| RetryBudgetSpec {
            percent: Some(unit::number(settings.retry_budget.percent)),
            min_per_second: Some(unit::number(settings.retry_budget.min_per_second)),
        }),
        when_empty: (settings.when_empty != base.when_empty).then(|| unit::number(settings.when_empty.as_u16())),
    }
}

fn pool(pool: &PoolSettings) -> PoolSpec {
    PoolSpec {
        idle_timeout: Some(unit::duration(pool.idle_timeout)),
        max_idle: Some(unit::number(pool.max_idle)),
        max_requests: Some(unit::number(pool.max_requests)),
        max_age: Some(unit::duration(pool.max_age)),
    }
}

fn limits(limits: &Limits) -> UpstreamLimitsSpec {
    UpstreamLimitsSpec {
        connections: limits.connections.map(unit::number),
        requests: limits.requests.map(unit::number),
        per_endpoint_connections: limits.per_endpoint_connections.map(unit::number),
        per_endpoint_requests: limits.per_endpoint_requests.map(unit::number),
        pending: Some(unit::number(limits.pending)),
        pending_timeout: Some(unit::duration(limits.pending_timeout)),
    }
}

fn health_check(settings: &UpstreamSettings) -> HealthCheckSpec {
    let off = PassiveHealthSpec { disabled: Some(true), ..PassiveHealthSpec::default() };
    HealthCheckSpec {
        active: settings.active_health.as_ref().map(active_health),
        passive: Some(settings.passive_health.as_ref().map_or(off, passive_health)),
        panic_percent: Some(unit::number(settings.panic_percent)),
    }
}

fn active_health(health: &ActiveHealth) -> ActiveHealthSpec {
    let mut spec = ActiveHealthSpec {
        port: health.port.map(i32::from),
        interval: Some(unit::duration(health.interval)),
        timeout: Some(unit::duration(health.timeout)),
        healthy_after: Some(unit::number(health.healthy_after)),
        unhealthy_after: Some(unit::number(health.unhealthy_after)),
        ..ActiveHealthSpec::default()
    };
    match &health.probe {
        Probe::Tcp => spec.kind = Some(ProbeTypeSpec::Tcp),
        Probe::Http(probe) => {
            spec.path = Some(probe.path.clone());
            spec.method = Some(probe.method.as_str().to_owned());
            spec.host.clone_from(&probe.host);
            spec.headers =
                Some(probe.headers.iter().cloned().collect()).filter(|headers: &BTreeMap<_, _>| !headers.is_empty());
            spec.statuses = Some(unit::statuses(&probe.statuses));
        }
    }
    spec
}

fn passive_health(health: &PassiveHealth) -> PassiveHealthSpec {
    PassiveHealthSpec {
        disabled: None,
        failures: Some(unit::number(health.failures)),
        statuses: Some(unit::statuses(&health.statuses)),
        eject_for: Some(unit::duration(health.eject_for)),
        max_eject_for: Some(unit::duration(health.max_eject_for)),
        max_eject_percent: Some(unit::number(health.max_eject_percent)),
    }
}

fn circuit_breaker(breaker: Option<&CircuitBreaker>) -> CircuitBreakerSpec {
    let Some(breaker) = breaker else {
        return CircuitBreakerSpec { disabled: Some(true), ..CircuitBreakerSpec::default() };
    };
    CircuitBreakerSpec {
        disabled: None,
        failure_percent: Some(unit::number(breaker.failure_percent)),
        min_requests: Some(unit::number(breaker.min_requests)),
        window: Some(unit::duration(breaker.window)),
        open_for: Some(unit::duration(breaker.open_for)),
        max_open_for: Some(unit::duration(breaker.max_open_for)),
        half_open_requests: Some(unit::number(breaker.half_open_requests)),
        statuses: Some(unit::statuses(&breaker.statuses)),
        slower_than: breaker.slower_than.map(unit::duration),
    }
}

fn slow_start(slow_start: Option<&SlowStart>) -> SlowStartSpec {
    match slow_start {
        Some(slow_start) => SlowStartSpec {
            window: Some(unit::duration(slow_start.window)),
            min_percent: Some(unit::number(slow_start.min_percent)),
        },
        None => SlowStartSpec { window: Some("0s".to_owned()), min_percent: None },
    }
}
