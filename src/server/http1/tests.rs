//! Connections over real sockets, one worker, limits as each test wants them.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream as StdStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::*;
use crate::config::{Listener, Offer, file};
use crate::observe::access_log::AccessLog;
use crate::observe::metrics::Metrics;
use crate::proxy::Shared;
use crate::server::Server;
use crate::snapshot::Published;
use crate::snapshot::apply::Applier;
use crate::snapshot::registry::Registry;
use crate::upstream::resolve::Resolver;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A sink that can be read.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port()
}

fn shared(routes: &str) -> (Shared, Lines) {
    let lines = Lines::default();
    let metrics = Arc::new(Metrics::new(1).expect("consistent"));
    let (access_log, _) =
        AccessLog::start(Box::new(lines.clone()), metrics.access_log_dropped.clone()).expect("a thread");
    let published = Arc::new(Published::default());
    let registry = Arc::new(Registry::new(Arc::clone(&metrics)));
    let mut applier = Applier::start(registry, Arc::clone(&published), Arc::clone(&metrics)).expect("a thread");
    let loaded = file::parse(&[("sluice.yaml".to_owned(), routes.to_owned())]).expect("a good file");
    applier.apply(&Offer { number: 1, gateway: Arc::new(loaded.gateway), stale_since: None });
    let is_draining = Arc::new(AtomicBool::new(false));
    (Shared { published, metrics, access_log, resolver: Resolver::of_system(), is_draining }, lines)
}

/// One worker that listens.
struct Scene {
    server: Server,
    shared: Shared,
    listener: Listener,
    lines: Lines,
    runtime: tokio::runtime::Runtime,
}

impl Scene {
    fn new(routes: &str, limit: impl FnOnce(&mut ListenerLimits)) -> Self {
        let (shared, lines) = shared(routes);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let mut server = Server::start(1, &shared).expect("a worker");
        let mut listener = Listener::named_by_port(free_port());
        listener.address = Some(Ipv4Addr::LOCALHOST.into());
        limit(&mut listener.limits);
        runtime.block_on(server.listen(std::slice::from_ref(&listener))).expect("a free port");
        Self { server, shared, listener, lines, runtime }
    }

    /// In front of this server.
    fn before(backend: &Backend, limit: impl FnOnce(&mut ListenerLimits)) -> Self {
        Self::new(&format!("routes: [{{path: /, backends: ['http://127.0.0.1:{}']}}]", backend.0), limit)
    }

    fn nowhere(limit: impl FnOnce(&mut ListenerLimits)) -> Self {
        Self::new("routes: [{hosts: [never.example], path: /, backends: ['http://127.0.0.1:1']}]", limit)
    }

    fn connect(&self) -> Client {
        let stream = StdStream::connect(("127.0.0.1", self.listener.port)).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("settable");
        stream.set_nodelay(true).expect("settable");
        Client { stream, read: Vec::new() }
    }

    /// What is left of a connection on which these bytes were sent, answer and all.
    fn last_words(&self, bytes: &[u8]) -> String {
        let mut client = self.connect();
        client.send(bytes);
        client.rest()
    }

    fn refusals(&self, reason: &str) -> u64 {
        self.shared.metrics.refusals.with_label_values(&[reason]).get()
    }

    fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
        let until = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(Instant::now() < until, "gave up waiting: {what}");
            std::thread::yield_now();
        }
    }
}

struct Client {
    stream: StdStream,
    read: Vec<u8>,
}

impl Client {
    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("sent");
    }

    /// What came, up to and with this text.
    fn until(&mut self, end: &str) -> String {
        loop {
            let text = String::from_utf8_lossy(&self.read).into_owned();
            if let Some(at) = text.find(end) {
                self.read.drain(..at + end.len());
                return text[..at + end.len()].to_owned();
            }
            let mut buffer = [0; 4096];
            let count = self.stream.read(&mut buffer).expect("more comes");
            assert!(count > 0, "it ended with {text:?} before {end:?}");
            self.read.extend_from_slice(&buffer[..count]);
        }
    }

    /// Everything up to the end of the connection.
    fn rest(&mut self) -> String {
        let mut all = std::mem::take(&mut self.read);
        self.stream.read_to_end(&mut all).expect("an end");
        String::from_utf8_lossy(&all).into_owned()
    }

    /// Whether it ended with a reset.
    fn is_reset(&mut self) -> bool {
        let mut all = Vec::new();
        matches!(self.stream.read_to_end(&mut all), Err(error) if error.kind() == io::ErrorKind::ConnectionReset)
    }

    fn half_close(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("open");
    }
}

