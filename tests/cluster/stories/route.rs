//! From `kubectl apply` to traffic: what a route matches, and what a change changes.

use std::time::Instant;

use crate::command::kubectl;
use crate::fixture::Namespace;
use crate::sluice::{answers, ask, concluded, everywhere, installed};

#[test]
fn an_applied_route_answers() {
    let address = installed();
    let space = Namespace::new("apply");
    space.backend("users", 2);
    let begun = Instant::now();
    space.route(
        "shop",
        "    - {hosts: [apply.example.com], path: /api, backends: [{service: {name: users, port: http}}]}",
    );
    let reply = answers(&address, "http://apply.example.com/api/users?page=2", &["-H", "X-Mine: 7"], 200);
    println!("first 200 {:.0?} after kubectl apply began", begun.elapsed());
    assert_eq!(reply.field("path"), "/api/users");
    assert_eq!(reply.field("query"), "page=2");
    assert_eq!(reply.field("host"), "apply.example.com");
    assert!(reply.body.contains(r#""x-mine":"7""#), "the client's headers arrive: {}", reply.body);
    assert!(reply.body.contains(r#""x-forwarded-for""#), "the backend learns who asked: {}", reply.body);
}

#[test]
fn hosts_paths_methods_and_headers_choose_the_backend() {
    let address = installed();
    let space = Namespace::new("match");
    for backend in ["plain", "second", "header", "wild", "exact"] {
        space.backend(backend, 1);
    }
    space.route(
        "match",
        r#"
    - hosts: [match.example.com]
      rules:
        - {path: /api, backends: [{service: {name: plain, port: http}}]}
        - {path: /api, headers: {X-Version: "v2"}, backends: [{service: {name: header, port: 80}}]}
        - {path: /api/deep, methods: [GET, HEAD], backends: [{service: {name: second, port: http}}]}
        - {exactPath: /one, backends: [{service: {name: exact, port: http}}]}
    - hosts: ["*.match.example.com"]
      path: /
      backends: [{service: {name: wild, port: http}}]
"#,
    );
    concluded(&space.name, "match", "True", "True", "True");
    everywhere(&address, "http://match.example.com/one", 200);
    let post: &[&str] = &["-X", "POST", "-d", "x=1"];
    for (url, arguments, version) in [
        ("http://match.example.com/api", &[][..], "plain"),
        ("http://match.example.com/api/x", &[], "plain"),
        ("http://match.example.com/api", &["-H", "X-Version: v2"], "header"),
        ("http://match.example.com/api", &["-H", "x-version: v2"], "header"),
        ("http://match.example.com/api", &["-H", "X-Version: V2"], "plain"),
        ("http://match.example.com/api/deep/er", &[], "second"),
        ("http://match.example.com/api/deep/er", post, "plain"),
        ("http://match.example.com/one", &[], "exact"),
        ("http://MATCH.example.com:8080/one", &[], "exact"),
        ("http://a.match.example.com/anything", &[], "wild"),
    ] {
        let reply = ask(&address, url, arguments);
        assert_eq!((reply.status, reply.field("version").as_str()), (200, version), "{url} {arguments:?}: {reply:?}");
    }
    for url in ["/apix", "/one/more", "/", "/API"] {
        let reply = ask(&address, &format!("http://match.example.com{url}"), &[]);
        assert_eq!(reply.status, 404, "{url}: {reply:?}");
    }
    assert_eq!(ask(&address, "http://other.example.com/api", &[]).status, 404);
}

#[test]
fn a_changed_route_changes_and_a_deleted_one_ends() {
    let address = installed();
    let space = Namespace::new("change");
    space.backend("old", 1);
    space.backend("new", 1);
    let route = |path: &str, service: &str| {
        let backend = format!("{{service: {{name: {service}, port: http}}}}");
        space.route("shop", &format!("    - {{hosts: [change.example.com], path: {path}, backends: [{backend}]}}"));
    };
    route("/a", "old");
    assert_eq!(answers(&address, "http://change.example.com/a", &[], 200).field("version"), "old");
    route("/b", "new");
    assert_eq!(answers(&address, "http://change.example.com/b", &[], 200).field("version"), "new");
    concluded(&space.name, "shop", "True", "True", "True");
    everywhere(&address, "http://change.example.com/a", 404);
    everywhere(&address, "http://change.example.com/b", 200);
    kubectl(&["delete", "gatewayroute", "shop", "-n", &space.name]);
    everywhere(&address, "http://change.example.com/b", 404);
}
