//! Which rule answers, asked from outside; and what becomes of rules that are wrong.

use crate::lang::backend::Backend;
use crate::lang::eventually;
use crate::lang::free_port;
use crate::lang::gateway::{config, folder, gateway, run};

/// Rules that answer with their own number, in this order.
fn rules(conditions: &[&str]) -> String {
    let rule = |(number, condition): (usize, &&str)| {
        let condition = if condition.is_empty() { String::new() } else { format!("{condition}, ") };
        format!("  - {{{condition}respond: {{status: 200, body: '{number}'}}}}\n")
    };
    format!("routes:\n{}", conditions.iter().enumerate().map(rule).collect::<String>())
}

#[test]
fn queries_cookies_headers_and_methods_choose_the_rule() {
    let gateway = gateway(&rules(&[
        "",
        "query: {page: '1'}",
        "cookies: {user: tester}",
        "headers: {X-Version: v2}",
        "methods: [POST]",
        "query: {page: '1'}, cookies: {user: tester}",
        "conditions: [{query: debug, present: true}]",
        "conditions: [{header: User-Agent, regex: '.*Mobile.*'}]",
        "conditions: [{header: Accept-Language, prefix: de}]",
    ]));
    for (target, headers, rule) in [
        ("/", "", "0"),
        ("/?page=1", "", "1"),
        ("/?page=11", "", "0"),
        ("/?page=2&page=1", "", "1"),
        ("/?Page=1", "", "0"),
        ("/?p%61ge=%31", "", "1"),
        ("/", "Cookie: a=b; user=tester\r\n", "2"),
        ("/", "Cookie: a=b\r\nCookie: user=tester\r\n", "2"),
        ("/", "Cookie: user=tester2\r\n", "0"),
        ("/", "x-version: v2\r\n", "3"),
        ("/", "X-Version: v1\r\nX-Version: v2\r\n", "3"),
        ("/", "X-Version: V2\r\n", "0"),
        ("/?page=1", "Cookie: user=tester\r\n", "5"),
        ("/?debug", "", "6"),
        ("/?debug=", "", "6"),
        ("/", "User-Agent: Very Mobile Indeed\r\n", "7"),
        ("/", "Accept-Language: de-DE\r\n", "8"),
    ] {
        assert_eq!(gateway.get_with(target, headers).text(), rule, "{target} {headers:?}");
    }
    assert_eq!(
        gateway.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").text(),
        "4"
    );
}

#[test]
fn h081_what_must_not_be_there_is_looked_for_in_every_value() {
    let gateway = gateway(&rules(&[
        "",
        "exactPath: /not, conditions: [{header: X-Role, noneOf: [admin]}]",
        "exactPath: /absent, conditions: [{header: X-Role, present: false}]",
        "exactPath: /query, conditions: [{query: role, noneOf: [admin]}]",
        "exactPath: /cookie, conditions: [{cookie: role, noneOf: [admin]}]",
        "exactPath: /cookie-absent, conditions: [{cookie: role, present: false}]",
    ]));
    for (target, headers, rule) in [
        ("/not", "", "1"),
        ("/not", "X-Role: user\r\n", "1"),
        ("/not", "X-Role: user\r\nX-Role: admin\r\n", "0"),
        ("/not", "X-Role: admin\r\nX-Role: user\r\n", "0"),
        ("/absent", "", "2"),
        ("/absent", "X-Role:\r\n", "0"),
        ("/query?role=user", "", "3"),
        ("/query?role=user&role=admin", "", "0"),
        ("/query?role=user&r%6fle=%61dmin", "", "0"),
        ("/cookie", "Cookie: role=user; role=admin\r\n", "0"),
        ("/cookie", "Cookie: role=user\r\nCookie: role=admin\r\n", "0"),
        ("/cookie", "Cookie: role=user\r\n", "4"),
        ("/cookie-absent", "Cookie: a=b\r\nCookie: x=y; role=\r\n", "0"),
    ] {
        assert_eq!(gateway.get_with(target, headers).text(), rule, "{target} {headers:?}");
    }
}

