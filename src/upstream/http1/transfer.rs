//! One request with its response on one connection, both ways at once.
//!
//! The request body is sent while the response is awaited and while it is read, so an answer that arrives
//! before the request is finished (413, 401) reaches the client, and a server that answers as it reads does
//! not wait for us. There is no task behind it: whoever polls for the head or for data moves both directions.
//!
//! The connection is given back only by [`Transfer::into_connection`], and only if both directions ended
//! exactly where they said; after an upgrade that both sides agreed to, [`Transfer::into_upgraded`] gives the
//! tunnel. Dropping a transfer closes the connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, StatusCode};
use http_body::{Body, Frame};
use tokio_util::io::poll_read_buf;

use super::chunked::{Chunked, Decoded};
use super::connection::Connection;
use super::framing::BodyFraming;
use super::head::{self, MAX_HEAD_BYTES, ResponseError, ResponseHead};
use super::upgraded::Upgraded;
use super::upload::{Upload, UploadError};

/// First read: holds the head and body of most answers. A buffer of this size goes from one connection to the
/// next.
pub const FIRST_READ_BYTES: usize = 8 * 1024;
/// With this much room left, a head is read without making more.
const ENOUGH_FOR_HEAD_BYTES: usize = FIRST_READ_BYTES / 2;
/// Room for a head that did not fit into the first read.
const LONG_HEAD_BYTES: usize = MAX_HEAD_BYTES / 4;
/// Later reads of large bodies: fewer system calls, still in the processor's cache.
const BULK_READ_BYTES: usize = 64 * 1024;
/// Room beyond a body of known length. A read that does not fill the room tells the runtime that the socket
/// is empty, which saves asking it once more.
const SLACK_BYTES: usize = 512;
/// Interim responses (1xx) read over before one that counts.
pub const MAX_INTERIM: u32 = 32;

/// A request under way.
#[derive(Debug)]
pub struct Transfer<B> {
    connection: Box<Connection>,
    method: Method,
    upload: Upload<B>,
    /// The protocol that was asked for.
    upgrade: Option<HeaderValue>,
    /// The server stopped reading; what it had to say is still read.
    upload_failed: bool,
    download: Download,
    interim: u32,
    keeps_alive: bool,
    received: u64,
    /// Bytes of an unfinished head that were looked at.
    examined: usize,
    /// The last read filled all the room there was: more waits.
    is_flowing: bool,
    /// The buffer is larger than others need.
    is_buffer_large: bool,
}

/// Where the response stands.
#[derive(Debug)]
enum Download {
    Head,
    Length(u64),
    Chunked(Chunked),
    UntilClose,
    End,
    /// What follows is no HTTP.
    Upgraded,
}

/// Why there is no (full) response.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The server closed or reset the connection before the first byte of a response.
    #[error("the server closed the connection without an answer")]
    NoAnswer,
    /// The server closed or reset it within a response.
    #[error("the server closed the connection within its answer")]
    Cut,
    /// Not a response that can be passed on.
    #[error("the server's answer is not usable")]
    Response(#[from] ResponseError),
    /// The client did not deliver its request body.
    #[error("the client did not send its whole request")]
    Client,
}

impl<B> Transfer<B> {
    pub(super) fn new(
        connection: Box<Connection>,
        method: Method,
        upload: Upload<B>,
        upgrade: Option<HeaderValue>,
    ) -> Box<Self> {
        Box::new(Self {
            connection,
            method,
            upload,
            upgrade,
            upload_failed: false,
            download: Download::Head,
            interim: 0,
            keeps_alive: false,
            received: 0,
            examined: 0,
            is_flowing: false,
            is_buffer_large: false,
        })
    }

    /// Whether the connection had served before: its end may have crossed our request on the way.
    pub fn was_reused(&self) -> bool {
        self.connection.is_reused()
    }

    /// Bytes sent and received so far: grows while something happens.
    pub fn progress(&self) -> u64 {
        self.upload.written() + self.received
    }

    /// Bytes of the request that left.
    pub fn written(&self) -> u64 {
        self.upload.written()
    }

    /// Whether it is the client, not the server, that is waited for.
    pub fn awaits_client(&self) -> bool {
        !self.upload_failed && self.upload.awaits_client()
    }

    /// Whether the response has been read to its end.
    pub fn is_end(&self) -> bool {
        matches!(self.download, Download::End | Download::Upgraded)
    }

