//! Which endpoints are used: probes, ejection, circuit breaker, slow start.
//!
//! The three states of a block: not written, it is what its default says (probes and breaker off, ejection on);
//! written, even empty, it is on with its defaults; `disabled: true`, it is off. What stands beside `disabled` is
//! read all the same, so that switching a block on again brings no surprise.

use std::ops::RangeInclusive;
use std::time::Duration;

use http::uri::Authority;
use http::{HeaderName, HeaderValue, Method, header};

use super::value::Block;
use crate::config::problem::Slug;
use crate::config::route::MethodName;
use crate::config::schema::{PROBE_FORM_MESSAGE, PROBE_PATH_MESSAGE};
use crate::config::spec::{
    ActiveHealthSpec, CircuitBreakerSpec, HealthCheckSpec, PassiveHealthSpec, ProbeTypeSpec, SlowStartSpec,
};
use crate::config::upstream::{
    ActiveHealth, CircuitBreaker, DEFAULT_PANIC_PERCENT, HttpProbe, PassiveHealth, Probe, SlowStart, UpstreamSettings,
};

const HOUR: Duration = Duration::from_secs(3600);
/// Ten probes a second to each endpoint from each replica are enough for anybody; after an hour it is no check.
const PROBE_INTERVAL: RangeInclusive<Duration> = Duration::from_millis(100)..=HOUR;
/// A probe always ends: the next one waits for it.
const PROBE_TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(60);
/// Shorter is no rest, longer is for people to decide.
const AWAY: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(24 * 3600);
/// The window is counted in tenths, which have to be long enough to hold requests.
const BREAKER_WINDOW: RangeInclusive<Duration> = Duration::from_secs(1)..=HOUR;

/// What a whole `healthCheck` says.
pub fn describe_health(spec: &HealthCheckSpec, block: &mut Block<'_>, settings: &mut UpstreamSettings) {
    settings.active_health =
        spec.active.as_ref().and_then(|active| describe_active(active, &mut block.below("active")));
    settings.passive_health = match &spec.passive {
        Some(passive) => describe_passive(passive, &mut block.below("passive")),
        None => Some(PassiveHealth::default()),
    };
    settings.panic_percent = DEFAULT_PANIC_PERCENT;
    block.count("panicPercent", spec.panic_percent, &(0..=100), &mut settings.panic_percent);
}

fn describe_active(spec: &ActiveHealthSpec, block: &mut Block<'_>) -> Option<ActiveHealth> {
    let probe = match spec.kind.unwrap_or_default() {
        ProbeTypeSpec::Http => Probe::Http(describe_http_probe(spec, block)),
        ProbeTypeSpec::Tcp => {
            let is_http = spec.path.is_some() || spec.method.is_some() || spec.host.is_some();
            if is_http || spec.headers.is_some() || spec.statuses.is_some() {
                block.own_problem(Slug::ProbeForm, PROBE_FORM_MESSAGE);
            }
            Probe::Tcp
        }
    };
    let mut active = ActiveHealth { probe, ..ActiveHealth::default() };
    if let Some(port) = spec.port {
        match u16::try_from(port) {
            Ok(port) if port > 0 => active.port = Some(port),
            _ => block.problem("port", Slug::PortForm, "a port is 1 to 65535"),
        }
    }
    block.duration_within("interval", spec.interval.as_deref(), &PROBE_INTERVAL, &mut active.interval);
    block.duration_within("timeout", spec.timeout.as_deref(), &PROBE_TIMEOUT, &mut active.timeout);
    block.count("healthyAfter", spec.healthy_after, &(1..=100), &mut active.healthy_after);
    block.count("unhealthyAfter", spec.unhealthy_after, &(1..=100), &mut active.unhealthy_after);
    is_on(spec.disabled).then_some(active)
}

fn describe_http_probe(spec: &ActiveHealthSpec, block: &mut Block<'_>) -> HttpProbe {
    let mut probe = HttpProbe::default();
    match spec.path.as_deref() {
        Some(path) if is_probe_path(path) => path.clone_into(&mut probe.path),
        Some(_) => block.problem("path", Slug::ProbeForm, PROBE_PATH_MESSAGE),
        None => {}
    }
    match spec.method.as_deref().map(read_method) {
        Some(Some(method)) => probe.method = MethodName(method),
        Some(None) => {
            block.problem(
                "method",
                Slug::HttpForm,
                "must be a method such as GET or HEAD, in capitals, and not CONNECT",
            );
        }
        None => {}
    }
    match spec.host.as_deref() {
        Some(host) if is_authority(host) => probe.host = Some(host.to_owned()),
        Some(_) => block.problem("host", Slug::ProbeForm, "must be a host such as shop.example.com or 10.0.0.1:8080"),
        None => {}
    }
    for (name, value) in spec.headers.iter().flatten() {
        match read_header(name, value) {
            Ok(header) => probe.headers.push(header),
            Err(message) => block.problem(&format!("headers.{name}"), Slug::HttpForm, message),
        }
    }
    probe.headers.sort();
    if spec.statuses.as_ref().is_some_and(Vec::is_empty) {
        block.problem("statuses", Slug::ProbeForm, "without any status no endpoint could ever be healthy");
    } else {
        block.statuses("statuses", spec.statuses.as_deref(), &mut probe.statuses);
    }
    probe
}

