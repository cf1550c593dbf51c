//! What is to be said about each object: newest only, worst first.
//!
//! [`Board`] keeps, for each object, the newest verdict and how the object was last seen, and two orders of those
//! that have something to say: by the time from which it may be said, and, once that has come, by how bad it is.
//! So a write costs the logarithm of their number, however many wait.
//!
//! It holds one entry an object, so it is bounded by the World. Both sides, the loop and the writer, touch it for
//! the time of a map operation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Answered;
use super::failure::WriteError;
use crate::config::Effect;
use crate::controller::event::{self, Announcement};
use crate::controller::status::{self, InEffect};
use crate::controller::translate::{Verdict, is_about_references};
use crate::controller::watch::jittered;
use crate::controller::world::{OwnObject, Subject};
use crate::crd::GatewayRouteStatus;

/// First wait after a failed write; doubles.
const MIN_WAIT: Duration = Duration::from_millis(500);
/// Last wait.
const MAX_WAIT: Duration = Duration::from_mins(1);
/// Between two tries of what may not be written: somebody has to change a role first.
const FORBIDDEN_WAIT: Duration = Duration::from_mins(5);
/// A flip that others cause (a Service goes and comes) is written once it has lasted this long.
const FLIP: Duration = Duration::from_secs(1);
/// What is missing right after a change may only be late; see `newcomer`.
const LATE: Duration = Duration::from_millis(100);
/// Between two Events about one object.
const EVENT_GAP: Duration = Duration::from_mins(1);

/// What is to be said about each object.
#[derive(Debug, Default)]
pub struct Board {
    inner: Mutex<Inner>,
    /// Something may have become due.
    pub(super) changed: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    entries: BTreeMap<Subject, Entry>,
    /// By the time from which it may be said.
    waiting: BTreeSet<(Instant, Subject)>,
    /// What may be said now, the worst first.
    ready: BTreeSet<(Rank, Subject)>,
    /// Where clients reach us, as our Service says; none: not known yet, what stands in an object stays.
    of_service: Option<Arc<[String]>>,
    /// The same as the operator says, who is right.
    of_operator: Option<Arc<[String]>>,
}

/// Without problems last; `None` alone would sort first.
type Rank = (bool, Option<Effect>);

#[derive(Debug)]
struct Entry {
    object: OwnObject,
    verdict: Arc<Verdict>,
    in_effect: Option<InEffect>,
    due: Due,
    is_under_way: bool,
    /// It had something to say while a write was under way.
    is_asked_again: bool,
    failures: u32,
    announced: Option<Instant>,
}

/// Where an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// All has been said.
    Never,
    /// In `waiting`, by this time.
    At(Instant),
    /// In `ready`, by this rank.
    Now(Rank),
}

/// One write.
#[derive(Debug)]
pub struct Job {
    /// Whose status.
    pub subject: Subject,
    /// Which of the objects that had this name.
    pub uid: String,
    /// The whole status.
    pub status: GatewayRouteStatus,
    /// What to tell as an Event once it is written.
    pub announcement: Option<Announcement>,
}

impl Inner {
    fn addresses(&self) -> Option<Arc<[String]>> {
        self.of_operator.clone().or_else(|| self.of_service.clone())
    }

    fn schedule(&mut self, subject: &Subject, due: Due) {
        let Some(entry) = self.entries.get_mut(subject) else { return };
        match std::mem::replace(&mut entry.due, due) {
            Due::At(time) => drop(self.waiting.remove(&(time, subject.clone()))),
            Due::Now(rank) => drop(self.ready.remove(&(rank, subject.clone()))),
            Due::Never => {}
        }
        match due {
            Due::At(time) => drop(self.waiting.insert((time, subject.clone()))),
            Due::Now(rank) => drop(self.ready.insert((rank, subject.clone()))),
            Due::Never => {}
        }
    }

