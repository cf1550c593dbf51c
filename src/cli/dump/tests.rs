//! A dump decides every request as what it was made of: random files, objects and both together, random requests.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::config::dump::dump;
use crate::config::file::{self, Loaded};
use crate::config::traffic::{LoadBalancer, ZoneUse};
use crate::config::{Action, Destination, Gateway, LimiterId, Offer, Rule, Target, Traffic};
use crate::controller::manifest::read_into;
use crate::controller::translate::translate;
use crate::controller::world::{ClassSettings, World};
use crate::observe::metrics::Metrics;
use crate::router::{Decision, Head};
use crate::snapshot::Snapshot;
use crate::snapshot::compile::Compiler;
use crate::snapshot::registry::Registry;

/// Choices, one after the other; when they are used up all are the first.
struct Dice(std::vec::IntoIter<u8>);

impl Dice {
    fn below(&mut self, count: usize) -> usize {
        usize::from(self.0.next().unwrap_or(0)) % count
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    fn word(&mut self, of: &[&'static str]) -> &'static str {
        of[self.below(of.len())]
    }

    /// In one of so many cases.
    fn rarely(&mut self, one_in: usize) -> bool {
        self.below(one_in) == one_in - 1
    }

    fn some<T>(&mut self, least: usize, most: usize, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let count = least + self.below(most - least + 1);
        (0..count).map(|_| make(self)).collect()
    }
}

const HOSTS: [&str; 5] = ["a.test", "b.test", "*.test", "x.a.test", "*.a.test"];
const PATHS: [&str; 6] = ["/", "/a", "/a/", "/a/b", "/b", "/ab"];
const PATTERNS: [&str; 4] = ["/a/(?P<id>[0-9]+)", "/a.*", "/(b|c)", "/a/[0-9]"];

/// The fields that all levels share.
fn traffic(dice: &mut Dice, objects: bool) -> BTreeMap<&'static str, Value> {
    let mut fields = BTreeMap::new();
    for _ in 0..dice.below(4) {
        let (name, value) = match dice.below(12) {
            0 => ("timeouts", json!({"request": dice.one(&["0s", "1s", "2m"]), "perTry": "900ms"})),
            1 => ("timeouts", json!({"perTry": "3s", "idle": "90000s"})),
            2 => (
                "retries",
                json!({"attempts": 3, "triggers": ["reset", "timeout"], "statuses": [503, "5xx"], "body": "1MiB"}),
            ),
            3 => (
                "loadBalancer",
                match dice.below(4) {
                    0 => {
                        json!({"algorithm": "consistentHash", "hashOn": ["header:X-User", "clientAddress"], "table": "ring"})
                    }
                    1 => json!({"algorithm": "fastest"}),
                    2 => json!({"zone": "ignore"}),
                    _ if objects => json!({"algorithm": "random"}),
                    _ => json!({"algorithm": "random", "zone": "prefer"}),
                },
            ),
            4 | 5 => (
                "rateLimits",
                Value::from(
                    dice.some(0, 2, |_| ())
                        .iter()
                        .enumerate()
                        .map(|(number, ())| {
                            let mut limit =
                                json!({"name": format!("l{number}"), "rate": dice.one(&["90/m", "5/7s", "10000/d"])});
                            match dice.below(3) {
                                0 => limit["algorithm"] = "slidingWindow".into(),
                                1 => limit["burst"] = 7.into(),
                                _ => limit["key"] = json!(["header:X-User", "host"]),
                            }
                            limit
                        })
                        .collect::<Vec<_>>(),
                ),
            ),
            6 => (
                "concurrency",
                if dice.rarely(3) { json!({"disabled": true}) } else { json!({"max": 5, "per": ["host"], "queue": 2}) },
            ),
            7 => ("limits", json!({"requestBody": dice.one(&["1KiB", "unlimited"])})),
            8 => ("requestHeaders", edits(dice)),
            9 => ("responseHeaders", edits(dice)),
            10 => ("security", json!({"allow": ["10.0.0.0/8"], "deny": ["10.1.0.0/16"]})),
            _ => ("accessLog", json!({"oneIn": 10, "always": [404]})),
        };
        fields.insert(name, value);
    }
    if dice.rarely(6) {
        fields.insert("upgrades", json!([]));
    }
    fields
}

fn edits(dice: &mut Dice) -> Value {
    let names = |dice: &mut Dice, most: usize| -> BTreeMap<String, String> {
        dice.some(0, most, |dice| {
            (format!("X-{}", dice.below(40)), (*dice.one(&["1", "${client.address} $", ""])).to_owned())
        })
        .into_iter()
        .collect()
    };
    let (set, add) = (names(dice, 16), names(dice, 3));
    // The case of letters does not count, and removed ones may not be set by others further out.
    json!({"set": set, "add": add, "remove": dice.some(0, 2, |dice| format!("X-{}", dice.below(40)))})
}

fn matches(dice: &mut Dice, objects: bool) -> BTreeMap<&'static str, Value> {
    let mut fields = BTreeMap::new();
    match dice.below(8) {
        0 => drop(fields.insert("exactPath", json!(dice.one(&PATHS)))),
        1 => drop(fields.insert("pathRegex", json!(dice.one(&PATTERNS)))),
        2 => {}
        // What is written where nobody refuses it, as under an older definition.
        3 if objects && dice.rarely(3) => drop(fields.insert("path", json!("nonsense"))),
        4 if objects && dice.rarely(3) => drop(fields.insert("pathRegex", json!("/a/[0-9"))),
        _ => drop(fields.insert("path", json!(dice.one(&PATHS)))),
    }
    if dice.rarely(4) {
        fields.insert("methods", json!(dice.one(&[vec!["GET"], vec!["POST", "GET"]])));
    }
    if dice.rarely(4) {
        fields.insert("headers", json!({"X-User": dice.one(&["u", "v"])}));
    }
    if dice.rarely(6) {
        fields.insert("query", json!({"q": "1"}));
        fields.insert("cookies", json!({"c": "1"}));
    }
    if dice.rarely(4) {
        let condition = [
            json!({"header": "X-User", "anyOf": ["v", "u"]}),
            json!({"query": "q", "present": true}),
            json!({"cookie": "c", "noneOf": ["2"]}),
            json!({"header": "X-User", "regex": "[a-u]"}),
            json!({"clientAddress": ["10.0.0.0/9"]}),
            json!({"header": "X-User", "prefix": "u"}),
        ];
        fields.insert("conditions", json!([dice.one(&condition)]));
    }
    fields
}

fn action(dice: &mut Dice, objects: bool, fields: &mut BTreeMap<&'static str, Value>) {
    match dice.below(8) {
        0 => drop(
            fields.insert("redirect", json!({"scheme": "https", "host": "z.test", "status": 308, "query": "drop"})),
        ),
        1 => drop(fields.insert("respond", json!({"status": 418, "body": "no\n  tea\n", "headers": {"X-A": "1"}}))),
        _ => {
            let mut backends = dice.some(1, 3, |dice| backend(dice, objects));
            backends[0]["weight"] = 2.into();
            fields.insert("backends", json!(backends));
        }
    }
}

fn backend(dice: &mut Dice, objects: bool) -> Value {
    let mut backend = match dice.below(4) {
        0 => json!({"url": dice.one(&["http://out.test", "http://192.0.2.1:81", "http://[2001:db8::1]:82"])}),
        1 if !objects => json!({"upstream": dice.one(&["u0", "u1"])}),
        1 => json!({"upstream": dice.one(&["own", "none"])}),
        _ if !objects => json!({"url": "http://out.test:8080"}),
        _ => {
            json!({"service": {"name": dice.one(&["s0", "s1", "s2", "gone"]), "port": dice.one(&[json!("http"), json!(80)])}})
        }
    };
    match dice.below(8) {
        0 => backend["weight"] = 3.into(),
        1 => backend["weight"] = 0.into(),
        2 => backend["requestHeaders"] = json!({"set": {"X-Own": "1"}}),
        _ => {}
    }
    backend
}

fn rule(dice: &mut Dice, objects: bool) -> BTreeMap<&'static str, Value> {
    let mut fields = matches(dice, objects);
    fields.extend(traffic(dice, objects));
    action(dice, objects, &mut fields);
    if dice.rarely(5) {
        fields.insert("priority", json!(dice.one(&[1, -5])));
    }
    if dice.rarely(3) {
        fields.insert("use", json!(dice.one(&[vec!["p0"], vec!["p0", "p1"], vec!["p1"]])));
    }
    fields
}

