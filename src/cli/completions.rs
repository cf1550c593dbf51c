//! `sluice completions`: what a shell needs to complete our command line.

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, ValueEnum};
use clap_complete::generate;
use clap_complete::shells::{Bash, Fish, Zsh};

use super::{Cli, CliError};

/// Print what makes the shell complete sluice's commands and flags
///
/// bash: sluice completions bash > /etc/bash_completion.d/sluice
/// zsh:  sluice completions zsh > "${fpath[1]}/_sluice"
/// fish: sluice completions fish > ~/.config/fish/completions/sluice.fish
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// For which shell.
    shell: Shell,
}

/// The shells that are in wide use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Runs the command.
///
/// # Errors
/// If it cannot be printed.
pub fn run(args: &Args) -> Result<ExitCode, CliError> {
    let mut command = Cli::command();
    // Into memory first: the generator panics where it cannot write.
    let mut text = Vec::new();
    match args.shell {
        Shell::Bash => generate(Bash, &mut command, "sluice", &mut text),
        Shell::Zsh => generate(Zsh, &mut command, "sluice", &mut text),
        Shell::Fish => generate(Fish, &mut command, "sluice", &mut text),
    }
    std::io::stdout().write_all(&text)?;
    Ok(ExitCode::SUCCESS)
}
