//! Which server goes next.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::lang::backend::{Backend, Release};
use crate::lang::client::Client;
use crate::lang::eventually;
use crate::lang::gateway::{Gateway, gateway, gateway_on};

fn route(servers: &[&Backend], algorithm: &str) -> String {
    let urls: Vec<_> = servers.iter().map(|server| server.url()).collect();
    format!("routes: [{{path: /, loadBalancer: {{algorithm: {algorithm}}}, backends: [{}]}}]", urls.join(", "))
}

fn counts(servers: &[&Backend]) -> Vec<usize> {
    servers.iter().map(|server| server.seen().len()).collect()
}

#[test]
fn least_connections_goes_where_fewest_run() {
    let servers: Vec<(Backend, Release)> = ["a", "b", "c"].map(Backend::holding).into();
    let all: Vec<_> = servers.iter().map(|(server, _)| server).collect();
    let gateway = gateway(&route(&all, "leastConnections"));
    let mut clients = Vec::new();
    for turn in 1..=9 {
        clients.push(Client::begin(gateway.port, "/", ""));
        eventually("it runs", || (counts(&all).iter().sum::<usize>() == turn).then_some(()));
        let (most, least) = (counts(&all).into_iter().max(), counts(&all).into_iter().min());
        assert!(most.unwrap_or(0) - least.unwrap_or(0) <= 1, "{:?}", counts(&all));
    }
    // One server is done with its three: the next three are its.
    servers[1].1.let_go(3);
    let running = format!(r#"gateway_active_connections{{backend="{}"}}"#, all[1].authority());
    gateway.await_metric(&running, 0.0);
    for turn in 10..=12 {
        clients.push(Client::begin(gateway.port, "/", ""));
        eventually("it runs", || (counts(&all).iter().sum::<usize>() == turn).then_some(()));
    }
    assert_eq!(counts(&all), [3, 6, 3]);
}

#[test]
fn fastest_prefers_the_fast_one() {
    let fast = Backend::says("fast");
    let slow = Backend::answers(|_| {
        std::thread::sleep(Duration::from_millis(20));
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow".to_owned()
    });
    let gateway = gateway(&route(&[&slow, &fast], "fastest"));
    let mut client = Client::connect(gateway.port).expect("connected");
    (0..200).for_each(|_| drop(client.get("/").expect("an answer")));
    assert!(slow.seen().len() < 40, "{} of 200 went to the slow one", slow.seen().len());
}

#[test]
fn random_and_round_robin_obey_weights() {
    for (algorithm, low, high) in [("random", 520, 680), ("roundRobin", 600, 600), ("fastest", 1, 800)] {
        let (light, heavy) = (Backend::says("l"), Backend::says("h"));
        let gateway = gateway(&format!(
            "routes: [{{path: /, loadBalancer: {{algorithm: {algorithm}}}, \
             backends: [{{url: '{}', weight: 1}}, {{url: '{}', weight: 3}}]}}]",
            light.url(),
            heavy.url()
        ));
        let mut client = Client::connect(gateway.port).expect("connected");
        (0..800).for_each(|_| drop(client.get("/").expect("an answer")));
        let heavies = heavy.seen().len();
        assert!((low..=high).contains(&heavies), "{algorithm}: {heavies} of 800");
    }
}

/// Who serves each of these clients.
fn homes(gateway: &Gateway, clients: usize) -> HashMap<usize, String> {
    let ask = |client| gateway.get_with("/", &format!("X-User: user-{client}\r\n")).text();
    (0..clients).map(|client| (client, ask(client))).collect()
}

#[test]
fn a_consistent_hash_keeps_clients_where_they_are_and_moves_few() {
    for table in ["maglev", "ring"] {
        let servers = ["a", "b", "c", "d"].map(Backend::says);
        let all: Vec<_> = servers.iter().collect();
        let how = format!("consistentHash, hashOn: ['header:X-User'], table: {table}");
        let gateway = gateway(&route(&all, &how));
        let before = homes(&gateway, 200);
        assert_eq!(homes(&gateway, 200), before, "{table}: everybody is served where they were");
        let sizes = ["a", "b", "c", "d"].map(|name| before.values().filter(|home| *home == name).count());
        assert!(sizes.iter().all(|size| (20..=90).contains(size)), "{table}: {sizes:?}");
        // One leaves, in another order of the file: the others' clients stay.
        gateway.reload(&route(&[all[3], all[1], all[0]], &how));
        let after = homes(&gateway, 200);
        let moved = before.iter().filter(|(client, home)| *home != "c" && after[client] != **home).count();
        assert!(moved <= 12 && !after.values().any(|home| home == "c"), "{table}: {moved} moved without need");
        gateway.reload(&route(&all, &how));
        assert_eq!(homes(&gateway, 200), before, "{table}: back as it was");
    }
}

#[test]
fn a_hash_of_what_is_not_there_is_one_of_the_clients_address() {
    let servers = ["a", "b", "c", "d"].map(Backend::says);
    let all: Vec<_> = servers.iter().collect();
    let file = route(&all, "consistentHash, hashOn: ['cookie:session']");
    let gateway = gateway_on("clientAddress: {trust: [127.0.0.0/8]}", &file);
    let ask = |client: usize| gateway.get_with("/", &format!("X-Forwarded-For: 203.0.113.{client}\r\n")).text();
    let homes: Vec<_> = (0..40).map(ask).collect();
    assert_eq!((0..40).map(ask).collect::<Vec<_>>(), homes);
    assert!(homes.iter().collect::<std::collections::HashSet<_>>().len() > 1);
}

fn upstream(endpoints: &str, settings: &str) -> String {
    format!(
        "upstreams: [{{name: u, endpoints: [{endpoints}]{settings}}}]\nroutes: [{{path: /, backends: [{{upstream: u}}]}}]"
    )
}

#[test]
fn a_new_server_gets_more_and_more() {
    let (old, new) = (Backend::says("old"), Backend::says("new"));
    let settings = ", slowStart: {window: 3s, minPercent: 10}";
    let gateway = gateway(&upstream(&old.url(), settings));
    let mut client = Client::connect(gateway.port).expect("connected");
    // The old one is warm: what it has is all there is.
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(3100) {
        client.get("/").expect("an answer");
    }
    gateway.reload(&upstream(&format!("{}, {}", old.url(), new.url()), settings));
    let before = old.seen().len();
    let appeared = Instant::now();
    while appeared.elapsed() < Duration::from_millis(400) {
        client.get("/").expect("an answer");
    }
    let (at_first, olds) = (new.seen().len(), old.seen().len() - before);
    assert!(at_first > 0 && at_first * 4 < olds, "{at_first} beside {olds} while it is cold");
    eventually("it is warm", || {
        client.get("/").expect("an answer");
        (appeared.elapsed() > Duration::from_millis(3100)).then_some(())
    });
    let (olds, news) = (old.seen().len(), new.seen().len());
    (0..100).for_each(|_| drop(client.get("/").expect("an answer")));
    assert_eq!((old.seen().len() - olds, new.seen().len() - news), (50, 50));
}

#[test]
fn a_draining_server_gets_nothing_new_while_another_is_there() {
    let (stays, leaves) = (Backend::says("stays"), Backend::says("leaves"));
    let file = |others: &str| upstream(&format!("{}, {{url: '{}', state: draining}}", others, leaves.url()), "");
    let gateway = gateway(&file(&stays.url()));
    assert!((0..10).all(|_| gateway.get("/").text() == "stays"));
    gateway.reload(&upstream(&format!("{{url: '{}', state: draining}}", leaves.url()), ""));
    assert_eq!(gateway.get("/").text(), "leaves", "better than nobody");
    // What runs there goes on.
    let (holds, release) = Backend::holding("held");
    gateway.reload(&upstream(&holds.url(), ""));
    let mut running = Client::begin(gateway.port, "/", "");
    eventually("it runs", || (holds.seen().len() == 1).then_some(()));
    gateway.reload(&upstream(&format!("{}, {{url: '{}', state: draining}}", stays.url(), holds.url()), ""));
    assert!((0..4).all(|_| gateway.get("/").text() == "stays"));
    gateway.reload(&upstream(&stays.url(), ""));
    release.let_go(1);
    assert_eq!(running.read().expect("an answer").text(), "held");
}

#[test]
fn weight_zero_gets_nothing() {
    let (some, none) = (Backend::says("some"), Backend::says("none"));
    let file = format!("routes: [{{path: /, backends: [{}, {{url: '{}', weight: 0}}]}}]", some.url(), none.url());
    let gateway = gateway(&file);
    assert!((0..10).all(|_| gateway.get("/").text() == "some"));
}
