//! What the file says once for everything: defaults, logs, metrics, the store of rate limits.
//!
//! Lists of several files are joined. A block is not: half of it here and half there would have to be put together by
//! whoever reads it, so each stands in one file only.

use super::Part;
use crate::config::describe::{Block, describe_settings};
use crate::config::problem::{Problem, Slug};
use crate::config::spec::{AccessLogFormat, FileSpec};
use crate::config::upstream::UpstreamSettings;
use crate::config::{DEFAULT_METRIC_CLIENTS, DEFAULT_RATE_LIMIT_KEYS};

/// The block of the one file that has it, and the place it is written at.
pub fn only_one<'p, T>(
    parts: &'p [Part<'_>],
    name: &str,
    block: impl Fn(&'p FileSpec) -> Option<&'p T>,
    problems: &mut Vec<Problem>,
) -> Option<(String, &'p T)> {
    let mut written = parts.iter().filter_map(|part| Some((part, block(&part.spec)?)));
    let (first, found) = written.next()?;
    for (part, _) in written {
        let message = format!("{name} stands in {} already, and can stand in one file only", first.name);
        problems.push(Problem::new(format!("{}{name}", part.prefix), Slug::DuplicateName, message));
    }
    Some((format!("{}{name}", first.prefix), found))
}

/// What is known about servers of which nothing nearer is written.
pub fn describe_upstream_defaults(parts: &[Part<'_>], problems: &mut Vec<Problem>) -> UpstreamSettings {
    let plain = UpstreamSettings::default();
    let found = only_one(parts, "defaults", |spec| spec.defaults.as_ref(), problems);
    let Some((at, Some(upstream))) = found.map(|(at, defaults)| (at, defaults.upstream.as_ref())) else { return plain };
    describe_settings(upstream, &plain, &format!("{at}.upstream"), problems)
}

/// What operators see.
pub struct Observability {
    /// How requests are logged.
    pub access_log: AccessLogFormat,
    /// Clients with a series of their own.
    pub metric_clients: usize,
}

/// What operators see.
pub fn describe_observability(parts: &[Part<'_>], problems: &mut Vec<Problem>) -> Observability {
    let mut seen = Observability { access_log: AccessLogFormat::default(), metric_clients: DEFAULT_METRIC_CLIENTS };
    let Some((at, spec)) = only_one(parts, "observability", |spec| spec.observability.as_ref(), problems) else {
        return seen;
    };
    seen.access_log = spec.access_log.as_ref().and_then(|log| log.format).unwrap_or_default();
    if let Some(metrics) = &spec.metrics {
        let mut clients = u16::try_from(DEFAULT_METRIC_CLIENTS).unwrap_or(u16::MAX);
        Block::new(format!("{at}.metrics"), problems).count("clients", metrics.clients, &(0..=1000), &mut clients);
        seen.metric_clients = usize::from(clients);
    }
    seen
}

/// How many keys of rate limits are counted at once.
pub fn describe_rate_limit_keys(parts: &[Part<'_>], problems: &mut Vec<Problem>) -> usize {
    let Some((at, store)) = only_one(parts, "rateLimitStore", |spec| spec.rate_limit_store.as_ref(), problems) else {
        return DEFAULT_RATE_LIMIT_KEYS;
    };
    let mut keys = u32::try_from(DEFAULT_RATE_LIMIT_KEYS).unwrap_or(u32::MAX);
    Block::new(at, problems).count("maxKeys", store.max_keys, &(1..=10_000_000), &mut keys);
    usize::try_from(keys).unwrap_or(DEFAULT_RATE_LIMIT_KEYS)
}
