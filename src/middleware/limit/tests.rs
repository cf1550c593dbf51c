//! What rules with limits answer: order, exemption, missing keys, modes, headers.

use http::Request;
use http::request::Parts;
use proptest::prelude::*;

use super::*;
use crate::config::traffic::{RateAlgorithm, RateHeaders, RateScope};
use crate::config::units::Rate;
use crate::config::{Cidr, LimiterId, RuleId};

fn rate_limit(name: &str, count: u32, key: &[&str]) -> RateLimit {
    RateLimit {
        id: LimiterId::new(format!("file/{name}")),
        name: name.to_owned(),
        rate: Rate { count, period: Duration::from_secs(60) },
        burst: count,
        algorithm: RateAlgorithm::TokenBucket,
        key: key.iter().map(|text| Attribute::parse(text).expect(text)).collect(),
        missing_key: MissingKey::ClientAddress,
        scope: RateScope::Shared,
        status: StatusCode::TOO_MANY_REQUESTS,
        headers: RateHeaders::None,
        exempt: Vec::new(),
        mode: RateMode::Enforce,
    }
}

struct Rule {
    limits: Limits,
    began: Instant,
}

impl Rule {
    fn new(limits: Vec<RateLimit>) -> Self {
        let began = Instant::now();
        let living = limits.into_iter().map(|limit| {
            let limiter = Limiter::new(&limit, 1000, began);
            (Arc::new(limit), Arc::new(limiter))
        });
        Self { limits: Limits::new(living.collect()), began }
    }

    fn ask(&self, client: &str, headers: &[(&str, &str)], after: u64) -> LimitOutcome {
        let parts = parts(headers);
        let route = RuleId::new("file/shop/0");
        let client = client.parse().expect("an address");
        let asked = Asked { parts: &parts, client, host: "h", path: "/", query: None, route: &route, listener: "l" };
        self.limits.check(&asked, self.began + Duration::from_secs(after))
    }

    fn passes(&self, client: &str, headers: &[(&str, &str)]) -> bool {
        self.ask(client, headers, 0).is_allowed()
    }
}

fn parts(headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::get("/");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request").into_parts().0
}

fn refusal(outcome: LimitOutcome) -> (String, u16, u64, String, bool) {
    let refusal = outcome.refusal.expect("a refusal");
    let met = refusal.met;
    let key = met.key_hash.is_some();
    (met.limit.name.clone(), refusal.status.as_u16(), refusal.retry_after, met.client.to_string(), key)
}

fn told(outcome: &LimitOutcome) -> Vec<String> {
    outcome.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().expect("text"))).collect()
}

#[test]
fn no_limits_are_nothing() {
    let rule = Rule::new(Vec::new());
    assert!(rule.limits.is_empty());
    assert!(rule.passes("10.0.0.1", &[]));
}

#[test]
fn the_first_that_does_not_pass_refuses() {
    let everybody = RateLimit { status: StatusCode::SERVICE_UNAVAILABLE, ..rate_limit("all", 3, &[]) };
    let rule = Rule::new(vec![rate_limit("one", 2, &["clientAddress"]), everybody]);
    assert!(rule.passes("2001:db8::1", &[]) && rule.passes("2001:db8::2", &[]));
    let refused = refusal(rule.ask("2001:db8::3", &[], 0));
    assert_eq!(refused, ("one".to_owned(), 429, 30, "2001:db8::".to_owned(), false), "one /64 is one client");
    assert!(rule.passes("10.0.0.2", &[]));
    let refused = refusal(rule.ask("10.0.0.2", &[], 0));
    assert_eq!(refused, ("all".to_owned(), 503, 20, "10.0.0.2".to_owned(), false));
    assert_eq!(refusal(rule.ask("10.0.0.2", &[], 19)).2, 1, "whole seconds, rounded up");
}

