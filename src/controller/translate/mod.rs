//! Translation: a [`World`] in, a [`Gateway`] and verdicts out. Pure, and it does not fail.
//!
//! [`translate`] is the meaning. [`Translator`] gives the same result for less work by remembering, as
//! changes are small and the World is large:
//!
//! 1. each object alone becomes a [`Part`] (`gateway_route`), remembered until its spec changes or a Service
//!    question has another answer. Most often not even that is asked: the Services of a namespace are one
//!    shared map, and an unchanged pointer means unchanged answers;
//! 2. all Parts together are judged (`ownership`), remembered until one of them changes;
//! 3. each upstream is built from its slices (`endpoints`), remembered until one of those changes. So a pod
//!    that comes or goes costs one upstream, and otherwise comparisons of pointers.
//!
//! What is equal stays the same `Arc`, so that compiling recognises it by pointer. A property test compares
//! the remembering translation with one from scratch after random changes.

mod endpoints;
mod gateway_route;
mod outside;
mod own_upstreams;
mod ownership;
mod protocol;
mod references;
mod services;
mod verdict;

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Endpoints, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;

use self::gateway_route::Part;
use self::ownership::{Admission, Entry, Losses, admit};
use self::services::{Behind, ServicePort};
pub use self::verdict::{Conflict, RuleCounts, Verdict, is_about_references};
use super::world::{ObjectName, RouteObject, Services, World};
use crate::config::{Cidr, Gateway, Listener, Slug, Terms, Upstream, UpstreamId, UpstreamSettings};

/// What comes of a World.
#[derive(Clone, Debug)]
pub struct Translation {
    /// What is to be served. The same `Arc` as before if nothing in it has changed.
    pub gateway: Arc<Gateway>,
    /// One for each object of this class, oldest object first. Unchanged ones are the same `Arc`s as before.
    pub verdicts: Vec<Arc<Verdict>>,
}

/// Translates from scratch.
pub fn translate(world: &World) -> Translation {
    Translator::default().translate(world)
}

/// How far what an object refers to is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Nothing more is to be expected.
    Ready,
    /// A Service is there and will have slices.
    SlicesUnknown,
    /// A Service is not there.
    ServiceUnknown,
}

/// Whether everything is known that an object, seen for the first time, needs to be served well.
pub fn readiness(object: &RouteObject, world: &World) -> Readiness {
    let part = gateway_route::describe(object, world);
    let is_settled = |port: &ServicePort| {
        let service = world.service(&port.service.namespace, &port.service.name);
        service.is_none_or(|service| endpoints::is_settled(world, service, port))
    };
    if !part.ports.values().all(is_settled) {
        return Readiness::SlicesUnknown;
    }
    let is_missing = part.problems.iter().any(|problem| problem.slug == Slug::ServiceMissing);
    if is_missing { Readiness::ServiceUnknown } else { Readiness::Ready }
}

/// Whether an object is for this instance.
pub fn is_ours(object: &RouteObject, world: &World) -> bool {
    gateway_route::is_ours(object, &world.class)
}

/// Translates, and remembers what it found for the next time.
#[derive(Debug, Default)]
pub struct Translator {
    parts: BTreeMap<ObjectName, RememberedPart>,
    entries: Vec<Entry>,
    admission: Admission,
    upstreams: BTreeMap<UpstreamId, RememberedUpstream>,
    /// With where they may not lead, by what objects say.
    own_upstreams: BTreeMap<UpstreamId, (Arc<Upstream>, Arc<Upstream>)>,
    denied: Arc<[Cidr]>,
    last: Option<Translation>,
}

#[derive(Debug)]
struct RememberedPart {
    object: Arc<RouteObject>,
    services: Option<Arc<Services>>,
    terms: Arc<Terms>,
    part: Arc<Part>,
}

/// An upstream with all that it was made of.
#[derive(Debug)]
struct RememberedUpstream {
    from: UpstreamInput,
    upstream: Arc<Upstream>,
}

#[derive(Debug)]
struct UpstreamInput {
    port: ServicePort,
    settings: UpstreamSettings,
    denied: Arc<[Cidr]>,
    service: Option<Arc<Service>>,
    slices: Vec<Arc<EndpointSlice>>,
    endpoints: Option<Arc<Endpoints>>,
}

