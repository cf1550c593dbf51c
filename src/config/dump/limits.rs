//! Limits that are counted, each at a place where as many rules share it as before.
//!
//! Who shares a count is told by the identity of a limit: where it is written. So a limit of one rule is written in that
//! rule, one of all rules of a route in the route, and any other one in a policy which its rules `use`. Where that place
//! was a policy before, it is the same policy.

use std::collections::BTreeMap;

use crate::config::id::LimiterId;
use crate::config::spec::{
    ConcurrencySpec, MissingKeySpec, PolicySpec, RateAlgorithmSpec, RateHeadersSpec, RateLimitSpec, RateModeSpec,
    RateScopeSpec, TrafficFields,
};
use crate::config::traffic::{
    Concurrency, MissingKey, RateAlgorithm, RateHeaders, RateLimit, RateMode, RateScope, Traffic,
};

use super::names::Names;
use super::unit;

/// What a policy's limits are known by.
const OF_POLICIES: &str = "policies/";

/// A rule as it will be written: the number of its route, and its own.
pub type Spot = (usize, usize);

/// Where limits are to be written.
#[derive(Debug, Default)]
pub struct Limits {
    /// By the place where they are written now.
    users: BTreeMap<(Kind, String), Vec<Spot>>,
    policies: BTreeMap<(Kind, String), String>,
    names: Names,
    /// The policies that are needed.
    pub written: Vec<PolicySpec>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Rates,
    Concurrency,
}

/// Of one route to be written.
#[derive(Debug)]
pub struct RouteOfLimits<'a> {
    /// Its number.
    pub number: usize,
    /// The identity of the route it comes from.
    pub identity: &'a str,
    /// How many rules are written in it.
    pub rules: usize,
}

impl Limits {
    /// Tells of a rule and what it is bound by. All have to be told before the first is written.
    pub fn see(&mut self, spot: Spot, traffic: &Traffic) {
        for owner in owners(traffic) {
            self.users.entry(owner).or_default().push(spot);
        }
    }

    /// Writes what stands in the route for all of its rules. Any of them tells what that is.
    pub fn of_route(&mut self, route: &RouteOfLimits<'_>, traffic: &Traffic, fields: &mut TrafficFields) {
        for owner in owners(traffic).into_iter().filter(|owner| self.is_of_route(route, owner)) {
            write(owner.0, traffic, fields);
        }
    }

    /// Writes what stands in a rule, or gives the policies it has to use for it.
    pub fn of_rule(
        &mut self,
        route: &RouteOfLimits<'_>,
        identity: &str,
        traffic: &Traffic,
        fields: &mut TrafficFields,
    ) -> Vec<String> {
        let mut used = Vec::new();
        for owner in owners(traffic) {
            let is_alone = self.users.get(&owner).is_none_or(|users| users.len() == 1);
            if self.is_of_route(route, &owner) {
                continue;
            }
            if owner.1 == identity && is_alone {
                write(owner.0, traffic, fields);
                continue;
            }
            let policy = self.policy(owner, traffic);
            if !used.contains(&policy) {
                used.push(policy);
            }
        }
        used
    }

    /// A policy of its own for something else than limits.
    pub fn add_policy(&mut self, wanted: &str, traffic: TrafficFields) -> String {
        let name = self.names.free(wanted);
        self.written.push(PolicySpec { name: name.clone(), traffic });
        name
    }

    fn is_of_route(&self, route: &RouteOfLimits<'_>, owner: &(Kind, String)) -> bool {
        let users = self.users.get(owner).map(Vec::as_slice).unwrap_or_default();
        owner.1 == route.identity
            && users.len() == route.rules
            && users.iter().all(|(number, _)| *number == route.number)
    }

    /// The policy that has what is written at this place.
    fn policy(&mut self, owner: (Kind, String), traffic: &Traffic) -> String {
        if let Some(known) = self.policies.get(&owner) {
            return known.clone();
        }
        let mut fields = TrafficFields::default();
        write(owner.0, traffic, &mut fields);
        let name = self.policy_of_both(&owner, traffic, &mut fields).unwrap_or_else(|| {
            let wanted = owner.1.strip_prefix(OF_POLICIES).unwrap_or(&owner.1).to_owned();
            self.add_policy(&wanted, fields)
        });
        self.policies.insert(owner, name.clone());
        name
    }