/// A server of which each connection runs a script.
struct Backend(u16);

impl Backend {
    fn new(script: impl Fn(&mut Client) + Send + Sync + 'static) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = socket.local_addr().expect("bound").port();
        let script = Arc::new(script);
        std::thread::spawn(move || {
            for stream in socket.incoming().map_while(Result::ok) {
                let script = Arc::clone(&script);
                std::thread::spawn(move || script(&mut Client { stream, read: Vec::new() }));
            }
        });
        Self(port)
    }

    /// Answers each head with these bytes, for as long as heads come.
    fn says(answer: &'static str) -> Self {
        Self::new(move |client| {
            let mut buffer = [0; 4096];
            while client.stream.read(&mut buffer).is_ok_and(|count| count > 0) {
                client.send(answer.as_bytes());
            }
        })
    }
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const NOT_FOUND: &str = "no route names this host\n";

#[test]
fn a_bad_head_is_answered_counted_and_logged() {
    let scene = Scene::nowhere(|_| {});
    for (bytes, status, reason) in [
        (&b"GET /x HTTP/1.1\nHost: a\n\n"[..], "400 Bad Request", "bad_head"),
        (b"GET /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n", "400 Bad Request", "bad_framing"),
        (b"GET /x#y HTTP/1.1\r\nHost: a\r\n\r\n", "400 Bad Request", "bad_path"),
        (b"GET /x HTTP/3.0\r\n\r\n", "505 HTTP Version Not Supported", "bad_version"),
        (b"GET /x HTTP/1.1\r\n\r\n", "400 Bad Request", "bad_host"),
    ] {
        let words = scene.last_words(bytes);
        assert!(words.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{words}");
        assert!(words.contains("connection: close\r\n") && words.contains("content-type: text/plain"), "{words}");
        assert!(words.contains(&format!("\r\n\r\n{reason}: ")), "{words}");
        assert_eq!(scene.refusals(reason), 1, "{reason}");
    }
    Scene::eventually("five lines", || {
        let lines = String::from_utf8(scene.lines.0.lock().expect("not poisoned").clone()).expect("text");
        lines.lines().filter(|line| line.contains("\"method\":\"GET\"") && line.contains("\"path\":\"/x\"")).count()
            == 5
    });
}

#[test]
fn h015_h030_garbage_is_refused_at_once_and_not_at_a_deadline() {
    let scene = Scene::nowhere(|limits| limits.head_time = Duration::from_secs(3600));
    assert!(scene.last_words(b"\x16\x03\x01\x02\0\x01\0").contains("bad_head"), "TLS on a port without it");
    assert!(scene.last_words(b"\r\n\r\n").contains("bad_head"));
}

#[test]
fn h019_requests_sent_ahead_are_answered_in_order() {
    let scene = Scene::nowhere(|_| {});
    let mut client = scene.connect();
    let mut all = Vec::new();
    for number in 0..50 {
        all.extend_from_slice(
            format!("GET /{number} HTTP/1.1\r\nHost: a\r\nX-Request-Id: {number}\r\n\r\n").as_bytes(),
        );
        all.extend_from_slice(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    }
    client.send(&all);
    for _ in 0..100 {
        assert!(client.until(NOT_FOUND).starts_with("HTTP/1.1 404"));
    }
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(client.rest().contains("connection: close"));
}

#[test]
fn a_head_may_come_byte_by_byte() {
    let scene = Scene::nowhere(|_| {});
    let mut client = scene.connect();
    for _ in 0..2 {
        for byte in GET {
            client.send(&[*byte]);
            std::thread::yield_now();
        }
        assert!(client.until(NOT_FOUND).starts_with("HTTP/1.1 404"));
    }
}

#[test]
fn h022_leave_to_send_a_body_is_given_when_a_server_wants_it() {
    let backend = Backend::new(|server| {
        server.until("\r\n\r\n");
        server.until("hello");
        server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        server.until("\r\n\r\n");
        server.send(b"HTTP/1.1 401 Go\r\nContent-Length: 2\r\n\r\nno");
    });
    let scene = Scene::before(&backend, |_| {});
    let mut client = scene.connect();
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    client.send(head);
    assert_eq!(client.until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send(b"hello");
    let answer = client.until("ok");
    assert!(answer.starts_with("HTTP/1.1 200") && !answer.contains("connection: close"), "{answer}");
    // The answer comes before the body: it ends the connection, as nobody knows whether the body will still come.
    client.send(head);
    assert_eq!(client.until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    assert!(client.until("no").starts_with("HTTP/1.1 401"));
    assert_eq!(client.rest(), "");
}

#[test]
fn h022_a_body_that_nobody_wants_is_not_asked_for() {
    let scene = Scene::nowhere(|_| {});
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n";
    let words = scene.last_words(format!("{head}Expect: 100-continue\r\n\r\n").as_bytes());
    assert!(words.starts_with("HTTP/1.1 404") && words.contains("connection: close"), "{words}");
    let words = scene.last_words(format!("{head}Expect: something\r\n\r\n").as_bytes());
    assert!(words.starts_with("HTTP/1.1 417") && words.contains("connection: close"), "{words}");
    // A body that was sent without waiting is read over, and the connection goes on.
    let mut client = scene.connect();
    client.send(format!("{head}Expect: 100-continue\r\n\r\nhello").as_bytes());
    assert!(!client.until(NOT_FOUND).contains("connection: close"));
    client.send(GET);
    client.until(NOT_FOUND);
}

#[test]
fn h041_limits_of_the_listener() {
    let scene = Scene::nowhere(|limits| {
        limits.head_bytes = 200;
        limits.headers = 3;
        limits.uri_bytes = 20;
        limits.request_body = Some(10);
    });
    for (head, status, reason) in [
        ("GET /aaaaaaaaaaaaaaaaaaaaaaaa HTTP/1.1\r\nHost: a".to_owned(), 414, "uri_too_long"),
        ("GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\nC: 3".to_owned(), 431, "head_too_large"),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}", "b".repeat(300)), 431, "head_too_large"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11".to_owned(), 413, "body_too_large"),
    ] {
        let words = scene.last_words(format!("{head}\r\n\r\n").as_bytes());
        assert!(words.starts_with(&format!("HTTP/1.1 {status}")) && words.contains(reason), "{head}: {words}");
    }
    assert_eq!(scene.refusals("head_too_large"), 2);
}

#[test]
fn h041_a_chunked_body_is_cut_off_at_its_limit() {
    let backend = Backend::new(|server| drop(server.stream.read_to_end(&mut Vec::new())));
    let scene = Scene::before(&backend, |limits| limits.request_body = Some(10));
    let words = scene.last_words(
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n",
    );
    assert!(words.starts_with("HTTP/1.1 413") && words.contains("body_too_large"), "{words}");
}

#[test]
fn h012_to_h014_a_body_that_is_not_chunked_is_a_bad_request() {
    let backend = Backend::new(|server| drop(server.stream.read_to_end(&mut Vec::new())));
    let scene = Scene::before(&backend, |_| {});
    let extension = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(20_000));
    for body in ["0x5\r\nhello\r\n", "5 \r\nhello\r\n", "5\nhello\n", "5\r\nhello0\r\n", "5;a\nb\r\nhello", &extension]
    {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let words = scene.last_words(format!("{head}{body}").as_bytes());
        assert!(words.starts_with("HTTP/1.1 400") && words.contains("bad_framing"), "{words}");
    }
}

#[test]
fn h042_h053_waiting_for_a_client_ends() {
    let scene = Scene::nowhere(|limits| {
        limits.head_time = Duration::from_millis(300);
        limits.keep_alive = Duration::from_millis(200);
    });
    assert_eq!(scene.last_words(b""), "", "nothing was asked, nothing is said");
    let words = scene.last_words(b"GET / HTTP/1.1\r\nHost:");
    assert!(words.starts_with("HTTP/1.1 408") && words.contains("head_timeout"), "{words}");
    assert_eq!(scene.last_words(b"\r\n"), "", "an empty line is no request");
    let mut client = scene.connect();
    client.send(GET);
    client.until(NOT_FOUND);
    assert_eq!(client.rest(), "", "an idle connection ends");
}

#[test]
fn h043_a_body_that_stops_is_the_clients_fault() {
    let backend = Backend::new(|server| drop(server.stream.read_to_end(&mut Vec::new())));
    let scene = Scene::before(&backend, |limits| limits.body_idle = Duration::from_millis(200));
    let words = scene.last_words(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
    assert!(words.starts_with("HTTP/1.1 408") && words.contains("client_timeout"), "{words}");
}

#[test]
fn h044_a_client_that_takes_nothing_is_given_up() {
    let (tell, told) = std::sync::mpsc::channel();
    let tell = Mutex::new(tell);
    let backend = Backend::new(move |server| {
        server.until("\r\n\r\n");
        server.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let piece = [b"10000\r\n".to_vec(), vec![b'x'; 1 << 16], b"\r\n".to_vec()].concat();
        while server.stream.write_all(&piece).is_ok() {}
        let _ = tell.lock().expect("not poisoned").send(());
    });
    let scene = Scene::before(&backend, |limits| limits.write_idle = Duration::from_millis(300));
    let mut client = scene.connect();
    client.send(GET);
    told.recv_timeout(PATIENCE).expect("the server's connection ends as well");
    drop(client);
}

#[test]
fn h053_a_client_over_its_connections_is_closed_at_once() {
    let scene = Scene::nowhere(|limits| limits.connections_per_client = Some(2));
    let mut kept: Vec<Client> = (0..2).map(|_| scene.connect()).collect();
    for client in &mut kept {
        client.send(GET);
        client.until(NOT_FOUND);
    }
    let mut third = scene.connect();
    assert!(third.stream.read(&mut [0; 8]).is_ok_and(|count| count == 0), "closed");
    kept.pop();
    Scene::eventually("there is room again", || {
        let mut client = scene.connect();
        let _ = client.stream.write_all(GET);
        client.stream.read(&mut [0; 8]).is_ok_and(|count| count > 0)
    });
}

#[test]
fn h053_a_full_listener_lets_clients_wait() {
    let scene = Scene::nowhere(|limits| limits.connections = Some(1));
    let mut first = scene.connect();
    first.send(GET);
    first.until(NOT_FOUND);
    let mut second = scene.connect();
    second.send(GET);
    second.stream.set_read_timeout(Some(Duration::from_millis(300))).expect("settable");
    assert!(second.stream.read(&mut [0; 8]).is_err(), "nobody answers yet");
    drop(first);
    second.stream.set_read_timeout(Some(PATIENCE)).expect("settable");
    second.until(NOT_FOUND);
}

#[test]
fn limits_change_while_a_listener_stays_open() {
    let mut scene = Scene::nowhere(|_| {});
    let mut old = scene.connect();
    old.send(GET);
    old.until(NOT_FOUND);
    scene.listener.limits.requests_per_connection = 1;
    let listener = scene.listener.clone();
    scene.runtime.block_on(scene.server.listen(&[listener])).expect("it is open");
    old.send(GET);
    assert!(!old.until(NOT_FOUND).contains("connection: close"), "who was there keeps what was said");
    assert!(scene.last_words(GET).contains("connection: close"));
}

#[test]
fn a_connection_ends_after_its_requests_or_its_age() {
    let scene = Scene::nowhere(|limits| limits.requests_per_connection = 2);
    let mut client = scene.connect();
    client.send(GET);
    assert!(!client.until(NOT_FOUND).contains("connection: close"));
    client.send(GET);
    assert!(client.until(NOT_FOUND).contains("connection: close"));
    assert_eq!(client.rest(), "");
    let scene = Scene::nowhere(|limits| limits.connection_age = Duration::from_millis(200));
    let mut client = scene.connect();
    Scene::eventually("it is told to go", || {
        client.send(GET);
        client.until(NOT_FOUND).contains("connection: close")
    });
    assert_eq!(client.rest(), "");
}

#[test]
fn ages_differ_by_a_tenth() {
    let hour = Duration::from_secs(3600);
    assert_eq!(about(hour, 0), hour.mul_f64(0.9));
    assert!(about(hour, u64::MAX) > hour.mul_f64(1.09) && about(hour, u64::MAX) <= hour.mul_f64(1.1001));
}

#[test]
fn h011_http_1_0_is_kept_alive_if_it_asks_and_lengths_are_known() {
    let known = Backend::says("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let scene = Scene::before(&known, |_| {});
    let mut client = scene.connect();
    for _ in 0..2 {
        client.send(b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
        assert!(client.until("ok").contains("connection: keep-alive\r\n"));
    }
    client.send(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    assert!(client.rest().contains("connection: close\r\n"));
    let unknown = Backend::says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n");
    let scene = Scene::before(&unknown, |_| {});
    let words = scene.last_words(b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
    assert!(
        words.contains("connection: close\r\n") && !words.contains("chunked") && words.ends_with("\r\n\r\nok"),
        "{words}"
    );
}

#[test]
fn h038_a_broken_answer_looks_broken() {
    let backend = Backend::new(|server| {
        server.until("\r\n\r\n");
        server.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n");
    });
    let scene = Scene::before(&backend, |_| {});
    assert!(scene.last_words(GET).ends_with("2\r\nok\r\n"), "no last chunk");
    // Where the end of the connection is the end of the body, only a reset is no end.
    let mut client = scene.connect();
    client.send(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    assert!(client.is_reset());
}

#[test]
fn h020_h084_who_said_goodbye_gets_the_answer_and_who_gives_up_cancels() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let backend = Backend::new(move |server| {
        server.until("\r\n\r\n");
        if server.stream.set_read_timeout(Some(Duration::from_millis(1))).is_ok() {
            let _ = wait.lock().expect("not poisoned").recv_timeout(PATIENCE);
        }
        let _ = server.stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate");
    });
    let scene = Scene::before(&backend, |_| {});
    let mut client = scene.connect();
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    client.half_close();
    go.send(()).expect("the server waits");
    assert!(client.rest().ends_with("late"), "it said that this was its last request");
    let mut client = scene.connect();
    client.send(GET);
    client.half_close();
    assert_eq!(client.rest(), "", "it had wanted to go on");
    Scene::eventually("it is counted once", || scene.refusals("client_closed") == 1);
    go.send(()).expect("the server waits");
}

#[test]
fn h101_an_early_answer_reaches_a_client_that_goes_on_sending() {
    let backend = Backend::new(|server| {
        server.until("\r\n\r\n");
        server.send(b"HTTP/1.1 413 Too Much\r\nContent-Length: 4\r\n\r\nstop");
        let _ = server.stream.read_to_end(&mut Vec::new());
    });
    let scene = Scene::before(&backend, |_| {});
    let mut client = scene.connect();
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n");
    let mut sender = client.stream.try_clone().expect("a second handle");
    let sending = std::thread::spawn(move || {
        let piece = vec![b'x'; 1 << 16];
        while sender.write_all(&piece).is_ok() {}
    });
    assert!(client.until("stop").starts_with("HTTP/1.1 413"));
    drop(client);
    sending.join().expect("no panic");
}

#[test]
fn bodies_pass_whole_in_both_directions() {
    const BYTES: usize = 3_000_017;
    let backend = Backend::new(|server| {
        let head = server.until("\r\n\r\n");
        let mut body = std::mem::take(&mut server.read);
        let mut buffer = [0; 60_000];
        let is_whole = |body: &[u8]| {
            if head.contains("chunked") { body.ends_with(b"0\r\n\r\n") } else { body.len() == BYTES }
        };
        while !is_whole(&body) {
            let count = server.stream.read(&mut buffer).expect("more comes");
            body.extend_from_slice(&buffer[..count]);
        }
        let framing = if head.contains("chunked") {
            "transfer-encoding: chunked".to_owned()
        } else {
            format!("content-length: {BYTES}")
        };
        server.send(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n").as_bytes());
        server.send(&body);
    });
    let scene = Scene::before(&backend, |_| {});
    let body: Vec<u8> = (b'a'..=b'z').cycle().take(BYTES).collect();
    let mut chunked = Vec::new();
    for piece in body.chunks(70_001) {
        chunked.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        chunked.extend_from_slice(piece);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    for (framing, sent) in
        [(format!("Content-Length: {BYTES}"), &body), ("Transfer-Encoding: chunked".into(), &chunked)]
    {
        let mut client = scene.connect();
        let mut sender = client.stream.try_clone().expect("a second handle");
        let all =
            [format!("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{framing}\r\n\r\n").as_bytes(), sent].concat();
        let sending = std::thread::spawn(move || sender.write_all(&all).expect("sent"));
        let answer = client.rest();
        sending.join().expect("no panic");
        let (head, got) = answer.split_once("\r\n\r\n").expect("a head");
        let got = if head.contains("chunked") { unchunk(got) } else { got.to_owned() };
        assert!(got.as_bytes() == body, "{} of {BYTES} bytes", got.len());
    }
}

fn unchunk(mut text: &str) -> String {
    let mut body = String::new();
    loop {
        let (size, rest) = text.split_once("\r\n").expect("a size");
        let size = usize::from_str_radix(size, 16).expect("a number");
        body.push_str(&rest[..size]);
        assert_eq!(&rest[size..size + 2], "\r\n");
        text = &rest[size + 2..];
        if size == 0 {
            return body;
        }
    }
}

#[test]
fn h069_trailers_reach_who_asked_for_them() {
    let backend = Backend::says(
        "HTTP/1.1 200 OK\r\nTrailer: X-Sum, Content-Type\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\nX-Other: 1\r\nContent-Type: a\r\n\r\n",
    );
    let scene = Scene::before(&backend, |_| {});
    let words = scene.last_words(b"GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: close, te\r\n\r\n");
    assert!(words.ends_with("2\r\nok\r\n0\r\nx-sum: 7\r\n\r\n"), "{words}");
    let words = scene.last_words(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(words.ends_with("2\r\nok\r\n0\r\n\r\n"), "{words}");
}

#[test]
fn h037_a_head_request_is_followed_by_the_next_answer() {
    let scene = Scene::nowhere(|_| {});
    let mut client = scene.connect();
    client.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.until("\r\n\r\n");
    assert!(head.contains(&format!("content-length: {}\r\n", "no_host: ".len() + NOT_FOUND.len())), "{head}");
    assert!(client.until(NOT_FOUND).starts_with("HTTP/1.1 404"));
}

#[test]
fn h023_h110_an_upgraded_connection_carries_bytes_both_ways_and_settles_at_its_end() {
    let backend = Backend::new(|server| {
        let head = server.until("\r\n\r\n");
        if head.starts_with("GET /no ") {
            server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno");
            server.until("\r\n\r\n");
            server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext");
            return;
        }
        server.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello ");
        let asked = server.rest();
        server.send(format!("{asked} was heard").as_bytes());
    });
    let scene = Scene::before(&backend, |_| {});
    let ask =
        |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    let mut client = scene.connect();
    client.send(format!("{}early ", ask("/ws")).as_bytes());
    let head = client.until("\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    assert!(head.contains("connection: upgrade\r\n") && head.contains("upgrade: websocket\r\n"), "{head}");
    client.until("hello ");
    client.send(b"ping");
    client.half_close();
    assert_eq!(client.rest(), "early ping was heard", "the other direction outlives the first");
    Scene::eventually("it is counted at its end", || {
        let text = scene.shared.metrics.encode().expect("consistent");
        text.contains("_requests_total{method=\"GET\",service=\"/\",status=\"101\"} 1")
    });
    // Any other answer is no tunnel: what follows is the next request.
    let mut client = scene.connect();
    client.send(ask("/no").as_bytes());
    client.until("no");
    client.send(GET);
    client.until("next");
}

#[test]
fn an_idle_connection_is_small() {
    let (waiting, wire) = (size_of_return(&Connection::serve), size_of::<Wire>());
    assert!(waiting + wire <= 768, "{waiting} and {wire} bytes");
}

fn size_of_return<A, R>(_: &impl FnOnce(A) -> R) -> usize {
    size_of::<R>()
}

#[test]
fn told_to_close_it_ends_idle_connections_at_once_and_others_after_their_answer() {
    let scene = Scene::nowhere(|_| {});
    let mut idle = scene.connect();
    idle.send(GET);
    idle.until(NOT_FOUND);
    let began = Instant::now();
    while began.elapsed() < SETTLE * 2 {
        std::thread::yield_now();
    }
    let mut running = scene.connect();
    running.send(b"GET / HTTP/1.1\r\n");
    Scene::eventually("it is accepted", || scene.shared.metrics.client_connections.get() == 2);
    scene.server.enter(crate::server::Phase::Closing);
    assert_eq!(idle.rest(), "");
    assert!(began.elapsed() < Duration::from_secs(5));
    running.send(b"Host: a\r\n\r\n");
    assert!(running.rest().contains("connection: close"));
    assert!(scene.shared.is_draining.load(Ordering::Relaxed));
}
