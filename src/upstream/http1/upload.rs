//! Sends a request: the head, and the body as it comes from the client.
//!
//! What is small is gathered and leaves in one write. What is large is not copied: it waits as it is and is
//! written beside the gathered bytes. Never more than [`GATHER_BYTES`] and one frame wait here, so a server
//! that reads slowly slows the client down and not our memory.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body::Body;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

/// Frames up to this size are copied behind what waits already: one write costs more than the copy.
const COPY_BYTES: usize = 4 * 1024;
/// What is gathered before it is written.
const GATHER_BYTES: usize = 16 * 1024;

/// Ends a chunked body without trailers.
const LAST_CHUNK: &[u8; 5] = b"0\r\n\r\n";

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

/// A request on its way out.
#[derive(Debug)]
pub struct Upload<B> {
    /// The head, then gathered small frames and chunk lines.
    gathered: BytesMut,
    head: Bytes,
    /// One large frame, to be written after `gathered`.
    large: Bytes,
    body: Option<B>,
    framing: UploadFraming,
    /// Body bytes still owed under [`UploadFraming::Length`].
    owed: u64,
    took_from_body: bool,
    written: u64,
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
    pub(super) fn new(head: Bytes, framing: UploadFraming, body: Option<B>) -> Self {
        // A body that was at its end before anything was taken from it, sent a second time, still needs its last chunk.
        let is_ended = framing == UploadFraming::Chunked && body.is_none();
        let owed = if let UploadFraming::Length(length) = framing { length } else { 0 };
        Self {
            gathered: if is_ended { BytesMut::from(&LAST_CHUNK[..]) } else { BytesMut::new() },
            head,
            large: Bytes::new(),
            body: if framing == UploadFraming::None { None } else { body },
            framing,
            owed,
            took_from_body: false,
            written: 0,
        }
    }

    /// Bytes that left.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Whether all of it has left.
    pub fn is_done(&self) -> bool {
        self.body.is_none() && self.is_flushed()
    }

    /// Whether it waits for the client: all that came has left, and more is to come.
    pub fn awaits_client(&self) -> bool {
        self.body.is_some() && self.is_flushed()
    }

    fn is_flushed(&self) -> bool {
        self.head.is_empty() && self.gathered.is_empty() && self.large.is_empty()
    }

    /// The body, if nothing was taken from it: it can be sent again elsewhere.
    pub fn into_untouched_body(self) -> Option<Option<B>> {
        if self.took_from_body { None } else { Some(self.body) }
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
            let is_starved = self.poll_gather(cx)?.is_pending();
            if !self.is_flushed() {
                ready!(self.poll_write(stream, cx)).map_err(UploadError::Server)?;
            } else if self.body.is_none() {
                return Poll::Ready(Ok(()));
            } else if is_starved {
                return Poll::Pending;
            }
        }
    }

    /// Takes frames from the body until enough waits; pending if the body has none right now.
    fn poll_gather(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, UploadError<B::Error>> {
        while self.large.is_empty() && self.gathered.len() < GATHER_BYTES {
            let Some(body) = &mut self.body else { return Ok(Poll::Ready(())) };
            match Pin::new(body).poll_frame(cx) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Some(Err(error))) => return Err(UploadError::Client(error)),
                Poll::Ready(Some(Ok(frame))) => {
                    self.took_from_body = true;
                    if let Ok(data) = frame.into_data() {
                        self.add(data).map_err(|()| UploadError::Length)?;
                    }
                    // Request trailers are not sent on: few servers read them and they have hidden headers before.
                    if self.body.as_ref().is_some_and(Body::is_end_stream) {
                        self.end()?;
                    }
                }
                Poll::Ready(None) => self.end()?,
            }
        }
        Ok(Poll::Ready(()))
    }

    fn add(&mut self, data: Bytes) -> Result<(), ()> {
        if data.is_empty() {
            return Ok(());
        }
        match self.framing {
            UploadFraming::Length(_) => {
                self.owed = self.owed.checked_sub(data.len() as u64).ok_or(())?;
                self.put(data);
            }
            UploadFraming::Chunked => {
                self.gathered.put_slice(format!("{:x}\r\n", data.len()).as_bytes());
                // The chunk's own CRLF has to follow it, so large chunks take their line end along.
                if data.len() <= COPY_BYTES {
                    self.gathered.put_slice(&data);
                    self.gathered.put_slice(b"\r\n");
                } else {
                    let mut chunk = BytesMut::with_capacity(data.len() + 2);
                    chunk.put_slice(&data);
                    chunk.put_slice(b"\r\n");
                    self.large = chunk.freeze();
                }
            }
            UploadFraming::None => return Err(()),
        }
        Ok(())
    }

    fn put(&mut self, data: Bytes) {
        if data.len() <= COPY_BYTES { self.gathered.put_slice(&data) } else { self.large = data }
    }

    fn end(&mut self) -> Result<(), UploadError<B::Error>> {
        self.body = None;
        if self.owed > 0 {
            return Err(UploadError::Length);
        }
        if self.framing == UploadFraming::Chunked {
            // Behind a waiting large chunk: append there, or the end would overtake it.
            if self.large.is_empty() {
                self.gathered.put_slice(LAST_CHUNK);
            } else {
                let last = [std::mem::take(&mut self.large), Bytes::from_static(LAST_CHUNK)].concat();
                self.large = last.into();
            }
        }
        Ok(())
    }

    fn poll_write(&mut self, stream: &mut TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.is_flushed() {
            let stream = Pin::new(&mut *stream);
            // One part is the common case, and a plain write is cheaper for the kernel than a gathering one.
            let sent = if self.gathered.is_empty() && self.large.is_empty() {
                ready!(stream.poll_write(cx, &self.head))?
            } else {
                let parts = [IoSlice::new(&self.head), IoSlice::new(&self.gathered), IoSlice::new(&self.large)];
                ready!(stream.poll_write_vectored(cx, &parts))?
            };
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += sent as u64;
            self.advance(sent);
        }
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, sent: usize) {
        let of_head = sent.min(self.head.len());
        self.head.advance(of_head);
        let of_gathered = (sent - of_head).min(self.gathered.len());
        self.gathered.advance(of_gathered);
        self.large.advance(sent - of_head - of_gathered);
    }
}
