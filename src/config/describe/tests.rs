//! Written text becomes the described Gateway.

use super::*;
use crate::config::problem::Effect;
use crate::config::route::{Destination, PathMatch, Target};

/// A place with one upstream, one policy, one listener and one Service, where some hosts may be URLs.
struct Place {
    is_object: bool,
}

const FILE: Place = Place { is_object: false };
const OBJECT: Place = Place { is_object: true };

impl Scope for Place {
    fn identity(&self) -> &str {
        if self.is_object { "shop/web" } else { "file" }
    }

    fn source(&self) -> Source {
        if self.is_object { Source::Object { created: 1, name: "shop/web".to_owned() } } else { Source::File }
    }

    fn path_prefix(&self) -> &'static str {
        if self.is_object { "spec." } else { "" }
    }

    fn check_any_host(&self, at: &str) -> Result<(), Problem> {
        match self.is_object {
            true => Err(Problem::new(at, Slug::HostRequired, "a route without hosts would answer for everybody")),
            false => Ok(()),
        }
    }

    fn check_url_host(&self, host: &str, at: &str) -> Result<(), Problem> {
        if host != "forbidden" {
            return Ok(());
        }
        Err(Problem::new(at, Slug::UrlNotAllowed, "not allowed"))
    }

    fn service(&mut self, service: &ServiceSpec, at: &str) -> Result<UpstreamId, Problem> {
        if service.name == "missing" {
            return Err(Problem::new(at, Slug::ServiceMissing, "not found"));
        }
        Ok(UpstreamId::new(format!("shop/{}:http", service.name)))
    }

    fn upstream(&self, name: &str, at: &str) -> Result<UpstreamId, Problem> {
        if name == "users" {
            return Ok(UpstreamId::new("users"));
        }
        Err(Problem::new(at, Slug::UpstreamMissing, "no such upstream"))
    }

    fn listener(&self, name: &str, at: &str) -> Result<(), Problem> {
        around().listener(name, at)
    }

    fn policy(&mut self, name: &str, at: &str) -> Result<Arc<Layer>, Problem> {
        around().policy(name, at)
    }

    fn defaults(&self) -> Arc<Traffic> {
        DEFAULTS.with(Arc::clone)
    }

    fn check_priority(&self, at: &str) -> Result<(), Problem> {
        if self.is_object { Err(Problem::new(at, Slug::NotSupported, "not supported")) } else { Ok(()) }
    }
}

thread_local! {
    static DEFAULTS: Arc<Traffic> = Arc::default();
}

fn around() -> Surroundings {
    let fields: TrafficFields =
        serde_yaml::from_str("{retries: {attempts: 1}, rateLimits: [{name: one, rate: 1/s}]}").expect("fields");
    let mut problems = Vec::new();
    let layer = describe_layer(&fields, "policies/strict", At::Start("policies[0]"), &mut problems);
    assert_eq!(problems, Vec::new());
    Surroundings {
        listeners: vec!["http".to_owned(), "internal".to_owned()],
        policies: [("strict".to_owned(), Arc::new(layer))].into_iter().collect(),
        ..Surroundings::default()
    }
}

fn describe_in(mut scope: Place, yaml: &str) -> Described {
    let specs: Vec<RouteSpec> = serde_yaml::from_str(yaml).expect("routes");
    describe_routes(&specs, &mut scope)
}

fn describe(yaml: &str) -> Described {
    describe_in(FILE, yaml)
}

pub fn described_well(yaml: &str) -> Described {
    let described = describe(yaml);
    assert_eq!(described.problems, Vec::new());
    described
}

pub fn rules_of(described: &Described) -> impl Iterator<Item = &Rule> {
    described.routes.iter().flat_map(|route| &route.rules).map(AsRef::as_ref)
}

fn only_rule(described: &Described) -> &Rule {
    described.routes.first().and_then(|route| route.rules.first()).expect("one rule")
}

