//! A storm of reloads under load: no request is lost or answered by anything but the old or the new file, tunnels stay
//! open, and what is known about clients and servers stays known.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::lang::backend::Backend;
use crate::lang::client::{Answer, Client};
use crate::lang::eventually;
use crate::lang::gateway::{Gateway, gateway};
use crate::websocket::{echo, echoes, open};

/// The servers of the storm.
struct Servers {
    a: Backend,
    b: Backend,
    echo: Backend,
    broken: Backend,
    ejected: Backend,
}

impl Servers {
    fn new() -> Self {
        let ((broken, of_broken), (ejected, of_ejected)) = (Backend::in_mood("broken"), Backend::in_mood("ejected"));
        of_broken.set(500);
        of_ejected.set(502);
        Self { a: Backend::says("a"), b: Backend::says("b"), echo: Backend::scripted(echo), broken, ejected }
    }

    /// The file of a turn. Everything in it that may change without being another thing changes.
    fn file(&self, turn: usize) -> String {
        let [a, b, echo, broken, ejected] =
            [&self.a, &self.b, &self.echo, &self.broken, &self.ejected].map(Backend::url);
        let (odd, weight) = (turn % 2, turn % 7 + 1);
        let turned = if odd == 0 { &a } else { &b };
        let first = if odd == 0 { format!("  - {{path: /extra-{turn}, backends: [{b}]}}\n") } else { String::new() };
        format!(
            "upstreams:\n  - {{name: broken, endpoints: [{{url: '{broken}', weight: {weight}}}], \
             circuitBreaker: {{minRequests: {weight}, openFor: 10m, window: {weight}0s}}}}\n  \
             - {{name: half, endpoints: [{a}, {{url: '{ejected}', weight: {weight}}}], \
             healthCheck: {{passive: {{failures: {weight}, ejectFor: 10m}}}}}}\n\
             routes:\n{first}  - {{path: /stays, backends: [{a}]}}\n  - {{path: /turn, backends: [{turned}]}}\n  \
             - {{path: /limited, rateLimits: [{{name: l, rate: {weight}/d, burst: {weight}}}], backends: [{a}]}}\n  \
             - {{path: /broken, priority: {odd}, backends: [{{upstream: broken}}]}}\n  \
             - {{path: /half, backends: [{{upstream: half, weight: {weight}}}]}}\n  \
             - {{path: /ws, timeouts: {{idle: {weight}s}}, backends: [{echo}]}}\n"
        )
    }
}

/// What each path has to answer, whichever file is in effect.
fn is_right(path: &str, answer: &Answer) -> bool {
    let text = answer.text();
    match path {
        "/stays" | "/half" => answer.status == 200 && text == "a",
        "/turn" => answer.status == 200 && ["a", "b"].contains(&text.as_str()),
        "/limited" => answer.status == 429 && answer.reason() == "rate_limited",
        _ => answer.status == 503 && answer.reason() == "circuit_open",
    }
}

/// Brings everything into the state that is to stay.
fn settle(gateway: &Gateway) {
    for (path, is_new) in [("/limited", true), ("/broken", false), ("/half", false)] {
        let mut row = 0;
        eventually(path, || {
            let answer = gateway.get(path);
            assert!(!is_new || [200, 429].contains(&answer.status));
            row = if is_right(path, &answer) { row + 1 } else { 0 };
            (row == 10).then_some(())
        });
    }
}

#[test]
fn h115_a_thousand_swaps_under_load_lose_misroute_and_forget_nothing() {
    let servers = Servers::new();
    let gateway = Arc::new(gateway(&servers.file(0)));
    settle(&gateway);
    let known = (servers.broken.seen().len(), servers.ejected.seen().len());
    let stops = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let (port, stops) = (gateway.port, stops.clone());
            std::thread::spawn(move || {
                let mut client = Client::connect(port).expect("connected");
                let mut count = 0;
                while !stops.load(Ordering::Relaxed) {
                    for path in ["/stays", "/turn", "/limited", "/broken", "/half"] {
                        let answer = client.get(path).expect("an answer");
                        assert!(is_right(path, &answer), "{path}: {answer:?}");
                        count += 1;
                    }
                }
                count
            })
        })
        .collect();
    let tunnels: Vec<_> = (0..4).map(|_| open(gateway.port, "/ws")).collect();
    let tunnels: Vec<_> = tunnels
        .into_iter()
        .map(|mut tunnel| {
            let stops = stops.clone();
            std::thread::spawn(move || {
                let mut count = 0;
                while !stops.load(Ordering::Relaxed) {
                    echoes(&mut tunnel, "are you there?").expect("it stays open");
                    std::thread::yield_now();
                    count += 1;
                }
                count
            })
        })
        .collect();
    let first = gateway.metric("sluice_snapshot_number").expect("a number");
    for turn in 1..=1000 {
        gateway.rewrite(&servers.file(turn));
        gateway.signal("HUP");
        // Not faster than they are taken: each is to be one swap.
        eventually("the swap", || {
            (gateway.metric("sluice_snapshot_number") >= Some(first + turn as f64)).then_some(())
        });
    }
    stops.store(true, Ordering::Relaxed);
    let requests: usize = clients.into_iter().map(|client| client.join().expect("no request failed")).sum();
    let echoed: usize = tunnels.into_iter().map(|tunnel| tunnel.join().expect("no tunnel ended")).sum();
    assert!(requests > 1000 && echoed > 1000, "only {requests} requests and {echoed} echoes meanwhile");
    assert_eq!((servers.broken.seen().len(), servers.ejected.seen().len()), known, "they are left alone");
    assert_eq!(gateway.metric("sluice_config_error"), Some(0.0));
}

#[test]
fn h110_signals_alone_disturb_no_tunnel() {
    let backend = Backend::scripted(echo);
    let gateway = gateway(&format!("routes: [{{path: /, backends: [{}]}}]", backend.url()));
    let mut tunnel = open(gateway.port, "/");
    for _ in 0..300 {
        gateway.signal("HUP");
        echoes(&mut tunnel, "still here").expect("it stays open");
    }
    assert_eq!(gateway.get("/").text(), "plain");
    assert_eq!(backend.connections(), 2);
}