    /// Rates and concurrency of one place with the same users are one policy, as they were.
    fn policy_of_both(
        &mut self,
        owner: &(Kind, String),
        traffic: &Traffic,
        fields: &mut TrafficFields,
    ) -> Option<String> {
        let twin = (if owner.0 == Kind::Rates { Kind::Concurrency } else { Kind::Rates }, owner.1.clone());
        if self.users.get(owner) != self.users.get(&twin) {
            return None;
        }
        if let Some(known) = self.policies.get(&twin) {
            return Some(known.clone());
        }
        write(twin.0, traffic, fields);
        let wanted = owner.1.strip_prefix(OF_POLICIES).unwrap_or(&owner.1).to_owned();
        let name = self.add_policy(&wanted, std::mem::take(fields));
        self.policies.insert(twin, name.clone());
        Some(name)
    }
}

/// The places where the limits of a rule are written: a list is written in one.
fn owners(traffic: &Traffic) -> Vec<(Kind, String)> {
    let of_list = traffic.rate_limits.first().map(|limit| (Kind::Rates, owner(&limit.id, &limit.name)));
    let of_gate = traffic.concurrency.as_ref().map(|gate| (Kind::Concurrency, owner(&gate.id, "concurrency")));
    of_list.into_iter().chain(of_gate).collect()
}

/// `policies/public-api` of `policies/public-api/per-client`.
fn owner(id: &LimiterId, name: &str) -> String {
    let text = id.as_str();
    text.strip_suffix(name).and_then(|text| text.strip_suffix('/')).unwrap_or(text).to_owned()
}

fn write(kind: Kind, traffic: &Traffic, fields: &mut TrafficFields) {
    match kind {
        Kind::Rates => fields.rate_limits = Some(traffic.rate_limits.iter().map(|limit| rate_limit(limit)).collect()),
        Kind::Concurrency => fields.concurrency = traffic.concurrency.as_deref().map(concurrency),
    }
}

fn rate_limit(limit: &RateLimit) -> RateLimitSpec {
    RateLimitSpec {
        name: limit.name.clone(),
        rate: unit::rate(limit.rate),
        burst: (limit.algorithm == RateAlgorithm::TokenBucket).then(|| unit::number(limit.burst)),
        algorithm: (limit.algorithm == RateAlgorithm::SlidingWindow).then_some(RateAlgorithmSpec::SlidingWindow),
        key: Some(limit.key.iter().map(ToString::to_string).collect()),
        missing_key: Some(match limit.missing_key {
            MissingKey::ClientAddress => MissingKeySpec::ClientAddress,
            MissingKey::Skip => MissingKeySpec::Skip,
            MissingKey::Reject => MissingKeySpec::Reject,
        }),
        scope: Some(match limit.scope {
            RateScope::Shared => RateScopeSpec::Shared,
            RateScope::Replica => RateScopeSpec::Replica,
        }),
        status: Some(unit::number(limit.status.as_u16())),
        headers: Some(match limit.headers {
            RateHeaders::Standard => RateHeadersSpec::Standard,
            RateHeaders::Legacy => RateHeadersSpec::Legacy,
            RateHeaders::None => RateHeadersSpec::None,
        }),
        exempt: Some(unit::ranges(&limit.exempt)).filter(|ranges| !ranges.is_empty()),
        mode: (limit.mode == RateMode::Report).then_some(RateModeSpec::Report),
    }
}

fn concurrency(gate: &Concurrency) -> ConcurrencySpec {
    ConcurrencySpec {
        disabled: None,
        max: Some(unit::number(gate.max)),
        per: Some(gate.per.iter().map(ToString::to_string).collect()),
        queue: Some(unit::number(gate.queue)),
        queue_timeout: Some(unit::duration(gate.queue_timeout)),
        status: Some(unit::number(gate.status.as_u16())),
    }
}
