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
//! A lost API server costs news, never traffic: the World stays as it was last seen, and a process that starts
//! meanwhile serves what another has kept on disk (`state`).

mod address;
mod change;
mod cluster;
mod event;
#[cfg(test)]
mod fake;
pub mod holdoff;
pub mod inspect;
mod keeping;
pub mod lease;
pub mod manifest;
mod newcomer;
mod object;
pub mod operator;
mod progress;
pub mod state;
pub mod status;
mod status_writer;
mod telling;
pub mod translate;
pub mod watch;
pub mod world;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, watch as newest};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

pub use self::cluster::{Cluster, client};
use self::holdoff::HoldOff;
use self::keeping::Keeping;
use self::newcomer::Newcomers;
use self::operator::{Operator, Report};
use self::progress::Progress;
use self::state::StateSettings;
use self::status_writer::{Board, sleep_until};
use self::translate::{OwnKind, Translator};
use self::watch::{Arrival, Watching};
use self::world::{Change, ClassSettings, Kind, Matter, Object, ObjectName, Own, Subject, Watched, World};
use crate::config::{Applied, Cidr, Gateway, Offer};
use crate::observe::metrics::ControlMetrics;

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
    /// Whether objects without a class are its own, too. None: yes for class `sluice`, else if the cluster says that
    /// the class is the default one.
    pub serve_unclassed: Option<bool>,
    /// Empty: all.
    pub namespaces: Vec<String>,
    /// Who we are among the holders of the Lease.
    pub pod_name: String,
    /// Where the Lease is.
    pub pod_namespace: String,
    /// The ConfigMap with the operator's file, if there is one.
    pub operator: Option<ObjectName>,
    /// Where pods of this cluster find the API server.
    pub api_server: Option<IpAddr>,
    /// Our own Service there, whose addresses are told in statuses.
    pub service: Option<String>,
    /// Where the last known state is kept for a restart without the API server.
    pub state_dir: Option<PathBuf>,
}

/// The class that also serves what names none.
const USUAL_CLASS: &str = "sluice";

impl ControllerSettings {
    fn class_settings(&self) -> ClassSettings {
        let serve_unclassed = self.serve_unclassed.unwrap_or(self.class == USUAL_CLASS);
        ClassSettings { class: self.class.clone(), serve_unclassed }
    }

    /// The IngressClass is looked at only where it decides something.
    fn watched(&self) -> Vec<Watched> {
        let mut watched = watch::everything(&self.namespaces);
        if self.serve_unclassed.is_none() && self.class != USUAL_CLASS {
            watched.push(Watched { kind: Kind::IngressClass, namespace: None });
        }
        if let Some(file) = &self.operator {
            watched.push(Watched { kind: Kind::ConfigMap, namespace: Some(file.namespace.clone()) });
        }
        watched
    }
}

/// The way to the data plane and back.
#[derive(Debug)]
pub struct DataPlane {
    /// What is to be served.
    pub offers: newest::Sender<Option<Offer>>,
    /// What is.
    pub applied: newest::Receiver<Applied>,
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
    /// At the start the operator's file is there and cannot be used.
    #[error("the operator's file in ConfigMap {0} is not used: what is wrong with it was logged")]
    OperatorFile(ObjectName),
    /// A part of the controller has ended by itself, which it never does unless it is broken.
    #[error("a task of the controller has ended: {0}")]
    TaskEnded(String),
    /// Nobody takes offers any more.
    #[error("the data plane has ended")]
    DataPlaneEnded,
}

