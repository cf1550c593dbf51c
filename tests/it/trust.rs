//! Who the client is: the peer, or whom a trusted peer names. Nobody else is believed.

use crate::lang::backend::Backend;
use crate::lang::gateway::{Gateway, gateway_on};

/// What a server hears about the client of a request with these headers.
fn heard(gateway: &Gateway, backend: &Backend, headers: &[&str]) -> Vec<String> {
    let lines: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    assert_eq!(gateway.get_with("/", &lines).status, 200);
    backend.last().values("x-forwarded-for")
}

fn route(backend: &Backend) -> String {
    format!("routes: [{{path: /, backends: [{}]}}]", backend.url())
}

#[test]
fn h079_an_untrusted_peer_speaks_for_nobody() {
    let backend = Backend::says("x");
    for listener in ["", "clientAddress: {trust: [10.0.0.0/8, '2001:db8::/32']}"] {
        let gateway = gateway_on(listener, &route(&backend));
        for headers in [
            &["X-Forwarded-For: 203.0.113.1"][..],
            &["X-Forwarded-For: 10.0.0.1", "X-Forwarded-For: 10.0.0.2, 203.0.113.1"],
            &["X_Forwarded_For: 203.0.113.1", "x-forwarded_for: 203.0.113.2", "X.Forwarded.For: 203.0.113.3"],
            &["Forwarded: for=203.0.113.1;proto=https", "X-Real-IP: 203.0.113.1", "X_Real_IP: 203.0.113.1"],
            &["X-Forwarded-Proto: https", "X-Forwarded-Host: evil", "X-Forwarded-Port: 1", "X-Forwarded-Server: e"],
            &[
                "X-Forwarded-Prefix: /evil",
                "X-Forwarded-Uri: /evil",
                "X-Forwarded-Method: PUT",
                "X_Forwarded_Proto: https",
            ],
            &["X-Forwarded-Tls-Client-Cert: my-pem", "X-Forwarded-Client-Cert: my-pem", "X-Client-Cert-Subject: evil"],
            &["X-Envoy-External-Address: 203.0.113.1", "X-Envoy-Original-Path: /evil", "x_envoy_internal: true"],
        ] {
            assert_eq!(heard(&gateway, &backend, headers), ["127.0.0.1"], "{headers:?}");
            let head = backend.last().head.to_lowercase();
            assert!(!head.contains("203.0.113") && !head.contains("evil") && !head.contains("my-pem"), "{head}");
            assert!(!head.contains("https") && head.matches("forwarded").count() == 3, "{head}");
        }
        let address = gateway.access_log().pop().map(|line| line["client"].clone());
        assert_eq!(address.and_then(|client| client.as_str().map(str::to_owned)).as_deref(), Some("127.0.0.1"));
    }
}

#[test]
fn h079_a_trusted_chain_is_walked_from_the_right_and_sent_on_without_what_was_made_up() {
    let backend = Backend::says("x");
    let gateway = gateway_on("clientAddress: {trust: [127.0.0.0/8, 10.0.0.0/8]}", &route(&backend));
    for (headers, wanted) in [
        (&[][..], "127.0.0.1"),
        (&["X-Forwarded-For: 203.0.113.1"], "203.0.113.1, 127.0.0.1"),
        (&["X-Forwarded-For: 8.8.8.8, 203.0.113.1, 10.0.0.5"], "203.0.113.1, 10.0.0.5, 127.0.0.1"),
        (
            &["X-Forwarded-For: 8.8.8.8", "X-Forwarded-For: 203.0.113.1", "X-Forwarded-For: 10.0.0.5"],
            "203.0.113.1, 10.0.0.5, 127.0.0.1",
        ),
        (&["X-Forwarded-For: 10.0.0.7, 10.0.0.8"], "10.0.0.7, 10.0.0.8, 127.0.0.1"),
        (&["X-Forwarded-For: 203.0.113.1, unknown, 10.0.0.8"], "10.0.0.8, 127.0.0.1"),
        (&["X-Forwarded-For: [2001:db8::9]:443"], "2001:db8::9, 127.0.0.1"),
        (&["X-Forwarded-For: ::ffff:203.0.113.1"], "203.0.113.1, 127.0.0.1"),
        (&["X-Forwarded-For: , ,"], "127.0.0.1"),
        (&["X_Forwarded_For: 203.0.113.1"], "127.0.0.1"),
    ] {
        assert_eq!(heard(&gateway, &backend, headers), [wanted], "{headers:?}");
    }
    let long = format!("X-Forwarded-For: 8.8.8.8, {}", vec!["10.0.0.1"; 200].join(", "));
    let heard = heard(&gateway, &backend, &[&long]);
    assert!(heard.len() == 1 && !heard[0].contains("8.8.8.8"), "bounded: {heard:?}");
}

