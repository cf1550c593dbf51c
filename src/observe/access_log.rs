//! One line for each request, written by a thread of its own.
//!
//! Two forms: JSON with all that is known, and the "combined" format that Apache and nginx made common, for tools
//! that read nothing else.
//!
//! Workers put lines into a bounded queue and never wait: when the sink is blocked (a full disk, a slow
//! terminal) lines are dropped and counted, and traffic goes on.

use std::io::{BufWriter, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use prometheus::IntCounter;
use serde::Serialize;

/// Lines that may wait: a second of heavy traffic, some ten megabytes.
const QUEUE_LINES: usize = 32 * 1024;

/// What a line tells. Field names are part of the interface.
#[derive(Debug, Serialize)]
pub struct Entry<'a> {
    /// When the request's head had been read, RFC 3339.
    pub time: String,
    /// Address of the client.
    pub client: std::net::IpAddr,
    /// As in the request line.
    pub method: &'a str,
    /// Normalised; empty if there was none.
    pub host: &'a str,
    /// Normalised, without query.
    pub path: &'a str,
    /// As sent to the client.
    pub status: u16,
    /// Why the answer is ours, or what went wrong after the head was sent; empty if nothing.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub reason: &'a str,
    /// The rule's name.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub route: &'a str,
    /// The upstream's label.
    pub service: &'a str,
    /// The endpoint's label.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub backend: &'a str,
    /// Tries after the first.
    pub retries: u32,
    /// Body bytes sent to the client.
    pub bytes: u64,
    /// Milliseconds from head in to last byte out.
    pub duration_ms: f64,
    /// The id sent on as `X-Request-Id`.
    pub request_id: &'a str,
    /// W3C trace id: the client's, or that of the trace that began here.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub trace_id: &'a str,
    /// What only the combined form shows.
    #[serde(skip)]
    pub extra: Extra<'a>,
}

/// What only the combined form shows.
#[derive(Debug, Default)]
pub struct Extra<'a> {
    /// Path and query as in the request line.
    pub target: &'a str,
    /// `HTTP/1.1`
    pub version: &'a str,
    /// `Referer`
    pub referer: &'a [u8],
    /// `User-Agent`
    pub user_agent: &'a [u8],
    /// `10/Oct/2000:13:55:36 +0000`
    pub time: String,
}

/// How a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineForm {
    /// One object.
    Json,
    /// `client - - [time] "request line" status bytes "referer" "user agent"`
    Combined,
}

impl Entry<'_> {
    fn to_combined(&self) -> Vec<u8> {
        let mut line = Vec::with_capacity(256);
        // Writing into a Vec cannot fail.
        let _ = write!(line, "{} - - [{}] \"", self.client, self.extra.time);
        for part in [self.method, " ", self.extra.target, " ", self.extra.version] {
            push_escaped(&mut line, part.as_bytes());
        }
        let _ = write!(line, "\" {} {} \"", self.status, self.bytes);
        push_escaped(&mut line, or_dash(self.extra.referer));
        line.extend_from_slice(b"\" \"");
        push_escaped(&mut line, or_dash(self.extra.user_agent));
        line.push(b'"');
        line
    }
}

fn or_dash(text: &[u8]) -> &[u8] {
    if text.is_empty() { b"-" } else { text }
}

/// Quotes, backslashes and what is no printable ASCII as `\xHH`: no client can end a field or begin a line.
fn push_escaped(line: &mut Vec<u8>, text: &[u8]) {
    for &byte in text {
        match byte {
            b'"' | b'\\' | 0..=0x1f | 0x7f.. => {
                let _ = write!(line, "\\x{byte:02X}");
            }
            _ => line.push(byte),
        }
    }
}

/// Where workers put their lines.
#[derive(Clone, Debug)]
pub struct AccessLog {
    lines: SyncSender<Vec<u8>>,
    dropped: IntCounter,
}

impl AccessLog {
    /// Starts the writing thread. It ends when the last handle is gone and all lines are written.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(sink: Box<dyn Write + Send>, dropped: IntCounter) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (lines, queue) = sync_channel(QUEUE_LINES);
        let writer = std::thread::Builder::new().name("access-log".into()).spawn(move || write_all(&queue, sink))?;
        Ok((Self { lines, dropped }, writer))
    }

    /// Queues a line, or drops it if the queue is full.
    pub fn log(&self, entry: &Entry<'_>, form: LineForm) {
        let mut line = match form {
            LineForm::Json => serde_json::to_vec(entry).unwrap_or_default(),
            LineForm::Combined => entry.to_combined(),
        };
        line.push(b'\n');
        if self.lines.try_send(line).is_err() {
            self.dropped.inc();
        }
    }
}

/// Writes lines as they come, and flushes when there is a pause.
fn write_all(queue: &Receiver<Vec<u8>>, sink: Box<dyn Write + Send>) {
    let mut sink = BufWriter::with_capacity(64 * 1024, sink);
    while let Ok(line) = queue.recv() {
        let mut next = Some(line);
        while let Some(line) = next {
            // A sink that fails now may work later; the lines in between are lost.
            let _ = sink.write_all(&line);
            next = queue.recv_timeout(Duration::from_millis(1)).ok();
        }
        let _ = sink.flush();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    /// A sink that takes nothing until it is told to.
    struct Blocked(Receiver<()>);

    impl Write for Blocked {
        fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
            let _ = self.0.recv();
            Ok(buf.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn entry() -> Entry<'static> {
        Entry {
            time: String::new(),
            client: std::net::Ipv4Addr::LOCALHOST.into(),
            method: "GET",
            host: "a",
            path: "/\"\n",
            status: 200,
            reason: "",
            route: "/",
            service: "s",
            backend: "",
            retries: 0,
            bytes: 0,
            duration_ms: 0.5,
            request_id: "1",
            trace_id: "",
            extra: Extra {
                target: "/a?\"\n\u{e9}",
                version: "HTTP/1.1",
                user_agent: b"curl\\8",
                time: "23/Nov/2026:07:00:00 +0000".to_owned(),
                ..Extra::default()
            },
        }
    }

    #[test]
    fn h130_a_blocked_sink_drops_lines_and_never_waits() {
        let dropped = IntCounter::new("dropped", "dropped").expect("a name");
        let (unblock, wait) = channel();
        let (log, writer) = AccessLog::start(Box::new(Blocked(wait)), dropped.clone()).expect("a thread");
        for _ in 0..QUEUE_LINES + 5000 {
            log.log(&entry(), LineForm::Json);
        }
        assert!(dropped.get() > 0);
        drop(unblock);
        drop(log);
        writer.join().expect("the writer ends");
    }

    #[test]
    fn a_combined_line_cannot_be_forged() {
        let line = String::from_utf8(entry().to_combined()).expect("ASCII");
        let wanted =
            r#"127.0.0.1 - - [23/Nov/2026:07:00:00 +0000] "GET /a?\x22\x0A\xC3\xA9 HTTP/1.1" 200 0 "-" "curl\x5C8""#;
        assert_eq!(line, wanted);
    }

    #[test]
    fn a_line_is_one_line_of_json() {
        let text = serde_json::to_string(&entry()).expect("plain data");
        assert!(!text.contains('\n'));
        assert!(text.contains(r#""path":"/\"\n""#));
    }
}
