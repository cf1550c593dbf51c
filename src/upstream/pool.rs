//! Idle connections of one worker.
//!
//! Each worker has its own, so that taking one out is a look into a map without a lock. The one used last
//! is taken first: the others age and close when load goes down. What is closed by the server, too old, or
//! belongs to an endpoint that is gone is dropped by [`Pool::sweep`], once a second.
//!
//! The memory that answers are read into does not idle along with a connection; it is handed on ([`super::spare`]).

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::upstream::PoolSettings;

use super::LiveEndpoint;
use super::http1::Connection;
use super::spare::Spare;

/// How often [`Pool::sweep`] is to be called.
pub const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Idle connections, by endpoint.
#[derive(Debug, Default)]
pub struct Pool {
    idle: RefCell<HashMap<u64, Shelf, ahash::RandomState>>,
    spare: Spare,
}

#[derive(Debug)]
struct Shelf {
    endpoint: Arc<LiveEndpoint>,
    /// The one used last is at the end.
    connections: Vec<Idle>,
    /// The last answer did not fit into a small buffer; the next one may not, either.
    is_bulky: bool,
}

#[derive(Debug)]
struct Idle {
    connection: Box<Connection>,
    until: Instant,
}

impl Pool {
    /// A usable idle connection to this endpoint.
    pub fn take(&self, endpoint: &LiveEndpoint, now: Instant) -> Option<Box<Connection>> {
        let mut idle = self.idle.borrow_mut();
        let shelf = idle.get_mut(&endpoint.number())?;
        while let Some(mut last) = shelf.connections.pop() {
            if last.until > now && last.connection.is_usable() {
                last.connection.lend_buffer(self.spare.take(shelf.is_bulky));
                return Some(last.connection);
            }
        }
        None
    }

    /// Keeps a connection for the next request, unless it is used up, there are enough, or its endpoint is gone.
    pub fn put(
        &self,
        endpoint: &Arc<LiveEndpoint>,
        mut connection: Box<Connection>,
        settings: &PoolSettings,
        now: Instant,
    ) {
        let is_used_up = settings.max_requests > 0 && connection.served() >= settings.max_requests;
        let until = keep_until(&connection, settings, now);
        if endpoint.is_retired() || is_used_up || until <= now {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        let shelf = idle.entry(endpoint.number()).or_insert_with(|| Shelf {
            endpoint: Arc::clone(endpoint),
            connections: Vec::new(),
            is_bulky: false,
        });
        if shelf.connections.len() < settings.max_idle {
            shelf.is_bulky = connection.had_bulk();
            let (buffer, bulk) = connection.take_buffer();
            self.spare.give(buffer, bulk);
            shelf.connections.push(Idle { connection, until });
        }
    }

    /// Drops what is of no use any more.
    pub fn sweep(&self, now: Instant) {
        self.idle.borrow_mut().retain(|_, shelf| {
            if shelf.endpoint.is_retired() {
                return false;
            }
            shelf.connections.retain_mut(|idle| idle.until > now && idle.connection.is_usable());
            !shelf.connections.is_empty()
        });
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.idle.borrow().values().map(|shelf| shelf.connections.len()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The earliest of: unused for too long by our settings or by the server's word, and too old.
fn keep_until(connection: &Connection, settings: &PoolSettings, now: Instant) -> Instant {
    let ours = settings.idle_timeout;
    let until = now + connection.idle_limit().map_or(ours, |servers| servers.min(ours));
    if settings.max_age.is_zero() { until } else { until.min(connection.made_at() + settings.max_age) }
}

#[cfg(test)]
mod tests;