impl Translator {
    /// The same as [`translate`], for the work of what has changed since the last call.
    pub fn translate(&mut self, world: &World) -> Translation {
        let entries = self.entries(world);
        let is_as_before = are_equal(&entries, &self.entries);
        if !is_as_before {
            self.admission = admit(&entries, &self.admission);
            self.entries = entries;
        }
        let upstreams = self.upstreams(world);
        let translation = match self.last.take() {
            Some(last) if is_as_before => Translation { gateway: self.gateway(upstreams, Some(last.gateway)), ..last },
            Some(last) => {
                let verdicts = self.verdicts(&last.verdicts);
                Translation { gateway: self.gateway(upstreams, Some(last.gateway)), verdicts }
            }
            None => Translation { gateway: self.gateway(upstreams, None), verdicts: self.verdicts(&[]) },
        };
        self.last = Some(translation.clone());
        translation
    }

    /// All objects that count, by age and name.
    fn entries(&mut self, world: &World) -> Vec<Entry> {
        let counts = |name: &ObjectName, object: &RouteObject| {
            !world.held.contains(name) && gateway_route::is_ours(object, &world.class)
        };
        let mut earlier = std::mem::take(&mut self.parts);
        let mut entries = Vec::with_capacity(world.routes().len());
        for (name, object) in world.routes().filter(|(name, object)| counts(name, object)) {
            let remembered = recall(earlier.remove(name), object, world);
            let part = Arc::clone(&remembered.part);
            entries.push(Entry { name: name.clone(), object: Arc::clone(object), part });
            self.parts.insert(name.clone(), remembered);
        }
        entries.sort_by(|left, right| left.rank().cmp(&right.rank()));
        entries
    }

    /// Every upstream that a route names, once, by name.
    fn upstreams(&mut self, world: &World) -> Vec<Arc<Upstream>> {
        let was_denied = std::mem::take(&mut self.denied);
        self.denied = outside::denied(world, &was_denied);
        let mut upstreams = self.own_upstreams(Arc::ptr_eq(&was_denied, &self.denied));
        let mut earlier = std::mem::take(&mut self.upstreams);
        for (id, port) in &self.admission.ports {
            let settings = self.admission.settings.get(&port.settings_of).cloned().unwrap_or_default();
            let from = UpstreamInput::gather(world, port, settings, &self.denied);
            let remembered = match earlier.remove(id) {
                Some(known) if known.from.is_same(&from) => known,
                Some(known) => build(world, from, Some(&known.upstream)),
                None => build(world, from, None),
            };
            upstreams.push(Arc::clone(&remembered.upstream));
            self.upstreams.insert(id.clone(), remembered);
        }
        // Two runs that are in order already.
        upstreams.sort_by(|left, right| left.id.cmp(&right.id));
        upstreams
    }

    /// The servers that objects name by URL, none of them where they may not lead.
    fn own_upstreams(&mut self, is_denied_as_before: bool) -> Vec<Arc<Upstream>> {
        let mut earlier = std::mem::take(&mut self.own_upstreams);
        for (id, written) in &self.admission.upstreams {
            let known = earlier.remove(id).filter(|(from, _)| is_denied_as_before && Arc::ptr_eq(from, written));
            let bounded = || Arc::new(Upstream { denied: Arc::clone(&self.denied), ..Upstream::clone(written) });
            let pair = known.unwrap_or_else(|| (Arc::clone(written), bounded()));
            self.own_upstreams.insert(id.clone(), pair);
        }
        self.own_upstreams.values().map(|(_, bounded)| Arc::clone(bounded)).collect()
    }

    fn gateway(&self, upstreams: Vec<Arc<Upstream>>, last: Option<Arc<Gateway>>) -> Arc<Gateway> {
        let routes = &self.admission.routes;
        if let Some(last) = last.filter(|last| are_same(&last.routes, routes) && are_same(&last.upstreams, &upstreams))
        {
            return last;
        }
        Arc::new(Gateway {
            listeners: vec![Listener::default_http()],
            routes: routes.clone(),
            upstreams,
            ..Gateway::default()
        })
    }

    fn verdicts(&self, last: &[Arc<Verdict>]) -> Vec<Arc<Verdict>> {
        let known: BTreeMap<&ObjectName, &Arc<Verdict>> =
            last.iter().map(|verdict| (&verdict.object, verdict)).collect();
        let judge = |(entry, losses): (&Entry, &Losses)| {
            let verdict = judge(entry, losses);
            match known.get(&verdict.object) {
                Some(known) if ***known == verdict => Arc::clone(known),
                _ => Arc::new(verdict),
            }
        };
        self.entries.iter().zip(&self.admission.losses).map(judge).collect()
    }
}

