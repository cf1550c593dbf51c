//! What servers answer that is not quite an answer.

use crate::lang::backend::Backend;
use crate::lang::client::Client;
use crate::lang::gateway::gateway;

/// A server that answers each request with these bytes, and what comes of it at the gateway, on one connection that is
/// used for a good request afterwards.
fn passed(answer: &'static str, method: &str, more: &str) -> (u16, Vec<(String, String)>, String) {
    let backend = Backend::answers(move |seen| {
        if seen.line().contains("/good") {
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood".into()
        } else {
            answer.to_owned()
        }
    });
    let gateway = gateway(&format!("routes: [{{path: /, timeouts: {{idle: 3s}}, backends: [{}]}}]", backend.url()));
    let mut client = Client::connect(gateway.port).expect("connected");
    client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n{more}\r\n").as_bytes()).expect("sent");
    let (status, headers, text) = if method == "HEAD" {
        let (status, headers) = client.read_head().expect("a head");
        (status, headers, String::new())
    } else {
        let answer = client.read().expect("an answer");
        (answer.status, answer.headers.clone(), answer.text())
    };
    for _ in 0..3 {
        assert_eq!(gateway.get("/good").text(), "good", "after {answer:?}");
    }
    if !headers.iter().any(|(name, value)| name == "connection" && value == "close") {
        assert_eq!(client.get("/good").expect("an answer").text(), "good", "on the same connection after {answer:?}");
    }
    (status, headers, text)
}

#[test]
fn h026_only_the_protocol_asked_for_makes_a_tunnel() {
    const UPGRADE: &str = "Connection: upgrade\r\nUpgrade: websocket\r\n";
    for (answer, more) in [
        ("HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n", UPGRADE),
        ("HTTP/1.1 101 S\r\nConnection: upgrade\r\n\r\n", UPGRADE),
        ("HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", ""),
        ("HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", "Connection: upgrade\r\nUpgrade: h2c\r\n"),
    ] {
        let (status, _, text) = passed(answer, "GET", more);
        assert_eq!((status, text.split(':').next()), (502, Some("bad_answer")), "{answer:?}");
    }
}

#[test]
fn h037_a_body_where_none_may_be_reaches_nobody() {
    for (answer, method, status) in [
        ("HTTP/1.1 204 No\r\nContent-Length: 6\r\n\r\npoison", "GET", 204),
        ("HTTP/1.1 304 No\r\nContent-Length: 6\r\n\r\npoison", "GET", 304),
        ("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", "HEAD", 200),
        ("HTTP/1.1 204 No\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", "GET", 204),
    ] {
        let (got, headers, text) = passed(answer, method, "");
        assert_eq!((got, text.as_str()), (status, ""), "{answer:?}");
        let length = headers.iter().find(|(name, _)| name == "content-length").map(|(_, value)| value.as_str());
        assert!(status != 204 || length.is_none(), "{answer:?}: a 204 tells no length");
    }
}

#[test]
fn h039_interim_answers_are_bounded() {
    let flood: &'static str = Box::leak("HTTP/1.1 103 Early\r\nLink: x\r\n\r\n".repeat(5_000).into_boxed_str());
    let (status, _, text) = passed(flood, "GET", "");
    assert_eq!((status, text.split(':').next()), (502, Some("bad_answer")));
    let few: &'static str = "HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlast";
    assert_eq!(passed(few, "GET", "").2, "last");
}

#[test]
fn h094_what_belongs_to_the_servers_connection_stays_there() {
    let answer = "HTTP/1.1 200 OK\r\nConnection: X-Hop, keep-alive, Set-Cookie2\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\n\
        Proxy-Connection: keep-alive\r\nTE: trailers\r\nUpgrade: h2c\r\nX-End: 2\r\nVia: 1.1 other\r\nContent-Length: 1\r\n\r\nx";
    let (status, headers, text) = passed(answer, "GET", "");
    assert_eq!((status, text.as_str()), (200, "x"));
    let has = |wanted: &str| headers.iter().any(|(name, _)| name == wanted);
    for name in ["x-hop", "keep-alive", "proxy-connection", "te", "upgrade"] {
        assert!(!has(name), "{name} in {headers:?}");
    }
    assert!(has("x-end") && has("via"), "{headers:?}");
}

#[test]
fn h089_repeated_headers_pass_in_their_order() {
    let backend = Backend::answers(|_| {
        "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nX-Between: 1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n".into()
    });
    let gateway = gateway(&format!("routes: [{{path: /, backends: [{}]}}]", backend.url()));
    let sent = "Cookie: a=1\r\nAuthorization: one\r\nCookie: b=2\r\nContent-Type: x/y\r\nAuthorization: two\r\nContent-Type: z/z\r\n";
    let answer = gateway.get_with("/", sent);
    let seen = backend.last();
    assert_eq!(seen.values("authorization"), ["one", "two"]);
    assert_eq!(seen.values("content-type"), ["x/y", "z/z"]);
    assert_eq!(seen.values("cookie").join("; "), "a=1; b=2");
    let cookies: Vec<_> = answer.headers.iter().filter(|(name, _)| name == "set-cookie").map(|(_, v)| v).collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
}

#[test]
fn h027_h028_tunnels_and_traces_are_refused_before_any_server() {
    let backend = Backend::says("x");
    let gateway = gateway(&format!("routes: [{{path: /, backends: [{}]}}]", backend.url()));
    for request in [
        "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n",
        "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\nContent-Length: 5\r\n\r\nhello",
        "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n",
        "TRACK / HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let mut client = Client::connect(gateway.port).expect("connected");
        client.send(request.as_bytes()).expect("sent");
        let answer = client.read().expect("an answer");
        assert!([400, 405, 501].contains(&answer.status) && client.is_closed(), "{request:?}: {answer:?}");
    }
    assert_eq!(backend.connections(), 0);
}
