//! Choices about requests, all but the limits that may be shared: those are written by `limits`.

use std::time::Duration;

use crate::config::cidr::Cidr;
use crate::config::route::MethodName;
use crate::config::spec::{
    AlgorithmSpec, HashTableSpec, LoadBalancerSpec, RetriesSpec, RuleLimitsSpec, SamplingSpec, SecuritySpec,
    TimeoutsSpec, TrafficFields, TriggerSpec, ZoneUseSpec,
};
use crate::config::traffic::{
    Algorithm, HashTable, LoadBalancer, Retries, Sampling, Security, Timeouts, Traffic, Triggers, Upgrades, ZoneUse,
};

use super::{header, unit};

/// All of it that is not a default; headers have places of their own.
pub fn write(traffic: &Traffic) -> TrafficFields {
    TrafficFields {
        timeouts: other(&traffic.timeouts, timeouts),
        retries: other(&traffic.retries, retries),
        load_balancer: other(&traffic.load_balancer, load_balancer),
        limits: traffic.request_body.map(|bytes| RuleLimitsSpec { request_body: Some(unit::size(Some(bytes))) }),
        rewrite: traffic.rewrite.as_ref().map(header::rewrite),
        security: other(&traffic.security, security),
        access_log: other(&traffic.access_log, sampling),
        upgrades: other(&traffic.upgrades, |Upgrades(tokens)| tokens.clone()),
        ..TrafficFields::default()
    }
}

fn other<T: Default + PartialEq, S>(value: &T, write: impl FnOnce(&T) -> S) -> Option<S> {
    (*value != T::default()).then(|| write(value))
}

fn timeouts(timeouts: &Timeouts) -> TimeoutsSpec {
    // Put together from two levels, a try may be given longer than the whole; it never has it.
    let per_try = match timeouts.request {
        Duration::ZERO => timeouts.per_try,
        request => timeouts.per_try.min(request),
    };
    TimeoutsSpec {
        request: Some(unit::duration(timeouts.request)),
        per_try: Some(unit::duration(per_try)),
        idle: Some(unit::duration(timeouts.idle)),
        stream_idle: Some(unit::duration(timeouts.stream_idle)),
    }
}

fn retries(retries: &Retries) -> RetriesSpec {
    RetriesSpec {
        attempts: Some(unit::number(retries.attempts)),
        triggers: Some(triggers(retries.triggers)),
        statuses: Some(unit::statuses(&retries.statuses)),
        methods: Some(methods(&retries.methods)),
        backoff: Some(unit::duration(retries.backoff)),
        max_backoff: Some(unit::duration(retries.max_backoff)),
        body: Some(unit::size(Some(retries.body_bytes))),
    }
}

fn methods(methods: &[MethodName]) -> Vec<String> {
    methods.iter().map(|method| method.as_str().to_owned()).collect()
}

fn triggers(triggers: Triggers) -> Vec<TriggerSpec> {
    let all = [
        (triggers.connect_failure, TriggerSpec::ConnectFailure),
        (triggers.refused_stream, TriggerSpec::RefusedStream),
        (triggers.stale_connection, TriggerSpec::StaleConnection),
        (triggers.reset, TriggerSpec::Reset),
        (triggers.timeout, TriggerSpec::Timeout),
    ];
    all.into_iter().filter_map(|(is_on, trigger)| is_on.then_some(trigger)).collect()
}

fn load_balancer(balancer: &LoadBalancer) -> LoadBalancerSpec {
    let mut spec = LoadBalancerSpec::default();
    spec.algorithm = Some(match &balancer.algorithm {
        Algorithm::RoundRobin => AlgorithmSpec::RoundRobin,
        Algorithm::LeastConnections => AlgorithmSpec::LeastConnections,
        Algorithm::Fastest => AlgorithmSpec::Fastest,
        Algorithm::Random => AlgorithmSpec::Random,
        Algorithm::ConsistentHash(hash) => {
            spec.hash_on = Some(hash.hash_on.iter().map(ToString::to_string).collect());
            spec.table = Some(match hash.table {
                HashTable::Maglev => HashTableSpec::Maglev,
                HashTable::Ring => HashTableSpec::Ring,
            });
            spec.bounded_load_percent = Some(unit::number(hash.bounded_load_percent));
            AlgorithmSpec::ConsistentHash
        }
    });
    spec.zone = balancer.zone.map(|zone| match zone {
        ZoneUse::Ignore => ZoneUseSpec::Ignore,
        ZoneUse::Prefer => ZoneUseSpec::Prefer,
    });
    spec
}

fn security(security: &Security) -> SecuritySpec {
    let deny = |ranges: &[Cidr]| Some(unit::ranges(ranges)).filter(|ranges| !ranges.is_empty());
    match security.allow.as_deref() {
        // Nobody: a file says so by denying everybody.
        Some([]) => SecuritySpec { allow: None, deny: Some(vec!["0.0.0.0/0".to_owned(), "::/0".to_owned()]) },
        allow => SecuritySpec { allow: allow.map(unit::ranges), deny: deny(&security.deny) },
    }
}

fn sampling(sampling: &Sampling) -> SamplingSpec {
    SamplingSpec { one_in: Some(unit::number(sampling.one_in)), always: Some(unit::statuses(&sampling.always)) }
}
