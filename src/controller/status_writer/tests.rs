//! Statuses on their way to an API server that does not always take them.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use prometheus::Registry;

use super::*;
use crate::config::{Problem, Slug};
use crate::controller::fake::{Answer, Fake, Seen};
use crate::controller::status::InEffect;
use crate::controller::translate::{OwnKind, RuleCounts, Verdict};
use crate::controller::world::{ObjectName, OwnObject};

struct Rig {
    fake: Fake,
    board: Arc<Board>,
    metrics: ControlMetrics,
    events: mpsc::Receiver<Written>,
    holding: watch::Sender<bool>,
    _task: JoinSet<()>,
}

/// Takes what it is given, as an API server does.
fn taken(seen: &Seen) -> Answer {
    Answer::Whole(200, seen.body.clone())
}

fn refusal(code: u16) -> Answer {
    Answer::Whole(code, format!(r#"{{"kind":"Status","status":"Failure","code":{code},"message":"on purpose"}}"#))
}

impl Rig {
    async fn start(script: impl Fn(usize, &Seen) -> Answer + Send + Sync + 'static) -> Self {
        let fake = Fake::start(script).await;
        let board = Arc::new(Board::default());
        let metrics = ControlMetrics::new(&Registry::new()).unwrap();
        let (events, announced) = mpsc::channel(64);
        let (holding, is_holder) = watch::channel(false);
        let known = CancellationToken::new();
        board.set_addresses(vec!["203.0.113.7".to_owned()], Instant::now());
        known.cancel();
        let writer = StatusWriter::new(fake.cluster().client, "edge", Arc::clone(&board), metrics.clone(), events);
        let mut task = JoinSet::new();
        task.spawn(writer.run(is_holder, known, CancellationToken::new()));
        Self { fake, board, metrics, events: announced, holding, _task: task }
    }

    fn post(&self, name: &str, problems: Vec<Problem>) {
        let metadata = json!({"name": name, "namespace": "shop", "uid": name, "generation": 1});
        let object: RouteObject = serde_json::from_value(json!({"metadata": metadata})).unwrap();
        let rules = RuleCounts { written: 1, ..RuleCounts::default() };
        let verdict = Verdict::new(
            (OwnKind::GatewayRoute, &object.metadata),
            vec!["a.example.com".to_owned()],
            rules,
            problems,
            Vec::new(),
        );
        let at = k8s_openapi::jiff::Timestamp::UNIX_EPOCH;
        self.board.post(
            OwnObject::Route(Arc::new(object)),
            Arc::new(verdict),
            Some(InEffect { at, after: None }),
            Instant::now(),
        );
    }

    fn counted(&self, result: &str) -> u64 {
        self.metrics.status_writes.with_label_values(&[result]).get()
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !is_so(self) {
            assert!(Instant::now() < deadline, "not in time: {what}");
            sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn only_the_holder_writes_and_then_everything_once() {
    let rig = Rig::start(|_, seen| taken(seen)).await;
    for name in ["a", "b", "c"] {
        rig.post(name, Vec::new());
    }
    sleep(Duration::from_millis(200)).await;
    assert!(rig.fake.seen().is_empty());
    rig.holding.send_replace(true);
    rig.until("all written", |rig| rig.counted("written") == 3).await;
    rig.holding.send_replace(false);
    rig.holding.send_replace(true);
    sleep(Duration::from_millis(200)).await;
    assert_eq!(rig.fake.seen().len(), 3, "a new holder repeats nothing");
    let seen = &rig.fake.seen()[0];
    assert!(seen.line.starts_with("PATCH /apis/gateway.sluice.dev/v1alpha1/namespaces/shop/gatewayroutes/"));
    assert!(seen.line.contains("/status?") && seen.line.contains("fieldManager=sluice%2Fedge"), "{}", seen.line);
    let body: serde_json::Value = serde_json::from_str(&seen.body).unwrap();
    assert_eq!(body["status"]["addresses"], json!(["203.0.113.7"]));
    assert!(body.get("spec").is_none());
}

#[tokio::test]
async fn a_server_in_trouble_is_left_alone_and_everything_is_written_in_the_end() {
    let rig = Rig::start(|number, seen| match number {
        0..=4 => refusal(500),
        5 => Answer::Cut,
        6 => refusal(429),
        _ => taken(seen),
    })
    .await;
    rig.holding.send_replace(true);
    let names: Vec<String> = (0..200).map(|number| format!("r{number}")).collect();
    for name in &names {
        rig.post(name, Vec::new());
    }
    rig.until("all written", |rig| rig.counted("written") == 200).await;
    assert_eq!(rig.counted("failed"), 7);
    assert_eq!(rig.fake.seen().len(), 207);
}

#[tokio::test]
async fn what_cannot_be_written_is_not_tried_for_ever_and_holds_up_nobody() {
    let tried = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&tried);
    let rig = Rig::start(move |_, seen| {
        let code = ["gone", "moved", "strange", "locked"].iter().position(|name| seen.line.contains(name));
        match code {
            None => taken(seen),
            Some(place) => {
                counter.fetch_add(1, Ordering::Relaxed);
                refusal([404, 409, 422, 403][place])
            }
        }
    })
    .await;
    rig.holding.send_replace(true);
    for name in ["gone", "moved", "strange", "locked", "good"] {
        rig.post(name, Vec::new());
    }
    rig.until("the good one written", |rig| rig.counted("written") == 1).await;
    sleep(Duration::from_millis(1500)).await;
    assert_eq!(tried.load(Ordering::Relaxed), 4);
    assert_eq!((rig.counted("gone"), rig.counted("invalid"), rig.counted("forbidden")), (2, 1, 1));
}

#[tokio::test]
async fn news_that_come_during_a_write_follow_it() {
    let rig = Rig::start(|_, seen| taken(seen)).await;
    rig.holding.send_replace(true);
    rig.post("a", Vec::new());
    rig.post("a", vec![Problem::new("spec.routes[0]", Slug::PathForm, "must begin with /")]);
    rig.until("the news written", |rig| {
        rig.fake.seen().last().is_some_and(|seen| seen.body.contains("must begin with /"))
    })
    .await;
}

#[tokio::test]
async fn an_event_follows_a_status_that_is_worse() {
    let mut rig = Rig::start(|_, seen| taken(seen)).await;
    rig.holding.send_replace(true);
    rig.post("good", Vec::new());
    rig.post("bad", vec![Problem::new("spec.routes[0]", Slug::PathForm, "must begin with /")]);
    rig.until("both written", |rig| rig.counted("written") == 2).await;
    let written = rig.events.recv().await.unwrap();
    assert_eq!(written.subject.to_string(), "GatewayRoute shop/bad");
    assert_eq!(written.announcement.reason, "Invalid");
    assert!(rig.events.try_recv().is_err());
}

#[tokio::test]
async fn five_thousand_first_statuses_take_less_than_a_minute() {
    let rig = Rig::start(|_, seen| taken(seen)).await;
    for number in 0..1000 {
        rig.post(&format!("r{number}"), Vec::new());
    }
    let began = Instant::now();
    rig.holding.send_replace(true);
    rig.until("a thousand written", |rig| rig.counted("written") == 1000).await;
    assert!(began.elapsed() < Duration::from_secs(12), "{:?} for a fifth of them", began.elapsed());
    let lines: BTreeSet<String> = rig.fake.seen().into_iter().map(|seen| seen.line).collect();
    assert_eq!(lines.len(), 1000, "each is written once");
}

#[tokio::test]
async fn a_policy_has_a_status_of_its_own_beside_a_route_of_its_name() {
    let rig = Rig::start(|_, seen| taken(seen)).await;
    rig.holding.send_replace(true);
    rig.post("a", Vec::new());
    let metadata = json!({"name": "a", "namespace": "shop", "uid": "p", "generation": 2});
    let policy: PolicyObject = serde_json::from_value(json!({"metadata": metadata})).unwrap();
    let whose = (OwnKind::GatewayPolicy, &policy.metadata);
    let verdict = Verdict::new(whose, Vec::new(), RuleCounts::default(), Vec::new(), Vec::new());
    assert_eq!(verdict.object, ObjectName::new("shop", "a"));
    let in_effect = InEffect { at: k8s_openapi::jiff::Timestamp::UNIX_EPOCH, after: None };
    rig.board.post(OwnObject::Policy(Arc::new(policy)), Arc::new(verdict), Some(in_effect), Instant::now());
    rig.until("both written", |rig| rig.counted("written") == 2).await;
    let seen = rig.fake.seen();
    let written = seen.iter().find(|seen| seen.line.contains("/gatewaypolicies/a/status")).unwrap();
    let body: serde_json::Value = serde_json::from_str(&written.body).unwrap();
    assert_eq!((&body["kind"], &body["status"]["conditions"][2]["status"]), (&json!("GatewayPolicy"), &json!("True")));
}
