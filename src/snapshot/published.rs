//! The snapshot in effect, and how workers see it.
//!
//! A worker that took a reference to the shared snapshot for every request would write to one counter with all
//! other workers, and that line would travel between cores for each of them. So each worker keeps a reference of
//! its own ([`Reader`]) and looks at a number instead, which is only written when a snapshot is swapped: one load
//! a request, from a line that every core may hold. When the number is another one, the reference is renewed;
//! a worker does that at its tick too, so that an idle one does not keep an old snapshot.

use std::cell::{Cell, Ref, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use super::Snapshot;

/// The snapshot in effect, for all workers.
#[derive(Debug, Default)]
pub struct Published {
    current: ArcSwap<Snapshot>,
    /// How often it was swapped.
    swaps: AtomicU64,
}

impl Published {
    /// What is served now. For those who ask seldom; workers have a [`Reader`].
    pub fn load(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Puts another one in place. The one that was served comes back, to be retired.
    pub(super) fn swap(&self, next: Snapshot) -> Arc<Snapshot> {
        let old = self.current.swap(Arc::new(next));
        // After the snapshot: who sees the number finds it, or a later one.
        self.swaps.fetch_add(1, Ordering::SeqCst);
        old
    }
}

/// One worker's view of what is published.
#[derive(Debug)]
pub struct Reader {
    published: Arc<Published>,
    seen: Cell<u64>,
    snapshot: RefCell<Arc<Snapshot>>,
}

impl Reader {
    /// For one worker.
    pub fn new(published: Arc<Published>) -> Self {
        let seen = published.swaps.load(Ordering::Acquire);
        Self { seen: Cell::new(seen), snapshot: RefCell::new(published.load()), published }
    }

    /// What is served now. The reference may not be held across an await: while it is, it is not renewed.
    pub fn current(&self) -> Ref<'_, Snapshot> {
        self.refresh();
        Ref::map(self.snapshot.borrow(), |snapshot| &**snapshot)
    }

    /// Lets an old snapshot go.
    pub fn refresh(&self) {
        let swaps = self.published.swaps.load(Ordering::Acquire);
        if swaps == self.seen.get() {
            return;
        }
        if let Ok(mut snapshot) = self.snapshot.try_borrow_mut() {
            *snapshot = self.published.load();
            self.seen.set(swaps);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(number: u64) -> Snapshot {
        Snapshot { number, ..Snapshot::default() }
    }

    #[test]
    fn a_reader_sees_every_swap_and_lets_the_old_one_go() {
        let published = Arc::new(Published::default());
        let reader = Reader::new(Arc::clone(&published));
        assert_eq!(reader.current().number, 0);
        let first = published.swap(numbered(1));
        assert_eq!(reader.current().number, 1);
        assert_eq!(Arc::strong_count(&first), 1);
        let held = reader.current();
        let second = published.swap(numbered(2));
        assert_eq!((held.number, reader.current().number), (1, 1), "who looks keeps what it looks at");
        drop(held);
        reader.refresh();
        assert_eq!(Arc::strong_count(&second), 1);
        assert_eq!(reader.current().number, 2);
    }
}