fn ids(described: &Described) -> Vec<String> {
    let mut ids: Vec<String> =
        described.routes.iter().flat_map(|route| &route.rules).map(|rule| rule.id.to_string()).collect();
    for upstream in &described.upstreams {
        ids.push(upstream.id.to_string());
        ids.extend(upstream.endpoints.iter().map(|endpoint| endpoint.id.to_string()));
    }
    ids.sort();
    ids
}

/// Each problem as path and kind.
fn problems(described: &Described) -> Vec<(String, &'static str)> {
    described.problems.iter().map(|problem| (problem.path.clone(), problem.slug.as_str())).collect()
}

fn endpoint_of(url: &str) -> Result<(String, u16), (&'static str, String)> {
    let described = describe(&format!("- backends: [{{url: {url:?}}}]"));
    match described.problems.first() {
        Some(problem) => Err((problem.slug.as_str(), problem.message.clone())),
        None => {
            let endpoint = &described.upstreams[0].endpoints[0];
            assert_eq!(endpoint.id.as_str(), endpoint.authority());
            Ok((endpoint.host.clone(), endpoint.port))
        }
    }
}

#[test]
fn an_unnamed_rule_is_called_by_host_and_path_as_written() {
    let label = |yaml: &str| described_well(yaml).upstreams[0].label.clone();
    assert_eq!(label("- {path: /api/users/, backends: [{url: 'http://a:1'}]}"), "/api/users/");
    assert_eq!(label("- backends: [{url: 'http://a:1'}]"), "/");
    let hosts = "- {hosts: [b.example.com, a.example.com], exactPath: /x, backends: [{url: 'http://a:1'}]}";
    assert_eq!(label(hosts), "b.example.com/x");
    assert_eq!(label("- {name: shop, path: /x, backends: [{url: 'http://a:1'}]}"), "shop");
}

#[test]
fn identities_are_those_of_the_reference() {
    let described = described_well(
        "- {path: /a, backends: [{url: 'http://a:1'}]}\n\
         - {name: shop, path: /b, backends: [{url: 'http://a:1'}]}\n\
         - hosts: [b.example.com, '*.a.example.com']\n  rules:\n\
         \x20   - {name: cart, path: /c, backends: [{url: 'http://a:1'}]}\n\
         \x20   - {path: /d/, methods: [POST, GET], headers: {X-B: '1', x-a: '2'}, backends: [{url: 'http://a:1'}]}\n",
    );
    let ids: Vec<&str> = described.routes.iter().flat_map(|route| &route.rules).map(|rule| rule.id.as_str()).collect();
    assert_eq!(
        ids,
        [
            "file/any host/prefix /a",
            "file/shop",
            "file/*.a.example.com,b.example.com/cart",
            "file/*.a.example.com,b.example.com/prefix /d methods=GET,POST x-a=\"2\" x-b=\"1\"",
        ]
    );
    assert!(described.upstreams.iter().map(|upstream| upstream.id.as_str()).eq(ids));
}

#[test]
fn reordering_and_new_weights_keep_identities() {
    let one = "- hosts: [a.example.com, b.example.com]\n  rules:\n\
               \x20   - {path: /a, methods: [GET, PUT], backends: [{url: 'http://a:1'}, {url: 'http://b:1', weight: 2}]}\n\
               \x20   - {exactPath: /b, backends: [{url: 'http://c:1'}]}\n\
               - {path: /c, backends: [{url: 'http://d:1'}]}\n";
    let other = "- {path: /c/, timeouts: {idle: 1s}, backends: [{url: 'http://D:1', weight: 5}]}\n\
                 - hosts: [b.example.com, a.example.com]\n  timeouts: {request: 3s}\n  rules:\n\
                 \x20   - {exactPath: /b, backends: [{url: 'http://c:1/'}]}\n\
                 \x20   - {path: /a, methods: [PUT, GET, PUT], backends: [{url: 'http://b:1', weight: 0}, {url: 'http://a:1'}]}\n";
    assert_eq!(ids(&described_well(one)), ids(&described_well(other)));
}