#[test]
fn h079_another_header_can_name_the_client_and_is_nobody_elses_word() {
    let backend = Backend::says("x");
    let header = "header: CF-Connecting-IP";
    let trusting = gateway_on(&format!("clientAddress: {{trust: [127.0.0.0/8], {header}}}"), &route(&backend));
    let both = ["CF-Connecting-IP: 203.0.113.1", "X-Forwarded-For: 8.8.8.8"];
    assert_eq!(heard(&trusting, &backend, &both), ["203.0.113.1, 127.0.0.1"]);
    assert_eq!(backend.last().values("cf-connecting-ip"), ["203.0.113.1"], "its word is sent on");
    let alias = ["CF_Connecting_IP: 203.0.113.1"];
    assert_eq!(heard(&trusting, &backend, &alias), ["127.0.0.1"]);
    assert!(!backend.last().head.contains("203.0.113.1"), "{}", backend.last().head);
    let doubting = gateway_on(&format!("clientAddress: {{trust: [10.0.0.0/8], {header}}}"), &route(&backend));
    for forged in ["CF-Connecting-IP: 203.0.113.1", "CF_Connecting-IP: 203.0.113.1", "cf.connecting.ip: 203.0.113.1"] {
        assert_eq!(heard(&doubting, &backend, &[forged]), ["127.0.0.1"]);
        assert!(!backend.last().head.contains("203.0.113.1"), "{forged} is passed on: {}", backend.last().head);
    }
}

#[test]
fn who_may_ask_is_judged_by_the_client_and_not_by_the_peer() {
    let backend = Backend::says("x");
    let gateway = gateway_on(
        "clientAddress: {trust: [127.0.0.0/8]}",
        &format!(
            "routes:\n  - {{path: /, security: {{allow: [203.0.113.0/24, '2001:db8::/32'], deny: [203.0.113.7/32]}}, backends: [{0}]}}\n  \
             - {{path: /office, conditions: [{{clientAddress: [198.51.100.0/24]}}], backends: [{0}]}}\n",
            backend.url()
        ),
    );
    for (client, path, status) in [
        ("203.0.113.1", "/", 200),
        ("203.0.113.7", "/", 403),
        ("192.0.2.1", "/", 403),
        ("2001:db8::1", "/", 200),
        ("198.51.100.9", "/office", 200),
        ("198.51.100.9", "/", 403),
        ("192.0.2.1, 203.0.113.1", "/", 200),
        ("203.0.113.1, 192.0.2.1", "/", 403),
    ] {
        assert_eq!(gateway.status_for(client, path), status, "{client} {path}");
    }
    let refused = gateway.get("/");
    assert_eq!((refused.status, refused.reason().as_str()), (403, "address_denied"), "the peer itself");
}

#[test]
fn h078_what_a_client_lists_in_connection_takes_nothing_of_ours_away() {
    let backend = Backend::says("x");
    let gateway = gateway_on("", &route(&backend));
    let headers = "Connection: close, X-Forwarded-For, X-Forwarded-Proto, x-request-id, Authorization, Cookie, Host, X-Mine\r\n\
        Authorization: Bearer t\r\nCookie: a=b\r\nX-Mine: 1\r\nX-Real-IP: 1.1.1.1\r\n";
    assert_eq!(gateway.send(&format!("GET / HTTP/1.1\r\nHost: test\r\n{headers}\r\n")).status, 200);
    let seen = backend.last();
    for name in ["x-forwarded-for", "x-forwarded-proto", "x-request-id", "authorization", "cookie", "host"] {
        assert_eq!(seen.values(name).len(), 1, "{name} in {}", seen.head);
    }
    assert!(seen.values("x-mine").is_empty() && seen.values("connection").is_empty(), "{}", seen.head);
}
