//! What operators see.

use crate::lang::backend::Backend;
use crate::lang::eventually;
use crate::lang::gateway::gateway;

#[test]
fn requests_are_counted_timed_and_logged() {
    let backend = Backend::says("hello");
    let gateway = gateway(&format!("routes: [{{path: /api/users, backends: [{}]}}]", backend.url()));
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    gateway.send(&format!(
        "GET /api/users/7?secret=1 HTTP/1.1\r\nHost: Shop:1\r\nX-Request-Id: r1\r\ntraceparent: {trace}\r\nConnection: close\r\n\r\n"
    ));
    gateway.get("/nothing");
    let line = eventually("two lines", || {
        let lines = gateway.access_log();
        (lines.len() == 2).then(|| lines.into_iter().find(|line| line["status"] == 200)).flatten()
    });
    for (field, wanted) in [
        ("client", "127.0.0.1"),
        ("method", "GET"),
        ("host", "shop"),
        ("path", "/api/users/7"),
        ("route", "/api/users"),
        ("service", "/api/users"),
        ("request_id", "r1"),
        ("trace_id", "0af7651916cd43dd8448eb211c80319c"),
    ] {
        assert_eq!(line[field], wanted, "{field}");
    }
    assert_eq!(line["backend"], format!("127.0.0.1:{}", backend.port));
    assert_eq!(line["bytes"], 5);
    assert!(!line.to_string().contains("secret"), "a query may hold secrets");
    for series in [
        r#"gateway_requests_total{method="GET",service="/api/users",status="200"}"#.to_owned(),
        r#"gateway_requests_total{method="GET",service="none",status="404"}"#.to_owned(),
        r#"gateway_request_duration_seconds_count{service="/api/users"}"#.to_owned(),
        r#"sluice_refusals_total{reason="no_route"}"#.to_owned(),
        format!("gateway_backend_healthy{{backend=\"127.0.0.1:{}\"}}", backend.port),
    ] {
        assert_eq!(gateway.metric(&series), Some(1.0), "{series}");
    }
    let active = format!("gateway_active_connections{{backend=\"127.0.0.1:{}\"}}", backend.port);
    assert_eq!(gateway.metric(&active), Some(0.0));
}

#[test]
fn series_of_gone_routes_and_backends_are_gone() {
    let (old, new) = (Backend::says("old"), Backend::says("new"));
    let gateway = gateway(&format!("routes: [{{path: /old, backends: [{}]}}]", old.url()));
    gateway.get("/old");
    gateway.rewrite(&format!("routes: [{{path: /new, backends: [{}]}}]", new.url()));
    gateway.signal("HUP");
    eventually("the old ones are gone", || {
        let text = gateway.admin("/metrics").text();
        (!text.contains("\"/old\"") && !text.contains(&old.port.to_string()) && text.contains(&new.port.to_string()))
            .then_some(())
    });
}

#[test]
fn the_admin_address_tells_what_is_in_effect() {
    let backend = Backend::says("x");
    let gateway = gateway(&format!("routes: [{{path: /a, backends: [{}]}}]", backend.url()));
    assert_eq!((gateway.admin("/livez").status, gateway.admin("/readyz").status), (200, 200));
    let shown: serde_json::Value = serde_json::from_slice(&gateway.admin("/config").body).expect("JSON");
    assert_eq!(shown["gateway"]["routes"][0]["rules"][0]["matches"]["path"]["prefix"], "/a");
    assert_eq!(shown["gateway"]["upstreams"][0]["endpoints"][0]["port"], backend.port);
    assert_eq!(gateway.admin("/secret").status, 404);
    assert_eq!(gateway.get("/metrics").status, 404, "h129: not on a port that clients reach");
}
