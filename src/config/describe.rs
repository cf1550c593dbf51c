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
//!
//! Here are routes and rules as wholes. `matches` reads what a request must look like, `action` what is done,
//! `traffic`, `limit`, `header` and `rewrite` the choices that levels share, `layer` and `inherit` put levels on one
//! another; `reader` reads single values, and `at` knows where they stand.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::id::{LimiterId, RuleId, UpstreamId};
use super::problem::{Problem, Slug};
use super::route::{Action, HostPattern, Route, Rule, Source};
use super::schema::HOST_MESSAGE;
use super::spec::{RouteSpec, RuleFields, ServiceSpec, TrafficFields};
use super::traffic::Traffic;
use super::upstream::{Upstream, UpstreamSettings};

mod action;
mod at;
mod duplicate;
mod form;
mod header;
mod health;
mod inherit;
mod layer;
mod limit;
mod matches;
mod reader;
mod rewrite;
mod server;
mod surroundings;
mod traffic;
mod value;

use action::Whose;
pub use at::At;
pub use duplicate::{Duplicate, find_duplicates};
pub use form::{is_path_form, parse_host, strip_final_slash};
use inherit::{Levels, Recent};
pub use layer::Layer;
use reader::Reader;
pub use server::{describe_endpoints, describe_settings};
pub use surroundings::Surroundings;
pub use traffic::describe_layer;
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
    ///
    /// # Errors
    /// The problem, at the place `at`.
    fn check_any_host(&self, at: &str) -> Result<(), Problem>;

    /// Whether a backend may be this URL's host.
    ///
    /// # Errors
    /// The problem, at the place `at`.
    fn check_url_host(&self, host: &str, at: &str) -> Result<(), Problem>;

    /// What is known about servers of which nothing is written.
    fn upstream_defaults(&self) -> Arc<UpstreamSettings> {
        Arc::default()
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

    /// Whether a listener has this name here.
    ///
    /// # Errors
    /// The problem, at the place `at`.
    fn listener(&self, name: &str, at: &str) -> Result<(), Problem>;

    /// What the policy of this name says.
    ///
    /// # Errors
    /// The problem, at the place `at`.
    fn policy(&mut self, name: &str, at: &str) -> Result<Arc<Layer>, Problem>;

    /// What holds wherever nothing nearer is said.
    fn defaults(&self) -> Arc<Traffic>;

    /// Whether a rule may have a `priority`.
    ///
    /// # Errors
    /// The problem, at the place `at`.
    fn check_priority(&self, at: &str) -> Result<(), Problem>;
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
///
/// They come one by one and may go when they were described: all of them together, as written, are large.
pub fn describe_placed_routes<S: Borrow<RouteSpec>>(
    specs: impl Iterator<Item = (String, S)>,
    scope: &mut dyn Scope,
) -> Described {
    let mut describer = Describer {
        scope,
        out: Described::default(),
        identities: BTreeMap::new(),
        limits: BTreeMap::new(),
        recent: Recent::default(),
    };
    let mut names = BTreeMap::new();
    for (at, spec) in specs {
        let route = describer.route(spec.borrow(), &at, &mut names);
        describer.out.routes.push(route);
    }
    describer.out
}

struct Describer<'a> {
    scope: &'a mut dyn Scope,
    out: Described,
    /// Where each identity that was given by a name stands: two rules of one identity would share their servers.
    identities: BTreeMap<String, String>,
    /// Where each limit is written.
    limits: BTreeMap<LimiterId, String>,
    /// What rules of before have, for those that have the same.
    recent: Recent,
}

