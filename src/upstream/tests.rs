//! Sets of endpoints across changes.

use super::*;
use crate::config::UpstreamSettings;

fn described(members: &[(&str, u32, EndpointState)]) -> Arc<Upstream> {
    let endpoints = members
        .iter()
        .map(|(host, weight, state)| {
            let mut endpoint = Endpoint {
                id: EndpointId::new(""),
                host: (*host).to_owned(),
                port: 80,
                weight: *weight,
                state: *state,
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
        settings: UpstreamSettings::default(),
    })
}

fn live(members: &[(&str, u32, EndpointState)]) -> LiveUpstream {
    LiveUpstream::new(&described(members), ServiceMetrics::new("shop/users:http", 1))
}

const ACTIVE: EndpointState = EndpointState::Active;
const DRAINING: EndpointState = EndpointState::Draining;

fn picks(upstream: &LiveUpstream, count: usize) -> Vec<String> {
    let set = upstream.current();
    (0..count).filter_map(|_| set.pick(&[])).map(|endpoint| endpoint.id().as_str().to_owned()).collect()
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
    let set = upstream.current();
    for _ in 0..20 {
        let first = set.pick(&[]).expect("there are two");
        let second = set.pick(std::slice::from_ref(&first)).expect("there are two");
        assert!(!Arc::ptr_eq(&first, &second));
        let third = set.pick(&[first, second]);
        assert!(third.is_some(), "when all were tried, any is better than none");
    }
}

#[test]
fn load_is_given_back_once() {
    let upstream = live(&[("10.0.0.1", 1, ACTIVE)]);
    let endpoint = upstream.current().pick(&[]).expect("there is one");
    let first = endpoint.begin();
    let second = endpoint.begin();
    assert_eq!(endpoint.in_flight(), 2);
    drop(first);
    drop(second);
    assert_eq!(endpoint.in_flight(), 0);
}
