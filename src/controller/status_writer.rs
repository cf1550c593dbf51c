//! Statuses on their way to the API server: newest only, worst first, and only by the Lease holder.
//!
//! [`Board`] keeps, for each object, what is to be said about it and how it was last seen. Everyone keeps it;
//! the holder's writer empties it. So a new holder knows at once what is missing, and since it compares with
//! what stands in the objects it writes nothing where nothing has changed.
//!
//! The board holds one entry an object, so it is bounded by the World. Writing never blocks translating:
//! both sides touch the board for the time of a map operation. When a write comes too late (the object has
//! moved on) the object comes back through its watch, is compared again, and written again: wrong statuses
//! do not last.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::status::{self, InEffect};
use super::translate::{Verdict, is_about_references};
use super::watch::jittered;
use super::world::{ObjectName, RouteObject};
use crate::crd::{GROUP, GatewayRouteStatus, KIND, VERSION};

/// Requests under way at once.
const CONCURRENT: usize = 8;
/// 50 writes a second: ten thousand objects in over three minutes, a lone change at once.
const PACE: Duration = Duration::from_millis(20);
/// One request.
const DEADLINE: Duration = Duration::from_secs(10);
/// First wait after a failed write; doubles.
const MIN_WAIT: Duration = Duration::from_millis(500);
/// Last wait.
const MAX_WAIT: Duration = Duration::from_mins(1);
/// A flip that others cause (a Service goes and comes) is written once it has lasted this long.
const FLIP: Duration = Duration::from_secs(1);
/// What is missing right after a change may only be late; see `newcomer`.
const LATE: Duration = Duration::from_millis(100);

/// What is to be said about each object.
#[derive(Debug, Default)]
pub struct Board {
    entries: Mutex<BTreeMap<ObjectName, Entry>>,
    changed: Notify,
}

#[derive(Debug)]
struct Entry {
    object: Arc<RouteObject>,
    verdict: Arc<Verdict>,
    in_effect: Option<InEffect>,
    /// None: it has been said.
    due: Option<Instant>,
    is_under_way: bool,
    failures: u32,
}

/// One write.
#[derive(Debug)]
struct Job {
    name: ObjectName,
    uid: String,
    status: GatewayRouteStatus,
}

impl Board {
    /// This is to be said about `object`.
    pub fn post(&self, object: Arc<RouteObject>, verdict: Arc<Verdict>, in_effect: Option<InEffect>, now: Instant) {
        let mut entries = self.lock();
        let earlier = entries.get(&verdict.object);
        let due = now + delay(earlier, &verdict);
        let is_under_way = earlier.is_some_and(|entry| entry.is_under_way);
        let entry = Entry { object, verdict, in_effect, due: Some(due), is_under_way, failures: 0 };
        entries.insert(entry.verdict.object.clone(), entry);
        drop(entries);
        self.changed.notify_one();
    }

    /// The object has been seen again, perhaps with another status.
    pub fn refresh(&self, object: &Arc<RouteObject>, now: Instant) {
        let mut entries = self.lock();
        if let Some(entry) = entries.get_mut(&object.name()) {
            entry.object = Arc::clone(object);
            entry.due.get_or_insert(now);
            drop(entries);
            self.changed.notify_one();
        }
    }

    /// Forgets all objects but these.
    pub fn keep(&self, is_known: impl Fn(&ObjectName) -> bool) {
        self.lock().retain(|name, _| is_known(name));
    }

