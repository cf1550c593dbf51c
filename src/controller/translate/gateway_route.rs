//! One `GatewayRoute`, read alone: its routes, the Service ports they use, its settings, what is wrong.
//!
//! The result, a [`Part`], depends on the object and on the Services it names, nothing else: not on other
//! objects, not on endpoints. What was asked about Services is kept with its answers, so that `translate`
//! can tell whether the Part still holds by asking again.
//!
//! Fields mean what they mean in the file, as both pass through `config::describe`. What an object may not
//! do is answered here, through [`Scope`]: name hosts outside the cluster, answer for everybody, use other
//! namespaces.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::outside;
use super::own_upstreams::OwnUpstreams;
use super::references::namespace_of;
use super::services::{self, Found, ServicePort, Unusable, Warning};
use crate::config::describe::{Layer, Scope, Surroundings, describe_routes, describe_settings, find_duplicates};
use crate::config::listener::Listener;
use crate::config::spec::{ObjectSpec, RouteSpec, ServiceSpec, UpstreamSpec};
use crate::config::traffic::Traffic;
use crate::config::{
    Action, Destination, Effect, HostPattern, Problem, Route, Slug, Source, Upstream, UpstreamId, UpstreamSettings,
};
use crate::controller::world::{ClassSettings, RouteObject, World};

/// What one object says, resolved against the Services of its namespace.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// Routes that have a host, in the order written.
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
    /// What was asked about Services and what was answered.
    asked: Asked,
}

/// Questions about Services of the object's namespace, with their answers.
type Asked = BTreeMap<(String, String), (ServiceSpec, Found)>;

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
    /// Where both would serve.
    pub host: HostPattern,
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

/// Whether an object is for this instance.
pub fn is_ours(object: &RouteObject, class: &ClassSettings) -> bool {
    match object.class() {
        Some(wanted) => wanted == class.class,
        None => class.serve_unclassed,
    }
}

/// Reads one object.
pub fn describe(object: &RouteObject, world: &World) -> Part {
    match serde_json::from_value::<ObjectSpec>(object.spec.clone()) {
        Ok(spec) => describe_spec(&spec, object, world),
        Err(error) => {
            let (path, message) = locate(&object.spec).unwrap_or_else(|| ("spec".to_owned(), error.to_string()));
            Part { problems: vec![Problem::new(path, Slug::WrongType, message)], ..Part::default() }
        }
    }
}

