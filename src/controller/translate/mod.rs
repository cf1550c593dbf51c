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

mod delegation;
mod endpoints;
mod gateway_route;
mod hosts;
mod loss;
mod outside;
mod own_upstreams;
mod ownership;
mod policy;
mod protocol;
mod references;
mod scope;
mod services;
mod upstreams;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use self::gateway_route::Part;
use self::loss::Losses;
use self::ownership::{Admission, Entry, admit};
use self::policy::{Policies, PolicyPart};
use self::services::ServicePort;
use self::upstreams::{RememberedUpstream, UpstreamInput, build};
pub use self::verdict::{Conflict, OwnKind, RuleCounts, Verdict, is_about_references};
use super::world::{ObjectName, OperatorFile, PolicyObject, RouteObject, Services, World};
use crate::config::{Cidr, Gateway, Route, Slug, Upstream, UpstreamId, UpstreamSettings};

/// What comes of a World.
#[derive(Clone, Debug)]
pub struct Translation {
    /// What is to be served. The same `Arc` as before if nothing in it has changed.
    pub gateway: Arc<Gateway>,
    /// One for each object of this class, oldest object first. Unchanged ones are the same `Arc`s as before.
    pub verdicts: Vec<Arc<Verdict>>,
    /// One for each policy, by name. Unchanged ones are the same `Arc`s as before.
    pub policies: Vec<Arc<Verdict>>,
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
    /// A Service or policy is not there, or leave to use it.
    Unknown,
}

/// Whether everything is known that an object, seen for the first time, needs to be served well.
pub fn readiness(object: &RouteObject, world: &World) -> Readiness {
    let part = gateway_route::describe(object, world, &Policies::new());
    let is_settled = |port: &ServicePort| {
        let service = world.service(&port.service.namespace, &port.service.name);
        service.is_none_or(|service| endpoints::is_settled(world, service, port))
    };
    if !part.ports.values().all(is_settled) {
        return Readiness::SlicesUnknown;
    }
    let is_told = |slug| part.problems.iter().any(|problem| problem.slug == slug);
    let is_missing = is_told(Slug::ServiceMissing)
        || is_told(Slug::RefNotPermitted)
        || part.asked.policies().any(|name| world.policy(name).is_none());
    if is_missing { Readiness::Unknown } else { Readiness::Ready }
}

/// Whether an object is for this instance.
pub fn is_ours(object: &RouteObject, world: &World) -> bool {
    world.serves_class(object.class())
}

/// Translates, and remembers what it found for the next time.
#[derive(Debug, Default)]
pub struct Translator {
    policies: BTreeMap<ObjectName, RememberedPolicy>,
    operator: Arc<OperatorFile>,
    parts: BTreeMap<ObjectName, RememberedPart>,
    entries: Vec<Entry>,
    admission: Admission,
    upstreams: BTreeMap<UpstreamId, RememberedUpstream>,
    /// With where they may not lead, by what objects say.
    own_upstreams: BTreeMap<UpstreamId, (Arc<Upstream>, Arc<Upstream>)>,
    denied: Arc<[Cidr]>,
    generations: Arc<BTreeMap<String, i64>>,
    last: Option<Translation>,
}

#[derive(Debug)]
struct RememberedPolicy {
    object: Arc<PolicyObject>,
    part: Arc<PolicyPart>,
    verdict: Arc<Verdict>,
}

#[derive(Debug)]
struct RememberedPart {
    object: Arc<RouteObject>,
    seen: Seen,
    part: Arc<Part>,
}

/// What a Part was made of besides its object; equal by pointer, it cannot have changed.
#[derive(Debug)]
struct Seen {
    operator: Arc<OperatorFile>,
    services: Option<Arc<Services>>,
}

impl Translator {
    /// The same as [`translate`], for the work of what has changed since the last call.
    pub fn translate(&mut self, world: &World) -> Translation {
        self.remember_policies(world);
        let entries = self.entries(world);
        let is_same_file = Arc::ptr_eq(&self.operator, &world.operator);
        let is_as_before = is_same_file && are_equal(&entries, &self.entries);
        if !is_as_before {
            self.admission = admit(&entries, &world.operator, &self.admission);
            let with_routes = entries.iter().filter(|entry| !entry.part.routes.is_empty());
            self.generations = Arc::new(with_routes.map(Entry::generation).collect());
            self.entries = entries;
            self.operator = Arc::clone(&world.operator);
        }
        let upstreams = self.upstreams(world);
        let policies = self.policies.values().map(|policy| Arc::clone(&policy.verdict)).collect();
        let translation = match self.last.take() {
            Some(last) => Translation {
                gateway: self.gateway(upstreams, Some(last.gateway).filter(|_| is_same_file)),
                verdicts: if is_as_before { last.verdicts } else { self.verdicts(&last.verdicts) },
                policies,
            },
            None => Translation { gateway: self.gateway(upstreams, None), verdicts: self.verdicts(&[]), policies },
        };
        self.last = Some(translation.clone());
        translation
    }