fn route(dice: &mut Dice, objects: bool, number: usize) -> Value {
    let mut fields = if dice.rarely(3) {
        rule(dice, objects)
    } else {
        let mut fields = traffic(dice, objects);
        let mut rules = dice.some(1, 4, |dice| rule(dice, objects));
        // All of a route, or none.
        for (number, rule) in rules.iter_mut().enumerate().filter(|_| number.is_multiple_of(2)) {
            rule.insert("name", json!(format!("r{number}")));
        }
        fields.insert("rules", json!(rules));
        fields
    };
    fields.insert("hosts", json!(dice.some(0, 3, |dice| *dice.one(&HOSTS))));
    // In a file nearly all of them: two limits of unnamed routes for the same hosts would be one.
    if !objects || dice.rarely(2) {
        fields.insert("name", json!(format!("route {number}/x")));
    }
    if dice.rarely(5) {
        fields.insert("listeners", json!(dice.one(&[vec!["one"], vec!["two", "one"]])));
    }
    json!(fields)
}

fn upstream(dice: &mut Dice) -> BTreeMap<&'static str, Value> {
    let mut fields = BTreeMap::new();
    let all = [
        ("connectTimeout", json!("1500ms")),
        ("pool", json!({"maxIdle": 3, "maxAge": "1h"})),
        ("limits", json!({"requests": 5, "pending": 2})),
        (
            "healthCheck",
            json!({"active": {"path": "/ok", "headers": {"X-A": "1"}, "statuses": ["2xx", 304]}, "panicPercent": 50}),
        ),
        ("healthCheck", json!({"active": {"type": "tcp", "port": 9}, "passive": {"disabled": true}})),
        ("circuitBreaker", json!({"slowerThan": "2s"})),
        ("slowStart", json!({})),
        ("retryBudget", json!({"percent": 5})),
        ("whenEmpty", json!(502)),
    ];
    for _ in 0..dice.below(3) {
        let (name, value) = dice.one(&all).clone();
        fields.insert(name, value);
    }
    fields
}

