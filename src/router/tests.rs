//! The router against a naive model: a linear scan with conditions and keys written out by hand.

use std::cmp::Reverse;
use std::net::Ipv4Addr;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

use crate::config::route::{HeaderEquals, MethodName, NameEquals};
use crate::config::{
    Action, Cidr, Condition, HostPattern, Match, PathMatch, Pattern, Rule, RuleId, Subject, Test as Wanted,
};

use super::listeners::{Entering, Leaving};
use super::precedence::{Key, Position, Precedence, Rank};
use super::*;

#[derive(Clone, Debug)]
struct Given {
    host: Option<HostPattern>,
    listeners: Vec<String>,
    rule: Arc<Rule>,
}

fn rule(priority: i32, matches: Match) -> Arc<Rule> {
    Arc::new(Rule {
        id: RuleId::new("r"),
        name: "r".into(),
        at: String::new(),
        matches,
        action: Action::Broken,
        priority,
        traffic: Arc::default(),
    })
}

fn position(index: usize) -> Position {
    Position { route: index as u64, rule: 0, source: 0 }
}

fn entering(given: &Given, index: usize) -> Entering<'_, usize> {
    let candidate = Candidate { rule: Arc::clone(&given.rule), plan: index, position: position(index) };
    Entering { listeners: &given.listeners, candidate }
}

/// Puts rules in one by one, or all of a host at once.
fn tables(rules: &[Given], at_once: bool) -> Tables<usize> {
    let mut tables = Tables::default();
    for listener in rules.iter().flat_map(|given| &given.listeners) {
        tables.name(listener);
    }
    for (index, given) in rules.iter().enumerate() {
        if !at_once {
            tables.change(given.host.as_ref(), &[], &[entering(given, index)]);
        } else if rules[..index].iter().all(|earlier| earlier.host != given.host) {
            let of_host = rules.iter().enumerate().filter(|(_, other)| other.host == given.host);
            let all: Vec<_> = of_host.map(|(index, given)| entering(given, index)).collect();
            tables.change(given.host.as_ref(), &[], &all);
        }
    }
    tables
}

/// A request before it is written as one.
#[derive(Clone, Debug)]
struct Asked {
    listener: &'static str,
    host: String,
    path: String,
    method: Method,
    headers: Vec<(String, String)>,
    query: Vec<(String, String)>,
    cookies: Vec<(String, String)>,
    client: u8,
}

impl Asked {
    fn header_map(&self) -> HeaderMap {
        let mut map = HeaderMap::new();
        let value = |text: &str| HeaderValue::from_str(text).expect("a value");
        for (name, text) in &self.headers {
            map.append(HeaderName::from_bytes(name.as_bytes()).expect("a name"), value(text));
        }
        for pair in self.cookies.chunks(2) {
            let line: Vec<String> = pair.iter().map(|(name, value)| format!("{name}={value}")).collect();
            map.append(http::header::COOKIE, value(&line.join("; ")));
        }
        map
    }

    fn query_text(&self) -> Option<String> {
        let escape = |text: &str, index: usize| match index % 3 {
            0 => text.replace(' ', "+"),
            1 => text.replace(' ', "%20"),
            _ => text.bytes().map(|byte| format!("%{byte:02X}")).collect(),
        };
        let pairs = self.query.iter().enumerate();
        let pairs: Vec<String> =
            pairs.map(|(i, (name, value))| format!("{}={}", escape(name, i), escape(value, i + 1))).collect();
        (!pairs.is_empty()).then(|| pairs.join("&"))
    }

    fn client(&self) -> std::net::IpAddr {
        Ipv4Addr::new(10, 0, 0, self.client).into()
    }

    fn values(&self, subject: &Subject) -> Vec<String> {
        let (pairs, wanted) = match subject {
            Subject::Header(name) if name == "host" => return vec![self.host.clone()],
            Subject::Header(name) => (&self.headers, name),
            Subject::Query(name) => (&self.query, name),
            Subject::Cookie(name) => (&self.cookies, name),
        };
        pairs.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value.clone()).collect()
    }
}

