//! Which server answers: the five lines of the reference, hosts, methods, headers, shares.

use crate::lang::backend::Backend;
use crate::lang::gateway::{gateway, start};
use crate::lang::{eventually, free_port};

#[test]
fn the_minimal_file_balances_two_servers_and_wants_a_header() {
    let (first, second, orders) = (Backend::says("first"), Backend::says("second"), Backend::says("orders"));
    let text = include_str!("../../manifests/examples/file/minimal.yaml")
        .replace("http://localhost:8081", &first.url())
        .replace("http://localhost:8082", &second.url())
        .replace("http://localhost:8083", &orders.url());
    let gateway = gateway(&text);
    let answers: Vec<String> = (0..4).map(|_| gateway.get("/api/users/7").text()).collect();
    assert!(
        answers == ["first", "second", "first", "second"] || answers == ["second", "first", "second", "first"],
        "{answers:?}"
    );
    assert_eq!(gateway.get("/api/orders").status, 404);
    let with = |version: &str| {
        gateway
            .send(&format!("GET /api/orders HTTP/1.1\r\nHost: a\r\nX-Version: {version}\r\nConnection: close\r\n\r\n"))
    };
    assert_eq!(with("v2").text(), "orders");
    assert_eq!((with("V2").status, with("v2x").status), (404, 404));
    assert_eq!(gateway.get("/api/usersx").reason(), "no_route");
}

#[test]
fn without_listeners_it_is_port_9000() {
    let backend = Backend::says("here");
    let folder = crate::lang::gateway::folder();
    let text = format!("routes: [{{path: /, backends: [{}]}}]", backend.url());
    std::fs::write(folder.join("sluice.yaml"), text).expect("written");
    let gateway = start(folder, 9000, &[]);
    assert_eq!(gateway.get("/").text(), "here");
}

#[test]
fn h034_hosts_exact_wildcard_and_any() {
    let (shop, wild, any) = (Backend::says("shop"), Backend::says("wild"), Backend::says("any"));
    let gateway = gateway(&format!(
        "routes:\n  - {{hosts: [shop.example.com], path: /a, backends: [{}]}}\n  - {{hosts: ['*.example.com'], backends: [{}]}}\n  - {{path: /, backends: [{}]}}\n",
        shop.url(),
        wild.url(),
        any.url(),
    ));
    let ask = |host: &str, path: &str| {
        gateway.send(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
    };
    for host in ["shop.example.com", "SHOP.Example.com", "shop.example.com.", "shop.example.com:8080"] {
        assert_eq!(ask(host, "/a").text(), "shop", "{host}");
    }
    assert_eq!(shop.last().values("host"), ["shop.example.com:8080"]);
    assert_eq!(ask("shop.example.com", "/b").reason(), "no_route", "a named host decides alone");
    assert_eq!(ask("x.y.example.com", "/b").text(), "wild");
    assert_eq!(ask("example.com", "/b").text(), "any");
    assert_eq!(ask("other.org", "/b").text(), "any");
}

#[test]
fn shares_are_exact_and_smooth() {
    let (many, few) = (Backend::says("many"), Backend::says("few"));
    let gateway = gateway(&format!(
        "routes: [{{path: /, backends: [{{url: '{}', weight: 19}}, {{url: '{}', weight: 1}}]}}]",
        many.url(),
        few.url(),
    ));
    for _ in 0..100 {
        gateway.get("/");
    }
    assert_eq!((many.seen().len(), few.seen().len()), (95, 5));
}

#[test]
fn unknown_hosts_and_paths_are_told_apart() {
    let backend = Backend::says("x");
    let gateway = gateway(&format!("routes: [{{hosts: [a.example], path: /a, backends: [{}]}}]", backend.url()));
    assert_eq!(gateway.get("/a").reason(), "no_host");
    let known = gateway.send("GET /b HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n");
    assert_eq!((known.status, known.reason().as_str()), (404, "no_route"));
}

#[test]
fn ipv6_clients_are_served_too() {
    let backend = Backend::says("six");
    let gateway = gateway(&format!("routes: [{{path: /, backends: [{}]}}]", backend.url()));
    let connected = std::net::TcpStream::connect(("::1", gateway.port));
    if let Err(error) = &connected {
        assert!(!std::path::Path::new("/proc/net/if_inet6").exists(), "this machine has IPv6: {error}");
        return;
    }
    drop(connected);
    let status = eventually("counted", || {
        let output =
            std::process::Command::new("curl").args(["-s", &format!("http://[::1]:{}/", gateway.port)]).output();
        output.ok().map(|output| output.stdout)
    });
    assert_eq!(status, b"six");
    assert_eq!(backend.last().values("x-forwarded-for"), ["::1"]);
    let _ = free_port();
}
