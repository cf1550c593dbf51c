//! One idle connection to a server, with the bytes that came too early (there should be none).

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Method;
use tokio::net::TcpStream;

use super::transfer::Transfer;
use super::upload::{Upload, UploadFraming};

/// A connection on which a request may be sent.
#[derive(Debug)]
pub struct Connection {
    pub(super) stream: TcpStream,
    pub(super) buffer: BytesMut,
    /// Responses read in full.
    pub(super) served: u64,
    /// How long the server said it keeps it (`Keep-Alive: timeout`).
    pub(super) idle_limit: Option<Duration>,
}

impl Connection {
    /// Takes a stream that is connected.
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: BytesMut::new(), served: 0, idle_limit: None }
    }

    /// Whether it was used before: only then can a failure mean that the server had closed it meanwhile.
    pub fn is_reused(&self) -> bool {
        self.served > 0
    }

    /// How long the server said it keeps it while unused.
    pub fn idle_limit(&self) -> Option<Duration> {
        self.idle_limit
    }

    /// Whether it can take a request: the server has neither closed it nor sent a byte that nobody asked for.
    ///
    /// Costs no system call while nothing has arrived, as the runtime remembers that the socket was empty.
    pub fn is_usable(&mut self) -> bool {
        if !self.buffer.is_empty() {
            return false;
        }
        let mut byte = [0_u8; 1];
        matches!(self.stream.try_read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Sends a request. `head` is complete, `body` is sent as `framing` says.
    pub fn send<B>(self, method: Method, head: Bytes, framing: UploadFraming, body: Option<B>) -> Transfer<B> {
        Transfer::new(self, method, Upload::new(head, framing, body))
    }
}
