//! `sluice probe`: does it answer? For images that have no shell and no curl, as ours.

use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use http::Uri;

use crate::config::units::{DurationError, parse_duration};

use super::CliError;
use super::ask::{Question, ask};

/// Ask addresses until they answer
///
/// An answer is any status below 500, or the one that is asked for. Exit code 0: all answered. 1: not in time.
/// 2: the arguments cannot be used.
///
/// Examples:
///   sluice probe http://localhost:9901/readyz --status 200 --wait 60s
///   sluice probe http://sluice.sluice-system.svc/
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// http://HOST[:PORT][/PATH]
    #[arg(value_name = "URL", required = true)]
    urls: Vec<String>,
    /// How long to go on asking.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    wait: Duration,
    /// The status that counts as an answer.
    #[arg(long, value_name = "STATUS", value_parser = clap::value_parser!(u16).range(100..=599))]
    status: Option<u16>,
}

fn duration(text: &str) -> Result<Duration, DurationError> {
    parse_duration(text)
}

/// Of one try.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(500);
/// Nobody looks at the answer; a large one is no answer to a probe.
const MAX_BYTES: u64 = 1 << 20;

/// Runs the command.
///
/// # Errors
/// A URL that is none.
pub fn run(args: &Args) -> Result<ExitCode, CliError> {
    let targets = args.urls.iter().map(|url| Target::parse(url)).collect::<Result<Vec<_>, _>>()?;
    let until = Instant::now() + args.wait;
    let mut all_answer = true;
    for target in &targets {
        match target.ask_until(until, args.status) {
            Ok(status) => println!("{}: {status}", target.url),
            Err(why) => {
                eprintln!("{}: {why}", target.url);
                all_answer = false;
            }
        }
    }
    Ok(if all_answer { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[derive(Debug)]
struct Target {
    url: String,
    authority: String,
    address: String,
    target: String,
}

impl Target {
    fn parse(url: &str) -> Result<Self, CliError> {
        let wrong = || CliError::Usage(format!("{url:?} is no URL to ask: write http://HOST[:PORT][/PATH]"));
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http")).ok_or_else(wrong)?;
        if authority.as_str().contains('@') {
            return Err(wrong());
        }
        let port = authority.port_u16().unwrap_or(80);
        Ok(Self {
            url: url.to_owned(),
            authority: authority.to_string(),
            address: format!("{}:{port}", authority.host()),
            target: uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
        })
    }

    #[expect(clippy::disallowed_methods, reason = "a command of one thread, no runtime waits for it")]
    fn ask_until(&self, until: Instant, wanted: Option<u16>) -> Result<u16, String> {
        loop {
            match self.ask(wanted) {
                Err(_) if Instant::now() + PAUSE < until => std::thread::sleep(PAUSE),
                outcome => return outcome,
            }
        }
    }

    /// The status, if it is one that counts.
    fn ask(&self, wanted: Option<u16>) -> Result<u16, String> {
        let addresses: Vec<SocketAddr> = self.address.to_socket_addrs().map_err(|error| error.to_string())?.collect();
        let mut why = "the name has no address".to_owned();
        for address in addresses {
            let question = Question {
                address,
                host: &self.authority,
                target: &self.target,
                patience: PATIENCE,
                max_bytes: MAX_BYTES,
            };
            match ask(&question) {
                Ok(answer) if wanted.map_or(answer.status < 500, |wanted| answer.status == wanted) => {
                    return Ok(answer.status);
                }
                Ok(answer) => why = format!("it answers {}", answer.status),
                Err(error) => why = error.to_string(),
            }
        }
        Err(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_asked() {
        let parsed = |url: &str| Target::parse(url).map(|target| (target.address, target.target)).ok();
        let pair = |address: &str, target: &str| Some((address.to_owned(), target.to_owned()));
        assert_eq!(parsed("http://sluice.system.svc"), pair("sluice.system.svc:80", "/"));
        assert_eq!(parsed("http://[::1]:9901/readyz?a=b"), pair("[::1]:9901", "/readyz?a=b"));
        for url in ["https://a/", "sluice:80", "", "http://", "http://user@a/", "http://a b/"] {
            assert_eq!(parsed(url), None, "{url}");
        }
    }
}
