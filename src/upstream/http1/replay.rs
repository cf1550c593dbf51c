//! A request body whose beginning is remembered, so that it can be sent to another server.
//!
//! A client sends its body once. When a try fails after a part of it was passed on, the request can be made
//! again only by somebody who still has that part. So the first bytes, up to a limit, are kept beside passing
//! them on; [`Replay::rewind`] begins again with what was kept and goes on with what the client has yet to
//! send. Once more than the limit has been taken, nothing is kept and the body cannot begin again.
//!
//! Keeping costs a reference for each frame and no copy. But a reference to a frame of one byte holds the whole
//! buffer it was read into, so small frames, apart from the first, are copied together. With a limit of 64 KiB,
//! a client that sends single bytes makes us keep 64 KiB and one read buffer; one that sends frames of 4 KiB
//! makes us keep at most 17 references.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

/// Frames below this size are copied together rather than kept as they are.
const COPY_BELOW_BYTES: usize = 4 * 1024;

/// A body that may begin again.
#[derive(Debug)]
pub struct Replay<B> {
    body: B,
    kept: Vec<Segment>,
    kept_bytes: usize,
    limit_bytes: usize,
    /// The segment that is given next; all of them were given: the body's own frames follow.
    next: usize,
    /// More was taken than may be kept, or the client failed: it cannot begin again.
    is_lost: bool,
    is_ended: bool,
    trailers: Option<HeaderMap>,
    /// The kept trailers are to be given again.
    owes_trailers: bool,
}

#[derive(Debug)]
enum Segment {
    /// A frame as it came.
    Frame(Bytes),
    /// Small frames, copied together; grows only while it is the last.
    Copied(BytesMut),
}

impl<B> Replay<B> {
    /// Keeps up to `limit_bytes` of this body.
    pub fn new(body: B, limit_bytes: usize) -> Self {
        Self {
            body,
            kept: Vec::new(),
            kept_bytes: 0,
            limit_bytes,
            next: 0,
            is_lost: false,
            is_ended: false,
            trailers: None,
            owes_trailers: false,
        }
    }

    /// Whether all that was taken is still known.
    pub fn can_rewind(&self) -> bool {
        !self.is_lost
    }

    /// The body from its start, if all that was taken from it is still known.
    pub fn rewind(mut self) -> Option<Self> {
        if self.is_lost {
            return None;
        }
        for segment in &mut self.kept {
            if let Segment::Copied(bytes) = segment {
                *segment = Segment::Frame(std::mem::take(bytes).freeze());
            }
        }
        self.next = 0;
        self.owes_trailers = self.trailers.is_some();
        Some(self)
    }

    /// Keeps nothing from now on: there will be no other try.
    pub fn forget(&mut self) {
        self.limit_bytes = 0;
        if self.next >= self.kept.len() {
            self.lose();
        }
    }

    fn lose(&mut self) {
        self.is_lost = true;
        self.kept = Vec::new();
        self.kept_bytes = 0;
        self.next = 0;
    }

    fn keep(&mut self, data: &Bytes) {
        if self.is_lost {
            return;
        }
        self.kept_bytes += data.len();
        if self.kept_bytes > self.limit_bytes {
            return self.lose();
        }
        match self.kept.last_mut() {
            Some(Segment::Copied(copied)) if data.len() < COPY_BELOW_BYTES => copied.extend_from_slice(data),
            Some(_) if data.len() < COPY_BELOW_BYTES => self.kept.push(Segment::Copied(BytesMut::from(&data[..]))),
            _ => self.kept.push(Segment::Frame(data.clone())),
        }
        self.next = self.kept.len();
    }
}

impl Segment {
    fn len(&self) -> usize {
        match self {
            Self::Frame(bytes) => bytes.len(),
            Self::Copied(bytes) => bytes.len(),
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Replay<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        if let Some(segment) = this.kept.get(this.next) {
            let data = match segment {
                Segment::Frame(bytes) => bytes.clone(),
                Segment::Copied(bytes) => Bytes::copy_from_slice(bytes),
            };
            this.next += 1;
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if this.is_ended {
            let trailers = if std::mem::take(&mut this.owes_trailers) { this.trailers.clone() } else { None };
            return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
        }
        let next = ready!(Pin::new(&mut this.body).poll_frame(cx));
        match &next {
            None => this.is_ended = true,
            Some(Err(_)) => this.lose(),
            Some(Ok(frame)) => match (frame.data_ref(), frame.trailers_ref()) {
                (Some(data), _) => this.keep(data),
                (None, Some(trailers)) => {
                    this.is_ended = true;
                    this.trailers = (!this.is_lost).then(|| trailers.clone());
                }
                (None, None) => {}
            },
        }
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        self.next >= self.kept.len() && if self.is_ended { !self.owes_trailers } else { self.body.is_end_stream() }
    }

    fn size_hint(&self) -> SizeHint {
        let again: usize = self.kept.iter().skip(self.next).map(Segment::len).sum();
        let again = again as u64;
        let rest = if self.is_ended { SizeHint::with_exact(0) } else { self.body.size_hint() };
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(again));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(again));
        }
        hint
    }
}

#[cfg(test)]
mod tests;
