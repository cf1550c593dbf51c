//! The World: the Kubernetes objects that count, as seen at one moment. Plain data.
//!
//! It is the store behind the watches. A watch hands over [`Change`]s: one object, one deletion, or, after
//! it listed, everything there is. A list replaces in one step, so a re-list after a lost watch never shows
//! a half-filled world, and a failing API server changes nothing: the last known state stays.
//!
//! Objects are shared as `Arc`s and compared by what counts for translation: a change of a status, of
//! managed fields or of a resource version alone is told as [`Matter::Status`] or [`Matter::Nothing`] and
//! wakes nobody. That is how our own status writes do not wake the loop.
//!
//! Known empty differs from not yet known: [`World::is_complete`] says whether every watch has listed once.

mod class;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use self::class::{CONTROLLER, DEFAULT_CLASS};
pub use super::change::{Change, Kind, Matter, Object, Watched};
pub use super::object::{GrantObject, ObjectName, OwnObject, PolicyObject, RouteObject, Subject};
pub use super::operator::OperatorFile;
use k8s_openapi::api::core::v1::{ConfigMap, Endpoints, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::IngressClass;

use super::translate::OwnKind;
use crate::config::Cidr;

/// The label by which a slice names its Service.
pub const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// The label by which a slice names who wrote it.
pub const MANAGED_BY_LABEL: &str = "endpointslice.kubernetes.io/managed-by";

/// Whose objects are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassSettings {
    /// The class of this instance.
    pub class: String,
    /// Whether objects without a class are its own, too.
    pub serve_unclassed: bool,
}

impl Default for ClassSettings {
    fn default() -> Self {
        Self { class: "sluice".to_owned(), serve_unclassed: true }
    }
}

/// What is known of ourselves, for what objects may not reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// The pod we are.
    pub pod: Option<ObjectName>,
    /// The API server, as pods are told.
    pub api_server: Option<Cidr>,
}

/// The ReferenceGrants of all namespaces by name.
pub type Grants = BTreeMap<ObjectName, Arc<GrantObject>>;

/// The Services of one namespace by name.
pub type Services = BTreeMap<String, Arc<Service>>;

/// The slices of one Service by name.
pub type Slices = BTreeMap<String, Arc<EndpointSlice>>;

/// All objects that count.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Whose objects are served.
    pub class: ClassSettings,
    /// What is known of ourselves.
    pub own: Own,
    /// Objects that translation must not see yet; see `newcomer`.
    pub held: BTreeSet<ObjectName>,
    /// What the operator's file says; see `operator`.
    pub operator: Arc<OperatorFile>,
    config_map: Option<Arc<ConfigMap>>,
    /// That of which `operator` was made.
    file_in_effect: Option<Arc<ConfigMap>>,
    policies: BTreeMap<ObjectName, Arc<PolicyObject>>,
    /// Shared as Services are.
    grants: Arc<Grants>,
    routes: BTreeMap<ObjectName, Arc<RouteObject>>,
    /// By namespace, each shared: "no Service of this namespace has changed" is one comparison of pointers.
    services: BTreeMap<String, Arc<Services>>,
    /// By the Service they belong to, then by their own name.
    slices: BTreeMap<ObjectName, Slices>,
    /// Which Service a slice is kept under.
    slice_owners: BTreeMap<ObjectName, ObjectName>,
    endpoints: BTreeMap<ObjectName, Arc<Endpoints>>,
    own_class: Option<Arc<IngressClass>>,
    missing: BTreeSet<Watched>,
}

impl World {
    /// A World that is complete once each of `watched` has been listed.
    pub fn waiting_for(class: ClassSettings, watched: impl IntoIterator<Item = Watched>) -> Self {
        Self { class, missing: watched.into_iter().collect(), ..Self::default() }
    }

    /// One with the same settings and no objects.
    pub fn empty(&self) -> Self {
        Self { class: self.class.clone(), own: self.own.clone(), ..Self::default() }
    }

    /// Whether everything has been listed once: from then on what is not here does not exist.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }

    /// All routes by name.
    pub fn routes(&self) -> impl ExactSizeIterator<Item = (&ObjectName, &Arc<RouteObject>)> {
        self.routes.iter()
    }

    /// One route.
    pub fn route(&self, name: &ObjectName) -> Option<&Arc<RouteObject>> {
        self.routes.get(name)
    }

    /// All policies by name.
    pub fn policies(&self) -> impl ExactSizeIterator<Item = (&ObjectName, &Arc<PolicyObject>)> {
        self.policies.iter()
    }

    /// One policy.
    pub fn policy(&self, name: &ObjectName) -> Option<&Arc<PolicyObject>> {
        self.policies.get(name)
    }

    /// An object that has a status.
    pub fn own_object(&self, subject: &Subject) -> Option<OwnObject> {
        match subject.kind {
            OwnKind::GatewayRoute => self.routes.get(&subject.name).cloned().map(OwnObject::Route),
            OwnKind::GatewayPolicy => self.policies.get(&subject.name).cloned().map(OwnObject::Policy),
        }
    }

