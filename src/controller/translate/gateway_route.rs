//! One `GatewayRoute`, read alone: its routes, the Service ports they use, its settings, what is wrong.
//!
//! The result, a [`Part`], depends on the object, on the Services and policies it names and on what the operator's
//! file says, nothing else: not on other routes, not on endpoints. What was asked about Services and policies is kept
//! with its answers, so that `translate` can tell whether the Part still holds by asking again.
//!
//! Fields mean what they mean in the file, as both pass through `config::describe`. What an object may not
//! do is answered by `scope`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::delegation::{PartGrant, describe_grants};
use super::own_upstreams::OwnUpstreams;
use super::policy::Policies;
use super::scope::{Asked, ObjectScope};
use super::services::{ServicePort, Unusable};
use crate::config::describe::{Scope, describe_routes, describe_settings, find_duplicates};
use crate::config::file::bounds_above_listeners;
use crate::config::spec::{GrantSpec, ObjectSpec, RouteSpec, UpstreamSpec};
use crate::config::{
    Action, Destination, Effect, HostPattern, Problem, Route, Slug, Upstream, UpstreamId, UpstreamSettings,
};
use crate::controller::world::{RouteObject, World};

/// What one object says, resolved against the Services of its namespace.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// Routes that can answer something, in the order written.
    pub routes: Vec<PartRoute>,
    /// The Service ports that rules send to.
    pub ports: BTreeMap<UpstreamId, ServicePort>,
    /// The servers that it names by URL.
    pub upstreams: BTreeMap<UpstreamId, Arc<Upstream>>,
    /// What it says about Services, in the order written.
    pub settings: Vec<PartSettings>,
    /// Rules of one host that look at the same thing, the later one first.
    pub duplicates: Vec<OwnDuplicate>,
    /// Rules in all, and how many of them are off or send some requests nowhere.
    pub rules: PartRules,
    /// What is wrong with it by itself.
    pub problems: Vec<Problem>,
    /// As written, each once.
    pub hosts: Vec<String>,
    /// What of its hosts it lets other namespaces have.
    pub grants: Vec<PartGrant>,
    /// What was asked about other objects and what was answered.
    pub asked: Asked,
}

/// One route of an object.
#[derive(Clone, Debug)]
pub struct PartRoute {
    /// What is served.
    pub route: Arc<Route>,
    /// Position in the object.
    pub index: usize,
    /// The upstreams that its rules name.
    pub uses: Vec<UpstreamId>,
}

/// One entry of `spec.upstreams`.
#[derive(Clone, Debug)]
pub struct PartSettings {
    /// Position in the object.
    pub index: usize,
    /// What it is about.
    pub upstream: UpstreamId,
    /// What it says.
    pub settings: UpstreamSettings,
}

/// Two rules of one object with the same match on one host.
#[derive(Clone, Debug)]
pub struct OwnDuplicate {
    /// Where both would serve; none: any host.
    pub host: Option<HostPattern>,
    /// The rule that is not served there.
    pub loser_at: String,
    /// The rule that is.
    pub winner_at: String,
}

/// How the rules of an object fare by themselves.
#[derive(Clone, Copy, Debug, Default)]
pub struct PartRules {
    /// All of them.
    pub written: usize,
    /// Off, or on a route without any usable host.
    pub off: usize,
    /// Some of their requests get 500.
    pub partly: usize,
}

/// Reads one object.
pub fn describe(object: &RouteObject, world: &World, policies: &Policies) -> Part {
    match serde_json::from_value::<ObjectSpec>(object.spec.clone()) {
        Ok(spec) => describe_spec(&spec, object, world, policies),
        Err(error) => {
            let (path, message) = locate(&object.spec).unwrap_or_else(|| ("spec".to_owned(), error.to_string()));
            Part { problems: vec![Problem::new(path, Slug::WrongType, message)], ..Part::default() }
        }
    }
}

