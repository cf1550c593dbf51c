//! May this request be tried again elsewhere, and when?
//!
//! One pure decision. What failed says what a server may have done with the request:
//!
//! | failed | a server may have begun | may be tried again |
//! |---|---|---|
//! | no connection | no | any method, at once: another server is not busy |
//! | a reused connection died before an answer, nothing written | no | any method |
//! | the same, something written | it may have crossed the server's close | `methods` |
//! | a new connection died before a head (`reset`) | yes | `methods`, if asked for |
//! | one try took too long (`timeout`) | yes | `methods`, if asked for |
//! | an answer whose status is listed | it has answered | `methods` |
//!
//! Never once a byte of the answer has gone to the client, nor when more of the client's body was sent than is held.
//! Tries are bounded three times: by `attempts` of the rule, by the time of the whole request, and by the upstream's
//! retry budget, so that a hundred percent of failures do not become three times the load.

use std::time::Duration;

use http::{Method, StatusCode};

use crate::config::traffic::Retries;

/// How a try failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection could be made.
    Connect,
    /// A connection used before died before the first byte of an answer.
    Stale {
        /// Whether a byte of the request had left.
        has_written: bool,
    },
    /// A new connection died before a whole head of an answer.
    Reset,
    /// The time of one try is over.
    Timeout,
    /// The server answered.
    Status(StatusCode),
}

/// Whether a request that failed so, after `retried` retries, may be tried again; and how long to wait before it.
///
/// `random` is any number; the wait is drawn from it evenly between nothing and the full backoff ("full jitter"), so
/// that those who failed together do not come back together.
pub fn wait_before(
    retries: &Retries,
    method: &Method,
    failure: Failure,
    retried: u32,
    random: u64,
) -> Option<Duration> {
    if retried >= retries.attempts || !may_repeat(retries, method, failure) {
        return None;
    }
    if retried == 0 && matches!(failure, Failure::Connect | Failure::Stale { .. }) {
        return Some(Duration::ZERO);
    }
    let doubled = retries.backoff.saturating_mul(1_u32.checked_shl(retried.min(16)).unwrap_or(u32::MAX));
    let longest = doubled.min(retries.max_backoff);
    let nanos = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX);
    Some(Duration::from_nanos(random.checked_rem(nanos.saturating_add(1)).unwrap_or(0)))
}

/// Whether anything could come of a failure of this rule's requests that needs the client's body again.
pub fn may_need_body(retries: &Retries, method: &Method) -> bool {
    let triggers = &retries.triggers;
    let is_listed = retries.methods.iter().any(|listed| listed.0 == *method);
    let by_answer = triggers.reset || triggers.timeout || triggers.stale_connection || !retries.statuses.is_empty();
    retries.attempts > 0 && (by_answer && is_listed)
}

fn may_repeat(retries: &Retries, method: &Method, failure: Failure) -> bool {
    let is_listed = || retries.methods.iter().any(|listed| listed.0 == *method);
    let triggers = &retries.triggers;
    match failure {
        Failure::Connect => triggers.connect_failure,
        Failure::Stale { has_written: false } => triggers.stale_connection,
        Failure::Stale { has_written: true } => triggers.stale_connection && is_listed(),
        Failure::Reset => triggers.reset && is_listed(),
        Failure::Timeout => triggers.timeout && is_listed(),
        Failure::Status(status) => retries.statuses.contains(status) && is_listed(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decide(retries: &Retries, method: &Method, failure: Failure) -> bool {
        wait_before(retries, method, failure, 0, 7).is_some()
    }

    #[test]
    fn h097_h098_only_what_nobody_can_have_begun_is_repeated_by_default() {
        let defaults = Retries::default();
        for (failure, post, get) in [
            (Failure::Connect, true, true),
            (Failure::Stale { has_written: false }, true, true),
            (Failure::Stale { has_written: true }, false, true),
            (Failure::Reset, false, false),
            (Failure::Timeout, false, false),
            (Failure::Status(StatusCode::SERVICE_UNAVAILABLE), false, false),
        ] {
            assert_eq!(decide(&defaults, &Method::POST, failure), post, "POST {failure:?}");
            assert_eq!(decide(&defaults, &Method::GET, failure), get, "GET {failure:?}");
        }
    }

    #[test]
    fn what_is_asked_for_is_bounded_by_method() {
        let mut retries = Retries::default();
        retries.triggers.reset = true;
        retries.triggers.timeout = true;
        retries.statuses.add("5xx").expect("a class");
        for failure in [Failure::Reset, Failure::Timeout, Failure::Status(StatusCode::BAD_GATEWAY)] {
            assert!(decide(&retries, &Method::PUT, failure) && !decide(&retries, &Method::PATCH, failure));
        }
        assert!(!decide(&retries, &Method::GET, Failure::Status(StatusCode::NOT_FOUND)));
    }

    #[test]
    fn the_first_retry_after_no_connection_does_not_wait() {
        let retries = Retries::default();
        assert_eq!(wait_before(&retries, &Method::POST, Failure::Connect, 0, 99), Some(Duration::ZERO));
        assert!(wait_before(&retries, &Method::POST, Failure::Connect, 1, u64::MAX / 3) > Some(Duration::ZERO));
        assert_eq!(wait_before(&retries, &Method::POST, Failure::Connect, 2, 0), None, "two attempts are two");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn waits_are_bounded_by_the_doubled_backoff(retried in 1_u32..10, random: u64, backoff in 0_u64..1000, most in 0_u64..5000) {
            let retries = Retries {
                attempts: 10,
                backoff: Duration::from_millis(backoff),
                max_backoff: Duration::from_millis(most),
                ..Retries::default()
            };
            let wait = wait_before(&retries, &Method::GET, Failure::Connect, retried, random).expect("attempts are left");
            prop_assert!(wait <= Duration::from_millis((backoff << retried).min(most)));
        }
    }
}
