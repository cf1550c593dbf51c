//! An API server for tests: HTTP over a real socket, answers by a script, every request remembered.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::cluster::{self, Cluster};

/// What is answered to a request.
pub enum Answer {
    /// A status and a body.
    Whole(u16, String),
    /// A watch: these lines, and then the end.
    Lines(Vec<String>),
    /// A watch: these lines, and then silence.
    Open(Vec<String>),
    /// The connection breaks.
    Cut,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Seen {
    /// `GET /api/v1/services?limit=500`
    pub line: String,
    pub body: String,
}

impl Seen {
    pub fn is_watch(&self) -> bool {
        self.line.contains("watch=true")
    }
}

type Script = dyn Fn(usize, &Seen) -> Answer + Send + Sync;

/// The running server; ends with its last handle.
pub struct Fake {
    address: std::net::SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    _accepting: JoinSet<()>,
}

impl Fake {
    /// `script` is given the number of requests before, and the request.
    pub async fn start(script: impl Fn(usize, &Seen) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let script: Arc<Script> = Arc::new(script);
        let mut accepting = JoinSet::new();
        let remembered = Arc::clone(&seen);
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&script), Arc::clone(&remembered)));
            }
        });
        Self { address, seen, _accepting: accepting }
    }

    pub fn cluster(&self) -> Cluster {
        cluster::of(kube::Config::new(format!("http://{}", self.address).parse().unwrap())).unwrap()
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn watches(&self) -> usize {
        self.seen().iter().filter(|seen| seen.is_watch()).count()
    }
}

/// One request a connection: `Connection: close` is simple and right.
async fn serve(mut stream: TcpStream, script: Arc<Script>, remembered: Arc<Mutex<Vec<Seen>>>) {
    let Some(seen) = read(&mut stream).await else { return };
    let number = {
        let mut all = remembered.lock().unwrap();
        all.push(seen.clone());
        all.len() - 1
    };
    let head = |status: u16, length: Option<usize>| {
        let length = length.map(|length| format!("content-length: {length}\r\n")).unwrap_or_default();
        format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{length}connection: close\r\n\r\n")
    };
    match script(number, &seen) {
        Answer::Whole(status, body) => {
            let answer = head(status, Some(body.len())) + &body;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
        Answer::Lines(lines) => {
            let _ = stream.write_all((head(200, None) + &lines.concat()).as_bytes()).await;
        }
        Answer::Open(lines) => {
            let _ = stream.write_all((head(200, None) + &lines.concat()).as_bytes()).await;
            tokio::time::sleep(Duration::from_secs(600)).await;
        }
        Answer::Cut => {}
    }
}

async fn read(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
            });
            if body.len() >= length.unwrap_or_default() {
                let line = head.lines().next()?.trim_end_matches(" HTTP/1.1").to_owned();
                return Some(Seen { line, body: body.to_owned() });
            }
        }
        let count = stream.read(&mut piece).await.ok()?;
        if count == 0 {
            return None;
        }
        bytes.extend_from_slice(&piece[..count]);
    }
}
