//! How much servers may get at once, and who waits for a place.

use std::time::{Duration, Instant};

use crate::lang::backend::Backend;
use crate::lang::client::Client;
use crate::lang::eventually;
use crate::lang::gateway::{Gateway, gateway, gateway_with};

fn upstream(servers: &[&Backend], limits: &str) -> String {
    let endpoints: Vec<_> = servers.iter().map(|server| server.url()).collect();
    format!(
        "upstreams: [{{name: u, endpoints: [{}], limits: {{{limits}}}}}]\nroutes: [{{path: /, backends: [{{upstream: u}}]}}]",
        endpoints.join(", ")
    )
}

fn assert_full(gateway: &Gateway) {
    let answer = gateway.get("/late");
    assert_eq!((answer.status, answer.reason().as_str()), (503, "upstream_full"));
    assert_eq!(answer.header("retry-after"), Some("1"));
}

/// A request that runs at one of these servers.
fn running(gateway: &Gateway, path: &str, servers: &[&Backend]) -> Client {
    let client = Client::begin(gateway.port, path, "");
    eventually("it runs", || servers.iter().any(|server| server.count(path) == 1).then_some(()));
    client
}

#[test]
fn requests_at_one_server_are_bounded_and_go_to_the_other_first() {
    let ((one, of_one), (two, of_two)) = (Backend::holding("one"), Backend::holding("two"));
    let gateway = gateway(&upstream(&[&one, &two], "perEndpointRequests: 1"));
    let clients = [running(&gateway, "/a", &[&one, &two]), running(&gateway, "/b", &[&one, &two])];
    assert_eq!((one.seen().len(), two.seen().len()), (1, 1));
    assert_full(&gateway);
    of_one.let_go(2);
    of_two.let_go(2);
    for mut client in clients {
        assert_eq!(client.read().expect("an answer").status, 200);
    }
    eventually("places are given back", || (gateway.get("/again").status == 200).then_some(()));
}

#[test]
fn requests_at_all_servers_are_bounded() {
    let ((one, of_one), (two, of_two)) = (Backend::holding("one"), Backend::holding("two"));
    let gateway = gateway(&upstream(&[&one, &two], "requests: 1"));
    let mut client = running(&gateway, "/a", &[&one, &two]);
    assert_full(&gateway);
    // Round robin: one request for each of them.
    of_one.let_go(1);
    of_two.let_go(1);
    assert_eq!(client.read().expect("an answer").status, 200);
    // The place is given back with the last byte, which the client may see a moment earlier.
    eventually("there is room again", || (gateway.get("/b").status == 200).then_some(()));
    // Another limit holds at once for the same upstream.
    gateway.reload(&upstream(&[&one, &two], "requests: 2"));
    let both = [running(&gateway, "/c", &[&one, &two]), running(&gateway, "/d", &[&one, &two])];
    drop(both);
}

#[test]
fn who_waits_is_served_in_turn() {
    let (server, release) = Backend::holding("done");
    let file = upstream(&[&server], "requests: 1, pending: 3, pendingTimeout: 10s");
    let file = file.replace("routes: [", "routes: [{path: /own, respond: {status: 200}}, ");
    let gateway = gateway_with(&file, &["--workers", "1"]);
    let mut clients = vec![running(&gateway, "/0", &[&server])];
    let begin = |turn: usize| Client::begin(gateway.port, &format!("/{turn}"), "");
    for turn in 1..=3 {
        clients.push(begin(turn));
        // The one worker has answered what came after it, so it has been read and waits.
        assert_eq!(gateway.get("/own").status, 200);
    }
    assert_full(&gateway);
    for (turn, client) in clients.iter_mut().enumerate() {
        eventually("its turn", || (server.count(&format!("/{turn}")) == 1).then_some(()));
        assert_eq!(server.seen().len(), turn + 1, "one at a time, first come, first served");
        release.let_go(1);
        assert_eq!(client.read().expect("an answer").text(), "done");
    }
}

#[test]
fn who_waits_too_long_is_told() {
    let (server, release) = Backend::holding("done");
    let gateway = gateway(&upstream(&[&server], "perEndpointRequests: 1, pending: 5, pendingTimeout: 300ms"));
    let mut first = running(&gateway, "/first", &[&server]);
    let began = Instant::now();
    assert_full(&gateway);
    let waited = began.elapsed();
    assert!(waited >= Duration::from_millis(300) && waited < Duration::from_secs(5), "{waited:?}");
    // Who goes while it waits leaves its place in the queue.
    for _ in 0..5 {
        drop(Client::begin(gateway.port, "/goes", ""));
    }
    eventually("all five came and went", || {
        let log = gateway.access_log();
        (log.iter().filter(|line| line["path"] == "/goes" && line["status"] == 499).count() == 5).then_some(())
    });
    release.let_go(2);
    assert_eq!(first.read().expect("an answer").text(), "done");
    assert_eq!(eventually("served", || Some(gateway.get("/last"))).text(), "done");
    assert_eq!(server.count("/goes"), 0);
}

#[test]
fn waiting_ends_with_the_time_of_the_request() {
    let (server, release) = Backend::holding("done");
    let file = upstream(&[&server], "requests: 1, pending: 5, pendingTimeout: 10s")
        .replace("path: /,", "path: /, timeouts: {request: 500ms},");
    let gateway = gateway(&file);
    let mut first = running(&gateway, "/first", &[&server]);
    let answer = gateway.get("/late");
    assert_eq!((answer.status, answer.reason().as_str()), (504, "request_timeout"));
    // Its own time is over too, by now or soon.
    release.let_go(1);
    assert!([200, 504].contains(&first.read().expect("an answer").status));
}

#[test]
fn connections_to_servers_are_bounded_and_idle_ones_keep_nobody_out() {
    for limits in ["connections: 2", "perEndpointConnections: 2"] {
        let (server, release) = Backend::holding("done");
        // One worker: an idle connection is of no use to another.
        let gateway = gateway_with(&upstream(&[&server], limits), &["--workers", "1"]);
        let clients = [running(&gateway, "/a", &[&server]), running(&gateway, "/b", &[&server])];
        assert_full(&gateway);
        release.let_go(1_000);
        for mut client in clients {
            assert_eq!(client.read().expect("an answer").status, 200);
        }
        // Both are idle now.
        for turn in 0..50 {
            let answer = gateway.get("/c");
            assert_eq!(answer.status, 200, "{limits}, {turn}: {}", answer.text());
        }
    }
}

#[test]
fn with_its_connections_taken_a_request_waits_or_goes_to_another_server() {
    let (server, release) = Backend::holding("done");
    let gateway = gateway(&upstream(&[&server], "connections: 1, pending: 2, pendingTimeout: 10s"));
    let mut first = running(&gateway, "/a", &[&server]);
    let mut second = Client::begin(gateway.port, "/b", "");
    release.let_go(2);
    assert_eq!([&mut first, &mut second].map(|client| client.read().expect("an answer").text()), ["done", "done"]);
    let ((one, of_one), (two, of_two)) = (Backend::holding("one"), Backend::holding("two"));
    gateway.reload(&upstream(&[&one, &two], "perEndpointConnections: 1"));
    let clients: Vec<_> = ["/a", "/b"].iter().map(|path| running(&gateway, path, &[&one, &two])).collect();
    assert_full(&gateway);
    drop((of_one, of_two, clients));
}
