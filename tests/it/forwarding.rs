//! What arrives at the server, what comes back, and connections in between.

use crate::lang::backend::Backend;
use crate::lang::client::Client;
use crate::lang::gateway::{Gateway, gateway};

fn to(backend: &Backend) -> Gateway {
    gateway(&format!("routes: [{{path: /, backends: [{}]}}]", backend.url()))
}

#[test]
fn the_server_learns_who_asks_and_for_what() {
    let backend = Backend::says("x");
    let gateway = to(&backend);
    gateway.send(
        "GET /a?b=%zz&c HTTP/1.1\r\nHost: Shop.Example:8080\r\nX-Mine: 1\r\nX-Mine: 2\r\nConnection: close\r\n\r\n",
    );
    let seen = backend.last();
    assert_eq!(seen.line(), "GET /a?b=%zz&c HTTP/1.1");
    assert_eq!(seen.values("host"), ["shop.example:8080"]);
    assert_eq!(seen.values("x-mine"), ["1", "2"]);
    assert_eq!(seen.values("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen.values("x-forwarded-proto"), ["http"]);
    assert_eq!(seen.values("x-forwarded-host"), ["shop.example:8080"]);
    assert_eq!(seen.values("x-request-id")[0].len(), 32);
    assert!(seen.values("connection").is_empty());
}

#[test]
fn h079_forged_headers_are_replaced() {
    let backend = Backend::says("x");
    let gateway = to(&backend);
    gateway.send(
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Real-Ip: 6.6.6.6\r\n\
         Connection: close, X-Forwarded-For, Authorization\r\nAuthorization: secret\r\n\r\n",
    );
    let seen = backend.last();
    assert!(!seen.head.contains("6.6.6.6"), "{}", seen.head);
    assert_eq!(seen.values("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen.values("authorization"), ["secret"]);
}

#[test]
fn h095_request_ids_and_traces_pass_if_they_are_well_formed() {
    let backend = Backend::says("x");
    let gateway = to(&backend);
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    gateway.send(&format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine-1\r\ntraceparent: {trace}\r\nConnection: close\r\n\r\n"
    ));
    assert_eq!(backend.last().values("x-request-id"), ["mine-1"]);
    assert_eq!(backend.last().values("traceparent"), [trace]);
    gateway.send("GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: a\"b c\r\nConnection: close\r\n\r\n");
    assert_eq!(backend.last().values("x-request-id")[0].len(), 32);
}

#[test]
fn h085_the_path_that_is_matched_is_the_path_that_is_sent() {
    let (open, admin) = (Backend::says("open"), Backend::says("admin"));
    let gateway = gateway(&format!(
        "routes:\n  - {{path: /, backends: [{}]}}\n  - {{path: /admin, backends: [{}]}}\n",
        open.url(),
        admin.url()
    ));
    for path in ["/admin", "//admin", "/%61dmin", "/x/../admin", "/./admin", "/x/%2e%2e/admin"] {
        assert_eq!(gateway.get(path).text(), "admin", "{path}");
        assert_eq!(admin.last().line(), "GET /admin HTTP/1.1");
    }
    for path in ["/%00", "/a%zz", "/x/..;/admin", "/%", "/a\\b"] {
        assert_eq!(gateway.get(path).status, 400, "{path}");
    }
    assert_eq!(gateway.get("/a%2fadmin").text(), "open");
    assert_eq!(open.last().line(), "GET /a%2Fadmin HTTP/1.1");
}

#[test]
fn h021_bodies_keep_their_framing() {
    let backend = Backend::says("x");
    let gateway = to(&backend);
    gateway.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
    assert_eq!(
        (backend.last().values("content-length"), backend.last().body),
        (vec!["5".to_owned()], b"hello".to_vec())
    );
    for method in ["POST", "GET", "DELETE"] {
        gateway.send(&format!("{method} / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n"));
        let seen = backend.last();
        assert_eq!(seen.values("transfer-encoding"), ["chunked"], "{method}");
        assert_eq!((seen.values("content-length").len(), seen.body), (0, b"hello".to_vec()), "{method}");
    }
    gateway.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    assert_eq!(backend.last().values("content-length"), ["0"]);
    gateway.get("/");
    assert!(
        backend.last().values("content-length").is_empty() && backend.last().values("transfer-encoding").is_empty()
    );
}

#[test]
fn answers_of_every_kind_pass() {
    let backend = Backend::scripted(|mut connection| {
        while let Some(seen) = connection.request()? {
            let answer: &[u8] = match seen.line().split(' ').nth(1).unwrap_or_default() {
                "/chunked" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n",
                "/none" => b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n",
                "/head" => b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
                "/hop" => b"HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nContent-Length: 0\r\n\r\n",
                "/close" => {
                    connection.write(b"HTTP/1.0 200 OK\r\n\r\nuntil the end")?;
                    return Ok(());
                }
                _ => b"HTTP/1.1 404 Not Here\r\nContent-Length: 4\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\ngone",
            };
            connection.write(answer)?;
        }
        Ok(())
    });
    let gateway = to(&backend);
    assert_eq!(gateway.get("/chunked").text(), "abcdef");
    assert_eq!(gateway.get("/close").text(), "until the end");
    let none = gateway.get("/none");
    assert_eq!((none.status, none.header("x-a")), (204, Some("1")));
    let hop = gateway.get("/hop");
    assert!(hop.header("x-hop").is_none() && hop.header("keep-alive").is_none());
    let other = gateway.get("/other");
    assert_eq!((other.status, other.text().as_str()), (404, "gone"));
    assert_eq!(other.headers.iter().filter(|(name, _)| name == "set-cookie").count(), 2);
    let mut client = Client::connect(gateway.port).expect("connected");
    client.send(b"HEAD /head HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    let (status, headers) = client.read_head().expect("a head");
    assert_eq!((status, headers.iter().any(|(n, v)| n == "content-length" && v == "1000")), (200, true));
    client.send(b"GET /none HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    assert_eq!(client.read().expect("the next answer").status, 204, "nothing of a body was left behind");
}

#[test]
fn connections_are_kept_on_both_sides() {
    let backend = Backend::says("x");
    let gateway = to(&backend);
    let mut client = Client::connect(gateway.port).expect("connected");
    for _ in 0..50 {
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
        assert_eq!(client.read().expect("an answer").text(), "x");
    }
    assert_eq!((backend.connections(), backend.seen().len()), (1, 50));
}

#[test]
fn h019_pipelined_requests_are_each_routed_by_themselves() {
    let (first, second) = (Backend::says("first"), Backend::says("second"));
    let gateway = gateway(&format!(
        "routes:\n  - {{path: /1, backends: [{}]}}\n  - {{path: /2, backends: [{}]}}\n",
        first.url(),
        second.url()
    ));
    let mut client = Client::connect(gateway.port).expect("connected");
    client
        .send(b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhiGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    let answers: Vec<_> = (0..3).map(|_| client.read().expect("an answer")).collect();
    assert_eq!(answers.iter().map(|a| a.status).collect::<Vec<_>>(), [200, 200, 404]);
    assert_eq!((answers[0].text(), answers[1].text()), ("first".into(), "second".into()));
    assert_eq!(first.last().body, b"hi");
}

#[test]
fn h057_large_bodies_pass_in_constant_memory() {
    const SIZE: usize = 200 << 20;
    let backend = Backend::scripted(|mut connection| {
        let Some(head) = connection.head()? else { return Ok(()) };
        if head.starts_with("GET") {
            connection.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n").as_bytes())?;
            let piece = vec![b'x'; 1 << 20];
            for _ in 0..SIZE >> 20 {
                connection.write(&piece)?;
            }
        } else {
            let count =
                std::io::copy(&mut std::io::Read::take(&mut connection.stream, SIZE as u64), &mut std::io::sink())?;
            let text = count.to_string();
            connection.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len()).as_bytes())?;
        }
        Ok(())
    });
    let gateway = to(&backend);
    assert_eq!(gateway.get("/").body.len(), SIZE);
    let mut client = Client::connect(gateway.port).expect("connected");
    client
        .send(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\nConnection: close\r\n\r\n").as_bytes())
        .expect("sent");
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..SIZE >> 20 {
        client.send(&piece).expect("taken");
    }
    assert_eq!(client.read().expect("an answer").text(), SIZE.to_string());
    let peak = gateway.peak_memory_kib();
    assert!(peak < 100 * 1024, "{peak} KiB for two bodies of {SIZE} bytes");
}

#[test]
fn streams_are_passed_on_as_they_come() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let backend = Backend::scripted(move |mut connection| {
        connection.request()?;
        connection.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")?;
        // The second chunk exists only after the client has seen the first.
        let _ = wait.lock().expect("not poisoned").recv();
        connection.write(b"6\r\nsecond\r\n0\r\n\r\n")
    });
    let gateway = to(&backend);
    let mut client = Client::connect(gateway.port).expect("connected");
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    client.read_head().expect("a head");
    let mut first = [0; 10];
    std::io::Read::read_exact(&mut client.stream, &mut first).expect("the first chunk");
    assert_eq!(&first, b"5\r\nfirst\r\n");
    go.send(()).expect("the server waits");
    let mut rest = [0; 16];
    std::io::Read::read_exact(&mut client.stream, &mut rest).expect("the rest");
    assert_eq!(&rest, b"6\r\nsecond\r\n0\r\n\r\n");
}

#[test]
fn h101_an_early_answer_reaches_the_client() {
    let backend = Backend::scripted(|mut connection| {
        connection.head()?;
        connection.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")?;
        // Keeps the socket open, as a server does that lets its answer arrive.
        while connection.head()?.is_some() {}
        Ok(())
    });
    let gateway = to(&backend);
    let mut client = Client::connect(gateway.port).expect("connected");
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nthe beginning").expect("sent");
    let answer = client.read().expect("an answer although the body is not finished");
    assert_eq!((answer.status, answer.text().as_str()), (413, "big"));
}

#[test]
fn h022_a_client_that_waits_for_100_gets_it() {
    let backend = Backend::says("x");
    let gateway = to(&backend);
    let mut client = Client::connect(gateway.port).expect("connected");
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n").expect("sent");
    assert_eq!(client.read_head().expect("an interim answer").0, 100);
    client.send(b"hello").expect("sent");
    assert_eq!(client.read().expect("an answer").text(), "x");
    assert_eq!(backend.last().body, b"hello");
    let odd = gateway
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: tea\r\nConnection: close\r\n\r\nhello");
    assert_eq!(odd.status, 417);
}

#[test]
fn h101_an_answer_is_seen_although_megabytes_were_not_read() {
    let backend = Backend::says("x");
    let gateway = gateway(&format!("routes: [{{path: /here, backends: [{}]}}]", backend.url()));
    let mut client = Client::connect(gateway.port).expect("connected");
    const SIZE: usize = 2 << 20;
    client
        .send(format!("POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n").as_bytes())
        .expect("sent");
    let piece = vec![b'x'; 64 << 10];
    for _ in 0..SIZE / piece.len() {
        // A plain client sends all of it before it looks for an answer.
        if client.send(&piece).is_err() {
            break;
        }
    }
    assert_eq!(client.read().expect("not lost in a reset").reason(), "no_route");
}

#[test]
fn h090_a_connection_that_is_somebodys_login_is_not_shared() {
    let backend = Backend::answers(|_| {
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: NTLM TlRMTVNTUAACAAAA\r\nContent-Length: 0\r\n\r\n".to_owned()
    });
    let gateway = to(&backend);
    for _ in 0..3 {
        assert_eq!(gateway.get("/").status, 401);
    }
    assert_eq!(backend.connections(), 3);
}
