//! Verdicts and what an object would say about them.

use super::*;
use crate::controller::translate::{OwnKind, RuleCounts};
use crate::controller::world::ObjectName;

fn verdict(generation: i64, rules: RuleCounts, problems: Vec<Problem>) -> Verdict {
    let object = ObjectName::new("shop", "web");
    let hosts = vec!["shop.example.com".to_owned(), "www.example.com".to_owned()];
    Verdict {
        kind: OwnKind::GatewayRoute,
        object,
        uid: "u".to_owned(),
        generation,
        hosts,
        rules,
        problems,
        conflicts: Vec::new(),
    }
}

fn good(generation: i64) -> Verdict {
    verdict(generation, RuleCounts { written: 2, ..RuleCounts::default() }, Vec::new())
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn applied(second: i64) -> Option<InEffect> {
    Some(InEffect { at: at(second), after: Some(Duration::from_millis(7)) })
}

fn condition<'s>(status: &'s GatewayRouteStatus, kind: &str) -> (&'s str, &'s str, &'s str) {
    let found = status.conditions.iter().find(|condition| condition.type_ == kind).unwrap();
    (&found.status, &found.reason, &found.message)
}

#[test]
fn a_good_object_in_effect_is_true_three_times() {
    let status = next(&good(3), applied(10), None, Some(&[]), at(10)).unwrap();
    assert_eq!(condition(&status, "Accepted"), ("True", "Accepted", ""));
    assert_eq!(condition(&status, "ResolvedRefs"), ("True", "ResolvedRefs", ""));
    let message = "generation 3 is in effect on this replica; others are not asked yet";
    assert_eq!(condition(&status, "Serving"), ("True", "InEffect", message));
    assert_eq!(status.summary.as_ref().unwrap().hosts, "shop.example.com +1");
    assert_eq!(status.serving.as_ref().unwrap().after_millis, Some(7));
    assert!(status.conditions.iter().all(|condition| condition.observed_generation == Some(3)));
}

#[test]
fn serving_is_not_true_before_it_is_in_effect() {
    let status = next(&good(3), None, None, Some(&[]), at(10)).unwrap();
    assert_eq!(condition(&status, "Serving").0, "Unknown");
    assert_eq!(status.serving, None);
}

#[test]
fn only_other_times_write_nothing() {
    let old = next(&good(3), applied(10), None, Some(&[]), at(10)).unwrap();
    let again = Some(InEffect { at: at(99), after: None });
    assert_eq!(next(&good(3), again, Some(&old), Some(&[]), at(99)), None);
}

#[test]
fn a_new_generation_keeps_transition_times() {
    let old = next(&good(3), applied(10), None, Some(&[]), at(10)).unwrap();
    let new = next(&good(4), applied(20), Some(&old), Some(&[]), at(20)).unwrap();
    assert_eq!(new.observed_generation, Some(4));
    assert!(new.conditions.iter().all(|condition| condition.last_transition_time == Time(at(10))));
    assert_eq!(new.serving.unwrap().at, at(20).to_string());
}

#[test]
fn one_broken_rule_is_partly_invalid_and_partly_serving() {
    let problem = Problem::new("spec.routes[0].rules[1].path", Slug::PathForm, "must begin with /");
    let rules = RuleCounts { written: 6, off: 1, ..RuleCounts::default() };
    let status = next(&verdict(1, rules, vec![problem]), applied(10), None, Some(&[]), at(10)).unwrap();
    let message = "1 of 6 rules is off: spec.routes[0].rules[1].path: must begin with /";
    assert_eq!(condition(&status, "Accepted"), ("False", "PartlyInvalid", message));
    assert_eq!(condition(&status, "Serving").1, "Partly");
    assert!(condition(&status, "Serving").2.ends_with("; except 1 rule"));
    assert_eq!(status.problems[0].reason, "PathForm");
    assert_eq!(status.problems[0].effect, "ruleOff");
}

#[test]
fn a_missing_service_leaves_accepted_true() {
    let problem = Problem::new("spec.routes[0].backends[0].service", Slug::ServiceMissing, "not found");
    let rules = RuleCounts { written: 1, partly: 1, ..RuleCounts::default() };
    let status = next(&verdict(1, rules, vec![problem]), applied(10), None, Some(&[]), at(10)).unwrap();
    assert_eq!(condition(&status, "Accepted").0, "True");
    assert_eq!(condition(&status, "ResolvedRefs").1, "ServiceNotFound");
    assert_eq!(condition(&status, "Serving").1, "Partly");
}

#[test]
fn a_rejected_object_serves_nothing() {
    let problem = Problem::new("spec", Slug::WrongType, "invalid type");
    let status = next(&verdict(1, RuleCounts::default(), vec![problem]), applied(10), None, Some(&[]), at(10)).unwrap();
    assert_eq!(condition(&status, "Accepted").1, "Invalid");
    assert_eq!(condition(&status, "Serving").1, "NotAccepted");
}

#[test]
fn long_lists_are_cut_and_counted() {
    let problems = (0..40).map(|n| Problem::new(format!("spec.routes[{n}]"), Slug::OneAction, "x")).collect();
    let rules = RuleCounts { written: 40, off: 40, ..RuleCounts::default() };
    let status = next(&verdict(1, rules, problems), applied(10), None, Some(&[]), at(10)).unwrap();
    assert_eq!(status.problems.len(), MAX_LISTED);
    assert_eq!(status.summary.unwrap().problems, 40);
}

#[test]
fn addresses_are_told_and_stay_while_they_are_not_known() {
    let addresses = ["203.0.113.7".to_owned()];
    let old = next(&good(3), applied(10), None, Some(&addresses), at(10)).unwrap();
    assert_eq!(old.addresses, addresses);
    assert_eq!(next(&good(3), applied(10), Some(&old), None, at(20)), None);
    let new = next(&good(3), applied(10), Some(&old), Some(&[]), at(20)).unwrap();
    assert_eq!(new.addresses, Vec::<String>::new());
}
