//! Sets of endpoints across changes.

use std::time::Duration;

use http::StatusCode;

use super::*;
use crate::config::traffic::Algorithm;
use crate::config::upstream::{CircuitBreaker, Limits, SlowStart};
use crate::config::{EndpointId, EndpointState, UpstreamSettings};
use crate::lb::Ask;

fn described(members: &[(&str, u32, EndpointState)]) -> Arc<Upstream> {
    described_with(members, UpstreamSettings::default())
}

fn described_with(members: &[(&str, u32, EndpointState)], settings: UpstreamSettings) -> Arc<Upstream> {
    let endpoints = members
        .iter()
        .map(|(host, weight, state)| {
            let mut endpoint = Endpoint {
                id: EndpointId::new(""),
                host: (*host).to_owned(),
                port: 80,
                weight: *weight,
                state: *state,
                zone: None,
            };
            endpoint.id = EndpointId::new(endpoint.authority());
            endpoint
        })
        .collect();
    Arc::new(Upstream {
        id: UpstreamId::new("shop/users:http"),
        label: "shop/users:http".into(),
        is_of_urls: false,
        endpoints,
        prefers_zone: false,
        denied: Arc::default(),
        settings: settings.into(),
    })
}

fn by(algorithm: Algorithm) -> LoadBalancer {
    LoadBalancer { algorithm, zone: None }
}

fn live(members: &[(&str, u32, EndpointState)]) -> Arc<LiveUpstream> {
    live_with(members, UpstreamSettings::default())
}

fn live_with(members: &[(&str, u32, EndpointState)], settings: UpstreamSettings) -> Arc<LiveUpstream> {
    let metrics = ServiceMetrics::new("shop/users:http", 1);
    Arc::new(LiveUpstream::new(&described_with(members, settings), metrics, None))
}

fn pick(upstream: &Arc<LiveUpstream>, tried: &[Arc<LiveEndpoint>], now: Instant) -> Result<Permit, NoEndpoint> {
    let choice = upstream.choice(&by(Algorithm::RoundRobin));
    upstream.current().pick(upstream, &choice, Ask::default(), tried, now)
}

const ACTIVE: EndpointState = EndpointState::Active;
const DRAINING: EndpointState = EndpointState::Draining;

fn picks(upstream: &Arc<LiveUpstream>, count: usize) -> Vec<String> {
    let choice = upstream.choice(&by(Algorithm::RoundRobin));
    let now = Instant::now();
    let one = || upstream.current().pick(upstream, &choice, Ask::default(), &[], now);
    (0..count).filter_map(|_| one().ok()).map(|permit| permit.endpoint().id().as_str().to_owned()).collect()
}

#[test]
fn a_changed_weight_keeps_the_living_endpoint() {
    let upstream = live(&[("10.0.0.1", 1, ACTIVE), ("10.0.0.2", 1, ACTIVE)]);
    let before: Vec<_> = upstream.current().members().iter().map(|m| Arc::clone(&m.endpoint)).collect();
    upstream.update(&described(&[("10.0.0.2", 7, ACTIVE), ("10.0.0.3", 1, ACTIVE)]));
    let after = upstream.current();
    assert!(Arc::ptr_eq(&after.members()[0].endpoint, &before[1]));
    assert!(before[0].is_retired() && !before[1].is_retired());
}

#[test]
fn draining_endpoints_serve_only_when_no_active_one_is_left() {
    let upstream = live(&[("10.0.0.1", 1, DRAINING), ("10.0.0.2", 1, ACTIVE)]);
    assert!(picks(&upstream, 10).iter().all(|id| id == "10.0.0.2:80"));
    upstream.update(&described(&[("10.0.0.1", 1, DRAINING)]));
    assert_eq!(picks(&upstream, 1), ["10.0.0.1:80"]);
    upstream.update(&described(&[]));
    assert!(picks(&upstream, 1).is_empty());
}

