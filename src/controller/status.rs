//! What is written into an object's status: the conditions Accepted, ResolvedRefs and Serving, and what is
//! behind them. Pure; `status_writer` decides when and sends it.
//!
//! Status tells what is true. `Serving` becomes true only when the data plane has said that every request is
//! decided by this generation ([`InEffect`]), and only if all of the object is served as written. Until the
//! replicas talk to each other, only this process is known: `acknowledged` is 1, `replicas` is absent, and
//! the message says so.
//!
//! Nothing is written if only times would change: restarts and a new holder are silent. Times of conditions
//! are kept while their status stays.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

use super::translate::{Verdict, is_about_references};
use crate::config::{Effect, Problem, Slug};
use crate::crd::{ConflictStatus, GatewayRouteStatus, ProblemStatus, Serving, Summary};

/// Entries of `problems`, `conflicts` and `addresses`; more problems are counted, not listed.
pub const MAX_LISTED: usize = 16;
/// Characters of a condition's message; the schema of conditions allows 32768, readers fewer.
const MAX_MESSAGE: usize = 1024;

/// The data plane decides by this generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InEffect {
    /// When that was known.
    pub at: Timestamp,
    /// Since the change arrived; none if it was first seen in a list.
    pub after: Option<Duration>,
}

/// The status an object should have, or none if it has it already. Addresses that are not known are left as they are.
pub fn next(
    verdict: &Verdict,
    in_effect: Option<InEffect>,
    old: Option<&GatewayRouteStatus>,
    addresses: Option<&[String]>,
    now: Timestamp,
) -> Option<GatewayRouteStatus> {
    let empty = GatewayRouteStatus::default();
    let old = old.unwrap_or(&empty);
    let conditions = [accepted(verdict), resolved_refs(verdict), serving_condition(verdict, in_effect)];
    let status = GatewayRouteStatus {
        observed_generation: Some(verdict.generation),
        conditions: conditions.into_iter().map(|new| new.stamped(verdict.generation, &old.conditions, now)).collect(),
        serving: proof(verdict, in_effect, old.serving.as_ref()),
        summary: Some(summary(verdict, in_effect)),
        problems: verdict.problems.iter().take(MAX_LISTED).map(listed_problem).collect(),
        conflicts: verdict.conflicts.iter().take(MAX_LISTED).map(listed_conflict).collect(),
        addresses: addresses.unwrap_or(&old.addresses).iter().take(MAX_LISTED).cloned().collect(),
    };
    (without_times(&status) != without_times(old)).then_some(status)
}

/// A condition before it has times.
struct NewCondition {
    kind: &'static str,
    status: &'static str,
    reason: &'static str,
    message: String,
}

impl NewCondition {
    fn stamped(self, generation: i64, old: &[Condition], now: Timestamp) -> Condition {
        let known = old.iter().find(|known| known.type_ == self.kind && known.status == self.status);
        Condition {
            type_: self.kind.to_owned(),
            status: self.status.to_owned(),
            reason: self.reason.to_owned(),
            message: self.message.chars().take(MAX_MESSAGE).collect(),
            observed_generation: Some(generation),
            last_transition_time: known.map_or(Time(now), |known| known.last_transition_time.clone()),
        }
    }
}

/// Whether every rule can be served as written.
fn accepted(verdict: &Verdict) -> NewCondition {
    let mut wrong = verdict.problems.iter().filter(|p| p.effect < Effect::Warning && !is_about_references(p.slug));
    let Some(worst) = wrong.next() else {
        return NewCondition { kind: "Accepted", status: "True", reason: "Accepted", message: String::new() };
    };
    let message = message(verdict, worst, wrong.count());
    NewCondition { kind: "Accepted", status: "False", reason: accepted_reason(verdict, worst), message }
}

fn accepted_reason(verdict: &Verdict, worst: &Problem) -> &'static str {
    match worst.slug {
        Slug::TooMany => "TooMany",
        Slug::HostOwned | Slug::HostNotGranted | Slug::PathNotGranted => "HostNotOwned",
        Slug::DuplicateMatch | Slug::SettingsConflict => "Conflict",
        Slug::HostRequired
        | Slug::UrlNotAllowed
        | Slug::SettingsForeign
        | Slug::ListenerNamespace
        | Slug::PriorityOwner => "NotPermitted",
        _ if worst.effect == Effect::Rejected || verdict.rules.off == verdict.rules.written => "Invalid",
        _ => "PartlyInvalid",
    }
}

/// Whether every Service and port is there and permitted.
fn resolved_refs(verdict: &Verdict) -> NewCondition {
    let mut broken = verdict.problems.iter().filter(|problem| is_about_references(problem.slug));
    let Some(worst) = broken.next() else {
        return NewCondition { kind: "ResolvedRefs", status: "True", reason: "ResolvedRefs", message: String::new() };
    };
    let reason = match worst.slug {
        Slug::PortMissing => "PortNotFound",
        Slug::RefNotPermitted => "RefNotPermitted",
        Slug::PolicyMissing => "PolicyNotFound",
        _ => "ServiceNotFound",
    };
    let message = with_more(worst.to_string(), broken.count());
    NewCondition { kind: "ResolvedRefs", status: "False", reason, message }
}