fn file_of(dice: &mut Dice) -> String {
    let named = |dice: &mut Dice, name: &str| {
        let mut fields = upstream(dice);
        let endpoint = |dice: &mut Dice| {
            let mut endpoint = json!({"url": format!("http://10.0.0.{}:80", dice.below(9))});
            match dice.below(5) {
                0 => endpoint["state"] = "draining".into(),
                1 => endpoint["zone"] = (*dice.one(&["a", "b"])).into(),
                2 => endpoint["id"] = "uid".into(),
                3 => endpoint["weight"] = dice.below(3).into(),
                _ => {}
            }
            endpoint
        };
        fields.insert("endpoints", json!(dice.some(0, 4, endpoint)));
        fields.insert("name", json!(name));
        json!(fields)
    };
    let policy = |dice: &mut Dice, name: &str| {
        let mut fields = traffic(dice, false);
        fields.insert("name", json!(name));
        json!(fields)
    };
    let upstreams = [named(dice, "u0"), named(dice, "u1")];
    let policies = [policy(dice, "p0"), policy(dice, "p1")];
    let mut defaults = traffic(dice, false);
    defaults.insert("upstream", json!(upstream(dice)));
    let count = 1 + dice.below(5);
    let routes: Vec<Value> = (0..count).map(|number| route(dice, false, number)).collect();
    let mut file = json!({
        "listeners": [
            {"name": "one", "port": 9001, "limits": {"head": "32KiB", "connections": 7}, "paths": {"slashes": "keep"}},
            {"name": "two", "port": 9002, "clientAddress": {"trust": ["10.0.0.0/8"]}, "address": "::1"},
        ],
        "policies": policies, "upstreams": upstreams, "routes": routes,
        "observability": {"accessLog": {"format": "none"}, "metrics": {"clients": 5}},
        "rateLimitStore": {"maxKeys": 77},
        "cluster": {"externalHosts": ["out.test", "192.0.2.1", "2001:db8::1"], "catchAll": ["n0"]},
    });
    if dice.rarely(2) {
        file["defaults"] = json!(defaults);
    }
    file.to_string()
}

