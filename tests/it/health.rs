//! Servers that fail are left alone, and get their requests back when they work again.

use crate::lang::backend::{Backend, Connection, Mood};
use crate::lang::client::try_exchange;
use crate::lang::eventually;
use crate::lang::gateway::{Gateway, gateway};

/// The upstream `u` of these servers with these settings, behind every path.
fn upstream(servers: &[&Backend], settings: &str) -> String {
    let endpoints: Vec<_> = servers.iter().map(|server| server.url()).collect();
    format!(
        "upstreams: [{{name: u, endpoints: [{}], {settings}}}]\nroutes: [{{path: /, backends: [{{upstream: u}}]}}]",
        endpoints.join(", ")
    )
}

fn healthy(server: &Backend) -> String {
    format!(r#"gateway_backend_healthy{{backend="u/{}"}}"#, server.authority())
}

fn circuit(server: &Backend) -> String {
    format!(r#"gateway_circuit_state{{backend="u/{}"}}"#, server.authority())
}

/// Asks until the gateway has made up its mind about a server.
fn ask_until(gateway: &Gateway, series: &str, value: f64) {
    eventually(&format!("{series} {value}"), || {
        gateway.get("/");
        (gateway.metric(series) == Some(value)).then_some(())
    });
}

#[test]
fn h102_a_server_that_fails_five_times_in_a_row_is_left_alone_and_comes_back() {
    let ((good, _), (bad, mood)) = (Backend::in_mood("good"), Backend::in_mood("bad"));
    mood.set(502);
    let gateway = gateway(&upstream(&[&good, &bad], "healthCheck: {passive: {ejectFor: 1s}}"));
    assert_eq!(gateway.metric(&healthy(&bad)), Some(1.0), "innocent until known");
    let failures = (0..20).filter(|_| gateway.get("/").status == 502).count();
    assert_eq!((failures, bad.seen().len()), (5, 5), "five and no more");
    assert_eq!((gateway.metric(&healthy(&bad)), gateway.metric(&healthy(&good))), (Some(0.0), Some(1.0)));
    mood.set(200);
    eventually("it is asked again", || {
        assert_eq!(gateway.get("/").status, 200);
        (bad.seen().len() > 7).then_some(())
    });
    assert_eq!(gateway.metric(&healthy(&bad)), Some(1.0));
}

#[test]
fn h102_a_success_between_failures_ends_the_row() {
    let ((good, _), (bad, mood)) = (Backend::in_mood("good"), Backend::in_mood("bad"));
    let gateway = gateway(&upstream(&[&good, &bad], "healthCheck: {passive: {failures: 3, ejectFor: 1m}}"));
    for _ in 0..5 {
        for status in [503, 504, 200] {
            mood.set(status);
            let before = bad.seen().len();
            eventually("asked", || {
                gateway.get("/");
                (bad.seen().len() > before).then_some(())
            });
        }
    }
    assert_eq!(gateway.metric(&healthy(&bad)), Some(1.0));
}

#[test]
fn h103_the_last_server_is_never_left_alone() {
    let ((one, of_one), (two, of_two)) = (Backend::in_mood("one"), Backend::in_mood("two"));
    of_one.set(503);
    of_two.set(503);
    let gateway = gateway(&upstream(&[&one, &two], "healthCheck: {passive: {maxEjectPercent: 100, ejectFor: 1m}}"));
    for _ in 0..30 {
        let answer = gateway.get("/");
        assert!(answer.status == 503 && ["one", "two"].contains(&answer.text().as_str()), "{answer:?}");
    }
    assert_eq!(one.seen().len() + two.seen().len(), 30, "each request was asked of a server");
    let usable = [&one, &two].map(|server| gateway.metric(&healthy(server)).expect("a series"));
    assert_eq!(usable.iter().sum::<f64>(), 1.0);
}

#[test]
fn h102_answers_that_are_always_cut_are_failures_too() {
    let cuts = |mut connection: Connection| {
        connection.request()?;
        connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    };
    let (good, bad) = (Backend::says("good"), Backend::scripted(cuts));
    let gateway = gateway(&upstream(&[&good, &bad], "healthCheck: {passive: {ejectFor: 1m}}"));
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let failed = (0..30).filter(|_| try_exchange(gateway.port, request).is_err()).count();
    assert_eq!((failed, gateway.metric(&healthy(&bad))), (5, Some(0.0)));
}

fn probed(servers: &[&Backend], probe: &str, more: &str) -> String {
    let active = format!("{{{probe}, interval: 100ms, timeout: 200ms, healthyAfter: 2, unhealthyAfter: 2}}");
    upstream(servers, &format!("healthCheck: {{active: {active}, passive: {{disabled: true}}{more}}}"))
}

#[test]
fn h106_probes_take_a_server_out_and_bring_it_back() {
    let ((good, _), (sick, mood)) = (Backend::in_mood("good"), Backend::in_mood("sick"));
    let gateway = gateway(&probed(&[&good, &sick], "path: /healthz", ""));
    gateway.await_metric(&healthy(&sick), 1.0);
    mood.set(500);
    gateway.await_metric(&healthy(&sick), 0.0);
    assert!((0..10).all(|_| gateway.get("/page").text() == "good"));
    assert_eq!(sick.count("/page"), 0);
    mood.set(204);
    gateway.await_metric(&healthy(&sick), 1.0);
    eventually("asked again", || {
        gateway.get("/page");
        (sick.count("/page") > 0).then_some(())
    });
    assert!(good.count("/healthz") > 2, "probes go on while it is healthy");
}

#[test]
fn h106_probes_that_hang_redirect_or_never_end_are_failures_and_cost_little() {
    fn answer(kind: &str, connection: &mut Connection) -> std::io::Result<()> {
        match kind {
            "hangs" => connection.request().map(|_| ()),
            "redirects" => connection.write(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"),
            "another protocol" => connection.write(b"SSH-2.0-OpenSSH_9.2\r\n"),
            _ => loop {
                connection.write(&[b'x'; 4096])?;
            },
        }
    }
    for kind in ["hangs", "redirects", "another protocol", "endless head"] {
        let good = Backend::says("good");
        let bad = Backend::scripted(move |mut connection| {
            while connection.request()?.is_some() {
                answer(kind, &mut connection)?;
            }
            Ok(())
        });
        let gateway = gateway(&probed(&[&good, &bad], "path: /healthz", ""));
        gateway.await_metric(&healthy(&bad), 0.0);
        assert!((0..4).all(|_| gateway.get("/page").text() == "good"), "{kind}");
        assert!(gateway.peak_memory_kib() < 100_000, "{kind}");
    }
}

#[test]
fn h106_a_probe_may_be_a_mere_connection() {
    let (good, gone) = (Backend::says("good"), Backend::says("gone"));
    let port = gone.port;
    let gateway = gateway(&probed(&[&good, &gone], "type: tcp", ""));
    let series = healthy(&gone);
    gateway.await_metric(&series, 1.0);
    drop(gone);
    gateway.await_metric(&series, 0.0);
    assert!((0..10).all(|_| gateway.get("/").text() == "good"));
    assert_eq!(gateway.metric("sluice_retries_total"), Some(0.0), "nobody tried the one that is gone");
    let back = Backend::scripted_on(port, |mut connection| {
        while connection.request()?.is_some() {
            connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nback")?;
        }
        Ok(())
    });
    gateway.await_metric(&healthy(&back), 1.0);
    eventually("it serves", || (gateway.get("/").text() == "back").then_some(()));
}

#[test]
fn h103_with_nobody_healthy_all_are_tried_or_the_client_is_told() {
    for (more, status, reason) in [("", 200, "x"), (", panicPercent: 0", 503, "no_healthy_endpoint")] {
        let servers = [Backend::answers(|seen| {
            let status = if seen.line().contains("/healthz") { 500 } else { 200 };
            format!("HTTP/1.1 {status} S\r\nContent-Length: 1\r\n\r\nx")
        })];
        let gateway = gateway(&probed(&[&servers[0]], "path: /healthz", more));
        gateway.await_metric(&healthy(&servers[0]), 0.0);
        let answer = gateway.get("/page");
        assert_eq!((answer.status, answer.reason().as_str()), (status, reason));
        assert_eq!(answer.header("retry-after"), (status == 503).then_some("1"));
    }
}

const BREAKER: &str = "healthCheck: {passive: {disabled: true}}, \
    circuitBreaker: {minRequests: 4, window: 10s, openFor: 1s, halfOpenRequests: 2}";

fn failing() -> (Backend, Mood) {
    let (server, mood) = Backend::in_mood("words of the server");
    mood.set(500);
    (server, mood)
}

#[test]
fn a_breaker_opens_tries_again_and_closes() {
    let (server, mood) = failing();
    let gateway = gateway(&upstream(&[&server], BREAKER));
    assert_eq!(gateway.metric(&circuit(&server)), Some(0.0));
    assert!((0..4).all(|_| gateway.get("/").status == 500));
    let refused = gateway.get("/");
    assert_eq!((refused.status, refused.reason().as_str()), (503, "circuit_open"));
    assert_eq!((refused.header("retry-after"), gateway.metric(&circuit(&server))), (Some("1"), Some(2.0)));
    assert_eq!(server.seen().len(), 4, "it is left alone");
    gateway.await_metric(&circuit(&server), 1.0);
    // The metric may be a tick ahead of the workers' clock.
    eventually("half-open, one may try", || (gateway.get("/").status == 500).then_some(()));
    let refused = gateway.get("/");
    assert_eq!((refused.reason().as_str(), gateway.metric(&circuit(&server))), ("circuit_open", Some(2.0)));
    assert_eq!(refused.header("retry-after"), Some("2"), "twice as long");
    mood.set(200);
    gateway.await_metric(&circuit(&server), 1.0);
    eventually("the first good one", || (gateway.get("/").status == 200).then_some(()));
    assert_eq!(gateway.get("/").status, 200);
    assert_eq!(gateway.metric(&circuit(&server)), Some(0.0));
}

#[test]
fn an_open_breaker_sends_requests_elsewhere() {
    let ((good, _), (bad, _)) = (Backend::in_mood("good"), failing());
    let gateway = gateway(&upstream(&[&good, &bad], &BREAKER.replace("openFor: 1s", "openFor: 1m")));
    ask_until(&gateway, &circuit(&bad), 2.0);
    let before = bad.seen().len();
    assert!((0..10).all(|_| gateway.get("/").text() == "good"));
    assert_eq!(bad.seen().len(), before);
}

#[test]
fn h103_when_breakers_keep_the_healthy_away_the_ill_are_tried() {
    // One is ill by its 502s; the other is healthy, but its breaker opens by 500s.
    let ((ill, of_ill), (broken, of_broken)) = (Backend::in_mood("ill"), Backend::in_mood("broken"));
    of_ill.set(502);
    let gateway = gateway(&upstream(
        &[&ill, &broken],
        "healthCheck: {passive: {ejectFor: 1m}}, circuitBreaker: {minRequests: 8, openFor: 1m, statuses: [500]}",
    ));
    ask_until(&gateway, &healthy(&ill), 0.0);
    of_broken.set(500);
    ask_until(&gateway, &circuit(&broken), 2.0);
    of_ill.set(200);
    assert_eq!(gateway.get("/").text(), "ill", "nobody is usable: illness is ignored, an open breaker is not");
}

#[test]
fn what_is_known_about_servers_outlasts_edits() {
    let ((good, _), (ejected, mood), (broken, _)) = (Backend::in_mood("good"), Backend::in_mood("ejected"), failing());
    mood.set(502);
    let file = |weight: u32, more: &str| {
        let [good, ejected, broken] = [&good, &ejected, &broken].map(Backend::url);
        format!(
            "upstreams: [{{name: u, endpoints: [{good}, {{url: '{ejected}', weight: {weight}}}, {broken}], \
             healthCheck: {{passive: {{ejectFor: 1m, failures: {weight}}}}}, \
             circuitBreaker: {{minRequests: 3, openFor: 1m, statuses: [500]{more}}}}}]\n\
             routes: [{{path: /, backends: [{{upstream: u}}]}}]"
        )
    };
    let gateway = gateway(&file(3, ""));
    ask_until(&gateway, &healthy(&ejected), 0.0);
    ask_until(&gateway, &circuit(&broken), 2.0);
    let before = ejected.seen().len() + broken.seen().len();
    for turn in [file(5, ", window: 20s"), file(2, ", failurePercent: 90").replace("path: /,", "path: /, priority: 1,")]
    {
        gateway.reload(&turn);
        assert!((0..9).all(|_| gateway.get("/").text() == "good"));
        assert_eq!(
            (gateway.metric(&healthy(&ejected)), gateway.metric(&circuit(&broken))),
            (Some(0.0), Some(2.0)),
            "{turn}"
        );
    }
    assert_eq!(ejected.seen().len() + broken.seen().len(), before);
    // Another id on the same address is another server.
    gateway.reload(&file(3, "").replace("weight: 3}", "weight: 3, id: other}"));
    gateway.await_metric(&healthy(&ejected), 1.0);
}

#[test]
fn h104_what_an_empty_upstream_is_answered_with_can_be_chosen() {
    let gateway = gateway(
        "upstreams: [{name: u, endpoints: [], whenEmpty: 500}]\nroutes: [{path: /, backends: [{upstream: u}]}]",
    );
    let answer = gateway.get("/");
    assert_eq!((answer.status, answer.reason().as_str()), (500, "no_endpoints"));
}