#[test]
fn another_endpoint_is_picked_for_a_second_try() {
    let upstream = live(&[("10.0.0.1", 9, ACTIVE), ("10.0.0.2", 1, ACTIVE)]);
    let now = Instant::now();
    for _ in 0..20 {
        let first = pick(&upstream, &[], now).map(|permit| Arc::clone(permit.endpoint())).expect("there are two");
        let second = pick(&upstream, std::slice::from_ref(&first), now).expect("there are two");
        let second = Arc::clone(second.endpoint());
        assert!(!Arc::ptr_eq(&first, &second));
        assert!(pick(&upstream, &[first, second], now).is_ok(), "when all were tried, any is better than none");
    }
}

#[test]
fn h084_load_is_given_back_once() {
    let upstream = live(&[("10.0.0.1", 1, ACTIVE)]);
    let first = pick(&upstream, &[], Instant::now()).expect("there is one");
    let second = pick(&upstream, &[], Instant::now()).expect("there is one");
    let endpoint = Arc::clone(first.endpoint());
    assert_eq!(endpoint.in_flight(), 2);
    drop(first);
    drop(second);
    assert_eq!(endpoint.in_flight(), 0);
}

#[test]
fn two_rules_that_choose_alike_move_one_cursor_and_an_unused_choice_makes_room() {
    let upstream = live(&[("10.0.0.1", 1, ACTIVE), ("10.0.0.2", 1, ACTIVE)]);
    let (first, second) = (upstream.choice(&by(Algorithm::RoundRobin)), upstream.choice(&by(Algorithm::RoundRobin)));
    assert!(Arc::ptr_eq(&first, &second));
    let random = upstream.choice(&by(Algorithm::Random));
    let number = random.number();
    drop(random);
    assert_eq!(upstream.choice(&by(Algorithm::LeastConnections)).number(), number);
}

#[test]
fn h102_an_endpoint_that_fails_in_a_row_is_left_alone_but_never_the_last_one() {
    let upstream = live(&[("10.0.0.1", 1, ACTIVE), ("10.0.0.2", 1, ACTIVE)]);
    let _held = upstream.choice(&by(Algorithm::RoundRobin));
    let now = Instant::now();
    let fail_all = |times: usize| {
        for _ in 0..times {
            let mut permit = pick(&upstream, &[], now).expect("somebody is left");
            permit.settle(Outcome::Failed, now);
        }
    };
    fail_all(30);
    let ids = picks(&upstream, 10);
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "one of two is out: {ids:?}");
    let later = now + Duration::from_secs(11);
    let first = pick(&upstream, &[], later).expect("there are two again");
    let second = pick(&upstream, &[], later).expect("there are two again");
    assert!(!Arc::ptr_eq(first.endpoint(), second.endpoint()));
}

#[test]
fn an_open_breaker_is_obeyed_and_says_when_to_come_back() {
    let settings = UpstreamSettings {
        circuit_breaker: Some(CircuitBreaker { min_requests: 4, ..CircuitBreaker::default() }),
        passive_health: None,
        ..UpstreamSettings::default()
    };
    let upstream = live_with(&[("10.0.0.1", 1, ACTIVE)], settings);
    let now = Instant::now();
    for _ in 0..4 {
        let mut permit = pick(&upstream, &[], now).expect("it is closed");
        permit.settle(Outcome::Answered(StatusCode::INTERNAL_SERVER_ERROR, Duration::ZERO), now);
    }
    match pick(&upstream, &[], now) {
        Err(NoEndpoint::CircuitOpen(after)) => assert!(after > Duration::from_secs(9), "{after:?}"),
        other => panic!("{other:?}"),
    }
    // A new threshold keeps the state, an edit of the weight too.
    upstream.update(&described(&[("10.0.0.1", 5, ACTIVE)]));
    assert!(pick(&upstream, &[], now).is_ok(), "without a breaker nothing is obeyed");
}