#[test]
fn h086_paths_match_whole_segments_and_the_more_exact_wins() {
    let gateway = gateway(&rules(&[
        "path: /api",
        "exactPath: /api",
        "pathRegex: '/api/v[0-9]+/.*'",
        "path: /api/v1/long/prefix",
        "path: /API",
        "path: /first, priority: 5",
        "exactPath: /first/one",
        "path: /slash/",
    ]));
    for (path, rule) in [
        ("/api", "1"),
        ("/api/", "0"),
        ("/api/x", "0"),
        ("/apis", "no_route: no rule of this host matches the request\n"),
        ("/api/v1/x", "2"),
        ("/api/v1/long/prefix/x", "2"),
        ("/api/v/x", "0"),
        ("/x/api/v1/x", "no_route: no rule of this host matches the request\n"),
        ("/API/x", "4"),
        ("/first/one", "5"),
        ("/slash", "7"),
        ("/slash/x", "7"),
        ("/slashes", "no_route: no rule of this host matches the request\n"),
        ("/%61pi", "1"),
        ("/x/../api", "1"),
        ("//api", "1"),
    ] {
        assert_eq!(gateway.get(path).text(), rule, "{path}");
    }
}

#[test]
fn a_rule_can_be_for_one_listener_only() {
    let gateway = gateway("routes: [{path: /, respond: {status: 200, body: all}}]");
    let second = free_port();
    let text = format!(
        "listeners: [{{name: http, port: {}}}, {{name: inside, port: {second}}}]\n\
         routes:\n  - {{path: /, respond: {{status: 200, body: all}}}}\n  \
         - {{path: /metrics, listeners: [inside], respond: {{status: 200, body: inside}}}}\n",
        gateway.port
    );
    std::fs::write(gateway.folder.join("sluice.yaml"), text).expect("written");
    gateway.signal("HUP");
    let request = b"GET /metrics HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    let inside = eventually("the listener", || crate::lang::client::try_exchange(second, request).ok());
    assert_eq!((inside.text(), gateway.get("/metrics").text()), ("inside".to_owned(), "all".to_owned()));
}

#[test]
fn h059_hostile_paths_and_queries_take_linear_time() {
    let gateway = gateway(&rules(&[
        "",
        "pathRegex: '/(a+)+b'",
        "conditions: [{query: q, regex: '(x+x+)+y'}]",
        "conditions: [{header: X-Long, regex: '(.*)*z'}]",
    ]));
    let began = std::time::Instant::now();
    for _ in 0..20 {
        assert_eq!(gateway.get(&format!("/{}", "a".repeat(5_000))).text(), "0");
        assert_eq!(gateway.get(&format!("/?q={}", "x".repeat(5_000))).text(), "0");
        assert_eq!(gateway.get_with("/", &format!("X-Long: {}\r\n", "w".repeat(20_000))).text(), "0");
        let many: String = (0..1_500).map(|number| format!("&p{number}")).collect();
        assert_eq!(gateway.get(&format!("/?{many}")).text(), "0");
    }
    assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
}

#[test]
fn h088_a_wrong_rule_refuses_the_whole_file_at_the_start_and_changes_nothing_later() {
    let backend = Backend::says("good");
    let good = format!("routes: [{{path: /, backends: [{}]}}]", backend.url());
    let running = gateway(&good);
    for (wrong, told) in [
        ("routes: [{pathRegex: '/a[', respond: {status: 200}}]", "routes[0].pathRegex"),
        ("routes: [{pathRegex: '/(a{1000}){1000}', respond: {status: 200}}]", "routes[0].pathRegex"),
        ("routes: [{path: /a/../b, respond: {status: 200}}]", "routes[0].path"),
        ("routes: [{path: /, backends: [{upstream: nobody}]}]", "nobody"),
        ("routes: [{path: /, requestHeaders: {set: {X: '${nothing}'}}, respond: {status: 200}}]", "nothing"),
        ("routes: [{path: /, listeners: [htpp], respond: {status: 200}}]", "did you mean"),
        ("routes: [{path: /, security: {allow: [10.0.0.1/8]}, respond: {status: 200}}]", "10.0.0.0/8"),
        ("routes: [{path: /, respond: {status: 200}}, {path: /, respond: {status: 201}}]", "routes["),
        (
            "routes: [{path: /, backends: [http://127.0.0.1:1], cors: {allowOrigins: ['*']}}]",
            "routes[0].cors: not supported yet",
        ),
    ] {
        let folder = folder();
        std::fs::write(folder.join("sluice.yaml"), config(free_port(), wrong)).expect("written");
        let ran = run(&["run", "--config", "sluice.yaml", "--admin", "127.0.0.1:0"], Some(&folder));
        assert_eq!(ran.code, 2, "{wrong}: {}", ran.err);
        assert!(ran.err.contains(told), "{wrong}: {}", ran.err);
        let _ = std::fs::remove_dir_all(folder);
        running.rewrite(wrong);
        running.signal("HUP");
        running.await_metric("sluice_config_error", 1.0);
        assert_eq!(running.get("/").text(), "good", "{wrong}");
        running.rewrite(&good);
        running.signal("HUP");
        running.await_metric("sluice_config_error", 0.0);
    }
}
