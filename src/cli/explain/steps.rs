//! What a rule does to a request, in words and in the order it happens.

use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;

use crate::config::message::{
    HeaderEdit, HeaderEdits, HostRewrite, PathRewrite, Piece, Redirect, RedirectPath, Respond, Rewrite, Template,
};
use crate::config::traffic::{Concurrency, RateAlgorithm, RateLimit, RateMode, Retries, Security, Timeouts, Triggers};
use crate::config::units::Rate;
use crate::config::{Action, Attribute, Cidr, Rule};

/// One thing that is done.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// What it is called in the configuration.
    pub step: &'static str,
    /// What it does.
    pub does: String,
}

impl Step {
    /// A step and what it does.
    pub fn new(step: &'static str, does: impl Into<String>) -> Self {
        Self { step, does: does.into() }
    }
}

/// All steps of a rule for a client.
pub fn of(rule: &Rule, client: IpAddr) -> Vec<Step> {
    let traffic = &rule.traffic;
    let mut steps = Vec::new();
    steps.extend(security(&traffic.security, client));
    steps.extend(traffic.rate_limits.iter().map(|limit| rate_limit(limit, client)));
    steps.extend(traffic.concurrency.as_deref().map(concurrency));
    steps.extend(
        traffic
            .request_body
            .map(|most| Step::new("limits.requestBody", format!("bodies over {} are answered with 413", bytes(most)))),
    );
    steps.extend(header_edits("requestHeaders", &traffic.request_headers));
    match &rule.action {
        Action::Broken => {}
        Action::Redirect(to) => steps.push(Step::new("redirect", redirect(to))),
        Action::Respond(answer) => steps.push(Step::new("respond", respond(answer))),
        Action::Forward(_) => {
            steps.extend(traffic.rewrite.as_ref().and_then(rewrite));
            steps.push(Step::new("retries", retries(&traffic.retries)));
            steps.push(Step::new("timeouts", timeouts(&traffic.timeouts)));
        }
    }
    steps.extend(header_edits("responseHeaders", &traffic.response_headers));
    steps
}

fn security(security: &Security, client: IpAddr) -> Option<Step> {
    let has = |ranges: &[Cidr]| ranges.iter().any(|range| range.contains(client));
    let list = |ranges: &[Cidr]| ranges.iter().map(Cidr::to_string).collect::<Vec<_>>().join(", ");
    let mut says = Vec::new();
    if !security.deny.is_empty() {
        says.push(format!("deny {}", list(&security.deny)));
    }
    if let Some(allow) = &security.allow {
        says.push(format!("allow only {}", if allow.is_empty() { "nobody".to_owned() } else { list(allow) }));
    }
    if says.is_empty() {
        return None;
    }
    let is_refused = has(&security.deny) || security.allow.as_ref().is_some_and(|allow| !has(allow));
    let outcome = if is_refused { "is refused with 403" } else { "passes" };
    Some(Step::new("security", format!("{}: {client} {outcome}", says.join(", "))))
}

fn rate_limit(limit: &RateLimit, client: IpAddr) -> Step {
    let how = match limit.algorithm {
        RateAlgorithm::TokenBucket => format!("{}, {} at once", rate(limit.rate), limit.burst),
        RateAlgorithm::SlidingWindow => format!("at most {} in any such time", rate(limit.rate)),
    };
    let over = match limit.mode {
        RateMode::Enforce => format!("over it {}", limit.status.as_u16()),
        RateMode::Report => "over it only counted".to_owned(),
    };
    let is_exempt = limit.exempt.iter().any(|range| range.contains(client));
    let exempt = if is_exempt { format!("; {client} is exempt") } else { String::new() };
    Step::new("rateLimits", format!("{}: {how} {}, {over}{exempt}", limit.name, counted_by(&limit.key)))
}

fn concurrency(limit: &Concurrency) -> Step {
    let waiting = match limit.queue {
        0 => String::new(),
        queue => format!("{queue} more wait up to {}, ", time(limit.queue_timeout)),
    };
    let over = limit.status.as_u16();
    Step::new("concurrency", format!("{} at once {}, {waiting}others get {over}", limit.max, counted_by(&limit.per)))
}

fn counted_by(key: &[Attribute]) -> String {
    if key.is_empty() {
        return "for all together".to_owned();
    }
    let names: Vec<String> = key.iter().map(Attribute::to_string).collect();
    format!("for each {}", names.join(" and "))
}

/// Nothing, if nothing is changed.
pub fn header_edits(step: &'static str, edits: &HeaderEdits) -> Option<Step> {
    let written = |verb: &str, edit: &HeaderEdit| format!("{verb} {}: {}", edit.name, template(&edit.value));
    let removed = edits.remove.iter().map(|name| format!("remove {name}"));
    let set = edits.set.iter().map(|edit| written("set", edit));
    let added = edits.add.iter().map(|edit| written("add", edit));
    let all: Vec<String> = removed.chain(set).chain(added).collect();
    (!all.is_empty()).then(|| Step::new(step, all.join("; ")))
}