impl Part {
    /// Whether every question about Services has still the same answer.
    pub fn still_holds(&self, namespace: &str, world: &World) -> bool {
        self.asked.values().all(|(spec, answer)| services::find(world, namespace, spec) == *answer)
    }

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

fn describe_spec(spec: &ObjectSpec, object: &RouteObject, world: &World) -> Part {
    let routes = spec.routes.as_deref().unwrap_or_default();
    let upstreams = spec.upstreams.as_deref().unwrap_or_default();
    let mut scope = ObjectScope::new(object, world);
    scope.own = OwnUpstreams::describe(upstreams, routes, &scope);
    if spec.routes.is_none() && spec.upstreams.is_none() {
        let message = "an empty GatewayRoute does nothing: set routes or upstreams";
        return Part { problems: vec![Problem::new("spec", Slug::EmptyObject, message)], ..Part::default() };
    }
    let described = describe_routes(routes, &mut scope);
    let mut problems = described.problems;
    problems.append(&mut scope.own.problems);
    let of_urls = described.upstreams.into_iter().chain(std::mem::take(&mut scope.own.usable));
    let of_urls = of_urls.map(|upstream| (upstream.id.clone(), Arc::new(upstream))).collect();
    let settings = upstreams
        .iter()
        .enumerate()
        .filter_map(|(index, upstream)| describe_upstream(index, upstream, &mut scope, &mut problems))
        .collect();
    let duplicates = own_duplicates(&described.routes);
    let rules = count_rules(routes, &described.routes);
    problems.append(&mut scope.warnings);
    let with_host = described.routes.into_iter().enumerate().filter(|(_, route)| !route.hosts.is_empty());
    let routes_that_serve: Vec<PartRoute> = with_host
        .map(|(index, route)| PartRoute { uses: upstreams_of(&route), route: Arc::new(route), index })
        .collect();
    let answers = scope.asked.values().filter_map(|(_, answer)| answer.as_ref().ok());
    Part {
        ports: answers.map(|port| (port.id.clone(), port.clone())).collect(),
        routes: routes_that_serve,
        upstreams: of_urls,
        settings,
        duplicates,
        rules,
        problems,
        hosts: written_hosts(routes),
        asked: scope.asked,
    }
}

fn written_hosts(routes: &[RouteSpec]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let all = routes.iter().flat_map(|route| route.hosts.iter().flatten());
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
    let found = find_duplicates(routes.iter().filter(|route| !route.hosts.is_empty()));
    let own = found.iter().filter_map(|duplicate| {
        let host = duplicate.host?.clone();
        Some(OwnDuplicate { host, loser_at: duplicate.rule.at.clone(), winner_at: duplicate.winner.at.clone() })
    });
    own.collect()
}

/// Whatever is written and does nothing is off: broken, or on a route without any usable host.
fn count_rules(written: &[RouteSpec], routes: &[Route]) -> PartRules {
    let written = written.iter().map(|route| route.rules.as_ref().map_or(1, Vec::len)).sum();
    let mut count = PartRules { written, off: written, partly: 0 };
    let rules = routes.iter().filter(|route| !route.hosts.is_empty()).flat_map(|route| &route.rules);
    for rule in rules {
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
    if service.namespace.as_ref().is_some_and(|namespace| *namespace != scope.namespace) {
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
}

fn locate_in<T: DeserializeOwned>(list: Option<&Value>, name: &str) -> Option<(String, String)> {
    let entries = list?.as_array()?;
    entries.iter().enumerate().find_map(|(index, entry)| {
        let error = serde_json::from_value::<T>(entry.clone()).err()?;
        Some((format!("spec.{name}[{index}]"), error.to_string()))
    })
}

/// What an object can see, and what it may do.
struct ObjectScope<'a> {
    world: &'a World,
    identity: String,
    namespace: String,
    source: Source,
    own: OwnUpstreams,
    asked: Asked,
    /// What Services say that does not count, once for each port.
    warnings: Vec<Problem>,
    warned_of: BTreeSet<UpstreamId>,
}

impl<'a> ObjectScope<'a> {
    fn new(object: &RouteObject, world: &'a World) -> Self {
        let name = object.name();
        Self {
            world,
            identity: name.to_string(),
            source: Source::Object { created: object.created(), name: name.to_string() },
            namespace: name.namespace,
            own: OwnUpstreams::default(),
            asked: Asked::new(),
            warnings: Vec::new(),
            warned_of: BTreeSet::new(),
        }
    }

    /// Looks a Service of the own namespace up, once.
    fn ask(&mut self, service: &ServiceSpec) -> Found {
        let key = (service.name.clone(), format!("{:?} {:?}", service.port, service.via));
        let (world, namespace) = (self.world, &self.namespace);
        let answer = || (service.clone(), services::find(world, namespace, service));
        self.asked.entry(key).or_insert_with(answer).1.clone()
    }
}

impl Scope for ObjectScope<'_> {
    fn identity(&self) -> &str {
        &self.identity
    }

    fn source(&self) -> Source {
        self.source.clone()
    }

    fn path_prefix(&self) -> &'static str {
        "spec."
    }

    fn allows_any_host(&self) -> bool {
        false
    }

    fn check_url_host(&self, host: &str, at: &str) -> Result<(), Problem> {
        outside::check_host(&self.world.terms, host).map_err(|why| Problem::new(at, Slug::UrlNotAllowed, why))
    }

    fn service(&mut self, service: &ServiceSpec, at: &str) -> Result<UpstreamId, Problem> {
        let found = match namespace_of(service, &self.namespace) {
            Ok(_) => self.ask(service),
            Err(unusable) => Err(unusable),
        };
        let port = found.map_err(|unusable| Problem::new(at, unusable.slug, unusable.message))?;
        if self.warned_of.insert(port.settings_of) {
            let warn =
                |Warning { slug, message }| Problem { effect: Effect::Warning, ..Problem::new(at, slug, message) };
            self.warnings.extend(port.warnings.into_iter().map(warn));
        }
        Ok(port.id)
    }

    fn upstream(&self, name: &str, at: &str) -> Result<UpstreamId, Problem> {
        self.own.find(name, at)
    }

    fn listener(&self, name: &str, at: &str) -> Result<(), Problem> {
        // In a cluster there is the one of every Sluice.
        let listeners = vec![Listener::default_http().name];
        Surroundings { listeners, ..Surroundings::default() }.listener(name, at)
    }

    /// Policies are objects of a kind that does not exist yet.
    fn policy(&self, _name: &str, at: &str) -> Result<Arc<Layer>, Problem> {
        Err(Problem::new(at, Slug::NotSupported, "use is not supported yet in objects"))
    }

    fn defaults(&self) -> Arc<Traffic> {
        Arc::default()
    }

    /// It is for the owner of a host, and who that is an object by itself does not tell.
    fn check_priority(&self, at: &str) -> Result<(), Problem> {
        Err(Problem::new(at, Slug::NotSupported, "priority is not supported yet in objects"))
    }
}
