//! Nothing left to serve with: descriptors run out, and come back.

use std::time::{Duration, Instant};

use crate::lang::backend::Backend;
use crate::lang::client::{Client, try_exchange};
use crate::lang::eventually;
use crate::lang::gateway::gateway_with_descriptors;

#[test]
fn h053_h111_clients_beyond_the_descriptors_wait_and_are_served_when_others_go() {
    let backend = Backend::says("x");
    let gateway = gateway_with_descriptors(&format!("routes: [{{path: /, backends: [{}]}}]", backend.url()), 100);
    assert_eq!(gateway.get("/").text(), "x");
    let idle: Vec<_> = (0..150).map(|_| Client::connect(gateway.port).expect("the system's queue takes it")).collect();
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let (before, began) = (gateway.cpu_ticks(), Instant::now());
    let mut waits = Client::connect(gateway.port).expect("the system's queue takes it");
    waits.send(request).expect("sent");
    while began.elapsed() < Duration::from_millis(700) {
        std::thread::sleep(Duration::from_millis(50));
    }
    let ticks = gateway.cpu_ticks() - before;
    assert!(ticks < 35, "it spins: {ticks} hundredths of a second in 0.7 s");
    assert!(gateway.is_ready(), "the admin address is served all the same");
    drop(idle);
    assert_eq!(waits.read().expect("an answer").text(), "x");
    eventually("all is well again", || {
        try_exchange(gateway.port, request).is_ok_and(|a| a.text() == "x").then_some(())
    });
}

#[test]
fn h111_without_a_descriptor_for_the_server_the_client_is_told_and_later_served() {
    let (backend, release) = Backend::holding("x");
    let file =
        format!("routes: [{{path: /own, respond: {{status: 200}}}}, {{path: /, backends: [{}]}}]", backend.url());
    // With 200, clients get up to 136, and then as many servers cannot be connected to.
    let gateway = gateway_with_descriptors(&file, 200);
    let mut clients: Vec<_> = (0..150).map(|_| Client::begin(gateway.port, "/", "")).collect();
    // Some get a server, some are told, some wait to be let in.
    eventually("some run", || (backend.seen().len() > 20).then_some(()));
    assert!(gateway.is_ready(), "the admin address is served all the same");
    release.let_go(1000);
    let mut told = 0;
    for client in &mut clients {
        let answer = client.read().expect("an answer");
        assert!([200, 503].contains(&answer.status), "{answer:?}");
        if answer.status == 503 {
            assert_eq!((answer.reason().as_str(), answer.header("retry-after")), ("exhausted", Some("1")));
            told += 1;
        }
        // It goes, and the next one is let in.
        let _ = client.stream.get_ref().shutdown(std::net::Shutdown::Both);
    }
    assert!((1..150).contains(&told), "{told}");
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    eventually("all is well again", || {
        try_exchange(gateway.port, request).is_ok_and(|a| a.text() == "x").then_some(())
    });
}