    /// A new holder looks at everything once.
    fn review(&self, now: Instant) {
        for entry in self.lock().values_mut() {
            entry.due.get_or_insert(now);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ObjectName, Entry>> {
        // A panic while holding it would leave a whole map: every change is a single step.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The worst news that is due and really news. What turns out to be said already is marked so.
    fn take(&self, now: Instant) -> Option<Job> {
        let mut entries = self.lock();
        let mut due: Vec<&mut Entry> = entries
            .values_mut()
            .filter(|entry| !entry.is_under_way && entry.due.is_some_and(|due| due <= now))
            .collect();
        // Without problems last; `None` would sort first.
        due.sort_by_key(|entry| (entry.verdict.worst().is_none(), entry.verdict.worst()));
        due.into_iter().find_map(|entry| {
            let old = serde_json::from_value(entry.object.status.clone()).ok();
            entry.due = None;
            let status = status::next(&entry.verdict, entry.in_effect, old.as_ref(), Timestamp::now())?;
            entry.is_under_way = true;
            let verdict = &entry.verdict;
            Some(Job { name: verdict.object.clone(), uid: verdict.uid.clone(), status })
        })
    }

    fn next_due(&self) -> Option<Instant> {
        self.lock().values().filter(|entry| !entry.is_under_way).filter_map(|entry| entry.due).min()
    }

    fn done(&self, name: &ObjectName, outcome: &Result<RouteObject, WriteError>, now: Instant) {
        let mut entries = self.lock();
        let Some(entry) = entries.get_mut(name) else { return };
        entry.is_under_way = false;
        match outcome {
            Ok(object) => {
                entry.failures = 0;
                if entry.object.metadata.uid == object.metadata.uid {
                    entry.object = Arc::new(RouteObject { status: object.status.clone(), ..(*entry.object).clone() });
                }
            }
            // It is gone, or another one has its name; its watch will tell.
            Err(error) if error.is_final() => {}
            Err(_) => {
                let wait = MIN_WAIT.saturating_mul(1 << entry.failures.min(16)).min(MAX_WAIT);
                entry.failures += 1;
                entry.due = Some(now + jittered(wait));
            }
        }
    }
}

#[cfg(test)]
impl Board {
    /// What is to be said about whom, and whether it is in effect.
    pub fn statuses(&self) -> Vec<(String, bool)> {
        self.lock().iter().map(|(name, entry)| (name.to_string(), entry.in_effect.is_some())).collect()
    }
}

/// How long to wait with news, as it may change once more.
fn delay(earlier: Option<&Entry>, verdict: &Verdict) -> Duration {
    let lacks_references = verdict.problems.iter().any(|problem| is_about_references(problem.slug));
    match earlier {
        Some(earlier) if earlier.verdict.generation == verdict.generation && earlier.verdict.uid == verdict.uid => {
            let is_unsaid = earlier.due.is_some();
            let is_same = earlier.verdict.problems == verdict.problems;
            if is_same || (is_unsaid && !lacks_references) { Duration::ZERO } else { FLIP }
        }
        _ if lacks_references => LATE,
        _ => Duration::ZERO,
    }
}

/// Why a status could not be written.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error("the API server refused the status")]
    Refused(#[source] kube::Error),
    #[error("no answer within {DEADLINE:?}")]
    TimedOut,
}

impl WriteError {
    /// The object is gone, or it is another one by now.
    fn is_final(&self) -> bool {
        matches!(self, Self::Refused(kube::Error::Api(status)) if matches!(status.code, 404 | 409))
    }
}

/// Writes what is on the board while `holding`, until shutdown.
pub async fn write(
    client: Client,
    class: String,
    board: Arc<Board>,
    mut holding: watch::Receiver<bool>,
    shutdown: CancellationToken,
) {
    let manager: String = format!("sluice/{class}").chars().take(128).collect();
    let mut under_way: JoinSet<(ObjectName, Result<RouteObject, WriteError>)> = JoinSet::new();
    let mut next_slot = Instant::now();
    loop {
        let is_holder = *holding.borrow_and_update();
        let now = Instant::now();
        let may_write = is_holder && under_way.len() < CONCURRENT && next_slot <= now;
        if let Some(job) = may_write.then(|| board.take(now)).flatten() {
            next_slot = now + PACE;
            under_way.spawn(apply(client.clone(), manager.clone(), job));
            continue;
        }
        let wake = board.next_due().filter(|_| is_holder && under_way.len() < CONCURRENT).map(|due| due.max(next_slot));
        tokio::select! {
            () = shutdown.cancelled() => return,
            changed = holding.changed() => match changed {
                Ok(()) if *holding.borrow() => board.review(Instant::now()),
                Ok(()) => {}
                Err(_) => return,
            },
            Some(done) = under_way.join_next() => settle(&board, done),
            () = board.changed.notified() => {}
            () = sleep_until(wake) => {}
        }
    }
}

/// Sleeps for ever without a time.
pub async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

type Done = Result<(ObjectName, Result<RouteObject, WriteError>), tokio::task::JoinError>;

fn settle(board: &Board, done: Done) {
    let Ok((name, outcome)) = done else {
        warn!("a status write ended abnormally");
        return;
    };
    match &outcome {
        Ok(_) => debug!(object = %name, "status written"),
        Err(error) if error.is_final() => debug!(object = %name, "status not written: the object has gone"),
        Err(error) => {
            let error = error as &dyn std::error::Error;
            warn!(object = %name, error, "cannot write a status; trying again later");
        }
    }
    board.done(&name, &outcome, Instant::now());
}

/// Server-side apply to the status alone. The uid makes it miss a newer object of the same name.
async fn apply(client: Client, manager: String, job: Job) -> (ObjectName, Result<RouteObject, WriteError>) {
    let Job { name, uid, status } = job;
    let api: Api<RouteObject> = Api::namespaced(client, &name.namespace);
    let body = json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": KIND,
        "metadata": {"name": name.name, "namespace": name.namespace, "uid": uid},
        "status": status,
    });
    let parameters = PatchParams::apply(&manager).force();
    let patch = Patch::Apply(&body);
    let request = api.patch_status(&name.name, &parameters, &patch);
    let outcome = match tokio::time::timeout(DEADLINE, request).await {
        Ok(answer) => answer.map_err(WriteError::Refused),
        Err(_) => Err(WriteError::TimedOut),
    };
    (name, outcome)
}

#[cfg(test)]
mod tests;
