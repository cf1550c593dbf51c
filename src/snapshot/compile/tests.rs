//! Snapshots after changes equal snapshots made from nothing.

use std::net::Ipv4Addr;

use http::{HeaderMap, Method};
use proptest::prelude::*;

use crate::config::{
    Gateway, HostPattern, Match, PathMatch, Route, RuleId, Source, Target, Upstream, UpstreamId, UpstreamSettings,
};
use crate::observe::metrics::Metrics;
use crate::router::{Decision, Head};

use super::*;

fn compiler() -> Compiler {
    Compiler::new(Arc::new(Registry::new(Arc::new(Metrics::new(1).expect("names are unique")))))
}

fn rule(name: &str, path: PathMatch) -> Arc<Rule> {
    Arc::new(Rule {
        id: RuleId::new(name),
        name: name.to_owned(),
        at: String::new(),
        matches: Match::path(path),
        action: Action::Forward(vec![Target::plain(Destination::Upstream(UpstreamId::new(format!("u{name}"))), 1)]),
        priority: 0,
        traffic: Arc::default(),
    })
}

fn route_on(listeners: &[&str], number: usize, host: usize, path: usize) -> Arc<Route> {
    let hosts = if host == 0 { Vec::new() } else { vec![HostPattern::Exact(format!("h{host}"))] };
    let listeners = listeners.iter().map(|name| (*name).to_owned()).collect();
    let rules = vec![rule(&number.to_string(), PathMatch::Prefix(format!("/{path}")))];
    Arc::new(Route { source: Source::File, hosts, listeners, rules })
}

fn route(number: usize, host: usize, path: usize) -> Arc<Route> {
    route_on(&[], number, host, path)
}

fn gateway(routes: &[Arc<Route>]) -> Arc<Gateway> {
    let upstream = |route: &Arc<Route>| {
        let id = UpstreamId::new(format!("u{}", route.rules[0].name));
        let label = id.to_string();
        Arc::new(Upstream {
            id,
            label,
            is_of_urls: false,
            endpoints: Vec::new(),
            prefers_zone: false,
            denied: Arc::default(),
            settings: UpstreamSettings::default().into(),
        })
    };
    let upstreams = routes.iter().map(upstream).collect();
    Arc::new(Gateway { routes: routes.to_vec(), upstreams, ..Gateway::default() })
}

fn answer(snapshot: &Snapshot, listener: &str, host: &str, path: &str) -> String {
    let (method, headers) = (Method::GET, HeaderMap::new());
    let client = Ipv4Addr::LOCALHOST.into();
    let head = Head { host, path, query: None, method: &method, headers: &headers, client };
    match snapshot.table(listener).decide(&head) {
        Decision::Rule(found) => found.rule.name.clone(),
        other => format!("{other:?}"),
    }
}

fn decisions(snapshot: &Snapshot) -> Vec<String> {
    let mut decisions = Vec::new();
    for listener in ["a", "b", "c"] {
        for (host, path) in (0..4).flat_map(|host| (0..4).map(move |path| (host, path))) {
            decisions.push(answer(snapshot, listener, &format!("h{host}"), &format!("/{path}")));
        }
    }
    decisions
}

fn offer(number: usize, routes: &[Arc<Route>]) -> Offer {
    Offer { number: number as u64, gateway: gateway(routes), stale_since: None }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn after_every_change_all_is_as_if_made_from_nothing(
        changes in proptest::collection::vec(
            (0_u8..3, 0_usize..20, 0_usize..4, 0_usize..4, proptest::sample::subsequence(vec!["a", "b"], 0..=2)),
            1..60,
        ),
    ) {
        let mut running = compiler();
        let mut routes: Vec<Arc<Route>> = Vec::new();
        for (number, (what, at, host, path, listeners)) in changes.into_iter().enumerate() {
            if what > 0 || routes.is_empty() {
                routes.insert(at.min(routes.len()), route_on(&listeners, number, host, path));
            } else {
                routes.remove(at % routes.len());
            }
            let offer = offer(number, &routes);
            let (changed, fresh) = (running.compile(&offer), compiler().compile(&offer));
            prop_assert_eq!(decisions(&changed), decisions(&fresh));
        }
    }
}

fn table_of(snapshot: &Snapshot, listener: &str, host: &str) -> Arc<crate::router::HostTable<Arc<Plan>>> {
    snapshot.table(listener).get(Some(&HostPattern::Exact(host.into()))).cloned().expect("the host is there")
}

#[test]
fn a_host_whose_rules_did_not_change_keeps_its_table() {
    let mut compiler = compiler();
    let (first, second) = (route(1, 1, 1), route(2, 2, 1));
    let before = compiler.compile(&offer(1, &[first.clone(), second]));
    let after = compiler.compile(&offer(2, &[first, route(3, 2, 1)]));
    assert!(Arc::ptr_eq(&table_of(&before, "", "h1"), &table_of(&after, "", "h1")));
    assert!(!Arc::ptr_eq(&table_of(&before, "", "h2"), &table_of(&after, "", "h2")));
}