    /// Describes the policies that have changed.
    fn remember_policies(&mut self, world: &World) {
        let mut earlier = std::mem::take(&mut self.policies);
        for (name, object) in world.policies() {
            let known = earlier.remove(name).filter(|known| known.object.says_the_same(object));
            let remembered = known.unwrap_or_else(|| {
                let part = policy::describe(object);
                let verdict = Arc::new(policy::judge(object, &part));
                RememberedPolicy { object: Arc::clone(object), part: Arc::new(part), verdict }
            });
            self.policies.insert(name.clone(), remembered);
        }
    }

    /// All objects that count, by age and name.
    fn entries(&mut self, world: &World) -> Vec<Entry> {
        let counts = |name: &ObjectName, object: &RouteObject| !world.held.contains(name) && is_ours(object, world);
        let part = |(name, policy): (&ObjectName, &RememberedPolicy)| (name.clone(), Arc::clone(&policy.part));
        let policies: Policies = self.policies.iter().map(part).collect();
        let mut earlier = std::mem::take(&mut self.parts);
        let mut entries = Vec::with_capacity(world.routes().len());
        for (name, object) in world.routes().filter(|(name, object)| counts(name, object)) {
            let remembered = recall(earlier.remove(name), object, world, &policies);
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
            let by_default = || UpstreamSettings::clone(&world.operator.terms.upstream_defaults);
            let settings = self.admission.settings.get(&port.settings_of).cloned().unwrap_or_else(by_default);
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

    /// The file's, then those of objects. A name that the file gives an upstream is its, even if an object's is called
    /// so.
    fn gateway(&self, of_objects: Vec<Arc<Upstream>>, last: Option<Arc<Gateway>>) -> Arc<Gateway> {
        let file = &self.operator.gateway;
        let routes: Vec<Arc<Route>> = file.routes.iter().chain(&self.admission.routes).cloned().collect();
        let mut upstreams = file.upstreams.clone();
        let named: BTreeSet<&UpstreamId> = file.upstreams.iter().map(|upstream| &upstream.id).collect();
        upstreams.extend(of_objects.into_iter().filter(|upstream| !named.contains(&upstream.id)));
        let is_same = |last: &Arc<Gateway>| {
            are_same(&last.routes, &routes)
                && are_same(&last.upstreams, &upstreams)
                && last.generations == self.generations
        };
        if let Some(last) = last.filter(is_same) {
            return last;
        }
        Arc::new(Gateway {
            listeners: file.listeners.clone(),
            routes,
            upstreams,
            access_log: file.access_log,
            metric_clients: file.metric_clients,
            rate_limit_keys: file.rate_limit_keys,
            generations: Arc::clone(&self.generations),
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
fn recall(
    known: Option<RememberedPart>,
    object: &Arc<RouteObject>,
    world: &World,
    policies: &Policies,
) -> RememberedPart {
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
    let seen = Seen::of(namespace, world);
    let Some(known) = known else {
        let part = Arc::new(gateway_route::describe(object, world, policies));
        return RememberedPart { part, object: Arc::clone(object), seen };
    };
    let is_same_object = Arc::ptr_eq(&known.object, object) || says_the_same(&known.object, object);
    let still_holds = is_same_object
        && Arc::ptr_eq(&known.seen.operator, &seen.operator)
        && (seen.has_services_of(&known) || known.part.asked.has_same_services(namespace, world))
        && known.part.asked.has_same_policies(policies);
    let part = if still_holds {
        known.part
    } else {
        let mut part = gateway_route::describe(object, world, policies);
        part.share_with(&known.part);
        Arc::new(part)
    };
    RememberedPart { object: Arc::clone(object), seen, part }
}

impl Seen {
    fn of(namespace: &str, world: &World) -> Self {
        Self { operator: Arc::clone(&world.operator), services: world.services(namespace).cloned() }
    }

    /// Whether nothing that a Part asked about Services can have another answer. Of another namespace's Services nothing
    /// is known here.
    fn has_services_of(&self, known: &RememberedPart) -> bool {
        are_same_option(known.seen.services.as_ref(), self.services.as_ref()) && !known.part.asked.looks_elsewhere()
    }
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
    let whose = (OwnKind::GatewayRoute, &entry.object.metadata);
    Verdict::new(whose, part.hosts.clone(), rules, problems, losses.conflicts.clone())
}

#[cfg(test)]
mod tests;
