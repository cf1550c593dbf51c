//! The limiter as a whole: what is another identity, and that all kinds obey.

use http::StatusCode;

use super::*;
use crate::config::traffic::{MissingKey, RateHeaders, RateMode, RateScope};
use crate::config::units::Rate;

fn limit(algorithm: RateAlgorithm, key: Vec<Attribute>) -> RateLimit {
    RateLimit {
        id: LimiterId::new("policies/public/one"),
        name: "one".to_owned(),
        rate: Rate { count: 5, period: Duration::from_secs(10) },
        burst: 5,
        algorithm,
        key,
        missing_key: MissingKey::ClientAddress,
        scope: RateScope::Shared,
        status: StatusCode::TOO_MANY_REQUESTS,
        headers: RateHeaders::None,
        exempt: Vec::new(),
        mode: RateMode::Enforce,
    }
}

fn key(limiter: &Limiter, bytes: &[u8]) -> Key {
    let mut builder = limiter.key_builder();
    builder.feed(bytes);
    builder.finish()
}

const KINDS: [(RateAlgorithm, bool); 4] = [
    (RateAlgorithm::TokenBucket, false),
    (RateAlgorithm::TokenBucket, true),
    (RateAlgorithm::SlidingWindow, false),
    (RateAlgorithm::SlidingWindow, true),
];

#[test]
fn every_kind_refuses_the_sixth_and_forgets_in_time() {
    for (algorithm, has_key) in KINDS {
        let began = Instant::now();
        let limiter = Limiter::new(&limit(algorithm, vec![Attribute::Host; usize::from(has_key)]), 100, began);
        let now = began + Duration::from_secs(3);
        let (one, other) = (key(&limiter, b"a"), key(&limiter, b"b"));
        let passed = (0..7).filter(|_| limiter.check(one, now).is_allowed).count();
        assert_eq!(passed, 5, "{algorithm:?}");
        assert_eq!(limiter.check(other, now).is_allowed, has_key, "without a key all are counted together");
        limiter.give_back(one, now);
        assert_eq!((0..3).filter(|_| limiter.check(one, now).is_allowed).count(), 1);
        let later = now + Duration::from_secs(20);
        limiter.collect(later);
        assert_eq!(limiter.keys(), 0);
        assert_eq!(limiter.check(one, later).remaining, 4);
    }
}

#[test]
fn a_new_rate_keeps_the_counts_of_every_kind() {
    for (algorithm, has_key) in KINDS {
        let began = Instant::now();
        let described = limit(algorithm, vec![Attribute::Host; usize::from(has_key)]);
        let limiter = Limiter::new(&described, 100, began);
        let key = key(&limiter, b"a");
        for _ in 0..4 {
            limiter.check(key, began);
        }
        let rate = Rate { count: 8, period: Duration::from_secs(10) };
        let changed = RateLimit { rate, burst: 8, status: StatusCode::SERVICE_UNAVAILABLE, ..described };
        assert!(limiter.is_same_kind(&changed));
        limiter.update(&changed, began);
        assert_eq!((0..9).filter(|_| limiter.check(key, began).is_allowed).count(), 4, "{algorithm:?}");
    }
}

#[test]
fn another_name_key_or_algorithm_is_another_limiter() {
    let described = limit(RateAlgorithm::TokenBucket, vec![Attribute::Host]);
    let limiter = Limiter::new(&described, 100, Instant::now());
    assert!(limiter.is_same_kind(&described));
    let others = [
        RateLimit { id: LimiterId::new("policies/public/two"), ..described.clone() },
        RateLimit { key: vec![Attribute::Path], ..described.clone() },
        RateLimit { algorithm: RateAlgorithm::SlidingWindow, ..described },
    ];
    assert!(others.iter().all(|other| !limiter.is_same_kind(other)));
}

#[test]
fn h125_a_time_before_the_beginning_is_the_beginning() {
    let began = Instant::now() + Duration::from_secs(3600);
    let limiter = Limiter::new(&limit(RateAlgorithm::TokenBucket, Vec::new()), 1, began);
    let early = began - Duration::from_secs(1800);
    assert_eq!((0..9).filter(|_| limiter.check(Key::ALL, early).is_allowed).count(), 5);
    assert!(!limiter.check(Key::ALL, began).is_allowed, "what was used before is used now");
}
