//! `sluice explain`: why does a request go where it goes, and what happens to it on the way?
//!
//! Asks the very code that decides requests, with reasons. [`steps`] puts the choices of the rule that answers into
//! words, [`servers`] what is known about where it goes, [`text`] prints it for people; `-o json` prints the same.

mod servers;
mod steps;
mod text;

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::ValueEnum;
use http::{HeaderName, HeaderValue, Method, Request, Uri, header, request::Parts};
use serde::Serialize;

use crate::config::{Action, Gateway, HostPattern, Listener, Offer, Route};
use crate::observe::metrics::Metrics;
use crate::proxy::head;
use crate::proxy::refusal::Refusal;
use crate::router::Decision;
use crate::router::explain::{Explanation, Judged};
use crate::snapshot::Snapshot;
use crate::snapshot::compile::Compiler;
use crate::snapshot::registry::Registry;

use servers::Share;
use steps::Step;

use super::CliError;

/// Tell which rule answers a request, why every other rule of the host does not, what is done to the request
/// on its way, and which servers it can go to.
///
/// Example: sluice explain GET http://shop.example.com/api/users -H 'X-Version: v2' --config sluice.yaml
///
/// Nothing is sent: the answer comes from the configuration alone. A query belongs to the URL, cookies are a
/// header (-H 'Cookie: group=beta').
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
    /// Where the request comes from, for conditions on addresses and for allow and deny.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1")]
    client: IpAddr,
    /// The listener it comes in on. Default: the first of the configuration.
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
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
    listener: String,
    client: IpAddr,
    method: String,
    /// In normal form, as it is matched.
    host: String,
    /// In normal form, as it is matched and sent on.
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<String>,
    /// Our own answer, if no server and no rule gives one.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
    explanation: Explanation,
    /// Rules of this host that are out because they are served on other listeners.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    elsewhere: Vec<Judged>,
    /// What the rule that answers does, in the order it happens.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    steps: Vec<Step>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    backends: Vec<Share>,
}

/// Runs the command.
///
/// # Errors
/// If the configuration or the request cannot be used.
pub fn run(args: &Args) -> Result<ExitCode, CliError> {
    let loaded = super::load(&args.config)?;
    let listener = listener(&loaded.gateway, args.listener.as_deref())?;
    let parts = request(args)?;
    let metrics = Metrics::new(1).map_err(std::io::Error::other)?;
    let registry = Arc::new(Registry::new(Arc::new(metrics)));
    let snapshot =
        Compiler::new(registry).compile(&Offer { number: 1, gateway: Arc::new(loaded.gateway), stale_since: None });
    let report = report(&snapshot, &listener, args.client, &parts);
    match args.output {
        Output::Text => print!("{}", text::write(&report)),
        Output::Json => println!("{}", serde_json::to_string_pretty(&report).map_err(std::io::Error::other)?),
    }
    Ok(if report.refused.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The listener of this name, or the first.
fn listener(gateway: &Gateway, name: Option<&str>) -> Result<Listener, CliError> {
    let Some(name) = name else {
        return Ok(gateway.listeners.first().cloned().unwrap_or_else(Listener::default_http));
    };
    let found = gateway.listeners.iter().find(|listener| listener.name == name).cloned();
    found.ok_or_else(|| {
        let known: Vec<&str> = gateway.listeners.iter().map(|listener| listener.name.as_str()).collect();
        CliError::Usage(format!("there is no listener {name:?}; there are: {}", known.join(", ")))
    })
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

fn report(snapshot: &Snapshot, listener: &Listener, client: IpAddr, parts: &Parts) -> Report {
    let mut report = Report {
        listener: listener.name.clone(),
        client: client.to_canonical(),
        method: parts.method.to_string(),
        host: String::new(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().map(str::to_owned),
        refused: None,
        explanation: Explanation { decision: "refused", decided_by: None, rules: Vec::new() },
        elsewhere: Vec::new(),
        steps: Vec::new(),
        backends: Vec::new(),
    };
    let checked = match head::check(parts, listener.paths) {
        Ok(checked) => checked,
        Err(refusal) => {
            report.refused = Some(tell(refusal));
            return report;
        }
    };
    report.host = checked.host.to_string();
    report.path = checked.path.to_string();
    let (head, table) = (checked.as_router_head(parts, report.client), snapshot.table(&listener.name));
    report.explanation = table.explain(&head);
    report.elsewhere = elsewhere(&snapshot.gateway, &listener.name, &report.host);
    match table.decide(&head) {
        Decision::NoHost => report.refused = Some(tell(Refusal::NoHost)),
        Decision::NoRoute => report.refused = Some(tell(Refusal::NoRoute)),
        Decision::Rule(found) => match &found.rule.action {
            Action::Broken => report.refused = Some(tell(Refusal::RuleOff)),
            _ => {
                report.steps = steps::of(&found.rule, report.client);
                report.backends = servers::of(&snapshot.gateway, &found.rule);
            }
        },
    }
    report
}

fn tell(refusal: Refusal) -> String {
    format!("{} {}: {}", refusal.status().as_u16(), refusal.reason(), refusal.text())
}

/// Rules for this host that the listener does not serve.
fn elsewhere(gateway: &Gateway, listener: &str, host: &str) -> Vec<Judged> {
    let is_elsewhere =
        |route: &&Arc<Route>| !route.listeners.is_empty() && !route.listeners.iter().any(|name| name == listener);
    let covers = |pattern: &HostPattern| match pattern {
        HostPattern::Exact(name) => name == host,
        HostPattern::Wildcard(suffix) => host.strip_suffix(suffix.as_str()).is_some_and(|rest| rest.ends_with('.')),
    };
    let is_of_host = |route: &&Arc<Route>| route.hosts.is_empty() || route.hosts.iter().any(covers);
    let judge = |route: &Arc<Route>| {
        let why = format!("it is served on listener {} only", route.listeners.join(" and "));
        let judged = |rule: &Arc<crate::config::Rule>| Judged {
            name: rule.name.clone(),
            at: rule.at.clone(),
            wins: false,
            why: Some(why.clone()),
        };
        route.rules.iter().map(judged).collect::<Vec<_>>()
    };
    gateway.routes.iter().filter(is_elsewhere).filter(is_of_host).flat_map(judge).collect()
}

#[cfg(test)]
mod tests;