#[test]
fn another_match_is_another_identity() {
    let one = described_well("- {path: /a, backends: [{url: 'http://a:1'}]}");
    for other in ["{exactPath: /a, ", "{path: /b, ", "{path: /a, methods: [GET], ", "{path: /a, hosts: [a], "] {
        let other = described_well(&format!("- {other}backends: [{{url: 'http://a:1'}}]}}"));
        assert_ne!(only_rule(&one).id, only_rule(&other).id);
    }
}

#[test]
fn a_broken_rule_keeps_its_place() {
    let described = describe(
        "- rules:\n\
         \x20   - {path: /a, backends: [{url: 'http://a:1'}]}\n\
         \x20   - {path: /b, backends: [{url: 'ftp://a:1'}]}\n\
         \x20   - {path: /c, backends: [{url: 'http://a:1'}]}\n",
    );
    let rules = &described.routes[0].rules;
    let broken: Vec<bool> = rules.iter().map(|rule| rule.action == Action::Broken).collect();
    assert_eq!(broken, [false, true, false]);
    assert_eq!(rules[1].matches.path, PathMatch::Prefix("/b".to_owned()));
    assert_eq!(problems(&described), [("routes[0].rules[1].backends[0].url".to_owned(), "url-form")]);
}

#[test]
fn a_broken_route_breaks_all_its_rules_and_is_told_once() {
    let described = describe(
        "- hosts: [a.example.com]\n  timeouts: {idle: soon}\n  rules:\n\
         \x20   - {path: /a, backends: [{url: 'http://a:1'}]}\n\
         \x20   - {path: /b, backends: [{url: 'http://a:1'}]}\n\
         - {hosts: [b.example.com], timeouts: {request: 1}, backends: [{url: 'http://a:1'}]}\n"
            .replace("request: 1", "request: '1'")
            .as_str(),
    );
    assert!(described.routes.iter().flat_map(|route| &route.rules).all(|rule| rule.action == Action::Broken));
    let expected = ["routes[0].timeouts.idle", "routes[1].timeouts.request"];
    assert!(described.problems.iter().map(|problem| problem.path.as_str()).eq(expected), "{:?}", described.problems);
}

#[test]
fn a_broken_path_covers_its_good_beginning() {
    for (written, covered) in [
        ("/api/v1//x", "/api/v1"),
        ("/api/../x", "/api"),
        ("/api/x?y", "/api"),
        ("/a b/c", "/"),
        ("api", "/"),
        ("", "/"),
        ("/api/é/x", "/api"),
        ("/api/%2Fx", "/api"),
        ("//", "/"),
    ] {
        let described = describe(&format!("- {{path: {written:?}, backends: [{{url: 'http://a:1'}}]}}"));
        let rule = only_rule(&described);
        assert_eq!(rule.matches.path, PathMatch::Prefix(covered.to_owned()), "{written}");
        assert_eq!(rule.action, Action::Broken);
        assert_eq!(problems(&described), [("routes[0].path".to_owned(), "path-form")]);
    }
}

#[test]
fn a_broken_condition_counts_as_true() {
    let described = describe("- {methods: [get, PUT], headers: {'a b': x, X-A: 'y'}, backends: [{url: 'http://a:1'}]}");
    let rule = only_rule(&described);
    assert_eq!(rule.matches.to_string(), "prefix / methods=PUT x-a=\"y\"");
    assert_eq!(rule.action, Action::Broken);
    assert_eq!(
        problems(&described),
        [("routes[0].methods[0]".to_owned(), "http-form"), ("routes[0].headers.a b".to_owned(), "http-form")]
    );
}

