//! The board: what is written, in which order, and what is not written.

use serde_json::json;

use super::*;
use crate::config::{Problem, Slug};
use crate::controller::translate::{OwnKind, RuleCounts};
use crate::controller::world::{PolicyObject, RouteObject};

fn object(name: &str, status: serde_json::Value) -> OwnObject {
    let metadata = serde_json::from_value(json!({"name": name, "namespace": "shop", "uid": name, "generation": 1}));
    OwnObject::Route(Arc::new(RouteObject { metadata: metadata.unwrap(), spec: json!({}), status }))
}

fn verdict(object: &OwnObject, problems: Vec<Problem>) -> Arc<Verdict> {
    let rules = RuleCounts { written: 1, ..RuleCounts::default() };
    Arc::new(Verdict::new(
        (OwnKind::GatewayRoute, object.metadata()),
        vec!["a.example.com".to_owned()],
        rules,
        problems,
        Vec::new(),
    ))
}

fn answered(object: &OwnObject) -> Answered {
    Answered { metadata: object.metadata().clone(), status: object.status().clone() }
}

fn in_effect() -> Option<InEffect> {
    Some(InEffect { at: Timestamp::from_second(10).unwrap(), after: None })
}

fn missing() -> Vec<Problem> {
    vec![Problem::new("spec.routes[0]", Slug::ServiceMissing, "not found")]
}

#[test]
fn what_stands_in_the_object_already_is_not_written_again() {
    let board = Board::default();
    let now = Instant::now();
    let first = object("a", json!(null));
    board.post(first.clone(), verdict(&first, Vec::new()), in_effect(), now);
    let job = board.take(now).unwrap();
    let written = object("a", serde_json::to_value(&job.status).unwrap());
    board.done(&job.subject, &Ok(answered(&written)), now);
    assert!(board.take(now).is_none());
    // The echo of our own write, and a new holder's review, find nothing to say.
    board.refresh(written, now);
    assert!(board.take(now).is_none());
    board.review(now);
    assert!(board.take(now).is_none());
}

#[test]
fn worst_news_goes_first() {
    let board = Board::default();
    let now = Instant::now();
    for (name, problems) in [
        ("a", Vec::new()),
        ("b", vec![Problem::new("spec", Slug::SettingsConflict, "x")]),
        ("c", vec![Problem::new("spec", Slug::WrongType, "x")]),
    ] {
        let object = object(name, json!(null));
        board.post(object.clone(), verdict(&object, problems), in_effect(), now);
    }
    let order: Vec<String> = std::iter::from_fn(|| board.take(now)).map(|job| job.subject.name.name).collect();
    assert_eq!(order, ["c", "b", "a"]);
}

#[test]
fn an_object_has_one_write_under_way_and_the_newest_news_follows() {
    let board = Board::default();
    let now = Instant::now();
    let seen = object("a", json!(null));
    board.post(seen.clone(), verdict(&seen, Vec::new()), in_effect(), now);
    let job = board.take(now).unwrap();
    board.post(seen.clone(), verdict(&seen, missing()), in_effect(), now);
    assert!(board.take(now + FLIP).is_none());
    board.done(&job.subject, &Err(WriteError::TimedOut), now);
    assert!(board.take(now + MAX_WAIT).is_some());
}

#[test]
fn a_flip_that_does_not_last_is_never_written() {
    let board = Board::default();
    let now = Instant::now();
    let seen = object("a", json!(null));
    board.post(seen.clone(), verdict(&seen, Vec::new()), in_effect(), now);
    let job = board.take(now).unwrap();
    let written = object("a", serde_json::to_value(&job.status).unwrap());
    board.done(&job.subject, &Ok(answered(&written)), now);
    board.post(written.clone(), verdict(&written, missing()), in_effect(), now);
    assert!(board.take(now + FLIP / 2).is_none());
    board.post(written.clone(), verdict(&written, Vec::new()), in_effect(), now);
    assert!(board.take(now + FLIP * 2).is_none());
}

#[test]
fn failures_wait_and_what_is_gone_is_left_alone() {
    let board = Board::default();
    let now = Instant::now();
    let seen = object("a", json!(null));
    board.post(seen.clone(), verdict(&seen, Vec::new()), in_effect(), now);
    let job = board.take(now).unwrap();
    board.done(&job.subject, &Err(WriteError::TimedOut), now);
    assert!(board.take(now).is_none());
    assert!(board.next_due().is_some_and(|due| due > now && due <= now + MIN_WAIT));
    board.take(now + MIN_WAIT).unwrap();
    board.done(&job.subject, &Err(WriteError::Gone), now);
    assert!(board.next_due().is_none());
}