/// The Part of an object: the remembered one if it still holds.
fn recall(known: Option<RememberedPart>, object: &Arc<RouteObject>, world: &World) -> RememberedPart {
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
    let services = world.services(namespace).cloned();
    let Some(known) = known else {
        return RememberedPart {
            part: Arc::new(gateway_route::describe(object, world)),
            object: Arc::clone(object),
            terms: Arc::clone(&world.terms),
            services,
        };
    };
    let is_same_object = Arc::ptr_eq(&known.object, object) || says_the_same(&known.object, object);
    let are_same_services = match (&known.services, &services) {
        (Some(old), Some(new)) => Arc::ptr_eq(old, new),
        (None, None) => true,
        _ => false,
    };
    let are_same_terms = Arc::ptr_eq(&known.terms, &world.terms) || known.terms == world.terms;
    let still_holds =
        is_same_object && are_same_terms && (are_same_services || known.part.still_holds(namespace, world));
    let part = if still_holds {
        known.part
    } else {
        let mut part = gateway_route::describe(object, world);
        part.share_with(&known.part);
        Arc::new(part)
    };
    RememberedPart { object: Arc::clone(object), services, terms: Arc::clone(&world.terms), part }
}

/// Whether two states of an object are described alike: same spec, same identity and age.
fn says_the_same(old: &RouteObject, new: &RouteObject) -> bool {
    old.name() == new.name() && old.created() == new.created() && old.spec == new.spec
}

/// Whether two lists of entries lead to the same admission and the same verdicts.
fn are_equal(left: &[Entry], right: &[Entry]) -> bool {
    let is_equal = |(left, right): (&Entry, &Entry)| {
        Arc::ptr_eq(&left.part, &right.part)
            && (Arc::ptr_eq(&left.object, &right.object)
                || (left.object.metadata.generation == right.object.metadata.generation
                    && left.object.metadata.uid == right.object.metadata.uid
                    && says_the_same(&left.object, &right.object)))
    };
    left.len() == right.len() && left.iter().zip(right).all(is_equal)
}

fn are_same<T>(left: &[Arc<T>], right: &[Arc<T>]) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(left, right)| Arc::ptr_eq(left, right))
}

fn are_same_option<T>(left: Option<&Arc<T>>, right: Option<&Arc<T>>) -> bool {
    match (left, right) {
        (Some(left), Some(right)) => Arc::ptr_eq(left, right),
        (None, None) => true,
        _ => false,
    }
}

impl UpstreamInput {
    fn gather(world: &World, port: &ServicePort, settings: UpstreamSettings, denied: &Arc<[Cidr]>) -> Self {
        Self {
            port: port.clone(),
            settings,
            denied: Arc::clone(denied),
            service: world.service(&port.service.namespace, &port.service.name).cloned(),
            slices: world.slices(&port.service).cloned().collect(),
            endpoints: world.endpoints(&port.service).cloned(),
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        self.port == other.port
            && self.settings == other.settings
            && self.denied == other.denied
            && are_same_option(self.service.as_ref(), other.service.as_ref())
            && are_same(&self.slices, &other.slices)
            && are_same_option(self.endpoints.as_ref(), other.endpoints.as_ref())
    }
}

fn build(world: &World, from: UpstreamInput, earlier: Option<&Arc<Upstream>>) -> RememberedUpstream {
    let mut settings = from.settings.clone();
    // The cluster's address is no server, and what answers there is another one each time.
    if matches!(from.port.behind, Behind::ClusterIp(..)) {
        settings = UpstreamSettings { active_health: None, passive_health: None, slow_start: None, ..settings };
    }
    // Addresses were looked at when they were gathered; a name is looked at with each connection.
    let is_name = matches!(from.port.behind, Behind::Name(..));
    let upstream = Upstream {
        id: from.port.id.clone(),
        label: from.port.id.to_string(),
        is_of_urls: false,
        endpoints: endpoints::endpoints(world, &from.port, &from.denied),
        prefers_zone: from.port.prefers_zone,
        denied: if is_name { Arc::clone(&from.denied) } else { Arc::default() },
        settings: settings.into(),
    };
    let upstream = match earlier {
        Some(earlier) if **earlier == upstream => Arc::clone(earlier),
        _ => Arc::new(upstream),
    };
    RememberedUpstream { from, upstream }
}

/// What is told to the owner of one object.
fn judge(entry: &Entry, losses: &Losses) -> Verdict {
    let part = &entry.part;
    let rules = RuleCounts {
        written: part.rules.written,
        off: if losses.is_left_out { part.rules.written } else { part.rules.off },
        lost: losses.rules.len(),
        nowhere: losses.nowhere,
        partly: part.rules.partly,
    };
    let problems = part.problems.iter().chain(&losses.problems).cloned().collect();
    Verdict::new(&entry.object, part.hosts.clone(), rules, problems, losses.conflicts.clone())
}

#[cfg(test)]
mod tests;
