//! The commands, one file each.

mod ask;
pub mod check;
pub mod completions;
pub mod crd;
pub mod demo;
pub mod dump;
pub mod explain;
pub mod probe;
pub mod run;
pub mod translate;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;

use crate::app::AppError;
use crate::config::file::{self, LoadError};
use crate::controller::ControllerError;

/// Sluice: an ingress controller for Kubernetes, and the HTTP proxy that it steers, in one process.
///
/// In a cluster it serves what GatewayRoute objects say; outside, what a YAML file says.
#[derive(Debug, Parser)]
#[command(name = "sluice", version, after_help = FIRST_STEPS)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const FIRST_STEPS: &str = "First steps:
  sluice demo                                             three small servers and the proxy in front of them
  sluice check sluice.yaml                                what is wrong with a file, and where
  sluice run --config sluice.yaml                         serve it, on port 9000 if it names no other
  sluice explain localhost:9000/api --config sluice.yaml  which rule answers a request, and why
  sluice translate -f objects.yaml                        what objects of a cluster become

The least file that serves:
  routes:
    - path: /api
      backends: [http://localhost:8081]";

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Check(check::Args),
    Explain(explain::Args),
    Translate(translate::Args),
    Dump(dump::Args),
    Probe(probe::Args),
    Crd(crd::Args),
    Demo(demo::Args),
    Completions(completions::Args),
}

/// How the process logs about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// What serves cannot start or go on.
    #[error(transparent)]
    App(#[from] AppError),
    /// The configuration cannot be used.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The arguments cannot be used.
    #[error("{0}")]
    Usage(String),
    /// Files, threads, output.
    #[error(transparent)]
    System(#[from] std::io::Error),
}

impl CliError {
    /// 2: what was given cannot be used. 1: everything else.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Load(_) | Self::Usage(_) | Self::App(AppError::Config(_)) => ExitCode::from(2),
            Self::App(AppError::Controller(error)) if matches!(**error, ControllerError::OperatorFile(_)) => {
                ExitCode::from(2)
            }
            Self::App(_) | Self::System(_) => ExitCode::FAILURE,
        }
    }
}

/// Runs a command.
///
/// # Errors
/// [`CliError`], to be shown with its sources.
pub fn run(cli: Cli) -> Result<ExitCode, CliError> {
    match cli.command {
        Command::Run(args) => run::run(args),
        Command::Check(args) => check::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Translate(args) => translate::run(&args),
        Command::Dump(args) => dump::run(&args),
        Command::Probe(args) => probe::run(&args),
        Command::Crd(args) => crd::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Completions(args) => completions::run(&args),
    }
}

/// Logs go to stderr: stdout is for the access log and for what commands print.
fn start_logging(format: LogFormat, default_level: &str) {
    let filter = EnvFilter::try_from_env("SLUICE_LOG").unwrap_or_else(|_| {
        // The client of the API server calls each failed request an error; whoever asked says what became of it.
        EnvFilter::new(format!("{default_level},kube_client=off"))
    });
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Json => logs.json().flatten_event(true).init(),
        LogFormat::Text => logs.with_target(false).init(),
    }
}

/// Texts, each with its name: of a file, of the `*.yaml` of a directory, or of standard input.
fn read_texts(path: &Path) -> std::io::Result<Vec<(String, String)>> {
    if path == Path::new("-") {
        let mut texts = file::read(Path::new("/dev/stdin"))?;
        for (name, _) in &mut texts {
            "(standard input)".clone_into(name);
        }
        return Ok(texts);
    }
    file::read(path)
}

/// A configuration; what is wrong with it has been printed.
fn load(path: &Path) -> Result<file::Loaded, LoadError> {
    let loaded = file::load(path);
    if let Err(LoadError::Wrong(problems)) = &loaded {
        print_problems(problems);
    }
    loaded
}

/// What a command has to say. Whoever reads only the beginning of it (`| head`) has what they want.
fn print_out(text: &str) -> std::io::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// The problems of a file, one a line, for people and editors.
fn print_problems(problems: &[crate::config::file::Located]) {
    for problem in problems {
        eprintln!("{problem}");
    }
}