/// A file that loads: what is refused is taken out, route by route.
fn loaded_file(dice: &mut Dice) -> Loaded {
    let mut file: Value = serde_json::from_str(&file_of(dice)).unwrap();
    loop {
        let Err(problems) = file::parse(&[("sluice.yaml".to_owned(), file.to_string())]) else { break };
        let route = problems
            .iter()
            .find_map(|found| found.problem.path.strip_prefix("routes[")?.split(']').next()?.parse().ok());
        match route {
            Some::<usize>(route) => drop(file["routes"].as_array_mut().unwrap().remove(route)),
            None => panic!("{problems:?}\n{file}"),
        }
    }
    file::parse(&[("sluice.yaml".to_owned(), file.to_string())]).unwrap()
}

/// Objects, with those of the operator's file before them.
fn gateway_of_objects(dice: &mut Dice, file: Loaded) -> Gateway {
    let mut text = String::new();
    for number in 0..1 + dice.below(5) {
        let count = dice.below(4);
        let routes: Vec<Value> = (0..count).map(|number| route(dice, true, number)).collect();
        let mut settings = upstream(dice);
        settings.insert("service", json!({"name": dice.one(&["s0", "s1"]), "port": 80}));
        let mut own = upstream(dice);
        own.insert("name", json!("own"));
        own.insert("endpoints", json!([{"url": "http://out.test:7"}, {"url": "http://192.0.2.1", "zone": "b"}]));
        let namespace = format!("n{}", dice.below(2));
        let age = dice.below(3);
        let object = json!({
            "kind": "GatewayRoute",
            "metadata": {"name": format!("o{number}"), "namespace": namespace, "generation": 7, "creationTimestamp": format!("2026-01-0{}T00:00:00Z", age + 1)},
            "spec": {"routes": routes, "upstreams": [settings, own]},
        });
        writeln!(text, "---\n{object}").unwrap();
    }
    for (namespace, name) in [("n0", "p0"), ("n0", "p1"), ("n1", "p0")] {
        let spec = traffic(dice, true);
        let policy = json!({"kind": "GatewayPolicy", "metadata": {"name": name, "namespace": namespace}, "spec": spec});
        writeln!(text, "---\n{policy}").unwrap();
    }
    for (namespace, service) in [("n0", "s0"), ("n0", "s1"), ("n1", "s0"), ("n1", "s2")] {
        let distribution = if dice.rarely(2) { json!({"trafficDistribution": "PreferClose"}) } else { json!({}) };
        let mut spec = json!({"selector": {"app": "a"}, "ports": [{"name": "http", "port": 80}]});
        spec.as_object_mut().unwrap().extend(distribution.as_object().unwrap().clone());
        let conditions =
            [json!({}), json!({"ready": false, "serving": true, "terminating": true}), json!({"ready": false})];
        let endpoints = dice.some(0, 4, |dice| {
            let address = format!("10.1.0.{}", dice.below(9));
            json!({"addresses": [address], "zone": dice.one(&["a", "b", ""]), "conditions": dice.one(&conditions), "targetRef": {"uid": "e0f1"}})
        });
        let service_object =
            json!({"kind": "Service", "metadata": {"name": service, "namespace": namespace}, "spec": spec});
        let slice = json!({
            "kind": "EndpointSlice", "metadata": {"name": service, "namespace": namespace, "labels": {"kubernetes.io/service-name": service}},
            "addressType": "IPv4", "ports": [{"name": "http", "port": 8080}], "endpoints": endpoints,
        });
        writeln!(text, "---\n{service_object}\n---\n{slice}").unwrap();
    }
    let mut world = World::waiting_for(ClassSettings::default(), []);
    assert!(read_into(&mut world, &text).is_empty());
    world.operator = Arc::new(file.into());
    Gateway::clone(&translate(&world).gateway)
}

/// What an operator says who wants objects to be able to do what they do here, and nothing else.
fn plain_file() -> Loaded {
    let text = "cluster: {externalHosts: [out.test, 192.0.2.1, \"2001:db8::1\"], catchAll: [n0]}";
    file::parse(&[("sluice.yaml".to_owned(), text.to_owned())]).unwrap()
}

