//! Kubernetes in, Gateway out, status back.
//!
//! ```text
//! watch ─▶ world ─▶ holdoff, newcomer ─▶ translate ─▶ Offer ─▶ (data plane) ─▶ Applied ─▶ status ─▶ status_writer
//!                                                                                              lease ─┘
//! ```
//!
//! [`run`] is the one loop between them. Always holds:
//! - the first translation waits until every watch has listed; afterwards an empty World is obeyed;
//! - nothing here waits for the data plane or the API server before it takes the next change: an offer is
//!   put down for whoever looks, statuses are put on a board;
//! - a status says "in effect" only after an `Applied` that is not older than the offer which had it first.
//!
//! A lost API server costs news, never traffic: the World stays as it was last seen.

mod change;
pub mod holdoff;
pub mod inspect;
pub mod lease;
pub mod manifest;
mod newcomer;
mod object;
pub mod operator;
mod progress;
pub mod status;
mod status_writer;
pub mod translate;
pub mod watch;
pub mod world;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::{mpsc, watch as newest};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use self::holdoff::HoldOff;
use self::lease::LeaseSettings;
use self::newcomer::Newcomers;
use self::progress::Progress;
use self::status_writer::{Board, sleep_until};
use self::translate::Translator;
use self::watch::Arrival;
use self::world::{Change, ClassSettings, Matter, Object, ObjectName, Own, World};
use crate::config::{Applied, Cidr, Gateway, Offer};

/// Changes between the watches and the loop; when it is full the watches wait.
const QUEUE: usize = 1024;
/// Changes taken in one step, so that due work is looked at in between.
const BATCH: usize = 256;
/// For giving back the lease.
const STOP_WITHIN: Duration = Duration::from_secs(6);

/// Which cluster objects are served, and who we are.
#[derive(Clone, Debug)]
pub struct ControllerSettings {
    /// The class of this instance; also in the name of its Lease.
    pub class: String,
    /// Whether objects without a class are its own, too.
    pub serve_unclassed: bool,
    /// Empty: all.
    pub namespaces: Vec<String>,
    /// Who we are among the holders of the Lease.
    pub pod_name: String,
    /// Where the Lease is.
    pub pod_namespace: String,
    /// Where pods of this cluster find the API server.
    pub api_server: Option<IpAddr>,
}

/// Why the controller cannot begin, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// Neither a cluster around us nor a kubeconfig.
    #[error("no way to a cluster: neither inside one nor a usable kubeconfig")]
    NoCluster(#[source] Box<kube::config::InferConfigError>),
    /// Certificates or proxies that cannot be used.
    #[error("cannot make a client for the cluster")]
    Client(#[source] Box<kube::Error>),
    /// A part of the controller has ended by itself, which it never does unless it is broken.
    #[error("a task of the controller has ended: {0}")]
    TaskEnded(String),
    /// Nobody takes offers any more.
    #[error("the data plane has ended")]
    DataPlaneEnded,
}

/// A client for the cluster we are in, or that of the kubeconfig.
///
/// Reads give up after 75 s: longer than a watch is silent (65 s, see `watch`), so that only connections that are dead
/// or stalled meet it.
///
/// # Errors
/// [`ControllerError::NoCluster`] or [`ControllerError::Client`]. The API server need not answer.
pub async fn client() -> Result<Client, ControllerError> {
    let mut config = kube::Config::infer().await.map_err(|error| ControllerError::NoCluster(Box::new(error)))?;
    config.connect_timeout = Some(Duration::from_secs(5));
    config.read_timeout = Some(Duration::from_secs(75));
    config.reset_reader_on_write = true;
    config.write_timeout = Some(Duration::from_secs(30));
    Client::try_from(config).map_err(|error| ControllerError::Client(Box::new(error)))
}

/// Follows the cluster until `shutdown`: offers what is to be served, tells owners what is. From `retire` on it tells
/// nothing more and gives the Lease back: a process about to end takes no part in what the others prove.
///
/// # Errors
/// [`ControllerError`], when a part of it has ended; the cluster itself never is a reason.
pub async fn run(
    settings: ControllerSettings,
    client: Client,
    offers: newest::Sender<Option<Offer>>,
    applied: newest::Receiver<Applied>,
    retire: CancellationToken,
    shutdown: CancellationToken,
) -> Result<(), ControllerError> {
    let (sender, arrivals) = mpsc::channel(QUEUE);
    let watched = watch::everything(&settings.namespaces);
    let mut watches = JoinSet::new();
    for part in &watched {
        watches.spawn(watch::follow(client.clone(), part.clone(), sender.clone()));
    }
    drop(sender);

    let board = Arc::new(Board::default());
    let (holding, is_holder) = newest::channel(false);
    let stop = retire.clone();
    let mut writers = JoinSet::new();
    writers.spawn(lease::hold(client.clone(), lease_settings(&settings), holding, stop.clone()));
    writers.spawn(status_writer::write(client, settings.class.clone(), Arc::clone(&board), is_holder, stop.clone()));

    let class = ClassSettings { class: settings.class, serve_unclassed: settings.serve_unclassed };
    let own = Own {
        pod: Some(ObjectName::new(settings.pod_namespace.clone(), settings.pod_name.clone())),
        api_server: settings.api_server.map(Cidr::single),
    };
    let mut world = World::waiting_for(class, watched);
    world.own = own;
    let mut conductor = Conductor::new(world, offers, board);
    let outcome = tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        ended = watches.join_next() => Err(task_ended("watch", ended)),
        ended = ended_unasked(&mut writers, &retire) => Err(task_ended("status", ended)),
        outcome = conductor.conduct(arrivals, applied) => outcome,
    };
    stop.cancel();
    let all_stopped = async { while writers.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_WITHIN, all_stopped).await.is_err() {
        debug!("the lease could not be given back in time");
    }
    outcome
}

