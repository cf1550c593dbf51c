//! Servers that are gone, slow, or wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::lang::backend::Backend;
use crate::lang::client::{Client, try_exchange};
use crate::lang::gateway::gateway;
use crate::lang::{eventually, free_port};

#[test]
fn h096_a_dead_endpoint_costs_no_request_whatever_the_method() {
    let backend = Backend::says("alive");
    let gateway = gateway(&format!(
        "routes: [{{path: /, backends: [{}, 'http://127.0.0.1:{}', 'http://127.0.0.1:{}']}}]",
        backend.url(),
        free_port(),
        free_port()
    ));
    for method in ["GET", "POST", "PATCH"] {
        for _ in 0..10 {
            let answer = gateway
                .send(&format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"));
            assert_eq!(answer.text(), "alive", "{method}");
        }
    }
    assert!(gateway.metric("sluice_retries_total").is_some_and(|retries| retries > 0.0));
}

#[test]
fn h096_when_nobody_can_be_reached_the_answer_comes_at_once() {
    let gateway = gateway(&format!("routes: [{{path: /, backends: ['http://127.0.0.1:{}']}}]", free_port()));
    let began = Instant::now();
    let answer = gateway.get("/");
    assert_eq!((answer.status, answer.reason().as_str()), (502, "connect_failed"));
    assert!(began.elapsed() < Duration::from_secs(2), "within the connect timeout of one try");
}

#[test]
fn h097_a_server_that_closes_instead_of_answering_is_502_and_not_asked_twice() {
    let backend = Backend::scripted(|mut connection| connection.request().map(|_| ()));
    let gateway = gateway(&format!("routes: [{{path: /, backends: [{}]}}]", backend.url()));
    let answer = gateway.get("/");
    assert_eq!((answer.status, answer.reason().as_str()), (502, "no_answer"));
    assert_eq!(backend.connections(), 1, "it may have begun to work on the request");
    let reset = Backend::scripted(|mut connection| {
        connection.request()?;
        connection.reset();
        Ok(())
    });
    let gateway = crate::lang::gateway::gateway(&format!("routes: [{{path: /, backends: [{}]}}]", reset.url()));
    assert_eq!(gateway.get("/").status, 502);
}

#[test]
fn h098_a_kept_connection_that_the_server_closes_costs_no_request() {
    // Each connection answers twice and closes right after the second answer.
    let backend = Backend::scripted(|mut connection| {
        for _ in 0..2 {
            if connection.request()?.is_none() {
                return Ok(());
            }
            connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")?;
        }
        Ok(())
    });
    let gateway = gateway(&format!("routes: [{{path: /, backends: [{}]}}]", backend.url()));
    let mut client = Client::connect(gateway.port).expect("connected");
    for turn in 0..200 {
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
        assert_eq!(client.read().expect("an answer").status, 200, "turn {turn}");
    }
}

#[test]
fn h098_a_server_that_closes_while_it_reads_is_tried_again_only_if_that_is_safe() {
    // The first request of a connection is answered; the second is read and not answered.
    let backend = Backend::scripted(|mut connection| {
        if connection.request()?.is_some() {
            connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")?;
            connection.request()?;
        }
        Ok(())
    });
    let gateway = crate::lang::gateway::gateway_with(
        &format!("routes: [{{path: /, backends: [{}]}}]", backend.url()),
        &["--workers", "1"],
    );
    let ask = |method: &str| {
        let request = format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        try_exchange(gateway.port, request.as_bytes()).expect("an answer").status
    };
    assert_eq!(ask("GET"), 200);
    assert_eq!(ask("GET"), 200, "tried again on a new connection");
    assert_eq!(ask("POST"), 502, "the server may have acted on it");
}

#[test]
fn h098_a_request_with_a_body_is_sent_again_whole_while_it_is_short_enough_to_be_held() {
    // The first request of a connection is answered; the second is read and not answered.
    let backend = Backend::scripted(|mut connection| {
        if connection.request()?.is_some() {
            connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")?;
            connection.request()?;
        }
        Ok(())
    });
    let gateway = crate::lang::gateway::gateway_with(
        &format!("routes: [{{path: /, backends: [{}]}}]", backend.url()),
        &["--workers", "1"],
    );
    let put = |body: &str| {
        let length = body.len();
        let request =
            format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
        try_exchange(gateway.port, request.as_bytes()).expect("an answer").status
    };
    let (short, long) = ("short ".repeat(1000), "long".repeat(50_000));
    assert_eq!(put("first"), 200);
    assert_eq!(put(&short), 200, "tried again on a new connection");
    let bodies: Vec<_> = backend.seen().into_iter().map(|seen| seen.body).collect();
    assert_eq!(bodies, [b"first".to_vec(), short.clone().into_bytes(), short.into_bytes()]);
    assert_eq!(put(&long), 502, "more than 64 KiB were sent before the server closed");
}

#[test]
fn h099_timeouts_of_servers_that_never_answer() {
    let backend = Backend::scripted(|mut connection| {
        connection.request()?;
        connection.request()?;
        Ok(())
    });
    let gateway = gateway(&format!(
        "routes:\n  - {{path: /idle, timeouts: {{idle: 300ms}}, backends: [{url}]}}\n  - {{path: /request, timeouts: {{request: 300ms}}, backends: [{url}]}}\n",
        url = backend.url()
    ));
    let (idle, request) = (gateway.get("/idle"), gateway.get("/request"));
    assert_eq!((idle.status, idle.reason().as_str()), (504, "upstream_timeout"));
    assert_eq!((request.status, request.reason().as_str()), (504, "request_timeout"));
    assert_eq!(backend.connections(), 2, "a connection that timed out is not used again");
}

#[test]
fn h100_a_body_that_stops_is_broken_off_and_one_that_drips_is_not() {
    let backend = Backend::scripted(|mut connection| {
        let Some(seen) = connection.request()? else { return Ok(()) };
        connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")?;
        let pieces = if seen.line().contains("/stops") { 3 } else { 10 };
        for _ in 0..pieces {
            connection.write(b"x")?;
            std::thread::sleep(Duration::from_millis(100));
        }
        connection.request()?;
        Ok(())
    });
    let gateway = gateway(&format!("routes: [{{path: /, timeouts: {{idle: 600ms}}, backends: [{}]}}]", backend.url()));
    assert_eq!(gateway.get("/drips").body.len(), 10);
    let cut = try_exchange(gateway.port, b"GET /stops HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(cut.is_err(), "half an answer must not look whole: {cut:?}");
}

#[test]
fn h035_answers_that_are_no_http_are_502() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        "HTTP/1.1 abc\r\n\r\n",
        "HTTP/1.1 099 Low\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n",
    ] {
        let backend = Backend::scripted(move |mut connection| {
            connection.request()?;
            connection.write(answer.as_bytes())?;
            connection.request()?;
            Ok(())
        });
        let gateway = gateway(&format!("routes: [{{path: /, timeouts: {{idle: 2s}}, backends: [{}]}}]", backend.url()));
        let got = gateway.get("/");
        assert_eq!((got.status, got.reason().as_str()), (502, "bad_answer"), "{answer:?}");
    }
}

