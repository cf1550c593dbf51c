//! Following an API server that does what it should not.

use std::time::Duration;

use prometheus::Registry;
use tokio::time::timeout;

use super::*;
use crate::controller::fake::{Answer, Fake, Seen};
use crate::controller::watch::{InTouch, Watching, follow};
use crate::controller::world::{ClassSettings, Kind, World};
use crate::observe::metrics::ControlMetrics;

fn service(name: &str) -> String {
    format!(r#"{{"metadata":{{"name":"{name}","namespace":"shop","resourceVersion":"5"}},"spec":{{"ports":[]}}}}"#)
}

fn list(names: &[&str]) -> Answer {
    let items: Vec<String> = names.iter().map(|name| service(name)).collect();
    let items = items.join(",");
    Answer::Whole(200, format!(r#"{{"kind":"ServiceList","metadata":{{"resourceVersion":"5"}},"items":[{items}]}}"#))
}

fn event(kind: &str, object: &str) -> String {
    format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n")
}

fn refusal(code: u16) -> Answer {
    Answer::Whole(code, format!(r#"{{"kind":"Status","status":"Failure","code":{code},"message":"on purpose"}}"#))
}

/// One watch of the Services and the World it fills.
struct Rig {
    fake: Fake,
    world: World,
    arrivals: mpsc::Receiver<Arrival>,
    metrics: ControlMetrics,
    in_touch: InTouch,
    _task: tokio::task::JoinSet<()>,
}

impl Rig {
    async fn start(script: impl Fn(usize, &Seen) -> Answer + Send + Sync + 'static) -> Self {
        Self::of(Kind::Service, script).await
    }

    async fn of(kind: Kind, script: impl Fn(usize, &Seen) -> Answer + Send + Sync + 'static) -> Self {
        let fake = Fake::start(script).await;
        let cluster = fake.cluster();
        let (sender, arrivals) = mpsc::channel(16);
        let metrics = ControlMetrics::new(&Registry::new()).unwrap();
        let in_touch = InTouch::default();
        let watching = Watching {
            client: cluster.client,
            openings: cluster.openings,
            names: [(Kind::IngressClass, "edge".to_owned())].into(),
            arrivals: sender,
            metrics: metrics.clone(),
            in_touch: in_touch.clone(),
        };
        let watched = Watched { kind, namespace: None };
        let class = ClassSettings { class: "edge".to_owned(), serve_unclassed: false };
        let world = World::waiting_for(class, [watched.clone()]);
        let mut task = tokio::task::JoinSet::new();
        task.spawn(follow(watching, watched, false));
        Self { fake, world, arrivals, metrics, in_touch, _task: task }
    }

    /// Takes one change.
    async fn next(&mut self) {
        let arrival = timeout(Duration::from_secs(20), self.arrivals.recv()).await.expect("a change in time");
        self.world.apply(arrival.unwrap().change);
    }

    async fn is_quiet(&mut self, wait: Duration) -> bool {
        timeout(wait, self.arrivals.recv()).await.is_err()
    }

    fn has(&self, name: &str) -> bool {
        self.world.service("shop", name).is_some()
    }

    fn errors(&self, reason: &str) -> u64 {
        self.metrics.watch_errors.with_label_values(&["Service", reason]).get()
    }
}

#[tokio::test]
async fn what_is_listed_and_watched_is_known() {
    let mut rig = Rig::start(|_, seen| {
        if seen.is_watch() {
            Answer::Open(vec![event("ADDED", &service("b")), event("DELETED", &service("a"))])
        } else {
            list(&["a"])
        }
    })
    .await;
    rig.next().await;
    assert!(rig.world.is_complete() && rig.has("a") && rig.in_touch.is_in_touch());
    rig.next().await;
    rig.next().await;
    assert!(rig.has("b") && !rig.has("a"));
}

#[tokio::test]
async fn errors_of_every_kind_change_nothing_and_end() {
    let mut rig = Rig::start(|number, seen| match number {
        0 => list(&["a"]),
        1 => refusal(500),
        2 => refusal(429),
        3 => Answer::Cut,
        4 => Answer::Lines(vec![event("ERROR", r#"{"kind":"Status","code":500,"message":"on purpose"}"#)]),
        5 => Answer::Whole(502, "<html>not an API server</html>".to_owned()),
        _ if seen.is_watch() => Answer::Open(vec![event("ADDED", &service("b"))]),
        _ => list(&["a"]),
    })
    .await;
    rig.next().await;
    assert!(rig.has("a"));
    rig.next().await;
    assert!(rig.has("a") && rig.has("b"));
    assert_eq!((rig.errors("throttled"), rig.errors("network")), (1, 1));
    assert_eq!(rig.errors("server"), 3);
    assert!(rig.in_touch.is_in_touch());
    assert_eq!(rig.metrics.watches_failing.with_label_values(&["Service"]).get(), 0);
}

#[tokio::test]
async fn forgotten_history_is_listed_again_however_it_is_said() {
    let gone = r#"{"kind":"Status","code":410,"reason":"Expired","message":"too old"}"#;
    let mut rig = Rig::start(move |number, seen| match number {
        0 => list(&["a"]),
        1 => refusal(410),
        2 => list(&["b"]),
        3 => Answer::Lines(vec![event("ERROR", gone)]),
        4 => list(&["c"]),
        5 => Answer::Whole(504, r#"{"code":504,"message":"Too large resource version: 9, current: 5"}"#.to_owned()),
        _ if seen.is_watch() => Answer::Open(Vec::new()),
        _ => list(&["d"]),
    })
    .await;
    for name in ["a", "b", "c", "d"] {
        rig.next().await;
        assert!(rig.has(name), "{name}");
    }
    assert!(!rig.has("a"));
}

#[tokio::test]
async fn a_watch_that_is_refused_again_and_again_is_begun_with_a_list() {
    let mut rig = Rig::start(|number, seen| match number {
        0 => list(&["a"]),
        _ if !seen.is_watch() => list(&["b"]),
        _ => refusal(400),
    })
    .await;
    rig.next().await;
    rig.next().await;
    assert!(rig.has("b") && rig.fake.watches() == LIST_AFTER as usize);
}

#[tokio::test]
async fn a_sudden_empty_list_is_not_believed_at_once() {
    let mut rig = Rig::start(|number, seen| match number {
        0 => list(&["a"]),
        1 => refusal(410),
        _ if seen.is_watch() => Answer::Open(Vec::new()),
        _ => list(&[]),
    })
    .await;
    rig.next().await;
    assert!(rig.is_quiet(Duration::from_secs(2)).await);
    assert!(rig.has("a"));
    assert_eq!(rig.errors("empty"), 1);
}

#[tokio::test]
async fn an_object_that_cannot_be_read_costs_itself_only() {
    let broken = r#"{"metadata":{"name":"b","namespace":"shop","resourceVersion":"6"},"spec":{"ports":"none"}}"#;
    let listed = format!(r#"{{"metadata":{{"resourceVersion":"5"}},"items":[{},{broken}]}}"#, service("a"));
    let mut rig = Rig::start(move |_, seen| {
        if seen.is_watch() {
            let lines = [event("MODIFIED", &service("b")), event("MODIFIED", broken), event("ADDED", &service("c"))];
            Answer::Open(lines.to_vec())
        } else {
            Answer::Whole(200, listed.clone())
        }
    })
    .await;
    let unreadable = |rig: &Rig| rig.metrics.objects_undecodable.with_label_values(&["Service"]).get();
    rig.next().await;
    assert!(rig.has("a") && !rig.has("b"));
    assert_eq!(unreadable(&rig), 1);
    rig.next().await;
    assert!(rig.has("b"), "it was mended");
    rig.next().await;
    assert!(!rig.has("b"), "its last good state is not kept: nobody wants it any more");
    rig.next().await;
    assert!(rig.has("a") && rig.has("c"));
    assert_eq!(unreadable(&rig), 1);
}

#[tokio::test]
async fn a_watch_that_is_ended_at_once_again_and_again_is_no_storm() {
    let mut rig = Rig::start(|_, seen| if seen.is_watch() { Answer::Lines(Vec::new()) } else { list(&["a"]) }).await;
    rig.next().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let watches = rig.fake.watches();
    assert!((2..=8).contains(&watches), "{watches} watches in two seconds");
    assert!(rig.errors("closed") > 0);
}

#[tokio::test]
async fn a_kind_that_need_not_exist_is_done_without() {
    let mut rig = Rig::of(Kind::IngressClass, |_, _| refusal(403)).await;
    rig.next().await;
    assert!(rig.world.is_complete() && !rig.world.serves_class(None));
    let mut rig = Rig::of(Kind::IngressClass, |_, seen| {
        let class = r#"{"metadata":{"name":"edge","resourceVersion":"5","annotations":{
            "ingressclass.kubernetes.io/is-default-class":"true"}},"spec":{"controller":"gateway.sluice.dev/controller"}}"#;
        if seen.is_watch() {
            Answer::Open(Vec::new())
        } else {
            Answer::Whole(200, format!(r#"{{"metadata":{{"resourceVersion":"5"}},"items":[{class}]}}"#))
        }
    })
    .await;
    rig.next().await;
    assert!(rig.world.serves_class(None) && rig.world.serves_class(Some("edge")));
    assert!(rig.fake.seen().iter().all(|seen| seen.line.contains("fieldSelector=metadata.name%3Dedge")));
}
