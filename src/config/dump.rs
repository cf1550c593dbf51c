//! The Gateway in effect as a file: from what is meant back to what is written.
//!
//! `sluice dump` shows what a running instance has made of file and objects, in the one language that everybody knows, and
//! it can be served again where there is no cluster. It is for study and rescue: endpoints stand in it as they were.
//!
//! # What always holds
//! Read again, the file decides every request as the Gateway did: same rule, same servers, same settings. That is why
//! nothing is left to inheritance that could come out differently, and why the order of routes is that of precedence
//! between sources: what was decided by age is decided by position.
//!
//! # How
//! | in the Gateway | in the file |
//! |---|---|
//! | a route of the file | itself, under its name |
//! | a route of an object | `namespace/object/route` |
//! | a Service port, a named upstream | an upstream of that name, with its endpoints, zones, states and ids |
//! | a rule that is off | `respond: {status: 500}` in its place |
//! | a backend that does not exist | one upstream without endpoints, `whenEmpty: 500` |
//! | a rule that another one with the same match stands before | left out there: a file may not have it |
//! | a limit that several rules share | a policy which they `use`, as one count must stay one |
//! | all else that was inherited | written out in each rule |
//!
//! Services, named upstreams, policies and all that the file itself had keep their identities. Rules of objects, with
//! their URLs and limits, get `file/` before theirs, as everything in a file has. So labels agree, and what is shared stays
//! shared.
//!
//! # Limits
//! A path pattern that does not compile cannot stand in a file; it is written as what it covers, which may be longer by
//! a letter and then stands before a pattern that it stood after. Where one rule sends to a Service that wants its
//! requests to stay in their zone and to one that does not, the second one's zones are left out: if another rule prefers
//! its zones by itself, that rule's requests are spread over all of them. `cluster.denyAddresses` binds objects only, so
//! nothing of it is in a dump: whoever serves it answers for its URLs.
//!
//! Pure: a Gateway in, a text out. Called by `server::admin`.

mod header;
mod limits;
mod listener;
mod matches;
mod names;
mod routes;
mod serving;
mod traffic;
mod unit;
mod upstreams;

use std::fmt::Write;

use serde::Serialize;
use serde_yaml::Value;

use super::spec::{
    AccessLogSpec, DefaultsSpec, ListenerSpec, MetricsSpec, ObservabilitySpec, PolicySpec, RateLimitStoreSpec,
    RouteSpec, UpstreamSpec,
};
use super::{DEFAULT_METRIC_CLIENTS, DEFAULT_RATE_LIMIT_KEYS, Gateway};

/// All parts of the file, each with what stands before it as a comment.
#[derive(Debug, Default)]
struct Written {
    listeners: Vec<ListenerSpec>,
    defaults: Option<DefaultsSpec>,
    policies: Vec<PolicySpec>,
    upstreams: Vec<UpstreamSpec>,
    routes: Vec<(String, RouteSpec)>,
    observability: Option<ObservabilitySpec>,
    rate_limit_store: Option<RateLimitStoreSpec>,
}

/// Writes a Gateway.
///
/// # Errors
/// If something in it cannot stand in YAML, which nothing can that was read from YAML or JSON.
pub fn dump(gateway: &Gateway) -> Result<String, serde_yaml::Error> {
    let servers = upstreams::write(gateway);
    let (policies, routes) = routes::write(gateway, &servers);
    let written = Written {
        listeners: gateway.listeners.iter().map(listener::write).collect(),
        defaults: servers.defaults,
        policies,
        upstreams: servers.upstreams,
        routes,
        observability: observability(gateway),
        rate_limit_store: (gateway.rate_limit_keys != DEFAULT_RATE_LIMIT_KEYS)
            .then(|| RateLimitStoreSpec { max_keys: Some(unit::number(gateway.rate_limit_keys)) }),
    };
    written.to_text()
}

fn observability(gateway: &Gateway) -> Option<ObservabilitySpec> {
    let format = Some(gateway.access_log).filter(|format| *format != Default::default());
    let clients = Some(gateway.metric_clients).filter(|clients| *clients != DEFAULT_METRIC_CLIENTS);
    (format.is_some() || clients.is_some()).then(|| ObservabilitySpec {
        access_log: format.map(|format| AccessLogSpec { format: Some(format) }),
        metrics: clients.map(|clients| MetricsSpec { clients: Some(unit::number(clients)) }),
    })
}

impl Written {
    fn to_text(&self) -> Result<String, serde_yaml::Error> {
        let mut text = HEAD.to_owned();
        list(&mut text, "listeners", self.listeners.iter().map(|listener| ("", listener)))?;
        block(&mut text, "observability", self.observability.as_ref())?;
        block(&mut text, "rateLimitStore", self.rate_limit_store.as_ref())?;
        block(&mut text, "defaults", self.defaults.as_ref())?;
        list(&mut text, "policies", self.policies.iter().map(|policy| ("", policy)))?;
        list(&mut text, "upstreams", self.upstreams.iter().map(|upstream| ("", upstream)))?;
        list(&mut text, "routes", self.routes.iter().map(|(comment, route)| (comment.as_str(), route)))?;
        Ok(text)
    }
}

const HEAD: &str = "# What an instance of Sluice served at one moment, endpoints included: for study and rescue, not a second source.\n";

fn block<T: Serialize>(text: &mut String, key: &str, value: Option<&T>) -> Result<(), serde_yaml::Error> {
    let Some(value) = value else { return Ok(()) };
    line(text, format_args!("{key}:"));
    indented(text, &serde_yaml::to_string(value)?);
    Ok(())
}

/// A comment stands before its entry if it is another one than that of the entry before.
fn list<'a, T: Serialize + 'a>(
    text: &mut String,
    key: &str,
    entries: impl ExactSizeIterator<Item = (&'a str, &'a T)>,
) -> Result<(), serde_yaml::Error> {
    if entries.len() == 0 {
        return Ok(());
    }
    line(text, format_args!("{key}:"));
    let mut last = "";
    for (comment, entry) in entries {
        if comment != last {
            line(text, format_args!("  # {comment}"));
            last = comment;
        }
        indented(text, &serde_yaml::to_string(&[with_name_first(serde_yaml::to_value(entry)?)])?);
    }
    Ok(())
}

/// The name of an entry stands where a reader looks for it, not behind all of its rules.
fn with_name_first(entry: Value) -> Value {
    let Value::Mapping(mut fields) = entry else { return entry };
    let name = fields.shift_remove("name").map(|name| (Value::from("name"), name));
    Value::Mapping(name.into_iter().chain(fields).collect())
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{line}");
}

/// YAML of something, two columns further in. What spans lines in a text is of that text's own indentation, which moves
/// along with it; empty lines are none of anything's indentation.
fn indented(text: &mut String, yaml: &str) {
    for part in yaml.lines() {
        if part.is_empty() {
            text.push('\n');
        } else {
            line(text, format_args!("  {part}"));
        }
    }
}
