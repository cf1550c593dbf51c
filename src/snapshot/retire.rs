//! Where old snapshots are freed: on a thread of their own, never on a worker.
//!
//! Freeing a hundred thousand routes takes tens of milliseconds, and whoever lets the last reference go does it.
//! If that were a worker, all its requests would wait. So a snapshot that was replaced is handed to this thread,
//! which keeps a reference until it is the only one ([`LOOK_EVERY`]) and then lets go: a worker only ever takes
//! one off a counter.
//!
//! What waits is bounded by who can hold a snapshot: each worker one (renewed at its tick), the admin address one
//! for each answer it is writing.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use super::Snapshot;

/// Workers let go within a tick; soon after that is soon enough.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Replaced snapshots on their way to the thread. When it is busy freeing, changes wait for it and not the
/// other way round.
const QUEUE: usize = 16;

/// Takes what was replaced.
#[derive(Debug)]
pub struct Retired {
    queue: SyncSender<Arc<Snapshot>>,
}

impl Retired {
    /// Starts the thread; it ends when this is dropped.
    ///
    /// # Errors
    /// If the system has no thread for it.
    pub fn start() -> std::io::Result<Self> {
        let (queue, coming) = sync_channel(QUEUE);
        std::thread::Builder::new().name("retire".to_owned()).spawn(move || free(&coming))?;
        Ok(Self { queue })
    }

    /// Has it freed once nobody else holds it.
    pub fn take(&self, old: Arc<Snapshot>) {
        // The thread ends only after this.
        let _ = self.queue.send(old);
    }
}

fn free(coming: &Receiver<Arc<Snapshot>>) {
    let mut waiting: Vec<Arc<Snapshot>> = Vec::new();
    loop {
        let next = match waiting.is_empty() {
            true => coming.recv().map_err(|_| RecvTimeoutError::Disconnected),
            false => coming.recv_timeout(LOOK_EVERY),
        };
        match next {
            Ok(old) => waiting.push(old),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        // Nobody can get a new reference but from one that is counted.
        waiting.retain(|old| Arc::strong_count(old) > 1);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_snapshot_is_freed_after_all_others_let_go() {
        let retired = Retired::start().expect("a thread");
        let held = Arc::new(Snapshot::default());
        let weak = Arc::downgrade(&held);
        retired.take(Arc::clone(&held));
        let second = Arc::new(Snapshot::default());
        let (second_weak, began) = (Arc::downgrade(&second), Instant::now());
        retired.take(second);
        let wait_for = |weak: &std::sync::Weak<Snapshot>| {
            while weak.strong_count() > 0 {
                assert!(began.elapsed() < Duration::from_secs(20), "it is not freed");
                std::thread::park_timeout(Duration::from_millis(5));
            }
        };
        wait_for(&second_weak);
        assert!(weak.strong_count() > 0, "it is held");
        drop(held);
        assert!(weak.strong_count() > 0 || began.elapsed() > Duration::ZERO, "the thread frees it, not we");
        wait_for(&weak);
    }
}