impl Describer<'_> {
    fn reader(&mut self) -> Reader<'_> {
        Reader { problems: &mut self.out.problems }
    }

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
        let listeners = self.listeners(spec, At::Start(at));
        self.check_route_shape(spec, at);
        let mut parent = Parent {
            identity: self.route_identity(spec, &hosts, &listeners),
            first_host: hosts.first().map(ToString::to_string).unwrap_or_default(),
            levels: self.no_levels(),
            is_broken: false,
        };
        if spec.rules.is_some() {
            let (above, uses) = (self.no_levels(), spec.rule.r#use.as_ref());
            parent.levels = self.inherit(&above, uses, &spec.traffic, &parent.identity, At::Start(at));
        }
        parent.is_broken = self.is_broken_since(before);
        let rules = match &spec.rules {
            Some(rules) => self.rules(rules.iter().map(|rule| (&rule.rule, &rule.traffic)), &parent, at),
            None => vec![self.rule((&spec.rule, &spec.traffic), &parent, at, None)],
        };
        // No hosts means any host, and no listeners all of them. A route that has none because its own are broken, or
        // because it must have some, would answer for everybody: it has no place to keep, so it keeps none.
        let wrote_hosts = spec.hosts.as_ref().is_some_and(|hosts| !hosts.is_empty());
        let wrote_listeners = spec.listeners.as_ref().is_some_and(|listeners| !listeners.is_empty());
        let is_nowhere = (hosts.is_empty() && (wrote_hosts || self.scope.check_any_host(at).is_err()))
            || (listeners.is_empty() && wrote_listeners);
        let rules = if is_nowhere { Vec::new() } else { rules };
        Route { source: self.scope.source(), hosts, listeners, rules: rules.into_iter().map(Arc::new).collect() }
    }

    fn rules<'s>(
        &mut self,
        specs: impl Iterator<Item = (&'s RuleFields, &'s TrafficFields)>,
        parent: &Parent,
        at: &str,
    ) -> Vec<Rule> {
        let mut names = BTreeMap::new();
        let mut rules = Vec::new();
        for (index, spec) in specs.enumerate() {
            let place = format!("{at}.rules[{index}]");
            let before = self.out.problems.len();
            self.check_name_is_free(spec.0.name.as_deref(), &place, &mut names);
            let mut rule = self.rule(spec, parent, &place, Some(&parent.identity));
            if self.is_broken_since(before) {
                rule.action = Action::Broken;
            }
            rules.push(rule);
        }
        rules
    }

    fn check_route_shape(&mut self, spec: &RouteSpec, at: &str) {
        let rule = &spec.rule;
        if spec.rules.is_none() {
            return;
        }
        if rule.backends.is_some() || rule.redirect.is_some() || rule.respond.is_some() {
            self.problem(at, Slug::OneAction, "set exactly one of backends, redirect, respond, rules");
        }
        let looks_at_requests = rule.path.is_some()
            || rule.exact_path.is_some()
            || rule.path_regex.is_some()
            || rule.methods.is_some()
            || rule.headers.is_some()
            || rule.query.is_some()
            || rule.cookies.is_some()
            || rule.conditions.is_some()
            || rule.priority.is_some();
        if looks_at_requests {
            let message = "with rules, what a request must look like is said in each rule";
            self.problem(at, Slug::RulesMatch, message);
        }
    }

    /// Those that exist, each once, in the order written.
    fn listeners(&mut self, spec: &RouteSpec, at: At<'_>) -> Vec<String> {
        let mut listeners: Vec<String> = Vec::new();
        for (index, name) in spec.listeners.iter().flatten().enumerate() {
            match self.scope.listener(name, &at.field("listeners").index(index).to_string()) {
                Ok(()) if listeners.contains(name) => {}
                Ok(()) => listeners.push(name.clone()),
                Err(problem) => self.out.problems.push(problem),
            }
        }
        listeners
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
        if spec.hosts.as_ref().is_none_or(Vec::is_empty)
            && let Err(problem) = self.scope.check_any_host(&format!("{at}.hosts"))
        {
            self.out.problems.push(problem);
        }
        hosts.shrink_to_fit();
        hosts
    }

    /// `<scope>/<name>`, or with the hosts and listeners and, in short form, the match.
    fn route_identity(&self, spec: &RouteSpec, hosts: &[HostPattern], listeners: &[String]) -> String {
        let scope = self.scope.identity();
        if let Some(name) = &spec.rule.name {
            return format!("{scope}/{name}");
        }
        let mut names: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        names.sort();
        let hosts = if names.is_empty() { "any host".to_owned() } else { names.join(",") };
        if listeners.is_empty() {
            return format!("{scope}/{hosts}");
        }
        let mut listeners = listeners.to_vec();
        listeners.sort();
        format!("{scope}/{hosts} on {}", listeners.join(","))
    }

    /// `below` is the route's identity for a rule of `rules`, none for a route in short form.
    fn rule(
        &mut self,
        (spec, fields): (&RuleFields, &TrafficFields),
        parent: &Parent,
        at: &str,
        below: Option<&str>,
    ) -> Rule {
        let before = self.out.problems.len();
        let place = At::Start(at);
        let matches = self.reader().matches(spec, place);
        let is_of_pattern = |problem: &Problem| problem.slug == Slug::Regex && problem.path.ends_with(".pathRegex");
        let has_good_path = !self.out.problems.iter().skip(before).any(is_of_pattern);
        let priority = self.priority(spec, place);
        let identity = match (&spec.name, below) {
            (Some(name), Some(route)) => format!("{route}/{name}"),
            (Some(_), None) => parent.identity.clone(),
            (None, _) if priority == 0 => format!("{}/{matches}", parent.identity),
            // The same match may stand once more with another priority, and that is another rule.
            (None, _) => format!("{}/{matches} priority={priority}", parent.identity),
        };
        if spec.name.is_some() {
            self.claim_identity(&identity, at);
        }
        let paths = [&spec.path, &spec.exact_path, &spec.path_regex];
        let written_path = paths.into_iter().flatten().next().map_or("/", String::as_str);
        let name = spec.name.clone().unwrap_or_else(|| format!("{}{written_path}", parent.first_host));
        let levels = self.inherit(&parent.levels, spec.r#use.as_ref(), fields, &identity, place);
        let whose = Whose { identity: &identity, name: &name, matches: &matches, has_good_path, at: place };
        let action = self.action(spec, &levels.traffic, &whose);
        let is_broken = parent.is_broken || self.is_broken_since(before);
        Rule {
            id: RuleId::new(identity),
            name,
            at: at.to_owned(),
            matches,
            action: if is_broken { Action::Broken } else { action },
            priority,
            traffic: levels.traffic,
        }
    }

    fn priority(&mut self, spec: &RuleFields, at: At<'_>) -> i32 {
        let Some(priority) = spec.priority else { return 0 };
        match self.scope.check_priority(&at.field("priority").to_string()) {
            Ok(()) => priority.clamp(-1000, 1000),
            Err(problem) => {
                self.out.problems.push(problem);
                0
            }
        }
    }
}

/// What a rule takes from its route.
struct Parent {
    identity: String,
    first_host: String,
    levels: Levels,
    is_broken: bool,
}

#[cfg(test)]
mod tests;
