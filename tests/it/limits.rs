//! How often, how many at once, how long a body: what a rule grants each client, and what it tells the others.

use crate::lang::backend::Backend;
use crate::lang::client::{Answer, Client};
use crate::lang::eventually;
use crate::lang::gateway::{Gateway, gateway, gateway_on};

/// The tests stand on loopback, so their balancer does too.
const TRUSTED: &str = "clientAddress: {trust: [127.0.0.0/8]}";

/// A route with this limit. Six a minute: one every ten seconds, so nothing fills up while a test runs.
fn limited(backend: &Backend, limit: &str) -> String {
    format!("routes: [{{path: /, rateLimits: [{{name: a, rate: 6/m, {limit}}}], backends: [{}]}}]", backend.url())
}

fn statuses(gateway: &Gateway, path: &str, count: usize) -> Vec<u16> {
    (0..count).map(|_| gateway.get(path).status).collect()
}

#[test]
fn a_bucket_grants_its_burst_and_tells_when_to_come_back() {
    let backend = Backend::says("x");
    let gateway = gateway(&limited(&backend, "burst: 3"));
    assert_eq!(statuses(&gateway, "/", 3), [200; 3]);
    let refused = gateway.get("/");
    assert_eq!((refused.status, refused.reason().as_str()), (429, "rate_limited"));
    assert_eq!(refused.header("retry-after"), Some("10"), "one in ten seconds");
    assert!(!refused.headers.iter().any(|(name, _)| name.contains("ratelimit")), "{refused:?}");
    assert_eq!(backend.seen().len(), 3);
    gateway.await_metric(r#"gateway_rate_limited_total{client="127.0.0.1"}"#, 1.0);
    gateway.await_metric(r#"sluice_refusals_total{reason="rate_limited"}"#, 1.0);
}

#[test]
fn numbers_are_told_in_the_form_asked_for() {
    let backend = Backend::says("x");
    let header = |answer: &Answer, name: &str| answer.header(name).unwrap_or("none").to_owned();
    let standard = gateway(&limited(&backend, "burst: 3, headers: standard"));
    let (passed, _, _, refused) = (standard.get("/"), standard.get("/"), standard.get("/"), standard.get("/"));
    for (answer, state) in [(&passed, r#""a";r=2;t=10"#), (&refused, r#""a";r=0;t=30"#)] {
        assert_eq!(header(answer, "ratelimit-policy"), r#""a";q=6;w=60"#);
        assert_eq!(header(answer, "ratelimit"), state);
    }
    let legacy = gateway(&limited(&backend, "burst: 3, headers: legacy"));
    let (passed, _, _, refused) = (legacy.get("/"), legacy.get("/"), legacy.get("/"), legacy.get("/"));
    let numbers = |answer: &Answer| {
        ["limit", "remaining", "reset"].map(|name| header(answer, &format!("x-ratelimit-{name}"))).join(" ")
    };
    assert_eq!((numbers(&passed), numbers(&refused)), ("3 2 10".to_owned(), "3 0 30".to_owned()));
    assert_eq!((refused.status, header(&refused, "retry-after")), (429, "10".to_owned()));
}

#[test]
fn clients_behind_a_trusted_peer_are_counted_apart_and_together_without_a_key() {
    let backend = Backend::says("x");
    let apart = gateway_on(TRUSTED, &limited(&backend, "burst: 2, exempt: [192.0.2.0/24]"));
    for client in ["203.0.113.1", "203.0.113.2", "2001:db8::1"] {
        let got = [apart.status_for(client, "/"), apart.status_for(client, "/"), apart.status_for(client, "/")];
        assert_eq!(got, [200, 200, 429], "{client}");
    }
    assert_eq!(apart.status_for("2001:db8::2", "/"), 429, "an IPv6 client has a whole /64");
    assert!((0..5).all(|_| apart.status_for("192.0.2.7", "/") == 200), "exempt");
    for series in
        [r#"gateway_rate_limited_total{client="203.0.113.1"}"#, r#"gateway_rate_limited_total{client="2001:db8::"}"#]
    {
        assert!(apart.metric(series).is_some(), "{series} in {}", apart.admin("/metrics").text());
    }
    let together = gateway_on(TRUSTED, &limited(&backend, "burst: 2, key: []"));
    let got = ["203.0.113.1", "203.0.113.2", "203.0.113.3"].map(|client| together.status_for(client, "/"));
    assert_eq!(got, [200, 200, 429]);
}

#[test]
fn h060_names_in_metrics_are_bounded_however_many_clients_there_are() {
    let backend = Backend::says("x");
    let file = format!("observability: {{metrics: {{clients: 2}}}}\n{}", limited(&backend, "burst: 1, key: []"));
    let gateway = gateway_on(TRUSTED, &file);
    for client in 0..30 {
        gateway.status_for(&format!("203.0.113.{client}"), "/");
    }
    let text = gateway.admin("/metrics").text();
    let series: Vec<_> = text.lines().filter(|line| line.starts_with("gateway_rate_limited_total")).collect();
    assert!(series.len() <= 3, "{series:?}");
    let sum: f64 = series.iter().filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum();
    assert_eq!(sum, 29.0, "{series:?}");
}

#[test]
fn what_is_written_once_is_counted_once_for_all_who_use_it() {
    let backend = Backend::says("x");
    let url = backend.url();
    let gateway = gateway(&format!(
        "policies: [{{name: api, rateLimits: [{{name: c, rate: 6/m, burst: 2}}]}}]\n\
         routes:\n  - {{path: /a, use: [api], backends: [{url}]}}\n  - {{path: /b, use: [api], backends: [{url}]}}\n  \
         - {{path: /c, rateLimits: [{{name: c, rate: 6/m, burst: 2}}], backends: [{url}]}}\n"
    ));
    assert_eq!(["/a", "/b", "/a", "/b", "/c"].map(|path| gateway.get(path).status), [200, 200, 429, 429, 200]);
}

#[test]
fn a_limit_that_only_reports_refuses_nobody_and_counts() {
    let backend = Backend::says("x");
    let gateway = gateway(&limited(&backend, "burst: 1, mode: report, headers: standard"));
    let answer = gateway.get("/");
    assert_eq!((answer.status, answer.header("ratelimit")), (200, None), "nobody is held to it");
    assert_eq!(statuses(&gateway, "/", 3), [200; 3]);
    gateway.await_metric(r#"gateway_rate_limited_total{client="127.0.0.1"}"#, 3.0);
    assert_eq!(gateway.metric(r#"sluice_refusals_total{reason="rate_limited"}"#), None);
}

#[test]
fn a_sliding_window_has_no_burst_and_other_statuses_can_be_told() {
    let backend = Backend::says("x");
    let gateway = gateway(&limited(&backend, "algorithm: slidingWindow, status: 503"));
    assert_eq!(statuses(&gateway, "/", 8), [200, 200, 200, 200, 200, 200, 503, 503]);
    let wait: u64 = gateway.get("/").header("retry-after").and_then(|wait| wait.parse().ok()).expect("seconds");
    assert!((1..=120).contains(&wait), "{wait}");
}

#[test]
fn a_request_without_what_is_counted_by_is_counted_by_address_or_not_or_refused() {
    let backend = Backend::says("x");
    for (missing, wanted, reason) in [
        ("clientAddress", [200, 429, 429], "rate_limited"),
        ("skip", [200, 200, 200], "x"),
        ("reject", [429, 429, 429], "rate_key_missing"),
    ] {
        let limit = format!("burst: 1, key: ['header:X-Key'], missingKey: {missing}");
        let gateway = gateway(&limited(&backend, &limit));
        let keyed = ["a", "a", "b"].map(|key| gateway.get_with("/", &format!("X-Key: {key}\r\n")).status);
        assert_eq!(keyed, [200, 429, 200], "{missing}");
        assert_eq!(statuses(&gateway, "/", 3), wanted, "{missing}");
        assert_eq!(gateway.get("/").reason(), reason);
    }
}

#[test]
fn counts_outlast_edits_and_end_with_the_name() {
    let backend = Backend::says("x");
    let gateway = gateway(&limited(&backend, "burst: 3"));
    assert_eq!(statuses(&gateway, "/", 4), [200, 200, 200, 429]);
    // Other rules before it, another rate, another status: the same limit.
    let url = backend.url();
    gateway.reload(&format!(
        "routes:\n  - {{path: /first, backends: [{url}]}}\n  \
         - {{path: /, rateLimits: [{{name: b, rate: 1/s}}, {{name: a, rate: 12/m, burst: 3, status: 503}}], backends: [{url}]}}\n"
    ));
    let refused = gateway.get("/");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("5")), "{refused:?}");
    gateway.reload(&limited(&backend, "burst: 3").replace("name: a", "name: other"));
    assert_eq!(statuses(&gateway, "/", 4), [200, 200, 200, 429], "another limit");
}

#[test]
fn a_request_that_one_limit_refuses_costs_nothing_at_the_others() {
    let backend = Backend::says("x");
    let gateway = gateway(&format!(
        "routes: [{{path: /, rateLimits: [{{name: all, rate: 6/m, burst: 3, key: []}}, \
         {{name: key, rate: 6/m, burst: 1, key: ['header:X-Key']}}], backends: [{}]}}]",
        backend.url()
    ));
    let ask = |key: &str| gateway.get_with("/", &format!("X-Key: {key}\r\n")).status;
    assert_eq!(["a", "a", "a", "b", "c", "d"].map(ask), [200, 429, 429, 200, 200, 429]);
}

#[test]
fn so_many_at_once_so_many_wait_and_the_rest_are_told_at_once() {
    let (backend, release) = Backend::holding("done");
    let gateway = gateway(&format!(
        "routes: [{{path: /, concurrency: {{max: 1, queue: 1, queueTimeout: 700ms}}, backends: [{}]}}]",
        backend.url()
    ));
    let mut first = Client::begin(gateway.port, "/first", "");
    eventually("the first runs", || (backend.count("/first") == 1).then_some(()));
    let mut second = Client::begin(gateway.port, "/second", "");
    // Nobody can see it wait. Who comes after it is refused at once, who came before it waits in its place.
    let refused = eventually("the place is taken", || {
        let third = gateway.get("/third");
        (third.status == 503).then_some(third)
    });
    assert_eq!((refused.reason().as_str(), refused.header("retry-after")), ("too_many_at_once", Some("1")));
    let waited = second.read().expect("an answer");
    release.let_go(1);
    assert_eq!(first.read().expect("an answer").text(), "done");
    assert!(waited.status == 503 || backend.count("/second") == 1, "{waited:?}");
    assert_eq!(waited.reason(), "too_many_at_once", "its time was over before the first was done");
    let mut fourth = Client::begin(gateway.port, "/fourth", "");
    eventually("the fourth runs", || (backend.count("/fourth") == 1).then_some(()));
    let mut fifth = Client::begin(gateway.port, "/fifth", "");
    release.let_go(2);
    let texts = [&mut fourth, &mut fifth].map(|client| client.read().expect("an answer").text());
    assert_eq!(texts, ["done", "done"], "one after the other");
}

#[test]
fn places_are_counted_by_client_and_given_back_by_those_who_go() {
    let (backend, release) = Backend::holding("done");
    let file = format!(
        "routes: [{{path: /, concurrency: {{max: 1, per: [clientAddress], status: 429}}, backends: [{}]}}]",
        backend.url()
    );
    let gateway = gateway_on(TRUSTED, &file);
    let of = |client: &str| Client::begin(gateway.port, "/", &format!("X-Forwarded-For: {client}\r\n"));
    let (one, mut two) = (of("203.0.113.1"), of("203.0.113.2"));
    eventually("both run", || (backend.seen().len() == 2).then_some(()));
    assert_eq!(gateway.status_for("203.0.113.1", "/"), 429);
    drop(one);
    // Held at first; once let go it is answered.
    let mut again = eventually("the place is free", || {
        let client = of("203.0.113.1");
        eventually("it runs or is refused", || {
            let refusals = gateway.metric(r#"sluice_refusals_total{reason="too_many_at_once"}"#).unwrap_or_default();
            let refusals = refusals as usize;
            (backend.seen().len() == 3).then_some(true).or((refusals > 1).then_some(false))
        })
        .then_some(client)
    });
    release.let_go(3);
    assert_eq!(two.read().expect("an answer").text(), "done");
    assert_eq!(again.read().expect("an answer").text(), "done");
}

#[test]
fn a_body_too_long_is_told_before_it_is_read_and_while_it_streams() {
    let backend = Backend::says("x");
    let gateway =
        gateway(&format!("routes: [{{path: /, limits: {{requestBody: 10B}}, backends: [{}]}}]", backend.url()));
    let send = |head: &str| {
        let mut client = Client::connect(gateway.port).expect("connected");
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{head}").as_bytes()).expect("sent");
        let answer = client.read().expect("an answer");
        (answer.status, answer.reason(), client.is_closed())
    };
    let refused = (413, "body_too_large".to_owned(), true);
    assert_eq!(send("Content-Length: 11\r\n\r\n"), refused);
    assert_eq!(send("Content-Length: 11\r\nExpect: 100-continue\r\n\r\n"), refused);
    assert_eq!(backend.connections(), 0, "no server heard of it");
    assert_eq!(send("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n"), refused);
    assert!(backend.seen().is_empty(), "no server got it whole");
    for body in
        ["Content-Length: 10\r\n\r\n0123456789", "Transfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n"]
    {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{body}");
        assert_eq!(gateway.send(&request).status, 200, "{body}");
    }
}
