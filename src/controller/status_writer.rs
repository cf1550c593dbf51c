//! Statuses on their way to the API server: by the Lease holder only, side by side, at a bounded rate.
//!
//! Everyone keeps a [`Board`]; the holder empties it here. So a new holder knows at once what is missing, and since
//! the board compares with what stands in the objects it writes nothing where nothing has changed.
//!
//! At most [`CONCURRENT`] requests are under way, one for an object, as fast as `pace` allows. When a write comes too
//! late (the object has moved on) the object comes back through its watch, is compared again, and written again:
//! wrong statuses do not last. An Event, if there is one, follows the write that it is about.

mod board;
mod failure;
mod pace;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

pub use self::board::Board;
use self::board::Job;
use self::failure::{DEADLINE, WriteError};
use self::pace::Pace;
use super::event::Announcement;
use super::translate::OwnKind;
use super::world::{PolicyObject, RouteObject, Subject};
use crate::crd::{GROUP, VERSION};
use crate::observe::metrics::ControlMetrics;

/// Requests under way at once.
const CONCURRENT: usize = 16;
/// Between two complaints about what has to do with single objects.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);
/// So long is waited for the addresses at the beginning, since every status names them.
const ADDRESSES_WITHIN: Duration = Duration::from_secs(5);

/// A status that was written and is worth an Event.
#[derive(Debug)]
pub struct Written {
    /// Which.
    pub subject: Subject,
    /// As the API server has it now.
    pub metadata: ObjectMeta,
    /// What to say.
    pub announcement: Announcement,
}

/// Writes what is on the board.
pub struct StatusWriter {
    client: Client,
    manager: String,
    board: Arc<Board>,
    metrics: ControlMetrics,
    events: mpsc::Sender<Written>,
    pace: Pace,
    under_way: JoinSet<Done>,
    complained: Option<Instant>,
}

/// What the API server answers to a write.
#[derive(Debug)]
pub struct Answered {
    metadata: ObjectMeta,
    status: Value,
}

struct Done {
    subject: Subject,
    announcement: Option<Announcement>,
    outcome: Result<Answered, WriteError>,
}

impl StatusWriter {
    /// For the objects of a class. What is worth an Event goes to `events`.
    pub fn new(
        client: Client,
        class: &str,
        board: Arc<Board>,
        metrics: ControlMetrics,
        events: mpsc::Sender<Written>,
    ) -> Self {
        let manager = format!("sluice/{class}").chars().take(128).collect();
        let pace = Pace::new(Instant::now());
        Self { client, manager, board, metrics, events, pace, under_way: JoinSet::new(), complained: None }
    }

    /// Writes while `holding`, until shutdown. `addresses_known` ends when it is known where clients reach us.
    pub async fn run(
        mut self,
        mut holding: watch::Receiver<bool>,
        addresses_known: CancellationToken,
        shutdown: CancellationToken,
    ) {
        tokio::select! {
            () = addresses_known.cancelled() => {}
            () = sleep(ADDRESSES_WITHIN) => {}
            () = shutdown.cancelled() => return,
        }
        loop {
            let is_holder = *holding.borrow_and_update();
            self.metrics.statuses_pending.set(if is_holder { count(self.board.pending()) } else { 0 });
            let wake = if is_holder { self.send() } else { None };
            tokio::select! {
                () = shutdown.cancelled() => return,
                changed = holding.changed() => match changed {
                    Ok(()) if *holding.borrow() => self.board.review(Instant::now()),
                    Ok(()) => {}
                    Err(_) => return,
                },
                Some(done) = self.under_way.join_next() => self.settle(done),
                () = self.board.changed.notified() => {}
                () = sleep_until(wake) => {}
            }
        }
    }

    /// Sends what may be sent now; returns when to look again.
    fn send(&mut self) -> Option<Instant> {
        while self.under_way.len() < CONCURRENT {
            let now = Instant::now();
            if self.pace.next() > now {
                return Some(self.pace.next());
            }
            let Some(job) = self.board.take(now) else { return self.board.next_due() };
            self.pace.wrote(now);
            self.under_way.spawn(apply(self.client.clone(), self.manager.clone(), job));
        }
        None
    }

    fn settle(&mut self, done: Result<Done, tokio::task::JoinError>) {
        let Ok(Done { subject, announcement, outcome }) = done else {
            warn!("a status write ended abnormally");
            return;
        };
        let now = Instant::now();
        match &outcome {
            Ok(answer) => {
                debug!(object = %subject, "status written");
                self.pace.worked();
                self.count("written");
                if let Some(announcement) = announcement {
                    let written = Written { subject: subject.clone(), metadata: answer.metadata.clone(), announcement };
                    if self.events.try_send(written).is_err() {
                        self.metrics.events.with_label_values(&["dropped"]).inc();
                    }
                }
            }
            Err(error) => {
                self.count(error.result());
                self.complain(&subject, error, now);
            }
        }
        self.board.done(&subject, &outcome, now);
    }

    /// One line for a pause, and now and then one for single objects: thousands may fail for one reason.
    fn complain(&mut self, subject: &Subject, failure: &WriteError, now: Instant) {
        let error = failure as &dyn std::error::Error;
        if failure.is_of_the_server() {
            if let Some(pause) = self.pace.failed(now, failure.asked_pause()) {
                warn!(object = %subject, error, ?pause, "cannot write statuses; trying again later");
            }
        } else if matches!(failure, WriteError::Gone) {
            debug!(object = %subject, "status not written: the object has gone");
        } else if self.complained.is_none_or(|at| now.duration_since(at) >= COMPLAIN_EVERY) {
            self.complained = Some(now);
            warn!(object = %subject, error, "cannot write a status; more of the kind may not be told");
        }
    }

    fn count(&self, result: &str) {
        self.metrics.status_writes.with_label_values(&[result]).inc();
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Sleeps for ever without a time.
pub async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Writes one status.
async fn apply(client: Client, manager: String, job: Job) -> Done {
    let outcome = match job.subject.kind {
        OwnKind::GatewayRoute => {
            let api: Api<RouteObject> = Api::namespaced(client, &job.subject.name.namespace);
            let written = patch(&api, &manager, &job).await;
            written.map(|RouteObject { metadata, status, .. }| Answered { metadata, status })
        }
        OwnKind::GatewayPolicy => {
            let api: Api<PolicyObject> = Api::namespaced(client, &job.subject.name.namespace);
            let written = patch(&api, &manager, &job).await;
            written.map(|PolicyObject { metadata, status, .. }| Answered { metadata, status })
        }
    };
    Done { subject: job.subject, announcement: job.announcement, outcome }
}

/// Server-side apply to the status alone. The uid makes it miss a newer object of the same name.
async fn patch<K>(api: &Api<K>, manager: &str, job: &Job) -> Result<K, WriteError>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    let name = &job.subject.name;
    let body = json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": job.subject.kind.as_str(),
        "metadata": {"name": name.name, "namespace": name.namespace, "uid": job.uid},
        "status": job.status,
    });
    let parameters = PatchParams::apply(manager).force();
    let patch = Patch::Apply(&body);
    let request = api.patch_status(&name.name, &parameters, &patch);
    timeout(DEADLINE, request).await.map_err(|_| WriteError::TimedOut)?.map_err(WriteError::from)
}

#[cfg(test)]
mod tests;
