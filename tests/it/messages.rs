//! What is changed on the way to servers and back, and the answers that are the rule's own.

use crate::lang::backend::Backend;
use crate::lang::client::exchange;
use crate::lang::gateway::{Gateway, gateway, gateway_on};

fn route(rule: &str, backend: &Backend) -> String {
    format!("routes: [{{{rule}, backends: [{}]}}]", backend.url())
}

/// What a server is asked for.
fn target(gateway: &Gateway, backend: &Backend, path: &str) -> String {
    assert_eq!(gateway.get(path).status, 200, "{path}");
    backend.last().line().split(' ').nth(1).expect("a target").to_owned()
}

#[test]
fn headers_are_removed_set_and_added_both_ways() {
    let backend = Backend::answers(|_| {
        "HTTP/1.1 200 OK\r\nServer: secret\r\nX-Kept: a\r\nX-Set: theirs\r\nX-Set: twice\r\nContent-Length: 0\r\n\r\n"
            .into()
    });
    let gateway = gateway(&route(
        "path: /, requestHeaders: {remove: [X-Gone], set: {X-Set: ours, X-From: '${client.address}', \
         X-Url: '${request.url}', X-Id: 'id-${request.id}', X-Host: '${request.host}'}, add: {X-Add: more}}, \
         responseHeaders: {remove: [Server], set: {X-Set: ours, X-Request: '${request.id}'}, add: {X-Kept: b}}",
        &backend,
    ));
    let answer = gateway.send(
        "GET /p?q=1 HTTP/1.1\r\nHost: Test:8080\r\nConnection: close\r\nX-Request-Id: abc-123\r\nX-Gone: 1\r\nx-gone: 2\r\n\
         X-Set: theirs\r\nX-Add: first\r\n\r\n",
    );
    let seen = backend.last();
    for (name, values) in [
        ("x-gone", &[][..]),
        ("x-set", &["ours"]),
        ("x-add", &["first", "more"]),
        ("x-from", &["127.0.0.1"]),
        ("x-url", &["http://test:8080/p?q=1"]),
        ("x-id", &["id-abc-123"]),
        ("x-host", &["test:8080"]),
    ] {
        assert_eq!(seen.values(name), values, "{name}");
    }
    let values = |wanted: &str| -> Vec<_> {
        answer.headers.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value.as_str()).collect()
    };
    assert_eq!((values("server").len(), values("x-set"), values("x-kept")), (0, vec!["ours"], vec!["a", "b"]));
    assert_eq!(values("x-request"), ["abc-123"]);
}

#[test]
fn h080_another_spelling_of_a_header_we_set_is_not_passed_on() {
    let backend = Backend::says("x");
    let gateway = gateway(&route("path: /, requestHeaders: {set: {X-User: nobody}, remove: [X-Groups]}", &backend));
    let forged = "X-User: root\r\nX_User: root\r\nx_user: root\r\nX.User: root\r\nX_Groups: root\r\nX-Other: fine\r\n";
    assert_eq!(gateway.get_with("/", forged).status, 200);
    let seen = backend.last();
    assert!(!seen.head.contains("root"), "{}", seen.head);
    assert_eq!((seen.values("x-user"), seen.values("x-other")), (vec!["nobody".to_owned()], vec!["fine".to_owned()]));
}

#[test]
fn each_backend_has_edits_of_its_own_on_top_of_the_rules() {
    let (blue, green) = (Backend::says("blue"), Backend::says("green"));
    let gateway = gateway(&format!(
        "upstreams: [{{name: b, endpoints: [{}]}}, {{name: g, endpoints: [{}]}}]\n\
         routes: [{{path: /, responseHeaders: {{set: {{X-By: rule, X-All: yes}}}}, requestHeaders: {{set: {{X-Way: rule}}}}, \
         backends: [{{upstream: b}}, {{upstream: g, requestHeaders: {{set: {{X-Way: green}}}}, responseHeaders: {{set: {{X-By: green}}}}}}]}}]",
        blue.url(),
        green.url()
    ));
    for _ in 0..6 {
        let answer = gateway.get("/");
        let by = if answer.text() == "green" { "green" } else { "rule" };
        assert_eq!((answer.header("x-by"), answer.header("x-all")), (Some(by), Some("yes")));
    }
    assert_eq!(
        (blue.last().values("x-way"), green.last().values("x-way")),
        (vec!["rule".into()], vec!["green".into()])
    );
}

