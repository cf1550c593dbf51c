//! What waits to be written to a client.
//!
//! What is small is gathered and leaves in one write, head and body together. What is large is not copied: it is
//! written beside the gathered bytes as it is. Nothing more is taken from the body until all of it has left, so a
//! client that reads slowly holds at most [`GATHER_BYTES`] and one frame here.

use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::HeaderMap;

use super::answer::{Framing, write_line, write_number};
use super::wire::Wire;
use super::workshop::Workshop;

/// Frames up to this size are copied behind what waits already: one write of one part costs less than the copy.
const COPY_BYTES: usize = 4 * 1024;
/// What is gathered before it is written.
const GATHER_BYTES: usize = 16 * 1024;

/// What waits to be written.
#[derive(Debug)]
pub struct Outbox {
    /// The head, then small frames and chunk lines. Without memory while nothing waits.
    gathered: Vec<u8>,
    /// Bytes of `gathered` that have left.
    left: usize,
    /// One large frame.
    large: Bytes,
    /// What ends its chunk.
    end: &'static [u8],
}

/// A body that is not as long as its head said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body is not as long as was told")]
pub struct WrongLength;

impl Outbox {
    /// With the head that was written into a buffer of the workshop.
    pub fn new(head: Vec<u8>) -> Self {
        Self { gathered: head, left: 0, large: Bytes::new(), end: b"" }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.left == self.gathered.len() && self.large.is_empty() && self.end.is_empty()
    }

    /// Whether more may be put in.
    pub fn has_room(&self) -> bool {
        self.large.is_empty() && self.end.is_empty() && self.gathered.len() < GATHER_BYTES
    }

    /// Puts in a part of the body.
    ///
    /// # Errors
    /// If that is more than was told.
    pub fn put(&mut self, data: Bytes, framing: &mut Framing, workshop: &Workshop) -> Result<(), WrongLength> {
        if data.is_empty() {
            return Ok(());
        }
        match framing {
            Framing::None => return Err(WrongLength),
            Framing::Length(owed) => *owed = owed.checked_sub(data.len() as u64).ok_or(WrongLength)?,
            Framing::UntilClose => {}
            Framing::Chunked => {
                let out = self.open(workshop);
                write_number(out, data.len() as u64, 16);
                out.extend_from_slice(b"\r\n");
            }
        }
        let end: &[u8] = if *framing == Framing::Chunked { b"\r\n" } else { b"" };
        if data.len() <= COPY_BYTES {
            let out = self.open(workshop);
            out.extend_from_slice(&data);
            out.extend_from_slice(end);
        } else {
            self.large = data;
            self.end = end;
        }
        Ok(())
    }

    /// Puts in the end of the body, with those trailers that pass.
    ///
    /// # Errors
    /// If more was told.
    pub fn finish<'t>(
        &mut self,
        framing: Framing,
        trailers: Option<&'t HeaderMap>,
        passes: impl Fn(&'t http::HeaderName) -> bool,
        workshop: &Workshop,
    ) -> Result<(), WrongLength> {
        match framing {
            Framing::Length(owed) if owed > 0 => return Err(WrongLength),
            Framing::None | Framing::Length(_) | Framing::UntilClose => return Ok(()),
            Framing::Chunked => {}
        }
        // Behind a chunk that waits: the end must not overtake it. Trailers never come in the same turn.
        if !self.large.is_empty() {
            self.end = b"\r\n0\r\n\r\n";
            return Ok(());
        }
        let out = self.open(workshop);
        out.extend_from_slice(b"0\r\n");
        for (name, value) in trailers.into_iter().flatten().filter(|(name, _)| passes(name)) {
            write_line(out, name.as_str(), value.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        Ok(())
    }

    /// Writes until nothing waits.
    pub fn poll_flush(
        &mut self,
        wire: &mut Wire,
        limit: Duration,
        workshop: &Workshop,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let gathered = IoSlice::new(self.gathered.get(self.left..).unwrap_or_default());
            let count = if self.large.is_empty() && self.end.is_empty() {
                ready!(wire.poll_write(cx, &[gathered], limit))?
            } else {
                let parts = [gathered, IoSlice::new(&self.large), IoSlice::new(self.end)];
                // The kernel looks at each part, also at an empty one.
                let parts = if self.end.is_empty() { &parts[..2] } else { &parts[..] };
                ready!(wire.poll_write(cx, parts, limit))?
            };
            self.advance(count);
        }
        self.left = 0;
        if self.gathered.capacity() > 0 {
            workshop.give_write(std::mem::take(&mut self.gathered));
        }
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, count: usize) {
        let of_gathered = count.min(self.gathered.len() - self.left);
        self.left += of_gathered;
        let of_large = (count - of_gathered).min(self.large.len());
        self.large.advance(of_large);
        if self.large.is_empty() {
            // Lets go of the allocation it was a part of.
            self.large = Bytes::new();
        }
        self.end = self.end.get(count - of_gathered - of_large..).unwrap_or_default();
    }

    fn open(&mut self, workshop: &Workshop) -> &mut Vec<u8> {
        if self.gathered.capacity() == 0 {
            self.gathered = workshop.take_write();
        }
        &mut self.gathered
    }
}