#[test]
fn urls_name_a_host_and_a_port() {
    let good = |url: &str| endpoint_of(url).expect("a backend URL");
    assert_eq!(good("http://a:8080"), ("a".to_owned(), 8080));
    assert_eq!(good("HTTP://A.Example.com"), ("a.example.com".to_owned(), 80));
    assert_eq!(good("http://10.0.0.1:65535/"), ("10.0.0.1".to_owned(), 65535));
    assert_eq!(good("http://[::1]:1"), ("::1".to_owned(), 1));
    assert_eq!(good("http://[2001:DB8::1]"), ("2001:db8::1".to_owned(), 80));
}

#[test]
fn what_a_backend_url_cannot_be() {
    let bad = |url: &str| endpoint_of(url).expect_err(url);
    for url in ["a", "ftp://a:1", "", "http://", "/x", "http://[::1", "http://a b", "unix:/x", "http://u:p@a:1"] {
        assert_eq!(bad(url).0, "url-form", "{url}");
    }
    for url in ["http://a:0", "http://a:70000", "http://a:", "http://[::1]:99999"] {
        assert_eq!(bad(url).0, "port-form", "{url}");
    }
    for url in ["http://a/x", "http://a:1/?x", "http://a:1?x"] {
        assert_eq!(bad(url).0, "url-path", "{url}");
    }
    assert_eq!(bad("https://a:1").0, "not-supported");
    assert_eq!(bad("localhost:8080").1, "must be a URL: write http://localhost:8080");
}

#[test]
fn the_same_server_twice_is_one_endpoint_with_both_shares() {
    let described = described_well("- backends: [{url: 'http://a:1', weight: 2}, {url: 'http://A:1/'}]");
    let weights: Vec<u32> = described.upstreams[0].endpoints.iter().map(|endpoint| endpoint.weight).collect();
    assert_eq!(weights, [3]);
}

#[test]
fn urls_services_and_upstreams_share_a_rule_by_weight() {
    let described = described_well(
        "- backends: [{url: 'http://a:1', weight: 2}, {upstream: users, weight: 3}, {url: 'http://b:1'}, \
         {service: {name: web, port: http}, weight: 0}]",
    );
    let Action::Forward(targets) = &only_rule(&described).action else { panic!("the rule is good") };
    let shares: Vec<(String, u32)> = targets
        .iter()
        .map(|target| match &target.to {
            Destination::Upstream(id) => (id.to_string(), target.weight),
            Destination::Missing => ("missing".to_owned(), target.weight),
        })
        .collect();
    let expected = [("file/any host/prefix /", 3), ("users", 3), ("shop/web:http", 0)];
    assert!(shares.iter().map(|(id, weight)| (id.as_str(), *weight)).eq(expected), "{shares:?}");
}

#[test]
fn a_missing_service_costs_its_own_share_only() {
    let described = describe_in(
        OBJECT,
        "- {hosts: [a.example.com], backends: [{service: {name: web, port: 80}}, \
         {service: {name: missing, port: 80}, weight: 2}, {url: 'http://forbidden'}]}",
    );
    let Action::Forward(targets) = &only_rule(&described).action else { panic!("the rule is served") };
    assert_eq!(targets.len(), 2);
    assert_eq!(targets[1], Target::plain(Destination::Missing, 3));
    assert_eq!(
        problems(&described),
        [
            ("spec.routes[0].backends[1].service".to_owned(), "service-missing"),
            ("spec.routes[0].backends[2].url".to_owned(), "url-not-allowed"),
        ]
    );
}