impl Part {
    /// Takes over what is equal in an earlier Part, so that it can be recognised by pointer.
    pub fn share_with(&mut self, earlier: &Self) {
        for new in &mut self.routes {
            let Some(old) = earlier.routes.iter().find(|old| old.index == new.index) else { continue };
            if old.route == new.route {
                new.route = Arc::clone(&old.route);
            } else {
                share_rules(Arc::make_mut(&mut new.route), &old.route);
            }
        }
        for (id, new) in &mut self.upstreams {
            if let Some(old) = earlier.upstreams.get(id).filter(|old| *old == new) {
                *new = Arc::clone(old);
            }
        }
    }
}

fn share_rules(new: &mut Route, old: &Route) {
    for rule in &mut new.rules {
        if let Some(known) = old.rules.iter().find(|known| *known == rule) {
            *rule = Arc::clone(known);
        }
    }
}

fn describe_spec(spec: &ObjectSpec, object: &RouteObject, world: &World, policies: &Policies) -> Part {
    let routes = spec.routes.as_deref().unwrap_or_default();
    let upstreams = spec.upstreams.as_deref().unwrap_or_default();
    let mut scope = ObjectScope::new(object, world, policies);
    scope.own = OwnUpstreams::describe(upstreams, routes, &scope);
    if spec.routes.is_none() && spec.upstreams.is_none() && spec.grants.is_none() {
        let message = "an empty GatewayRoute does nothing: set routes, upstreams or grants";
        return Part { problems: vec![Problem::new("spec", Slug::EmptyObject, message)], ..Part::default() };
    }
    let mut described = describe_routes(routes, &mut scope);
    let mut problems = described.problems;
    problems.append(&mut scope.own.problems);
    let of_urls = described.upstreams.into_iter().chain(std::mem::take(&mut scope.own.usable));
    let of_urls = of_urls.map(|upstream| (upstream.id.clone(), Arc::new(upstream))).collect();
    for (index, route) in described.routes.iter_mut().enumerate() {
        keep_to_listeners(route, index, &scope, &mut problems);
        problems.extend(bounds_above_listeners(route, &world.operator.gateway.listeners));
    }
    let settings = upstreams
        .iter()
        .enumerate()
        .filter_map(|(index, upstream)| describe_upstream(index, upstream, &mut scope, &mut problems))
        .collect();
    let duplicates = own_duplicates(&described.routes);
    let rules = count_rules(routes, &described.routes);
    problems.append(&mut scope.warnings);
    let grants = describe_grants(spec.grants.as_deref().unwrap_or_default(), &described.routes, &mut problems);
    let that_answer = described.routes.into_iter().enumerate().filter(|(_, route)| !route.rules.is_empty());
    let routes_that_serve: Vec<PartRoute> = that_answer
        .map(|(index, route)| PartRoute { uses: upstreams_of(&route), route: Arc::new(route), index })
        .collect();
    Part {
        ports: scope.asked.ports().map(|port| (port.id.clone(), port.clone())).collect(),
        routes: routes_that_serve,
        upstreams: of_urls,
        settings,
        duplicates,
        rules,
        problems,
        hosts: written_hosts(routes, spec.grants.as_deref().unwrap_or_default()),
        grants,
        asked: scope.asked,
    }
}

/// An object's routes are served where its namespace may be; a route that names no listener, on all of those.
fn keep_to_listeners(route: &mut Route, index: usize, scope: &ObjectScope<'_>, problems: &mut Vec<Problem>) {
    if !route.listeners.is_empty() || route.rules.is_empty() {
        return;
    }
    let Some(open) = scope.open_listeners() else { return };
    if open.is_empty() {
        let message = format!("no listener is open to namespace {}", scope.namespace());
        problems.push(Problem::new(format!("spec.routes[{index}]"), Slug::ListenerNamespace, message));
        route.rules.clear();
    }
    route.listeners = open;
}

fn written_hosts(routes: &[RouteSpec], grants: &[GrantSpec]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let of_grants = grants.iter().flat_map(|grant| grant.hosts.iter().flatten());
    let all = routes.iter().flat_map(|route| route.hosts.iter().flatten()).chain(of_grants);
    all.filter(|host| seen.insert(host.as_str())).cloned().collect()
}

