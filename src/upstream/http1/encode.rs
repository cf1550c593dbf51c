//! Writes a request head. What may be in it was decided by the caller; values come from parsed messages and
//! cannot contain line breaks.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};

use super::upload::UploadFraming;

/// A request head in the making.
#[derive(Debug)]
pub struct HeadWriter {
    out: Vec<u8>,
}

impl HeadWriter {
    /// Begins with the request line. `target` is path and query, in the form they are sent.
    pub fn new(method: &Method, target: &str, bytes_expected: usize) -> Self {
        let mut out = Vec::with_capacity(bytes_expected);
        out.extend_from_slice(method.as_str().as_bytes());
        out.push(b' ');
        out.extend_from_slice(target.as_bytes());
        out.extend_from_slice(b" HTTP/1.1\r\n");
        Self { out }
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Adds a header as it was received.
    pub fn header(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.line(name.as_str(), value.as_bytes());
    }

    /// Adds a header of ours. The value is made of parts that cannot contain a line break.
    pub fn line(&mut self, name: &str, value: &[u8]) {
        self.parts(name, [value, b""]);
    }

    /// Adds a header whose value is a host, with its port where one has to be told.
    pub fn host_line(&mut self, name: &str, host: &str, port: Option<u16>) {
        match port {
            None => self.parts(name, [host.as_bytes(), b""]),
            Some(port) => {
                let mut digits = itoa(port.into());
                let digits = digits.text_after(b':');
                self.parts(name, [host.as_bytes(), digits]);
            }
        }
    }

    fn parts(&mut self, name: &str, value: [&[u8]; 2]) {
        let is_line_break = |byte: &u8| matches!(byte, b'\r' | b'\n' | 0);
        debug_assert!(!value.concat().iter().any(is_line_break), "a header value has no line break");
        // Room for all of it first: asking for it part by part would cost more than the copies.
        self.out.reserve(name.len() + value[0].len() + value[1].len() + 4);
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b": ");
        self.out.extend_from_slice(value[0]);
        self.out.extend_from_slice(value[1]);
        self.out.extend_from_slice(b"\r\n");
    }

    /// Ends the head, telling how the body is framed.
    pub fn finish(mut self, framing: UploadFraming) -> Bytes {
        match framing {
            UploadFraming::None => {}
            UploadFraming::Length(length) => {
                let mut digits = itoa(length);
                self.line("content-length", digits.text());
            }
            UploadFraming::Chunked => self.line("transfer-encoding", b"chunked"),
        }
        self.out.extend_from_slice(b"\r\n");
        Bytes::from(self.out)
    }
}

/// Digits of a number without an allocation.
struct Digits {
    bytes: [u8; 20],
    start: usize,
}

impl Digits {
    fn text(&mut self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Behind this byte; for numbers of less than twenty digits.
    fn text_after(&mut self, byte: u8) -> &[u8] {
        self.start = self.start.saturating_sub(1);
        self.bytes[self.start] = byte;
        self.text()
    }
}

fn itoa(mut value: u64) -> Digits {
    let mut digits = Digits { bytes: [b'0'; 20], start: 20 };
    loop {
        digits.start -= 1;
        digits.bytes[digits.start] = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
        if value == 0 {
            return digits;
        }
    }
}
