//! What clients are told about rate limits, as far as a limit is to be told of at all.
//!
//! `standard`: two structured fields (IETF draft-ietf-httpapi-ratelimit-headers-10, RFC 9651), an item for each
//! limit:
//!
//! ```text
//! RateLimit-Policy: "per-client";q=100;w=60      100 requests in 60 s, as configured
//! RateLimit: "per-client";r=50;t=30              50 could come now; in 30 s nothing would be used
//! ```
//!
//! A token bucket's `r` goes up to its burst, which may be more or less than `q`. `legacy`: `X-RateLimit-Limit`,
//! `-Remaining`, `-Reset` (seconds from now) of the tightest limit, the one with least remaining, as that form has
//! room for one. Limits that only report are not told of: nobody is held to them. Of a refused request only the limit
//! that refused is told, since what others counted was given back.

use std::fmt::Write;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use crate::config::traffic::{RateHeaders, RateLimit, RateMode};
use crate::ratelimit::Verdict;

const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LEGACY_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const LEGACY_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const LEGACY_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// What is told in one answer. Nothing to tell costs nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    policy: String,
    state: String,
    tightest: Option<Verdict>,
}

impl Told {
    /// Adds what one limit said.
    pub(super) fn add(&mut self, limit: &RateLimit, verdict: Verdict) {
        if limit.mode == RateMode::Report {
            return;
        }
        match limit.headers {
            RateHeaders::None => {}
            RateHeaders::Standard => self.add_standard(limit, verdict),
            RateHeaders::Legacy => {
                if self.tightest.is_none_or(|tightest| verdict.remaining < tightest.remaining) {
                    self.tightest = Some(verdict);
                }
            }
        }
    }

    /// The headers.
    pub(super) fn into_headers(self) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = Vec::new();
        let texts = [(RATELIMIT_POLICY, self.policy), (RATELIMIT, self.state)];
        for (name, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
            headers.extend(HeaderValue::try_from(text).ok().map(|value| (name, value)));
        }
        if let Some(verdict) = self.tightest {
            headers.push((LEGACY_LIMIT, verdict.limit.into()));
            headers.push((LEGACY_REMAINING, verdict.remaining.into()));
            headers.push((LEGACY_RESET, whole_seconds(verdict.reset_after).into()));
        }
        headers
    }

    fn add_standard(&mut self, limit: &RateLimit, verdict: Verdict) {
        for text in [&mut self.policy, &mut self.state] {
            if !text.is_empty() {
                text.push_str(", ");
            }
            push_string(text, &limit.name);
        }
        // Writing to a String cannot fail.
        let _ = write!(self.policy, ";q={};w={}", limit.rate.count, whole_seconds(limit.rate.period));
        let _ = write!(self.state, ";r={};t={}", verdict.remaining, whole_seconds(verdict.reset_after));
    }
}

/// Rounded up: after so many seconds it is true for certain.
pub(super) fn whole_seconds(time: Duration) -> u64 {
    time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0))
}

/// RFC 9651, section 3.3.3: printable ASCII in quotes, with `"` and `\` escaped. Anything else in a name becomes `?`.
fn push_string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            ' '..='~' => out.push(character),
            _ => out.push('?'),
        }
    }
    out.push('"');
}
