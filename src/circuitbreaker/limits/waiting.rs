//! Somebody in the queue of a full upstream: from the wait to the turn, and out of it.
//!
//! The queue and its rules are the parent's; here is the one who waits. A turn is never lost: dropped in whatever
//! state, it goes to the next. That holds also for who was woken with a place of one endpoint and entered at another,
//! where somebody had left at the same moment: those who looked meanwhile found the brought place counted and sleep, so
//! one of them is called ([`Waiting::leave`]). Example: *a* is woken with a place of server 2; server 1 gets free while
//! *b*, who wants server 2, looks in vain; *a* goes to server 1; without a call *b* would sleep beside a free server 2.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Instant;

use crate::config::upstream::Limits;

use super::{Held, Queue, Room, Turn, Use, Waiter, is_below, wake_next};

/// A place in the queue; dropped, it is left, and a turn it had is the next one's.
#[derive(Debug)]
pub struct Waiting {
    room: Arc<Room>,
    ticket: u64,
    until: Instant,
    is_served: bool,
    /// The place it was woken with, and how many there were at that endpoint without it.
    brought: Option<(Held, u32)>,
    /// At all endpoints together, when it began to wait.
    most_requests: Option<u32>,
    most_connections: Option<u32>,
}

impl Waiting {
    /// Of a waiter that was just put into the queue.
    pub(super) fn new(room: &Arc<Room>, ticket: u64, limits: &Limits, now: Instant) -> Self {
        Self {
            room: Arc::clone(room),
            ticket,
            until: now + limits.pending_timeout,
            is_served: false,
            brought: None,
            most_requests: limits.requests,
            most_connections: limits.connections,
        }
    }

    /// When this has lasted as long as it may. The caller keeps the clock.
    pub fn until(&self) -> Instant {
        self.until
    }

    /// Waits for a turn: then is the time to pick an endpoint and to enter. Asked again, the turn is the next one's.
    /// A dropped future leaves the place in the queue as it is.
    pub async fn turn(&mut self) {
        poll_fn(|cx| self.poll_turn(cx)).await;
    }

    /// Like [`turn`](Self::turn).
    pub fn poll_turn(&mut self, cx: &Context<'_>) -> Poll<()> {
        let mut queue = self.room.lock();
        let Queue { waiters, freed, .. } = &mut *queue;
        // It is there as long as this is.
        let Some(waiter) = waiters.get_mut(&self.ticket) else { return Poll::Ready(()) };
        match std::mem::replace(&mut waiter.turn, Turn::Taken) {
            Turn::Given(held) => {
                if let Some(held) = held {
                    held.count_off();
                    *freed += 1;
                    let others = held.at_endpoint();
                    self.brought = Some((held, others));
                }
            }
            Turn::Taken if waiter.looked_at < *freed => {}
            Turn::Taken => {
                waiter.turn = Turn::Asleep(cx.waker().clone());
                self.brought = None;
                wake_next(queue);
                return Poll::Pending;
            }
            Turn::Asleep(_) => {
                waiter.turn = Turn::Asleep(cx.waker().clone());
                return Poll::Pending;
            }
        }
        waiter.looked_at = *freed;
        Poll::Ready(())
    }

    /// Leaves the queue after having entered.
    pub fn leave(mut self) {
        self.is_served = true;
    }

    /// Whether the place it was woken with is still free for others: it entered elsewhere, where somebody had left at
    /// the same moment. Who else has looked meanwhile found it counted, and would sleep on beside it.
    fn has_left_its_place(&self) -> bool {
        let Some((held, others)) = &self.brought else { return false };
        let most = match held.is_for {
            Use::Request => self.most_requests,
            Use::Connection => self.most_connections,
        };
        held.at_endpoint() <= *others && is_below(self.room.counts.of(held.is_for), most)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut queue = self.room.lock();
        let gone = queue.waiters.remove(&self.ticket);
        self.room.waiting.store(queue.waiters.len(), Ordering::SeqCst);
        let Some(Waiter { turn, looked_at }) = gone else { return };
        let has_news = looked_at < queue.freed;
        match turn {
            Turn::Given(Some(held)) => {
                drop(queue);
                self.room.give_back(&held);
            }
            Turn::Taken if self.is_served && !has_news && !self.has_left_its_place() => {}
            Turn::Given(None) | Turn::Taken => wake_next(queue),
            Turn::Asleep(_) => {}
        }
    }
}
