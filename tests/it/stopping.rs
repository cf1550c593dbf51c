//! How it ends: no request is lost, and it ends in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::lang::backend::Backend;
use crate::lang::client::Client;
use crate::lang::eventually;
use crate::lang::gateway::{gateway, gateway_with};

fn route(backend: &Backend) -> String {
    format!("routes: [{{path: /, backends: [{}]}}]", backend.url())
}

#[test]
fn h112_told_to_end_it_serves_on_says_so_and_loses_nothing() {
    let backend = Backend::says("x");
    let mut gateway = gateway_with(&route(&backend), &["--drain", "2s"]);
    let (port, admin) = (gateway.port, gateway.admin);
    let ended = Arc::new(AtomicBool::new(false));
    let told_to_go = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (ended, told_to_go) = (ended.clone(), told_to_go.clone());
            std::thread::spawn(move || {
                let (mut count, mut told) = (0, 0);
                // As a balancer does: new connections until readiness is gone for a while.
                'connections: while let Ok(mut client) = Client::connect(port) {
                    loop {
                        if ended.load(Ordering::Relaxed) {
                            break 'connections;
                        }
                        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
                        let answer = client.read().expect("no request is lost");
                        assert_eq!(answer.status, 200);
                        count += 1;
                        if answer.header("connection") == Some("close") {
                            told += 1;
                            told_to_go.fetch_add(1, Ordering::Relaxed);
                            break;
                        }
                    }
                }
                (count, told)
            })
        })
        .collect();
    eventually("all of them run", || (backend.seen().len() > 100).then_some(()));
    gateway.signal("TERM");
    eventually("not ready", || {
        let answer =
            crate::lang::client::try_exchange(admin, b"GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        answer.is_ok_and(|answer| answer.status == 503).then_some(())
    });
    // The balancer notices and sends no more, after every client was told to go and some came again.
    eventually("told to go", || (told_to_go.load(Ordering::Relaxed) > 20).then_some(()));
    ended.store(true, Ordering::Relaxed);
    for client in clients {
        let (count, told) = client.join().expect("no request failed");
        assert!(count > 0 && told > 0, "{count} requests, {told} times told to go");
    }
    assert!(gateway.wait().success());
}

#[test]
fn running_exchanges_finish_and_idle_connections_close() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let backend = Backend::scripted(move |mut connection| {
        connection.request()?;
        let _ = wait.lock().expect("not poisoned").recv();
        connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate")
    });
    let mut gateway = gateway(&route(&backend));
    let mut idle = Client::connect(gateway.port).expect("connected");
    let mut running = Client::connect(gateway.port).expect("connected");
    running.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    eventually("it runs", || (backend.seen().len() == 1).then_some(()));
    gateway.signal("TERM");
    assert!(idle.is_closed(), "an idle connection has nothing to wait for");
    assert!(
        Client::connect(gateway.port).is_err()
            || eventually("closed", || Client::connect(gateway.port).is_err().then_some(true))
    );
    go.send(()).expect("the server waits");
    assert_eq!(running.read().expect("the answer").text(), "late");
    assert!(gateway.wait().success());
}

#[test]
fn what_does_not_finish_is_ended_at_the_deadline_and_by_a_second_signal() {
    let backend = Backend::scripted(|mut connection| {
        connection.request()?;
        connection.request()?;
        Ok(())
    });
    for (arguments, signals) in [(["--drain-deadline", "1s"], 1), (["--drain-deadline", "1h"], 2)] {
        let mut gateway = gateway_with(&route(&backend), &arguments);
        let before = backend.seen().len();
        let mut client = Client::connect(gateway.port).expect("connected");
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
        eventually("it runs", || (backend.seen().len() > before).then_some(()));
        let began = Instant::now();
        for _ in 0..signals {
            gateway.signal("TERM");
            eventually("it ends", || gateway.log().contains("told to end").then_some(()));
        }
        assert!(gateway.wait().success());
        assert!(began.elapsed() < Duration::from_secs(15));
    }
}