/// Follows the cluster until `shutdown`: offers what is to be served, tells owners what is. From `retire` on it tells
/// nothing more and gives the Lease back: a process about to end takes no part in what the others prove.
///
/// # Errors
/// [`ControllerError`], when a part of it has ended; the cluster itself never is a reason.
pub async fn run(
    settings: ControllerSettings,
    Cluster { client, openings }: Cluster,
    data_plane: DataPlane,
    (metrics, report): (ControlMetrics, Report),
    retire: CancellationToken,
    shutdown: CancellationToken,
) -> Result<(), ControllerError> {
    let state = settings.state_dir.as_deref().map(|at| StateSettings::new(at, &settings.class, &settings.namespaces));
    let stored = keeping::stored(state.as_ref(), &metrics).await;
    let watched = settings.watched();
    let known: Vec<bool> = watched.iter().map(|part| stored.as_ref().is_some_and(|all| all.knows(part))).collect();
    let board = Arc::new(Board::default());
    let stop = retire.clone();
    let mut writers = telling::start(&settings, &client, &board, &metrics, &stop);
    let mut world = World::waiting_for(settings.class_settings(), watched.clone());
    world.own = Own {
        pod: Some(ObjectName::new(settings.pod_namespace.clone(), settings.pod_name.clone())),
        api_server: settings.api_server.map(Cidr::single),
    };
    let mut conductor = Conductor::new(world, data_plane.offers, board, metrics.clone());
    conductor.keeping.fall_back_to(stored);
    conductor.operator = settings.operator.clone().map(|name| Operator::new(name, report));

    let (sender, arrivals) = mpsc::channel(QUEUE);
    let in_touch = conductor.keeping.in_touch.clone();
    let mut names = BTreeMap::from([(Kind::IngressClass, settings.class)]);
    names.extend(settings.operator.map(|file| (Kind::ConfigMap, file.name)));
    let watching = Watching { client, openings, names, arrivals: sender, metrics: metrics.clone(), in_touch };
    let mut watches = JoinSet::new();
    for (part, is_known) in watched.into_iter().zip(known) {
        watches.spawn(watch::follow(watching.clone(), part, is_known));
    }
    drop(watching);
    if let Some(state) = state {
        watches.spawn(state::keep(state, conductor.keeping.subscribe(), metrics));
    }
    let outcome = tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        ended = watches.join_next() => Err(task_ended("watch", ended)),
        ended = ended_unasked(&mut writers, &retire) => Err(task_ended("status", ended)),
        outcome = conductor.conduct(arrivals, data_plane.applied) => outcome,
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
    /// None: there is no operator's file.
    operator: Option<Operator>,
    translator: Translator,
    holdoff: HoldOff,
    newcomers: Newcomers,
    progress: Progress,
    offers: newest::Sender<Option<Offer>>,
    board: Arc<Board>,
    number: u64,
    gateway: Option<Arc<Gateway>>,
    /// What is offered is what the API server says.
    is_known: bool,
    keeping: Keeping,
    metrics: ControlMetrics,
}

