//! Where the requests of a rule go: shares, servers, and what is known about them.

use serde::Serialize;

use crate::config::traffic::{Algorithm, ConsistentHash, HashTable, LoadBalancer, ZoneUse};
use crate::config::upstream::{ActiveHealth, CircuitBreaker, Limits, PassiveHealth, Probe, UpstreamSettings};
use crate::config::{Action, Attribute, Destination, Endpoint, EndpointState, Gateway, Rule, Target, Upstream};

use super::steps::{Step, header_edits, time};

/// One share of the winner's requests.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Share {
    /// As in metrics and logs.
    pub upstream: String,
    /// Beside the other shares.
    pub weight: u32,
    /// Of a hundred requests, rounded down.
    pub percent: u64,
    /// How one of the endpoints is chosen.
    pub balancer: String,
    /// With weights and states.
    pub endpoints: Vec<String>,
    /// Only for this share.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// How these servers are treated, whichever rule uses them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<Step>,
}

/// All shares of a rule; none, if no server answers.
pub fn of(gateway: &Gateway, rule: &Rule) -> Vec<Share> {
    let Action::Forward(targets) = &rule.action else { return Vec::new() };
    let all: u64 = targets.iter().map(|target| u64::from(target.weight)).sum();
    let share = |target: &Target| {
        let steps = header_edits("requestHeaders", &target.request_headers).into_iter();
        let steps = steps.chain(header_edits("responseHeaders", &target.response_headers)).collect();
        let percent = u64::from(target.weight) * 100 / all.max(1);
        let found = match &target.to {
            Destination::Missing => None,
            Destination::Upstream(id) => gateway.upstreams.iter().find(|upstream| upstream.id == *id),
        };
        match found {
            None => Share {
                upstream: "(does not exist: 500)".into(),
                weight: target.weight,
                percent,
                balancer: "none".into(),
                endpoints: Vec::new(),
                steps,
                settings: Vec::new(),
            },
            Some(upstream) => Share {
                upstream: upstream.label.clone(),
                weight: target.weight,
                percent,
                balancer: balancer(&rule.traffic.load_balancer, upstream),
                endpoints: upstream.endpoints.iter().map(endpoint).collect(),
                steps,
                settings: settings(&upstream.settings),
            },
        }
    };
    targets.iter().map(share).collect()
}

fn endpoint(endpoint: &Endpoint) -> String {
    let draining = match endpoint.state {
        EndpointState::Active => "",
        EndpointState::Draining => ", draining",
    };
    let zone = endpoint.zone.as_ref().map(|zone| format!(", zone {zone}")).unwrap_or_default();
    format!("{} (weight {}{draining}{zone})", endpoint.authority(), endpoint.weight)
}

fn balancer(how: &LoadBalancer, upstream: &Upstream) -> String {
    let algorithm = algorithm(&how.algorithm, upstream);
    if how.zone.map_or(upstream.prefers_zone, |zone| zone == ZoneUse::Prefer) {
        return format!("{algorithm}, in the own zone while it has its fair share");
    }
    algorithm
}

fn algorithm(algorithm: &Algorithm, upstream: &Upstream) -> String {
    let is_even = upstream.endpoints.windows(2).all(|pair| matches!(pair, [a, b] if a.weight == b.weight));
    match algorithm {
        Algorithm::RoundRobin if is_even => "round robin".into(),
        Algorithm::RoundRobin => "weighted round robin".into(),
        Algorithm::LeastConnections => "least connections".into(),
        Algorithm::Fastest => "the faster of two drawn ones".into(),
        Algorithm::Random => "random, by weight".into(),
        Algorithm::ConsistentHash(hash) => consistent_hash(hash),
    }
}

fn consistent_hash(hash: &ConsistentHash) -> String {
    let on: Vec<String> = hash.hash_on.iter().map(Attribute::to_string).collect();
    let table = match hash.table {
        HashTable::Maglev => "maglev",
        HashTable::Ring => "ring",
    };
    format!("consistent hash on {} ({table})", on.join(" and "))
}

fn settings(settings: &UpstreamSettings) -> Vec<Step> {
    let mut out = Vec::new();
    out.extend(settings.active_health.as_ref().map(|health| Step::new("healthCheck.active", active(health))));
    out.extend(settings.passive_health.as_ref().map(|health| Step::new("healthCheck.passive", passive(health))));
    out.extend(settings.circuit_breaker.as_ref().map(|known| Step::new("circuitBreaker", breaker(known))));
    out.extend(limits(&settings.limits).map(|does| Step::new("limits", does)));
    out.extend(settings.slow_start.as_ref().map(|slow| {
        let does = format!("a new server gets {} % at first and all after {}", slow.min_percent, time(slow.window));
        Step::new("slowStart", does)
    }));
    out.push(Step::new(
        "connectTimeout",
        format!("a connection has to be there within {}", time(settings.connect_timeout)),
    ));
    out.push(Step::new("whenEmpty", format!("without any server the answer is {}", settings.when_empty.as_u16())));
    out
}

fn active(health: &ActiveHealth) -> String {
    let asks = match &health.probe {
        Probe::Http(probe) => format!("{} {}", probe.method.as_str(), probe.path),
        Probe::Tcp => "a connection".to_owned(),
    };
    format!(
        "{asks} every {} within {}; out after {} bad ones, in after {} good ones",
        time(health.interval),
        time(health.timeout),
        health.unhealthy_after,
        health.healthy_after,
    )
}

fn passive(health: &PassiveHealth) -> String {
    format!("out for {} after {} failures in a row", time(health.eject_for), health.failures)
}

fn breaker(breaker: &CircuitBreaker) -> String {
    format!(
        "opens for {} when {} % of at least {} requests within {} fail",
        time(breaker.open_for),
        breaker.failure_percent,
        breaker.min_requests,
        time(breaker.window),
    )
}

fn limits(limits: &Limits) -> Option<String> {
    let bounds = [
        (limits.requests, "requests"),
        (limits.connections, "connections"),
        (limits.per_endpoint_requests, "requests for each server"),
        (limits.per_endpoint_connections, "connections for each server"),
    ];
    let bounds = bounds.into_iter().filter_map(|(bound, what)| bound.map(|bound| format!("{bound} {what}")));
    let bounds: Vec<String> = bounds.collect();
    let waiting = match limits.pending {
        0 => String::new(),
        pending => format!("; {pending} may wait up to {}", time(limits.pending_timeout)),
    };
    (!bounds.is_empty()).then(|| format!("at once {}{waiting}", bounds.join(", ")))
}