#[test]
fn a_refused_request_is_counted_by_no_limit() {
    let rule = Rule::new(vec![
        rate_limit("before", 5, &[]),
        rate_limit("one", 1, &["clientAddress"]),
        rate_limit("after", 4, &[]),
    ]);
    assert!(rule.passes("10.0.0.1", &[]));
    for _ in 0..50 {
        assert!(!rule.passes("10.0.0.1", &[]));
    }
    // Neither `before` nor `after` has counted the fifty.
    assert!(["10.0.0.2", "10.0.0.3", "10.0.0.4"].iter().all(|client| rule.passes(client, &[])));
    assert_eq!(refusal(rule.ask("10.0.0.5", &[], 0)).0, "after");
    // It was given back by `before` and by its own limit.
    assert_eq!(refusal(rule.ask("10.0.0.5", &[], 0)).0, "after");
}

#[test]
fn exempt_clients_are_not_counted() {
    let exempt = vec![Cidr::parse("10.0.0.0/8").expect("a range")];
    let rule = Rule::new(vec![RateLimit { exempt, ..rate_limit("all", 1, &[]) }]);
    assert!((0..5).all(|_| rule.passes("10.0.0.1", &[])));
    assert!(rule.passes("203.0.113.9", &[]));
    assert!(!rule.passes("203.0.113.9", &[]));
    assert!(rule.passes("::ffff:10.0.0.1", &[]));
}

#[test]
fn keys_count_apart_and_are_named_by_a_hash() {
    let rule = Rule::new(vec![rate_limit("keys", 1, &["header:x-key", "host"])]);
    assert!(rule.passes("10.0.0.1", &[("x-key", "a")]) && rule.passes("10.0.0.1", &[("x-key", "b")]));
    let (name, _, _, client, has_hash) = refusal(rule.ask("10.0.0.1", &[("x-key", "a")], 0));
    assert_eq!((name.as_str(), client.as_str(), has_hash), ("keys", "10.0.0.1", true));
}

#[test]
fn a_request_without_the_key_is_treated_as_configured() {
    let rule = |missing_key| Rule::new(vec![RateLimit { missing_key, ..rate_limit("keys", 1, &["header:x-key"]) }]);
    let by_client = rule(MissingKey::ClientAddress);
    assert!(by_client.passes("97.98.99.100", &[]) && by_client.passes("10.0.0.2", &[]));
    assert!(!refusal(by_client.ask("97.98.99.100", &[], 0)).4, "its address names it");
    assert!(by_client.passes("10.0.0.1", &[("x-key", "abcd")]), "a value with the bytes of an address is none");
    let skip = rule(MissingKey::Skip);
    assert!((0..5).all(|_| skip.passes("10.0.0.1", &[])));
    assert!(skip.passes("10.0.0.1", &[("x-key", "a")]) && !skip.passes("10.0.0.1", &[("x-key", "a")]));
    let reject = rule(MissingKey::Reject);
    assert_eq!(refusal(reject.ask("10.0.0.1", &[], 0)), ("keys".to_owned(), 429, 1, "10.0.0.1".to_owned(), false));
    assert!(reject.passes("10.0.0.1", &[("x-key", "a")]));
}

#[test]
fn a_limit_that_reports_refuses_nobody_and_is_not_told_of() {
    let headers = RateHeaders::Standard;
    let report = RateLimit { mode: RateMode::Report, headers, ..rate_limit("dry", 1, &[]) };
    let reject =
        RateLimit { missing_key: MissingKey::Reject, mode: RateMode::Report, ..rate_limit("key", 1, &["query:k"]) };
    let rule = Rule::new(vec![report, reject, rate_limit("real", 2, &[])]);
    let names = |outcome: &LimitOutcome| outcome.reported.iter().map(|met| met.limit.name.clone()).collect::<Vec<_>>();
    let first = rule.ask("10.0.0.1", &[], 0);
    assert!(first.is_allowed() && first.headers.is_empty());
    assert_eq!(names(&first), ["key"]);
    let second = rule.ask("10.0.0.1", &[], 0);
    assert!(second.is_allowed());
    assert_eq!(names(&second), ["dry", "key"]);
    assert_eq!(refusal(rule.ask("10.0.0.1", &[], 0)).0, "real");
}

