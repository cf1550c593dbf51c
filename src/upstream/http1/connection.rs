//! One idle connection to a server, with the bytes that came too early (there should be none).

use std::any::Any;
use std::io;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method};
use tokio::net::TcpStream;

use super::super::spare::Bulk;
use super::framing::Promise;
use super::transfer::Transfer;
use super::upload::{Upload, UploadFraming};

/// What is given back when a connection closes, whoever has it then: a count of open connections.
pub type Held = Box<dyn Any + Send>;

/// A connection on which a request may be sent. It goes from hand to hand, so it is always in a box.
#[derive(Debug)]
pub struct Connection {
    pub(super) stream: TcpStream,
    pub(super) buffer: BytesMut,
    /// The buffer is a bulk buffer.
    pub(super) bulk: Option<Bulk>,
    pub(super) had_bulk: bool,
    /// Responses read in full.
    pub(super) served: u64,
    pub(super) made_at: Instant,
    /// What the server said last about how long it keeps it.
    pub(super) promise: Promise,
    /// Belongs to one client and is closed after this request.
    pub(super) is_of_one_client: bool,
    /// Read only by its drop.
    pub(super) held: Option<Held>,
}

impl Connection {
    /// Takes a stream that was connected at that time. `held` is dropped with the connection.
    pub fn new(stream: TcpStream, made_at: Instant, held: Option<Held>) -> Box<Self> {
        Box::new(Self {
            stream,
            buffer: BytesMut::new(),
            bulk: None,
            had_bulk: false,
            served: 0,
            made_at,
            promise: Promise::default(),
            is_of_one_client: false,
            held,
        })
    }

    /// Whether it was used before: only then can a failure mean that the server had closed it meanwhile.
    pub fn is_reused(&self) -> bool {
        self.served > 0
    }

    /// Requests it has served.
    pub fn served(&self) -> u64 {
        self.served
    }

    /// When it was made.
    pub fn made_at(&self) -> Instant {
        self.made_at
    }

    /// How long the server said it keeps it while unused.
    pub fn idle_limit(&self) -> Option<Duration> {
        self.promise.idle_limit
    }

    /// Closes after its next request: the credentials in that request count for the whole connection
    /// ([`is_bound_to_connection`](super::framing::is_bound_to_connection)).
    #[must_use]
    pub fn for_one_client(mut self: Box<Self>) -> Box<Self> {
        self.is_of_one_client = true;
        self
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

    /// Takes the memory out that answers are read into: an idle connection needs none.
    pub fn take_buffer(&mut self) -> (BytesMut, Option<Bulk>) {
        debug_assert!(self.buffer.is_empty(), "a connection with early bytes is not kept");
        (std::mem::take(&mut self.buffer), self.bulk.take())
    }

    /// Gives it memory to read answers into.
    pub fn lend_buffer(&mut self, (buffer, bulk): (BytesMut, Option<Bulk>)) {
        debug_assert!(buffer.is_empty(), "no byte of one answer gets into another");
        if self.buffer.is_empty() {
            (self.buffer, self.bulk) = (buffer, bulk);
        }
    }

    /// Whether its last answer did not fit into a small buffer.
    pub fn had_bulk(&self) -> bool {
        self.had_bulk
    }

    /// Sends a request. `head` is complete, `body` is sent as `framing` says. `upgrade` is the protocol that
    /// the head asks for in `Upgrade`, if it does.
    pub fn send<B>(
        self: Box<Self>,
        method: Method,
        head: Bytes,
        framing: UploadFraming,
        body: Option<B>,
        upgrade: Option<HeaderValue>,
    ) -> Box<Transfer<B>> {
        Transfer::new(self, method, Upload::new(head, framing, body), upgrade)
    }
}