fn template(template: &Template) -> String {
    let text = |piece: &Piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Variable(variable) => format!("${{{}}}", variable.as_str()),
    };
    template.pieces().iter().map(text).collect()
}

fn rewrite(rewrite: &Rewrite) -> Option<Step> {
    let path = rewrite.path.as_ref().map(|path| match path {
        PathRewrite::Prefix(to) => format!("the matched prefix becomes {to}"),
        PathRewrite::Path(to) => format!("the path becomes {to}"),
        PathRewrite::Regex { pattern, replacement } => format!("a path that matches {pattern} becomes {replacement}"),
    });
    let host = rewrite.host.as_ref().map(|host| match host {
        HostRewrite::To(name) => format!("Host becomes {name}"),
        HostRewrite::Backend => "Host becomes that of the server".to_owned(),
    });
    let all: Vec<String> = path.into_iter().chain(host).collect();
    (!all.is_empty()).then(|| Step::new("rewrite", all.join(", ")))
}

fn redirect(redirect: &Redirect) -> String {
    let path = redirect.path.as_ref().map(|path| match path {
        RedirectPath::Path(path) => format!("path {path}"),
        RedirectPath::Prefix(prefix) => format!("{prefix} instead of the matched prefix"),
    });
    let parts = [
        redirect.scheme.as_ref().map(|scheme| format!("scheme {scheme}")),
        redirect.host.as_ref().map(|host| format!("host {host}")),
        redirect.port.map(|port| format!("port {port}")),
        path,
    ];
    let changed: Vec<String> = parts.into_iter().flatten().collect();
    let query = if redirect.keeps_query { "" } else { ", without the query" };
    format!("{} to the same URL with {}{query}", redirect.status.as_u16(), changed.join(", "))
}

fn respond(respond: &Respond) -> String {
    const MAX_SHOWN: usize = 60;
    let headers = respond.headers.iter().map(|edit| format!(", {}: {}", edit.name, template(&edit.value)));
    let headers: String = headers.collect();
    let shown: String = respond.body.chars().take(MAX_SHOWN).collect();
    let cut = if shown.len() < respond.body.len() { " …" } else { "" };
    format!("{} {}{headers}, body {shown:?}{cut}", respond.status.as_u16(), respond.content_type)
}

fn retries(retries: &Retries) -> String {
    if retries.attempts == 0 {
        return "none".to_owned();
    }
    let Triggers { connect_failure, refused_stream, stale_connection, reset, timeout } = retries.triggers;
    let reasons = [
        (connect_failure, "there is no connection"),
        (refused_stream, "the server refuses to begin"),
        (stale_connection, "a reused connection turns out dead"),
        (reset, "the connection breaks before an answer"),
        (timeout, "a try takes too long"),
        (!retries.statuses.is_empty(), "the answer has one of the listed statuses"),
    ];
    let reasons: Vec<&str> = reasons.into_iter().filter_map(|(is_one, reason)| is_one.then_some(reason)).collect();
    if reasons.is_empty() {
        return "none, as no reason for one is listed".to_owned();
    }
    format!("up to {} more tries when {}", retries.attempts, reasons.join(", or "))
}

fn timeouts(timeouts: &Timeouts) -> String {
    let bounds = [
        (timeouts.request, "for the whole request"),
        (timeouts.per_try, "for one try"),
        (timeouts.idle, "without a byte"),
        (timeouts.stream_idle, "without a byte on a stream"),
    ];
    let bounds = bounds.into_iter().filter(|(bound, _)| !bound.is_zero());
    let bounds: Vec<String> = bounds.map(|(bound, what)| format!("{} {what}", time(bound))).collect();
    if bounds.is_empty() { "none".to_owned() } else { bounds.join(", ") }
}

fn rate(rate: Rate) -> String {
    let period = match rate.period.as_secs() {
        1 => "second".to_owned(),
        60 => "minute".to_owned(),
        3_600 => "hour".to_owned(),
        86_400 => "day".to_owned(),
        _ => time(rate.period),
    };
    format!("{} a {period}", rate.count)
}

/// `1h`, `30s`, `1500ms`
pub fn time(time: Duration) -> String {
    match (time.as_secs(), time.subsec_millis()) {
        (seconds, 0) if seconds > 0 && seconds.is_multiple_of(3_600) => format!("{}h", seconds / 3_600),
        (seconds, 0) if seconds > 60 && seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        (seconds, 0) => format!("{seconds}s"),
        _ => format!("{}ms", time.as_millis()),
    }
}

/// `64KiB`, `10MiB`, `100B`
pub fn bytes(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let fits = units.into_iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit));
    fits.map_or_else(|| format!("{bytes}B"), |(unit, name)| format!("{}{name}", bytes / unit))
}
