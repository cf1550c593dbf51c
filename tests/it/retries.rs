//! Tried again where that is safe and asked for, and never so often that it becomes the outage.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::lang::backend::{Backend, Connection};
use crate::lang::client::{Answer, Client, try_exchange};
use crate::lang::gateway::{Gateway, gateway};
use crate::lang::{eventually, free_port};

/// Two servers behind one rule, with these retries.
fn route(servers: &[&Backend], retries: &str) -> String {
    let urls: Vec<_> = servers.iter().map(|server| server.url()).collect();
    // Passive health would take the bad one away before the test has seen enough of it.
    format!(
        "defaults: {{upstream: {{healthCheck: {{passive: {{disabled: true}}}}}}}}\n\
         routes: [{{path: /, {retries}, backends: [{}]}}]",
        urls.join(", ")
    )
}

fn ask(gateway: &Gateway, method: &str, body: &str) -> Answer {
    let length = body.len();
    gateway
        .send(&format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"))
}

/// A server that does this with every request, after it has read it.
fn bad(behaviour: &'static str) -> Backend {
    Backend::scripted(move |mut connection| {
        while connection.request()?.is_some() {
            match behaviour {
                "closes" => return Ok(()),
                "resets" => {
                    connection.reset();
                    return Ok(());
                }
                "breaks off its head" => return connection.write(b"HTTP/1.1 200 OK\r\nContent-"),
                "hangs" => {}
                status => {
                    connection.write(format!("HTTP/1.1 {status} S\r\nContent-Length: 3\r\n\r\nbad").as_bytes())?;
                }
            }
        }
        Ok(())
    })
}

#[test]
fn h097_what_is_asked_for_is_tried_again_elsewhere_with_methods_that_allow_it() {
    for (behaviour, retries) in [
        ("closes", "triggers: [reset]"),
        ("resets", "triggers: [reset]"),
        ("breaks off its head", "triggers: [reset]"),
        ("hangs", "triggers: [timeout]"),
        ("503", "statuses: [503]"),
        ("502", "statuses: ['500-502', 504]"),
        ("599", "statuses: ['5xx']"),
    ] {
        let (good, bad) = (Backend::says("good"), bad(behaviour));
        let file = route(&[&bad, &good], &format!("timeouts: {{perTry: 300ms}}, retries: {{attempts: 1, {retries}}}"));
        let gateway = gateway(&file);
        for method in ["GET", "PUT", "DELETE"] {
            for _ in 0..2 {
                assert_eq!(ask(&gateway, method, "body").text(), "good", "{behaviour} {method}");
            }
        }
        let (tried, retried) = (bad.seen().len(), gateway.metric("sluice_retries_total"));
        assert!(tried >= 2 && retried == Some(tried as f64), "{behaviour}: {tried} {retried:?}");
        let posts: Vec<_> = (0..2).map(|_| ask(&gateway, "POST", "body").status).collect();
        assert_eq!(posts.iter().filter(|status| **status == 200).count(), 1, "{behaviour}: no POST twice: {posts:?}");
    }
}

#[test]
fn h097_nothing_but_connecting_is_tried_again_by_default() {
    for behaviour in ["closes", "resets", "503", "502"] {
        let (good, bad) = (Backend::says("good"), bad(behaviour));
        let gateway = gateway(&route(&[&bad, &good], "priority: 0"));
        let statuses: Vec<_> = (0..4).map(|_| ask(&gateway, "GET", "").status).collect();
        assert_eq!((bad.seen().len(), good.seen().len()), (2, 2), "{behaviour}: {statuses:?}");
    }
}

#[test]
fn tries_are_bounded_by_attempts_and_each_goes_to_another_server() {
    let servers: Vec<_> = (0..4).map(|_| bad("503")).collect();
    let every: Vec<_> = servers.iter().collect();
    for attempts in 0..4 {
        let gateway =
            gateway(&route(&every, &format!("retries: {{attempts: {attempts}, statuses: [503], backoff: 1ms}}")));
        let before: Vec<_> = servers.iter().map(|server| server.seen().len()).collect();
        assert_eq!(ask(&gateway, "GET", "").text(), "bad", "the last answer is the client's");
        let tries: Vec<_> = servers.iter().zip(before).map(|(server, before)| server.seen().len() - before).collect();
        assert_eq!(tries.iter().sum::<usize>(), attempts + 1);
        assert!(tries.iter().all(|tries| *tries <= 1), "{tries:?}");
    }
}

#[test]
fn other_methods_can_be_listed_and_listed_ones_left_out() {
    let (good, bad) = (Backend::says("good"), bad("503"));
    let gateway = gateway(&route(&[&bad, &good], "retries: {statuses: [503], methods: [POST]}"));
    assert!((0..4).all(|_| ask(&gateway, "POST", "body").text() == "good"));
    let gets = (0..4).filter(|_| ask(&gateway, "GET", "").text() == "good").count();
    assert_eq!(gets, 2);
}

#[test]
fn a_body_is_sent_again_whole_up_to_the_length_that_is_held() {
    let (good, bad) = (Backend::says("good"), bad("503"));
    let gateway = gateway(&route(&[&bad, &good], "retries: {attempts: 1, statuses: [503], body: 1KiB}"));
    let (fits, over) = ("f".repeat(1024), "o".repeat(1025));
    for _ in 0..2 {
        assert_eq!(ask(&gateway, "PUT", &fits).text(), "good");
        assert_eq!(good.last().body, fits.as_bytes(), "whole");
    }
    let texts: Vec<_> = (0..4).map(|_| ask(&gateway, "PUT", &over).text()).collect();
    assert_eq!(texts.iter().filter(|text| *text == "good").count(), 2, "not tried again: {texts:?}");
    // The same for a body whose length nobody tells.
    let chunked = |body: &str| {
        let request = format!(
            "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
            body.len()
        );
        gateway.send(&request).text()
    };
    for _ in 0..2 {
        assert_eq!(chunked(&fits), "good");
        assert_eq!((good.last().body, good.last().values("transfer-encoding").len()), (fits.clone().into_bytes(), 1));
    }
    assert_eq!((0..4).filter(|_| chunked(&over) == "good").count(), 2);
}

#[test]
fn h105_retry_storm_is_bounded_by_the_budget() {
    let server = bad("503");
    let file = route(&[&server], "retries: {attempts: 3, statuses: [503], backoff: 0ms}")
        .replace("{healthCheck:", "{retryBudget: {percent: 20, minPerSecond: 1}, healthCheck:");
    let gateway = gateway(&file);
    let mut client = Client::connect(gateway.port).expect("connected");
    let requests = 500;
    for _ in 0..requests {
        assert_eq!(client.get("/").expect("an answer").status, 503);
    }
    let tries = server.seen().len();
    assert!(tries > requests + 10, "some are tried again: {tries}");
    assert!(tries <= requests * 12 / 10 + 10, "{tries} tries of {requests} requests");
}

#[test]
fn h105_retries_end_with_the_time_of_the_request() {
    let server = bad("503");
    let retries = "timeouts: {request: 400ms}, retries: {attempts: 10, statuses: [503], backoff: 10s, maxBackoff: 10s}";
    let gateway = gateway(&route(&[&server], retries));
    let began = Instant::now();
    let answer = gateway.get("/");
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert!([(504, "request_timeout".to_owned()), (503, "bad".to_owned())].contains(&(answer.status, answer.reason())));
}

#[test]
fn h099_the_time_of_one_try_and_of_the_request_are_two() {
    let (hangs, good) = (bad("hangs"), Backend::says("good"));
    let file =
        route(&[&hangs, &good], "timeouts: {request: 5s, perTry: 200ms}, retries: {attempts: 1, triggers: [timeout]}");
    let gateway = gateway(&file);
    assert!((0..4).all(|_| gateway.get("/").text() == "good"));
    gateway.reload(&route(&[&hangs], "timeouts: {request: 5s, perTry: 200ms}"));
    let answer = gateway.get("/");
    assert_eq!((answer.status, answer.reason().as_str()), (504, "try_timeout"));
    gateway.reload(&route(&[&hangs], "timeouts: {request: 300ms}, retries: {attempts: 5, triggers: [timeout]}"));
    let answer = gateway.get("/");
    assert_eq!((answer.status, answer.reason().as_str()), (504, "request_timeout"));
    // A body may take longer than one try: that ends with the head of the answer.
    let drips = Backend::scripted(|mut connection: Connection| {
        connection.request()?;
        connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n")?;
        for _ in 0..8 {
            std::thread::sleep(Duration::from_millis(50));
            connection.write(b"x")?;
        }
        Ok(())
    });
    gateway.reload(&route(&[&drips], "timeouts: {perTry: 200ms}"));
    assert_eq!(gateway.get("/").text(), "xxxxxxxx");
}

/// A port that never answers, not even that there is nobody: its queue is full, so the system drops what comes.
fn blackhole() -> (socket2::Socket, Vec<std::net::TcpStream>, u16) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    let address: std::net::SocketAddr = ([127, 0, 0, 1], free_port()).into();
    socket.bind(&address.into()).and_then(|()| socket.listen(0)).expect("a free port");
    let mut queue = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        queue.push(stream);
        assert!(queue.len() < 100, "its queue has no end");
    }
    (socket, queue, address.port())
}