    /// To be looked at from `now` on, unless it is already.
    fn wake(&mut self, subject: &Subject, now: Instant) {
        if self.entries.get(subject).is_some_and(|entry| entry.due == Due::Never) {
            self.schedule(subject, Due::At(now));
        }
    }

    /// What may be said by now becomes ready; what is under way waits for its end.
    fn ripen(&mut self, now: Instant) {
        while let Some((time, subject)) = self.waiting.first().cloned()
            && time <= now
        {
            let entry = self.entries.get(&subject);
            let rank = entry.map_or((true, None), |entry| (entry.verdict.worst().is_none(), entry.verdict.worst()));
            self.schedule(&subject, Due::Now(rank));
            self.waiting.remove(&(time, subject));
        }
    }

    fn forget(&mut self, subject: &Subject) {
        self.schedule(subject, Due::Never);
        self.entries.remove(subject);
    }

    fn review(&mut self, now: Instant) {
        let subjects: Vec<Subject> = self.entries.keys().cloned().collect();
        for subject in subjects {
            self.wake(&subject, now);
        }
    }
}

impl Board {
    /// This is to be said about `object`.
    pub fn post(&self, object: OwnObject, verdict: Arc<Verdict>, in_effect: Option<InEffect>, now: Instant) {
        let mut inner = self.lock();
        let subject = verdict.subject();
        let earlier = inner.entries.get(&subject);
        let due = now + delay(earlier, &verdict);
        let is_under_way = earlier.is_some_and(|entry| entry.is_under_way);
        let announced = earlier.and_then(|entry| entry.announced);
        inner.schedule(&subject, Due::Never);
        let entry = Entry {
            object,
            verdict,
            in_effect,
            due: Due::Never,
            is_under_way,
            is_asked_again: false,
            failures: 0,
            announced,
        };
        inner.entries.insert(subject.clone(), entry);
        inner.schedule(&subject, Due::At(due));
        drop(inner);
        self.changed.notify_one();
    }

    /// The object has been seen again, perhaps with another status.
    pub fn refresh(&self, object: OwnObject, now: Instant) {
        let subject = object.subject();
        let mut inner = self.lock();
        if let Some(entry) = inner.entries.get_mut(&subject) {
            entry.object = object;
            inner.wake(&subject, now);
            drop(inner);
            self.changed.notify_one();
        }
    }

    /// Forgets all objects but these.
    pub fn keep(&self, is_known: impl Fn(&Subject) -> bool) {
        let mut inner = self.lock();
        let gone: Vec<Subject> = inner.entries.keys().filter(|subject| !is_known(subject)).cloned().collect();
        for subject in gone {
            inner.forget(&subject);
        }
    }

    /// Where clients reach us, as our Service says. Every object says so.
    pub fn set_addresses(&self, addresses: Vec<String>, now: Instant) {
        self.change_addresses(now, |inner| inner.of_service = Some(addresses.into()));
    }

    /// Where clients reach us, as the operator says, if they do.
    pub fn set_operators_addresses(&self, addresses: Option<&[String]>, now: Instant) {
        if self.lock().of_operator.as_deref() != addresses {
            self.change_addresses(now, |inner| inner.of_operator = addresses.map(Arc::from));
        }
    }

    fn change_addresses(&self, now: Instant, change: impl FnOnce(&mut Inner)) {
        let mut inner = self.lock();
        let before = inner.addresses();
        change(&mut inner);
        if inner.addresses() != before {
            inner.review(now);
            drop(inner);
            self.changed.notify_one();
        }
    }

