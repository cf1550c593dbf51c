//! Connections that leave HTTP, and listeners' limits as a file tells them.

use std::io::{Read, Write};
use std::net::Shutdown;

use crate::lang::backend::Backend;
use crate::lang::client::Client;
use crate::lang::gateway::{folder, gateway, start};
use crate::lang::{eventually, free_port};

/// Agrees to a WebSocket on `/ws`, then sends back what it gets, up to its end.
fn echo() -> Backend {
    Backend::scripted(|mut connection| {
        while let Some(seen) = connection.request()? {
            if !seen.line().starts_with("GET /ws ") || seen.values("upgrade").is_empty() {
                connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain")?;
                continue;
            }
            connection
                .write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")?;
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
    })
}

fn ask(path: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{more}\r\n")
}

fn open(port: u16) -> Client {
    let mut client = Client::connect(port).expect("connected");
    client.send(ask("/ws", "").as_bytes()).expect("sent");
    let (status, headers) = client.read_head().expect("an answer");
    assert_eq!(status, 101);
    assert!(headers.iter().any(|(name, value)| name == "upgrade" && value == "websocket"));
    client
}

fn echoes(client: &mut Client, text: &str) {
    client.send(text.as_bytes()).expect("sent");
    let mut back = vec![0; text.len()];
    client.stream.read_exact(&mut back).expect("it comes back");
    assert_eq!(back, text.as_bytes());
}

#[test]
fn h110_a_websocket_outlives_reloads_and_ends_with_both_sides() {
    let backend = echo();
    let routes = format!("routes: [{{path: /, backends: ['{}']}}]", backend.url());
    let gateway = gateway(&routes);
    let active = format!("gateway_active_connections{{backend=\"127.0.0.1:{}\"}}", backend.port);
    let mut client = open(gateway.port);
    echoes(&mut client, "before");
    for _ in 0..3 {
        gateway.rewrite(&format!("{routes}\n# again"));
        gateway.signal("HUP");
        echoes(&mut client, "meanwhile");
    }
    gateway.rewrite("routes: []");
    gateway.signal("HUP");
    eventually("the route is gone", || (gateway.get("/").status == 404).then_some(()));
    echoes(&mut client, "the route is gone, the connection is not");
    client.stream.get_mut().shutdown(Shutdown::Write).expect("half closed");
    assert!(client.is_closed());
    eventually("nothing is held", || gateway.metric(&active).is_none_or(|count| count == 0.0).then_some(()));
    let line =
        eventually("it is logged at its end", || gateway.access_log().into_iter().find(|line| line["status"] == 101));
    assert_eq!(line["bytes"], 6 + 3 * 9 + 40);
}

#[test]
fn h023_h024_h025_what_is_no_upgrade_is_no_tunnel() {
    let backend = echo();
    let gateway = gateway(&format!("routes: [{{path: /, backends: ['{}']}}]", backend.url()));
    let with_body = gateway.send(&format!("{}hello", ask("/ws", "Content-Length: 5\r\n")));
    assert_eq!((with_body.status, with_body.reason().as_str()), (400, "bad_upgrade"));
    assert!(backend.seen().is_empty());
    let mut client = Client::connect(gateway.port).expect("connected");
    // The server says no, and what follows is the next request.
    client.send(ask("/other", "").as_bytes()).expect("sent");
    assert_eq!(client.read().expect("an answer").text(), "plain");
    client.send(b"GET /next HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n").expect("sent");
    assert_eq!(client.read().expect("an answer").text(), "plain");
    let seen = backend.last();
    assert!(
        ["connection", "upgrade", "http2-settings"].iter().all(|name| seen.values(name).is_empty()),
        "{}",
        seen.head
    );
}

#[test]
fn h112_a_websocket_is_waited_for_when_the_process_ends() {
    let backend = echo();
    let mut gateway = gateway(&format!("routes: [{{path: /, backends: ['{}']}}]", backend.url()));
    let mut client = open(gateway.port);
    gateway.signal("TERM");
    eventually("it no longer accepts", || Client::connect(gateway.port).is_err().then_some(()));
    echoes(&mut client, "still here");
    drop(client);
    assert!(gateway.wait().success());
}

#[test]
fn h041_h053_limits_are_the_listeners() {
    let backend = Backend::says("x");
    let (small, large) = (free_port(), free_port());
    let folder = folder();
    let text = format!(
        "listeners:\n  - {{port: {large}, name: large}}\n  - {{port: {small}, limits: {{uri: 128B, headers: 3, head: 1KiB, requestBody: 10B, connectionsPerClient: 2, requestsPerConnection: 2}}}}\nroutes: [{{path: /, backends: ['{}']}}]\n",
        backend.url()
    );
    std::fs::write(folder.join("sluice.yaml"), text).expect("written");
    let gateway = start(folder, large, &[]);
    let status = |port: u16, head: &str| {
        let request = format!("{head}\r\nHost: a\r\nConnection: close\r\n\r\n");
        crate::lang::client::exchange(port, request.as_bytes()).status
    };
    let long = format!("GET /{} HTTP/1.1", "a".repeat(130));
    let many = "GET / HTTP/1.1\r\nA: 1\r\nB: 2".to_owned();
    let big = format!("GET / HTTP/1.1\r\nA: {}", "a".repeat(1000));
    // Who has just left counts until that was noticed.
    let settled = || {
        eventually("those before have left", || {
            (gateway.metric("sluice_client_connections") == Some(0.0)).then_some(())
        });
    };
    for (head, refused) in [(long, 414), (many, 431), (big, 431)] {
        assert_eq!((status(large, &head), status(small, &head)), (200, refused), "{head}");
        settled();
    }
    let body = "POST / HTTP/1.1\r\nContent-Length: 11\r\nHost: a\r\n\r\nhello world";
    assert_eq!(crate::lang::client::exchange(large, body.as_bytes()).status, 200);
    assert_eq!(crate::lang::client::exchange(small, body.as_bytes()).reason(), "body_too_large");
    settled();
    let mut clients: Vec<Client> = (0..2).map(|_| Client::connect(small).expect("connected")).collect();
    for turn in 0..2 {
        for client in &mut clients {
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
            let answer = client.read().expect("an answer");
            assert_eq!(answer.header("connection").is_some(), turn == 1, "the second request is the last");
        }
        let mut third = Client::connect(small).expect("connected");
        let _ = third.stream.get_mut().write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(turn == 1 || third.is_closed(), "one too many");
    }
    drop(gateway);
}