#[test]
fn h038_a_cut_answer_never_looks_whole() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nZZ\r\n",
    ] {
        let backend = Backend::scripted(move |mut connection| {
            connection.request()?;
            connection.write(answer.as_bytes())
        });
        let gateway = gateway(&format!("routes: [{{path: /, backends: [{}]}}]", backend.url()));
        let got = try_exchange(gateway.port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(got.as_ref().map_or(true, |got| got.status == 502), "{answer:?} came as {got:?}");
        eventually("logged", || {
            gateway
                .access_log()
                .iter()
                .any(|line| line["reason"] == "answer_cut" || line["reason"] == "bad_answer")
                .then_some(())
        });
    }
}

#[test]
fn h036_an_answer_nobody_asked_for_is_never_given_to_the_next_request() {
    let poisons = Arc::new(AtomicBool::new(true));
    let is_there = Arc::new(AtomicBool::new(false));
    let was_sent = Arc::clone(&is_there);
    let backend = Backend::scripted(move |mut connection| {
        while connection.request()?.is_some() {
            connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")?;
            if poisons.swap(false, Ordering::Relaxed) {
                connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")?;
                was_sent.store(true, Ordering::Release);
            }
        }
        Ok(())
    });
    let gateway = gateway(&format!("routes: [{{path: /, backends: [{}]}}]", backend.url()));
    let mut client = Client::connect(gateway.port).expect("connected");
    for _ in 0..20 {
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
        assert_eq!(client.read().expect("an answer").text(), "good");
        // What has not arrived before the next request leaves cannot be told from its answer, by nobody.
        eventually("the poison is there", || is_there.load(Ordering::Acquire).then_some(()));
    }
}

#[test]
fn h104_an_upstream_without_endpoints_is_503_with_advice() {
    let gateway =
        gateway("upstreams: [{name: empty, endpoints: []}]\nroutes: [{path: /, backends: [{upstream: empty}]}]");
    let answer = gateway.get("/");
    assert_eq!(
        (answer.status, answer.reason().as_str(), answer.header("retry-after")),
        (503, "no_endpoints", Some("1"))
    );
}
