//! So many at once: a gate that lets `max` in, lets a few wait in front of it, and sends the rest away.
//!
//! Each key has a count of those inside and a queue of those waiting. Whoever leaves hands the slot to the first in
//! the queue: the count does not go down and up again, so nobody can slip in between, and the order is that of
//! arrival. Whoever gives up (the client went, the time is over) leaves the queue, or, if a slot was handed over in
//! that very moment, gives it back: under the lock a waiter is either in the queue or has a slot, nothing between.
//!
//! A semaphore of tokio's for each key would do the same, but cannot be asked how many wait, cannot be made smaller
//! while it is used up, and would have to be found and dropped together with its key under a lock anyway.
//!
//! **Bounds.** A key is kept while somebody is inside or waits, and forgotten at once after; there are never more
//! keys than running requests, which the listeners bound. A smaller `max` sends nobody out: none is let in until
//! enough have left. A smaller `queue` lets those stay who wait. A timeout of zero is none.
//!
//! Used by all workers at once: a shard's short mutex, never held across an await; wakers are called after it is
//! released. Called by `proxy`, made and updated by `snapshot`.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasherDefault;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::key::{Key, KeyBuilder, Place, Seeds};
use crate::config::Attribute;
use crate::config::id::LimiterId;
use crate::config::traffic::Concurrency;

/// With keys. Two of up to 16 workers seldom meet.
const SHARDS: usize = 16;

/// Why somebody was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// As many as may are inside, and as many as may are waiting.
    #[error("too many requests at once, and too many waiting")]
    NoRoom,
    /// Nobody left in time.
    #[error("too many requests at once, and none of them ended in time")]
    WaitedTooLong,
}

/// Requests at once, while they live.
#[derive(Debug)]
pub struct Gate {
    id: LimiterId,
    per: Vec<Attribute>,
    seeds: Seeds,
    shards: Box<[Mutex<Shard>]>,
}

#[derive(Debug)]
struct Shard {
    bounds: Bounds,
    next_number: u64,
    rooms: HashMap<Key, Room, BuildHasherDefault<Place>>,
}

#[derive(Clone, Copy, Debug)]
struct Bounds {
    max: u32,
    queue: usize,
    timeout: Duration,
}

/// One key's.
#[derive(Debug, Default)]
struct Room {
    inside: u32,
    /// By number of arrival.
    waiting: BTreeMap<u64, oneshot::Sender<()>>,
}

/// One is inside. Dropping it lets the next one in.
#[derive(Debug)]
pub struct Guard {
    gate: Arc<Gate>,
    key: Key,
}

/// One waits. Dropping it leaves nothing behind.
#[derive(Debug)]
struct Waiter {
    gate: Arc<Gate>,
    key: Key,
    number: u64,
    turn: oneshot::Receiver<()>,
    is_inside: bool,
}

enum Arrival {
    Inside(Guard),
    Waiting(Waiter, Duration),
    NoRoom,
}

impl Bounds {
    fn new(limit: &Concurrency) -> Self {
        let queue = usize::try_from(limit.queue).unwrap_or(usize::MAX);
        Self { max: limit.max.max(1), queue, timeout: limit.queue_timeout }
    }
}

impl Gate {
    /// With nobody inside.
    pub fn new(limit: &Concurrency) -> Arc<Self> {
        let bounds = Bounds::new(limit);
        let len = if limit.per.is_empty() { 1 } else { SHARDS };
        let shard = |_| Mutex::new(Shard { bounds, next_number: 0, rooms: HashMap::default() });
        Arc::new(Self {
            id: limit.id.clone(),
            per: limit.per.clone(),
            seeds: Seeds::default(),
            shards: (0..len).map(shard).collect(),
        })
    }

    /// Whether its counts mean the same for this description. Else a new one has to be made.
    pub fn is_same_kind(&self, limit: &Concurrency) -> bool {
        self.id == limit.id && self.per == limit.per
    }

    /// Takes over other bounds. Who is inside stays, and who waits; those for whom there is room now come in.
    pub fn update(&self, limit: &Concurrency) {
        let bounds = Bounds::new(limit);
        for shard in &self.shards {
            let mut called = Vec::new();
            let mut shard = lock(shard);
            shard.bounds = bounds;
            for room in shard.rooms.values_mut() {
                while room.inside < bounds.max
                    && let Some((_, turn)) = room.waiting.pop_first()
                {
                    room.inside += 1;
                    called.push(turn);
                }
            }
            drop(shard);
            called.into_iter().for_each(call);
        }
    }

