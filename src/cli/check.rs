//! `sluice check`: is this configuration right?

use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::file::{self, LoadError};

use super::CliError;

/// Check configuration files: everything that is wrong, with line, column and what to write instead.
///
/// Exit code 0: right. 1: something is wrong. 2: could not be read.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// YAML files, or directories whose *.yaml files are joined.
    #[arg(required = true, value_name = "FILE|DIR")]
    files: Vec<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// If a file cannot be read.
pub fn run(args: &Args) -> Result<ExitCode, CliError> {
    let mut is_right = true;
    for path in &args.files {
        match file::load(path) {
            Ok(loaded) => {
                super::print_problems(&loaded.warnings);
                let gateway = &loaded.gateway;
                let rules: usize = gateway.routes.iter().map(|route| route.rules.len()).sum();
                println!(
                    "{}: right ({} listeners, {rules} rules, {} upstreams)",
                    path.display(),
                    gateway.listeners.len(),
                    gateway.upstreams.len()
                );
            }
            Err(LoadError::Wrong(problems)) => {
                is_right = false;
                super::print_problems(&problems);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(if is_right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
