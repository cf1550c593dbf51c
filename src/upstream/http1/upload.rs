//! Sends a request: the head, and the body as it comes from the client.
//!
//! What is small is gathered and leaves in one write. What is large, or the last of a body, is not copied: it
//! waits as it is and is written beside the gathered bytes. Never more than [`GATHER_BYTES`] and one frame wait
//! here, so a server that reads slowly slows the client down and not our memory.

use std::fmt::Write;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame};
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

use super::trailer;

/// Frames up to this size are copied behind what waits already: one write costs more than the copy.
const COPY_BYTES: usize = 4 * 1024;
/// What is gathered before it is written.
const GATHER_BYTES: usize = 16 * 1024;

/// How a request body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadFraming {
    /// There is none.
    None,
    /// `Content-Length`.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// A request on its way out: the head, then the body.
#[derive(Debug)]
pub struct Upload<B> {
    head: Bytes,
    /// None: the request has none. In a box, as most have none.
    body: Option<Box<Payload<B>>>,
    written: u64,
}

/// A body on its way out: `gathered`, `large` and `tail` leave in this order.
#[derive(Debug)]
struct Payload<B> {
    /// Small frames and chunk lines.
    gathered: BytesMut,
    /// One frame as the client's connection gave it.
    large: Bytes,
    /// What belongs behind `large`: the end of its chunk, the end of the body.
    tail: Bytes,
    /// Kept to its end: who remembers what was taken from it may send it again.
    body: Option<B>,
    /// Nothing more is taken from the body.
    is_ended: bool,
    framing: UploadFraming,
    /// Body bytes still owed under [`UploadFraming::Length`].
    owed: u64,
}

/// Why a request could not be sent in full.
#[derive(Debug)]
pub enum UploadError<E> {
    /// The server does not take it.
    Server(io::Error),
    /// The client does not deliver it.
    Client(E),
    /// The client's body is longer or shorter than it said.
    Length,
}

impl<B> Upload<B> {
    /// Of a head and its body, which is let go of if the framing has no place for it.
    pub(super) fn new(head: Bytes, framing: UploadFraming, body: Option<B>) -> Self {
        let body = (framing != UploadFraming::None).then(|| Box::new(Payload::new(framing, body)));
        Self { head, body, written: 0 }
    }

    /// Bytes that left.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Whether all of it has left.
    pub fn is_done(&self) -> bool {
        self.is_flushed() && self.body.as_ref().is_none_or(|body| body.is_ended)
    }

    /// Whether it waits for the client: all that came has left, and more is to come.
    pub fn awaits_client(&self) -> bool {
        self.is_flushed() && self.body.as_ref().is_some_and(|body| !body.is_ended)
    }

    fn is_flushed(&self) -> bool {
        self.head.is_empty() && self.body.as_ref().is_none_or(|body| body.is_flushed())
    }

    /// The client's body, as far as it was taken.
    pub fn body_mut(&mut self) -> Option<&mut B> {
        self.body.as_mut()?.body.as_mut()
    }

    /// The same, to be sent elsewhere if it can begin again.
    pub fn into_body(self) -> Option<B> {
        self.body?.body
    }
}

impl<B: Body<Data = Bytes> + Unpin> Upload<B> {
    /// Sends on; ready when all has left.
    pub fn poll_send(
        &mut self,
        stream: &mut TcpStream,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), UploadError<B::Error>>> {
        loop {
            let is_starved = match &mut self.body {
                Some(body) => body.poll_gather(cx)?.is_pending(),
                None => false,
            };
            if !self.is_flushed() {
                ready!(self.poll_write(stream, cx)).map_err(UploadError::Server)?;
            } else if self.is_done() {
                return Poll::Ready(Ok(()));
            } else if is_starved {
                return Poll::Pending;
            }
        }
    }