/// The same as the schema's rule.
fn is_probe_path(path: &str) -> bool {
    path.starts_with('/') && !path.contains('#') && path.bytes().all(|b| b.is_ascii_graphic())
}

/// CONNECT asks for a tunnel and has no path.
fn read_method(text: &str) -> Option<Method> {
    let is_in_capitals = !text.bytes().any(|b| b.is_ascii_lowercase());
    Method::from_bytes(text.as_bytes()).ok().filter(|method| is_in_capitals && method != Method::CONNECT)
}

fn is_authority(text: &str) -> bool {
    !text.contains('@') && text.parse::<Authority>().is_ok_and(|authority| !authority.host().is_empty())
}

fn read_header(name: &str, value: &str) -> Result<(String, String), &'static str> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| "is not a header name")?;
    if name == header::HOST {
        return Err("Host is set by host");
    }
    if [header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::UPGRADE].contains(&name) {
        return Err("is about the connection, which is the prober's");
    }
    HeaderValue::from_str(value).map_err(|_| "a header value may not contain a line break")?;
    Ok((name.as_str().to_owned(), value.to_owned()))
}

fn describe_passive(spec: &PassiveHealthSpec, block: &mut Block<'_>) -> Option<PassiveHealth> {
    let mut passive = PassiveHealth::default();
    block.count("failures", spec.failures, &(1..=1000), &mut passive.failures);
    block.statuses("statuses", spec.statuses.as_deref(), &mut passive.statuses);
    let first = ("ejectFor", spec.eject_for.as_deref(), &mut passive.eject_for);
    let most = ("maxEjectFor", spec.max_eject_for.as_deref(), &mut passive.max_eject_for);
    describe_away(block, first, most);
    block.count("maxEjectPercent", spec.max_eject_percent, &(0..=100), &mut passive.max_eject_percent);
    is_on(spec.disabled).then_some(passive)
}

/// What a `circuitBreaker` says; none: off.
pub fn describe_breaker(spec: &CircuitBreakerSpec, block: &mut Block<'_>) -> Option<CircuitBreaker> {
    let mut breaker = CircuitBreaker::default();
    block.count("failurePercent", spec.failure_percent, &(1..=100), &mut breaker.failure_percent);
    block.count("minRequests", spec.min_requests, &(1..=1_000_000), &mut breaker.min_requests);
    block.duration_within("window", spec.window.as_deref(), &BREAKER_WINDOW, &mut breaker.window);
    let first = ("openFor", spec.open_for.as_deref(), &mut breaker.open_for);
    let most = ("maxOpenFor", spec.max_open_for.as_deref(), &mut breaker.max_open_for);
    describe_away(block, first, most);
    block.count("halfOpenRequests", spec.half_open_requests, &(1..=1000), &mut breaker.half_open_requests);
    block.statuses("statuses", spec.statuses.as_deref(), &mut breaker.statuses);
    let mut slower_than = Duration::ZERO;
    block.duration("slowerThan", spec.slower_than.as_deref(), &mut slower_than);
    breaker.slower_than = (!slower_than.is_zero()).then_some(slower_than);
    is_on(spec.disabled).then_some(breaker)
}

/// A field: its name, what is written, where it goes.
type Field<'v> = (&'static str, Option<&'v str>, &'v mut Duration);

/// A first time that doubles up to a longest one. Who writes only a long first time means a longest one not below it.
fn describe_away(block: &mut Block<'_>, first: Field<'_>, most: Field<'_>) {
    let (first_name, first_text, first) = first;
    let (most_name, most_text, most) = most;
    block.duration_within(first_name, first_text, &AWAY, first);
    let is_most_written = block.duration_within(most_name, most_text, &AWAY, most);
    if *most < *first {
        if is_most_written {
            block.problem(most_name, Slug::OutOfBounds, format!("may not be shorter than {first_name}"));
        }
        *most = *first;
    }
}

/// What a `slowStart` says; none: off.
pub fn describe_slow_start(spec: &SlowStartSpec, block: &mut Block<'_>) -> Option<SlowStart> {
    let mut slow_start = SlowStart::default();
    block.duration_within("window", spec.window.as_deref(), &(Duration::ZERO..=HOUR), &mut slow_start.window);
    block.count("minPercent", spec.min_percent, &(1..=100), &mut slow_start.min_percent);
    (!slow_start.window.is_zero()).then_some(slow_start)
}

fn is_on(disabled: Option<bool>) -> bool {
    !disabled.unwrap_or(false)
}
