//! What the connections of one worker use in turn: buffers, a scratch for tunnels, the date.
//!
//! A buffer is taken when bytes are there and given back when none are left to keep, so that there are about as
//! many as exchanges running, not as connections open. Fresh ones from the allocator would be faulted in page by page.

use std::cell::{Cell, RefCell, RefMut};
use std::time::{Duration, Instant, SystemTime};

use bytes::BytesMut;
use jiff::Timestamp;

use crate::proxy::tunnel::SCRATCH_BYTES;

/// Holds nearly every head, and the body of most requests that have one.
pub const READ_BYTES: usize = 8 * 1024;
/// Holds the head of an answer and a small body.
const WRITE_BYTES: usize = 8 * 1024;
/// A buffer that has grown beyond this is not kept: one large head must not cost memory for ever.
const MOST_BYTES: usize = 32 * 1024;
/// Buffers of each kind kept for later: as many as exchanges run at once on a busy worker. 64 of 8 KiB are 512 KiB.
const MOST_KEPT: usize = 64;

/// What the connections of one worker use in turn.
#[derive(Debug, Default)]
pub struct Workshop {
    reads: RefCell<Vec<BytesMut>>,
    writes: RefCell<Vec<Vec<u8>>>,
    scratch: RefCell<Vec<u8>>,
    date: RefCell<Date>,
}

impl Workshop {
    /// An empty buffer to read into.
    pub fn take_read(&self) -> BytesMut {
        self.reads.borrow_mut().pop().unwrap_or_else(|| BytesMut::with_capacity(READ_BYTES))
    }

    /// Takes a buffer back. What somebody still holds a part of, or what has grown, is let go.
    pub fn give_read(&self, mut buffer: BytesMut) {
        let mut kept = self.reads.borrow_mut();
        if kept.len() < MOST_KEPT
            && buffer.is_empty()
            && buffer.try_reclaim(READ_BYTES)
            && buffer.capacity() <= MOST_BYTES
        {
            kept.push(buffer);
        }
    }

    /// An empty buffer to write from.
    pub fn take_write(&self) -> Vec<u8> {
        self.writes.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(WRITE_BYTES))
    }

    /// Takes a buffer back.
    pub fn give_write(&self, mut buffer: Vec<u8>) {
        let mut kept = self.writes.borrow_mut();
        if kept.len() < MOST_KEPT && (WRITE_BYTES..=MOST_BYTES).contains(&buffer.capacity()) {
            buffer.clear();
            kept.push(buffer);
        }
    }

    /// What tunnels read into; nothing of it is kept.
    pub fn scratch(&self) -> RefMut<'_, Vec<u8>> {
        let mut scratch = self.scratch.borrow_mut();
        if scratch.is_empty() {
            scratch.resize(SCRATCH_BYTES, 0);
        }
        scratch
    }

    /// Appends the date as HTTP writes it (RFC 9110, section 5.6.7): made anew once a second.
    pub fn write_date(&self, now: Instant, out: &mut Vec<u8>) {
        let mut date = self.date.borrow_mut();
        date.refresh(now);
        out.extend_from_slice(date.text.as_bytes());
    }
}

/// The date and when it was written.
#[derive(Debug, Default)]
struct Date {
    text: String,
    written: Cell<Option<Instant>>,
}

impl Date {
    /// A second by the clock that never jumps; the text is the wall's.
    fn refresh(&mut self, now: Instant) {
        let is_fresh = self.written.get().is_some_and(|at| now.saturating_duration_since(at) < Duration::from_secs(1));
        if !is_fresh {
            let wall = Timestamp::try_from(SystemTime::now()).unwrap_or_default();
            self.text = wall.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
            self.written.set(Some(now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_once_nobody_holds_a_part_of_it() {
        let workshop = Workshop::default();
        let mut buffer = workshop.take_read();
        let place = buffer.as_ptr();
        buffer.extend_from_slice(b"head");
        let part = buffer.split_to(4).freeze();
        drop(part);
        workshop.give_read(buffer);
        let mut again = workshop.take_read();
        assert_eq!((again.as_ptr(), again.capacity()), (place, READ_BYTES));
        again.extend_from_slice(b"head");
        let held = again.split_to(4).freeze();
        workshop.give_read(again);
        assert!(workshop.reads.borrow().is_empty(), "somebody holds it");
        drop(held);
        workshop.give_read(BytesMut::with_capacity(MOST_BYTES * 2));
        assert!(workshop.reads.borrow().is_empty(), "it has grown");
    }

    #[test]
    fn the_date_is_as_http_writes_it_and_made_once_a_second() {
        let workshop = Workshop::default();
        let now = Instant::now();
        let mut out = Vec::new();
        workshop.write_date(now, &mut out);
        let text = String::from_utf8(out).expect("text");
        assert_eq!((text.len(), &text[3..5], &text[25..]), (29, ", ", " GMT"));
        workshop.date.borrow_mut().text = "old".to_owned();
        let read = |after: u64| {
            let mut out = Vec::new();
            workshop.write_date(now + Duration::from_millis(after), &mut out);
            out
        };
        assert_eq!(read(999), b"old");
        assert_ne!(read(1000), b"old");
    }
}
