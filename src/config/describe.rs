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

use super::id::{EndpointId, RuleId, UpstreamId};
use super::problem::{Problem, Slug};
use super::route::{
    Action, Destination, HeaderEquals, HostPattern, Match, MethodName, PathMatch, Route, Rule, Source, Target, Timeouts,
};
use super::schema::{HOST_MESSAGE, PATH_MESSAGE, WEIGHTS_MESSAGE};
use super::spec::{BackendSpec, EndpointSpec, PoolSpec, RouteSpec, RuleFields, ServiceSpec, TimeoutsSpec};
use super::units::parse_duration;
use super::upstream::{Endpoint, EndpointState, Upstream, UpstreamSettings};

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

/// Describes the routes of one file or object.
pub fn describe_routes(specs: &[RouteSpec], scope: &mut dyn Scope) -> Described {
    let mut describer = Describer { scope, out: Described::default() };
    let mut names = BTreeMap::new();
    for (index, spec) in specs.iter().enumerate() {
        let at = format!("{}routes[{index}]", describer.scope.path_prefix());
        describer.check_name_is_free(spec.rule.name.as_deref(), &at, &mut names);
        let route = describer.route(spec, &at);
        describer.out.routes.push(route);
    }
    describer.out
}

/// The settings of an upstream, with defaults where nothing, or nothing usable, is written.
pub fn describe_settings(
    connect_timeout: Option<&str>,
    pool: Option<&PoolSpec>,
    at: &str,
    problems: &mut Vec<Problem>,
) -> UpstreamSettings {
    let mut settings = UpstreamSettings::default();
    read_duration(connect_timeout, &format!("{at}.connectTimeout"), problems, &mut settings.connect_timeout);
    if let Some(pool) = pool {
        let place = format!("{at}.pool.idleTimeout");
        read_duration(pool.idle_timeout.as_deref(), &place, problems, &mut settings.pool_idle_timeout);
        if let Some(max_idle) = pool.max_idle {
            settings.pool_max_idle = usize::try_from(max_idle).unwrap_or(0);
        }
    }
    settings
}

/// The endpoints of a named upstream.
pub fn describe_endpoints(
    specs: &[EndpointSpec],
    scope: &dyn Scope,
    at: &str,
    problems: &mut Vec<Problem>,
) -> Vec<Endpoint> {
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for (index, spec) in specs.iter().enumerate() {
        let place = format!("{at}.endpoints[{index}].url");
        match describe_url(&spec.url, weight_of(spec.weight), scope, &place) {
            Ok(endpoint) => merge_endpoint(&mut endpoints, endpoint),
            Err(problem) => problems.push(problem),
        }
    }
    endpoints
}

/// Rules of one host that look at the same thing: the first in precedence serves, the others never do.
///
/// Returns, for each later one, the place where it is written and the earlier route and rule. `routes`
/// must be in the order of precedence (source, then position).
pub fn find_duplicates<'a>(routes: impl Iterator<Item = &'a Route>) -> Vec<Duplicate<'a>> {
    let mut seen: BTreeMap<(Option<&HostPattern>, &Match), (&Route, &Rule)> = BTreeMap::new();
    let mut found = Vec::new();
    for route in routes {
        let hosts: Vec<Option<&HostPattern>> =
            if route.hosts.is_empty() { vec![None] } else { route.hosts.iter().map(Some).collect() };
        for rule in &route.rules {
            for host in &hosts {
                match seen.get(&(*host, &rule.matches)) {
                    Some((winner_route, winner)) => {
                        found.push(Duplicate { host: *host, route, rule, winner_route, winner });
                    }
                    None => {
                        seen.insert((*host, &rule.matches), (route, rule));
                    }
                }
            }
        }
    }
    found
}

/// Two rules with the same match on one host.
#[derive(Debug)]
pub struct Duplicate<'a> {
    /// The host; none: any host.
    pub host: Option<&'a HostPattern>,
    /// The later one's route.
    pub route: &'a Route,
    /// The later one, which is not served on this host.
    pub rule: &'a Rule,
    /// The earlier one's route.
    pub winner_route: &'a Route,
    /// The earlier one.
    pub winner: &'a Rule,
}