#[test]
fn listeners_share_the_hosts_that_are_the_same_on_all() {
    let mut compiler = compiler();
    let common = [route(1, 1, 1), route(2, 2, 1)];
    let special = route_on(&["a"], 3, 2, 2);
    let with_special = [common[0].clone(), common[1].clone(), special];
    let snapshot = compiler.compile(&offer(1, &with_special));
    assert_eq!(answer(&snapshot, "a", "h2", "/2"), "3");
    assert_eq!(answer(&snapshot, "b", "h2", "/2"), "NoRoute");
    let is_shared =
        |snapshot: &Snapshot, host: &str| Arc::ptr_eq(&table_of(snapshot, "a", host), &table_of(snapshot, "b", host));
    assert!(is_shared(&snapshot, "h1") && !is_shared(&snapshot, "h2"));
    // One more for all changes both, one that goes makes them one again.
    let more = route(4, 1, 2);
    let snapshot = compiler.compile(&offer(2, &[&with_special[..], &[more]].concat()));
    assert!(is_shared(&snapshot, "h1"));
    assert_eq!(answer(&snapshot, "a", "h1", "/2"), "4");
    let snapshot = compiler.compile(&offer(3, &[&common[..], &[route_on(&["a"], 5, 3, 1)]].concat()));
    assert!(is_shared(&snapshot, "h2"));
}

#[test]
fn a_rule_keeps_its_plan_wherever_it_moves() {
    let mut compiler = compiler();
    let (first, second) = (route(1, 1, 1), route(2, 2, 1));
    let before = compiler.compile(&offer(1, &[first.clone(), second.clone()]));
    let rules = first.rules.clone();
    let moved = Arc::new(Route { hosts: vec![HostPattern::Exact("h3".into())], rules, ..(*second).clone() });
    let after = compiler.compile(&offer(2, &[second, moved]));
    let plan = |snapshot: &Snapshot, host: &str| Arc::clone(&table_of(snapshot, "", host).candidates()[0].plan);
    assert!(Arc::ptr_eq(&plan(&before, "h1"), &plan(&after, "h3")));
    assert!(Arc::ptr_eq(&plan(&before, "h2"), &plan(&after, "h2")));
}

#[test]
fn a_living_upstream_stays_while_its_name_does() {
    let mut compiler = compiler();
    let id = UpstreamId::new("u1");
    compiler.compile(&offer(1, &[route(1, 1, 1)]));
    let before = compiler.registry.find(&id).expect("it is described");
    compiler.compile(&offer(2, &[route(1, 2, 3), route(2, 0, 0)]));
    let after = compiler.registry.find(&id).expect("it is described");
    assert!(Arc::ptr_eq(&before, &after));
    compiler.compile(&offer(3, &[]));
    assert!(compiler.registry.find(&id).is_none());
}

/// Without upstreams: what they cost is another matter.
fn answering(routes: &[Arc<Route>]) -> Offer {
    Offer { number: 1, gateway: Arc::new(Gateway { routes: routes.to_vec(), ..Gateway::default() }), stale_since: None }
}

fn broken(host: usize, path: usize) -> Arc<Route> {
    let of = route(path, host, path);
    let rule = Rule { action: Action::Broken, ..(*of.rules[0]).clone() };
    Arc::new(Route { rules: vec![Arc::new(rule)], ..(*of).clone() })
}

#[test]
fn h117_of_a_hundred_thousand_hosts_a_change_copies_what_is_around_it() {
    const MANY: usize = 100_000;
    let mut compiler = compiler();
    let mut routes: Vec<Arc<Route>> = (1..=MANY).map(|host| broken(host, 1)).collect();
    let before = compiler.compile(&answering(&routes));
    assert_eq!(before.table("").hosts(), MANY);
    routes[MANY / 2] = broken(MANY / 2 + 1, 2);
    let after = compiler.compile(&answering(&routes));
    assert_eq!(after.table("").shards_not_shared_with(before.table("")), 1);
    let host = format!("h{}", MANY / 2 + 1);
    assert_eq!((answer(&before, "", &host, "/1"), answer(&before, "", &host, "/2")), ("1".into(), "NoRoute".into()));
    assert_eq!((answer(&after, "", &host, "/1"), answer(&after, "", &host, "/2")), ("NoRoute".into(), "2".into()));
}

#[test]
fn h117_of_a_hundred_thousand_rules_of_one_host_a_change_copies_what_is_around_it() {
    const MANY: usize = 100_000;
    let mut compiler = compiler();
    let mut routes: Vec<Arc<Route>> = (1..=MANY).map(|path| broken(1, path)).collect();
    let before = compiler.compile(&answering(&routes));
    routes.insert(MANY / 2, broken(1, MANY + 1));
    let after = compiler.compile(&answering(&routes));
    let (old, new) = (table_of(&before, "", "h1"), table_of(&after, "", "h1"));
    assert_eq!((old.len(), new.len()), (MANY, MANY + 1));
    assert_eq!(new.shards_not_shared_with(&old), 1);
    let added = format!("/{}", MANY + 1);
    assert_eq!(
        (answer(&before, "", "h1", &added), answer(&after, "", "h1", &added)),
        ("NoRoute".into(), "100001".into())
    );
}
