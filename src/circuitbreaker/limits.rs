//! Bounds how much an upstream gets at once, and where requests wait that are too many.
//!
//! A [`Room`] counts the requests and connections of an upstream, an [`EndpointRoom`] those of one of its endpoints.
//! Who sends a request takes a [`Place`] for it, who opens a connection takes one for that; it is given back when
//! dropped. With no place left a request may wait, if the settings allow that: at most `pending` of them, each for
//! `pendingTimeout`. The rest, and those who waited in vain, are told 503 `upstream_full`.
//!
//! The way of a request: leave out endpoints without [`EndpointRoom::has_room`], pick, [`EndpointRoom::try_enter`].
//! If there is none, or it failed, then [`Room::wait`]; at each [turn](Waiting::turn) pick and enter again;
//! [`Waiting::leave`] when that went well.
//!
//! # The queue
//!
//! First come, first served, also before those who come later and find the freed place before the one who has
//! waited for it has even woken up. So a place that is given back while somebody waits is not free for a moment: it
//! goes to the first in the queue, still counted, and is counted off when that one wakes, in whose hands it then is. Of
//! limit 1 and a queue a, b: the request ends, the place is a's; a newcomer sees a full upstream and waits behind b.
//! (The usual semaphore does the same, but for one counter; here a place is one of the upstream *and* of an endpoint,
//! and which endpoint somebody wants is known only when it picks.)
//!
//! Who has a turn and cannot use it (the free endpoint is one that it has already tried) waits on, and the turn goes to
//! the next who has not looked since a place was last freed. So each of them looks once, and no turn is lost:
//! [`Room::freed`](Queue::freed) numbers the moments at which places became free, everybody remembers the last one
//! before their look, and who wants to wait although there was one since looks again at once.
//!
//! # Limits of the limits
//!
//! Connections are kept by each worker for itself. A limit of connections below the number of workers starves some of
//! them; idle ones count, but cannot be used by another worker.
//!
//! Counting costs a word shared by all workers, so a caller may leave it out where no limit is set; what began
//! before the first limit was set is then not counted.

mod waiting;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

use crate::config::upstream::Limits;

pub use waiting::Waiting;

/// There is no room, and none to wait in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the upstream has as much as it may get")]
pub struct Full;

/// What an upstream has at the moment, and who waits for it.
#[derive(Debug, Default)]
pub struct Room {
    counts: Counts,
    /// As many as are in the queue: looked at without its lock.
    waiting: AtomicUsize,
    queue: Mutex<Queue>,
}

/// What one of its endpoints has.
#[derive(Debug)]
pub struct EndpointRoom {
    room: Arc<Room>,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    requests: AtomicU32,
    connections: AtomicU32,
}

/// What a place is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Request,
    Connection,
}

/// Room for one request or one connection; given back on drop.
#[derive(Debug)]
pub struct Place {
    held: Held,
}

/// A counted place without a guard.
#[derive(Clone, Debug)]
struct Held {
    endpoint: Arc<EndpointRoom>,
    is_for: Use,
}

impl Room {
    /// Empty.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the upstream may get one more request, as far as all endpoints together are bounded.
    pub fn has_room(&self, limits: &Limits) -> bool {
        is_below(&self.counts.requests, limits.requests)
    }

    /// Requests running.
    pub fn requests(&self) -> u32 {
        self.counts.requests.load(Ordering::Relaxed)
    }

    /// Connections open.
    pub fn connections(&self) -> u32 {
        self.counts.connections.load(Ordering::Relaxed)
    }

    /// Requests waiting.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Takes a place in the queue. It begins with a turn, as a place may have become free since the last look.
    ///
    /// # Errors
    /// [`Full`] if as many wait as may.
    pub fn wait(self: &Arc<Self>, limits: &Limits, now: Instant) -> Result<Waiting, Full> {
        let mut queue = self.lock();
        if queue.waiters.len() >= usize::try_from(limits.pending).unwrap_or(usize::MAX) {
            return Err(Full);
        }
        let ticket = queue.next_ticket;
        queue.next_ticket += 1;
        let looked_at = queue.freed;
        queue.waiters.insert(ticket, Waiter { turn: Turn::Given(None), looked_at });
        self.waiting.store(queue.waiters.len(), Ordering::SeqCst);
        Ok(Waiting::new(self, ticket, limits, now))
    }

    /// Gives everybody in the queue a turn: limits were raised, or there are new endpoints.
    pub fn look_again(&self) {
        if self.waiting.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut queue = self.lock();
        queue.freed += 1;
        let wakers: Vec<Waker> = queue.waiters.values_mut().filter_map(|waiter| waiter.give(None)).collect();
        drop(queue);
        wakers.iter().for_each(Waker::wake_by_ref);
    }

    /// Gives a place back: to the first who waits, else to whoever comes.
    fn give_back(&self, held: &Held) {
        if self.waiting.load(Ordering::SeqCst) > 0 && self.hand_over(held) {
            return;
        }
        held.count_off();
        self.place_is_free();
    }