/// Waits until one of them ends although nobody has asked it to.
async fn ended_unasked(
    writers: &mut JoinSet<()>,
    retire: &CancellationToken,
) -> Option<Result<(), tokio::task::JoinError>> {
    loop {
        let ended = writers.join_next().await;
        if !retire.is_cancelled() {
            return ended;
        }
        if ended.is_none() {
            return std::future::pending().await;
        }
    }
}

fn lease_settings(settings: &ControllerSettings) -> LeaseSettings {
    LeaseSettings {
        name: format!("sluice-{}", settings.class),
        namespace: settings.pod_namespace.clone(),
        identity: settings.pod_name.clone(),
    }
}

fn task_ended(name: &str, ended: Option<Result<(), tokio::task::JoinError>>) -> ControllerError {
    let why = match ended {
        Some(Err(error)) => format!("{name}: {error}"),
        _ => name.to_owned(),
    };
    ControllerError::TaskEnded(why)
}

/// The loop and what it remembers.
struct Conductor {
    world: World,
    translator: Translator,
    holdoff: HoldOff,
    newcomers: Newcomers,
    progress: Progress,
    offers: newest::Sender<Option<Offer>>,
    board: Arc<Board>,
    number: u64,
    gateway: Option<Arc<Gateway>>,
}

impl Conductor {
    fn new(world: World, offers: newest::Sender<Option<Offer>>, board: Arc<Board>) -> Self {
        Self {
            world,
            translator: Translator::default(),
            holdoff: HoldOff::default(),
            newcomers: Newcomers::default(),
            progress: Progress::default(),
            offers,
            board,
            number: 0,
            gateway: None,
        }
    }

    async fn conduct(
        &mut self,
        mut arrivals: mpsc::Receiver<Arrival>,
        mut applied: newest::Receiver<Applied>,
    ) -> Result<(), ControllerError> {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            // What is due stands before what arrives: a storm of changes cannot keep it from happening.
            tokio::select! {
                biased;
                () = sleep_until(self.holdoff.due()) => self.act(),
                changed = applied.changed() => {
                    changed.map_err(|_| ControllerError::DataPlaneEnded)?;
                    let number = applied.borrow_and_update().number;
                    self.progress.applied(number, &self.world, &self.board);
                }
                () = sleep_until(self.newcomers.deadline()) => self.act(),
                () = sleep_until(self.progress.deadline()) => self.progress.tell_late(&self.world, &self.board),
                count = arrivals.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        return Err(ControllerError::TaskEnded("watch".to_owned()));
                    }
                    for arrival in batch.drain(..) {
                        self.take(arrival);
                    }
                }
            }
        }
    }

    /// Takes a change into the World.
    fn take(&mut self, Arrival { change, at }: Arrival) {
        let was_complete = self.world.is_complete();
        let seen = seen_routes(&change);
        let is_listed = matches!(change, Change::Listed(..));
        let new: Vec<ObjectName> = seen.iter().filter(|name| self.world.route(name).is_none()).cloned().collect();
        let matter = self.world.apply(change);
        if was_complete {
            for name in new {
                self.newcomers.add(name, at);
            }
        }
        for name in &seen {
            let Some(object) = self.world.route(name) else { continue };
            if matter == Matter::Status || is_listed {
                self.board.refresh(object, at);
            } else {
                self.progress.arrived(name, object.metadata.generation.unwrap_or_default(), at);
            }
        }
        if self.world.is_complete() && (matter == Matter::Translation || !was_complete) {
            self.holdoff.note(at);
        }
    }

    /// Translates, and offers what has come of it.
    fn act(&mut self) {
        let now = Instant::now();
        self.holdoff.acted(now);
        self.world.held = self.newcomers.settle(&self.world, now);
        let translation = self.translator.translate(&self.world);
        let is_new = self.gateway.as_ref().is_none_or(|gateway| !Arc::ptr_eq(gateway, &translation.gateway));
        if is_new {
            if self.gateway.is_none() {
                info!(routes = translation.gateway.routes.len(), "the cluster is known; offering the first gateway");
            }
            self.number += 1;
            self.gateway = Some(Arc::clone(&translation.gateway));
            self.offers.send_replace(Some(Offer { number: self.number, gateway: translation.gateway }));
        }
        self.progress.judged(&translation.verdicts, self.number, &self.world, &self.board);
        self.progress.catch_up(&self.world, &self.board);
        debug!(number = self.number, is_new, held = self.world.held.len(), took = ?now.elapsed(), "translated");
    }
}

/// The `GatewayRoute`s that a change shows.
fn seen_routes(change: &Change) -> Vec<ObjectName> {
    let name = |object: &Object| match object {
        Object::GatewayRoute(object) => Some(object.name()),
        _ => None,
    };
    match change {
        Change::Applied(object) => name(object).into_iter().collect(),
        Change::Listed(_, objects) => objects.iter().filter_map(name).collect(),
        Change::Deleted(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
