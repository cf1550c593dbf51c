//! Goldens: `tests/golden/translate/<case>.in.yaml` is a World, `.out.yaml` what comes of it; a `.config.yaml` beside
//! them is the operator's file.
//! Properties: remembering changes nothing but the work.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::config::Source;
use crate::controller::manifest::read_world;
use crate::controller::status::{self, InEffect};
use crate::controller::world::{Change, ClassSettings, Kind, Object, Watched};

fn golden_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/translate")
}

/// Gateway, then verdicts with the conditions that their statuses would have.
fn render(translation: &Translation) -> String {
    let at = Timestamp::UNIX_EPOCH;
    let in_effect = Some(InEffect { at, after: Some(Duration::from_millis(1)) });
    let verdict = |verdict: &Arc<Verdict>| {
        let status = status::next(verdict, in_effect, None, None, at).unwrap();
        let conditions: Vec<String> = status
            .conditions
            .iter()
            .map(|c| format!("{}={} {} {}", c.type_, c.status, c.reason, c.message).trim_end().to_owned())
            .collect();
        let mut value = serde_json::to_value(verdict).unwrap();
        value["conditions"] = json!(conditions);
        value
    };
    let verdicts: Vec<Value> = translation.verdicts.iter().map(verdict).collect();
    let policies: Vec<Value> = translation.policies.iter().map(verdict).collect();
    let mut gateway = serde_json::to_value(&translation.gateway).unwrap();
    gateway.as_object_mut().unwrap().retain(|key, _| key == "routes" || key == "upstreams");
    let mut all = json!({"gateway": gateway, "verdicts": verdicts});
    if !policies.is_empty() {
        all["policies"] = json!(policies);
    }
    serde_yaml::to_string(&all).unwrap()
}

fn operator_file(text: &str) -> Arc<OperatorFile> {
    let loaded = crate::config::file::parse(&[("sluice.yaml".to_owned(), text.to_owned())]);
    Arc::new(loaded.unwrap_or_else(|problems| panic!("{problems:?}")).into())
}

#[test]
fn goldens() {
    let bless = std::env::var_os("SLUICE_BLESS").is_some();
    let mut wrong = String::new();
    let mut cases = 0;
    for file in std::fs::read_dir(golden_folder()).unwrap() {
        let input = file.unwrap().path();
        let Some(case) = input.to_str().and_then(|path| path.strip_suffix(".in.yaml")) else { continue };
        cases += 1;
        let mut world = read_world(&std::fs::read_to_string(&input).unwrap(), ClassSettings::default()).unwrap();
        if let Ok(text) = std::fs::read_to_string(format!("{case}.config.yaml")) {
            world.operator = operator_file(&text);
        }
        let found = render(&translate(&world));
        let expected_path = format!("{case}.out.yaml");
        if bless {
            std::fs::write(&expected_path, &found).unwrap();
        }
        if std::fs::read_to_string(&expected_path).unwrap_or_default() != found {
            writeln!(wrong, "{case}: is now\n{found}").unwrap();
        }
    }
    assert!(cases > 15, "only {cases} cases found");
    assert!(wrong.is_empty(), "{wrong}run with SLUICE_BLESS=1 and review the diff");
}

#[derive(Clone, Debug)]
enum Edit {
    Route { name: usize, namespace: usize, age: i64, hosts: Vec<usize>, path: usize, service: usize, extra: usize },
    Policy { name: usize, namespace: usize, content: usize },
    NoPolicy { name: usize, namespace: usize },
    Leave { from: usize, to: usize },
    NoLeave { to: usize },
    File(usize),
    NoRoute { name: usize, namespace: usize },
    Settings { name: usize, namespace: usize, age: i64, service: usize, connect: usize },
    Service { name: usize, namespace: usize, port: usize },
    NoService { name: usize, namespace: usize },
    Slice { name: usize, namespace: usize, service: usize, addresses: Vec<(u8, usize)> },
    NoSlices,
    Hold { name: usize, namespace: usize },
    ReleaseAll,
}