struct Describer<'a> {
    scope: &'a mut dyn Scope,
    out: Described,
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

    fn route(&mut self, spec: &RouteSpec, at: &str) -> Route {
        let before = self.out.problems.len();
        let hosts = self.hosts(spec, at);
        self.check_route_shape(spec, at);
        let hosts_are_broken = self.out.problems[before..].iter().any(|p| p.slug.effect() == super::Effect::RuleOff);
        let parent = Parent {
            identity: self.route_identity(spec, &hosts),
            first_host: hosts.first().map(ToString::to_string).unwrap_or_default(),
            timeouts: spec.rule.timeouts.as_ref(),
            is_broken: hosts_are_broken,
        };
        let rules = match &spec.rules {
            Some(rules) => self.rules(rules.iter().map(|rule| &rule.rule), &parent, at),
            None => vec![self.rule(&spec.rule, &parent, at, None)],
        };
        Route { source: self.scope.source(), hosts, rules: rules.into_iter().map(Arc::new).collect() }
    }

    fn rules<'s>(&mut self, specs: impl Iterator<Item = &'s RuleFields>, parent: &Parent<'_>, at: &str) -> Vec<Rule> {
        let mut names = BTreeMap::new();
        let mut rules = Vec::new();
        for (index, spec) in specs.enumerate() {
            let place = format!("{at}.rules[{index}]");
            self.check_name_is_free(spec.name.as_deref(), &place, &mut names);
            rules.push(self.rule(spec, parent, &place, Some(&parent.identity)));
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
    fn rule(&mut self, spec: &RuleFields, parent: &Parent<'_>, at: &str, below: Option<&str>) -> Rule {
        let before = self.out.problems.len();
        let matches = self.matches(spec, at);
        let identity = match (&spec.name, below) {
            (Some(name), Some(route)) => format!("{route}/{name}"),
            (Some(_), None) => parent.identity.clone(),
            (None, _) => format!("{}/{matches}", parent.identity),
        };
        let written_path = spec.path.as_deref().or(spec.exact_path.as_deref()).unwrap_or("/");
        let name = spec.name.clone().unwrap_or_else(|| format!("{}{written_path}", parent.first_host));
        let mut timeouts = Timeouts::default();
        self.timeouts(parent.timeouts, None, &mut timeouts);
        self.timeouts(spec.timeouts.as_ref(), Some(at), &mut timeouts);
        let targets = self.targets(spec, &identity, &name, at);
        let is_broken =
            parent.is_broken || self.out.problems[before..].iter().any(|p| p.slug.effect() == super::Effect::RuleOff);
        Rule {
            id: RuleId::new(identity),
            name,
            at: at.to_owned(),
            matches,
            action: if is_broken { Action::Broken } else { Action::Forward(targets) },
            timeouts,
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
        Match { path, methods: self.methods(spec, at), headers: self.headers(spec, at) }
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

    /// `at` is where these are written; none for those of the route, which were checked before.
    fn timeouts(&mut self, spec: Option<&TimeoutsSpec>, at: Option<&str>, timeouts: &mut Timeouts) {
        let Some(spec) = spec else { return };
        let at = at.unwrap_or_default();
        read_duration(
            spec.request.as_deref(),
            &format!("{at}.timeouts.request"),
            &mut self.out.problems,
            &mut timeouts.request,
        );
        read_duration(spec.idle.as_deref(), &format!("{at}.timeouts.idle"), &mut self.out.problems, &mut timeouts.idle);
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
                endpoints: servers,
                settings: UpstreamSettings::default(),
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
struct Parent<'a> {
    identity: String,
    first_host: String,
    timeouts: Option<&'a TimeoutsSpec>,
    is_broken: bool,
}

enum Backend {
    Server(Endpoint),
    Upstream(UpstreamId),
}

fn weight_of(weight: Option<i32>) -> u32 {
    weight.map_or(1, |weight| u32::try_from(weight).unwrap_or(0))
}

fn add_target(targets: &mut Vec<Target>, to: Destination, weight: u32) {
    match targets.iter_mut().find(|target| target.to == to) {
        Some(target) => target.weight = target.weight.saturating_add(weight),
        None => targets.push(Target { to, weight }),
    }
}

/// The same server written twice is one endpoint with both shares.
fn merge_endpoint(endpoints: &mut Vec<Endpoint>, endpoint: Endpoint) {
    match endpoints.iter_mut().find(|known| known.id == endpoint.id) {
        Some(known) => known.weight = known.weight.saturating_add(endpoint.weight),
        None => endpoints.push(endpoint),
    }
}

fn read_duration(text: Option<&str>, at: &str, problems: &mut Vec<Problem>, value: &mut std::time::Duration) {
    match text.map(parse_duration) {
        Some(Ok(duration)) => *value = duration,
        Some(Err(error)) => problems.push(Problem::new(at, Slug::DurationForm, error.to_string())),
        None => {}
    }
}

/// Reads `http://host:port`.
fn describe_url(text: &str, weight: u32, scope: &dyn Scope, at: &str) -> Result<Endpoint, Problem> {
    let form = |message: &str| Problem::new(at, Slug::UrlForm, message);
    let uri: http::Uri = text.parse().map_err(|_| form("must be a URL such as http://10.0.0.1:8080"))?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => return Err(Problem::new(at, Slug::NotSupported, "https backends are not supported yet")),
        _ => return Err(form("must be a URL such as http://10.0.0.1:8080")),
    }
    let authority = uri.authority().ok_or_else(|| form("must be a URL such as http://10.0.0.1:8080"))?;
    if authority.as_str().contains('@') {
        return Err(form("a backend URL has no user and no password"));
    }
    if !matches!(uri.path_and_query().map(http::uri::PathAndQuery::as_str), None | Some("" | "/")) {
        return Err(Problem::new(
            at,
            Slug::UrlPath,
            "a backend URL has no path: what clients ask for is sent on as it is",
        ));
    }
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    let has_port = authority.as_str().len() > uri.host().map_or(0, str::len);
    let port = match uri.port_u16() {
        Some(0) => return Err(Problem::new(at, Slug::PortForm, "a port is 1 to 65535")),
        Some(port) => port,
        None if has_port => return Err(Problem::new(at, Slug::PortForm, "a port is 1 to 65535")),
        None => 80,
    };
    if host.is_empty() {
        return Err(form("must be a URL such as http://10.0.0.1:8080"));
    }
    scope.check_url_host(&host, at)?;
    let mut endpoint = Endpoint { id: EndpointId::new(""), host, port, weight, state: EndpointState::Active };
    endpoint.id = EndpointId::new(endpoint.authority());
    Ok(endpoint)
}

/// Lower case letters, digits, hyphens, dots; at most one `*.` in front.
fn parse_host(text: &str) -> Option<HostPattern> {
    let (is_wildcard, name) = match text.strip_prefix("*.") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if text.len() > 253 || !name.split('.').all(is_label) {
        return None;
    }
    Some(if is_wildcard { HostPattern::Wildcard(name.to_owned()) } else { HostPattern::Exact(name.to_owned()) })
}

/// Whether a path is written the way it is matched; the same as the schema's rule, and plain ASCII.
fn is_path_form(path: &str) -> bool {
    path.starts_with('/')
        && path.len() <= 512
        && !["//", "/./", "/../", "?", "#", " ", "%2f", "%2F"].iter().any(|part| path.contains(part))
        && !path.ends_with("/.")
        && !path.ends_with("/..")
        && path.bytes().all(|b| b.is_ascii_graphic())
}

fn strip_final_slash(path: &str) -> String {
    let stripped = path.strip_suffix('/').unwrap_or(path);
    if stripped.is_empty() { "/".to_owned() } else { stripped.to_owned() }
}

/// The longest beginning, in whole segments, that is a path.
fn good_beginning(text: &str) -> String {
    let ends = text.match_indices('/').map(|(at, _)| at).chain([text.len()]).filter(|at| *at > 0);
    let good = ends.map(|end| &text[..end]).take_while(|part| is_path_form(part)).last();
    strip_final_slash(good.unwrap_or("/"))
}

#[cfg(test)]
mod tests;