fn snapshot(gateway: &Gateway) -> Snapshot {
    let registry = Arc::new(Registry::new(Arc::new(Metrics::new(1).unwrap())));
    Compiler::new(registry).compile(&Offer { number: 1, gateway: Arc::new(gateway.clone()), stale_since: None })
}

/// Which limit of the dump is which of before.
type Pairs = BTreeMap<LimiterId, LimiterId>;

fn pair(before: &LimiterId, after: &LimiterId, there: &mut Pairs, back: &mut Pairs) {
    assert_eq!(there.entry(before.clone()).or_insert_with(|| after.clone()), after, "one count became two");
    assert_eq!(back.entry(after.clone()).or_insert_with(|| before.clone()), before, "two counts became one");
}

fn limiters(traffic: &Traffic) -> Vec<&LimiterId> {
    traffic.rate_limits.iter().map(|limit| &limit.id).chain(traffic.concurrency.iter().map(|gate| &gate.id)).collect()
}

/// What a rule does, apart from the identities of objects' rules.
fn shown(rule: &Rule, gateway: &Gateway) -> Value {
    let mut traffic = Traffic::clone(&rule.traffic);
    traffic.rate_limits = traffic
        .rate_limits
        .iter()
        .map(|limit| {
            let mut limit = (**limit).clone();
            limit.id = LimiterId::new("");
            Arc::new(limit)
        })
        .collect();
    traffic.concurrency = traffic.concurrency.map(|gate| {
        let mut gate = (*gate).clone();
        gate.id = LimiterId::new("");
        Arc::new(gate)
    });
    for edits in [&mut traffic.request_headers, &mut traffic.response_headers] {
        edits.set.sort_by(|a, b| a.name.as_str().cmp(b.name.as_str()));
        edits.add.sort_by(|a, b| a.name.as_str().cmp(b.name.as_str()));
        edits.remove.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    }
    if !traffic.timeouts.request.is_zero() {
        traffic.timeouts.per_try = traffic.timeouts.per_try.min(traffic.timeouts.request);
    }
    let zone = traffic.load_balancer.zone;
    traffic.load_balancer = LoadBalancer { zone: None, ..traffic.load_balancer };
    let action = match &rule.action {
        Action::Broken => json!({"respond": {"status": 500, "body": "", "contentType": "text/plain"}}),
        Action::Forward(targets) => targets.iter().map(|target| share(target, zone, gateway)).collect(),
        other => json!(other),
    };
    json!({"name": rule.name, "traffic": traffic, "action": action, "priority": rule.priority})
}

fn share(target: &Target, zone: Option<ZoneUse>, gateway: &Gateway) -> Value {
    let edits = json!([target.request_headers, target.response_headers, target.weight]);
    let Destination::Upstream(id) = &target.to else { return json!(["nobody", 500, edits]) };
    let upstream = gateway.upstreams.iter().find(|upstream| upstream.id == *id).unwrap();
    if upstream.endpoints.is_empty() && upstream.settings.when_empty.as_u16() == 500 {
        return json!(["nobody", 500, edits]);
    }
    let counts = zone.map_or(upstream.prefers_zone, |zone| zone == ZoneUse::Prefer);
    let mut endpoints = upstream.endpoints.clone();
    if !counts {
        endpoints.iter_mut().for_each(|endpoint| endpoint.zone = None);
    }
    // URLs of a rule are known by the rule.
    let id = if upstream.is_of_urls { "" } else { id.as_str() };
    json!([id, upstream.label, upstream.is_of_urls, *upstream.settings, endpoints, edits])
}

struct Asked {
    listener: usize,
    host: &'static str,
    path: &'static str,
    query: Option<&'static str>,
    method: Method,
    headers: HeaderMap,
    client: IpAddr,
}

fn request(dice: &mut Dice) -> Asked {
    let mut headers = HeaderMap::new();
    let mut put = |name: &'static str, value: &'static str| {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    };
    match dice.below(4) {
        0 => put("x-user", "u"),
        1 => put("x-user", "v"),
        _ => {}
    }
    match dice.below(3) {
        0 => put("cookie", "c=1"),
        1 => put("cookie", "c=2"),
        _ => {}
    }
    Asked {
        listener: dice.below(2),
        host: dice.word(&["a.test", "b.test", "c.test", "x.a.test", "y.x.a.test", "other"]),
        path: dice.word(&["/", "/a", "/a/", "/a/b", "/a/b/c", "/a/7", "/a/77", "/ab", "/b", "/c", "/d"]),
        query: *dice.one(&[None, Some("q=1"), Some("q=2&q=1")]),
        method: dice.one(&[Method::GET, Method::POST]).clone(),
        headers,
        client: (*dice.one(&["10.0.0.1", "10.200.0.1", "192.0.2.1"])).parse().unwrap(),
    }
}

