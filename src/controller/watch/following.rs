//! Follows one part of the cluster on kube-runtime's watcher, which lists, watches, and goes on where it was.
//!
//! What is added is what has to hold when something fails:
//!
//! - a list is gathered here and handed over whole, so one that breaks off half-way changes nothing, and no error
//!   of any kind ever empties what is known; a sudden empty list is doubted first (`doubt`);
//! - a watch that falls silent is noticed: the server is asked to end each watch after [`WATCH_SECONDS`], and 5 s
//!   later the watcher gives up waiting and connects anew (without listing). So a stalled connection hides changes
//!   for 65 s at most, and each watch costs the server one request a minute;
//! - after an error there is a pause that grows (`wait`), and nothing goes round without one (`opening`);
//! - a new list is asked for also where the watcher would try for ever: when the server refuses with 410 to begin
//!   a watch, when it stands before where we are (a restored backup), or refuses [`LIST_AFTER`] times in a row;
//! - an object that cannot be read costs itself only (`entry`).

use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use kube::{Api, Client};
use kube_runtime::watcher::{self, Config, Error, Event};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::doubt::{Belief, Doubt};
use super::entry::{Broken, Entry};
use super::failure::Failure;
use super::opening::Opening;
use super::report::Report;
use super::wait::{Wait, jittered};
use super::{Arrival, Selection, Watchable, stripped};
use crate::controller::object::ObjectName;
use crate::controller::world::{Change, Object, Watched};

/// How long one watch lasts. Kubernetes' own clients use minutes, which hides a stall as long.
const WATCH_SECONDS: u32 = 60;
/// A server that refuses so often in a row is asked for a new list.
const LIST_AFTER: u32 = 5;
/// How often a kind that need not exist is looked for again.
const ABSENT_AGAIN: Duration = Duration::from_mins(1);

/// What watches are made of, and where their changes go.
pub struct Following {
    client: Client,
    watched: Watched,
    selection: Selection,
    arrivals: mpsc::Sender<Arrival>,
    opening: Arc<Opening>,
    memory: Memory,
}

/// What outlasts one watcher.
#[derive(Debug)]
pub struct Memory {
    /// What operators are told.
    pub report: Report,
    /// What is thought of empty lists.
    pub doubt: Doubt,
    wait: Wait,
    has_listed: bool,
}

impl Memory {
    /// Nothing was asked yet. `doubt` knows whether something is served already.
    pub fn new(report: Report, doubt: Doubt) -> Self {
        Self { report, doubt, wait: Wait::default(), has_listed: false }
    }
}

/// A list that is under way.
#[derive(Debug, Default)]
struct Gathered {
    objects: Vec<Object>,
    broken: Vec<Broken>,
}

/// Why a watcher is given up.
enum End {
    /// Another one shall list anew, after this.
    Again(Duration),
    /// Nobody takes changes any more.
    Unheard,
}

impl Following {
    /// Follows what is selected of this part.
    pub fn new(
        client: Client,
        (watched, selection): (Watched, Selection),
        arrivals: mpsc::Sender<Arrival>,
        opening: Arc<Opening>,
        memory: Memory,
    ) -> Self {
        Self { client, watched, selection, arrivals, opening, memory }
    }

    /// Until nobody listens. Cancelled, it leaves nothing behind.
    pub async fn run<K: Watchable>(mut self) {
        let config = Config {
            label_selector: self.selection.labels.clone(),
            field_selector: self.selection.fields.clone(),
            ..Config::default()
        };
        let config = config.timeout(WATCH_SECONDS);
        loop {
            let api: Api<Entry<K>> = match &self.watched.namespace {
                Some(namespace) => Api::namespaced(self.client.clone(), namespace),
                None => Api::all(self.client.clone()),
            };
            let events = watcher::watcher(api, config.clone()).boxed();
            match self.take_all(events).await {
                End::Again(pause) => sleep(pause).await,
                End::Unheard => return,
            }
        }
    }

