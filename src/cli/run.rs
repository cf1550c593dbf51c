//! `sluice run`: serve.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use crate::app::{self, AppError, Settings, Source};
use crate::config::file::LoadError;
use crate::config::units::{DurationError, parse_duration};
use crate::controller::ControllerSettings;
use crate::controller::world::ObjectName;

use super::{CliError, LogFormat};

/// Serve: in a cluster what GatewayRoute objects say, with --config what a file says.
///
/// A change of the file is picked up within two seconds, with SIGHUP at once. SIGTERM ends it: it goes on
/// accepting for --drain while telling clients to go, then finishes what runs, at the latest at
/// --drain-deadline. Ctrl-C finishes what runs. A second signal ends it at once.
#[derive(Clone, Debug, clap::Args)]
#[command(after_long_help = MORE)]
pub struct Args {
    /// The YAML file to serve, or a directory whose *.yaml files are joined. In a cluster configmap/NAME (of the own
    /// namespace) or configmap/NAMESPACE/NAME: the operator's file, which is served together with the objects.
    #[arg(long, env = "SLUICE_CONFIG", value_name = "FILE|DIR|configmap/NAME")]
    pub config: Option<PathBuf>,
    /// Where /livez, /readyz, /metrics and /config are.
    #[arg(long, env = "SLUICE_ADMIN", value_name = "ADDR", default_value = "127.0.0.1:9901")]
    pub admin: SocketAddr,
    /// Threads that serve. Default: one a core that this process may use.
    #[arg(long, env = "SLUICE_WORKERS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: Option<u16>,
    /// The zone it runs in, for loadBalancer.zone: in a cluster the label topology.kubernetes.io/zone of its node.
    #[arg(long, env = "SLUICE_ZONE", value_name = "ZONE", default_value = "", hide_default_value = true)]
    pub zone: String,
    /// How long it goes on accepting after SIGTERM.
    #[arg(long, env = "SLUICE_DRAIN", value_name = "DURATION", default_value = "20s", value_parser = duration)]
    pub drain: Duration,
    /// When it ends after SIGTERM, whatever still runs.
    #[arg(long, env = "SLUICE_DRAIN_DEADLINE", value_name = "DURATION", default_value = "25s", value_parser = duration)]
    pub drain_deadline: Duration,
    /// The class of the objects it serves (spec.ingressClassName).
    #[arg(long, env = "SLUICE_CLASS", default_value = "sluice")]
    pub class: String,
    /// Whether it serves objects without a class. Default: for class sluice, and for the cluster's default IngressClass.
    #[arg(long, env = "SLUICE_SERVE_UNCLASSED", value_name = "BOOL", action = clap::ArgAction::Set)]
    pub serve_unclassed: Option<bool>,
    /// Only these namespaces. Default: all.
    #[arg(long, env = "SLUICE_WATCH_NAMESPACE", value_name = "NAMESPACE", value_delimiter = ',')]
    pub watch_namespace: Vec<String>,
    /// Its own Service, in its own namespace: the addresses of its load balancer are told in the status of objects.
    #[arg(long, env = "SLUICE_SERVICE", value_name = "NAME")]
    pub service: Option<String>,
    /// A directory where the last known state of the cluster is kept, to be served after a restart while the API server
    /// is away. Default: none is kept.
    #[arg(long, env = "SLUICE_STATE_DIR", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// How the process logs about itself.
    #[arg(long, env = "SLUICE_LOG_FORMAT", value_enum, default_value = "json")]
    pub log_format: LogFormat,
}

/// Stands before the name of a ConfigMap.
const CONFIG_MAP: &str = "configmap/";

const MORE: &str = "Examples:
  sluice run --config sluice.yaml
  sluice run --config /etc/sluice/ --admin 0.0.0.0:9901 --workers 4
  sluice run --config configmap/sluice
  SLUICE_CONFIG=sluice.yaml SLUICE_LOG_FORMAT=text sluice run