fn edit() -> impl Strategy<Value = Edit> {
    let route = (
        0..4_usize,
        0..2_usize,
        0..4_i64,
        prop::collection::vec(0..4_usize, 0..3),
        0..3_usize,
        0..3_usize,
        0..EXTRAS.len(),
    );
    prop_oneof![
        6 => route.prop_map(|(name, namespace, age, hosts, path, service, extra)| {
            Edit::Route { name, namespace, age, hosts, path, service, extra }
        }),
        2 => (0..2_usize, 0..2_usize, 0..POLICIES.len())
            .prop_map(|(name, namespace, content)| Edit::Policy { name, namespace, content }),
        1 => (0..2_usize, 0..2_usize).prop_map(|(name, namespace)| Edit::NoPolicy { name, namespace }),
        1 => (0..2_usize, 0..2_usize).prop_map(|(from, to)| Edit::Leave { from, to }),
        1 => (0..2_usize).prop_map(|to| Edit::NoLeave { to }),
        2 => (0..FILES.len()).prop_map(Edit::File),
        2 => (0..4_usize, 0..2_usize).prop_map(|(name, namespace)| Edit::NoRoute { name, namespace }),
        1 => (0..4_usize, 0..2_usize, 0..4_i64, 0..3_usize, 0..3_usize)
            .prop_map(|(name, namespace, age, service, connect)| Edit::Settings { name, namespace, age, service, connect }),
        3 => (0..3_usize, 0..2_usize, 0..6_usize).prop_map(|(name, namespace, port)| Edit::Service { name, namespace, port }),
        1 => (0..3_usize, 0..2_usize).prop_map(|(name, namespace)| Edit::NoService { name, namespace }),
        4 => (0..3_usize, 0..2_usize, 0..3_usize, prop::collection::vec((0..5_u8, 0..4_usize), 0..4))
            .prop_map(|(name, namespace, service, addresses)| Edit::Slice { name, namespace, service, addresses }),
        1 => Just(Edit::NoSlices),
        1 => (0..4_usize, 0..2_usize).prop_map(|(name, namespace)| Edit::Hold { name, namespace }),
        1 => Just(Edit::ReleaseAll),
    ]
}

/// What is put into the first rule of an object, or beside its routes.
const EXTRAS: [&str; 10] = [
    "{}",
    r#"{"rule": {"priority": 7}}"#,
    r#"{"rule": {"use": ["p0"]}}"#,
    r#"{"rule": {"use": ["n1/p1", "p0"]}}"#,
    r#"{"rule": {"path": "nonsense"}}"#,
    r#"{"rule": {"backends": [{"service": {"name": "s1", "namespace": "n1", "port": 80}}]}}"#,
    r#"{"grants": [{"path": "/x", "namespaces": ["n1"]}]}"#,
    r#"{"grants": [{"hosts": ["a.test", "c.test"], "namespaces": ["*"]}]}"#,
    r#"{"route": {"listeners": ["internal"]}}"#,
    r#"{"route": {"hosts": null}}"#,
];

const POLICIES: [&str; 4] = [
    r#"{"timeouts": {"request": "1s"}}"#,
    r#"{"allowedNamespaces": ["*"], "rateLimits": [{"name": "l", "rate": "1/s"}]}"#,
    r#"{"allowedNamespaces": ["n0"], "timeouts": {"request": "soon"}}"#,
    "7",
];

const FILES: [&str; 9] = [
    "cluster: {externalHosts: [x.test]}",
    "cluster: {externalHosts: [x.test], denyAddresses: [10.0.0.0/31]}",
    "cluster: {externalHosts: [\"*.test\"], denyAddresses: []}",
    "routes: []",
    "cluster: {hostOwnership: open, catchAll: [n0]}\nroutes: [{hosts: [b.test], respond: {}}]",
    "cluster: {hostOwnership: granted, hostGrants: [{hosts: ['*.test'], namespaces: [n1]}]}",
    "cluster: {hostGrants: [{hosts: [a.test, '*.test'], namespaces: ['*']}], catchAll: ['*']}\ndefaults: {timeouts: {idle: 5s}}",
    "listeners: [{port: 80}, {name: internal, port: 81, namespaces: [n1]}]\nroutes: [{hosts: [a.test], path: /y, respond: {}}]",
    "defaults: {upstream: {connectTimeout: 9s}}\nroutes: [{path: /y, respond: {}}]",
];

