//! The choices of one level: a [`Layer`] from the fields that defaults, policies, routes and rules share.

use std::time::Duration;

use super::at::At;
use super::header::Side;
use super::layer::Layer;
use super::reader::{Reader, count};
use crate::config::problem::{Problem, Slug};
use crate::config::schema::BOUNDED_LOAD_MESSAGE;
use crate::config::spec::{
    AlgorithmSpec, HashTableSpec, LoadBalancerSpec, RetriesSpec, TimeoutsSpec, TrafficFields, TriggerSpec, ZoneUseSpec,
};
use crate::config::traffic::{
    Algorithm, ConsistentHash, DEFAULT_BOUNDED_LOAD_PERCENT, HashTable, LoadBalancer, Retries, Triggers, Upgrades,
    ZoneUse,
};

/// 16 MiB: such bodies are held in memory, one for each request that is tried.
const MAX_RETRY_BODY_BYTES: u64 = 16 << 20;

/// Describes one level. `owner` is the first part of the identity of its limits.
pub fn describe_layer(fields: &TrafficFields, owner: &str, at: At<'_>, problems: &mut Vec<Problem>) -> Layer {
    let mut reader = Reader { problems };
    let mut layer = Layer::default();
    if let Some(spec) = &fields.timeouts {
        reader.timeouts(spec, at.field("timeouts"), &mut layer);
    }
    layer.retries = fields.retries.as_ref().map(|spec| reader.retries(spec, at.field("retries")));
    layer.load_balancer =
        fields.load_balancer.as_ref().map(|spec| reader.load_balancer(spec, at.field("loadBalancer")));
    layer.rate_limits = fields.rate_limits.as_ref().map(|list| reader.rate_limits(list, owner, at.field("rateLimits")));
    layer.concurrency =
        fields.concurrency.as_ref().map(|spec| reader.concurrency(spec, owner, at.field("concurrency")));
    if let Some(spec) = &fields.limits {
        layer.request_body = reader.size(spec.request_body.as_ref(), at.field("limits").field("requestBody"));
    }
    if let Some(spec) = &fields.request_headers {
        layer.request_headers = reader.header_edits(spec, Side::Request, at.field("requestHeaders"));
    }
    if let Some(spec) = &fields.response_headers {
        layer.response_headers = reader.header_edits(spec, Side::Response, at.field("responseHeaders"));
    }
    layer.rewrite = fields.rewrite.as_ref().map(|spec| reader.rewrite(spec, at.field("rewrite")));
    if let Some(spec) = &fields.security {
        let at = at.field("security");
        layer.allow = spec.allow.as_ref().map(|list| reader.ranges(list, at.field("allow")));
        layer.deny = spec.deny.as_ref().map(|list| reader.ranges(list, at.field("deny")));
    }
    if let Some(spec) = &fields.access_log {
        layer.one_in = spec.one_in.map(|one_in| count(one_in, 0, 1_000_000));
        layer.always = spec.always.as_ref().map(|list| reader.statuses(list, at.field("accessLog").field("always")));
    }
    layer.upgrades = fields.upgrades.as_ref().map(|list| reader.upgrades(list, at.field("upgrades")));
    layer
}

