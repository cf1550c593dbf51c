//! `sluice check`: is this configuration right?

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::config::Effect;
use crate::config::file::{self, Located};
use crate::controller::inspect::inspect;
use crate::controller::manifest::is_manifest;
use crate::controller::world::ClassSettings;

use super::CliError;

/// Check configuration files and Kubernetes manifests: everything that is wrong, with line, column and what to write instead
///
/// A file is a configuration of its own. Manifests (files with apiVersion and kind) are looked at all together, as a
/// cluster would have them, so give those of the Services too.
///
/// Exit code 0: right. 1: something is wrong. 2: something could not be read.
///
/// Examples:
///   sluice check sluice.yaml
///   sluice check /etc/sluice/
///   helm template shop | sluice check -
///   sluice check routes.yaml services.yaml
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// YAML files, or directories whose *.yaml files are joined; - is what comes in by standard input.
    #[arg(required = true, value_name = "FILE|DIR")]
    files: Vec<PathBuf>,
    /// The class of the objects that are checked (spec.ingressClassName), beside those without one.
    #[arg(long, env = "SLUICE_CLASS", default_value = "sluice")]
    class: String,
}

/// Texts, each with its name.
type Texts = Vec<(String, String)>;

/// Runs the command.
///
/// # Errors
/// None: what cannot be read is told, and the rest is checked all the same.
pub fn run(args: &Args) -> Result<ExitCode, CliError> {
    let mut is_right = true;
    let mut is_readable = true;
    let mut manifests = Texts::new();
    for path in &args.files {
        match super::read_texts(path) {
            Ok(texts) if texts.iter().all(|(_, text)| is_manifest(text)) => manifests.extend(texts),
            Ok(texts) => is_right &= check_configuration(path, &texts),
            Err(error) => {
                is_readable = false;
                eprintln!("{}: cannot be read: {error}", path.display());
            }
        }
    }
    if !manifests.is_empty() {
        is_right &= check_manifests(&manifests, &args.class);
    }
    Ok(match (is_readable, is_right) {
        (true, true) => ExitCode::SUCCESS,
        (true, false) => ExitCode::FAILURE,
        (false, _) => ExitCode::from(2),
    })
}

/// Whether it could be served.
fn check_configuration(path: &Path, texts: &Texts) -> bool {
    match file::parse(texts) {
        Ok(loaded) => {
            super::print_problems(&loaded.warnings);
            let gateway = &loaded.gateway;
            let rules: usize = gateway.routes.iter().map(|route| route.rules.len()).sum();
            let (listeners, upstreams) = (gateway.listeners.len(), gateway.upstreams.len());
            println!("{}: right ({listeners} listeners, {rules} rules, {upstreams} upstreams)", path.display());
            true
        }
        Err(problems) => {
            super::print_problems(&problems);
            false
        }
    }
}

/// Whether all of it could be served as written.
fn check_manifests(texts: &Texts, class: &str) -> bool {
    let class = ClassSettings { class: class.to_owned(), serve_unclassed: true };
    let inspection = inspect(texts, class);
    super::print_problems(&inspection.problems);
    if inspection.of_other_classes > 0 {
        eprintln!("{} GatewayRoutes are of another class and were not checked", inspection.of_other_classes);
    }
    let is_wrong = |found: &Located| found.problem.effect != Effect::Warning;
    let is_right = !inspection.problems.iter().any(is_wrong);
    if is_right {
        println!("manifests: right ({} GatewayRoutes in {} files)", inspection.objects, texts.len());
    }
    is_right
}