#[test]
fn h087_paths_and_hosts_are_rewritten() {
    let backend = Backend::says("x");
    let url = backend.url();
    let gateway = gateway(&format!(
        "routes:\n  - {{path: /prefix, rewrite: {{prefix: /new}}, backends: [{url}]}}\n  \
         - {{path: /strip, rewrite: {{prefix: /}}, backends: [{url}]}}\n  \
         - {{path: /whole, rewrite: {{path: /always}}, backends: [{url}]}}\n  \
         - {{pathRegex: '/groups/([0-9]+)(?P<rest>/.*)?', rewrite: {{path: '/g$1${{rest}}'}}, backends: [{url}]}}\n  \
         - {{path: /regex, rewrite: {{regex: '/regex/(.*)', replacement: '/r/$1'}}, backends: [{url}]}}\n  \
         - {{pathRegex: '/up(/.*)', rewrite: {{path: '$1'}}, backends: [{url}]}}\n  \
         - {{path: /host, rewrite: {{host: inner.example}}, backends: [{url}]}}\n  \
         - {{path: /from, rewrite: {{hostFrom: backend}}, backends: [{url}]}}\n"
    ));
    for (asked, sent) in [
        ("/prefix", "/new"),
        ("/prefix/a?x=1", "/new/a?x=1"),
        ("/prefix/", "/new/"),
        ("/strip", "/"),
        ("/strip/a/b", "/a/b"),
        ("/whole/a?q", "/always?q"),
        ("/groups/12/x", "/g12/x"),
        ("/groups/12", "/g12"),
        ("/regex/a/b", "/r/a/b"),
        ("/regex", "/regex"),
        ("/up//evil/x", "/evil/x"),
    ] {
        let got = target(&gateway, &backend, asked);
        assert!(got.eq_ignore_ascii_case(sent), "{asked}: {got} instead of {sent}");
    }
    assert_eq!(gateway.get("/prefix/..%2fx").status, 400, "a server that decodes it would leave the prefix");
    assert_eq!(gateway.get("/host").status, 200);
    let seen = backend.last();
    assert_eq!(
        (seen.values("host"), seen.values("x-forwarded-host")),
        (vec!["inner.example".into()], vec!["test".into()])
    );
    assert_eq!(gateway.get("/from").status, 200);
    assert_eq!(backend.last().values("host"), [backend.authority()]);
}

#[test]
fn h093_redirects_go_where_the_rule_says_and_nowhere_else() {
    let gateway = gateway(
        "routes:\n  - {path: /https, redirect: {scheme: https}}\n  \
         - {path: /host, redirect: {host: other.example, status: 308}}\n  \
         - {path: /path, redirect: {path: /home, status: 301}}\n  \
         - {path: /prefix, redirect: {prefix: /new}}\n  \
         - {path: /strip, redirect: {prefix: /}}\n  \
         - {pathRegex: '/go(/.*)', redirect: {path: '$1', query: drop, port: 9443, scheme: https}}\n",
    );
    let location = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: Test:8080\r\nConnection: close\r\n\r\n");
        let answer = exchange(gateway.port, request.as_bytes());
        (answer.status, answer.header("location").unwrap_or_default().to_owned())
    };
    for (asked, status, wanted) in [
        ("/https/a?b=c", 302, "https://test/https/a?b=c"),
        ("/host/a", 308, "http://other.example/host/a"),
        ("/path/x?q=1", 301, "http://test:8080/home?q=1"),
        ("/prefix/x", 302, "http://test:8080/new/x"),
        ("/strip//evil.example/x", 302, "http://test:8080/evil.example/x"),
        ("/strip/%2fevil.example", 302, "http://test:8080/%2Fevil.example"),
        ("/strip/%5cevil.example", 302, "http://test:8080/%5Cevil.example"),
        ("/go//evil.example", 302, "https://test:9443/evil.example"),
        ("/go/a?secret=1", 302, "https://test:9443/a"),
        ("/path/%0d%0aSet-Cookie:%20a=b", 301, "http://test:8080/home"),
    ] {
        let (got, place) = location(asked);
        assert!(got == status && place.eq_ignore_ascii_case(wanted), "{asked}: {got} {place} instead of {wanted}");
    }
    for host in ["evil.example/x", "a@evil", "a, evil", "evil\\x"] {
        let request = format!("GET /path HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert_eq!(exchange(gateway.port, request.as_bytes()).status, 400, "{host}");
    }
}