impl Conductor {
    fn new(world: World, offers: newest::Sender<Option<Offer>>, board: Arc<Board>, metrics: ControlMetrics) -> Self {
        Self {
            world,
            operator: None,
            translator: Translator::default(),
            holdoff: HoldOff::default(),
            newcomers: Newcomers::default(),
            progress: Progress::new(metrics.serving_seconds.clone()),
            offers,
            board,
            number: 0,
            gateway: None,
            is_known: false,
            keeping: Keeping::default(),
            metrics,
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
                () = sleep_until(self.keeping.fallback_due()) => self.serve_stored(),
                () = sleep_until(self.keeping.due()) => self.keeping.hand_over(&self.world, Instant::now()),
                () = sleep_until(self.progress.deadline()) => self.progress.tell_late(&self.world, &self.board),
                count = arrivals.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        return Err(ControllerError::TaskEnded("watch".to_owned()));
                    }
                    for arrival in batch.drain(..) {
                        self.take(arrival)?;
                    }
                }
            }
        }
    }

    /// Whether all is known that the first translation needs.
    fn is_complete(&self) -> bool {
        self.world.is_complete() && self.operator.as_ref().is_none_or(Operator::is_in_effect)
    }

    /// Takes a change into the World.
    fn take(&mut self, Arrival { change, at }: Arrival) -> Result<(), ControllerError> {
        let was_complete = self.is_complete();
        let kind = change.kind();
        let seen = seen(&change);
        let is_listed = matches!(change, Change::Listed(..));
        let is_new =
            |subject: &&Subject| subject.kind == OwnKind::GatewayRoute && self.world.route(&subject.name).is_none();
        let new: Vec<ObjectName> = seen.iter().filter(is_new).map(|subject| subject.name.clone()).collect();
        let matter = self.world.apply(change);
        if let Some(operator) = self.operator.as_mut().filter(|_| kind == Kind::ConfigMap) {
            operator.look(&mut self.world)?;
        }
        if was_complete {
            for name in new {
                self.newcomers.add(name, at);
            }
        }
        for subject in seen {
            let Some(object) = self.world.own_object(&subject) else { continue };
            if matter == Matter::Status || is_listed {
                self.board.refresh(object, at);
            } else {
                self.progress.arrived(subject, object.metadata().generation.unwrap_or_default(), at);
            }
        }
        if self.is_complete() && (matter == Matter::Translation || !was_complete) {
            self.holdoff.note(at);
            self.keeping.changed(Instant::now());
        }
        Ok(())
    }

    /// The API server has not answered in time: what an earlier process has seen is better than nothing.
    fn serve_stored(&mut self) {
        let Some(stored) = self.keeping.take_stored() else { return };
        let world = stored.fill(self.world.empty());
        // Without it hosts and servers would be anybody's that the operator gives to some.
        if self.operator.is_some() && world.file_in_effect().is_none() {
            return warn!("the last known state on disk is without the operator's file, and not used");
        }
        let gateway = translate::translate(&world).gateway;
        let age_seconds = stored.written.elapsed().unwrap_or_default().as_secs();
        let routes = gateway.routes.len();
        warn!(routes, age_seconds, "the API server does not answer; serving the last known state from disk");
        self.metrics.state_files.with_label_values(&["restored"]).inc();
        self.offer(gateway, Some(stored.written));
    }

    fn offer(&mut self, gateway: Arc<Gateway>, stale_since: Option<SystemTime>) {
        self.number += 1;
        self.gateway = Some(Arc::clone(&gateway));
        self.offers.send_replace(Some(Offer { number: self.number, gateway, stale_since }));
    }

    /// Translates, and offers what has come of it.
    fn act(&mut self) {
        let now = Instant::now();
        self.holdoff.acted(now);
        self.world.held = self.newcomers.settle(&self.world, now);
        let translation = self.translator.translate(&self.world);
        let is_new = self.gateway.as_ref().is_none_or(|gateway| !Arc::ptr_eq(gateway, &translation.gateway));
        if is_new {
            if !std::mem::replace(&mut self.is_known, true) {
                info!(routes = translation.gateway.routes.len(), "the cluster is known; offering what it says");
                self.keeping.take_stored();
            }
            self.offer(translation.gateway, None);
        }
        self.board.set_operators_addresses(self.world.operator.terms.cluster.addresses.as_deref(), now);
        let verdicts = translation.verdicts.iter().chain(&translation.policies);
        self.progress.judged(verdicts, self.number, &self.world, &self.board);
        self.progress.catch_up(&self.world, &self.board);
        debug!(number = self.number, is_new, held = self.world.held.len(), took = ?now.elapsed(), "translated");
    }
}

/// The objects with statuses that a change shows.
fn seen(change: &Change) -> Vec<Subject> {
    let subject = |object: &Object| {
        let kind = match object.kind() {
            Kind::GatewayRoute => OwnKind::GatewayRoute,
            Kind::GatewayPolicy => OwnKind::GatewayPolicy,
            _ => return None,
        };
        Some(Subject { kind, name: object.name() })
    };
    match change {
        Change::Applied(object) => subject(object).into_iter().collect(),
        Change::Listed(_, objects) => objects.iter().filter_map(subject).collect(),
        Change::Deleted(_) | Change::Lost(..) => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
