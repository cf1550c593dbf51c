//! Probes over real sockets, and what is made of their results.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::*;
use crate::config::StatusSet;
use crate::config::route::MethodName;

/// A server that does the same with each connection, after it has read what came first.
struct Server {
    address: SocketAddr,
    running: JoinSet<()>,
}

impl Server {
    async fn start<F: Future<Output = ()> + Send + 'static>(
        answer: impl Fn(TcpStream, String) -> F + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut running = JoinSet::new();
        running.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                let mut request = BytesMut::with_capacity(4096);
                let _ = stream.read_buf(&mut request).await;
                connections.spawn(answer(stream, String::from_utf8_lossy(&request).into_owned()));
            }
        });
        Self { address, running }
    }

    /// Sends this and closes.
    async fn says(answer: &'static [u8]) -> Self {
        Self::start(move |mut stream, _| async move {
            let _ = stream.write_all(answer).await;
        })
        .await
    }
}

fn http_probe() -> HttpProbe {
    HttpProbe {
        method: MethodName(Method::GET),
        path: "/healthz?full=1".to_owned(),
        host: None,
        headers: Vec::new(),
        statuses: StatusSet::of(&[(200, 299)]),
    }
}

fn asks(probe: Probe) -> ActiveHealth {
    ActiveHealth {
        probe,
        port: None,
        interval: Duration::from_millis(100),
        timeout: Duration::from_millis(400),
        healthy_after: 2,
        unhealthy_after: 2,
    }
}

fn target(address: SocketAddr, settings: &ActiveHealth) -> ProbeTarget {
    ProbeTarget {
        denied: Arc::default(),
        number: 7,
        address: Address::Socket(address),
        authority: "users.example:8080".to_owned(),
        settings: Arc::new(settings.clone()),
        health: Arc::new(Health::new()),
    }
}

async fn found(address: SocketAddr) -> Result<(), ProbeError> {
    probe_in_time(target(address, &asks(Probe::Http(http_probe())))).await.found
}

async fn found_with(answer: &'static [u8]) -> Result<(), String> {
    found(Server::says(answer).await.address).await.map_err(|error| error.to_string())
}

#[test]
fn what_is_sent() {
    assert_eq!(
        request(&http_probe(), "users.example:8080"),
        "GET /healthz?full=1 HTTP/1.1\r\nhost: users.example:8080\r\nuser-agent: sluice-probe\r\n\
         connection: close\r\n\r\n"
    );
    let headers = vec![("User-Agent".to_owned(), "kube-probe".to_owned()), ("X-Key".to_owned(), "1".to_owned())];
    let method = MethodName(Method::POST);
    let asked = HttpProbe { host: Some("shop.example".to_owned()), method, headers, ..http_probe() };
    assert_eq!(
        request(&asked, "10.0.0.1:80"),
        "POST /healthz?full=1 HTTP/1.1\r\nhost: shop.example\r\nUser-Agent: kube-probe\r\nX-Key: 1\r\n\
         content-length: 0\r\nconnection: close\r\n\r\n"
    );
}

#[tokio::test]
async fn h106_answers_and_what_they_mean() {
    for good in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"[..],
        b"HTTP/1.0 204 No Content\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 299 Fine\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9000000000000\r\n\r\nthis never comes",
    ] {
        assert_eq!(found_with(good).await, Ok(()), "{}", String::from_utf8_lossy(good));
    }
    for (bad, told) in [
        (&b"HTTP/1.1 500 Oh\r\n\r\n"[..], "the answer was 500 Internal Server Error"),
        (b"HTTP/1.1 302 Found\r\nLocation: /login\r\n\r\n", "the answer was 302 Found"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "the answer was 101 Switching Protocols"),
        (b"", "the connection was closed before an answer"),
        (b"HTTP/1.1 200 OK\r\nContent-", "the connection was closed before an answer"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "the response head is malformed"),
        // HTTP/2 settings; a TLS alert.
        (b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x64", "the response head is malformed"),
        (b"\x15\x03\x01\0\x02\x02\x46", "the response head is malformed"),
    ] {
        assert_eq!(found_with(bad).await, Err(told.to_owned()), "{}", String::from_utf8_lossy(bad));
    }
}