fn extended(mut route: Value, extra: &str) -> Value {
    let extra: Value = serde_json::from_str(extra).unwrap();
    let put = |into: &mut Value, from: Option<&Value>| {
        for (name, value) in from.and_then(Value::as_object).into_iter().flatten() {
            into[name] = value.clone();
        }
    };
    put(&mut route["rules"][0], extra.get("rule"));
    put(&mut route, extra.get("route"));
    let mut spec = json!({"routes": [route]});
    if let Some(grants) = extra.get("grants") {
        spec["grants"] = grants.clone();
    }
    spec
}

fn route_object(name: usize, namespace: usize, age: i64, spec: Value) -> Object {
    let created = Timestamp::from_second(1_700_000_000 + age).unwrap();
    let metadata = json!({"name": format!("r{name}"), "namespace": format!("n{namespace}"), "uid": format!("{name}-{age}"), "generation": age, "creationTimestamp": created.to_string()});
    Object::GatewayRoute(Arc::new(RouteObject {
        metadata: serde_json::from_value(metadata).unwrap(),
        spec,
        status: Value::Null,
    }))
}

/// What changes although no object that is served does.
fn perform_by_others(world: &mut World, edit: &Edit) {
    match edit {
        Edit::Policy { name, namespace, content } => {
            let metadata = json!({"name": format!("p{name}"), "namespace": format!("n{namespace}")});
            let spec: Value = serde_json::from_str(POLICIES[*content]).unwrap();
            let object = serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap();
            world.apply(Change::Applied(Object::GatewayPolicy(Arc::new(object))));
        }
        Edit::NoPolicy { name, namespace } => {
            let object = json!({"metadata": {"name": format!("p{name}"), "namespace": format!("n{namespace}")}});
            let object = Arc::new(serde_json::from_value(object).unwrap());
            world.apply(Change::Deleted(Object::GatewayPolicy(object)));
        }
        Edit::Leave { from, to } => {
            let spec = json!({
                "from": [{"group": "gateway.sluice.dev", "kind": "GatewayRoute", "namespace": format!("n{from}")}],
                "to": [{"group": "", "kind": "Service"}],
            });
            let grant = json!({"metadata": {"name": "g", "namespace": format!("n{to}")}, "spec": spec});
            let grant = Arc::new(serde_json::from_value(grant).unwrap());
            world.apply(Change::Applied(Object::ReferenceGrant(grant)));
        }
        Edit::NoLeave { to } => {
            let grant = json!({"metadata": {"name": "g", "namespace": format!("n{to}")}});
            let grant = Arc::new(serde_json::from_value(grant).unwrap());
            world.apply(Change::Deleted(Object::ReferenceGrant(grant)));
        }
        Edit::File(content) => world.operator = operator_file(FILES[*content]),
        _ => {}
    }
}

