//! What an object can see, and what it may do: the operator's listeners and defaults, Services, policies; no hosts outside
//! the cluster, nothing of other namespaces without their leave, and no answers for everybody.
//!
//! Every question about another object is written down with its answer ([`Asked`]). As long as all answers stay, what was
//! made of the object stays too.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::outside;
use super::own_upstreams::OwnUpstreams;
use super::policy::{self, Policies, PolicyPart};
use super::references;
use super::services::{Found, ServicePort, Warning};
use crate::config::describe::{Layer, Scope, Surroundings};
use crate::config::spec::ServiceSpec;
use crate::config::traffic::Traffic;
use crate::config::{Effect, Problem, Slug, Source, UpstreamId, UpstreamSettings};
use crate::controller::world::{ObjectName, RouteObject, World};

/// What was asked about other objects, with the answers.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    services: BTreeMap<(Option<String>, String, String), (ServiceSpec, Found)>,
    /// None: there is no such policy.
    policies: BTreeMap<ObjectName, Option<Arc<PolicyPart>>>,
    looks_elsewhere: bool,
}

impl Asked {
    /// The Service ports that were found.
    pub fn ports(&self) -> impl Iterator<Item = &ServicePort> {
        self.services.values().filter_map(|(_, answer)| answer.as_ref().ok())
    }

    /// The policies that were asked for.
    pub fn policies(&self) -> impl Iterator<Item = &ObjectName> {
        self.policies.keys()
    }

    /// Whether it depends on Services of other namespaces, or on leave to use them.
    pub fn looks_elsewhere(&self) -> bool {
        self.looks_elsewhere
    }

    /// Whether every question about Services has still the same answer.
    pub fn has_same_services(&self, own: &str, world: &World) -> bool {
        self.services.values().all(|(spec, answer)| references::find_service(world, own, spec) == *answer)
    }

    /// Whether every question about policies has still the same answer.
    pub fn has_same_policies(&self, policies: &Policies) -> bool {
        self.policies.iter().all(|(name, answer)| match (answer, policies.get(name)) {
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            (None, None) => true,
            _ => false,
        })
    }
}

/// What an object can see, and what it may do.
pub struct ObjectScope<'a> {
    /// What was asked so far.
    pub asked: Asked,
    /// The servers that it names itself.
    pub own: OwnUpstreams,
    /// What Services say that does not count, once for each port.
    pub warnings: Vec<Problem>,
    warned_of: BTreeSet<UpstreamId>,
    world: &'a World,
    policies: &'a Policies,
    identity: String,
    namespace: String,
    source: Source,
}

impl<'a> ObjectScope<'a> {
    /// That of one object.
    pub fn new(object: &RouteObject, world: &'a World, policies: &'a Policies) -> Self {
        let name = object.name();
        Self {
            asked: Asked::default(),
            own: OwnUpstreams::default(),
            warnings: Vec::new(),
            warned_of: BTreeSet::new(),
            world,
            policies,
            identity: name.to_string(),
            source: Source::Object { created: object.created(), name: name.to_string() },
            namespace: name.namespace,
        }
    }

    /// The object's own.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Looks a Service up, once.
    pub fn ask(&mut self, service: &ServiceSpec) -> Found {
        let key = (service.namespace.clone(), service.name.clone(), format!("{:?} {:?}", service.port, service.via));
        let (world, own) = (self.world, &self.namespace);
        self.asked.looks_elsewhere |= service.namespace.as_ref().is_some_and(|namespace| namespace != own);
        let answer = || (service.clone(), references::find_service(world, own, service));
        self.asked.services.entry(key).or_insert_with(answer).1.clone()
    }

    /// The listeners that are open to the object's namespace; none if all are.
    pub fn open_listeners(&self) -> Option<Vec<String>> {
        let listeners = &self.world.operator.terms.listeners;
        let open = listeners.iter().filter(|listener| listener.is_open_to(&self.namespace));
        let open: Vec<String> = open.map(|listener| listener.name.clone()).collect();
        (open.len() < listeners.len()).then_some(open)
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

    fn check_any_host(&self, at: &str) -> Result<(), Problem> {
        if self.world.operator.terms.cluster.may_catch_all(&self.namespace) {
            return Ok(());
        }
        let message = format!(
            "a route without hosts would answer for everybody: namespace {} is not in cluster.catchAll",
            self.namespace
        );
        Err(Problem::new(at, Slug::HostRequired, message))
    }

    fn check_url_host(&self, host: &str, at: &str) -> Result<(), Problem> {
        let judged = outside::check_host(&self.world.operator.terms, host);
        judged.map_err(|why| Problem::new(at, Slug::UrlNotAllowed, why))
    }

    fn upstream_defaults(&self) -> Arc<UpstreamSettings> {
        Arc::clone(&self.world.operator.terms.upstream_defaults)
    }

    fn service(&mut self, service: &ServiceSpec, at: &str) -> Result<UpstreamId, Problem> {
        let port = self.ask(service).map_err(|unusable| Problem::new(at, unusable.slug, unusable.message))?;
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
        let terms = &self.world.operator.terms.listeners;
        match terms.iter().find(|listener| listener.name == name) {
            Some(listener) if listener.is_open_to(&self.namespace) => Ok(()),
            Some(_) => {
                let message = format!("listener {name} is not open to namespace {}", self.namespace);
                Err(Problem::new(at, Slug::ListenerNamespace, message))
            }
            None => {
                let listeners = terms.iter().map(|listener| listener.name.clone()).collect();
                Surroundings { listeners, ..Surroundings::default() }.listener(name, at)
            }
        }
    }

    fn policy(&mut self, name: &str, at: &str) -> Result<Arc<Layer>, Problem> {
        let name = policy::full_name(name, &self.namespace);
        let known = self.policies.get(&name);
        self.asked.policies.insert(name.clone(), known.cloned());
        policy::layer_for(known, &name, &self.namespace).map_err(|why| Problem::new(at, Slug::PolicyMissing, why))
    }

    fn defaults(&self) -> Arc<Traffic> {
        Arc::clone(&self.world.operator.terms.defaults)
    }

    /// Any object may write one. It counts where the object's namespace owns the host; see `ownership`.
    fn check_priority(&self, _at: &str) -> Result<(), Problem> {
        Ok(())
    }
}