    /// Somebody may have begun to wait after having seen that all is full, which is no longer so.
    fn place_is_free(&self) {
        if self.waiting.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut queue = self.lock();
        queue.freed += 1;
        wake_next(queue);
    }

    /// Whether somebody who waits took it.
    fn hand_over(&self, held: &Held) -> bool {
        let mut queue = self.lock();
        let waker = queue.waiters.values_mut().find_map(|waiter| waiter.give(Some(held)));
        drop(queue);
        let is_taken = waker.is_some();
        waker.into_iter().for_each(Waker::wake);
        is_taken
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics between two writes that belong together.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EndpointRoom {
    /// Of one endpoint of an upstream; empty.
    pub fn new(room: &Arc<Room>) -> Self {
        Self { room: Arc::clone(room), counts: Counts::default() }
    }

    /// Of its upstream.
    pub fn room(&self) -> &Arc<Room> {
        &self.room
    }

    /// Whether this endpoint may get one more request, as far as each is bounded.
    pub fn has_room(&self, limits: &Limits) -> bool {
        is_below(&self.counts.requests, limits.per_endpoint_requests)
    }

    /// Takes a place for a request.
    ///
    /// # Errors
    /// [`Full`] if the endpoint or all of them together have as much as they may get.
    pub fn try_enter(self: &Arc<Self>, limits: &Limits) -> Result<Place, Full> {
        self.try_take(Use::Request, limits.per_endpoint_requests, limits.requests)
    }

    /// Takes a place for a connection, to be kept as long as it is open.
    ///
    /// # Errors
    /// [`Full`] as above.
    pub fn try_connect(self: &Arc<Self>, limits: &Limits) -> Result<Place, Full> {
        self.try_take(Use::Connection, limits.per_endpoint_connections, limits.connections)
    }

    fn try_take(self: &Arc<Self>, is_for: Use, own: Option<u32>, all: Option<u32>) -> Result<Place, Full> {
        let (mine, everybodys) = (self.counts.of(is_for), self.room.counts.of(is_for));
        // A look first, so that taking back below is for races only: it calls somebody who waits, who would else
        // call the next, and so on for ever.
        if !is_below(mine, own) || !is_below(everybodys, all) || !take(mine, own) {
            return Err(Full);
        }
        if !take(everybodys, all) {
            mine.fetch_sub(1, Ordering::SeqCst);
            self.room.place_is_free();
            return Err(Full);
        }
        Ok(Place { held: Held { endpoint: Arc::clone(self), is_for } })
    }
}

impl Counts {
    fn of(&self, is_for: Use) -> &AtomicU32 {
        match is_for {
            Use::Request => &self.requests,
            Use::Connection => &self.connections,
        }
    }
}

fn is_below(count: &AtomicU32, limit: Option<u32>) -> bool {
    limit.is_none_or(|limit| count.load(Ordering::SeqCst) < limit)
}

fn take(count: &AtomicU32, limit: Option<u32>) -> bool {
    let one_more = |count: u32| (count < limit.unwrap_or(u32::MAX)).then(|| count + 1);
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more).is_ok()
}

impl Held {
    /// How many of its kind there are at its endpoint.
    fn at_endpoint(&self) -> u32 {
        self.endpoint.counts.of(self.is_for).load(Ordering::SeqCst)
    }

    fn count_off(&self) {
        self.endpoint.counts.of(self.is_for).fetch_sub(1, Ordering::SeqCst);
        self.endpoint.room.counts.of(self.is_for).fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.held.endpoint.room.give_back(&self.held);
    }
}

/// Those who wait, by ticket: the order in which they came.
#[derive(Debug, Default)]
struct Queue {
    waiters: BTreeMap<u64, Waiter>,
    next_ticket: u64,
    /// How often a place became free while somebody waited.
    freed: u64,
}

#[derive(Debug)]
struct Waiter {
    turn: Turn,
    /// [`Queue::freed`] before its last look.
    looked_at: u64,
}

#[derive(Debug)]
enum Turn {
    /// It has none.
    Asleep(Waker),
    /// It has been called, maybe with a place kept for it.
    Given(Option<Held>),
    /// It is looking, or has entered.
    Taken,
}

impl Waiter {
    /// Gives a turn to one that is asleep; it has to be woken then.
    fn give(&mut self, held: Option<&Held>) -> Option<Waker> {
        if !matches!(self.turn, Turn::Asleep(_)) {
            return None;
        }
        match std::mem::replace(&mut self.turn, Turn::Given(held.cloned())) {
            Turn::Asleep(waker) => Some(waker),
            Turn::Given(_) | Turn::Taken => None,
        }
    }
}

/// Calls the first who has not looked since a place became free.
fn wake_next(mut queue: MutexGuard<'_, Queue>) {
    let freed = queue.freed;
    let mut behind = queue.waiters.values_mut().filter(|waiter| waiter.looked_at < freed);
    let waker = behind.find_map(|waiter| waiter.give(None));
    drop(queue);
    waker.into_iter().for_each(Waker::wake);
}

#[cfg(test)]
mod tests;