fn perform(world: &mut World, edit: &Edit) {
    let read = |value: Value| serde_json::from_value(value);
    match edit {
        Edit::Policy { .. } | Edit::NoPolicy { .. } | Edit::Leave { .. } | Edit::NoLeave { .. } | Edit::File(_) => {
            perform_by_others(world, edit);
        }
        Edit::Route { name, namespace, age, hosts, path, service, extra } => {
            let hosts: Vec<&str> = hosts.iter().map(|host| ["a.test", "b.test", "*.test", "c.test"][*host]).collect();
            let path = ["/", "/x", "/y"][*path];
            let rule = json!({"path": path, "backends": [{"service": {"name": format!("s{service}"), "port": 80}}]});
            let others = [
                json!({"path": "/x", "backends": [{"service": {"name": "s0", "port": "http"}}]}),
                json!({"path": "/z", "backends": [{"url": "http://x.test"}, {"upstream": "own"}]}),
                json!({"path": "/m", "backends": [{"service": {"name": format!("s{service}"), "port": 80, "via": "clusterIP"}}]}),
            ];
            let rules: Vec<Value> = std::iter::once(rule).chain(others).collect();
            let own = json!({"name": "own", "endpoints": [{"url": format!("http://x.test:{}", 80 + service)}]});
            let mut spec = extended(json!({"hosts": hosts, "rules": rules}), EXTRAS[*extra]);
            spec["upstreams"] = json!([own]);
            world.apply(Change::Applied(route_object(*name, *namespace, *age, spec)));
        }
        Edit::Settings { name, namespace, age, service, connect } => {
            let connect = ["1s", "2s", "soon"][*connect];
            let spec = json!({"upstreams": [{"service": {"name": format!("s{service}"), "port": 80}, "connectTimeout": connect}]});
            world.apply(Change::Applied(route_object(*name, *namespace, *age, spec)));
        }
        Edit::NoRoute { name, namespace } => {
            world.apply(Change::Deleted(route_object(*name, *namespace, 0, Value::Null)));
        }
        Edit::Service { name, namespace, port } => {
            let spec = [
                json!({"ports": [{"port": 80}]}),
                json!({"ports": [{"port": 80, "name": "http"}]}),
                json!({"ports": [{"port": 81, "name": "http"}], "selector": {"app": "s"}}),
                json!({"type": "ExternalName", "externalName": "x.test"}),
                json!({"ports": [{"port": 80}], "clusterIP": "None", "sessionAffinity": "ClientIP"}),
                json!({"ports": [{"port": 80}], "clusterIP": "10.9.0.1", "trafficDistribution": "PreferClose"}),
            ][*port]
                .clone();
            let service =
                json!({"metadata": {"name": format!("s{name}"), "namespace": format!("n{namespace}")}, "spec": spec});
            world.apply(Change::Applied(Object::Service(Arc::new(read(service).unwrap()))));
        }
        Edit::NoService { name, namespace } => {
            let service = json!({"metadata": {"name": format!("s{name}"), "namespace": format!("n{namespace}")}});
            let service = Arc::new(serde_json::from_value(service).unwrap());
            world.apply(Change::Deleted(Object::Service(service)));
        }
        Edit::Slice { name, namespace, service, addresses } => {
            let endpoints: Vec<Value> = addresses
                .iter()
                .map(|(address, state)| {
                    let (ready, serving, terminating) = [(true, true, false), (false, true, true), (false, false, true), (false, false, false)][*state];
                    json!({"addresses": [format!("10.0.0.{address}")], "conditions": {"ready": ready, "serving": serving, "terminating": terminating}})
                })
                .collect();
            let slice = json!({
                "metadata": {"name": format!("e{name}"), "namespace": format!("n{namespace}"), "labels": {"kubernetes.io/service-name": format!("s{service}")}},
                "addressType": "IPv4", "endpoints": endpoints, "ports": [{"port": 8080}, {"name": "http", "port": 8081}],
            });
            world.apply(Change::Applied(Object::EndpointSlice(Arc::new(serde_json::from_value(slice).unwrap()))));
        }
        Edit::NoSlices => {
            world.apply(Change::Listed(Watched { kind: Kind::EndpointSlice, namespace: None }, Vec::new()));
        }
        Edit::Hold { name, namespace } => {
            world.held.insert(ObjectName::new(format!("n{namespace}"), format!("r{name}")));
        }
        Edit::ReleaseAll => world.held.clear(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn remembering_equals_translating_from_scratch(edits in prop::collection::vec(edit(), 1..40)) {
        let mut world = World::default();
        let mut translator = Translator::default();
        for edit in &edits {
            perform(&mut world, edit);
            let remembered = translator.translate(&world);
            let scratch = translate(&world);
            prop_assert_eq!(&remembered.gateway, &scratch.gateway);
            prop_assert_eq!(&remembered.verdicts, &scratch.verdicts);
            prop_assert_eq!(&remembered.policies, &scratch.policies);
        }
    }

    #[test]
    fn every_route_has_hosts_and_every_named_upstream_is_there(edits in prop::collection::vec(edit(), 1..40)) {
        let mut world = World::default();
        edits.iter().for_each(|edit| perform(&mut world, edit));
        let gateway = translate(&world).gateway;
        for route in &gateway.routes {
            let Source::Object { name, .. } = &route.source else { continue };
            let namespace = name.split('/').next().unwrap_or_default();
            prop_assert!(!route.hosts.is_empty() || world.operator.terms.cluster.may_catch_all(namespace));
            for rule in &route.rules {
                let crate::config::Action::Forward(targets) = &rule.action else { continue };
                for target in targets {
                    if let crate::config::Destination::Upstream(id) = &target.to {
                        prop_assert_eq!(gateway.upstreams.iter().filter(|upstream| upstream.id == *id).count(), 1);
                    }
                }
            }
        }
    }
}

const SHOP: &str = include_str!("../../../tests/golden/translate/plain.in.yaml");

fn shop() -> World {
    read_world(SHOP, ClassSettings::default()).unwrap()
}

fn slice_change(address: &str) -> Change {
    let slice = json!({
        "metadata": {"name": "web-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4", "endpoints": [{"addresses": [address]}], "ports": [{"name": "http", "port": 8080}],
    });
    Change::Applied(Object::EndpointSlice(Arc::new(serde_json::from_value(slice).unwrap())))
}

#[test]
fn an_endpoint_change_replaces_one_upstream_and_shares_all_else() {
    let mut world = shop();
    let mut translator = Translator::default();
    let before = translator.translate(&world);
    world.apply(slice_change("10.9.9.9"));
    let after = translator.translate(&world);
    assert!(are_same(&before.gateway.routes, &after.gateway.routes));
    assert!(are_same(&before.verdicts, &after.verdicts));
    assert_ne!(before.gateway.upstreams, after.gateway.upstreams);
}

#[test]
fn without_a_change_the_gateway_is_the_same() {
    let world = shop();
    let mut translator = Translator::default();
    let before = translator.translate(&world);
    let after = translator.translate(&world);
    assert!(Arc::ptr_eq(&before.gateway, &after.gateway));
}

#[test]
fn objects_of_other_classes_are_not_seen() {
    let class = ClassSettings { class: "other".to_owned(), serve_unclassed: false };
    let translation = translate(&read_world(SHOP, class).unwrap());
    assert!(translation.gateway.routes.is_empty() && translation.verdicts.is_empty());
}

/// The Services are named in each example's comments; everything else has to be right.
#[test]
fn examples_lack_nothing_but_their_services() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/examples");
    let mut examples = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "yaml") {
            continue;
        }
        let world = read_world(&std::fs::read_to_string(&path).unwrap(), ClassSettings::default()).unwrap();
        for verdict in translate(&world).verdicts {
            examples += 1;
            let others: Vec<_> =
                verdict.problems.iter().filter(|problem| problem.slug != Slug::ServiceMissing).collect();
            assert!(others.is_empty(), "{path:?}: {others:?}");
        }
    }
    assert!(examples >= 4);
}