#[test]
fn hosts_are_names_with_at_most_one_wildcard_in_front() {
    let longest = vec!["x".repeat(63); 3].join(".") + "." + &"y".repeat(61);
    let good = ["a", "a.example.com", "*.example.com", "*.com", "1.2.3.4", "a-b.c--d", &longest];
    let described = described_well(&format!("- {{hosts: {good:?}, backends: [{{url: 'http://a:1'}}]}}"));
    assert!(described.routes[0].hosts.iter().map(ToString::to_string).eq(good));

    let too_long = format!("{longest}y");
    let bad = [
        "",
        "*",
        "A.example.com",
        "a.example.com:80",
        "a..b",
        ".a",
        "a.",
        "-a",
        "a-",
        "a_b",
        "*.*.a",
        "a.*",
        "é.com",
        "*a.com",
        "[::1]",
        &"x".repeat(64),
        &too_long,
    ];
    let described = describe(&format!("- {{hosts: {bad:?}, backends: [{{url: 'http://a:1'}}]}}"));
    let places: Vec<String> = (0..bad.len()).map(|index| format!("routes[0].hosts[{index}]")).collect();
    assert!(described.problems.iter().map(|problem| &problem.path).eq(&places), "{:?}", described.problems);
}

#[test]
fn a_route_whose_hosts_are_broken_does_not_answer_for_everybody() {
    let described = describe("- {hosts: [BAD], backends: [{url: 'http://a:1'}]}");
    assert_eq!(described.routes[0].rules, Vec::new());
    let described = describe("- {hosts: [BAD, good], backends: [{url: 'http://a:1'}]}");
    assert_eq!(described.routes[0].hosts, [HostPattern::Exact("good".to_owned())]);
    assert_eq!(only_rule(&described).action, Action::Broken);
}

#[test]
fn the_same_host_twice_is_one() {
    let described = described_well("- {hosts: [a, a], backends: [{url: 'http://a:1'}]}");
    assert_eq!(described.routes[0].hosts.len(), 1);
}

#[test]
fn an_objects_route_needs_hosts() {
    let described = describe_in(OBJECT, "- backends: [{url: 'http://a:1'}]");
    assert_eq!(problems(&described), [("spec.routes[0].hosts".to_owned(), "host-required")]);
    assert_eq!(described.routes[0].rules, Vec::new());
}

#[test]
fn a_rule_takes_timeouts_from_its_route_member_by_member() {
    let described = described_well(
        "- timeouts: {request: 9s, idle: 8s}\n  rules:\n\
         \x20   - {path: /a, timeouts: {idle: 1s}, backends: [{url: 'http://a:1'}]}\n\
         \x20   - {path: /b, timeouts: {request: 0s}, backends: [{url: 'http://a:1'}]}\n\
         \x20   - {path: /c, backends: [{url: 'http://a:1'}]}\n",
    );
    let seconds: Vec<(u64, u64)> = described.routes[0]
        .rules
        .iter()
        .map(|rule| (rule.traffic.timeouts.request.as_secs(), rule.traffic.timeouts.idle.as_secs()))
        .collect();
    assert_eq!(seconds, [(9, 1), (0, 8), (9, 8)]);
}

#[test]
fn of_two_with_one_name_the_second_is_off() {
    let described = describe(
        "- {name: x, path: /a, backends: [{url: 'http://a:1'}]}\n\
         - {name: x, path: /b, backends: [{url: 'http://a:1'}]}\n\
         - hosts: [a]\n  rules:\n\
         \x20   - {name: x, path: /a, backends: [{url: 'http://a:1'}]}\n\
         \x20   - {name: x, path: /b, backends: [{url: 'http://a:1'}]}\n",
    );
    let off: Vec<&str> = described
        .routes
        .iter()
        .flat_map(|route| &route.rules)
        .filter(|rule| rule.action == Action::Broken)
        .map(|rule| rule.at.as_str())
        .collect();
    assert_eq!(off, ["routes[1]", "routes[2].rules[1]"]);
    assert_eq!(
        problems(&described),
        [("routes[1].name".to_owned(), "duplicate-name"), ("routes[2].rules[1].name".to_owned(), "duplicate-name")]
    );
}