impl Reader<'_> {
    fn timeouts(&mut self, spec: &TimeoutsSpec, at: At<'_>, layer: &mut Layer) {
        layer.request = self.duration(spec.request.as_ref(), at.field("request"));
        layer.per_try = self.duration(spec.per_try.as_ref(), at.field("perTry"));
        layer.idle = self.duration(spec.idle.as_ref(), at.field("idle"));
        layer.stream_idle = self.duration(spec.stream_idle.as_ref(), at.field("streamIdle"));
        if let (Some(request), Some(per_try)) = (layer.request, layer.per_try)
            && request != Duration::ZERO
            && per_try > request
        {
            self.note(at, Slug::PerTry, "perTry may not be longer than request");
        }
    }

    fn retries(&mut self, spec: &RetriesSpec, at: At<'_>) -> Retries {
        let mut retries = Retries::default();
        if let Some(attempts) = spec.attempts {
            retries.attempts = count(attempts, 0, 10);
        }
        if let Some(triggers) = &spec.triggers {
            retries.triggers = triggers_of(triggers);
        }
        if let Some(statuses) = &spec.statuses {
            retries.statuses = self.statuses(statuses, at.field("statuses"));
        }
        if let Some(methods) = &spec.methods {
            retries.methods = self.methods(methods, at.field("methods"));
        }
        if let Some(backoff) = self.duration(spec.backoff.as_ref(), at.field("backoff")) {
            retries.backoff = backoff;
        }
        if let Some(max_backoff) = self.duration(spec.max_backoff.as_ref(), at.field("maxBackoff")) {
            retries.max_backoff = max_backoff;
        }
        match self.size(spec.body.as_ref(), at.field("body")) {
            Some(Some(bytes)) if bytes <= MAX_RETRY_BODY_BYTES => retries.body_bytes = bytes,
            Some(_) => {
                let message = "at most 16MiB are held in memory for another try";
                self.note(at.field("body"), Slug::SizeForm, message);
            }
            None => {}
        }
        retries
    }

    fn load_balancer(&mut self, spec: &LoadBalancerSpec, at: At<'_>) -> LoadBalancer {
        let is_consistent_hash = spec.algorithm == Some(AlgorithmSpec::ConsistentHash);
        if is_consistent_hash != spec.hash_on.is_some() {
            let message = "hashOn goes with algorithm consistentHash, and the other way round";
            self.note(at, Slug::HashOn, message);
        } else if !is_consistent_hash && (spec.table.is_some() || spec.bounded_load_percent.is_some()) {
            self.note(at, Slug::HashOn, "table and boundedLoadPercent belong to algorithm consistentHash");
        }
        let hash_on = self.attributes(spec.hash_on.as_deref().unwrap_or_default(), at.field("hashOn"));
        let bounded_load_percent =
            spec.bounded_load_percent.map_or(DEFAULT_BOUNDED_LOAD_PERCENT, |percent| count(percent, 0, 10_000));
        if (1..100).contains(&bounded_load_percent) {
            self.note(at.field("boundedLoadPercent"), Slug::BoundedLoad, BOUNDED_LOAD_MESSAGE);
        }
        let table = match spec.table {
            None | Some(HashTableSpec::Maglev) => HashTable::Maglev,
            Some(HashTableSpec::Ring) => HashTable::Ring,
        };
        let algorithm = match spec.algorithm {
            None | Some(AlgorithmSpec::RoundRobin) => Algorithm::RoundRobin,
            Some(AlgorithmSpec::LeastConnections) => Algorithm::LeastConnections,
            Some(AlgorithmSpec::Fastest) => Algorithm::Fastest,
            Some(AlgorithmSpec::Random) => Algorithm::Random,
            Some(AlgorithmSpec::ConsistentHash) => {
                Algorithm::ConsistentHash(ConsistentHash { hash_on, table, bounded_load_percent })
            }
        };
        let zone = spec.zone.map(|zone| match zone {
            ZoneUseSpec::Ignore => ZoneUse::Ignore,
            ZoneUseSpec::Prefer => ZoneUse::Prefer,
        });
        LoadBalancer { algorithm, zone }
    }

    /// Tokens of the `Upgrade` header, in lower case.
    fn upgrades(&mut self, list: &[String], at: At<'_>) -> Upgrades {
        let mut upgrades: Vec<String> = Vec::new();
        for (index, text) in list.iter().enumerate() {
            let token = text.to_ascii_lowercase();
            let is_protocol = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~/".contains(&b);
            if token == "h2c" {
                let message = "h2c cannot be an upgrade: servers that speak it are set by upstreams[].protocol";
                self.note(at.index(index), Slug::UpgradeH2c, message);
            } else if token.is_empty() || !token.bytes().all(is_protocol) {
                self.note(at.index(index), Slug::HttpForm, "must be the name of a protocol, such as websocket");
            } else if !upgrades.contains(&token) {
                upgrades.push(token);
            }
        }
        Upgrades(upgrades)
    }
}

fn triggers_of(list: &[TriggerSpec]) -> Triggers {
    let has = |trigger| list.contains(&trigger);
    Triggers {
        connect_failure: has(TriggerSpec::ConnectFailure),
        refused_stream: has(TriggerSpec::RefusedStream),
        stale_connection: has(TriggerSpec::StaleConnection),
        reset: has(TriggerSpec::Reset),
        timeout: has(TriggerSpec::Timeout),
    }
}
