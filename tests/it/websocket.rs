//! Tunnels beside the rest: what they hold, and how they end.

use std::io::Read;
use std::time::{Duration, Instant};

use crate::lang::backend::{Backend, Connection};
use crate::lang::client::Client;
use crate::lang::eventually;
use crate::lang::gateway::{gateway, gateway_with};

/// Agrees to every WebSocket, then sends back what it gets, up to its end; answers other requests with `plain`.
pub fn echo(mut connection: Connection) -> std::io::Result<()> {
    while let Some(seen) = connection.request()? {
        if seen.values("upgrade").is_empty() {
            connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain")?;
            continue;
        }
        connection.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")?;
        let mut buffer = [0; 1024];
        loop {
            let count = connection.stream.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            connection.write(&buffer[..count])?;
        }
    }
    Ok(())
}

/// A WebSocket's way through the gateway.
pub fn open(port: u16, path: &str) -> Client {
    eventually("it is let through", || {
        let mut client = Client::begin(port, path, "Connection: Upgrade\r\nUpgrade: websocket\r\n");
        (client.read_head().expect("an answer").0 == 101).then_some(client)
    })
}

/// Whether these bytes come back.
pub fn echoes(client: &mut Client, text: &str) -> std::io::Result<()> {
    client.send(text.as_bytes())?;
    let mut back = vec![0; text.len()];
    client.stream.read_exact(&mut back)?;
    assert_eq!(back, text.as_bytes());
    Ok(())
}

#[test]
fn h110_a_tunnel_holds_its_places_and_gives_each_back_once() {
    let backend = Backend::scripted(echo);
    let gateway = gateway(&format!(
        "upstreams: [{{name: u, endpoints: [{}], limits: {{perEndpointRequests: 2}}}}]\n\
         routes: [{{path: /, concurrency: {{max: 1}}, backends: [{{upstream: u}}]}}, \
         {{path: /free, backends: [{{upstream: u}}]}}]",
        backend.url()
    ));
    let active = format!(r#"gateway_active_connections{{backend="u/{}"}}"#, backend.authority());
    for _ in 0..3 {
        let mut tunnel = open(gateway.port, "/");
        let mut second = open(gateway.port, "/free");
        assert_eq!(gateway.metric(&active), Some(2.0));
        assert_eq!(gateway.get("/").reason(), "too_many_at_once");
        assert_eq!(gateway.get("/free").reason(), "upstream_full");
        echoes(&mut tunnel, "one").and_then(|()| echoes(&mut second, "two")).expect("both are open");
        drop((tunnel, second));
        gateway.await_metric(&active, 0.0);
        eventually("the places are free", || (gateway.get("/").text() == "plain").then_some(()));
    }
}

#[test]
fn h110_quiet_tunnels_end_by_a_time_of_their_own_and_requests_times_do_not_count() {
    let backend = Backend::scripted(echo);
    let gateway = gateway(&format!(
        "routes: [{{path: /, timeouts: {{request: 300ms, idle: 200ms, streamIdle: 900ms}}, backends: [{}]}}]",
        backend.url()
    ));
    let mut tunnel = open(gateway.port, "/");
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(700) {
        echoes(&mut tunnel, "still here").expect("neither request nor idle end it");
    }
    let quiet = Instant::now();
    assert!(tunnel.is_closed());
    assert!(quiet.elapsed() > Duration::from_millis(600), "{:?}", quiet.elapsed());
}

#[test]
fn h112_tunnels_that_stay_are_ended_at_the_deadline() {
    let backend = Backend::scripted(echo);
    let file = format!("routes: [{{path: /, backends: [{}]}}]", backend.url());
    let mut gateway = gateway_with(&file, &["--drain-deadline", "1s"]);
    let mut tunnel = open(gateway.port, "/");
    gateway.signal("TERM");
    eventually("it no longer accepts", || Client::connect(gateway.port).is_err().then_some(()));
    echoes(&mut tunnel, "still here").expect("until the deadline");
    let began = Instant::now();
    assert!(tunnel.is_closed() && gateway.wait().success());
    assert!(began.elapsed() < Duration::from_secs(10));
}