Durations are written 500ms, 30s, 1m30s, 2h. SLUICE_LOG sets what is logged: error, warn, info (the default), debug,
or by part, as in info,sluice::controller=debug. Logs go to stderr, the access log to stdout.

Exit code 0: it was told to end. 1: it could not go on. 2: what it was given cannot be used.";

fn duration(text: &str) -> Result<Duration, DurationError> {
    parse_duration(text)
}

/// Runs the command.
///
/// # Errors
/// If it cannot start, or dies.
pub fn run(args: Args) -> Result<ExitCode, CliError> {
    super::start_logging(args.log_format, "info");
    serve(args)
}

/// Serves on a small runtime of its own; workers have theirs.
pub(super) fn serve(args: Args) -> Result<ExitCode, CliError> {
    let settings = settings(args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(8)
        .thread_name("control")
        .enable_all()
        .build()?;
    let result = runtime.block_on(app::run(settings));
    // What is still in a blocking call (a name look-up) is not waited for.
    runtime.shutdown_background();
    match result {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            if let AppError::Config(LoadError::Wrong(problems)) = &error {
                super::print_problems(problems);
            }
            Err(error.into())
        }
    }
}

fn settings(args: Args) -> Result<Settings, CliError> {
    let workers = match args.workers {
        Some(workers) => usize::from(workers),
        None => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
    };
    let pod_namespace = std::env::var("POD_NAMESPACE").unwrap_or_else(|_| "default".into());
    let operator = match args.config.as_deref().and_then(Path::to_str).and_then(|text| text.strip_prefix(CONFIG_MAP)) {
        Some(name) => Some(config_map(name, &pod_namespace)?),
        None => None,
    };
    let source = match args.config {
        Some(path) if operator.is_none() => Source::File(path),
        _ if is_in_cluster() => Source::Cluster(ControllerSettings {
            operator,
            serve_unclassed: args.serve_unclassed,
            class: args.class,
            namespaces: args.watch_namespace,
            pod_name: own_name(),
            api_server: std::env::var("KUBERNETES_SERVICE_HOST").ok().and_then(|address| address.parse().ok()),
            pod_namespace,
            service: args.service,
            state_dir: args.state_dir,
        }),
        Some(_) => return Err(CliError::Usage("a ConfigMap can be read in a cluster only".into())),
        None => return Err(CliError::Usage(WHAT_TO_DO.into())),
    };
    Ok(Settings {
        source,
        admin: args.admin,
        workers,
        // An empty one is what a pod has whose node tells none.
        zone: Some(args.zone).filter(|zone| !zone.is_empty()),
        drain: args.drain,
        drain_deadline: args.drain_deadline,
    })
}

/// `NAME` of the own namespace, or `NAMESPACE/NAME`.
fn config_map(name: &str, own: &str) -> Result<ObjectName, CliError> {
    let (namespace, name) = name.split_once('/').unwrap_or((own, name));
    if namespace.is_empty() || name.is_empty() || name.contains('/') {
        return Err(CliError::Usage("write --config configmap/NAME or configmap/NAMESPACE/NAME".into()));
    }
    Ok(ObjectName::new(namespace, name))
}

/// Kubernetes sets it in every pod; a kubeconfig named on purpose means the same.
fn is_in_cluster() -> bool {
    std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() || std::env::var_os("KUBECONFIG").is_some()
}

/// The pod's name, or what is as unique.
fn own_name() -> String {
    let named = std::env::var("POD_NAME").or_else(|_| std::env::var("HOSTNAME"));
    named.unwrap_or_else(|_| format!("sluice-{}", std::process::id()))
}

const WHAT_TO_DO: &str =
    "there is nothing to serve: this is no pod of a cluster, KUBECONFIG is not set, and no file was named

  serve a file:    sluice run --config sluice.yaml
  see it work:     sluice demo
  in a cluster:    helm install sluice charts/sluice";
