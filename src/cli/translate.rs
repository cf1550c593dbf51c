//! `sluice translate`: what do these objects become?
//!
//! The very code that a cluster's objects go through, on manifests, so that any report can be replayed from YAML: what
//! `kubectl get -o yaml` prints may be given as it is.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::ValueEnum;
use serde::Serialize;
use serde_json::Value;

use crate::config::{Effect, Gateway};
use crate::controller::manifest::{ManifestError, read_into};
use crate::controller::translate::{Translation, Verdict, translate};
use crate::controller::world::{ClassSettings, World};

use super::CliError;

/// Print what Kubernetes objects become: the Gateway as /config shows it, and what is told to each object's owner
///
/// All files together are one cluster: give the Services and EndpointSlices too, or backends answer 500 as they would.
/// Kinds that do not count are passed over; lists, as kubectl prints them, are taken apart.
///
/// Exit code 0: everything is served as written. 1: something is wrong. 2: something could not be read.
///
/// Examples:
///   sluice translate -f routes.yaml -f services.yaml
///   kubectl get gatewayroutes,services,endpointslices -A -o yaml | sluice translate -f -
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// YAML files, or directories whose *.yaml files are taken; - is what comes in by standard input.
    #[arg(short = 'f', long = "file", required = true, num_args = 1.., value_name = "FILE|DIR")]
    files: Vec<PathBuf>,
    /// The operator's file: whose hosts are whose, which servers objects may name.
    #[arg(long, env = "SLUICE_CONFIG", value_name = "FILE|DIR")]
    config: Option<PathBuf>,
    /// The class of the objects that are served (spec.ingressClassName), beside those without one.
    #[arg(long, env = "SLUICE_CLASS", default_value = "sluice")]
    class: String,
    /// How to print.
    #[arg(short, long, value_enum, default_value = "yaml")]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Yaml,
    Json,
}

/// What is printed.
#[derive(Serialize)]
struct Report<'a> {
    gateway: &'a Gateway,
    verdicts: &'a [Arc<Verdict>],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    policies: &'a [Arc<Verdict>],
}

/// Runs the command.
///
/// # Errors
/// If the operator's file cannot be used. What else cannot be read is told, and the rest is translated all the same.
pub fn run(args: &Args) -> Result<ExitCode, CliError> {
    let class = ClassSettings { class: args.class.clone(), serve_unclassed: true };
    let mut world = World::waiting_for(class, []);
    if let Some(path) = &args.config {
        let loaded = super::load(path)?;
        super::print_problems(&loaded.warnings);
        world.operator = Arc::new(loaded.into());
    }
    let mut is_readable = true;
    for path in &args.files {
        is_readable &= read_all(path, &mut world);
    }
    let translation = translate(&world);
    let Translation { gateway, verdicts, policies } = &translation;
    print(&Report { gateway, verdicts, policies }, args.output)?;
    let mut problems = policies.iter().chain(verdicts).flat_map(|verdict| &verdict.problems);
    let is_right = problems.all(|problem| problem.effect == Effect::Warning);
    Ok(match (is_readable, is_right) {
        (true, true) => ExitCode::SUCCESS,
        (true, false) => ExitCode::FAILURE,
        (false, _) => ExitCode::from(2),
    })
}

/// Whether all of it could be read.
fn read_all(path: &Path, world: &mut World) -> bool {
    let texts = match super::read_texts(path) {
        Ok(texts) => texts,
        Err(error) => {
            tell(path.display(), &error);
            return false;
        }
    };
    let mut is_readable = true;
    for (name, text) in texts {
        for error in read_into(world, &text) {
            is_readable = false;
            tell(name.as_str(), &error);
        }
    }
    is_readable
}

fn tell(name: impl fmt::Display, error: &(dyn std::error::Error + 'static)) {
    let source = error.source().map(|source| format!(": {source}")).unwrap_or_default();
    let what = if error.is::<ManifestError>() { "" } else { "cannot be read: " };
    eprintln!("{name}: {what}{error}{source}");
}

fn print(report: &Report<'_>, output: Output) -> std::io::Result<()> {
    // By way of JSON: YAML has a notation of its own for choices, which nobody else shows.
    let value: Value = serde_json::to_value(report).map_err(std::io::Error::other)?;
    let text = match output {
        Output::Yaml => serde_yaml::to_string(&value).map_err(std::io::Error::other)?,
        Output::Json => format!("{value:#}\n"),
    };
    super::print_out(&text)
}