    /// Body bytes still to come, if the server told the length.
    pub fn length_left(&self) -> Option<u64> {
        match self.download {
            Download::Length(left) => Some(left),
            Download::End | Download::Upgraded => Some(0),
            Download::Head | Download::Chunked(_) | Download::UntilClose => None,
        }
    }

    /// The client's body, as far as it was taken: to tell it that it need not remember any more.
    pub fn body_mut(&mut self) -> Option<&mut B> {
        self.upload.body_mut()
    }

    /// The client's body, to be sent elsewhere if it can begin again.
    pub fn into_body(self) -> Option<B> {
        self.upload.into_body()
    }

    /// The connection, if it can take another request.
    pub fn into_connection(self) -> Option<Box<Connection>> {
        let is_at_end = matches!(self.download, Download::End) && self.upload.is_done() && !self.upload_failed;
        let mut connection = self.connection;
        if !is_at_end || !self.keeps_alive || connection.is_of_one_client || !connection.buffer.is_empty() {
            return None;
        }
        connection.served += 1;
        connection.had_bulk = self.received > FIRST_READ_BYTES as u64;
        if self.is_buffer_large && connection.bulk.is_none() {
            connection.buffer = BytesMut::new();
        }
        Some(connection)
    }

    /// The tunnel, after a head with status 101.
    pub fn into_upgraded(self) -> Option<Upgraded> {
        let Connection { stream, buffer, held, .. } = *self.connection;
        matches!(self.download, Download::Upgraded).then(|| Upgraded { stream, buffered: buffer.freeze(), _held: held })
    }
}

impl<B: Body<Data = Bytes> + Unpin> Transfer<B> {
    /// Sends the request and waits for the head of the response.
    pub fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<ResponseHead, TransferError>> {
        self.poll_upload(cx)?;
        loop {
            if let Some(found) = self.take_head()? {
                return Poll::Ready(Ok(found));
            }
            let room = if self.connection.buffer.is_empty() { FIRST_READ_BYTES } else { LONG_HEAD_BYTES };
            match ready!(self.poll_read(cx, ENOUGH_FOR_HEAD_BYTES, room)) {
                Ok(0) | Err(_) if self.received == 0 => return Poll::Ready(Err(TransferError::NoAnswer)),
                Ok(0) | Err(_) => return Poll::Ready(Err(TransferError::Cut)),
                Ok(_) => {}
            }
        }
    }

    /// The next part of the response body; none at its end.
    pub fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, TransferError>>> {
        if self.is_end() {
            return Poll::Ready(None);
        }
        if let Err(error) = self.poll_upload(cx) {
            return Poll::Ready(Some(Err(error)));
        }
        loop {
            match self.take_body() {
                Ok(Some(frame)) => return Poll::Ready(Some(Ok(frame))),
                Ok(None) if self.is_end() => return Poll::Ready(None),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
            }
            let (enough, room) = self.body_room();
            match ready!(self.poll_read(cx, enough, room)) {
                Ok(0) if matches!(self.download, Download::UntilClose) => {
                    self.download = Download::End;
                    return Poll::Ready(None);
                }
                Ok(0) | Err(_) => return Poll::Ready(Some(Err(TransferError::Cut))),
                Ok(_) => {}
            }
        }
    }