/// The rule that has to answer, by its index.
fn naive(rules: &[Given], asked: &Asked) -> Result<usize, &'static str> {
    let here = rules.iter().enumerate().filter(|(_, given)| {
        given.listeners.is_empty() || given.listeners.iter().any(|listener| listener == asked.listener)
    });
    let covers = |host: &Option<HostPattern>| match host {
        None => Some(0),
        Some(HostPattern::Wildcard(suffix)) => asked.host.ends_with(&format!(".{suffix}")).then_some(1 + suffix.len()),
        Some(HostPattern::Exact(name)) => (asked.host == *name).then_some(10_000),
    };
    let best = here.clone().filter_map(|(_, given)| covers(&given.host)).max().ok_or("no_host")?;
    here.filter(|(_, given)| covers(&given.host) == Some(best) && holds(&given.rule.matches, asked))
        .max_by_key(|(index, given)| (key(&given.rule), Reverse(*index)))
        .map(|(index, _)| index)
        .ok_or("no_route")
}

/// What a pattern means.
type Matches = fn(&str) -> bool;

/// Patterns with what they mean.
const PATTERNS: [(&str, Matches); 7] = [
    ("/.*", |path| path.starts_with('/')),
    ("/a/.*", |path| path.starts_with("/a/")),
    ("/a(/b)?", |path| path == "/a" || path == "/a/b"),
    ("/(a|b)/.*", |path| path.starts_with("/a/") || path.starts_with("/b/")),
    (".*b", |path| path.ends_with('b')),
    ("/ab?", |path| path == "/a" || path == "/ab"),
    ("/a/b/.+", |path| path.len() > 5 && path.starts_with("/a/b/")),
];

fn holds(matches: &Match, asked: &Asked) -> bool {
    let path = match &matches.path {
        PathMatch::Exact(path) => asked.path == *path,
        PathMatch::Regex(pattern) => {
            PATTERNS.iter().any(|(text, means)| *text == pattern.as_str() && means(&asked.path))
        }
        PathMatch::Prefix(path) if path == "/" => true,
        PathMatch::Prefix(path) => asked.path == *path || asked.path.starts_with(&format!("{path}/")),
    };
    let has = |subject: Subject, value: &String| asked.values(&subject).contains(value);
    path && (matches.methods.is_empty() || matches.methods.iter().any(|method| method.0 == asked.method))
        && matches.headers.iter().all(|h| has(Subject::Header(h.name.as_str().into()), &h.value))
        && matches.query.iter().all(|q| has(Subject::Query(q.name.clone()), &q.value))
        && matches.cookies.iter().all(|c| has(Subject::Cookie(c.name.clone()), &c.value))
        && matches.conditions.iter().all(|condition| condition_holds(condition, asked))
}

fn condition_holds(condition: &Condition, asked: &Asked) -> bool {
    let (subject, wanted) = match condition {
        Condition::ClientAddress(ranges) => return ranges.iter().any(|range| range.contains(asked.client())),
        Condition::Values(subject, wanted) => (subject, wanted),
    };
    let values = asked.values(subject);
    match wanted {
        Wanted::AnyOf(list) => values.iter().any(|value| list.contains(value)),
        Wanted::NoneOf(list) => values.iter().all(|value| !list.contains(value)),
        Wanted::Prefix(prefix) => values.iter().any(|value| value.starts_with(prefix.as_str())),
        Wanted::Regex(_) => values.iter().any(|value| value == "1" || value == "2"),
        Wanted::Present(true) => !values.is_empty(),
        Wanted::Present(false) => values.is_empty(),
    }
}

/// Larger is better.
fn key(rule: &Rule) -> (i32, u8, usize, bool, usize, usize, usize) {
    let matches = &rule.matches;
    let (kind, path) = match &matches.path {
        PathMatch::Exact(path) => (2, path.as_str()),
        PathMatch::Regex(pattern) => (1, pattern.as_str()),
        PathMatch::Prefix(path) => (0, path.as_str()),
    };
    let (mut headers, mut queries, mut others) = (matches.headers.len(), matches.query.len(), matches.cookies.len());
    for condition in &matches.conditions {
        match condition {
            Condition::Values(Subject::Header(_), _) => headers += 1,
            Condition::Values(Subject::Query(_), _) => queries += 1,
            _ => others += 1,
        }
    }
    let length = path.len() - usize::from(path.ends_with('/'));
    (rule.priority, kind, length, !matches.methods.is_empty(), headers, queries, others)
}