#[test]
fn a_route_is_a_rule_or_has_rules() {
    let described = describe(
        "- {path: /a, backends: [{url: 'http://a:1'}], rules: [{path: /b, backends: [{url: 'http://a:1'}]}]}\n\
         - {path: /c}\n\
         - {path: /d, backends: [{url: 'http://a:1', upstream: users}, {}]}\n\
         - {path: /e, backends: [{upstream: users, weight: 0}]}\n",
    );
    let expected = [
        ("routes[0]", "one-action"),
        ("routes[0]", "rules-match"),
        ("routes[1]", "one-action"),
        ("routes[2].backends[0]", "backend-one"),
        ("routes[2].backends[1]", "backend-one"),
        ("routes[3].backends", "weights-zero"),
    ];
    assert!(problems(&described).iter().map(|(path, slug)| (path.as_str(), *slug)).eq(expected));
    assert!(described.problems.iter().all(|problem| problem.effect == Effect::RuleOff));
}

#[test]
fn the_same_match_on_one_host_is_found_whatever_its_writing() {
    let described = described_well(
        "- {hosts: [a, b], path: /x, methods: [GET, PUT], backends: [{url: 'http://a:1'}]}\n\
         - {hosts: [c, b], path: /x/, methods: [PUT, GET], backends: [{url: 'http://a:1'}]}\n\
         - {hosts: [b], path: /x, backends: [{url: 'http://a:1'}]}\n\
         - {hosts: ['*.b'], path: /x, methods: [PUT, GET], backends: [{url: 'http://a:1'}]}\n",
    );
    let found = find_duplicates(described.routes.iter());
    let found: Vec<_> = found
        .iter()
        .map(|found| (found.host.map(ToString::to_string), found.rule.at.as_str(), found.winner.at.as_str()))
        .collect();
    assert_eq!(found, [(Some("b".to_owned()), "routes[1]", "routes[0]")]);
}

#[test]
fn the_same_match_with_another_priority_or_listener_is_another_rule() {
    let described = described_well(
        "- {path: /x, backends: [{url: 'http://a:1'}]}\n\
         - {path: /x, priority: 1, backends: [{url: 'http://b:1'}]}\n\
         - {path: /x, listeners: [http], priority: -1, backends: [{url: 'http://c:1'}]}\n\
         - {path: /x, listeners: [internal], priority: -1, backends: [{url: 'http://d:1'}]}\n",
    );
    assert!(find_duplicates(described.routes.iter()).is_empty());
    let ids: Vec<&str> = rules_of(&described).map(|rule| rule.id.as_str()).collect();
    assert_eq!(
        ids,
        [
            "file/any host/prefix /x",
            "file/any host/prefix /x priority=1",
            "file/any host on http/prefix /x priority=-1",
            "file/any host on internal/prefix /x priority=-1",
        ]
    );
    let twice = described_well(
        "- {path: /x, listeners: [http, internal], backends: [{url: 'http://a:1'}]}\n\
         - {path: /x, listeners: [internal], backends: [{url: 'http://b:1'}]}\n",
    );
    assert_eq!(find_duplicates(twice.routes.iter()).len(), 1);
}

#[test]
fn a_route_on_listeners_that_do_not_exist_is_nowhere() {
    let described = describe("- {listeners: [htp], backends: [{url: 'http://a:1'}]}");
    assert_eq!(problems(&described), [("routes[0].listeners[0]".to_owned(), "listener-missing")]);
    assert_eq!(described.routes[0].rules, Vec::new());
    let described = describe("- {listeners: [htp, http], backends: [{url: 'http://a:1'}]}");
    assert_eq!(described.routes[0].listeners, ["http"]);
    assert!(matches!(only_rule(&described).action, Action::Forward(_)));
}

#[test]
fn a_broken_pattern_keeps_its_place() {
    let described = describe("- {pathRegex: '/api/v[', backends: [{url: 'http://a:1'}]}");
    let PathMatch::Regex(pattern) = &only_rule(&described).matches.path else { panic!("a pattern") };
    assert!(pattern.matches("/api/v1/x") && !pattern.matches("/other"));
    assert_eq!(only_rule(&described).action, Action::Broken);
}