    /// A new holder looks at everything once.
    pub(super) fn review(&self, now: Instant) {
        self.lock().review(now);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic while holding it would leave at worst an entry in one order too many, which is passed over.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The worst news that is due and really news. What turns out to be said already is marked so.
    pub(super) fn take(&self, now: Instant) -> Option<Job> {
        let mut inner = self.lock();
        inner.ripen(now);
        while let Some((rank, subject)) = inner.ready.first().cloned() {
            inner.schedule(&subject, Due::Never);
            inner.ready.remove(&(rank, subject.clone()));
            let addresses = inner.addresses();
            let Some(entry) = inner.entries.get_mut(&subject) else { continue };
            if entry.is_under_way {
                entry.is_asked_again = true;
                continue;
            }
            if let Some(job) = entry.job(addresses.as_deref(), now) {
                return Some(job);
            }
        }
        None
    }

    /// When there may be something to take.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.lock().waiting.first().map(|(time, _)| *time)
    }

    /// How many have something to say, or may have.
    pub(super) fn pending(&self) -> usize {
        let inner = self.lock();
        inner.ready.len() + inner.waiting.len()
    }

    /// A write has ended.
    pub(super) fn done(&self, subject: &Subject, outcome: &Result<Answered, WriteError>, now: Instant) {
        let mut inner = self.lock();
        let Some(entry) = inner.entries.get_mut(subject) else { return };
        entry.is_under_way = false;
        let is_asked_again = std::mem::take(&mut entry.is_asked_again);
        let again = match outcome {
            Ok(object) => {
                entry.failures = 0;
                if entry.object.metadata().uid == object.metadata.uid {
                    entry.object = entry.object.with_status(object.status.clone());
                }
                is_asked_again.then_some(now)
            }
            // It is gone, or another one has its name; its watch will tell, or has told meanwhile.
            Err(WriteError::Gone | WriteError::Invalid(_)) => is_asked_again.then_some(now),
            Err(WriteError::Forbidden(_)) => Some(now + jittered(FORBIDDEN_WAIT)),
            Err(WriteError::Failed(_) | WriteError::TimedOut) => {
                let wait = MIN_WAIT.saturating_mul(1 << entry.failures.min(16)).min(MAX_WAIT);
                entry.failures += 1;
                Some(now + jittered(wait))
            }
        };
        if let (Due::Never, Some(again)) = (entry.due, again) {
            inner.schedule(subject, Due::At(again));
        }
    }
}

impl Entry {
    /// What is to be written, if it is not there yet.
    fn job(&mut self, addresses: Option<&[String]>, now: Instant) -> Option<Job> {
        let old = serde_json::from_value(self.object.status().clone()).ok();
        // Clients connect to routes, not to policies.
        let addresses = if matches!(self.object, OwnObject::Policy(_)) { Some(&[][..]) } else { addresses };
        let status = status::next(&self.verdict, self.in_effect, old.as_ref(), addresses, Timestamp::now())?;
        self.is_under_way = true;
        let may_announce = self.announced.is_none_or(|at| now.duration_since(at) >= EVENT_GAP);
        let announcement = event::announcement(&self.verdict, old.as_ref()).filter(|_| may_announce);
        if announcement.is_some() {
            self.announced = Some(now);
        }
        Some(Job { subject: self.verdict.subject(), uid: self.verdict.uid.clone(), status, announcement })
    }
}

#[cfg(test)]
impl Board {
    /// What is to be said about whom, and whether it is in effect.
    pub fn statuses(&self) -> Vec<(String, bool)> {
        self.lock()
            .entries
            .iter()
            .map(|(subject, entry)| (subject.name.to_string(), entry.in_effect.is_some()))
            .collect()
    }
}

/// How long to wait with news, as it may change once more.
fn delay(earlier: Option<&Entry>, verdict: &Verdict) -> Duration {
    let lacks_references = verdict.problems.iter().any(|problem| is_about_references(problem.slug));
    match earlier {
        Some(earlier) if earlier.verdict.generation == verdict.generation && earlier.verdict.uid == verdict.uid => {
            let is_unsaid = earlier.due != Due::Never;
            let is_same = earlier.verdict.problems == verdict.problems;
            if is_same || (is_unsaid && !lacks_references) { Duration::ZERO } else { FLIP }
        }
        _ if lacks_references => LATE,
        _ => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests;