#[test]
fn what_is_full_is_told_apart_from_what_is_empty() {
    let limits = Limits { per_endpoint_requests: Some(1), ..Limits::default() };
    let upstream = live_with(&[("10.0.0.1", 1, ACTIVE)], UpstreamSettings { limits, ..UpstreamSettings::default() });
    let now = Instant::now();
    let held = pick(&upstream, &[], now).expect("there is room");
    assert_eq!(pick(&upstream, &[], now).err(), Some(NoEndpoint::Full));
    drop(held);
    assert!(pick(&upstream, &[], now).is_ok());
    assert_eq!(pick(&live(&[]), &[], now).err(), Some(NoEndpoint::Empty));
}

#[test]
fn h103_when_all_are_unhealthy_all_are_tried_unless_told_otherwise() {
    let active = crate::config::upstream::ActiveHealth {
        probe: crate::config::upstream::Probe::Tcp,
        port: None,
        interval: Duration::from_secs(5),
        timeout: Duration::from_secs(2),
        healthy_after: 2,
        unhealthy_after: 1,
    };
    for (panic_percent, is_tried) in [(1, true), (0, false)] {
        let settings =
            UpstreamSettings { panic_percent, active_health: Some(active.clone()), ..UpstreamSettings::default() };
        let upstream = live_with(&[("10.0.0.1", 1, ACTIVE), ("10.0.0.2", 1, ACTIVE)], settings);
        for member in upstream.current().members() {
            member.endpoint.health().active().record(false, &active);
        }
        let picked = pick(&upstream, &[], Instant::now());
        assert_eq!(picked.is_ok(), is_tried, "{panic_percent}");
        assert_eq!(picked.err(), (!is_tried).then_some(NoEndpoint::Unhealthy));
    }
}

#[test]
fn a_new_endpoint_warms_up() {
    let slow = SlowStart::default();
    let upstream = live(&[("10.0.0.1", 1, ACTIVE)]);
    let endpoint = Arc::clone(&upstream.current().members()[0].endpoint);
    let now = Instant::now();
    assert_eq!(endpoint.warmth(&slow, now, 100), 10);
    assert!((49..=51).contains(&endpoint.warmth(&slow, now + Duration::from_secs(15), 100)));
    assert_eq!(endpoint.warmth(&slow, now + Duration::from_secs(31), 100), 100);
}

#[test]
fn requests_stay_in_the_own_zone_if_the_rule_or_else_the_upstream_says_so() {
    let mut described = (*described(&[("10.0.0.1", 1, ACTIVE), ("10.0.0.2", 1, ACTIVE)])).clone();
    for (endpoint, zone) in described.endpoints.iter_mut().zip(["a", "b"]) {
        endpoint.zone = Some(zone.to_owned());
    }
    let hosts = |prefers_zone, zone, own: Option<&str>| {
        let described = Arc::new(Upstream { prefers_zone, ..described.clone() });
        let upstream = Arc::new(LiveUpstream::new(&described, ServiceMetrics::new("x", 1), own));
        let choice = upstream.choice(&LoadBalancer { algorithm: Algorithm::RoundRobin, zone });
        let mut hosts: Vec<String> = (0..4)
            .map(|_| upstream.current().pick(&upstream, &choice, Ask::default(), &[], Instant::now()).unwrap())
            .map(|permit| permit.endpoint().authority().to_owned())
            .collect();
        hosts.dedup();
        hosts
    };
    assert_eq!(hosts(false, Some(ZoneUse::Prefer), Some("b")), ["10.0.0.2:80"]);
    assert_eq!(hosts(true, None, Some("b")), ["10.0.0.2:80"]);
    assert_eq!(hosts(true, Some(ZoneUse::Ignore), Some("b")).len(), 4);
    assert_eq!(hosts(true, None, None).len(), 4, "nobody knows where we are");
    assert_eq!(hosts(false, None, Some("b")).len(), 4);
}
