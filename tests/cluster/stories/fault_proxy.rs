//! A proxy of our own between one Sluice and a real API server, which does to its client what networks, gateways
//! and API servers in trouble do.
//!
//! Plain HTTP on this side, one request a connection; `kubectl proxy` behind it brings the certificates. A new fault
//! takes hold at once: what runs at that moment is cut, or, when the fault is a stall, falls silent.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{sleep, spawn};
use std::time::Duration;

/// How soon a running answer notices another fault.
const NOTICE: Duration = Duration::from_millis(50);

/// What is done to requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// They are passed on.
    None,
    /// Connections are closed as soon as they are there.
    Cut,
    /// Nothing is ever answered, and what runs falls silent.
    Stall,
    /// All are answered with this status, as by the API server (429 asks for a second of patience).
    Refuse(u16),
    /// Watches are answered 410, lists as usual.
    Forget,
    /// A watch is told within it that its history is gone.
    ForgetWithin,
    /// Watches are answered 410, and lists with nothing.
    Empty,
    /// Watches end as soon as they are open.
    EndAtOnce,
    /// Lists break off in the middle, watches are answered 410.
    Half,
}

struct Shared {
    fault: Mutex<Fault>,
    /// Of the fault; grows.
    generation: AtomicU64,
    requests: AtomicU64,
    upstream: SocketAddr,
}

pub struct FaultProxy {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    kubectl: Child,
}

impl FaultProxy {
    pub fn start() -> Self {
        let (kubectl, upstream) = kubectl_proxy();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (fault, generation) = (Mutex::new(Fault::None), AtomicU64::new(0));
        let shared = Arc::new(Shared { fault, generation, requests: AtomicU64::new(0), upstream });
        let serving = Arc::clone(&shared);
        spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&serving);
                // What goes wrong with one connection is what its client has to bear.
                spawn(move || shared.serve(client));
            }
        });
        Self { address, shared, kubectl }
    }

    pub fn set(&self, fault: Fault) {
        *self.shared.fault.lock().expect("no thread panics with it") = fault;
        self.shared.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// How many there have been.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::SeqCst)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        let _ = self.kubectl.kill();
        let _ = self.kubectl.wait();
    }
}

fn kubectl_proxy() -> (Child, SocketAddr) {
    let mut child = Command::new("kubectl")
        .args(["proxy", "--port=0", "--reject-paths=^$"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("kubectl proxy");
    let mut line = String::new();
    let out = child.stdout.take().expect("piped");
    BufReader::new(out).read_line(&mut line).expect("what kubectl proxy says");
    let address = line.trim().rsplit(' ').next().and_then(|address| address.parse().ok());
    (child, address.unwrap_or_else(|| panic!("no address: {line}")))
}

struct Request {
    head: String,
    body: Vec<u8>,
}

impl Request {
    fn is_watch(&self) -> bool {
        self.head.lines().next().is_some_and(|line| line.contains("watch=true"))
    }

    fn is_list(&self) -> bool {
        self.head.lines().next().is_some_and(|line| line.contains("limit="))
    }
}

impl Shared {
    fn serve(&self, mut client: TcpStream) -> Option<()> {
        let generation = self.generation.load(Ordering::SeqCst);
        let fault = *self.fault.lock().ok()?;
        if fault == Fault::Cut {
            return None;
        }
        let request = read_request(&client)?;
        self.requests.fetch_add(1, Ordering::SeqCst);
        let gone = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Expired","code":410}"#;
        match fault {
            Fault::Stall => self.wait_for_another(generation),
            Fault::Refuse(code) => {
                let details = if code == 429 { r#","details":{"retryAfterSeconds":1}"# } else { "" };
                let status = format!(r#"{{"kind":"Status","status":"Failure","code":{code}{details}}}"#);
                answer(&mut client, code, &status)?;
            }
            Fault::Forget | Fault::Empty | Fault::Half if request.is_watch() => answer(&mut client, 410, gone)?,
            Fault::ForgetWithin if request.is_watch() => {
                answer(&mut client, 200, &format!("{{\"type\":\"ERROR\",\"object\":{gone}}}\n"))?;
            }
            Fault::EndAtOnce if request.is_watch() => answer(&mut client, 200, "")?,
            Fault::Empty if request.is_list() => {
                let nothing = r#"{"kind":"List","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[]}"#;
                answer(&mut client, 200, nothing)?;
            }
            _ => self.pass(client, &request, generation, fault)?,
        }
        Some(())
    }

    fn pass(&self, mut client: TcpStream, request: &Request, generation: u64, fault: Fault) -> Option<()> {
        let mut upstream = TcpStream::connect(self.upstream).ok()?;
        let one_way = |line: &&str| !line.to_lowercase().starts_with("connection:");
        let head: Vec<&str> = request.head.lines().filter(one_way).collect();
        let head = head.join("\r\n") + "\r\nConnection: close\r\n\r\n";
        upstream.write_all(head.as_bytes()).ok()?;
        upstream.write_all(&request.body).ok()?;
        upstream.set_read_timeout(Some(NOTICE)).ok()?;
        let mut piece = [0; 16 * 1024];
        loop {
            if self.generation.load(Ordering::SeqCst) != generation {
                if *self.fault.lock().ok()? == Fault::Stall {
                    self.wait_for_another(generation + 1);
                }
                return None;
            }
            match upstream.read(&mut piece) {
                Ok(0) => return Some(()),
                Ok(count) if fault == Fault::Half && request.is_list() => {
                    // With the length of the whole in its head.
                    client.write_all(piece.get(..count / 2)?).ok()?;
                    return None;
                }
                Ok(count) => client.write_all(piece.get(..count)?).ok()?,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => return None,
            }
        }
    }

    fn wait_for_another(&self, generation: u64) {
        while self.generation.load(Ordering::SeqCst) == generation {
            sleep(NOTICE);
        }
    }
}

fn read_request(client: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(client);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        if name.eq_ignore_ascii_case("content-length") { value.trim().parse().ok() } else { None }
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some(Request { head: head.trim_end().to_owned(), body })
}

fn answer(client: &mut TcpStream, code: u16, body: &str) -> Option<()> {
    let length = body.len();
    let head = format!("HTTP/1.1 {code} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n");
    client.write_all(format!("{head}Connection: close\r\n\r\n{body}").as_bytes()).ok()
}
