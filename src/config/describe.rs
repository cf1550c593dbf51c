//! From what is written to what is meant: [`RouteSpec`] and its kin become [`Route`] and its kin.
//!
//! Both skins pass through here, so a field means the same in a file and in an object. What differs
//! between them (whose names are known, whether a URL may stand here) is asked through [`Scope`].
//!
//! It does not fail. It returns what could be built and says what could not:
//! - a rule with something wrong keeps its place and becomes [`Action::Broken`], which answers 500. If it
//!   vanished, its requests would fall to a wider rule without its checks;
//! - a path that is not in normal form covers what its beginning covers, up to the last good segment;
//! - a broken condition counts as true.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method};

use super::id::{RuleId, UpstreamId};
use super::problem::{Problem, Slug};
use super::route::{
    Action, Destination, HeaderEquals, HostPattern, Match, MethodName, PathMatch, Route, Rule, Source, Target,
};
use super::schema::{HOST_MESSAGE, PATH_MESSAGE, WEIGHTS_MESSAGE};
use super::spec::{BackendSpec, RouteSpec, RuleFields, ServiceSpec, TimeoutsSpec};
use super::traffic::{Timeouts, Traffic};
use super::upstream::{Endpoint, Upstream, UpstreamSettings};

mod duplicate;
mod form;
mod health;
mod server;
mod value;

pub use duplicate::{Duplicate, find_duplicates};
use form::{describe_url, good_beginning, is_path_form, parse_host, strip_final_slash};
pub use server::{describe_endpoints, describe_settings};
use server::{merge_endpoint, read_duration, weight_of};
pub use value::Block;

/// The place where something is written: what it can see, and what it may do.
pub trait Scope {
    /// First part of every identity: `file`, or `namespace/object`.
    fn identity(&self) -> &str;

    /// Where these routes come from.
    fn source(&self) -> Source;

    /// What stands before every path of a problem: nothing, or `spec.`.
    fn path_prefix(&self) -> &'static str;

    /// Whether a route without hosts may answer for everybody.
    fn allows_any_host(&self) -> bool;

    /// Whether a backend may be this URL's host.
    ///
    /// # Errors
    /// The problem, at the place `at`.
    fn check_url_host(&self, host: &str, at: &str) -> Result<(), Problem>;

    /// What is known about servers of which nothing is written.
    fn upstream_defaults(&self) -> UpstreamSettings {
        UpstreamSettings::default()
    }

    /// The upstream that a Service port is.
    ///
    /// # Errors
    /// The problem, at the place `at`.
    fn service(&mut self, service: &ServiceSpec, at: &str) -> Result<UpstreamId, Problem>;

    /// The upstream that has this name here.
    ///
    /// # Errors
    /// The problem, at the place `at`.
    fn upstream(&self, name: &str, at: &str) -> Result<UpstreamId, Problem>;
}

/// What came of a list of routes.
#[derive(Debug, Default)]
pub struct Described {
    /// One for each written route, in the order written.
    pub routes: Vec<Route>,
    /// The upstreams that rules made of their URLs.
    pub upstreams: Vec<Upstream>,
    /// What is wrong, in the order written.
    pub problems: Vec<Problem>,
}

/// Describes the routes of one object or file.
pub fn describe_routes(specs: &[RouteSpec], scope: &mut dyn Scope) -> Described {
    let prefix = scope.path_prefix();
    describe_placed_routes(
        specs.iter().enumerate().map(|(index, spec)| (format!("{prefix}routes[{index}]"), spec)),
        scope,
    )
}

/// Describes routes of which each says where it is written: those of several files are one list with
/// one set of names, but every message counts inside its own file.
pub fn describe_placed_routes<'s>(
    specs: impl Iterator<Item = (String, &'s RouteSpec)>,
    scope: &mut dyn Scope,
) -> Described {
    let mut describer = Describer { scope, out: Described::default(), identities: BTreeMap::new() };
    let mut names = BTreeMap::new();
    for (at, spec) in specs {
        let route = describer.route(spec, &at, &mut names);
        describer.out.routes.push(route);
    }
    describer.out
}