fn any_condition() -> impl Strategy<Value = Condition> {
    let subject = prop_oneof![
        prop_oneof!["x-a", "x-b", "host"].prop_map(Subject::Header),
        prop_oneof!["q", "two words"].prop_map(Subject::Query),
        "[cd]".prop_map(Subject::Cookie),
    ];
    let list = || proptest::collection::vec("[123]", 1..3);
    let wanted = prop_oneof![
        list().prop_map(Wanted::AnyOf),
        list().prop_map(Wanted::NoneOf),
        Just(Wanted::Prefix("1".into())),
        Just(Wanted::Regex(Pattern::parse("[12]").expect("it compiles"))),
        any::<bool>().prop_map(Wanted::Present),
    ];
    prop_oneof![
        4 => (subject, wanted).prop_map(|(subject, wanted)| Condition::Values(subject, wanted)),
        1 => (0_u8..4).prop_map(|last| {
            Condition::ClientAddress(vec![Cidr::parse(&format!("10.0.0.{last}")).expect("a range")])
        }),
    ]
}

fn any_path() -> impl Strategy<Value = PathMatch> {
    let or_root = |path: String| if path.is_empty() { "/".to_owned() } else { path };
    prop_oneof![
        "(/(a|b|ab)){0,3}/?".prop_map(move |path| PathMatch::Exact(or_root(path))),
        "(/(a|b|ab)){0,3}".prop_map(move |path| PathMatch::Prefix(or_root(path))),
        (0..PATTERNS.len()).prop_map(|at| PathMatch::Regex(Pattern::parse(PATTERNS[at].0).expect("it compiles"))),
    ]
}

fn any_match() -> impl Strategy<Value = Match> {
    let methods = proptest::sample::subsequence(vec![Method::GET, Method::POST], 0..=1);
    let names = |names: &'static [&'static str]| proptest::sample::subsequence(names, 0..=1);
    let conditions = proptest::collection::vec(any_condition(), 0..2);
    (any_path(), methods, names(&["x-a", "x-b"]), names(&["q", "two words"]), names(&["c", "d"]), conditions).prop_map(
        |(path, methods, headers, query, cookies, conditions)| Match {
            path,
            methods: methods.into_iter().map(MethodName).collect(),
            headers: headers
                .into_iter()
                .map(|name| HeaderEquals { name: HeaderName::from_static(name), value: "1".into() })
                .collect(),
            query: query.into_iter().map(|name| NameEquals { name: name.into(), value: "1".into() }).collect(),
            cookies: cookies.into_iter().map(|name| NameEquals { name: name.into(), value: "1".into() }).collect(),
            conditions,
        },
    )
}

fn any_given() -> impl Strategy<Value = Given> {
    let host = prop_oneof![
        2 => Just(None),
        4 => Just(Some(HostPattern::Exact("a.b".into()))),
        2 => "(a|b)(\\.(a|b)){0,1}".prop_map(|host| Some(HostPattern::Exact(host))),
        2 => "(a|b)(\\.(a|b)){0,1}".prop_map(|host| Some(HostPattern::Wildcard(host))),
    ];
    let listeners = prop_oneof![
        4 => Just(Vec::new()),
        1 => Just(vec!["one".to_owned()]),
        1 => Just(vec!["one".to_owned(), "two".to_owned()]),
    ];
    let priority = prop_oneof![4 => Just(0), 1 => -1..3];
    (host, listeners, priority, any_match()).prop_map(|(host, listeners, priority, matches)| Given {
        host,
        listeners,
        rule: rule(priority, matches),
    })
}