    /// Takes what one watcher tells until it is of no more use.
    async fn take_all<K: Watchable>(
        &mut self,
        mut events: impl Stream<Item = Result<Event<Entry<K>>, Error>> + Unpin,
    ) -> End {
        let mut gathered = Gathered::default();
        let mut refusals = 0;
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                () = self.opening.opened.notified() => {
                    self.memory.report.works();
                    continue;
                }
            };
            let end = match event {
                Some(Ok(event)) => {
                    refusals = 0;
                    self.take(event, &mut gathered).await
                }
                Some(Err(error)) => {
                    let failure = Failure::from(error);
                    refusals = if failure.is_answer() { refusals + 1 } else { 0 };
                    self.bear(&failure, refusals).await
                }
                None => Some(End::Again(Duration::ZERO)),
            };
            if let Some(end) = end {
                return end;
            }
        }
    }

    /// A list becomes one change when it is complete; before that it is nothing.
    async fn take<K: Watchable>(&mut self, event: Event<Entry<K>>, gathered: &mut Gathered) -> Option<End> {
        let memory = &mut self.memory;
        let kind = self.watched.kind;
        let change = match event {
            Event::Init => {
                *gathered = Gathered::default();
                return None;
            }
            Event::InitApply(Entry::Good(object)) => {
                gathered.objects.push(stripped(*object));
                return None;
            }
            Event::InitApply(Entry::Broken(broken)) => {
                gathered.broken.push(*broken);
                return None;
            }
            Event::InitDone => return self.take_list(std::mem::take(gathered)).await,
            Event::Apply(Entry::Good(object)) => {
                memory.doubt.seen();
                memory.report.settled(&ObjectName::of(object.meta()));
                Change::Applied(stripped(*object))
            }
            Event::Delete(Entry::Good(object)) => {
                memory.report.settled(&ObjectName::of(object.meta()));
                Change::Deleted(stripped(*object))
            }
            Event::Apply(Entry::Broken(broken)) => {
                memory.report.unreadable(&broken);
                Change::Lost(kind, broken.name())
            }
            Event::Delete(Entry::Broken(broken)) => {
                memory.report.settled(&broken.name());
                Change::Lost(kind, broken.name())
            }
        };
        self.send(change).await
    }

    async fn take_list(&mut self, Gathered { objects, broken }: Gathered) -> Option<End> {
        match self.memory.doubt.judge(objects.len() + broken.len()) {
            Belief::Believe => {
                self.memory.has_listed = true;
                self.memory.report.listed(objects.len(), &broken);
                self.send(Change::Listed(self.watched.clone(), objects)).await
            }
            Belief::AskAgain(pause) => {
                self.memory.report.doubted(pause);
                Some(End::Again(pause))
            }
        }
    }

    /// Waits after a failure, and gives the watcher up if only a new one helps.
    async fn bear(&mut self, failure: &Failure, refusals: u32) -> Option<End> {
        let memory = &mut self.memory;
        if self.selection.may_be_absent && !memory.has_listed && matches!(failure.code(), 403 | 404) {
            memory.report.absent(failure);
            let unheard = self.send(Change::Listed(self.watched.clone(), Vec::new())).await;
            return Some(unheard.unwrap_or(End::Again(jittered(ABSENT_AGAIN))));
        }
        let pause = memory.wait.after_error(Instant::now(), failure.asked_pause());
        memory.report.failed(failure, pause);
        if failure.is_forgotten() || refusals >= LIST_AFTER {
            return Some(End::Again(pause));
        }
        sleep(pause).await;
        None
    }

    async fn send(&self, change: Change) -> Option<End> {
        let sent = self.arrivals.send(Arrival { change, at: Instant::now() }).await;
        sent.is_err().then_some(End::Unheard)
    }
}

#[cfg(test)]
mod tests;
