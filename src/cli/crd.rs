//! `sluice crd`: the definitions that the cluster needs.

use std::io::Write;
use std::process::ExitCode;

use super::CliError;

/// Print the CustomResourceDefinitions, for kubectl apply.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
///
/// # Errors
/// If it cannot be printed.
pub fn run(_: &Args) -> Result<ExitCode, CliError> {
    for (_, definition) in crate::crd::all() {
        let text = crate::crd::to_yaml(&definition).map_err(std::io::Error::other)?;
        std::io::stdout().write_all(format!("---\n{text}").as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}