/// Writes until the prober has gone; tells how much it could.
async fn endless(first: &'static [u8], then: &'static [u8]) -> (Server, Arc<AtomicUsize>) {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let server = Server::start(move |mut stream, _| {
        let count = Arc::clone(&count);
        async move {
            let _ = stream.write_all(first).await;
            while stream.write_all(then).await.is_ok() {
                count.fetch_add(then.len(), Ordering::Relaxed);
            }
        }
    })
    .await;
    (server, sent)
}

#[tokio::test]
async fn h106_endless_answers_are_cut_off() {
    let (server, _) =
        endless(b"HTTP/1.1 200 OK\r\n", b"X-More: abcdefghijklmnopqrstuvwxyz0123456789abcdefghijk\r\n").await;
    let told = found(server.address).await.expect_err("no head is that long").to_string();
    assert_eq!(told, "the response head is too large");
    let (server, _) = endless(b"", b"HTTP/1.1 102 Processing\r\n\r\n").await;
    assert!(matches!(found(server.address).await, Err(ProbeError::Answer(ResponseError::Interim))));
    let (mut server, sent) = endless(b"HTTP/1.1 200 OK\r\n\r\n", &[b'x'; 4096]).await;
    assert!(found(server.address).await.is_ok());
    server.running.shutdown().await;
    assert!(sent.load(Ordering::Relaxed) < 16 << 20, "only what the kernel takes");
}