#[test]
fn every_kind_of_broken_condition_counts_as_true() {
    for broken in [
        "{header: a, query: b, present: true}",
        "{header: a}",
        "{header: 'a b', present: true}",
        "{query: q, regex: '('}",
        "{clientAddress: [10.0.0.0/8, 10.0.0.1/8]}",
        "{clientAddress: [10.0.0.0/8], present: false}",
    ] {
        let described = describe(&format!(
            "- {{conditions: [{broken}, {{header: x, present: true}}], backends: [{{url: 'http://a:1'}}]}}"
        ));
        let rule = only_rule(&described);
        assert_eq!(rule.matches.to_string(), "prefix / header:x present true", "{broken}");
        assert_eq!(rule.action, Action::Broken, "{broken}");
    }
}

#[test]
fn a_check_that_cannot_be_built_turns_the_rule_off() {
    for broken in [
        "security: {allow: [10.0.0.1/8]}",
        "security: {deny: [localhost]}",
        "rateLimits: [{name: x, rate: 0/s}]",
        "rateLimits: [{name: x, rate: 1/s, key: ['claim:sub']}]",
        "concurrency: {}",
        "limits: {requestBody: 1m}",
        "use: [missing]",
    ] {
        let described = describe(&format!("- {{{broken}, backends: [{{url: 'http://a:1'}}]}}"));
        assert_eq!(only_rule(&described).action, Action::Broken, "{broken}");
    }
}

#[test]
fn objects_have_no_priority_and_no_defaults_of_their_own() {
    let described = describe_in(OBJECT, "- {hosts: [a], priority: 7, backends: [{service: {name: web, port: 80}}]}");
    assert_eq!(problems(&described), [("spec.routes[0].priority".to_owned(), "not-supported")]);
    assert_eq!(only_rule(&described).action, Action::Broken);
    assert_eq!(only_rule(&described).priority, 0);
}

#[test]
fn a_url_with_headers_of_its_own_is_an_upstream_of_its_own() {
    let described = described_well(
        "- backends: [{url: 'http://a:1', weight: 9}, \
         {url: 'http://b:1', requestHeaders: {set: {X-Canary: '1'}}}, {url: 'http://c:1', requestHeaders: {}}]",
    );
    let servers = |index: usize| {
        let upstream = &described.upstreams[index];
        let endpoints: Vec<&str> = upstream.endpoints.iter().map(|endpoint| endpoint.id.as_str()).collect();
        (upstream.id.as_str(), endpoints)
    };
    assert_eq!(servers(0), ("file/any host/prefix /", vec!["a:1", "c:1"]));
    assert_eq!(servers(1), ("file/any host/prefix //b:1", vec!["b:1"]));
    let Action::Forward(targets) = &only_rule(&described).action else { panic!("the rule is good") };
    let weights: Vec<(u32, bool)> =
        targets.iter().map(|target| (target.weight, target.request_headers.is_empty())).collect();
    assert_eq!(weights, [(10, true), (1, false)]);
}

/// Loading is bounded by two seconds for all of it; this is one part. Ten times more is allowed here, as tests are
/// not optimised.
#[test]
fn a_hundred_thousand_routes_are_described_in_good_time() {
    let spec = |index: usize| RouteSpec {
        hosts: Some(vec![format!("h{}.example.com", index % 1000)]),
        rule: RuleFields {
            path: Some(format!("/path/{index}")),
            backends: Some(vec![crate::config::spec::BackendSpec {
                url: Some("http://10.0.0.1:8080".to_owned()),
                ..Default::default()
            }]),
            ..RuleFields::default()
        },
        ..RouteSpec::default()
    };
    let specs: Vec<RouteSpec> = (0..100_000).map(spec).collect();
    let began = std::time::Instant::now();
    let described = describe_routes(&specs, &mut Place { is_object: false });
    let took = began.elapsed();
    assert_eq!(described.routes.len(), 100_000);
    println!("described in {took:?}");
    assert!(took < std::time::Duration::from_secs(10), "{took:?}");
}