fn any_asked() -> impl Strategy<Value = Asked> {
    let listener = prop_oneof![Just("one"), Just("two"), Just("three")];
    let host = prop_oneof![2 => Just("a.b".to_owned()), 3 => "(a|b|c)(\\.(a|b)){0,3}"];
    let path = "(/(a|b|ab|c)?){0,4}/?".prop_map(|path| if path.is_empty() { "/".to_owned() } else { path });
    let method = prop_oneof![Just(Method::GET), Just(Method::POST)];
    let pairs = |name: &'static str| proptest::collection::vec((name, "[123]"), 0..4);
    let all = (listener, host, path, method, pairs("x-[ab]"), pairs("q|two words"), pairs("[cd]"), 0_u8..4);
    all.prop_map(|(listener, host, path, method, headers, query, cookies, client)| Asked {
        listener,
        host,
        path,
        method,
        headers,
        query,
        cookies,
        client,
    })
}

/// What the tables decide, and that `explain` says the same.
fn decided(tables: &Tables<usize>, asked: &Asked) -> Result<usize, &'static str> {
    let (headers, query) = (asked.header_map(), asked.query_text());
    let head = Head {
        host: &asked.host,
        path: &asked.path,
        query: query.as_deref(),
        method: &asked.method,
        headers: &headers,
        client: asked.client(),
    };
    let table = tables.of(asked.listener);
    let explained = table.explain(&head);
    let winners = explained.rules.iter().filter(|rule| rule.wins).count();
    assert!(explained.rules.iter().all(|rule| rule.wins == rule.why.is_none()), "{explained:?}");
    let (decided, decision) = match table.decide(&head) {
        Decision::Rule(candidate) => (Ok(candidate.plan), "rule"),
        Decision::NoRoute => (Err("no_route"), "no_route"),
        Decision::NoHost => (Err("no_host"), "no_host"),
    };
    assert_eq!((explained.decision, winners), (decision, usize::from(decided.is_ok())));
    // Rules in their order: whoever matches goes before whoever lost against it.
    let first = explained.rules.iter().position(|rule| rule.why.as_ref().is_none_or(|why| why.contains("matches too")));
    assert_eq!(first, explained.rules.iter().position(|rule| rule.wins));
    decided
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]
    #[test]
    fn decides_like_a_linear_scan(
        rules in proptest::collection::vec(any_given(), 0..40),
        asked in proptest::collection::vec(any_asked(), 1..8),
        at_once: bool,
    ) {
        let tables = tables(&rules, at_once);
        for asked in &asked {
            prop_assert_eq!(decided(&tables, asked), naive(&rules, asked), "{:?}", asked);
        }
    }

    #[test]
    fn after_changes_it_decides_like_a_linear_scan_of_what_is_left(
        rules in proptest::collection::vec((any_given(), any::<bool>()), 0..40),
        asked in proptest::collection::vec(any_asked(), 1..8),
    ) {
        let all: Vec<Given> = rules.iter().map(|(given, _)| given.clone()).collect();
        let mut tables = tables(&all, true);
        let before = tables.clone();
        for (index, (given, _)) in rules.iter().enumerate().filter(|(_, (_, stays))| !stays) {
            let leaving = Leaving { listeners: &given.listeners, rule: &given.rule, position: position(index) };
            tables.change(given.host.as_ref(), &[leaving], &[]);
            given.listeners.iter().for_each(|listener| tables.unname(listener));
        }
        let left: Vec<usize> = (0..rules.len()).filter(|index| rules[*index].1).collect();
        let of_left: Vec<Given> = left.iter().map(|index| all[*index].clone()).collect();
        for asked in &asked {
            prop_assert_eq!(decided(&tables, asked), naive(&of_left, asked).map(|index| left[index]));
            // Who still has the tables from before decides as before.
            prop_assert_eq!(decided(&before, asked), naive(&all, asked));
        }
    }
}

fn head_of<'a>(path: &'a str, query: Option<&'a str>, headers: &'a HeaderMap) -> Head<'a> {
    Head { host: "a", path, query, method: &Method::GET, headers, client: Ipv4Addr::LOCALHOST.into() }
}

