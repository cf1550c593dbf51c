//! Pods come and go under load, backends' and Sluice's own, and no request fails.

use std::time::{Duration, Instant};

use crate::command::kubectl;
use crate::fixture::Namespace;
use crate::load::Load;
use crate::sluice::{NAMESPACE, answers, everywhere, installed, pods};
use crate::wait::{SOON, eventually, holds};
use crate::wire::Socket;

/// The chart's `drain.acceptSeconds`: so long at least a connection lasts that its client wants to keep.
const DRAIN: Duration = Duration::from_secs(20);

fn served(space: &Namespace, host: &str) -> String {
    let address = installed();
    space.route(
        "shop",
        &format!("    - {{hosts: [{host}], path: /, backends: [{{service: {{name: shop, port: http}}}}]}}"),
    );
    everywhere(&address, &format!("http://{host}/"), 200);
    address
}

#[test]
fn scaling_a_backend_up_and_down_fails_no_request() {
    let space = Namespace::new("scale");
    space.backend("shop", 1);
    let address = served(&space, "scale.example.com");
    let load = Load::start(&address, "scale.example.com", "/");
    space.scale("shop", 10);
    eventually("all ten answer", SOON, || {
        let pods = load.pods_of_next(400);
        holds(pods.len() == 10, || format!("{pods:?}"))
    });
    space.scale("shop", 1);
    space.settled("shop", 1);
    let pods = load.pods_of_next(200);
    assert_eq!(pods.len(), 1, "only the one that stayed answers: {pods:?}");
    load.finish();
}

#[test]
fn a_rolling_update_of_a_backend_fails_no_request() {
    let space = Namespace::new("update");
    space.backend("shop", 3);
    let address = served(&space, "update.example.com");
    let load = Load::start(&address, "update.example.com", "/");
    let before = space.pods("shop").expect("pods");
    kubectl(&["set", "env", "-n", &space.name, "deployment/shop", "VERSION=second"]);
    space.rolled_out("shop");
    space.settled("shop", 3);
    let after = load.pods_of_next(300);
    assert!(before.iter().all(|pod| !after.contains_key(pod)), "old pods answer no more: {before:?} {after:?}");
    assert_eq!(after.len(), 3, "all new ones do: {after:?}");
    assert_eq!(answers(&address, "http://update.example.com/", &[], 200).field("version"), "second");
    load.finish();
}

#[test]
fn deleting_a_pod_fails_no_request() {
    let space = Namespace::new("delete");
    space.backend("shop", 2);
    let address = served(&space, "delete.example.com");
    let load = Load::start(&address, "delete.example.com", "/");
    for pod in space.pods("shop").expect("pods") {
        kubectl(&["delete", "pod", "-n", &space.name, &pod]);
        space.rolled_out("shop");
        let pods = load.pods_of_next(100);
        assert!(!pods.contains_key(&pod), "the deleted pod answers no more: {pods:?}");
    }
    load.finish();
}

#[test]
fn a_rolling_restart_of_sluice_fails_no_request() {
    let space = Namespace::new("restart");
    space.backend("shop", 2);
    let address = served(&space, "restart.example.com");
    let before = pods().expect("pods");
    assert_eq!(before.len(), 2, "two replicas: {before:?}");
    let load = Load::start(&address, "restart.example.com", "/");
    kubectl(&["rollout", "restart", "-n", NAMESPACE, "deployment/sluice"]);
    kubectl(&["rollout", "status", "-n", NAMESPACE, "deployment/sluice", "--timeout=170s"]);
    // Until the old ones are gone: their drain is what is tried here.
    eventually("the old replicas' end", 2 * SOON, || {
        let after = pods()?;
        let gone = after.len() == 2 && before.iter().all(|pod| !after.contains(pod));
        holds(gone, || format!("{before:?} became {after:?}"))
    });
    load.more(500);
    load.finish();
}

#[test]
fn scaling_sluice_up_and_down_fails_no_request() {
    let space = Namespace::new("replicas");
    space.backend("shop", 2);
    let address = served(&space, "replicas.example.com");
    let load = Load::start(&address, "replicas.example.com", "/");
    for replicas in [4, 2] {
        kubectl(&["scale", "-n", NAMESPACE, "deployment/sluice", &format!("--replicas={replicas}")]);
        kubectl(&["rollout", "status", "-n", NAMESPACE, "deployment/sluice", "--timeout=120s"]);
        eventually("so many replicas", 2 * SOON, || {
            let now = pods()?;
            holds(now.len() == replicas, || format!("{now:?}"))
        });
        load.more(500);
    }
    load.finish();
}

#[test]
fn a_rolling_restart_of_sluice_lets_websockets_finish() {
    let space = Namespace::new("socket");
    space.backend("shop", 1);
    let address = served(&space, "socket.example.com");
    let open = || Socket::open(&address, "socket.example.com").expect("a WebSocket");
    let mut old: Vec<Socket> = (0..8).map(|_| open()).collect();
    let before = pods().expect("pods");
    let begun = Instant::now();
    kubectl(&["rollout", "restart", "-n", NAMESPACE, "deployment/sluice"]);
    // Two replicas, one after the other, each with a drain of 25 s at most.
    eventually("the old replicas' end", 2 * SOON, || {
        open().echo("new").expect("whoever comes now is served");
        old.retain_mut(|socket| match socket.echo("old") {
            Ok(()) => true,
            Err(cause) => {
                let lived = begun.elapsed();
                assert!(lived >= DRAIN, "a WebSocket was cut after {lived:?}, before the drain was over: {cause}");
                false
            }
        });
        let after = pods()?;
        let gone = after.len() == 2 && before.iter().all(|pod| !after.contains(pod));
        holds(gone, || format!("{before:?} became {after:?}"))
    });
    assert!(old.is_empty(), "{} outlived their replicas", old.len());
}
