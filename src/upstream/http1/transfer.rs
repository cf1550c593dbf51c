//! One request with its response on one connection, both ways at once.
//!
//! The request body is sent while the response is awaited and while it is read, so an answer that arrives
//! before the request is finished (413, 401) reaches the client, and a server that answers as it reads does
//! not wait for us. There is no task behind it: whoever polls for the head or for data moves both directions.
//!
//! The connection is given back only by [`Transfer::into_connection`], and only if both directions ended
//! exactly where they said. Dropping a transfer closes the connection.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, Method, StatusCode};
use http_body::{Body, Frame};
use tokio::net::TcpStream;
use tokio_util::io::poll_read_buf;

use super::chunked::{Chunked, Decoded};
use super::connection::Connection;
use super::head::{self, BodyFraming, MAX_HEAD_BYTES, MAX_INTERIM, ResponseError, ResponseHead};
use super::upload::{Upload, UploadError};

/// First read: holds the head and body of most answers.
const FIRST_READ_BYTES: usize = 8 * 1024;
/// Later reads of large bodies: fewer system calls, still in the processor's cache.
const BULK_READ_BYTES: usize = 64 * 1024;

/// A request under way.
#[derive(Debug)]
pub struct Transfer<B> {
    stream: TcpStream,
    buffer: BytesMut,
    served: u64,
    idle_limit: Option<Duration>,
    method: Method,
    upload: Upload<B>,
    /// The server stopped reading; what it had to say is still read.
    upload_failed: bool,
    download: Download,
    interim: u32,
    keeps_alive: bool,
    received: u64,
}

/// Where the response stands.
#[derive(Debug)]
enum Download {
    Head,
    Length(u64),
    Chunked(Chunked),
    UntilClose,
    End,
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
    pub(super) fn new(connection: Connection, method: Method, upload: Upload<B>) -> Self {
        Self {
            stream: connection.stream,
            buffer: connection.buffer,
            served: connection.served,
            idle_limit: connection.idle_limit,
            method,
            upload,
            upload_failed: false,
            download: Download::Head,
            interim: 0,
            keeps_alive: false,
            received: 0,
        }
    }

    /// Whether the connection had served before: its end may have crossed our request on the way.
    pub fn was_reused(&self) -> bool {
        self.served > 0
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
        matches!(self.download, Download::End)
    }

    /// Body bytes still to come, if the server told the length.
    pub fn length_left(&self) -> Option<u64> {
        match self.download {
            Download::Length(left) => Some(left),
            Download::End => Some(0),
            Download::Head | Download::Chunked(_) | Download::UntilClose => None,
        }
    }

    /// The body, if nothing was taken from it: the request can be sent again elsewhere.
    pub fn into_untouched_body(self) -> Option<Option<B>> {
        self.upload.into_untouched_body()
    }

    /// The connection, if it can take another request.
    pub fn into_connection(self) -> Option<Connection> {
        let is_clean = self.is_end() && self.upload.is_done() && !self.upload_failed && self.buffer.is_empty();
        (is_clean && self.keeps_alive).then_some(Connection {
            stream: self.stream,
            buffer: self.buffer,
            served: self.served + 1,
            idle_limit: self.idle_limit,
        })
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
            let capacity = if self.buffer.is_empty() { FIRST_READ_BYTES } else { MAX_HEAD_BYTES / 4 };
            match ready!(self.poll_read(cx, capacity)) {
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
            match ready!(self.poll_read(cx, BULK_READ_BYTES)) {
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
        match self.upload.poll_send(&mut self.stream, cx) {
            Poll::Ready(Err(UploadError::Server(_))) => {
                self.upload_failed = true;
                Ok(())
            }
            Poll::Ready(Err(UploadError::Client(_) | UploadError::Length)) => Err(TransferError::Client),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, capacity: usize) -> Poll<io::Result<usize>> {
        if self.buffer.capacity() - self.buffer.len() < capacity / 2 {
            self.buffer.reserve(capacity);
        }
        let count = ready!(poll_read_buf(std::pin::Pin::new(&mut self.stream), cx, &mut self.buffer))?;
        self.received += count as u64;
        Poll::Ready(Ok(count))
    }

    fn take_head(&mut self) -> Result<Option<ResponseHead>, ResponseError> {
        while !self.buffer.is_empty() {
            let Some(found) = head::parse(&mut self.buffer, &self.method)? else { return Ok(None) };
            if found.status == StatusCode::SWITCHING_PROTOCOLS {
                return Err(ResponseError::Interim);
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

    fn begin_body(&mut self, found: &ResponseHead) {
        self.keeps_alive = found.keeps_alive && !is_bound_to_connection(&found.headers);
        self.idle_limit = keep_alive_timeout(&found.headers).or(self.idle_limit);
        self.download = match found.framing {
            BodyFraming::None => Download::End,
            BodyFraming::Length(length) => Download::Length(length),
            BodyFraming::Chunked => Download::Chunked(Chunked::default()),
            BodyFraming::UntilClose => Download::UntilClose,
        };
    }

    /// A part of the body out of what was read already; none if more has to be read, or at the end.
    fn take_body(&mut self) -> Result<Option<Frame<Bytes>>, ResponseError> {
        match &mut self.download {
            Download::Length(left) => {
                if self.buffer.is_empty() {
                    return Ok(None);
                }
                let take = usize::try_from(*left).unwrap_or(usize::MAX).min(self.buffer.len());
                *left -= take as u64;
                let is_last = *left == 0;
                let data = self.buffer.split_to(take).freeze();
                if is_last {
                    self.download = Download::End;
                }
                Ok(Some(Frame::data(data)))
            }
            Download::Chunked(chunked) => {
                let decoded = chunked.decode(&mut self.buffer)?;
                if chunked.is_end() {
                    self.download = Download::End;
                }
                Ok(match decoded {
                    Decoded::NeedMore | Decoded::End => None,
                    Decoded::Data(data) => Some(Frame::data(data)),
                    Decoded::Trailers(trailers) => Some(Frame::trailers(trailers)),
                })
            }
            Download::UntilClose if !self.buffer.is_empty() => Ok(Some(Frame::data(self.buffer.split().freeze()))),
            Download::UntilClose | Download::End | Download::Head => Ok(None),
        }
    }
}

/// NTLM and Negotiate authenticate the connection, not the request: whoever used it next would be the same user.
fn is_bound_to_connection(headers: &HeaderMap) -> bool {
    let is_bound = |value: &[u8]| {
        let scheme = value.split(|byte| *byte == b' ').next().unwrap_or_default();
        scheme.eq_ignore_ascii_case(b"ntlm") || scheme.eq_ignore_ascii_case(b"negotiate")
    };
    headers.get_all(WWW_AUTHENTICATE).iter().any(|value| is_bound(value.as_bytes()))
}

/// `Keep-Alive: timeout=5`: half a second before it the connection is no longer used, as our request
/// would cross the server's close on the way.
fn keep_alive_timeout(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get("keep-alive")?.to_str().ok()?;
    let seconds = value.split(',').find_map(|part| part.trim().strip_prefix("timeout="))?;
    Some(Duration::from_secs(seconds.parse::<u32>().ok()?.into()).saturating_sub(Duration::from_millis(500)))
}

#[cfg(test)]
mod tests;
