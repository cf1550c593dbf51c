//! The socket of one connection, what was read from it, and the request body that is under way on it.
//!
//! Three parties share it, all in one task: the connection, which reads heads and writes answers; the request's body
//! ([`super::Incoming`]), which whoever sends it on polls; and the watch for a client that leaves. None keeps a
//! borrow across a poll of another.
//!
//! Every wait for the client has its bound here: for the next head to begin (`keepAlive`), for all of it
//! (`headTime`), between reads of a body (`bodyIdle`), between writes (`writeIdle`).

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use http_body::Frame;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio_util::io::poll_read_buf;

use crate::upstream::deadline::{Deadline, Deadlines, TICK};
use crate::upstream::http1::chunked::{Chunked, Decoded};

use super::head::BodyFraming;
use super::incoming::IncomingError;
use super::workshop::READ_BYTES;

/// Reads of a large body: fewer system calls, still in the processor's cache.
const BULK_READ_BYTES: usize = 64 * 1024;
/// Less room than this in a buffer is not worth a read.
const MIN_ROOM_BYTES: usize = 1024;
/// Lets a client that waits send its body.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The socket and what was read from it.
#[derive(Debug)]
pub struct Wire {
    pub(super) stream: TcpStream,
    /// Read and not yet understood. Without memory of its own while the connection is idle.
    pub(super) buffer: BytesMut,
    pub(super) clock: Rc<Deadlines>,
    reading: Timer,
    writing: Timer,
    body: Body,
    /// Body bytes that may still come before it is too large.
    room: u64,
    body_idle: Duration,
    /// What is left to send of `100 Continue`.
    to_continue: Bytes,
    /// Counts requests: a body of an earlier one is at its end.
    turn: u64,
    /// The client has said that it sends no more.
    is_half_closed: bool,
}

/// What of the request body is still to come.
#[derive(Debug)]
enum Body {
    Done,
    Length(u64),
    Chunked(Chunked),
    /// Nothing that follows can be understood.
    Broken,
}

