//! How many connections are open, idle ones too: shared by all workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Open connections to one endpoint, or to one upstream.
#[derive(Clone, Debug, Default)]
pub struct ConnectionCount {
    open: Arc<AtomicU32>,
}

/// One open connection; counted until it is dropped. Hand it to [`connect`](super::connect::connect).
#[derive(Debug)]
pub struct OpenConnection {
    of: Arc<AtomicU32>,
}

impl ConnectionCount {
    /// How many there are.
    pub fn count(&self) -> u32 {
        self.open.load(Ordering::Relaxed)
    }

    /// Counts one more, unless there are `limit` already. Counted before the connection is made: else
    /// many that are made at once would all see room.
    pub fn open(&self, limit: Option<u32>) -> Option<OpenConnection> {
        let limit = limit.unwrap_or(u32::MAX);
        let one_more = |open: u32| (open < limit).then_some(open + 1);
        self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(OpenConnection { of: Arc::clone(&self.open) })
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.of.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_limit_are_open_and_each_is_given_back_once() {
        let count = ConnectionCount::default();
        let first = count.open(Some(2)).expect("room");
        let second = count.open(Some(2)).expect("room");
        assert!(count.open(Some(2)).is_none() && count.open(Some(0)).is_none());
        drop(first);
        assert_eq!(count.count(), 1);
        let third = count.open(None).expect("no limit");
        drop((second, third));
        assert_eq!(count.count(), 0);
    }
}