    /// A key of this gate in the making.
    pub fn key_builder(&self) -> KeyBuilder {
        self.seeds.builder()
    }

    /// Lets one in, now or after others have left. Dropping the future is giving up. Needs tokio's clock if there is
    /// a queue with a timeout.
    ///
    /// # Errors
    /// [`Full`]
    pub async fn enter(self: &Arc<Self>, key: Key) -> Result<Guard, Full> {
        match self.arrive(key) {
            Arrival::Inside(guard) => Ok(guard),
            Arrival::NoRoom => Err(Full::NoRoom),
            Arrival::Waiting(waiter, timeout) => waiter.wait(timeout).await,
        }
    }

    /// How many are inside and how many wait, of all keys.
    pub fn load(&self) -> (usize, usize) {
        let mut sum = (0, 0);
        for shard in &self.shards {
            for room in lock(shard).rooms.values() {
                sum.0 += usize::try_from(room.inside).unwrap_or(usize::MAX);
                sum.1 += room.waiting.len();
            }
        }
        sum
    }

    /// Keys with somebody inside or waiting.
    pub fn keys(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).rooms.len()).sum()
    }

    fn arrive(self: &Arc<Self>, key: Key) -> Arrival {
        let mut shard = self.shard(key);
        let shard = &mut *shard;
        let room = shard.rooms.entry(key).or_default();
        // Nobody waits while there is room: whoever leaves hands over, and so does `update`.
        if room.inside < shard.bounds.max {
            room.inside += 1;
            return Arrival::Inside(Guard { gate: Arc::clone(self), key });
        }
        if room.waiting.len() >= shard.bounds.queue {
            return Arrival::NoRoom;
        }
        let number = shard.next_number;
        shard.next_number += 1;
        let (call, turn) = oneshot::channel();
        room.waiting.insert(number, call);
        let waiter = Waiter { gate: Arc::clone(self), key, number, turn, is_inside: false };
        Arrival::Waiting(waiter, shard.bounds.timeout)
    }

    /// One leaves.
    fn leave(&self, key: Key) {
        let next = self.shard(key).leave(key);
        if let Some(turn) = next {
            call(turn);
        }
    }

    fn shard(&self, key: Key) -> MutexGuard<'_, Shard> {
        // There is at least one shard, and the number is taken modulo their count.
        lock(&self.shards[key.shard(self.shards.len())])
    }
}

impl Shard {
    /// One leaves; whoever gets the slot is to be called after the lock is released.
    fn leave(&mut self, key: Key) -> Option<oneshot::Sender<()>> {
        let room = self.rooms.get_mut(&key)?;
        debug_assert!(room.inside > 0, "who leaves was inside");
        let next = if room.inside <= self.bounds.max { room.waiting.pop_first() } else { None };
        if next.is_none() {
            room.inside = room.inside.saturating_sub(1);
            if room.inside == 0 {
                self.rooms.remove(&key);
            }
        }
        next.map(|(_, turn)| turn)
    }
}

impl Waiter {
    async fn wait(mut self, timeout: Duration) -> Result<Guard, Full> {
        let is_called = if timeout.is_zero() {
            (&mut self.turn).await.is_ok()
        } else {
            matches!(tokio::time::timeout(timeout, &mut self.turn).await, Ok(Ok(())))
        };
        if !is_called {
            return Err(Full::WaitedTooLong);
        }
        self.is_inside = true;
        Ok(Guard { gate: Arc::clone(&self.gate), key: self.key })
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if self.is_inside {
            return;
        }
        let mut shard = self.gate.shard(self.key);
        let is_queued = shard.rooms.get_mut(&self.key).is_some_and(|room| room.waiting.remove(&self.number).is_some());
        if is_queued {
            return;
        }
        // Called, but gone before it came in.
        let next = shard.leave(self.key);
        drop(shard);
        if let Some(turn) = next {
            call(turn);
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.gate.leave(self.key);
    }
}

/// Tells a waiter that it has a slot. One that has gone meanwhile gives the slot back itself.
fn call(turn: oneshot::Sender<()>) {
    let _ = turn.send(());
}

/// A poisoned lock still holds counts; any counts are good enough to go on with.
fn lock(mutex: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