#[test]
fn standard_headers_are_structured_fields() {
    let standard = |name, count| RateLimit { headers: RateHeaders::Standard, ..rate_limit(name, count, &[]) };
    let rule = Rule::new(vec![standard("per-client", 100), standard("a \"b\\\u{e9}", 2)]);
    assert_eq!(
        told(&rule.ask("10.0.0.1", &[], 0)),
        [
            r#"ratelimit-policy: "per-client";q=100;w=60, "a \"b\\?";q=2;w=60"#,
            r#"ratelimit: "per-client";r=99;t=1, "a \"b\\?";r=1;t=30"#
        ]
    );
    rule.ask("10.0.0.1", &[], 0);
    let refused = rule.ask("10.0.0.1", &[], 10);
    assert_eq!(
        told(&refused),
        [r#"ratelimit-policy: "a \"b\\?";q=2;w=60"#, r#"ratelimit: "a \"b\\?";r=0;t=50"#],
        "only the one that refused"
    );
    assert_eq!(refusal(refused).2, 20);
}

#[test]
fn legacy_headers_are_those_of_the_tightest() {
    let legacy = |name, count| RateLimit { headers: RateHeaders::Legacy, ..rate_limit(name, count, &[]) };
    let silent = rate_limit("silent", 1, &[]);
    let rule = Rule::new(vec![legacy("wide", 100), legacy("tight", 3), silent]);
    let wanted = ["x-ratelimit-limit: 3", "x-ratelimit-remaining: 2", "x-ratelimit-reset: 20"];
    assert_eq!(told(&rule.ask("10.0.0.1", &[], 0)), wanted);
    let refused = rule.ask("10.0.0.1", &[], 0);
    assert!(told(&refused).is_empty() && !refused.is_allowed(), "the one that refused is not to be told of");
}

#[test]
fn the_sliding_window_tells_in_the_same_words() {
    let window = RateLimit {
        algorithm: RateAlgorithm::SlidingWindow,
        headers: RateHeaders::Standard,
        ..rate_limit("w", 2, &["clientAddress"])
    };
    let rule = Rule::new(vec![window]);
    assert_eq!(
        told(&rule.ask("10.0.0.1", &[], 30)),
        [r#"ratelimit-policy: "w";q=2;w=60"#, r#"ratelimit: "w";r=1;t=90"#]
    );
    assert!(rule.passes("10.0.0.1", &[]));
    // Full at 30 s; at 90 s half of the two still counts.
    assert_eq!(refusal(rule.ask("10.0.0.1", &[], 31)).2, 59);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn many_limits_pass_what_a_list_of_counters_does(
        limits in proptest::collection::vec((1_u32..6, any::<bool>(), any::<bool>()), 0..5),
        clients in proptest::collection::vec(0_usize..3, 1..40),
    ) {
        let described = limits.iter().enumerate().map(|(index, (count, is_by_client, is_report))| RateLimit {
            mode: if *is_report { RateMode::Report } else { RateMode::Enforce },
            ..rate_limit(&format!("n{index}"), *count, if *is_by_client { &["clientAddress"] } else { &[] })
        });
        let rule = Rule::new(described.collect());
        // Of one moment: so a bucket is a counter.
        let mut counts = vec![[0_u32; 3]; limits.len()];
        for client in clients {
            let place = |index: usize| if limits[index].1 { client } else { 0 };
            let is_full = |index: &usize| counts[*index][place(*index)] >= limits[*index].0;
            let full: Vec<usize> = (0..limits.len()).filter(is_full).collect();
            let refusing = full.iter().find(|index| !limits[**index].2).copied();
            let outcome = rule.ask(&format!("10.0.0.{client}"), &[], 0);
            let name = outcome.refusal.map(|refusal| refusal.met.limit.name.clone());
            prop_assert_eq!(name, refusing.map(|index| format!("n{index}")));
            let reported = full.iter().take_while(|index| Some(**index) != refusing).count();
            prop_assert_eq!(outcome.reported.len(), reported);
            if refusing.is_none() {
                for index in (0..limits.len()).filter(|index| !full.contains(index)) {
                    counts[index][place(index)] += 1;
                }
            }
        }
    }
}