    /// Moves the request on. A server that stops reading may still answer, so that alone is no error.
    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<(), TransferError> {
        if self.upload_failed || self.upload.is_done() {
            return Ok(());
        }
        match self.upload.poll_send(&mut self.connection.stream, cx) {
            Poll::Ready(Err(UploadError::Server(_))) => {
                self.upload_failed = true;
                Ok(())
            }
            Poll::Ready(Err(UploadError::Client(_) | UploadError::Length)) => Err(TransferError::Client),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }

    /// Room for the next read of a body: what is enough, and what is made if there is less.
    fn body_room(&self) -> (usize, usize) {
        match self.download {
            Download::Length(left) if left <= BULK_READ_BYTES as u64 => {
                let wanted = usize::try_from(left).unwrap_or(BULK_READ_BYTES) + SLACK_BYTES;
                (wanted, wanted.max(FIRST_READ_BYTES))
            }
            Download::Length(_) => (BULK_READ_BYTES / 2, BULK_READ_BYTES),
            // Of unknown length: an event now and then, or a flood.
            _ if self.is_flowing => (BULK_READ_BYTES / 2, BULK_READ_BYTES),
            _ => (FIRST_READ_BYTES / 4, FIRST_READ_BYTES),
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, enough: usize, room: usize) -> Poll<io::Result<usize>> {
        let Connection { stream, buffer, .. } = &mut *self.connection;
        if buffer.capacity() - buffer.len() < enough {
            self.is_buffer_large |= room > FIRST_READ_BYTES;
            buffer.reserve(room);
        }
        let room = buffer.capacity() - buffer.len();
        let count = ready!(poll_read_buf(Pin::new(stream), cx, buffer))?;
        self.is_flowing = count == room;
        self.received += count as u64;
        Poll::Ready(Ok(count))
    }

    fn take_head(&mut self) -> Result<Option<ResponseHead>, ResponseError> {
        while self.is_worth_parsing() {
            let Some(mut found) = head::parse(&mut self.connection.buffer, &self.method)? else {
                self.examined = self.connection.buffer.len();
                return Ok(None);
            };
            self.examined = 0;
            if found.status == StatusCode::SWITCHING_PROTOCOLS {
                self.switch(&mut found)?;
                return Ok(Some(found));
            }
            if found.status.is_informational() {
                self.interim += 1;
                if self.interim > MAX_INTERIM {
                    return Err(ResponseError::Interim);
                }
                continue;
            }
            self.begin_body(&found);
            return Ok(Some(found));
        }
        Ok(None)
    }

    /// A head is parsed from its start each time. One that comes byte by byte is looked at again only after a
    /// line end, or when it has grown twofold; else reading 64 KiB would cost two billion steps.
    fn is_worth_parsing(&self) -> bool {
        let buffer = &self.connection.buffer;
        let Some(fresh) = buffer.get(self.examined..) else { return !buffer.is_empty() };
        !fresh.is_empty() && (self.examined == 0 || fresh.contains(&b'\n') || buffer.len() >= 2 * self.examined)
    }

    /// Takes over a 101, if it is what was asked for and the request is out in full.
    fn switch(&mut self, found: &mut ResponseHead) -> Result<(), ResponseError> {
        let is_asked = self.upgrade.as_ref().is_some_and(|protocol| head::is_switch_to(protocol, &found.fields));
        if !is_asked || !self.upload.is_done() || self.upload_failed {
            return Err(ResponseError::Interim);
        }
        found.keeps_alive = false;
        self.download = Download::Upgraded;
        Ok(())
    }

    fn begin_body(&mut self, found: &ResponseHead) {
        let promise = &mut self.connection.promise;
        promise.idle_limit = found.promise.idle_limit.or(promise.idle_limit);
        let one_less = promise.requests_left.map(|left| left.saturating_sub(1));
        promise.requests_left = found.promise.requests_left.or(one_less);
        self.keeps_alive = found.keeps_alive && promise.requests_left != Some(0);
        self.download = match found.framing {
            BodyFraming::None => Download::End,
            BodyFraming::Length(length) => Download::Length(length),
            BodyFraming::Chunked => Download::Chunked(Chunked::default()),
            BodyFraming::UntilClose => Download::UntilClose,
        };
    }

    /// A part of the body out of what was read already; none if more has to be read, or at the end.
    fn take_body(&mut self) -> Result<Option<Frame<Bytes>>, ResponseError> {
        let buffer = &mut self.connection.buffer;
        match &mut self.download {
            Download::Length(left) => {
                if buffer.is_empty() {
                    return Ok(None);
                }
                let take = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
                *left -= take as u64;
                let is_last = *left == 0;
                let data = buffer.split_to(take).freeze();
                if is_last {
                    self.download = Download::End;
                }
                Ok(Some(Frame::data(data)))
            }
            Download::Chunked(chunked) => {
                let decoded = chunked.decode(buffer)?;
                if chunked.is_end() {
                    self.download = Download::End;
                }
                Ok(match decoded {
                    Decoded::NeedMore | Decoded::End => None,
                    Decoded::Data(data) => Some(Frame::data(data)),
                    Decoded::Trailers(trailers) => Some(Frame::trailers(trailers)),
                })
            }
            Download::UntilClose if !buffer.is_empty() => Ok(Some(Frame::data(buffer.split().freeze()))),
            Download::UntilClose | Download::End | Download::Head | Download::Upgraded => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests;