    fn poll_write(&mut self, stream: &mut TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.is_flushed() {
            let stream = Pin::new(&mut *stream);
            // One part is the common case, and a plain write is cheaper for the kernel than a gathering one.
            let sent = match self.body.as_ref().filter(|body| !body.is_flushed()) {
                None => ready!(stream.poll_write(cx, &self.head))?,
                Some(body) => {
                    let parts = [&self.head[..], &body.gathered, &body.large, &body.tail].map(IoSlice::new);
                    ready!(stream.poll_write_vectored(cx, &parts))?
                }
            };
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += sent as u64;
            let of_head = sent.min(self.head.len());
            self.head.advance(of_head);
            if let Some(body) = &mut self.body {
                body.advance(sent - of_head);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<B> Payload<B> {
    fn new(framing: UploadFraming, body: Option<B>) -> Self {
        Self {
            gathered: BytesMut::new(),
            large: Bytes::new(),
            tail: Bytes::new(),
            body,
            is_ended: false,
            framing,
            owed: if let UploadFraming::Length(length) = framing { length } else { 0 },
        }
    }

    fn is_flushed(&self) -> bool {
        self.gathered.is_empty() && self.large.is_empty() && self.tail.is_empty()
    }

    fn advance(&mut self, sent: usize) {
        let mut left = sent;
        let mut share = |length: usize| {
            let taken = left.min(length);
            left -= taken;
            taken
        };
        self.gathered.advance(share(self.gathered.len()));
        self.large.advance(share(self.large.len()));
        self.tail.advance(share(self.tail.len()));
    }
}

impl<B: Body<Data = Bytes> + Unpin> Payload<B> {
    /// Takes frames from the body until enough waits; pending if the body has none right now.
    fn poll_gather(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, UploadError<B::Error>> {
        while !self.is_ended && self.large.is_empty() && self.gathered.len() < GATHER_BYTES {
            let next = match &mut self.body {
                Some(body) => Pin::new(body).poll_frame(cx),
                None => Poll::Ready(None),
            };
            match next {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Some(Err(error))) => return Err(UploadError::Client(error)),
                Poll::Ready(Some(Ok(frame))) => self.add(frame)?,
                Poll::Ready(None) => self.end(None)?,
            }
        }
        Ok(Poll::Ready(()))
    }

    fn add(&mut self, frame: Frame<Bytes>) -> Result<(), UploadError<B::Error>> {
        match frame.into_data() {
            Ok(data) => self.add_data(data).map_err(|()| UploadError::Length)?,
            Err(other) => {
                if let Ok(trailers) = other.into_trailers() {
                    return self.end(Some(&trailers));
                }
            }
        }
        // Known now, the end leaves together with the last data.
        if self.body.as_ref().is_some_and(Body::is_end_stream) { self.end(None) } else { Ok(()) }
    }

    fn add_data(&mut self, data: Bytes) -> Result<(), ()> {
        if data.is_empty() {
            return Ok(());
        }
        match self.framing {
            UploadFraming::Length(_) => {
                self.owed = self.owed.checked_sub(data.len() as u64).ok_or(())?;
                // Behind the last frame nothing comes that could be gathered with it.
                if data.len() > COPY_BYTES || self.owed == 0 {
                    self.large = data;
                } else {
                    self.gathered.put_slice(&data);
                }
            }
            UploadFraming::Chunked => {
                // Writing to memory does not fail.
                let _ = write!(self.gathered, "{:x}\r\n", data.len());
                if data.len() > COPY_BYTES {
                    self.large = data;
                    self.tail = Bytes::from_static(b"\r\n");
                } else {
                    self.gathered.put_slice(&data);
                    self.gathered.put_slice(b"\r\n");
                }
            }
            UploadFraming::None => return Err(()),
        }
        Ok(())
    }

    fn end(&mut self, trailers: Option<&HeaderMap>) -> Result<(), UploadError<B::Error>> {
        self.is_ended = true;
        if self.owed > 0 {
            return Err(UploadError::Length);
        }
        if self.framing != UploadFraming::Chunked {
            return Ok(());
        }
        match trailers {
            None if self.large.is_empty() => self.gathered.put_slice(b"0\r\n\r\n"),
            None => self.tail = Bytes::from_static(b"\r\n0\r\n\r\n"),
            Some(trailers) => {
                let mut end = BytesMut::from(self.tail.as_ref());
                end.put_slice(b"0\r\n");
                trailer::write_allowed(trailers, &mut end);
                end.put_slice(b"\r\n");
                self.tail = end.freeze();
            }
        }
        Ok(())
    }
}
