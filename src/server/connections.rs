//! The connections of one worker: how many there are, whether they are to end, and what they use in turn.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::http1::Workshop;

/// The connections of one worker.
#[derive(Debug)]
pub struct Connections {
    loads: Arc<[AtomicUsize]>,
    number: usize,
    is_closing: Cell<bool>,
    workshop: Workshop,
}

impl Connections {
    /// None yet.
    pub fn new(loads: Arc<[AtomicUsize]>, number: usize) -> Self {
        Self { loads, number, is_closing: Cell::new(false), workshop: Workshop::default() }
    }

    /// Counts one more for as long as the guard lives.
    pub fn open(self: &Rc<Self>) -> Open {
        if let Some(load) = self.loads.get(self.number) {
            load.fetch_add(1, Ordering::Relaxed);
        }
        Open { of: Rc::clone(self) }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.loads.get(self.number).map_or(0, |load| load.load(Ordering::Relaxed))
    }

    /// From now on they end as soon as nothing runs on them.
    pub fn close(&self) {
        self.is_closing.set(true);
    }

    /// Whether they end.
    pub fn are_closing(&self) -> bool {
        self.is_closing.get()
    }

    /// What they use in turn.
    pub fn workshop(&self) -> &Workshop {
        &self.workshop
    }
}

/// One open connection.
#[derive(Debug)]
pub struct Open {
    of: Rc<Connections>,
}

impl Open {
    /// All of them.
    pub fn connections(&self) -> &Connections {
        &self.of
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(load) = self.of.loads.get(self.of.number) {
            load.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