#[tokio::test]
async fn h106_silence_and_dripping_end_with_the_timeout() {
    let silent = Server::start(|stream, _| async move {
        sleep(Duration::from_secs(60)).await;
        drop(stream);
    })
    .await;
    let dripping = Server::start(|mut stream, _| async move {
        for byte in b"HTTP/1.1 200 OK\r\nX: ".iter().chain(std::iter::repeat(&b'x')) {
            if stream.write_all(&[*byte]).await.is_err() {
                return;
            }
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    for server in [silent, dripping] {
        let began = Instant::now();
        assert!(matches!(found(server.address).await, Err(ProbeError::Timeout)));
        assert!(began.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn tcp_probes_want_a_connection_and_another_port_may_be_asked() {
    let server = Server::says(b"").await;
    let refused = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let asked = asks(Probe::Tcp);
    assert!(probe_in_time(target(server.address, &asked)).await.found.is_ok());
    let refusal = probe_in_time(target(refused, &asked)).await.found;
    assert!(matches!(&refusal, Err(error @ ProbeError::Connect(_)) if !error.is_ours()), "{refusal:?}");
    let elsewhere = ActiveHealth { port: Some(server.address.port()), ..asked };
    assert!(probe_in_time(target(refused, &elsewhere)).await.found.is_ok());
    let address = Address::Name("localhost".to_owned(), server.address.port());
    assert!(probe_in_time(ProbeTarget { address, ..target(refused, &asks(Probe::Tcp)) }).await.found.is_ok());
}

fn ended(target: &ProbeTarget, found: Result<(), ProbeError>) -> Ended {
    Ended { number: target.number, asked: Arc::clone(&target.settings), found }
}

#[tokio::test]
async fn results_of_an_edited_probe_are_not_those_of_the_new_one() {
    let old = target(([127, 0, 0, 1], 9).into(), &asks(Probe::Tcp));
    let mut prober = Prober::new();
    prober.adopt(vec![old.clone()]);
    prober.take_in(ended(&old, Err(ProbeError::Closed)));
    prober.take_in(ended(&old, Err(ProbeError::Closed)));
    assert_eq!(old.health.active().status(), Status::Unhealthy);
    let new = ProbeTarget { settings: Arc::new(asks(Probe::Http(http_probe()))), ..old.clone() };
    prober.adopt(vec![new.clone()]);
    prober.take_in(ended(&old, Ok(())));
    assert_eq!(new.health.active().status(), Status::Unhealthy, "it was asked before the change");
    let patient = ActiveHealth { unhealthy_after: 9, ..(*new.settings).clone() };
    prober.adopt(vec![ProbeTarget { settings: Arc::new(patient), ..new.clone() }]);
    prober.take_in(ended(&new, Ok(())));
    assert_eq!(new.health.active().status(), Status::Healthy, "the first result of the new probe, thresholds aside");
    prober.adopt(Vec::new());
    prober.take_in(ended(&new, Err(ProbeError::Closed)));
    assert_eq!(new.health.active().status(), Status::Healthy, "it is gone");
}

#[tokio::test]
async fn h111_what_we_lack_is_no_fault_of_the_endpoint() {
    let target = target(([127, 0, 0, 1], 9).into(), &asks(Probe::Tcp));
    let mut prober = Prober::new();
    prober.adopt(vec![target.clone()]);
    for _ in 0..5 {
        prober.take_in(ended(&target, Err(ProbeError::Connect(io::Error::from_raw_os_error(24)))));
    }
    assert_eq!(target.health.active().status(), Status::Unknown);
    for _ in 0..2 {
        prober.take_in(ended(&target, Err(ProbeError::Connect(io::ErrorKind::ConnectionRefused.into()))));
    }
    assert_eq!(target.health.active().status(), Status::Unhealthy);
}

async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let looking = async {
        while !holds() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), looking).await.unwrap_or_else(|_| panic!("{what}"));
}

/// A prober over a list that can be edited.
struct Running {
    targets: Arc<Mutex<Vec<ProbeTarget>>>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Running {
    fn new(targets: Vec<ProbeTarget>) -> Self {
        let targets = Arc::new(Mutex::new(targets));
        let (stop, list) = (CancellationToken::new(), Arc::clone(&targets));
        let mut tasks = JoinSet::new();
        tasks.spawn(run(move || list.lock().expect("a list").clone(), stop.clone()));
        Self { targets, stop, tasks }
    }
}

#[tokio::test]
async fn h106_a_flapping_endpoint_goes_and_comes_back() {
    let is_well = Arc::new(AtomicBool::new(true));
    let (says, asked) = (Arc::clone(&is_well), Arc::new(Mutex::new(String::new())));
    let seen = Arc::clone(&asked);
    let server = Server::start(move |mut stream, request| {
        *seen.lock().expect("a text") = request;
        let answer = if says.load(Ordering::SeqCst) { "HTTP/1.1 200 OK\r\n\r\n" } else { "HTTP/1.1 503 No\r\n\r\n" };
        async move {
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    })
    .await;
    let target = target(server.address, &asks(Probe::Http(http_probe())));
    let health = Arc::clone(&target.health);
    let mut running = Running::new(vec![target]);
    for _ in 0..2 {
        is_well.store(true, Ordering::SeqCst);
        eventually("healthy", || health.active().status() == Status::Healthy).await;
        is_well.store(false, Ordering::SeqCst);
        eventually("unhealthy", || health.active().status() == Status::Unhealthy).await;
    }
    assert!(asked.lock().expect("a text").starts_with("GET /healthz?full=1 HTTP/1.1\r\nhost: users.example:8080\r\n"));
    running.stop.cancel();
    timeout(Duration::from_secs(5), running.tasks.join_next()).await.expect("it ends").expect("one").expect("no panic");
}

#[tokio::test]
async fn an_endpoint_has_one_probe_at_a_time_and_none_when_it_is_gone() {
    let (now, most, all) =
        (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counts = (Arc::clone(&now), Arc::clone(&most), Arc::clone(&all));
    let server = Server::start(move |mut stream, _| {
        let (now, most, all) = counts.clone();
        async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            all.fetch_add(1, Ordering::SeqCst);
            // Until the prober has had enough.
            let _ = stream.read_u8().await;
            now.fetch_sub(1, Ordering::SeqCst);
        }
    })
    .await;
    let slow = ActiveHealth { interval: Duration::from_millis(1), ..asks(Probe::Http(http_probe())) };
    let target = target(server.address, &slow);
    let health = Arc::clone(&target.health);
    let running = Running::new(vec![target]);
    eventually("unhealthy", || health.active().status() == Status::Unhealthy).await;
    eventually("asked again", || all.load(Ordering::SeqCst) > 3).await;
    assert_eq!(most.load(Ordering::SeqCst), 1);
    running.targets.lock().expect("a list").clear();
    // The list is looked up twice, and a probe under way then has ended.
    sleep(LOOK_EVERY * 2 + slow.timeout).await;
    let before = all.load(Ordering::SeqCst);
    sleep(Duration::from_millis(200)).await;
    assert_eq!(all.load(Ordering::SeqCst), before);
}
