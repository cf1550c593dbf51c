//! Limits on requests, with the identity that their counts are found by.
//!
//! It is where a limit is written, and its name: `policies/public-api/per-client`, `defaults/flood`,
//! `file/shop/flood`. Neither position nor rate are in it, so an edit of either keeps the counts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use super::at::At;
use super::reader::{Reader, count};
use crate::config::attribute::Attribute;
use crate::config::id::LimiterId;
use crate::config::problem::Slug;
use crate::config::schema::LIMIT_NAME_MESSAGE;
use crate::config::spec::{
    ConcurrencySpec, MissingKeySpec, RateAlgorithmSpec, RateHeadersSpec, RateLimitSpec, RateModeSpec, RateScopeSpec,
};
use crate::config::traffic::{Concurrency, MissingKey, RateAlgorithm, RateHeaders, RateLimit, RateMode, RateScope};
use crate::config::units::{Rate, parse_rate};

/// 1 s: longer than a burst takes to be served, shorter than clients wait.
const DEFAULT_QUEUE_TIMEOUT: Duration = Duration::from_secs(1);

impl Reader<'_> {
    pub(super) fn rate_limits(&mut self, list: &[RateLimitSpec], owner: &str, at: At<'_>) -> Vec<Arc<RateLimit>> {
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        let mut limits = Vec::new();
        for (index, spec) in list.iter().enumerate() {
            let place = at.index(index);
            if let Some(taken) = names.get(spec.name.as_str()) {
                let message = format!("the name {} is taken by {}", spec.name, at.index(*taken));
                self.note(place.field("name"), Slug::DuplicateName, message);
                continue;
            }
            names.insert(&spec.name, index);
            limits.extend(self.rate_limit(spec, owner, place).map(Arc::new));
        }
        limits
    }

    fn rate_limit(&mut self, spec: &RateLimitSpec, owner: &str, at: At<'_>) -> Option<RateLimit> {
        let is_name_byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if spec.name.is_empty() || !spec.name.bytes().all(is_name_byte) {
            self.note(at.field("name"), Slug::NameForm, LIMIT_NAME_MESSAGE);
        }
        let algorithm = match spec.algorithm {
            None | Some(RateAlgorithmSpec::TokenBucket) => RateAlgorithm::TokenBucket,
            Some(RateAlgorithmSpec::SlidingWindow) => RateAlgorithm::SlidingWindow,
        };
        if spec.burst.is_some() && algorithm == RateAlgorithm::SlidingWindow {
            self.note(at, Slug::BurstWindow, "burst belongs to tokenBucket; slidingWindow has none");
        }
        let key = spec.key.as_ref().map(|list| self.attributes(list, at.field("key")));
        let status = self.status(spec.status, 400, at.field("status"));
        let exempt = self.ranges(spec.exempt.as_deref().unwrap_or_default(), at.field("exempt"));
        let rate = self.take(parse_rate(&spec.rate), at.field("rate"), Slug::RateForm)?;
        Some(RateLimit {
            id: LimiterId::new(format!("{owner}/{}", spec.name)),
            name: spec.name.clone(),
            rate,
            burst: spec.burst.map_or_else(|| one_second_of(rate), |burst| count(burst, 1, u32::MAX)),
            algorithm,
            key: key.unwrap_or_else(|| vec![Attribute::ClientAddress]),
            missing_key: missing_key(spec.missing_key),
            scope: match spec.scope {
                None | Some(RateScopeSpec::Shared) => RateScope::Shared,
                Some(RateScopeSpec::Replica) => RateScope::Replica,
            },
            status: status.unwrap_or(StatusCode::TOO_MANY_REQUESTS),
            headers: headers(spec.headers),
            exempt,
            mode: match spec.mode {
                None | Some(RateModeSpec::Enforce) => RateMode::Enforce,
                Some(RateModeSpec::Report) => RateMode::Report,
            },
        })
    }

    /// None: switched off, or nothing that could be obeyed.
    pub(super) fn concurrency(&mut self, spec: &ConcurrencySpec, owner: &str, at: At<'_>) -> Option<Arc<Concurrency>> {
        let per = self.attributes(spec.per.as_deref().unwrap_or_default(), at.field("per"));
        let queue_timeout = self.duration(spec.queue_timeout.as_ref(), at.field("queueTimeout"));
        let status = self.status(spec.status, 400, at.field("status"));
        if spec.disabled == Some(true) {
            return None;
        }
        let Some(max) = spec.max else {
            self.note(at, Slug::MaxMissing, "max is required, unless disabled is true");
            return None;
        };
        Some(Arc::new(Concurrency {
            id: LimiterId::new(format!("{owner}/concurrency")),
            max: count(max, 1, 1_000_000),
            per,
            queue: spec.queue.map_or(0, |queue| count(queue, 0, 100_000)),
            queue_timeout: queue_timeout.unwrap_or(DEFAULT_QUEUE_TIMEOUT),
            status: status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE),
        }))
    }
}

/// What comes in a second at this rate, cut to whole requests, and at least one.
fn one_second_of(rate: Rate) -> u32 {
    let seconds = u32::try_from(rate.period.as_secs()).unwrap_or(u32::MAX).max(1);
    (rate.count / seconds).max(1)
}

fn missing_key(written: Option<MissingKeySpec>) -> MissingKey {
    match written {
        None | Some(MissingKeySpec::ClientAddress) => MissingKey::ClientAddress,
        Some(MissingKeySpec::Skip) => MissingKey::Skip,
        Some(MissingKeySpec::Reject) => MissingKey::Reject,
    }
}

fn headers(written: Option<RateHeadersSpec>) -> RateHeaders {
    match written {
        Some(RateHeadersSpec::Standard) => RateHeaders::Standard,
        Some(RateHeadersSpec::Legacy) => RateHeaders::Legacy,
        None | Some(RateHeadersSpec::None) => RateHeaders::None,
    }
}