#[test]
fn what_is_refused_as_it_is_waits_for_a_change() {
    let board = Board::default();
    let now = Instant::now();
    let seen = object("a", json!(null));
    board.post(seen.clone(), verdict(&seen, Vec::new()), in_effect(), now);
    let job = board.take(now).unwrap();
    let refused = kube::Error::Api(Box::new(kube::core::Status { code: 422, ..kube::core::Status::default() }));
    board.done(&job.subject, &Err(refused.into()), now);
    assert!(board.take(now + MAX_WAIT * 10).is_none());
    board.post(seen.clone(), verdict(&seen, Vec::new()), in_effect(), now);
    assert!(board.take(now + MAX_WAIT).is_some());
}

#[test]
fn new_addresses_are_told_to_every_object() {
    let board = Board::default();
    let now = Instant::now();
    for name in ["a", "b"] {
        let seen = object(name, json!(null));
        board.post(seen.clone(), verdict(&seen, Vec::new()), in_effect(), now);
        let job = board.take(now).unwrap();
        let written = object(name, serde_json::to_value(&job.status).unwrap());
        board.done(&job.subject, &Ok(answered(&written)), now);
    }
    assert!(board.take(now).is_none());
    board.set_addresses(vec!["203.0.113.7".to_owned()], now);
    let told: Vec<Vec<String>> = std::iter::from_fn(|| board.take(now)).map(|job| job.status.addresses).collect();
    assert_eq!(told, [["203.0.113.7"], ["203.0.113.7"]]);
    // The operator knows better, until they say nothing any more.
    board.set_operators_addresses(Some(&["edge.example.com".to_owned()]), now);
    assert_eq!(board.lock().addresses().unwrap().to_vec(), ["edge.example.com"]);
    board.set_operators_addresses(None, now);
    assert_eq!(board.lock().addresses().unwrap().to_vec(), ["203.0.113.7"]);
}

#[test]
fn an_object_has_one_event_a_minute() {
    let board = Board::default();
    let now = Instant::now();
    let events: Vec<bool> = (0..4)
        .map(|step| {
            let seen = object("a", json!(null));
            let problem = Problem::new(format!("spec.routes[{step}]"), Slug::PathForm, "x");
            board.post(seen.clone(), verdict(&seen, vec![problem]), in_effect(), now);
            let job = board.take(now + EVENT_GAP / 3 * step + FLIP).unwrap();
            board.done(&job.subject, &Ok(answered(&seen)), now);
            job.announcement.is_some()
        })
        .collect();
    assert_eq!(events, [true, false, false, true]);
}

#[test]
fn a_forgotten_object_leaves_nothing_behind() {
    let board = Board::default();
    let now = Instant::now();
    for name in ["a", "b"] {
        let seen = object(name, json!(null));
        board.post(seen.clone(), verdict(&seen, Vec::new()), in_effect(), now);
    }
    board.keep(|subject| subject.name.name == "b");
    assert_eq!(board.pending(), 1);
    assert_eq!(board.take(now).unwrap().subject.name.name, "b");
    assert!(board.take(now).is_none() && board.pending() == 0);
}

#[test]
fn a_policy_is_not_the_route_of_its_name_and_has_no_address() {
    let board = Board::default();
    let now = Instant::now();
    board.set_addresses(vec!["203.0.113.7".to_owned()], now);
    let route = object("a", json!(null));
    let metadata = route.metadata().clone();
    let policy = OwnObject::Policy(Arc::new(PolicyObject { metadata: metadata.clone(), ..PolicyObject::default() }));
    for (object, kind) in [(route, OwnKind::GatewayRoute), (policy, OwnKind::GatewayPolicy)] {
        let verdict = Verdict::new((kind, &metadata), Vec::new(), RuleCounts::default(), Vec::new(), Vec::new());
        board.post(object, Arc::new(verdict), in_effect(), now);
    }
    let jobs: Vec<Job> = std::iter::from_fn(|| board.take(now)).collect();
    let told = jobs.iter().map(|job| (job.subject.kind.as_str(), job.status.addresses.len()));
    assert_eq!(told.collect::<Vec<_>>(), [("GatewayRoute", 1), ("GatewayPolicy", 0)]);
}