fn assert_the_same(before: &Gateway, dice: &mut Dice) {
    let text = dump(before).unwrap();
    let loaded = match file::parse(&[("sluice.yaml".to_owned(), text.clone())]) {
        Ok(loaded) => loaded.gateway,
        Err(problems) => {
            let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
            panic!("the dump does not load: {}\n{text}", told.join("\n"))
        }
    };
    assert_eq!(loaded.listeners, before.listeners);
    assert_eq!(
        (loaded.access_log, loaded.metric_clients, loaded.rate_limit_keys),
        (before.access_log, before.metric_clients, before.rate_limit_keys)
    );
    let (old, new) = (snapshot(before), snapshot(&loaded));
    let (mut there, mut back) = (Pairs::new(), Pairs::new());
    for _ in 0..60 {
        let asked = request(dice);
        let Asked { listener, host, path, query, method, headers, client } = &asked;
        let listener = &before.listeners[listener % before.listeners.len()].name;
        let head = Head { host, path, query: *query, method, headers, client: *client };
        match (old.table(listener).decide(&head), new.table(listener).decide(&head)) {
            (Decision::Rule(one), Decision::Rule(other)) => {
                let (one, other) = (&one.rule, &other.rule);
                assert_eq!(shown(one, before), shown(other, &loaded), "{listener} {host} {path}\n{text}");
                if one.id.as_str().starts_with("file/") {
                    assert_eq!(one.id, other.id, "{text}");
                }
                if one.action != Action::Broken {
                    for (one, other) in limiters(&one.traffic).into_iter().zip(limiters(&other.traffic)) {
                        pair(one, other, &mut there, &mut back);
                    }
                }
            }
            (Decision::NoRoute, Decision::NoRoute) | (Decision::NoHost, Decision::NoHost) => {}
            (one, other) => panic!("{one:?} became {other:?} for {listener} {host} {path}\n{text}"),
        }
    }
    let again = dump(&loaded).unwrap();
    let twice = file::parse(&[("sluice.yaml".to_owned(), again)]).unwrap().gateway;
    assert_eq!(loaded.routes.len(), twice.routes.len(), "a dump of a dump is one");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_dump_decides_every_request_as_what_it_was_made_of(
        bytes in prop::collection::vec(any::<u8>(), 1500),
        asked in prop::collection::vec(any::<u8>(), 600),
        which in 0..3_usize,
    ) {
        let mut dice = Dice(bytes.into_iter());
        let gateway = match which {
            0 => loaded_file(&mut dice).gateway,
            1 => gateway_of_objects(&mut dice, plain_file()),
            _ => {
                let file = loaded_file(&mut dice);
                gateway_of_objects(&mut dice, file)
            }
        };
        assert_the_same(&gateway, &mut Dice(asked.into_iter()));
    }
}

/// What a dump looks like: objects of translation's goldens, as a file.
#[test]
fn goldens() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let bless = std::env::var_os("SLUICE_BLESS").is_some();
    for case in ["rules-and-settings", "zones", "duplicate-match", "service-missing", "states"] {
        let input = std::fs::read_to_string(folder.join(format!("translate/{case}.in.yaml"))).unwrap();
        let mut world = World::waiting_for(ClassSettings::default(), []);
        assert!(read_into(&mut world, &input).is_empty());
        let found = dump(&translate(&world).gateway).unwrap();
        let expected = folder.join(format!("dump/{case}.yaml"));
        if bless {
            std::fs::create_dir_all(folder.join("dump")).unwrap();
            std::fs::write(&expected, &found).unwrap();
        }
        assert_eq!(std::fs::read_to_string(expected).unwrap_or_default(), found, "{case}: review, then SLUICE_BLESS=1");
    }
}