#[test]
fn h040_nothing_a_client_sends_becomes_a_line_of_its_own() {
    let backend = Backend::says("x");
    let gateway = gateway(&format!(
        "routes:\n  - {{path: /r, redirect: {{prefix: /to}}}}\n  \
         - {{path: /, responseHeaders: {{set: {{X-Url: '${{request.url}}', X-Id: '${{request.id}}'}}}}, \
         requestHeaders: {{set: {{X-Url: '${{request.url}}'}}}}, backends: [{}]}}\n",
        backend.url()
    ));
    for path in [
        "/r/%0d%0aX-Evil:%201",
        "/r/a?b=%0d%0aX-Evil:%201",
        "/%0d%0aX-Evil:%201",
        "/?q=%0d%0aX-Evil:%201",
        "/%0aX-Evil:1",
    ] {
        let answer = gateway.get_with(path, "X-Request-Id: a%0d%0aX-Evil: 1\r\n");
        assert!(answer.header("x-evil").is_none(), "{path}: {answer:?}");
        if let Some(seen) = backend.seen().last() {
            assert!(seen.values("x-evil").is_empty(), "{path}: {}", seen.head);
        }
    }
    // Real ones end the connection.
    for request in [
        "GET /r/\rX-Evil: 1 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: a\rX-Evil: 1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\nX-Evil: 1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: a\0b\r\n\r\n",
    ] {
        assert_eq!(exchange(gateway.port, request.as_bytes()).status, 400, "{request:?}");
    }
}

#[test]
fn a_rule_answers_by_itself() {
    let gateway = gateway(
        "routes:\n  - {path: /json, respond: {status: 418, body: '{\"a\":1}', contentType: application/json, headers: {X-A: '${client.address}'}}}\n  \
         - {path: /empty, respond: {status: 204}}\n  - {path: /plain, responseHeaders: {set: {X-All: yes}}, respond: {status: 200, body: hi}}\n",
    );
    let json = gateway.get("/json");
    assert_eq!((json.status, json.text().as_str()), (418, "{\"a\":1}"));
    assert_eq!((json.header("content-type"), json.header("x-a")), (Some("application/json"), Some("127.0.0.1")));
    assert_eq!((gateway.get("/empty").status, gateway.get("/plain").header("x-all")), (204, Some("yes")));
    let head =
        gateway.send("HEAD /plain HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".replace("HEAD", "GET").as_str());
    assert_eq!((head.text().as_str(), head.header("content-type")), ("hi", Some("text/plain")));
    let posted = gateway.send("POST /plain HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(posted.text(), "hi", "its body is of no interest");
}

#[test]
fn h085_one_normal_form_is_matched_and_sent_on() {
    let backend = Backend::says("x");
    let url = backend.url();
    let file = format!(
        "routes:\n  - {{path: /admin, security: {{deny: [0.0.0.0/0, '::/0']}}, backends: [{url}]}}\n  - {{path: /, backends: [{url}]}}\n"
    );
    let merging = gateway(&file);
    for hidden in [
        "//admin",
        "/x/../admin",
        "/./admin/x",
        "/%61dmin",
        "/x/%2e%2e/admin",
        "/x/..;/../admin",
        "///admin//",
        "/.//admin",
        "/x/.%2e/admin",
        "/a/b/../../admin",
    ] {
        let got = merging.get(hidden);
        assert!(got.status == 403 || got.status == 400, "{hidden}: {} {:?}", got.status, backend.last().line());
    }
    for (asked, sent) in [
        ("/a//b", "/a/b"),
        ("/a/./b/", "/a/b/"),
        ("/a%2fb", "/a%2Fb"),
        ("/a;p=1/b", "/a;p=1/b"),
        ("/a%7Eb%20c", "/a~b%20c"),
        ("/a/..", "/"),
        ("/caf%c3%a9", "/caf%C3%A9"),
    ] {
        let got = target(&merging, &backend, asked);
        assert!(got.eq_ignore_ascii_case(sent), "{asked}: {got} instead of {sent}");
    }
    for bad in ["/a%00b", "/a%", "/a%zz", "/../a", "/a/../../b", "/a\\b", "/caf\u{e9}"] {
        let status = exchange(merging.port, format!("GET {bad} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).status;
        assert!(
            status == 400 || (bad.contains("..") || bad.contains('\\') || bad.contains('\u{e9}')),
            "{bad}: {status}"
        );
        assert!(!backend.seen().iter().any(|seen| seen.line().contains("..") || seen.line().contains('\\')), "{bad}");
    }
    let strict = gateway_on("paths: {slashes: keep, encodedSlash: reject}", &file);
    assert_eq!(strict.get("/a%2fb").status, 400);
    assert_eq!(strict.get("/a%2Fb").reason(), "bad_path");
    assert_eq!(target(&strict, &backend, "/a//b"), "/a//b");
}
