//! Idle connections of one worker.
//!
//! Each worker has its own, so that taking one out is a look into a map without a lock. The one used last
//! is taken first: the others age and close when load goes down. What is closed by the server, too old, or
//! belongs to an endpoint that is gone is dropped by [`Pool::sweep`], once a second.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::UpstreamSettings;

use super::LiveEndpoint;
use super::http1::Connection;

/// How often [`Pool::sweep`] is to be called.
pub const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Idle connections, by endpoint.
#[derive(Debug, Default)]
pub struct Pool {
    idle: RefCell<HashMap<u64, Shelf, ahash::RandomState>>,
}

#[derive(Debug)]
struct Shelf {
    endpoint: Arc<LiveEndpoint>,
    /// The one used last is at the end.
    connections: Vec<Idle>,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    until: Instant,
}

impl Pool {
    /// A usable idle connection to this endpoint.
    pub fn take(&self, endpoint: &LiveEndpoint, now: Instant) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        let shelf = idle.get_mut(&endpoint.number())?;
        while let Some(mut last) = shelf.connections.pop() {
            if last.until > now && last.connection.is_usable() {
                return Some(last.connection);
            }
        }
        None
    }

    /// Keeps a connection for the next request, unless there are enough or its endpoint is gone.
    pub fn put(&self, endpoint: &Arc<LiveEndpoint>, connection: Connection, settings: &UpstreamSettings, now: Instant) {
        if endpoint.is_retired() {
            return;
        }
        let limit = settings.pool.idle_timeout;
        let limit = connection.idle_limit().map_or(limit, |servers| servers.min(limit));
        let mut idle = self.idle.borrow_mut();
        let shelf = idle
            .entry(endpoint.number())
            .or_insert_with(|| Shelf { endpoint: Arc::clone(endpoint), connections: Vec::new() });
        if shelf.connections.len() < settings.pool.max_idle {
            shelf.connections.push(Idle { connection, until: now + limit });
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
        self.idle.borrow().is_empty()
    }
}
