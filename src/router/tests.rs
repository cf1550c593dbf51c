//! The router against a naive model: a linear scan with the keys written out by hand.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use proptest::prelude::*;

use crate::config::route::{HeaderEquals, MethodName};
use crate::config::{Action, Match, RuleId};

use super::*;

fn rule(index: usize, matches: Match) -> Arc<Rule> {
    Arc::new(Rule {
        id: RuleId::new(index.to_string()),
        name: index.to_string(),
        at: format!("routes[{index}]"),
        matches,
        action: Action::Broken,
        priority: 0,
        traffic: Arc::default(),
    })
}

fn table(rules: &[(Option<HostPattern>, Match)]) -> Table<usize> {
    let built: Vec<Arc<Rule>> = rules.iter().enumerate().map(|(i, (_, m))| rule(i, m.clone())).collect();
    let mut table = Table::default();
    for (host, _) in rules {
        let of_host = rules.iter().enumerate().filter(|(_, (h, _))| h == host);
        let compiled = HostTable::compile(of_host.map(|(i, _)| (Arc::clone(&built[i]), i)));
        table.insert(host.as_ref(), Arc::new(compiled));
    }
    table
}

/// The rule that has to answer: none, or its index.
fn naive(rules: &[(Option<HostPattern>, Match)], head: &Head<'_>) -> Result<usize, &'static str> {
    let covers = |host: &Option<HostPattern>| match host {
        None => Some(0),
        Some(HostPattern::Wildcard(suffix)) => head.host.ends_with(&format!(".{suffix}")).then_some(1 + suffix.len()),
        Some(HostPattern::Exact(name)) => (head.host == name).then_some(10_000),
    };
    let best = rules.iter().filter_map(|(host, _)| covers(host)).max().ok_or("no_host")?;
    let mut winner: Option<usize> = None;
    for (index, (host, matches)) in rules.iter().enumerate() {
        if covers(host) != Some(best) || !holds(matches, head) {
            continue;
        }
        if winner.is_none_or(|first| key(matches) > key(&rules[first].1)) {
            winner = Some(index);
        }
    }
    winner.ok_or("no_route")
}

fn holds(matches: &Match, head: &Head<'_>) -> bool {
    let path = match &matches.path {
        PathMatch::Exact(path) => head.path == path,
        PathMatch::Regex(pattern) => pattern.matches(head.path),
        PathMatch::Prefix(path) if path == "/" => true,
        PathMatch::Prefix(path) => head.path == path || head.path.starts_with(&format!("{path}/")),
    };
    let method = matches.methods.is_empty() || matches.methods.iter().any(|m| m.0 == head.method);
    path && method
        && matches
            .headers
            .iter()
            .all(|h| head.headers.get_all(&h.name).iter().any(|v| v.as_bytes() == h.value.as_bytes()))
}

/// Larger is better.
fn key(matches: &Match) -> (bool, usize, bool, usize) {
    let (exact, length) = match &matches.path {
        PathMatch::Exact(path) => (true, path.trim_end_matches('/').len()),
        PathMatch::Regex(pattern) => (false, pattern.as_str().len()),
        PathMatch::Prefix(path) => (false, path.trim_end_matches('/').len()),
    };
    (exact, length, !matches.methods.is_empty(), matches.headers.len())
}

fn any_host() -> impl Strategy<Value = Option<HostPattern>> {
    prop_oneof![
        Just(None),
        "(a|b)(\\.(a|b)){0,2}".prop_map(|h| Some(HostPattern::Exact(h))),
        "(a|b)(\\.(a|b)){0,1}".prop_map(|h| Some(HostPattern::Wildcard(h))),
    ]
}

fn any_match() -> impl Strategy<Value = Match> {
    let path = prop_oneof![
        "(/(a|b|ab)){0,3}/?".prop_map(|p| PathMatch::Exact(if p.is_empty() { "/".into() } else { p })),
        "(/(a|b|ab)){0,3}".prop_map(|p| PathMatch::Prefix(if p.is_empty() { "/".into() } else { p })),
    ];
    let methods = proptest::sample::subsequence(vec![Method::GET, Method::POST], 0..=2)
        .prop_map(|list| list.into_iter().map(MethodName).collect::<Vec<_>>());
    let headers = proptest::sample::subsequence(vec!["x-a", "x-b"], 0..=2).prop_map(|names| {
        names
            .into_iter()
            .map(|n| HeaderEquals { name: HeaderName::from_static(n), value: "1".into() })
            .collect::<Vec<_>>()
    });
    (path, methods, headers).prop_map(|(path, methods, headers)| Match { methods, headers, ..Match::path(path) })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn decides_like_a_linear_scan(
        rules in proptest::collection::vec((any_host(), any_match()), 0..12),
        host in "(a|b|c)(\\.(a|b)){0,3}",
        path in "(/(a|b|ab|c)){0,4}/?",
        post in any::<bool>(),
        headers in proptest::collection::vec((prop_oneof!["x-a", "x-b"], "[12]"), 0..4),
    ) {
        let path = if path.is_empty() { "/".to_owned() } else { path };
        let mut map = HeaderMap::new();
        for (name, value) in &headers {
            map.append(
                HeaderName::from_bytes(name.as_bytes()).expect("a name"),
                HeaderValue::from_str(value).expect("a value"),
            );
        }
        let method = if post { Method::POST } else { Method::GET };
        let head = Head { host: &host, path: &path, method: &method, headers: &map };
        let table = table(&rules);
        let decided = match table.decide(&head) {
            Decision::Rule(candidate) => Ok(candidate.plan),
            Decision::NoRoute => Err("no_route"),
            Decision::NoHost => Err("no_host"),
        };
        prop_assert_eq!(decided, naive(&rules, &head));

        let explained = table.explain(&head);
        let winner = explained.rules.iter().find(|rule| rule.wins).map(|rule| rule.name.clone());
        prop_assert_eq!(winner, decided.ok().map(|index| index.to_string()));
        prop_assert!(explained.rules.iter().all(|rule| rule.wins == rule.why.is_none()));
    }
}

#[test]
fn h086_prefixes_end_at_segments() {
    let prefix = |path: &str| (None, Match { path: PathMatch::Prefix(path.into()), ..Match::everything() });
    let table = table(&[prefix("/api")]);
    let (method, headers) = (Method::GET, HeaderMap::new());
    let answers = |path: &str| {
        matches!(table.decide(&Head { host: "a", path, method: &method, headers: &headers }), Decision::Rule(_))
    };
    assert!(answers("/api") && answers("/api/") && answers("/api/x"));
    assert!(!answers("/apis") && !answers("/") && !answers("/API"));
}
