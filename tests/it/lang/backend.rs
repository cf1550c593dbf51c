//! Servers of the tests: each connection is a thread that runs the test's script.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

/// A server; it stops accepting when dropped.
pub struct Backend {
    pub port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
    stops: Arc<AtomicBool>,
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Head as text, lines ended by `\r\n`.
    pub head: String,
    pub body: Vec<u8>,
}

impl Seen {
    /// All values of a header, in order.
    pub fn values(&self, name: &str) -> Vec<String> {
        let lines = self.head.split("\r\n").skip(1).filter_map(|line| line.split_once(": "));
        lines.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).collect()
    }

    pub fn line(&self) -> &str {
        self.head.split("\r\n").next().unwrap_or_default()
    }
}

/// One connection at the server's side.
pub struct Connection {
    pub stream: BufReader<TcpStream>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Connection {
    /// The next request; none when the client has closed.
    pub fn request(&mut self) -> io::Result<Option<Seen>> {
        let Some(head) = self.head()? else { return Ok(None) };
        let mut seen = Seen { head, body: Vec::new() };
        if let Some(length) = seen.values("content-length").first() {
            seen.body = vec![0; length.parse().map_err(io::Error::other)?];
            self.stream.read_exact(&mut seen.body)?;
        } else if !seen.values("transfer-encoding").is_empty() {
            seen.body = self.chunks()?;
        }
        self.seen.lock().expect("not poisoned").push(seen.clone());
        Ok(Some(seen))
    }

    /// The next request's head alone.
    pub fn head(&mut self) -> io::Result<Option<String>> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if self.stream.read_until(b'\n', &mut head)? == 0 {
                return Ok(None);
            }
        }
        String::from_utf8(head).map(Some).map_err(io::Error::other)
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Ends it with a reset instead of a close.
    pub fn reset(self) {
        let socket = socket2::Socket::from(self.stream.into_inner());
        let _ = socket.set_linger(Some(std::time::Duration::ZERO));
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            let size = usize::from_str_radix(line.trim_end(), 16).map_err(io::Error::other)?;
            let mut chunk = vec![0; size + 2];
            self.stream.read_exact(&mut chunk)?;
            body.extend_from_slice(&chunk[..size]);
            if size == 0 {
                return Ok(body);
            }
        }
    }
}

/// The status a server answers with, changed while it runs.
#[derive(Clone)]
pub struct Mood(Arc<AtomicU16>);

impl Mood {
    pub fn set(&self, status: u16) {
        self.0.store(status, Ordering::SeqCst);
    }
}

/// Lets requests go that a server holds.
#[derive(Clone)]
pub struct Release(Arc<(Mutex<usize>, Condvar)>);

impl Release {
    /// So many more are answered.
    pub fn let_go(&self, count: usize) {
        *self.0.0.lock().expect("not poisoned") += count;
        self.0.1.notify_all();
    }

    fn wait(&self) {
        let left = self.0.0.lock().expect("not poisoned");
        let mut left = self.0.1.wait_while(left, |left| *left == 0).expect("not poisoned");
        *left -= 1;
    }
}

impl Backend {
    /// Answers with the status of its mood, 200 at first.
    pub fn in_mood(text: &'static str) -> (Self, Mood) {
        let mood = Mood(Arc::new(AtomicU16::new(200)));
        let status = mood.clone();
        let answer = move |_: &Seen| {
            let status = status.0.load(Ordering::SeqCst);
            format!("HTTP/1.1 {status} Mood\r\nContent-Length: {}\r\n\r\n{text}", text.len())
        };
        (Self::answers(answer), mood)
    }

    /// Holds every request until it is let go.
    pub fn holding(text: &'static str) -> (Self, Release) {
        let release = Release(Arc::default());
        let holds = release.clone();
        let answer = move |_: &Seen| {
            holds.wait();
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len())
        };
        (Self::answers(answer), release)
    }

    /// Every connection runs this script.
    pub fn scripted(script: impl Fn(Connection) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self::scripted_on(0, script)
    }

    /// The same on a port that was used before.
    pub fn scripted_on(port: u16, script: impl Fn(Connection) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let socket = TcpListener::bind(("127.0.0.1", port)).expect("a free port");
        let backend = Self {
            port: socket.local_addr().expect("bound").port(),
            seen: Arc::default(),
            connections: Arc::default(),
            stops: Arc::default(),
        };
        let (seen, connections, stops) = (backend.seen.clone(), backend.connections.clone(), backend.stops.clone());
        let script = Arc::new(script);
        std::thread::spawn(move || {
            for stream in socket.incoming().map_while(Result::ok) {
                if stops.load(Ordering::Relaxed) {
                    return;
                }
                connections.fetch_add(1, Ordering::Relaxed);
                let connection = Connection { stream: BufReader::new(stream), seen: seen.clone() };
                let script = script.clone();
                std::thread::spawn(move || drop(script(connection)));
            }
        });
        backend
    }

    /// Answers every request with this text.
    pub fn says(text: &'static str) -> Self {
        Self::answers(move |_| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len()))
    }

    /// Answers every request with these bytes.
    pub fn answers(answer: impl Fn(&Seen) -> String + Send + Sync + 'static) -> Self {
        Self::scripted(move |mut connection| {
            while let Some(seen) = connection.request()? {
                connection.write(answer(&seen).as_bytes())?;
            }
            Ok(())
        })
    }

    /// `http://127.0.0.1:port`
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("not poisoned").clone()
    }

    /// How many requests so far had a path that begins so.
    pub fn count(&self, path: &str) -> usize {
        let is_meant = |seen: &&Seen| seen.line().split(' ').nth(1).is_some_and(|target| target.starts_with(path));
        self.seen.lock().expect("not poisoned").iter().filter(is_meant).count()
    }

    /// `127.0.0.1:port`
    pub fn authority(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The newest request.
    pub fn last(&self) -> Seen {
        self.seen().pop().expect("a request has arrived")
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.stops.store(true, Ordering::Relaxed);
        // Wakes the accepting thread, which then closes the socket.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}