impl Wire {
    pub(super) fn new(stream: TcpStream, clock: &Rc<Deadlines>) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
            clock: Rc::clone(clock),
            reading: Timer::new(clock),
            writing: Timer::new(clock),
            body: Body::Done,
            room: 0,
            body_idle: Duration::ZERO,
            to_continue: Bytes::new(),
            turn: 0,
            is_half_closed: false,
        }
    }

    /// Ready when there is something to read (true) or the time is over (false).
    pub(super) fn poll_idle(&mut self, cx: &mut Context<'_>, ends: Instant) -> Poll<bool> {
        if self.stream.poll_read_ready(cx).is_ready() {
            return Poll::Ready(true);
        }
        self.reading.deadline.poll(cx, ends).map(|()| false)
    }

    /// Reads more; 0 at the end.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let filled = self.buffer.len();
        if self.buffer.capacity() - filled < MIN_ROOM_BYTES {
            self.buffer.reserve(filled.max(READ_BYTES));
        }
        let count = ready!(poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.buffer))?;
        self.is_half_closed |= count == 0;
        self.reading.since = None;
        Poll::Ready(Ok(count))
    }

    /// Ready when a wait for the client that began at `since` has lasted `limit`.
    pub(super) fn poll_late(&mut self, cx: &Context<'_>, since: Instant, limit: Duration) -> Poll<()> {
        if limit.is_zero() { Poll::Pending } else { self.reading.deadline.poll(cx, since + limit + TICK) }
    }

    /// A request begins: what its body is, and its number.
    pub(super) fn begin(&mut self, framing: BodyFraming, most: Option<u64>, idle: Duration) -> u64 {
        self.turn += 1;
        self.body = match framing {
            BodyFraming::None => Body::Done,
            BodyFraming::Length(length) => Body::Length(length),
            BodyFraming::Chunked => Body::Chunked(Chunked::default()),
        };
        self.room = most.unwrap_or(u64::MAX);
        self.body_idle = idle;
        self.to_continue = Bytes::new();
        self.reading.since = None;
        self.turn
    }

    /// The client waits for leave to send the body of this request; it gets it when somebody wants the body.
    pub(super) fn owe_continue(&mut self) {
        self.to_continue = Bytes::from_static(CONTINUE);
    }

    /// The answer begins: from here on nothing else may be written. Whether the client was kept waiting: it may now
    /// send its body or not, and only it knows.
    pub(super) fn begin_answer(&mut self) -> bool {
        let is_waiting = self.to_continue.len() == CONTINUE.len() && self.buffer.is_empty();
        self.to_continue = Bytes::new();
        is_waiting
    }

    /// Whether all of the request has been read.
    pub(super) fn is_body_done(&self) -> bool {
        matches!(self.body, Body::Done)
    }

    /// Throws away what has come of a body that nobody wants; whether that was all.
    pub(super) fn discard_body(&mut self) -> bool {
        while let Ok(Some(_)) = self.take_frame() {}
        self.is_body_done()
    }

    /// Body bytes still to come, if known, for the request of this number.
    pub(super) fn length_left(&self, turn: u64) -> Option<u64> {
        match self.body {
            _ if turn != self.turn => Some(0),
            Body::Done => Some(0),
            Body::Length(left) => Some(left),
            Body::Chunked(_) | Body::Broken => None,
        }
    }

    /// The next part of the body of the request of this number; none at its end.
    pub(super) fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        turn: u64,
    ) -> Poll<Option<Result<Frame<Bytes>, IncomingError>>> {
        if turn != self.turn {
            return Poll::Ready(None);
        }
        let polled = self.poll_frame(cx);
        if matches!(polled, Poll::Ready(Some(Err(_)))) {
            self.body = Body::Broken;
        }
        polled
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, IncomingError>>> {
        loop {
            match self.take_frame() {
                Ok(Some(frame)) => return Poll::Ready(Some(Ok(frame))),
                Ok(None) if self.is_body_done() => return Poll::Ready(None),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
            while !self.to_continue.is_empty() {
                let Ok(count) = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.to_continue)) else {
                    return Poll::Ready(Some(Err(IncomingError::Cut)));
                };
                self.to_continue.advance(count);
            }
            let is_small = matches!(self.body, Body::Length(left) if left <= READ_BYTES as u64);
            if !is_small && self.buffer.capacity() - self.buffer.len() < READ_BYTES / 2 {
                self.buffer.reserve(BULK_READ_BYTES);
            }
            match self.poll_fill(cx) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Some(Err(IncomingError::Cut))),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => {
                    let since = *self.reading.since.get_or_insert(self.clock.now());
                    ready!(self.poll_late(cx, since, self.body_idle));
                    return Poll::Ready(Some(Err(IncomingError::TimedOut)));
                }
            }
        }
    }

    /// A part of the body out of what was read already; none if more has to be read, or at the end.
    fn take_frame(&mut self) -> Result<Option<Frame<Bytes>>, IncomingError> {
        match &mut self.body {
            Body::Done => Ok(None),
            Body::Broken => Err(IncomingError::Cut),
            Body::Length(_) if self.buffer.is_empty() => Ok(None),
            Body::Length(left) => {
                let take = usize::try_from(*left).unwrap_or(usize::MAX).min(self.buffer.len());
                *left -= take as u64;
                if *left == 0 {
                    self.body = Body::Done;
                }
                Ok(Some(Frame::data(self.buffer.split_to(take).freeze())))
            }
            Body::Chunked(chunked) => {
                let decoded = chunked.decode(&mut self.buffer).map_err(|_| IncomingError::Malformed)?;
                if chunked.is_end() {
                    self.body = Body::Done;
                }
                match decoded {
                    Decoded::NeedMore | Decoded::End => Ok(None),
                    Decoded::Trailers(trailers) => Ok(Some(Frame::trailers(trailers))),
                    Decoded::Data(data) => {
                        self.room = self.room.checked_sub(data.len() as u64).ok_or(IncomingError::TooLarge)?;
                        Ok(Some(Frame::data(data)))
                    }
                }
            }
        }
    }

    /// While the client waits for us: ready when it has gone. One that has said that this is its last request may
    /// well have closed its sending side; from any other, an end means that it does not wait any more.
    ///
    /// Reads on as long as nothing was read ahead, so a client can send its next request early, but not more.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>, is_last: bool) -> Poll<()> {
        if self.is_half_closed || !self.is_body_done() || !self.buffer.is_empty() {
            return Poll::Pending;
        }
        match ready!(self.poll_fill(cx)) {
            Ok(0) if is_last => Poll::Pending,
            Ok(0) | Err(_) => Poll::Ready(()),
            Ok(_) => Poll::Pending,
        }
    }

    /// Writes parts; an error also if the client takes none for `limit`.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
        limit: Duration,
    ) -> Poll<io::Result<usize>> {
        let stream = Pin::new(&mut self.stream);
        // One part is the common case, and a plain write is cheaper for the kernel than a gathering one.
        let written = match parts {
            [only] => stream.poll_write(cx, only),
            parts => stream.poll_write_vectored(cx, parts),
        };
        match written {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Poll::Ready(result) => {
                self.writing.since = None;
                Poll::Ready(result)
            }
            Poll::Pending if limit.is_zero() => Poll::Pending,
            Poll::Pending => {
                let since = *self.writing.since.get_or_insert(self.clock.now());
                let late = self.writing.deadline.poll(cx, since + limit + TICK);
                late.map(|()| Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }

    /// Whether the client has said that it sends no more.
    pub(super) fn is_half_closed(&self) -> bool {
        self.is_half_closed
    }
}

/// A wait for the client.
#[derive(Debug)]
struct Timer {
    deadline: Deadline,
    /// None while nobody waits.
    since: Option<Instant>,
}

impl Timer {
    fn new(clock: &Rc<Deadlines>) -> Self {
        Self { deadline: Deadline::new(clock), since: None }
    }
}
