//! Puts the parts together, starts them in order, and ends them in order.
//!
//! ```text
//! file (reload) ──┐                                   ┌── workers (server)
//!                 ├─ Offer ─> compile, swap, listen ──┤
//! controller ─────┘            └─ Applied ─> status   └── admin
//! ```
//!
//! Everything but the workers lives on one small runtime. The start is: metrics, workers, admin address,
//! source; ready with the first snapshot that serves. The end is told in [`crate::server`]. A part that ends
//! by itself, or panics, ends the process: what is half alive is worse than what is started anew.

pub mod reload;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::config::{Applied, Offer};
use crate::controller::{self, ControllerError, ControllerSettings, DataPlane};
use crate::observe::access_log::AccessLog;
use crate::observe::metrics::Metrics;
use crate::observe::tasks::Tasks;
use crate::proxy::Shared;
use crate::server::admin::{self, Admin};
use crate::server::listen::ListenError;
use crate::server::{Phase, Server};
use crate::snapshot::Published;
use crate::snapshot::apply::Applier;
use crate::snapshot::registry::Registry;
use crate::upstream::probe;
use crate::upstream::resolve::Resolver;

use reload::Reloader;

/// Longer than the controller takes to let its last writes end.
const TASKS_END_WITHIN: Duration = Duration::from_secs(8);

/// For the last lines of the access log, if their sink takes them.
const LOG_ENDS_WITHIN: Duration = Duration::from_secs(1);

/// How often a part of the keys of rate limits is looked at, whether they are as new.
const COLLECT_EVERY: Duration = Duration::from_secs(1);

/// What the command line decides. Needs a restart to change.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the configuration comes from.
    pub source: Source,
    /// Where `/livez /readyz /metrics /config` are.
    pub admin: SocketAddr,
    /// Threads that serve.
    pub workers: usize,
    /// The zone of the cluster that we run in, if it is known.
    pub zone: Option<String>,
    /// How long it goes on accepting after it was told to end.
    pub drain: Duration,
    /// How long after that moment it ends, whatever still runs.
    pub drain_deadline: Duration,
}

/// Where the configuration comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file, or a directory of files.
    File(PathBuf),
    /// The cluster we run in.
    Cluster(ControllerSettings),
}