struct Describer<'a> {
    scope: &'a mut dyn Scope,
    out: Described,
    /// Where each identity that was given by a name stands: two rules of one identity would share their servers.
    identities: BTreeMap<String, String>,
}

impl Describer<'_> {
    fn problem(&mut self, path: impl Into<String>, slug: Slug, message: impl Into<String>) {
        self.out.problems.push(Problem::new(path, slug, message));
    }

    fn check_name_is_free(&mut self, name: Option<&str>, at: &str, names: &mut BTreeMap<String, String>) {
        let Some(name) = name else { return };
        if let Some(taken) = names.get(name) {
            let message = format!("the name {name} is taken by {taken}");
            self.problem(format!("{at}.name"), Slug::DuplicateName, message);
        } else {
            names.insert(name.to_owned(), at.to_owned());
        }
    }

    /// Names are unique where they stand; put together they have to be as well: route `a/b`, and rule `b` of route
    /// `a`, or the rule `main` of two unnamed routes for one host.
    fn claim_identity(&mut self, identity: &str, at: &str) {
        let place = format!("{at}.name");
        if let Some(taken) = self.identities.get(identity) {
            let is_told = self.out.problems.iter().any(|p| p.path == place && p.slug == Slug::DuplicateName);
            let message = format!("the name makes this the same rule as {taken}: give one of them another name");
            if !is_told {
                self.problem(place, Slug::DuplicateName, message);
            }
        } else {
            self.identities.insert(identity.to_owned(), at.to_owned());
        }
    }

    /// Whether something found since `before` turns a rule off.
    fn is_broken_since(&self, before: usize) -> bool {
        self.out.problems.iter().skip(before).any(|p| p.slug.effect() == super::Effect::RuleOff)
    }

    fn route(&mut self, spec: &RouteSpec, at: &str, names: &mut BTreeMap<String, String>) -> Route {
        let before = self.out.problems.len();
        self.check_name_is_free(spec.rule.name.as_deref(), at, names);
        let hosts = self.hosts(spec, at);
        self.check_route_shape(spec, at);
        let mut timeouts = Timeouts::default();
        self.timeouts(spec.rule.timeouts.as_ref(), at, &mut timeouts);
        let parent = Parent {
            identity: self.route_identity(spec, &hosts),
            first_host: hosts.first().map(ToString::to_string).unwrap_or_default(),
            timeouts,
            is_broken: self.is_broken_since(before),
        };
        let rules = match &spec.rules {
            Some(rules) => self.rules(rules.iter().map(|rule| &rule.rule), &parent, at),
            None => vec![self.rule(&spec.rule, &parent, at, None)],
        };
        // No hosts means any host. A route that has none because its own are broken, or because it must
        // have some, would answer for everybody: it has no place to keep, so it keeps none.
        let wrote_hosts = spec.hosts.as_ref().is_some_and(|hosts| !hosts.is_empty());
        let is_nowhere = hosts.is_empty() && (wrote_hosts || !self.scope.allows_any_host());
        let rules = if is_nowhere { Vec::new() } else { rules };
        Route {
            source: self.scope.source(),
            hosts,
            listeners: Vec::new(),
            rules: rules.into_iter().map(Arc::new).collect(),
        }
    }

    fn rules<'s>(&mut self, specs: impl Iterator<Item = &'s RuleFields>, parent: &Parent, at: &str) -> Vec<Rule> {
        let mut names = BTreeMap::new();
        let mut rules = Vec::new();
        for (index, spec) in specs.enumerate() {
            let place = format!("{at}.rules[{index}]");
            let before = self.out.problems.len();
            self.check_name_is_free(spec.name.as_deref(), &place, &mut names);
            let mut rule = self.rule(spec, parent, &place, Some(&parent.identity));
            if self.is_broken_since(before) {
                rule.action = Action::Broken;
            }
            rules.push(rule);
        }
        rules
    }

    fn check_route_shape(&mut self, spec: &RouteSpec, at: &str) {
        if spec.rules.is_none() {
            return;
        }
        if spec.rule.backends.is_some() {
            self.problem(at, Slug::OneAction, "set exactly one of backends, rules");
        }
        let rule = &spec.rule;
        if rule.path.is_some() || rule.exact_path.is_some() || rule.methods.is_some() || rule.headers.is_some() {
            let message = "with rules, what a request must look like is said in each rule";
            self.problem(at, Slug::RulesMatch, message);
        }
    }

    fn hosts(&mut self, spec: &RouteSpec, at: &str) -> Vec<HostPattern> {
        let mut hosts = Vec::new();
        for (index, text) in spec.hosts.iter().flatten().enumerate() {
            match parse_host(text) {
                Some(host) if hosts.contains(&host) => {}
                Some(host) => hosts.push(host),
                None => self.problem(format!("{at}.hosts[{index}]"), Slug::HostForm, HOST_MESSAGE),
            }
        }
        if spec.hosts.as_ref().is_none_or(Vec::is_empty) && !self.scope.allows_any_host() {
            let message = "a route without hosts would answer for everybody: write hosts";
            self.problem(format!("{at}.hosts"), Slug::HostRequired, message);
        }
        hosts
    }

    /// `<scope>/<name>`, or with the hosts and, in short form, the match.
    fn route_identity(&self, spec: &RouteSpec, hosts: &[HostPattern]) -> String {
        let scope = self.scope.identity();
        if let Some(name) = &spec.rule.name {
            return format!("{scope}/{name}");
        }
        let mut names: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        names.sort();
        let hosts = if names.is_empty() { "any host".to_owned() } else { names.join(",") };
        format!("{scope}/{hosts}")
    }

    /// `below` is the route's identity for a rule of `rules`, none for a route in short form.
    fn rule(&mut self, spec: &RuleFields, parent: &Parent, at: &str, below: Option<&str>) -> Rule {
        let before = self.out.problems.len();
        let matches = self.matches(spec, at);
        let identity = match (&spec.name, below) {
            (Some(name), Some(route)) => format!("{route}/{name}"),
            (Some(_), None) => parent.identity.clone(),
            (None, _) => format!("{}/{matches}", parent.identity),
        };
        if spec.name.is_some() {
            self.claim_identity(&identity, at);
        }
        let written_path = spec.path.as_deref().or(spec.exact_path.as_deref()).unwrap_or("/");
        let name = spec.name.clone().unwrap_or_else(|| format!("{}{written_path}", parent.first_host));
        let mut timeouts = parent.timeouts;
        if below.is_some() {
            self.timeouts(spec.timeouts.as_ref(), at, &mut timeouts);
        }
        let targets = self.targets(spec, &identity, &name, at);
        let is_broken = parent.is_broken || self.is_broken_since(before);
        Rule {
            id: RuleId::new(identity),
            name,
            at: at.to_owned(),
            matches,
            action: if is_broken { Action::Broken } else { Action::Forward(targets) },
            priority: 0,
            traffic: Arc::new(Traffic { timeouts, ..Traffic::default() }),
        }
    }

    fn matches(&mut self, spec: &RuleFields, at: &str) -> Match {
        if spec.path.is_some() && spec.exact_path.is_some() {
            self.problem(at, Slug::OnePath, "set only one of path, exactPath");
        }
        let path = match (&spec.path, &spec.exact_path) {
            (_, Some(exact)) if is_path_form(exact) => PathMatch::Exact(exact.clone()),
            (Some(prefix), _) if is_path_form(prefix) => PathMatch::Prefix(strip_final_slash(prefix)),
            (None, None) => PathMatch::Prefix("/".to_owned()),
            (Some(bad), _) => self.broken_path(bad, &format!("{at}.path")),
            (None, Some(bad)) => self.broken_path(bad, &format!("{at}.exactPath")),
        };
        Match { methods: self.methods(spec, at), headers: self.headers(spec, at), ..Match::path(path) }
    }

    fn broken_path(&mut self, text: &str, at: &str) -> PathMatch {
        self.problem(at, Slug::PathForm, PATH_MESSAGE);
        PathMatch::Prefix(good_beginning(text))
    }

    fn methods(&mut self, spec: &RuleFields, at: &str) -> Vec<MethodName> {
        let mut methods = Vec::new();
        for (index, text) in spec.methods.iter().flatten().enumerate() {
            match Method::from_bytes(text.as_bytes()) {
                Ok(method) if !text.bytes().any(|b| b.is_ascii_lowercase()) => methods.push(MethodName(method)),
                _ => {
                    let message = format!("must be a method such as GET or POST, in capitals; got {text:?}");
                    self.problem(format!("{at}.methods[{index}]"), Slug::HttpForm, message);
                }
            }
        }
        methods.sort();
        methods.dedup();
        methods
    }

    fn headers(&mut self, spec: &RuleFields, at: &str) -> Vec<HeaderEquals> {
        let mut headers = Vec::new();
        for (name, value) in spec.headers.iter().flatten() {
            let place = format!("{at}.headers.{name}");
            match (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
                (Ok(name), Ok(_)) => headers.push(HeaderEquals { name, value: value.clone() }),
                (Err(_), _) => self.problem(place, Slug::HttpForm, "is not a header name"),
                (_, Err(_)) => self.problem(place, Slug::HttpForm, "a header value may not contain a line break"),
            }
        }
        headers.sort();
        headers
    }

    fn timeouts(&mut self, spec: Option<&TimeoutsSpec>, at: &str, timeouts: &mut Timeouts) {
        let Some(spec) = spec else { return };
        let problems = &mut self.out.problems;
        read_duration(spec.request.as_deref(), &format!("{at}.timeouts.request"), problems, &mut timeouts.request);
        read_duration(spec.idle.as_deref(), &format!("{at}.timeouts.idle"), problems, &mut timeouts.idle);
    }

    /// All URLs of a rule are one upstream of its own; its share is the sum of theirs.
    fn targets(&mut self, spec: &RuleFields, identity: &str, name: &str, at: &str) -> Vec<Target> {
        let Some(backends) = &spec.backends else {
            self.problem(at, Slug::OneAction, "set exactly one of backends");
            return Vec::new();
        };
        if !backends.iter().any(|backend| weight_of(backend.weight) > 0) {
            self.problem(format!("{at}.backends"), Slug::WeightsZero, WEIGHTS_MESSAGE);
        }
        let mut targets: Vec<Target> = Vec::new();
        let mut servers: Vec<Endpoint> = Vec::new();
        let of_urls = UpstreamId::new(identity);
        for (index, backend) in backends.iter().enumerate() {
            let place = format!("{at}.backends[{index}]");
            let weight = weight_of(backend.weight);
            match self.target(backend, &place) {
                Some(Backend::Server(mut endpoint)) => {
                    endpoint.weight = weight;
                    merge_endpoint(&mut servers, endpoint);
                    add_target(&mut targets, Destination::Upstream(of_urls.clone()), weight);
                }
                Some(Backend::Upstream(id)) => add_target(&mut targets, Destination::Upstream(id), weight),
                None => add_target(&mut targets, Destination::Missing, weight),
            }
        }
        if !servers.is_empty() {
            self.out.upstreams.push(Upstream {
                id: of_urls,
                label: name.to_owned(),
                is_of_urls: true,
                endpoints: servers,
                settings: self.scope.upstream_defaults(),
            });
        }
        targets
    }

    fn target(&mut self, spec: &BackendSpec, at: &str) -> Option<Backend> {
        let found = match (&spec.url, &spec.service, &spec.upstream) {
            (Some(url), None, None) => describe_url(url, 1, self.scope, &format!("{at}.url")).map(Backend::Server),
            (None, Some(service), None) => self.scope.service(service, &format!("{at}.service")).map(Backend::Upstream),
            (None, None, Some(name)) => self.scope.upstream(name, &format!("{at}.upstream")).map(Backend::Upstream),
            _ => Err(Problem::new(at, Slug::BackendOne, "set exactly one of url, service, upstream")),
        };
        found.map_err(|problem| self.out.problems.push(problem)).ok()
    }
}

/// What a rule takes from its route.
struct Parent {
    identity: String,
    first_host: String,
    timeouts: Timeouts,
    is_broken: bool,
}

enum Backend {
    Server(Endpoint),
    Upstream(UpstreamId),
}

fn add_target(targets: &mut Vec<Target>, to: Destination, weight: u32) {
    match targets.iter_mut().find(|target| target.to == to) {
        Some(target) => target.weight = target.weight.saturating_add(weight),
        None => targets.push(Target::plain(to, weight)),
    }
}

#[cfg(test)]
mod tests;