fn upstreams_of(route: &Route) -> Vec<UpstreamId> {
    let mut used = BTreeSet::new();
    for rule in &route.rules {
        let Action::Forward(targets) = &rule.action else { continue };
        for target in targets {
            if let Destination::Upstream(id) = &target.to {
                used.insert(id.clone());
            }
        }
    }
    used.into_iter().collect()
}

fn own_duplicates(routes: &[Route]) -> Vec<OwnDuplicate> {
    let own = find_duplicates(routes.iter()).into_iter().map(|duplicate| OwnDuplicate {
        host: duplicate.host.cloned(),
        loser_at: duplicate.rule.at.clone(),
        winner_at: duplicate.winner.at.clone(),
    });
    own.collect()
}

/// Whatever is written and does nothing is off: broken, or on a route without any usable host or listener.
fn count_rules(written: &[RouteSpec], routes: &[Route]) -> PartRules {
    let written = written.iter().map(|route| route.rules.as_ref().map_or(1, Vec::len)).sum();
    let mut count = PartRules { written, off: written, partly: 0 };
    for rule in routes.iter().flat_map(|route| &route.rules) {
        let is_partly = match &rule.action {
            Action::Forward(targets) => targets.iter().any(|target| target.to == Destination::Missing),
            Action::Redirect(_) | Action::Respond(_) => false,
            Action::Broken => continue,
        };
        count.off -= 1;
        count.partly += usize::from(is_partly);
    }
    count
}

/// Settings for a Service of the object's own namespace. What is wrong with them never touches a rule.
fn describe_upstream(
    index: usize,
    spec: &UpstreamSpec,
    scope: &mut ObjectScope<'_>,
    problems: &mut Vec<Problem>,
) -> Option<PartSettings> {
    let at = format!("spec.upstreams[{index}]");
    let ignored = |path: String, slug, message: String| Problem { effect: Effect::Ignored, path, slug, message };
    let service = match (&spec.service, &spec.endpoints, &spec.name) {
        (Some(service), None, None) => service,
        // Described with those the routes call by name.
        (None, Some(_), Some(_)) => return None,
        _ => {
            let message =
                "set exactly one of service, endpoints; an upstream is named by its service or by name, not by both";
            problems.push(ignored(at, Slug::UpstreamSource, message.to_owned()));
            return None;
        }
    };
    if service.namespace.as_ref().is_some_and(|namespace| namespace != scope.namespace()) {
        let namespace = service.namespace.as_deref().unwrap_or_default();
        let message = format!("settings of a Service belong in its namespace, {namespace}");
        problems.push(ignored(format!("{at}.service"), Slug::SettingsForeign, message));
        return None;
    }
    let mut unreadable = Vec::new();
    let settings = describe_settings(&spec.settings, &scope.upstream_defaults(), &at, &mut unreadable);
    problems.extend(unreadable.into_iter().map(|problem| Problem { effect: Effect::Ignored, ..problem }));
    match scope.ask(service) {
        Ok(port) => Some(PartSettings { index, upstream: port.settings_of, settings }),
        Err(Unusable { slug, message }) => {
            problems.push(ignored(format!("{at}.service"), slug, message));
            None
        }
    }
}

/// The place of the first entry that cannot be decoded, and why.
fn locate(spec: &Value) -> Option<(String, String)> {
    let spec = spec.as_object()?;
    locate_in::<RouteSpec>(spec.get("routes"), "routes")
        .or_else(|| locate_in::<UpstreamSpec>(spec.get("upstreams"), "upstreams"))
        .or_else(|| locate_in::<GrantSpec>(spec.get("grants"), "grants"))
}

fn locate_in<T: DeserializeOwned>(list: Option<&Value>, name: &str) -> Option<(String, String)> {
    let entries = list?.as_array()?;
    entries.iter().enumerate().find_map(|(index, entry)| {
        let error = serde_json::from_value::<T>(entry.clone()).err()?;
        Some((format!("spec.{name}[{index}]"), error.to_string()))
    })
}
