//! `sluice explain`: why does a request go where it goes?
//!
//! Asks the very code that decides requests, with reasons.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::ValueEnum;
use http::{HeaderName, HeaderValue, Method, Request, Uri, header, request::Parts};
use serde::Serialize;

use crate::config::{Action, Destination, Gateway, Offer, Rule, file};
use crate::observe::metrics::Metrics;
use crate::proxy::head;
use crate::router::Decision;
use crate::router::explain::Explanation;
use crate::snapshot::Snapshot;
use crate::snapshot::compile::Compiler;
use crate::snapshot::registry::Registry;

use super::CliError;

/// Tell which rule answers a request, where it goes, and why every other rule of the host does not.
///
/// Example: sluice explain GET http://shop.example.com/api/users -H 'X-Version: v2' --config sluice.yaml
///
/// Exit code 0: a rule answers. 1: none does, or the request is refused. 2: could not find out.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Method and URL; without a method it is GET.
    #[arg(required = true, num_args = 1..=2, value_names = ["METHOD", "URL"])]
    request: Vec<String>,
    /// A header of the request, as with curl. Can be given several times.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The configuration.
    #[arg(long, env = "SLUICE_CONFIG", value_name = "FILE|DIR")]
    config: PathBuf,
    /// How to print.
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// What is printed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    method: String,
    host: String,
    path: String,
    /// The status of a refusal, if no server answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
    explanation: Explanation,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    backends: Vec<Share>,
}

/// One share of the winner's requests.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Share {
    upstream: String,
    weight: u32,
    balancer: &'static str,
    endpoints: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// If the configuration or the request cannot be used.
pub fn run(args: &Args) -> Result<ExitCode, CliError> {
    let loaded = match file::load(&args.config) {
        Err(file::LoadError::Wrong(problems)) => {
            super::print_problems(&problems);
            return Err(file::LoadError::Wrong(problems).into());
        }
        loaded => loaded?,
    };
    let parts = request(args)?;
    let metrics = Metrics::new(1).map_err(std::io::Error::other)?;
    let registry = Arc::new(Registry::new(Arc::new(metrics)));
    let snapshot = Compiler::new(registry).compile(&Offer { number: 1, gateway: Arc::new(loaded.gateway) });
    let report = report(&snapshot, &parts);
    match args.output {
        Output::Text => print!("{}", as_text(&report)),
        Output::Json => println!("{}", serde_json::to_string_pretty(&report).map_err(std::io::Error::other)?),
    }
    Ok(if report.refused.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The head that a client would send for these arguments.
fn request(args: &Args) -> Result<Parts, CliError> {
    let usage = |text: String| CliError::Usage(text);
    let (method, url) = match args.request.as_slice() {
        [url] => ("GET", url),
        [method, url] => (method.as_str(), url),
        _ => return Err(usage("give a URL".into())),
    };
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| usage(format!("{method} is not a method")))?;
    let full = if url.contains("://") { url.clone() } else { format!("http://{url}") };
    let uri: Uri = full.parse().map_err(|_| usage(format!("{url} is not a URL")))?;
    let authority = uri.authority().ok_or_else(|| usage(format!("{url} names no host")))?.to_string();
    let target = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned();
    let mut builder = Request::builder().method(method).uri(target).header(header::HOST, authority);
    for line in &args.headers {
        let (name, value) = line.split_once(':').ok_or_else(|| usage(format!("{line:?} is not NAME: VALUE")))?;
        let name =
            HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| usage(format!("{name:?} is no header name")))?;
        let value = HeaderValue::from_str(value.trim()).map_err(|_| usage(format!("{value:?} is no header value")))?;
        if name == header::HOST {
            let replaced = builder.headers_mut().ok_or_else(|| usage("the URL cannot be used".into()))?;
            replaced.insert(name, value);
        } else {
            builder = builder.header(name, value);
        }
    }
    let request = builder.body(()).map_err(|error| usage(error.to_string()))?;
    Ok(request.into_parts().0)
}

fn report(snapshot: &Snapshot, parts: &Parts) -> Report {
    let mut report = Report {
        method: parts.method.to_string(),
        host: String::new(),
        path: parts.uri.path().to_owned(),
        refused: None,
        explanation: Explanation { decision: "refused", rules: Vec::new() },
        backends: Vec::new(),
    };
    let checked = match head::check(parts) {
        Ok(checked) => checked,
        Err(refusal) => {
            report.refused = Some(format!("{} {}", refusal.status().as_u16(), refusal.reason()));
            return report;
        }
    };
    report.host = checked.host.to_string();
    report.path = checked.path.to_string();
    let head = checked.as_router_head(parts);
    report.explanation = snapshot.table.explain(&head);
    match snapshot.table.decide(&head) {
        Decision::NoHost => report.refused = Some("404 no_host".into()),
        Decision::NoRoute => report.refused = Some("404 no_route".into()),
        Decision::Rule(found) => match &found.rule.action {
            Action::Broken => report.refused = Some("500 rule_off".into()),
            Action::Redirect(_) | Action::Respond(_) => {}
            Action::Forward(_) => report.backends = shares(&snapshot.gateway, &found.rule),
        },
    }
    report
}

fn shares(gateway: &Gateway, rule: &Rule) -> Vec<Share> {
    let Action::Forward(targets) = &rule.action else { return Vec::new() };
    let share = |target: &crate::config::Target| match &target.to {
        Destination::Missing => {
            Share { upstream: "(missing: 500)".into(), weight: target.weight, balancer: "none", endpoints: Vec::new() }
        }
        Destination::Upstream(id) => {
            let found = gateway.upstreams.iter().find(|upstream| upstream.id == *id);
            let endpoints = found.map(|upstream| upstream.endpoints.as_slice()).unwrap_or_default();
            let is_even = endpoints.windows(2).all(|pair| matches!(pair, [a, b] if a.weight == b.weight));
            Share {
                upstream: found.map_or_else(|| id.to_string(), |upstream| upstream.label.clone()),
                weight: target.weight,
                balancer: if is_even { "round robin" } else { "weighted round robin" },
                endpoints: endpoints.iter().map(|e| format!("{} (weight {})", e.authority(), e.weight)).collect(),
            }
        }
    };
    targets.iter().map(share).collect()
}

fn as_text(report: &Report) -> String {
    let mut out = format!("{} {} on host {:?}\n", report.method, report.path, report.host);
    // Writing into a String cannot fail.
    if let Some(refused) = &report.refused {
        let _ = writeln!(out, "answer: {refused}");
    }
    for rule in report.explanation.rules.iter().filter(|rule| rule.wins) {
        let _ = writeln!(out, "rule:   {} ({})", rule.name, rule.at);
    }
    for share in &report.backends {
        let _ = writeln!(out, "goes:   {} by {}, share {}", share.upstream, share.balancer, share.weight);
        for endpoint in &share.endpoints {
            let _ = writeln!(out, "          {endpoint}");
        }
    }
    for rule in report.explanation.rules.iter().filter(|rule| !rule.wins) {
        let _ = writeln!(out, "not:    {} ({}): {}", rule.name, rule.at, rule.why.as_deref().unwrap_or_default());
    }
    out
}