fn one_rule(matches: Match) -> Table<usize> {
    let mut table = Table::default();
    table.change(None, &[], vec![Candidate { rule: rule(0, matches), plan: 0, position: position(0) }]);
    table
}

#[test]
fn h086_prefixes_end_at_segments() {
    let table = one_rule(Match::path(PathMatch::Prefix("/api".into())));
    let headers = HeaderMap::new();
    let answers = |path: &str| matches!(table.decide(&head_of(path, None, &headers)), Decision::Rule(_));
    assert!(answers("/api") && answers("/api/") && answers("/api/x"));
    assert!(!answers("/apis") && !answers("/") && !answers("/API"));
}

#[test]
fn h081_what_is_excluded_is_excluded_in_every_line() {
    let excluded = |test| {
        let condition = Condition::Values(Subject::Header("x-role".into()), test);
        one_rule(Match { conditions: vec![condition], ..Match::everything() })
    };
    let none_of = excluded(Wanted::NoneOf(vec!["admin".into()]));
    let absent = excluded(Wanted::Present(false));
    let answers = |table: &Table<usize>, lines: &[&'static str]| {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-role", HeaderValue::from_static(line));
        }
        matches!(table.decide(&head_of("/", None, &headers)), Decision::Rule(_))
    };
    assert!(answers(&none_of, &[]) && answers(&none_of, &["user", "guest"]));
    assert!(!answers(&none_of, &["user", "admin"]) && !answers(&none_of, &["admin", "user"]));
    // A line is one value: what a list means is for the server that reads it.
    assert!(answers(&none_of, &["user, admin"]));
    assert!(answers(&absent, &[]) && !answers(&absent, &[""]));
}

