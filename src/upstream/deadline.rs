//! Deadlines of the exchanges of one worker: one ticking clock instead of a timer for each request.
//!
//! A timer that is set and cancelled for every request costs more than the look it saves. Here a waiting
//! exchange leaves its deadline and waker in a slot; once in [`TICK`] the worker looks through the slots and
//! wakes those whose time is over. So a deadline is met at most one tick late, which is enough for bounds of
//! seconds, and the cost of a request is one slot taken and given back.
//!
//! The same ticks are a clock ([`Deadlines::now`]) for everything that need not know the time better than to a
//! tick. It never runs ahead; what is reckoned from it gets one tick on top, so that no bound is met too early.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// How often [`Deadlines::tick`] is to be called; how late a deadline may be met.
pub const TICK: Duration = Duration::from_millis(100);

/// When a slot whose time was over is looked at again, if nobody changed it meanwhile.
const WAKE_AGAIN: Duration = Duration::from_secs(10);

/// All deadlines of a worker.
#[derive(Debug)]
pub struct Deadlines {
    slots: RefCell<Slots>,
    now: Cell<Instant>,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { slots: RefCell::default(), now: Cell::new(Instant::now()) }
    }
}

#[derive(Debug, Default)]
struct Slots {
    waiting: Vec<Option<Waiting>>,
    free: Vec<usize>,
}

#[derive(Debug)]
struct Waiting {
    at: Instant,
    waker: Waker,
}

impl Deadlines {
    /// The time at the last tick.
    pub fn now(&self) -> Instant {
        self.now.get()
    }

    /// When `wait` from now is over for certain.
    pub fn after(&self, wait: Duration) -> Instant {
        self.now.get() + wait + TICK
    }

    /// Wakes those whose time is over.
    pub fn tick(&self, now: Instant) {
        self.now.set(now);
        // Wakers may run code of others; none of it comes back here, but the borrow ends first all the same.
        let due: Vec<Waker> = {
            let mut slots = self.slots.borrow_mut();
            let is_due = |waiting: &&mut Waiting| waiting.at <= now;
            // Who does not care any more is not woken again at once; who does sets a new deadline when woken.
            let wake = |waiting: &mut Waiting| {
                waiting.at = now + WAKE_AGAIN;
                waiting.waker.clone()
            };
            slots.waiting.iter_mut().flatten().filter(is_due).map(wake).collect()
        };
        due.iter().for_each(Waker::wake_by_ref);
    }

    /// Wakes everybody who waits: something that all of them look at has changed.
    pub fn wake_all(&self) {
        let all: Vec<Waker> = self.slots.borrow().waiting.iter().flatten().map(|w| w.waker.clone()).collect();
        all.iter().for_each(Waker::wake_by_ref);
    }
}

/// The deadline of one exchange.
#[derive(Debug)]
pub struct Deadline {
    all: Rc<Deadlines>,
    slot: Option<usize>,
}

impl Deadline {
    /// One that has not been asked yet.
    pub fn new(all: &Rc<Deadlines>) -> Self {
        Self { all: Rc::clone(all), slot: None }
    }

    /// Ready once `at` has passed; else the task is woken at about that time.
    pub fn poll(&mut self, cx: &Context<'_>, at: Instant) -> Poll<()> {
        if self.all.now() >= at {
            return Poll::Ready(());
        }
        let mut slots = self.all.slots.borrow_mut();
        let slot = match self.slot {
            Some(slot) => slot,
            None => match slots.free.pop() {
                Some(slot) => slot,
                None => {
                    slots.waiting.push(None);
                    slots.waiting.len() - 1
                }
            },
        };
        self.slot = Some(slot);
        if let Some(place) = slots.waiting.get_mut(slot) {
            match place {
                Some(waiting) => {
                    waiting.at = at;
                    waiting.waker.clone_from(cx.waker());
                }
                None => *place = Some(Waiting { at, waker: cx.waker().clone() }),
            }
        }
        Poll::Pending
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        let Some(slot) = self.slot else { return };
        let mut slots = self.all.slots.borrow_mut();
        if let Some(place) = slots.waiting.get_mut(slot) {
            *place = None;
        }
        slots.free.push(slot);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn only_those_whose_time_is_over_are_woken_and_slots_are_used_again() {
        let all = Rc::new(Deadlines::default());
        let counter = Arc::new(Counter::default());
        let waker = Waker::from(Arc::clone(&counter));
        let cx = Context::from_waker(&waker);
        let now = all.now();
        let (mut soon, mut late) = (Deadline::new(&all), Deadline::new(&all));
        assert!(soon.poll(&cx, now + Duration::from_secs(5)).is_pending());
        assert!(late.poll(&cx, now + Duration::from_secs(50)).is_pending());
        assert!(soon.poll(&cx, now).is_ready(), "a deadline that has passed is ready at once");
        all.tick(now + Duration::from_secs(1));
        assert_eq!(counter.0.load(Ordering::Relaxed), 0);
        all.tick(now + Duration::from_secs(10));
        assert_eq!(counter.0.load(Ordering::Relaxed), 1);
        drop(soon);
        let mut next = Deadline::new(&all);
        assert!(next.poll(&cx, all.now() + Duration::from_secs(5)).is_pending());
        assert_eq!(all.slots.borrow().waiting.len(), 2, "the free slot was taken again");
    }
}
