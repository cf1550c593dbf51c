//! Snapshots after changes equal snapshots made from nothing.

use http::{HeaderMap, Method};
use proptest::prelude::*;

use crate::config::{Gateway, Match, PathMatch, Route, RuleId, Source, Target, Upstream, UpstreamId, UpstreamSettings};
use crate::observe::metrics::Metrics;
use crate::router::{Decision, Head};

use super::*;

fn compiler() -> Compiler {
    Compiler::new(Arc::new(Registry::new(Arc::new(Metrics::new(1).expect("names are unique")))))
}

fn route(number: usize, host: usize, path: usize) -> Arc<Route> {
    let id = UpstreamId::new(format!("u{number}"));
    let rule = Rule {
        id: RuleId::new(number.to_string()),
        name: number.to_string(),
        at: String::new(),
        matches: Match { path: PathMatch::Prefix(format!("/{path}")), ..Match::everything() },
        action: Action::Forward(vec![Target::plain(Destination::Upstream(id), 1)]),
        priority: 0,
        traffic: Arc::default(),
    };
    let hosts = if host == 0 { Vec::new() } else { vec![HostPattern::Exact(format!("h{host}"))] };
    Arc::new(Route { source: Source::File, hosts, listeners: Vec::new(), rules: vec![Arc::new(rule)] })
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
            settings: UpstreamSettings::default(),
        })
    };
    let upstreams = routes.iter().map(upstream).collect();
    Arc::new(Gateway { routes: routes.to_vec(), upstreams, ..Gateway::default() })
}

fn decisions(snapshot: &Snapshot) -> Vec<String> {
    let (method, headers) = (Method::GET, HeaderMap::new());
    let ask = |host: usize, path: usize| {
        let (host, path) = (format!("h{host}"), format!("/{path}"));
        match snapshot.table.decide(&Head { host: &host, path: &path, method: &method, headers: &headers }) {
            Decision::Rule(found) => found.rule.name.clone(),
            other => format!("{other:?}"),
        }
    };
    (0..4).flat_map(|host| (0..4).map(move |path| (host, path))).map(|(host, path)| ask(host, path)).collect()
}

proptest! {
    #[test]
    fn after_every_change_all_is_as_if_made_from_nothing(
        changes in proptest::collection::vec((any::<bool>(), 0_usize..8, 0_usize..4, 0_usize..4), 1..20),
    ) {
        let mut running = compiler();
        let mut routes: Vec<Arc<Route>> = Vec::new();
        for (number, (adds, at, host, path)) in changes.into_iter().enumerate() {
            if adds || routes.is_empty() {
                routes.insert(at.min(routes.len()), route(number, host, path));
            } else {
                routes.remove(at % routes.len());
            }
            let offer = Offer { number: number as u64, gateway: gateway(&routes) };
            let (changed, fresh) = (running.compile(&offer), compiler().compile(&offer));
            prop_assert_eq!(decisions(&changed), decisions(&fresh));
        }
    }
}

#[test]
fn a_host_whose_rules_did_not_change_keeps_its_table() {
    let mut compiler = compiler();
    let (first, second) = (route(1, 1, 1), route(2, 2, 1));
    let before = compiler.compile(&Offer { number: 1, gateway: gateway(&[first.clone(), second]) });
    let after = compiler.compile(&Offer { number: 2, gateway: gateway(&[first, route(3, 2, 1)]) });
    let table = |snapshot: &Snapshot, host: &str| {
        snapshot.table.get(Some(&HostPattern::Exact(host.into()))).cloned().expect("the host is there")
    };
    assert!(Arc::ptr_eq(&table(&before, "h1"), &table(&after, "h1")));
    assert!(!Arc::ptr_eq(&table(&before, "h2"), &table(&after, "h2")));
}

#[test]
fn a_living_upstream_stays_while_its_name_does() {
    let mut compiler = compiler();
    let id = UpstreamId::new("u1");
    compiler.compile(&Offer { number: 1, gateway: gateway(&[route(1, 1, 1)]) });
    let before = compiler.registry.find(&id).expect("it is described");
    compiler.compile(&Offer { number: 2, gateway: gateway(&[route(1, 2, 3), route(2, 0, 0)]) });
    let after = compiler.registry.find(&id).expect("it is described");
    assert!(Arc::ptr_eq(&before, &after));
    compiler.compile(&Offer { number: 3, gateway: gateway(&[]) });
    assert!(compiler.registry.find(&id).is_none());
}