#[test]
fn h059_thousands_of_parameters_and_segments_are_looked_at_once() {
    let wanted = (0..16).map(|n| NameEquals { name: format!("p{n}"), value: "1".into() }).collect();
    let mut rules = vec![Match { query: wanted, ..Match::everything() }];
    rules.extend((0..200).map(|n| Match::path(PathMatch::Prefix(format!("/x{n}")))));
    rules.push(Match::path(PathMatch::Regex(Pattern::parse("/(a*)*(a*)*(a*)*b").expect("it compiles"))));
    let mut table = Table::default();
    let candidate = |(index, matches)| Candidate { rule: rule(0, matches), plan: index, position: position(index) };
    table.change(None, &[], rules.into_iter().enumerate().map(candidate).collect());
    let (path, query) = ("/a".repeat(4000), "p=1&".repeat(2000));
    let (began, headers) = (std::time::Instant::now(), HeaderMap::new());
    for _ in 0..20 {
        assert!(matches!(table.decide(&head_of(&path, Some(&query), &headers)), Decision::NoRoute));
    }
    // Without optimisation and beside other tests; quadratic work would take a minute.
    assert!(began.elapsed() < std::time::Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn a_rule_loses_at_the_first_key_that_differs() {
    let with = |path: PathMatch| Match::path(path);
    let prefix = || with(PathMatch::Prefix("/a".into()));
    let equals = |name: &str| vec![NameEquals { name: name.into(), value: "1".into() }];
    let header = vec![HeaderEquals { name: HeaderName::from_static("x-a"), value: "1".into() }];
    let order = [
        (Key::Priority, rule(1, with(PathMatch::Prefix("/".into())))),
        (Key::PathKind, rule(0, with(PathMatch::Exact("/a".into())))),
        (Key::PathKind, rule(0, with(PathMatch::Regex(Pattern::parse("/a").expect("it compiles"))))),
        (Key::PathLength, rule(0, with(PathMatch::Prefix("/a/b".into())))),
        (Key::Methods, rule(0, Match { methods: vec![MethodName(Method::GET)], ..prefix() })),
        (Key::Headers, rule(0, Match { headers: header, ..prefix() })),
        (Key::Queries, rule(0, Match { query: equals("q"), ..prefix() })),
        (Key::Others, rule(0, Match { cookies: equals("c"), ..prefix() })),
        (Key::Position, rule(0, prefix())),
    ];
    let rank = |rule: &Rule, route, source| Rank(Precedence::of(rule), Position { route, rule: 0, source });
    for (winner, (_, better)) in order.iter().enumerate() {
        for (_, worse) in &order[winner + 1..] {
            let (better, worse) = (rank(better, 9, 0), rank(worse, 0, 0));
            assert!(better < worse);
            assert_eq!(worse.lost_at(&better), order[winner].0);
        }
    }
    let last = &order[8].1;
    assert_eq!(rank(last, 1, 0).lost_at(&rank(last, 0, 0)), Key::Position);
    assert_eq!(rank(last, 1, 7).lost_at(&rank(last, 0, 0)), Key::Source);
}

#[test]
fn reasons_say_what_was_wanted_and_what_is_there() {
    let mut headers = HeaderMap::new();
    headers.append("x-a", HeaderValue::from_static("2"));
    headers.append("x-a", HeaderValue::from_static("3"));
    headers.append("cookie", HeaderValue::from_static("c=old"));
    let why = |matches: Match| {
        let explained = one_rule(matches).explain(&head_of("/b", Some("q=+x"), &headers));
        explained.rules[0].why.clone().expect("it does not match")
    };
    let condition = |subject, test| Match { conditions: vec![Condition::Values(subject, test)], ..Match::everything() };
    let equals = |name: &str| vec![NameEquals { name: name.into(), value: "1".into() }];
    let header = |name| vec![HeaderEquals { name: HeaderName::from_static(name), value: "1".into() }];
    let methods = |list: &[Method]| list.iter().cloned().map(MethodName).collect();
    let subject = || Subject::Header("x-a".into());
    let regex = Wanted::Regex(Pattern::parse("[0-9]{2}").expect("it compiles"));
    let near = Condition::ClientAddress(vec![Cidr::parse("10.0.0.0/8").expect("a range")]);
    for (matches, wanted) in [
        (Match::path(PathMatch::Prefix("/a".into())), "the path is not below /a"),
        (Match::path(PathMatch::Exact("/a".into())), "the path is not /a"),
        (Match { methods: methods(&[Method::PUT]), ..Match::everything() }, "the method is not PUT"),
        (
            Match { methods: methods(&[Method::POST, Method::PUT]), ..Match::everything() },
            "the method is not POST or PUT",
        ),
        (
            Match { headers: header("x-a"), ..Match::everything() },
            "the header x-a is not \"1\" (it is \"2\" and \"3\")",
        ),
        (Match { headers: header("x-b"), ..Match::everything() }, "the header x-b is not \"1\" (the request has none)"),
        (Match { headers: header("host"), ..Match::everything() }, "the header host is not \"1\" (it is \"a\")"),
        (Match { query: equals("q"), ..Match::everything() }, "the query parameter q is not \"1\" (it is \" x\")"),
        (Match { cookies: equals("c"), ..Match::everything() }, "the cookie c is not \"1\" (it is \"old\")"),
        (
            condition(subject(), Wanted::AnyOf(vec!["4".into(), "5".into()])),
            "the header x-a is not \"4\" or \"5\" (it is \"2\" and \"3\")",
        ),
        (
            condition(subject(), Wanted::NoneOf(vec!["3".into()])),
            "the header x-a must not be \"3\" (it is \"2\" and \"3\")",
        ),
        (
            condition(subject(), Wanted::Prefix("4".into())),
            "the header x-a does not begin with \"4\" (it is \"2\" and \"3\")",
        ),
        (condition(subject(), regex), "the header x-a does not match [0-9]{2} (it is \"2\" and \"3\")"),
        (
            condition(Subject::Cookie("d".into()), Wanted::Present(true)),
            "the cookie d has to be there (the request has none)",
        ),
        (
            condition(Subject::Query("q".into()), Wanted::Present(false)),
            "the query parameter q must not be there (it is \" x\")",
        ),
        (
            Match { conditions: vec![near], ..Match::everything() },
            "the client's address is not in 10.0.0.0/8 (it is 127.0.0.1)",
        ),
    ] {
        assert_eq!(why(matches), wanted);
    }
}
