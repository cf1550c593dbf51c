//! What `sluice explain` says, about Gateways of the test's own.

use std::time::Duration;

use http::StatusCode;

use crate::config::message::{
    HeaderEdit, HeaderEdits, HostRewrite, PathRewrite, Piece, Redirect, RedirectPath, Respond, Rewrite, Template,
};
use crate::config::route::{Condition, HeaderEquals};
use crate::config::traffic::{Concurrency, LoadBalancer, RateLimit, Retries, Security, Traffic};
use crate::config::units::{Rate, parse_rate};
use crate::config::{
    Attribute, Cidr, Destination, Endpoint, EndpointId, EndpointState, LimiterId, Match, PathMatch, Rule, RuleId,
    Source, StatusSet, Target, Timeouts, Upstream, UpstreamId, UpstreamSettings,
};

use super::*;

fn rule(name: &str, matches: Match, action: Action, traffic: Traffic) -> Arc<Rule> {
    Arc::new(Rule {
        id: RuleId::new(name),
        name: name.into(),
        at: format!("routes[{name}]"),
        matches,
        action,
        priority: 0,
        traffic: Arc::new(traffic),
    })
}

fn respond(body: &str) -> Action {
    Action::Respond(Respond {
        status: StatusCode::OK,
        body: body.into(),
        content_type: "text/plain".into(),
        headers: Vec::new(),
    })
}

fn route(hosts: &[&str], listeners: &[&str], rules: Vec<Arc<Rule>>) -> Arc<Route> {
    let hosts = hosts.iter().map(|host| match host.strip_prefix("*.") {
        Some(suffix) => HostPattern::Wildcard(suffix.into()),
        None => HostPattern::Exact((*host).into()),
    });
    let listeners = listeners.iter().map(|name| (*name).to_owned()).collect();
    Arc::new(Route { source: Source::File, hosts: hosts.collect(), listeners, rules })
}

fn below(path: &str) -> Match {
    Match::path(PathMatch::Prefix(path.into()))
}

fn explain(gateway: Gateway, listener: usize, client: &str, request: &[&str], headers: &[&str]) -> Report {
    let args = Args {
        request: request.iter().map(|word| (*word).to_owned()).collect(),
        headers: headers.iter().map(|line| (*line).to_owned()).collect(),
        client: client.parse().expect("an address"),
        listener: None,
        config: PathBuf::new(),
        output: Output::Text,
    };
    let listener = gateway.listeners.get(listener).cloned().unwrap_or_else(Listener::default_http);
    let registry = Arc::new(Registry::new(Arc::new(Metrics::new(1).expect("names are unique"))));
    let snapshot = Compiler::new(registry).compile(&Offer { number: 1, gateway: Arc::new(gateway), stale_since: None });
    report(&snapshot, &listener, args.client, &request_of(&args))
}

fn request_of(args: &Args) -> Parts {
    super::request(args).expect("a request")
}

fn header_edit(name: &'static str, value: &str) -> HeaderEdit {
    HeaderEdit { name: HeaderName::from_static(name), value: Template::new(vec![Piece::Text(value.into())]) }
}

fn busy_traffic() -> Traffic {
    let limit = RateLimit {
        id: LimiterId::new("x/per-client"),
        name: "per-client".into(),
        rate: parse_rate("50/s").expect("a rate"),
        burst: 100,
        algorithm: crate::config::traffic::RateAlgorithm::TokenBucket,
        key: vec![Attribute::ClientAddress],
        missing_key: Default::default(),
        scope: Default::default(),
        status: StatusCode::TOO_MANY_REQUESTS,
        headers: Default::default(),
        exempt: vec![Cidr::parse("10.1.0.0/16").expect("a range")],
        mode: Default::default(),
    };
    let daily = RateLimit {
        name: "quota".into(),
        rate: Rate { count: 5, period: Duration::from_secs(86_400) },
        algorithm: crate::config::traffic::RateAlgorithm::SlidingWindow,
        key: Vec::new(),
        exempt: Vec::new(),
        ..limit.clone()
    };
    Traffic {
        security: Security {
            allow: Some(vec![Cidr::parse("10.0.0.0/8").expect("a range")]),
            deny: vec![Cidr::parse("10.9.0.0/16").expect("a range")],
        },
        rate_limits: vec![Arc::new(limit), Arc::new(daily)],
        concurrency: Some(Arc::new(Concurrency {
            id: LimiterId::new("x"),
            max: 10,
            per: Vec::new(),
            queue: 5,
            queue_timeout: Duration::from_secs(1),
            status: StatusCode::SERVICE_UNAVAILABLE,
        })),
        request_body: Some(1 << 20),
        request_headers: HeaderEdits {
            remove: vec![HeaderName::from_static("x-debug")],
            set: vec![header_edit("x-team", "shop")],
            add: Vec::new(),
        },
        response_headers: HeaderEdits { add: vec![header_edit("x-served-by", "sluice")], ..HeaderEdits::default() },
        rewrite: Some(Rewrite {
            path: Some(PathRewrite::Prefix("/v2".into())),
            host: Some(HostRewrite::To("inner.example.com".into())),
        }),
        retries: Retries { statuses: StatusSet::of(&[(503, 503)]), ..Retries::default() },
        timeouts: Timeouts { request: Duration::from_secs(30), ..Timeouts::default() },
        load_balancer: LoadBalancer { algorithm: crate::config::traffic::Algorithm::LeastConnections, zone: None },
        ..Traffic::default()
    }
}