/// Whether this generation, all of it, is in effect.
fn serving_condition(verdict: &Verdict, in_effect: Option<InEffect>) -> NewCondition {
    let condition = |status, reason, message| NewCondition { kind: "Serving", status, reason, message };
    let generation = verdict.generation;
    let is_settings_only = verdict.rules.written == 0 && verdict.worst() != Some(Effect::Rejected);
    let nothing_serves = verdict.rules.off + verdict.rules.nowhere >= verdict.rules.written;
    if nothing_serves && !is_settings_only {
        return condition("False", "NotAccepted", format!("nothing of generation {generation} is served"));
    }
    if in_effect.is_none() {
        return condition("Unknown", "ReplicasBehind", format!("generation {generation} is not in effect yet"));
    }
    let known = format!("generation {generation} is in effect on this replica; others are not asked yet");
    let worst = verdict.worst().filter(|worst| *worst < Effect::Warning);
    if worst.is_none() {
        return condition("True", "InEffect", known);
    }
    let rules = &verdict.rules;
    let affected = (rules.off + rules.lost + rules.partly).min(rules.written);
    let except = match affected {
        0 => "a setting".to_owned(),
        1 => "1 rule".to_owned(),
        several => format!("{several} rules"),
    };
    condition("False", "Partly", format!("{known}; except {except}"))
}

/// Kept while the generation stays: the proof is about the first time, not about the last restart.
fn proof(verdict: &Verdict, in_effect: Option<InEffect>, old: Option<&Serving>) -> Option<Serving> {
    if let Some(old) = old.filter(|old| old.generation == verdict.generation) {
        return Some(old.clone());
    }
    let Some(in_effect) = in_effect else { return old.cloned() };
    Some(Serving {
        generation: verdict.generation,
        acknowledged: 1,
        replicas: None,
        after_millis: in_effect.after.map(|after| i64::try_from(after.as_millis()).unwrap_or(i64::MAX)),
        at: whole_seconds(in_effect.at).to_string(),
    })
}

fn summary(verdict: &Verdict, in_effect: Option<InEffect>) -> Summary {
    let hosts = match verdict.hosts.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        [first, more @ ..] => format!("{first} +{}", more.len()),
    };
    let acknowledged = i32::from(in_effect.is_some());
    Summary {
        hosts,
        replicas: format!("{acknowledged}/?"),
        problems: i32::try_from(verdict.problems.len()).unwrap_or(i32::MAX),
    }
}

/// `1 of 6 rules is off: spec.routes[0]…: must be …`.
fn message(verdict: &Verdict, worst: &Problem, more: usize) -> String {
    let rules = &verdict.rules;
    let told = match worst.effect {
        Effect::RuleOff if rules.written > 0 => format!("{}: {worst}", counted(rules.off, rules.written, "off")),
        Effect::NotServed if rules.written > 0 && rules.lost > 0 => {
            let what = if rules.lost == rules.nowhere { "not served" } else { "not served on all hosts" };
            format!("{}: {worst}", counted(rules.lost, rules.written, what))
        }
        _ => worst.to_string(),
    };
    with_more(told, more)
}

fn counted(some: usize, all: usize, what: &str) -> String {
    format!("{some} of {all} rules {} {what}", if some == 1 { "is" } else { "are" })
}

fn with_more(text: String, more: usize) -> String {
    if more == 0 { text } else { format!("{text} (and {more} more)") }
}

fn listed_problem(problem: &Problem) -> ProblemStatus {
    ProblemStatus {
        path: problem.path.clone(),
        reason: camel_case(problem.slug.as_str()),
        effect: effect_name(problem.effect).to_owned(),
        message: problem.message.chars().take(MAX_MESSAGE).collect(),
    }
}

fn listed_conflict(conflict: &super::translate::Conflict) -> ConflictStatus {
    ConflictStatus {
        path: conflict.path.clone(),
        winner: conflict.winner.clone(),
        since: conflict.since.clone(),
        message: conflict.message.clone(),
    }
}

/// `host-owned` becomes `HostOwned`, the form of reasons in Kubernetes.
pub fn camel_case(slug: &str) -> String {
    let capitalised = slug.split('-').map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_ascii_uppercase() + rest
    });
    capitalised.collect()
}

fn effect_name(effect: Effect) -> &'static str {
    match effect {
        Effect::Rejected => "rejected",
        Effect::RuleOff => "ruleOff",
        Effect::NotServed => "notServed",
        Effect::Answers500 => "answers500",
        Effect::Ignored => "ignored",
        Effect::Warning => "warning",
    }
}

fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// A status with all its times set alike, for comparison.
fn without_times(status: &GatewayRouteStatus) -> GatewayRouteStatus {
    let mut status = status.clone();
    for condition in &mut status.conditions {
        condition.last_transition_time = Time(Timestamp::UNIX_EPOCH);
    }
    if let Some(serving) = &mut status.serving {
        serving.at.clear();
        serving.after_millis = None;
    }
    status
}

#[cfg(test)]
mod tests;