/// Objects full of rules, as many as the schema allows, all for one host.
fn crowd(namespace: &str, name: &str, created: &str, routes: usize) -> String {
    let rule = |route: usize, rule: usize| {
        format!("{{path: /{name}-{route}-{rule}, backends: [{{service: {{name: s, port: 80}}}}]}}")
    };
    let rules = |route| (0..32).map(|at| rule(route, at)).collect::<Vec<_>>().join(", ");
    let routes: Vec<String> =
        (0..routes).map(|at| format!("{{hosts: [shop.example.com], rules: [{}]}}", rules(at))).collect();
    format!(
        "apiVersion: gateway.sluice.dev/v1alpha1\nkind: GatewayRoute\nmetadata: {{name: {name}, namespace: {namespace}, uid: {namespace}-{name}, creationTimestamp: \"{created}\"}}\nspec: {{routes: [{}]}}\n",
        routes.join(", ")
    )
}

#[test]
fn nobody_can_crowd_the_owner_out_of_a_host() {
    let mut objects = vec![crowd("shop", "first", "2026-01-01T00:00:00Z", 1)];
    // With the owner's first 32 rules exactly as many as a host may have: one more would be left out.
    for number in 0..9 {
        objects.push(crowd("evil", &format!("e{number}"), "2026-02-01T00:00:00Z", 64));
    }
    objects.push(crowd("evil", "e9", "2026-02-01T00:00:00Z", 48));
    objects.push(crowd("shop", "young", "2026-03-01T00:00:00Z", 1));
    let world = read_world(&objects.join("---\n"), ClassSettings::default()).unwrap();
    let translation = translate(&world);
    let of =
        |name: &str| translation.verdicts.iter().find(|v| v.object.name == name).expect("a verdict").problems.clone();
    assert!(of("young").iter().all(|problem| problem.slug != Slug::TooMany), "{:?}", of("young"));
    assert!(of("e9").iter().any(|problem| problem.slug == Slug::HostOwned));
    let served: usize = translation.gateway.routes.iter().map(|route| route.rules.len()).sum();
    assert_eq!(served, 64, "the owner's rules and nobody else's");
}