fn shop() -> Gateway {
    let endpoint = |host: &str, weight| Endpoint {
        id: EndpointId::new(host),
        host: host.into(),
        port: 8080,
        weight,
        state: EndpointState::Active,
        zone: None,
    };
    let users = Upstream {
        id: UpstreamId::new("users"),
        label: "users".into(),
        is_of_urls: false,
        endpoints: vec![endpoint("10.1.0.11", 1), endpoint("10.1.0.12", 2)],
        prefers_zone: false,
        denied: Arc::default(),
        settings: UpstreamSettings { circuit_breaker: Some(Default::default()), ..UpstreamSettings::default() }.into(),
    };
    let to_users = Target::plain(Destination::Upstream(UpstreamId::new("users")), 3);
    let mut to_nobody = Target::plain(Destination::Missing, 1);
    to_nobody.request_headers.set.push(header_edit("x-canary", "1"));
    let near = Condition::ClientAddress(vec![Cidr::parse("192.168.0.0/16").expect("a range")]);
    let tester = HeaderEquals { name: HeaderName::from_static("x-tester"), value: "yes".into() };
    Gateway {
        routes: vec![
            route(
                &["shop.example.com"],
                &[],
                vec![
                    rule("users", below("/users"), Action::Forward(vec![to_users, to_nobody]), busy_traffic()),
                    rule("all", below("/"), respond("hello"), Traffic::default()),
                    rule(
                        "tester",
                        Match { headers: vec![tester], ..below("/") },
                        respond("tester"),
                        Traffic::default(),
                    ),
                    rule("near", Match { conditions: vec![near], ..below("/") }, respond("near"), Traffic::default()),
                ],
            ),
            route(
                &["shop.example.com"],
                &["inner"],
                vec![rule("admin", below("/admin"), respond("admin"), Traffic::default())],
            ),
        ],
        upstreams: vec![Arc::new(users)],
        listeners: vec![
            Listener { name: "http".into(), ..Listener::default_http() },
            Listener { name: "inner".into(), ..Listener::named_by_port(9001) },
        ],
        ..Gateway::default()
    }
}

#[test]
fn it_reads_like_a_story() {
    let report = explain(shop(), 0, "10.1.2.3", &["POST", "http://Shop.example.com/x/../users?page=2"], &[]);
    let wanted = r#"POST /users?page=2 for host "shop.example.com", from 10.1.2.3, on listener http

Answered by the rule users (routes[users])

What happens, in this order:
  security             deny 10.9.0.0/16, allow only 10.0.0.0/8: 10.1.2.3 passes
  rateLimits           per-client: 50 a second, 100 at once for each clientAddress, over it 429; 10.1.2.3 is exempt
  rateLimits           quota: at most 5 a day in any such time for all together, over it 429
  concurrency          10 at once for all together, 5 more wait up to 1s, others get 503
  limits.requestBody   bodies over 1MiB are answered with 413
  requestHeaders       remove x-debug; set x-team: shop
  rewrite              the matched prefix becomes /v2, Host becomes inner.example.com
  retries              up to 2 more tries when there is no connection, or the server refuses to begin, or a reused connection turns out dead, or the answer has one of the listed statuses
  timeouts             30s for the whole request, 60s without a byte, 1h without a byte on a stream
  responseHeaders      add x-served-by: sluice

Where it goes:
  users, by least connections, gets weight 3 (75 %)
    10.1.0.11:8080 (weight 1)
    10.1.0.12:8080 (weight 2)
    healthCheck.passive  out for 10s after 5 failures in a row
    circuitBreaker       opens for 10s when 50 % of at least 20 requests within 10s fail
    connectTimeout       a connection has to be there within 2s
    whenEmpty            without any server the answer is 503
  (does not exist: 500), by none, gets weight 1 (25 %)
    requestHeaders       set x-canary: 1

Why no other rule of shop.example.com answers:
  tester (routes[tester]): the header x-tester is not "yes" (the request has none)
  near (routes[near]): the client's address is not in 192.168.0.0/16 (it is 10.1.2.3)
  all (routes[all]): it matches too, but the winner has a longer path
  admin (routes[admin]): it is served on listener inner only
"#;
    assert_eq!(text::write(&report), wanted);
}

