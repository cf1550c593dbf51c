//! The command line of Sluice: parse, call, exit code.

use std::process::ExitCode;

use clap::Parser;
use sluice::cli::{self, Cli};

/// Returns memory after a burst, and has no lock between threads: see `.cargo/config.toml` for its settings.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match cli::run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            let failure = error.exit_code();
            eprintln!("sluice: {:#}", anyhow::Error::new(error));
            failure
        }
    }
}
