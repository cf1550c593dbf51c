//! Memory that answers are read into, handed from one connection of a worker to the next.
//!
//! An idle connection holds none of it: ten thousand of them hold no more than two. Most answers fit into a small
//! buffer. Servers whose answers do not are lent a bulk buffer, so that head and body of an answer of 64 KiB come with
//! one read and leave with one write; a fresh one for each would be mapped and faulted in page by page.
//!
//! Bulk buffers are counted while they are out. An exchange may keep its buffer for an hour (a quiet stream), so there
//! are [`MAX_BULK`] of them and no more: beyond that everybody gets a small one, and it grows where it has to.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::BytesMut;

use super::http1::transfer::FIRST_READ_BYTES;

/// Small buffers kept: as many as a worker has exchanges just before and after their connection is idle.
pub(super) const MAX_SPARE: usize = 64;
/// Bulk buffers of a worker, kept and lent together: 4.5 MiB.
pub(super) const MAX_BULK: usize = 64;
/// The head and the first 64 KiB of an answer.
const BULK_BYTES: usize = 64 * 1024 + FIRST_READ_BYTES;

/// Counts as a bulk buffer that is out for as long as it lives.
#[derive(Clone, Debug)]
pub struct Bulk(#[expect(dead_code, reason = "it is counted, not looked at")] Arc<()>);

/// The spare buffers of one worker.
#[derive(Debug, Default)]
pub struct Spare {
    small: RefCell<Vec<BytesMut>>,
    bulk: RefCell<VecDeque<(BytesMut, Bulk)>>,
    /// One more than there are bulk buffers.
    count: Arc<()>,
}

impl Spare {
    /// A buffer for an answer. Without memory if there is none to spare: then it is made when it is needed.
    pub fn take(&self, is_bulky: bool) -> (BytesMut, Option<Bulk>) {
        if is_bulky && let Some((buffer, bulk)) = self.take_bulk() {
            return (buffer, Some(bulk));
        }
        (self.small.borrow_mut().pop().unwrap_or_default(), None)
    }

    fn take_bulk(&self) -> Option<(BytesMut, Bulk)> {
        if let Some((mut buffer, bulk)) = self.bulk.borrow_mut().pop_front() {
            // The client of the last answer may still have to take a part of it.
            if !buffer.try_reclaim(BULK_BYTES) {
                buffer = BytesMut::with_capacity(BULK_BYTES);
            }
            return Some((buffer, bulk));
        }
        let is_left = Arc::strong_count(&self.count) <= MAX_BULK;
        is_left.then(|| (BytesMut::with_capacity(BULK_BYTES), Bulk(Arc::clone(&self.count))))
    }

    /// Takes a buffer back.
    pub fn give(&self, buffer: BytesMut, bulk: Option<Bulk>) {
        match bulk {
            Some(bulk) => self.bulk.borrow_mut().push_back((buffer, bulk)),
            None => {
                let mut small = self.small.borrow_mut();
                if small.len() < MAX_SPARE && buffer.capacity() > 0 {
                    small.push(buffer);
                }
            }
        }
    }
}

#[cfg(test)]
impl Spare {
    /// How many small ones are kept.
    pub(super) fn small(&self) -> usize {
        self.small.borrow().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bulk_buffers_are_used_again_and_never_more_than_so_many() {
        let spare = Spare::default();
        let mut out: Vec<_> = (0..MAX_BULK).map(|_| spare.take(true)).collect();
        assert!(out.iter().all(|(buffer, bulk)| buffer.capacity() >= BULK_BYTES && bulk.is_some()));
        assert!(spare.take(true).1.is_none(), "that is all");
        let (mut buffer, bulk) = out.pop().expect("many");
        let place = buffer.as_ptr();
        buffer.extend_from_slice(b"answer");
        let part = buffer.split().freeze();
        drop(part);
        spare.give(buffer, bulk);
        let (again, bulk) = spare.take(true);
        assert_eq!((again.as_ptr(), again.capacity() >= BULK_BYTES), (place, true));
        drop((again, bulk, out));
        assert!(spare.take(true).1.is_some(), "what was lost with its connection is made anew");
    }

    #[test]
    fn a_part_that_somebody_still_holds_is_never_written_over() {
        let spare = Spare::default();
        let (mut buffer, bulk) = spare.take(true);
        buffer.extend_from_slice(b"first");
        let held = buffer.split().freeze();
        spare.give(buffer, bulk);
        let (mut next, _bulk) = spare.take(true);
        next.extend_from_slice(b"other");
        assert_eq!(&held[..], b"first");
    }
}