    /// The ReferenceGrants of a namespace.
    pub fn reference_grants(&self, namespace: &str) -> impl Iterator<Item = &GrantObject> {
        let from = self.grants.range(ObjectName::new(namespace, "")..);
        from.take_while(move |(name, _)| name.namespace == namespace).map(|(_, grant)| &**grant)
    }

    /// The operator's file as it stands in the cluster, right or wrong.
    pub fn config_map(&self) -> Option<&Arc<ConfigMap>> {
        self.config_map.as_ref()
    }

    /// From now on this is the operator's file, made of the ConfigMap as it is now.
    pub fn put_operator(&mut self, file: Arc<OperatorFile>) {
        self.operator = file;
        self.file_in_effect.clone_from(&self.config_map);
    }

    /// The ConfigMap that the operator's file in effect was made of.
    pub fn file_in_effect(&self) -> Option<&Arc<ConfigMap>> {
        self.file_in_effect.as_ref()
    }

    /// The Services of a namespace; none if it has none.
    pub fn services(&self, namespace: &str) -> Option<&Arc<Services>> {
        self.services.get(namespace)
    }

    /// One Service.
    pub fn service(&self, namespace: &str, name: &str) -> Option<&Arc<Service>> {
        self.services.get(namespace)?.get(name)
    }

    /// The slices of a Service, ordered by name.
    pub fn slices(&self, service: &ObjectName) -> impl Iterator<Item = &Arc<EndpointSlice>> {
        self.slices.get(service).into_iter().flat_map(BTreeMap::values)
    }

    /// The slices of each Service of a namespace.
    pub fn slices_of_namespace(&self, namespace: &str) -> impl Iterator<Item = &Slices> {
        let first = ObjectName::new(namespace, "");
        self.slices.range(first..).take_while(move |(name, _)| name.namespace == namespace).map(|(_, slices)| slices)
    }

    /// The `Endpoints` object of a Service, where nobody mirrors it.
    pub fn endpoints(&self, service: &ObjectName) -> Option<&Arc<Endpoints>> {
        self.endpoints.get(service)
    }

    /// Everything, by kind and name; what is left out of it is made again from it.
    pub fn objects(&self) -> Vec<Object> {
        let files = self.file_in_effect.iter().cloned().map(Object::ConfigMap);
        let classes = self.own_class.iter().cloned().map(Object::IngressClass);
        let policies = self.policies.values().cloned().map(Object::GatewayPolicy);
        let grants = self.grants.values().cloned().map(Object::ReferenceGrant);
        let routes = self.routes.values().cloned().map(Object::GatewayRoute);
        let services = self.services.values().flat_map(|all| all.values()).cloned().map(Object::Service);
        let slices = self.slices.values().flat_map(|all| all.values()).cloned().map(Object::EndpointSlice);
        let endpoints = self.endpoints.values().cloned().map(Object::Endpoints);
        let above = files.chain(classes).chain(policies).chain(grants);
        above.chain(routes).chain(services).chain(slices).chain(endpoints).collect()
    }

    /// Takes a change in, and says what it means.
    pub fn apply(&mut self, change: Change) -> Matter {
        match change {
            Change::Applied(object) => self.put(object),
            Change::Deleted(object) => self.remove(object.kind(), &ObjectName::of(object.metadata())),
            Change::Lost(kind, name) => self.remove(kind, &name),
            Change::Listed(watched, objects) => self.replace(&watched, objects),
        }
    }

    /// A complete list: what it does not name is gone.
    fn replace(&mut self, watched: &Watched, objects: Vec<Object>) -> Matter {
        let listed: BTreeSet<ObjectName> = objects.iter().map(|object| ObjectName::of(object.metadata())).collect();
        let mut matter = if self.missing.remove(watched) { Matter::Translation } else { Matter::Nothing };
        for name in self.names(watched) {
            if !listed.contains(&name) {
                matter = matter.max(self.remove(watched.kind, &name));
            }
        }
        for object in objects {
            matter = matter.max(self.put(object));
        }
        matter
    }

    /// What is known of the part that a watch sees.
    fn names(&self, watched: &Watched) -> Vec<ObjectName> {
        let is_seen = |name: &ObjectName| watched.namespace.as_ref().is_none_or(|only| *only == name.namespace);
        match watched.kind {
            Kind::GatewayRoute => self.routes.keys().filter(|name| is_seen(name)).cloned().collect(),
            Kind::GatewayPolicy => self.policies.keys().filter(|name| is_seen(name)).cloned().collect(),
            Kind::ReferenceGrant => self.grants.keys().filter(|name| is_seen(name)).cloned().collect(),
            Kind::ConfigMap => self.config_map.iter().map(|object| ObjectName::of(&object.metadata)).collect(),
            Kind::Endpoints => self.endpoints.keys().filter(|name| is_seen(name)).cloned().collect(),
            Kind::Service => {
                let all = self.services.iter().flat_map(|(namespace, services)| {
                    services.keys().map(move |name| ObjectName::new(namespace.clone(), name.clone()))
                });
                all.filter(is_seen).collect()
            }
            Kind::EndpointSlice => self.slice_owners.keys().filter(|name| is_seen(name)).cloned().collect(),
            Kind::IngressClass => self.own_class.iter().map(|class| ObjectName::of(&class.metadata)).collect(),
        }
    }