#[test]
fn the_listener_and_the_client_decide_too() {
    let on_inner = explain(shop(), 1, "10.9.0.1", &["http://shop.example.com/admin"], &[]);
    assert_eq!(on_inner.explanation.rules.iter().find(|rule| rule.wins).map(|rule| rule.name.as_str()), Some("admin"));
    assert!(on_inner.elsewhere.is_empty());
    let near = explain(shop(), 0, "192.168.3.4", &["http://shop.example.com/"], &[]);
    assert_eq!(near.explanation.rules.iter().find(|rule| rule.wins).map(|rule| rule.name.as_str()), Some("near"));
    let denied = explain(shop(), 0, "10.9.0.1", &["http://shop.example.com/users"], &[]);
    assert!(text::write(&denied).contains("10.9.0.1 is refused with 403"));
}

#[test]
fn our_own_answers_are_told_with_their_reason() {
    let unknown = explain(shop(), 0, "10.0.0.1", &["http://other.example.com/"], &[]);
    assert!(
        text::write(&unknown).contains("Answer: 404 no_host: no route names this host"),
        "{}",
        text::write(&unknown)
    );
    let bad = explain(shop(), 0, "10.0.0.1", &["http://shop.example.com/%00"], &[]);
    assert!(text::write(&bad).contains("Answer: 400 bad_path"), "{}", text::write(&bad));
    let off = rule("off", below("/"), Action::Broken, Traffic::default());
    let gateway = Gateway { routes: vec![route(&["*.a"], &[], vec![off])], ..Gateway::default() };
    let off = text::write(&explain(gateway, 0, "10.0.0.1", &["http://b.a/"], &[]));
    assert!(off.contains("Answer: 500 rule_off") && off.contains("by the rule off (routes[off])"), "{off}");
}

#[test]
fn redirects_and_answers_are_told() {
    let redirect = Redirect {
        scheme: Some("https".into()),
        host: None,
        port: None,
        path: Some(RedirectPath::Path("/home".into())),
        keeps_query: false,
        status: StatusCode::PERMANENT_REDIRECT,
    };
    let rules = vec![
        rule("old", below("/old"), Action::Redirect(redirect), Traffic::default()),
        rule("ok", below("/"), respond("ok"), Traffic::default()),
    ];
    let gateway = || Gateway { routes: vec![route(&[], &[], rules.clone())], ..Gateway::default() };
    let steps = |url: &str| explain(gateway(), 0, "10.0.0.1", &[url], &[]).steps;
    let wanted = "308 to the same URL with scheme https, path /home, without the query";
    assert_eq!(steps("http://a/old"), [Step::new("redirect", wanted)]);
    assert_eq!(steps("http://a/"), [Step::new("respond", "200 text/plain, body \"ok\"")]);
}

#[test]
fn a_long_list_of_rules_is_cut_for_people() {
    let rules = (0..50).map(|n| rule(&format!("r{n:02}"), below(&format!("/{n:02}")), respond(""), Traffic::default()));
    let gateway = Gateway { routes: vec![route(&[], &[], rules.collect())], ..Gateway::default() };
    let report = explain(gateway, 0, "10.0.0.1", &["http://a/00"], &[]);
    let text = text::write(&report);
    assert!(text.contains("of any host") && text.contains("and 29 more; -o json shows all"), "{text}");
    assert_eq!(report.explanation.rules.len(), 50);
}

#[test]
fn a_listener_that_is_not_there_is_told_with_those_that_are() {
    let error = listener(&shop(), Some("htp")).expect_err("there is none").to_string();
    assert_eq!(error, "there is no listener \"htp\"; there are: http, inner");
    assert_eq!(listener(&shop(), Some("inner")).map(|listener| listener.port).ok(), Some(9001));
    assert_eq!(listener(&shop(), None).map(|listener| listener.name).ok().as_deref(), Some("http"));
}
