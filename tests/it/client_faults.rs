//! Clients that send what they should not. Each gets a defined answer, the connection ends, nothing of it reaches
//! a server, and an innocent client on the same worker is served on.

use std::time::{Duration, Instant};

use crate::lang::backend::Backend;
use crate::lang::client::Client;
use crate::lang::gateway::{Gateway, gateway_with};

/// One worker, so that the innocent client shares it with the guilty one.
struct Scene {
    backend: Backend,
    gateway: Gateway,
    innocent: Client,
}

impl Scene {
    fn new() -> Self {
        let backend = Backend::says("x");
        let gateway =
            gateway_with(&format!("routes: [{{path: /, backends: [{}]}}]", backend.url()), &["--workers", "1"]);
        let innocent = Client::connect(gateway.port).expect("connected");
        let mut scene = Self { backend, gateway, innocent };
        scene.check_innocent();
        scene
    }

    fn check_innocent(&mut self) {
        self.innocent.send(b"GET /innocent HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
        assert_eq!(self.innocent.read().expect("an answer").text(), "x");
    }

    /// The status, after which the connection has to be closed and no server have seen anything.
    fn refused(&mut self, request: &[u8]) -> u16 {
        let shown: String = String::from_utf8_lossy(request).chars().take(300).collect();
        let mut client = Client::connect(self.gateway.port).expect("connected");
        client.send(request).expect("sent");
        let answer = client.read().unwrap_or_else(|error| panic!("no answer to {shown:?}: {error}"));
        assert!(client.is_closed(), "still open after {shown:?}");
        let guilty = self.backend.seen().iter().filter(|seen| !seen.line().contains("/innocent")).count();
        assert_eq!(guilty, 0, "a server has seen {shown:?}");
        self.check_innocent();
        answer.status
    }
}

#[test]
fn h001_to_h010_lengths_that_can_be_read_two_ways() {
    let mut scene = Scene::new();
    for framing in [
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 0x5",
        "Content-Length: 1_0",
        "Content-Length: 5a",
        "Content-Length: ",
        "Content-Length: 99999999999999999999",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: ,chunked",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding : chunked",
        " Transfer-Encoding: chunked",
        "X: y\r\n Transfer-Encoding: chunked",
        "Transfer-Encoding: \u{b}chunked",
        "Transfer-Encoding: chunked\0",
        "Transfer-Encoding:\rchunked",
    ] {
        let status =
            scene.refused(format!("POST /guilty HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n0\r\n\r\n").as_bytes());
        assert!(matches!(status, 400 | 501), "{framing:?}: {status}");
    }
    let old = scene.refused(b"POST /guilty HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    assert_eq!(old, 400);
}

#[test]
fn h001_length_and_coding_together_are_read_one_way() {
    let mut scene = Scene::new();
    for order in ["Content-Length: 3\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 3"]
    {
        let mut client = Client::connect(scene.gateway.port).expect("connected");
        let request = format!("POST /both HTTP/1.1\r\nHost: a\r\n{order}\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
        client.send(request.as_bytes()).expect("sent");
        let answer = client.read().expect("an answer");
        assert!(client.is_closed(), "nothing more is read from {order:?}");
        if answer.status != 400 {
            let seen = scene.backend.last();
            assert_eq!((seen.values("content-length").len(), seen.body), (0, b"hello".to_vec()), "{order:?}");
        }
        scene.check_innocent();
    }
}

#[test]
fn h003_one_length_written_twice_is_sent_on_once_or_refused() {
    let mut scene = Scene::new();
    for twice in ["Content-Length: 5\r\nContent-Length: 5", "Content-Length: 5, 5"] {
        let request = format!("POST /twice HTTP/1.1\r\nHost: a\r\n{twice}\r\nConnection: close\r\n\r\nhello");
        if scene.gateway.send(&request).status != 400 {
            let seen = scene.backend.last();
            assert_eq!(
                (seen.values("content-length"), seen.body),
                (vec!["5".to_owned()], b"hello".to_vec()),
                "{twice:?}"
            );
        }
        scene.check_innocent();
    }
}

#[test]
fn h016_to_h018_h029_h030_heads_that_are_no_http() {
    let mut scene = Scene::new();
    for head in [
        "GET /guilty HTTP/1.1\r\nHost: a\r\nX: a\rb",
        "GET /guilty HTTP/1.1\r\nHost: a\r\nX: a\0b",
        "GET /guilty HTTP/1.1\r\nHost: a\r\nX\0: b",
        "GET /guilty HTTP/1.1\r\nHost: a\r\n: b",
        "GET /guilty HTTP/1.1\r\nHost: a\r\nno colon",
        "GET /guilty HTTP/1.1\r\nHost: a\r\nX\u{e9}: b",
        "get /guilty HTTP/1.1\r\nHost: a",
        "G{T /guilty HTTP/1.1\r\nHost: a",
        "GET /guilty\r\nHost: a",
        "GET /guilty HTTP/1.2\r\nHost: a",
        "GET /guilty HTTP/2.0\r\nHost: a",
        "GET  /guilty HTTP/1.1\r\nHost: a",
        "GET\t/guilty HTTP/1.1\r\nHost: a",
        "TRACE /guilty HTTP/1.1\r\nHost: a",
        "TRACK /guilty HTTP/1.1\r\nHost: a",
        "CONNECT a:80 HTTP/1.1\r\nHost: a",
        "GET /guilty HTTP/1.1\nHost: a",
        "GET /guilty HTTP/1.1\r\nHost: a\nX: y",
        "\r\n\r\nGET /guilty HTTP/1.1\r\nHost: a",
        "\nGET /guilty HTTP/1.1\r\nHost: a",
        "PRI * HTTP/2.0",
    ] {
        let status = scene.refused(format!("{head}\r\n\r\n").as_bytes());
        assert!(matches!(status, 400 | 405 | 501 | 505), "{head:?}: {status}");
    }
    let long = format!("{} /guilty HTTP/1.1\r\nHost: a\r\n\r\n", "A".repeat(10_000));
    assert!(matches!(scene.refused(long.as_bytes()), 400 | 501));
}

#[test]
fn h031_to_h033_targets_and_hosts() {
    let mut scene = Scene::new();
    for head in [
        "GET /guilty HTTP/1.1",
        "GET /guilty HTTP/1.1\r\nHost: a\r\nHost: a",
        "GET /guilty HTTP/1.1\r\nHost: ",
        "GET /guilty HTTP/1.1\r\nHost: a b",
        "GET /guilty HTTP/1.1\r\nHost: a,b",
        "GET /guilty HTTP/1.1\r\nHost: a/b",
        "GET /guilty HTTP/1.1\r\nHost: u@a",
        "GET /guilty HTTP/1.1\r\nHost: [::1",
        "GET /guilty HTTP/1.1\r\nHost: a:x",
        "GET /guilty HTTP/1.1\r\nHost: a:70000",
        "GET http://u:p@a/guilty HTTP/1.1\r\nHost: a",
        "GET guilty HTTP/1.1\r\nHost: a",
        "OPTIONS * HTTP/1.1\r\nHost: a",
        "GET a:80 HTTP/1.1\r\nHost: a",
        "GET /guilty#fragment HTTP/1.1\r\nHost: a",
        "GET http://a/guilty#fragment HTTP/1.1\r\nHost: a",
        "GET ftp://a/guilty HTTP/1.1\r\nHost: a",
    ] {
        assert_eq!(scene.refused(format!("{head}\r\n\r\n").as_bytes()), 400, "{head:?}");
    }
    let answer =
        scene.gateway.send("GET http://real.example/x HTTP/1.1\r\nHost: other.example\r\nConnection: close\r\n\r\n");
    assert_eq!(answer.status, 200);
    assert_eq!(scene.backend.last().values("host"), ["real.example"], "the authority of the target wins");
    assert_eq!(scene.gateway.send("GET //host/path HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").status, 200);
    assert_eq!(scene.backend.last().line(), "GET /host/path HTTP/1.1");
    assert_eq!(scene.backend.last().values("host"), ["a"]);
}

#[test]
fn h012_to_h014_chunks_that_are_not_exactly_chunks() {
    let mut scene = Scene::new();
    for body in [
        "0x5\r\nhello",
        "+5\r\nhello",
        "-1\r\n",
        " 5\r\nhello",
        "_\r\n",
        "5 \r\nhello",
        "5\nhello",
        "5;a\nb\r\nhello",
        "5;a\rb\r\nhello",
        "11111111111111111\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
    ] {
        let request =
            format!("POST /chunks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}\r\n0\r\n\r\n");
        let mut client = Client::connect(scene.gateway.port).expect("connected");
        client.send(request.as_bytes()).expect("sent");
        // The head was right, so a server may have been asked; it must not have got a whole request.
        let answer = client.read();
        assert!(answer.as_ref().map_or(true, |answer| answer.status == 400), "{body:?}: {answer:?}");
        assert!(client.is_closed(), "{body:?}");
        scene.check_innocent();
    }
    assert!(scene.backend.seen().iter().all(|seen| !seen.line().contains("/chunks")), "half a request was completed");
}

#[test]
fn h013_extensions_of_chunks_are_bounded() {
    let mut scene = Scene::new();
    for body in [format!("5;{}\r\nhello\r\n", "x".repeat(20_000)), "1;x=yyyyyyyyyyyyyyyy\r\na\r\n".repeat(1_000)] {
        let head = "POST /chunks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let answer = scene.gateway.send(&format!("{head}{body}0\r\n\r\n"));
        assert_eq!((answer.status, answer.reason().as_str()), (400, "bad_framing"));
        scene.check_innocent();
    }
    assert!(scene.backend.seen().iter().all(|seen| !seen.line().contains("/chunks")));
}

#[test]
fn h022_a_client_that_waits_for_leave_gets_it_from_a_server_or_not_at_all() {
    let scene = Scene::new();
    let head = "POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    let mut client = Client::connect(scene.gateway.port).expect("connected");
    client.send(head.as_bytes()).expect("sent");
    assert_eq!(client.read_head().expect("leave").0, 100);
    client.send(b"hello").expect("sent");
    assert_eq!(client.read().expect("an answer").text(), "x");
    assert_eq!(scene.backend.last().body, b"hello");
    assert!(scene.backend.last().values("expect").is_empty());
    // Without a server that wants it there is no leave, and nothing that comes after the answer is a request.
    client.send(head.replace("POST /x", "POST /%00").as_bytes()).expect("sent");
    assert_eq!(client.read_head().expect("an answer").0, 400);
}

#[test]
fn h020_who_said_goodbye_may_close_its_side_and_gets_the_answer() {
    let scene = Scene::new();
    let mut client = Client::connect(scene.gateway.port).expect("connected");
    client.send(b"GET /innocent HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("sent");
    client.stream.get_mut().shutdown(std::net::Shutdown::Write).expect("half closed");
    assert_eq!(client.read().expect("an answer").text(), "x");
}

#[test]
fn h020_a_body_cut_short_is_never_a_whole_request() {
    let mut scene = Scene::new();
    let mut client = Client::connect(scene.gateway.port).expect("connected");
    client.send(b"POST /short HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf").expect("sent");
    client.stream.get_mut().shutdown(std::net::Shutdown::Write).expect("half closed");
    let answer = client.read();
    assert!(answer.as_ref().map_or(true, |answer| answer.status == 400), "{answer:?}");
    scene.check_innocent();
    assert!(scene.backend.seen().iter().all(|seen| !seen.line().contains("/short")));
}

#[test]
fn h041_limits_of_a_head() {
    let mut scene = Scene::new();
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(9000));
    assert_eq!(scene.refused(long.as_bytes()), 414);
    let many = format!("GET /guilty HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(120));
    assert_eq!(scene.refused(many.as_bytes()), 431);
    let big = format!("GET /guilty HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "a".repeat(70_000));
    assert_eq!(scene.refused(big.as_bytes()), 431);
    let large_but_right =
        format!("GET /innocent HTTP/1.1\r\nHost: a\r\nX: {}\r\nConnection: close\r\n\r\n", "a".repeat(30_000));
    assert_eq!(scene.gateway.send(&large_but_right).status, 200);
}

#[test]
fn h042_a_head_that_drips_is_ended_in_total_time() {
    let mut scene = Scene::new();
    let mut client = Client::connect(scene.gateway.port).expect("connected");
    client.send(b"GET /guilty HTTP/1.1\r\n").expect("sent");
    let began = Instant::now();
    // A byte every 500 ms: a limit between bytes would never end it.
    while began.elapsed() < Duration::from_secs(30) && client.send(b"X").is_ok() {
        client.stream.get_mut().set_read_timeout(Some(Duration::from_millis(500))).expect("settable");
        if matches!(std::io::BufRead::fill_buf(&mut client.stream), Ok(bytes) if !bytes.is_empty()) {
            break;
        }
    }
    assert_eq!(client.read().expect("an answer").status, 408);
    assert!(client.is_closed());
    scene.check_innocent();
}

#[test]
fn h043_a_body_that_stops_arriving_is_the_clients_fault() {
    let backend = Backend::says("x");
    let routes = format!("routes: [{{path: /, timeouts: {{idle: 400ms}}, backends: [{}]}}]", backend.url());
    let gateway = gateway_with(&routes, &[]);
    let mut client = Client::connect(gateway.port).expect("connected");
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf").expect("sent");
    let answer = client.read().expect("an answer");
    assert_eq!((answer.status, answer.reason().as_str()), (408, "client_timeout"));
    assert!(client.is_closed());
    assert!(backend.seen().is_empty(), "half a request is not a request");
}

#[test]
fn h044_a_client_that_does_not_read_holds_the_server_back() {
    // The server writes until nobody takes any more, and tells how much that was.
    let (tell, told) = std::sync::mpsc::channel();
    let tell = std::sync::Mutex::new(tell);
    let backend = Backend::scripted(move |mut connection| {
        connection.request()?;
        connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")?;
        let stream = connection.stream.get_mut();
        stream.set_write_timeout(Some(Duration::from_secs(2)))?;
        let (piece, mut taken) = (vec![b'x'; 1 << 16], 0_usize);
        while let Ok(count) = std::io::Write::write(stream, &piece) {
            taken += count;
        }
        let _ = tell.lock().expect("not poisoned").send(taken);
        Ok(())
    });
    let gateway = gateway_with(&format!("routes: [{{path: /, backends: [{}]}}]", backend.url()), &[]);
    let mut client = Client::connect(gateway.port).expect("connected");
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    let taken = told.recv_timeout(crate::lang::PATIENCE).expect("the server was held back");
    assert!(taken < 64 << 20, "{taken} bytes were taken for a client that reads none");
    assert!(gateway.peak_memory_kib() < 100 * 1024);
}

#[test]
fn h084_a_client_that_goes_gives_everything_back() {
    let backend = Backend::scripted(|mut connection| {
        connection.request()?;
        // Never answers; ends when the other side does.
        connection.request()?;
        Ok(())
    });
    let gateway = gateway_with(&format!("routes: [{{path: /, backends: [{}]}}]", backend.url()), &[]);
    let active = format!("gateway_active_connections{{backend=\"127.0.0.1:{}\"}}", backend.port);
    let clients: Vec<Client> = (0..10)
        .map(|_| {
            let mut client = Client::connect(gateway.port).expect("connected");
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
            client
        })
        .collect();
    crate::lang::eventually("ten run", || (gateway.metric(&active) == Some(10.0)).then_some(()));
    drop(clients);
    crate::lang::eventually("none runs", || (gateway.metric(&active) == Some(0.0)).then_some(()));
    let gone = gateway.metric("gateway_requests_total{method=\"GET\",service=\"/\",status=\"499\"}");
    assert_eq!(gone, Some(10.0), "each is counted once");
}
