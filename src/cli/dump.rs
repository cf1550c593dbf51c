//! `sluice dump`: what a running instance serves, as a file that serves the same.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use crate::config::file;

use super::CliError;
use super::ask::{Question, ask};

/// Write what a running instance serves as a file that serves the same
///
/// Objects become routes, Services become lists of their endpoints of this moment: for study and rescue, not a second
/// source. Serve it with: sluice run --config DIR
///
/// Exit code 0: written. 1: it could not be, or what was written would not load.
///
/// Examples:
///   sluice dump served/
///   kubectl --namespace sluice-system port-forward deployment/sluice 9901 & sluice dump served/
///   sluice dump - | less
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// An empty directory, made if it is not there; - prints.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The admin address of the instance.
    #[arg(long, env = "SLUICE_ADMIN", value_name = "ADDR", default_value = "127.0.0.1:9901")]
    admin: SocketAddr,
}

/// The file that is written.
const NAME: &str = "sluice.yaml";
/// Connecting, and any silence: a hundred thousand routes are written in a second or two.
const PATIENCE: Duration = Duration::from_secs(30);
/// Far above what a file may have (32 MiB), so that a dump too long to load can be looked at all the same.
const MAX_BYTES: u64 = 1 << 30;

/// Runs the command.
///
/// # Errors
/// If the instance cannot be asked, or the file not be written.
pub fn run(args: &Args) -> Result<ExitCode, CliError> {
    let prints = args.directory == Path::new("-");
    if !prints {
        check_is_free(&args.directory)?;
    }
    let text = ask_for_dump(args.admin).map_err(|error| {
        CliError::System(std::io::Error::new(error.kind(), format!("cannot ask {} for a dump: {error}", args.admin)))
    })?;
    if prints {
        super::print_out(&text)?;
    } else {
        write(&args.directory, &text)?;
    }
    match file::parse(&[(NAME.to_owned(), text)]) {
        Ok(loaded) => {
            let rules: usize = loaded.gateway.routes.iter().map(|route| route.rules.len()).sum();
            if !prints {
                let path = args.directory.join(NAME);
                println!("{}: written ({rules} rules, {} upstreams)", path.display(), loaded.gateway.upstreams.len());
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(problems) => {
            super::print_problems(&problems);
            eprintln!("what was written would not load as it is");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Other files of the directory would be loaded together with the one that is written.
fn check_is_free(directory: &Path) -> Result<(), CliError> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    for entry in entries {
        let name = entry?.file_name();
        if Path::new(&name).extension().is_some_and(|ending| ending == "yaml") {
            let (directory, name) = (directory.display(), name.display());
            return Err(CliError::Usage(format!("{directory} has {name} already: give an empty directory")));
        }
    }
    Ok(())
}

/// There at once as a whole, or not at all.
fn write(directory: &Path, text: &str) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let unfinished = directory.join(format!(".{NAME}.{}", std::process::id()));
    let mut file = std::fs::File::create(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(unfinished, directory.join(NAME))
}

/// The body of the answer of `/dump`.
fn ask_for_dump(admin: SocketAddr) -> std::io::Result<String> {
    let host = admin.to_string();
    let question = Question { address: admin, host: &host, target: "/dump", patience: PATIENCE, max_bytes: MAX_BYTES };
    let answer = ask(&question)?;
    let unreadable = |why: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, why.to_owned());
    let text = String::from_utf8(answer.body).map_err(|_| unreadable("the answer is no text"))?;
    if answer.status != 200 {
        return Err(unreadable(&format!("it answers {}: {}", answer.status, text.trim_end())));
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