    fn put(&mut self, object: Object) -> Matter {
        let name = ObjectName::of(object.metadata());
        match object {
            Object::GatewayRoute(new) => match self.routes.insert(name, Arc::clone(&new)) {
                Some(old) if old.says_the_same(&new) => Matter::Status,
                _ => Matter::Translation,
            },
            Object::GatewayPolicy(new) => match self.policies.insert(name, Arc::clone(&new)) {
                Some(old) if old.says_the_same(&new) => Matter::Status,
                _ => Matter::Translation,
            },
            Object::ReferenceGrant(new) => {
                if self.grants.get(&name).is_some_and(|old| old.spec == new.spec) {
                    return Matter::Nothing;
                }
                Arc::make_mut(&mut self.grants).insert(name, new);
                Matter::Translation
            }
            Object::ConfigMap(new) => match self.config_map.replace(Arc::clone(&new)) {
                Some(old) if old.data == new.data && old.binary_data == new.binary_data => Matter::Nothing,
                _ => Matter::Translation,
            },
            Object::Service(new) => self.put_service(name, new),
            Object::EndpointSlice(new) => self.put_slice(name, new),
            Object::IngressClass(new) => self.put_class(&name, new),
            Object::Endpoints(new) => match self.endpoints.insert(name, Arc::clone(&new)) {
                Some(old) if old.subsets == new.subsets => Matter::Nothing,
                _ => Matter::Translation,
            },
        }
    }

    fn put_service(&mut self, name: ObjectName, new: Arc<Service>) -> Matter {
        let services = self.services.entry(name.namespace).or_default();
        if services.get(&name.name).is_some_and(|old| old.spec == new.spec && old.metadata.uid == new.metadata.uid) {
            return Matter::Nothing;
        }
        Arc::make_mut(services).insert(name.name, new);
        Matter::Translation
    }

    /// A slice moves from one Service to another when its label is edited.
    fn put_slice(&mut self, name: ObjectName, new: Arc<EndpointSlice>) -> Matter {
        let Some(service) = service_of(&new) else { return self.remove_slice(&name) };
        if self.slice_owners.get(&name) != Some(&service) {
            self.remove_slice(&name);
        }
        let old = self.slices.get(&service).and_then(|slices| slices.get(&name.name));
        if old.is_some_and(|old| slices_say_the_same(old, &new)) {
            return Matter::Nothing;
        }
        self.slice_owners.insert(name.clone(), service.clone());
        self.slices.entry(service).or_default().insert(name.name, new);
        Matter::Translation
    }

    fn remove(&mut self, kind: Kind, name: &ObjectName) -> Matter {
        let was_known = match kind {
            Kind::GatewayRoute => self.routes.remove(name).is_some(),
            Kind::GatewayPolicy => self.policies.remove(name).is_some(),
            Kind::ReferenceGrant => {
                self.grants.contains_key(name) && Arc::make_mut(&mut self.grants).remove(name).is_some()
            }
            Kind::ConfigMap => self.config_map.take().is_some(),
            Kind::Endpoints => self.endpoints.remove(name).is_some(),
            Kind::EndpointSlice => return self.remove_slice(name),
            Kind::IngressClass => self.own_class.take_if(|class| ObjectName::of(&class.metadata) == *name).is_some(),
            Kind::Service => match self.services.get_mut(&name.namespace) {
                Some(services) => Arc::make_mut(services).remove(&name.name).is_some(),
                None => false,
            },
        };
        if was_known { Matter::Translation } else { Matter::Nothing }
    }

    fn remove_slice(&mut self, name: &ObjectName) -> Matter {
        let Some(service) = self.slice_owners.remove(name) else { return Matter::Nothing };
        if let Some(slices) = self.slices.get_mut(&service) {
            slices.remove(&name.name);
            if slices.is_empty() {
                self.slices.remove(&service);
            }
        }
        Matter::Translation
    }
}

fn slices_say_the_same(old: &EndpointSlice, new: &EndpointSlice) -> bool {
    let writer = |slice: &EndpointSlice| slice.metadata.labels.as_ref()?.get(MANAGED_BY_LABEL).cloned();
    writer(old) == writer(new)
        && old.endpoints == new.endpoints
        && old.ports == new.ports
        && old.address_type == new.address_type
        && old.metadata.uid == new.metadata.uid
}

/// The Service that a slice belongs to.
fn service_of(slice: &EndpointSlice) -> Option<ObjectName> {
    let service = slice.metadata.labels.as_ref()?.get(SERVICE_NAME_LABEL)?;
    Some(ObjectName::new(slice.metadata.namespace.clone().unwrap_or_default(), service.clone()))
}