#[test]
fn h096_a_server_that_says_nothing_costs_the_time_to_connect_or_of_one_try() {
    let (_socket, _queue, port) = blackhole();
    let good = Backend::says("good");
    for (upstream, rule) in [("connectTimeout: 300ms", ""), ("connectTimeout: 10s", "timeouts: {perTry: 300ms}, ")] {
        let gateway = gateway(&format!(
            "defaults: {{upstream: {{{upstream}}}}}\n\
             routes: [{{path: /, {rule}backends: ['http://127.0.0.1:{port}', {}]}}]",
            good.url()
        ));
        let began = Instant::now();
        for method in ["GET", "POST", "GET", "POST"] {
            assert_eq!(ask(&gateway, method, "body").text(), "good", "{upstream} {rule} {method}");
        }
        assert!(began.elapsed() < Duration::from_secs(4), "{upstream} {rule}: {:?}", began.elapsed());
        assert!(gateway.metric("sluice_retries_total") >= Some(2.0), "some met it");
    }
}

#[test]
fn h105_nothing_is_tried_again_once_the_client_has_seen_a_byte() {
    let answers = AtomicUsize::new(0);
    let cuts = Backend::scripted(move |mut connection| {
        connection.request()?;
        answers.fetch_add(1, Ordering::SeqCst);
        connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    });
    let file = route(&[&cuts], "retries: {attempts: 3, triggers: [reset, timeout, connectFailure], statuses: ['5xx']}");
    let gateway = gateway(&file);
    let got = try_exchange(gateway.port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(got.is_err(), "{got:?}");
    assert_eq!((cuts.seen().len(), gateway.metric("sluice_retries_total")), (1, Some(0.0)));
}

#[test]
fn h101_an_early_refusal_is_relayed_or_tried_again_as_its_status_says() {
    // They answer when they have read the head, and never read the body.
    fn early(status: &'static str) -> Backend {
        Backend::scripted(move |mut connection| {
            connection.head()?;
            let answer = format!("HTTP/1.1 {status} Early\r\nContent-Length: 5\r\nConnection: close\r\n\r\nearly");
            connection.write(answer.as_bytes())?;
            // Not closed with unread bytes: a reset could overtake the answer.
            std::io::copy(&mut connection.stream, &mut std::io::sink()).map(|_| ())
        })
    }
    for status in ["401", "413"] {
        let (refuses, good) = (early(status), Backend::says("good"));
        let gateway = gateway(&route(&[&refuses, &good], "retries: {attempts: 1, statuses: ['5xx']}"));
        let mut answers: Vec<_> = (0..2).map(|_| ask(&gateway, "PUT", &"b".repeat(500_000))).collect();
        answers.sort_by_key(|answer| answer.status);
        assert_eq!((answers[0].text(), answers[1].text()), ("good".into(), "early".into()), "{status}");
        // The client that waits before it sends its body hears of it without having sent it.
        let mut early = 0;
        for _ in 0..2 {
            let mut client = Client::connect(gateway.port).expect("connected");
            client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nConnection: close\r\n\r\n").expect("sent");
            if eventually("one of both", || {
                let seen = refuses.connections() + good.connections();
                (seen > 0).then_some(true)
            }) {
                let _ = client.stream.get_ref().set_read_timeout(Some(Duration::from_millis(300)));
                early += usize::from(client.read().is_ok_and(|answer| answer.text() == "early"));
            }
        }
        assert_eq!(early, 1);
    }
}