/// Why it cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The configuration cannot be used; nothing was served yet.
    #[error(transparent)]
    Config(#[from] crate::config::file::LoadError),
    /// The cluster cannot be reached as it is set up.
    #[error("the controller ended")]
    Controller(#[source] Arc<ControllerError>),
    /// A port is taken, or not ours to take.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The admin address is taken.
    #[error("cannot listen on {address} for the admin address")]
    Admin {
        /// As asked for.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// Threads, signals.
    #[error("the system refuses what is needed to start")]
    System(#[from] std::io::Error),
    /// Two metrics with one name.
    #[error("the metrics cannot be set up")]
    Metrics(#[from] prometheus::Error),
    /// A part ended by itself.
    #[error("{0} ended by itself")]
    Ended(String),
}

/// Serves until it is told to end, and ends.
///
/// # Errors
/// [`AppError`] if it cannot start, or a part of it dies.
pub async fn run(settings: Settings) -> Result<(), AppError> {
    let signals = Signals::new()?;
    let mut app = App::start(settings).await?;
    let why = app.serve(signals).await;
    app.stop.cancel();
    // Each obeys at once, or hangs in something that is not worth waiting for.
    let App { tasks, log_writer, server, admin, .. } = app;
    let _ = tokio::time::timeout(TASKS_END_WITHIN, tasks.join()).await;
    // With the last who could log gone, the writer writes what waits and ends.
    drop((server, admin));
    let _ = tokio::time::timeout(LOG_ENDS_WITHIN, tokio::task::spawn_blocking(|| log_writer.join())).await;
    why
}

/// The running parts.
struct App {
    settings: Settings,
    server: Server,
    applier: Applier,
    offers: watch::Receiver<Option<Offer>>,
    applied: watch::Sender<Applied>,
    admin: Admin,
    failed: watch::Receiver<Option<Arc<ControllerError>>>,
    reload: Arc<tokio::sync::Notify>,
    log_writer: std::thread::JoinHandle<()>,
    tasks: Tasks,
    /// From the moment it was told to end.
    retire: CancellationToken,
    stop: CancellationToken,
}

impl App {
    async fn start(settings: Settings) -> Result<Self, AppError> {
        let metrics = Arc::new(Metrics::new(settings.workers)?);
        let registry = Arc::new(Registry::in_zone(Arc::clone(&metrics), settings.zone.clone()));
        let published = Arc::new(Published::default());
        let of_registry = Arc::clone(&registry);
        metrics.watch_backends(Box::new(move || of_registry.backends()));
        let (access_log, log_writer) =
            AccessLog::start(Box::new(std::io::stdout()), metrics.access_log_dropped.clone())?;
        let shared = Shared {
            published: Arc::clone(&published),
            metrics: Arc::clone(&metrics),
            access_log,
            resolver: Resolver::of_system(),
            is_draining: Arc::new(AtomicBool::new(false)),
        };
        let admin = Admin {
            published: Arc::clone(&published),
            metrics: Arc::clone(&metrics),
            is_ready: Arc::new(AtomicBool::new(false)),
            problems: Arc::new(ArcSwap::from_pointee(Vec::new())),
            stale_since: Arc::default(),
        };
        let (offering, offers) = watch::channel(None);
        let (applied, _) = watch::channel(Applied::default());
        let (failing, failed) = watch::channel(None);
        let mut app = Self {
            server: Server::start(settings.workers, &shared)?,
            applier: Applier::start(Arc::clone(&registry), published, metrics)?,
            settings,
            offers,
            applied,
            admin,
            failed,
            reload: Arc::default(),
            log_writer,
            tasks: Tasks::default(),
            retire: CancellationToken::new(),
            stop: CancellationToken::new(),
        };
        app.start_admin().await?;
        app.start_upkeep(&registry);
        app.start_source(offering, failing)?;
        Ok(app)
    }

    async fn start_admin(&mut self) -> Result<(), AppError> {
        let address = self.settings.admin;
        let socket = admin::bind(address).await.map_err(|source| AppError::Admin { address, source })?;
        tracing::info!(%address, "admin address");
        self.tasks.spawn("admin", self.admin.clone().serve(socket, self.stop.clone()));
        Ok(())
    }

    /// Probes of servers, and forgetting of clients that have not come for long.
    fn start_upkeep(&mut self, registry: &Arc<Registry>) {
        let probed = Arc::clone(registry);
        self.tasks.spawn("prober", probe::run(move || probed.probed(), self.stop.clone()));
        let (registry, stop) = (Arc::clone(registry), self.stop.clone());
        self.tasks.spawn("collector", async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(COLLECT_EVERY) => registry.collect(Instant::now()),
                    () = stop.cancelled() => return,
                }
            }
        });
    }

    fn start_source(
        &mut self,
        offers: watch::Sender<Option<Offer>>,
        failing: watch::Sender<Option<Arc<ControllerError>>>,
    ) -> Result<(), AppError> {
        match &self.settings.source {
            Source::File(path) => {
                let reloader = Reloader::start(path.clone(), offers, self.admin.clone())?;
                self.tasks.spawn("reload", reloader.watch(Arc::clone(&self.reload), self.stop.clone()));
            }
            Source::Cluster(cluster) => {
                let (cluster, data_plane) = (cluster.clone(), DataPlane { offers, applied: self.applied.subscribe() });
                let metrics = self.admin.metrics.control.clone();
                let (problems, error) = (Arc::clone(&self.admin.problems), self.admin.metrics.config_error.clone());
                let report = controller::operator::Report { problems, error };
                let (retire, stop) = (self.retire.clone(), self.stop.clone());
                self.tasks.spawn("controller", async move {
                    let result = match controller::client().await {
                        Ok(client) => {
                            controller::run(cluster, client, data_plane, (metrics, report), retire, stop).await
                        }
                        Err(error) => Err(error),
                    };
                    if let Err(error) = result {
                        failing.send_replace(Some(Arc::new(error)));
                    }
                });
            }
        }
        Ok(())
    }

    /// Until told to end, or a part dies.
    async fn serve(&mut self, mut signals: Signals) -> Result<(), AppError> {
        loop {
            tokio::select! {
                Ok(()) = self.offers.changed() => self.apply().await?,
                Some(worker) = self.server.worker_ended() => {
                    return Err(AppError::Ended(format!("worker {worker}")));
                }
                Some(ended) = self.tasks.next_ended() => return Err(self.part_ended(ended.name)),
                _ = signals.hangup.recv() => self.reload.notify_one(),
                _ = signals.terminate.recv() => return self.drain(self.settings.drain, signals).await,
                // From a terminal: whoever presses it wants it to end, and no balancer is in front.
                _ = signals.interrupt.recv() => return self.drain(Duration::ZERO, signals).await,
            }
        }
    }

    fn part_ended(&self, name: &str) -> AppError {
        match self.failed.borrow().clone() {
            Some(error) => AppError::Controller(error),
            None => AppError::Ended(format!("the task {name}")),
        }
    }

    async fn apply(&mut self) -> Result<(), AppError> {
        let Some(offer) = self.offers.borrow_and_update().clone() else { return Ok(()) };
        let began = Instant::now();
        self.applier.apply(&offer);
        let is_first = self.applied.borrow().number == 0;
        match self.server.listen(&offer.gateway.listeners).await {
            Ok(()) => {}
            Err(error) if is_first => return Err(error.into()),
            Err(error) => {
                tracing::error!(%error, source = std::error::Error::source(&error), "a listener is not open");
                self.admin.metrics.config_error.set(1);
            }
        }
        self.admin.stale_since.store(Arc::new(offer.stale_since));
        self.admin.is_ready.store(true, Ordering::Relaxed);
        self.applied.send_replace(Applied { number: offer.number });
        let (routes, upstreams) = (offer.gateway.routes.len(), offer.gateway.upstreams.len());
        tracing::info!(number = offer.number, routes, upstreams, micros = began.elapsed().as_micros(), "in effect");
        Ok(())
    }

    /// Ends: see [`crate::server`]. Configuration changes are obeyed while it still accepts.
    async fn drain(&mut self, accepting: Duration, mut signals: Signals) -> Result<(), AppError> {
        let began = tokio::time::Instant::now();
        tracing::info!(accepting_seconds = accepting.as_secs_f64(), "told to end");
        self.admin.is_ready.store(false, Ordering::Relaxed);
        self.retire.cancel();
        self.server.enter(Phase::Announcing);
        loop {
            tokio::select! {
                () = sleep_until(began + accepting) => break,
                _ = signals.terminate.recv() => return Ok(()),
                _ = signals.interrupt.recv() => return Ok(()),
                Ok(()) = self.offers.changed() => {
                    self.apply().await?;
                    self.admin.is_ready.store(false, Ordering::Relaxed);
                }
            }
        }
        self.server.enter(Phase::Closing);
        let deadline = began + self.settings.drain_deadline.max(accepting);
        for _ in 0..self.server.workers() {
            tokio::select! {
                ended = timeout_at(deadline, self.server.worker_ended()) => if ended.is_err() {
                    tracing::warn!("the drain deadline is over, ending what still runs");
                    break;
                },
                _ = signals.terminate.recv() => break,
                _ = signals.interrupt.recv() => break,
            }
        }
        tracing::info!(seconds = began.elapsed().as_secs_f64(), "ended");
        Ok(())
    }
}

/// The signals that mean something.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}
