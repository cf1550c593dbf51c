//! HTTP/1.1 of a client that keeps its connection: just enough to send a GET and to read the whole
//! answer, and strict where a proxy could cheat. A body that ends early, bytes nobody asked for, a
//! chunk without its end are errors, and so is every byte that does not come.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// 20 s: far above any answer that a story waits for, so reaching it is a hang.
const PATIENCE: Duration = Duration::from_secs(20);
/// 1 MiB: the backend answers with less than a thousandth of it.
const MAX_BODY: usize = 1 << 20;

pub struct Connection {
    stream: BufReader<TcpStream>,
    /// The server said that this answer was its last on the connection.
    closing: bool,
}

pub struct Response {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Connection {
    pub fn open(address: &str) -> Result<Self, String> {
        let target = address.to_socket_addrs().map_err(said("address"))?.next();
        let target = target.ok_or_else(|| format!("no such address: {address}"))?;
        let stream = TcpStream::connect_timeout(&target, PATIENCE).map_err(said("connect"))?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(said("connect"))?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(said("connect"))?;
        stream.set_nodelay(true).map_err(said("connect"))?;
        Ok(Self { stream: BufReader::new(stream), closing: false })
    }

    /// Whether the next request may go here. The server may close a connection that lies idle, and
    /// it is no failure to see that before the first byte of a request is written.
    pub fn is_usable(&self) -> Result<bool, String> {
        if self.closing {
            return Ok(false);
        }
        let stream = self.stream.get_ref();
        stream.set_nonblocking(true).map_err(said("peek"))?;
        let peeked = stream.peek(&mut [0]);
        stream.set_nonblocking(false).map_err(said("peek"))?;
        match peeked {
            Ok(0) => Ok(false),
            Ok(_) => Err("bytes arrived that nobody asked for".to_owned()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(true),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(false),
            Err(error) => Err(said("peek")(error)),
        }
    }

    /// Sends a whole request head and reads the whole answer.
    pub fn exchange(&mut self, head: &str) -> Result<Response, String> {
        self.stream.get_mut().write_all(head.as_bytes()).map_err(said("write"))?;
        let status = self.line()?;
        let status = status.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).and_then(|code| code.parse().ok());
        let status = status.ok_or("no status line")?;
        let (mut length, mut chunked) = (None, false);
        loop {
            let line = self.line()?.to_lowercase();
            let Some((name, value)) = line.split_once(':') else { break };
            match (name, value.trim()) {
                ("content-length", value) => length = Some(value.parse::<usize>().map_err(said("content-length"))?),
                ("transfer-encoding", value) => chunked = value == "chunked",
                ("connection", value) => self.closing |= value.contains("close"),
                _ => {}
            }
        }
        let body = match (length, chunked) {
            (None, true) => self.chunks()?,
            (Some(length), false) => self.bytes(length)?,
            _ => return Err("an answer without one clear length".to_owned()),
        };
        Ok(Response { status, body })
    }

    fn chunks(&mut self) -> Result<Vec<u8>, String> {
        let mut body = Vec::new();
        loop {
            let size = self.line()?;
            let size = usize::from_str_radix(&size, 16).map_err(said("chunk size"))?;
            body.extend(self.bytes(size)?);
            let end = self.line()?;
            match (size, end.is_empty(), body.len() <= MAX_BODY) {
                (_, false, _) => return Err("a chunk without its end".to_owned()),
                (_, _, false) => return Err("a body above the limit".to_owned()),
                (0, ..) => return Ok(body),
                _ => {}
            }
        }
    }

    fn bytes(&mut self, length: usize) -> Result<Vec<u8>, String> {
        if length > MAX_BODY {
            return Err(format!("a body of {length} bytes"));
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).map_err(said("body"))?;
        Ok(body)
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        let limited = &mut self.stream.by_ref().take(MAX_BODY as u64);
        limited.read_line(&mut line).map_err(said("read"))?;
        let whole = line.strip_suffix("\r\n").ok_or("the connection ended in the middle of an answer")?;
        Ok(whole.to_owned())
    }
}

/// A WebSocket whose server gives back what it gets. Without frames: to the proxy they are bytes.
pub struct Socket {
    stream: BufReader<TcpStream>,
}

impl Socket {
    pub fn open(address: &str, host: &str) -> Result<Self, String> {
        let mut connection = Connection::open(address)?;
        let head = format!(
            "GET /socket HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        connection.stream.get_mut().write_all(head.as_bytes()).map_err(said("write"))?;
        let status = connection.line()?;
        if !status.starts_with("HTTP/1.1 101 ") {
            return Err(status);
        }
        while !connection.line()?.is_empty() {}
        Ok(Self { stream: connection.stream })
    }

    /// Sends a text and reads it again.
    pub fn echo(&mut self, text: &str) -> Result<(), String> {
        self.stream.get_mut().write_all(text.as_bytes()).map_err(said("write"))?;
        let mut back = vec![0; text.len()];
        self.stream.read_exact(&mut back).map_err(said("read"))?;
        if back == text.as_bytes() { Ok(()) } else { Err(format!("{back:?} came back")) }
    }
}

fn said<E: std::fmt::Display>(doing: &'static str) -> impl Fn(E) -> String {
    move |error| format!("{doing}: {error}")
}
