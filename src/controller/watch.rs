//! The watches: what the API server says becomes [`Change`]s for the World.
//!
//! One task for each kind and namespace, each a `following` of its own: what may go wrong between us and the
//! API server is told there. Here stands which kinds are watched and what is kept of their objects: what nobody
//! looks at (managed fields, annotations, statuses of others) is dropped before it is stored.
//!
//! `Endpoints` are watched only where their label says that nobody mirrors them into slices; all
//! others arrive as slices anyway.

mod doubt;
mod entry;
mod failure;
mod following;
mod opening;
mod report;
mod wait;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Endpoints, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::IngressClass;
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::time::Instant;

use self::doubt::Doubt;
use self::following::{Following, Memory};
pub use self::opening::Openings;
pub use self::report::InTouch;
use self::report::Report;
pub use self::wait::jittered;
use super::world::{
    Change, DEFAULT_CLASS, GrantObject, Kind, MANAGED_BY_LABEL, Object, PolicyObject, RouteObject, SERVICE_NAME_LABEL,
    Watched,
};
use crate::observe::metrics::ControlMetrics;

/// One change, and when it arrived.
#[derive(Debug)]
pub struct Arrival {
    /// What has changed.
    pub change: Change,
    /// For the time from here to being in effect.
    pub at: Instant,
}

/// A kind that can be watched.
trait Watchable: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static {
    /// Annotations that somebody looks at.
    const KEPT_ANNOTATIONS: &'static [&'static str] = &[];

    /// Drops what nobody looks at.
    fn strip(&mut self);
    /// Wraps it for the World.
    fn wrap(self) -> Object;
}

impl Watchable for RouteObject {
    fn strip(&mut self) {}

    fn wrap(self) -> Object {
        Object::GatewayRoute(Arc::new(self))
    }
}

impl Watchable for PolicyObject {
    fn strip(&mut self) {}

    fn wrap(self) -> Object {
        Object::GatewayPolicy(Arc::new(self))
    }
}

impl Watchable for ConfigMap {
    fn strip(&mut self) {
        self.metadata.labels = None;
    }

    fn wrap(self) -> Object {
        Object::ConfigMap(Arc::new(self))
    }
}

impl Watchable for GrantObject {
    fn strip(&mut self) {
        self.metadata.labels = None;
    }

    fn wrap(self) -> Object {
        Object::ReferenceGrant(Arc::new(self))
    }
}

impl Watchable for Service {
    fn strip(&mut self) {
        self.status = None;
        self.metadata.labels = None;
    }

    fn wrap(self) -> Object {
        Object::Service(Arc::new(self))
    }
}

impl Watchable for EndpointSlice {
    fn strip(&mut self) {
        if let Some(labels) = &mut self.metadata.labels {
            labels.retain(|label, _| label == SERVICE_NAME_LABEL || label == MANAGED_BY_LABEL);
        }
    }

    fn wrap(self) -> Object {
        Object::EndpointSlice(Arc::new(self))
    }
}

impl Watchable for Endpoints {
    fn strip(&mut self) {
        self.metadata.labels = None;
    }

    fn wrap(self) -> Object {
        Object::Endpoints(Arc::new(self))
    }
}

impl Watchable for IngressClass {
    const KEPT_ANNOTATIONS: &'static [&'static str] = &[DEFAULT_CLASS];

    fn strip(&mut self) {
        self.metadata.labels = None;
    }

    fn wrap(self) -> Object {
        Object::IngressClass(Arc::new(self))
    }
}

/// Everything that is to be watched: each kind, in all namespaces or in each of these.
pub fn everything(namespaces: &[String]) -> Vec<Watched> {
    let kinds = [
        Kind::GatewayRoute,
        Kind::GatewayPolicy,
        Kind::ReferenceGrant,
        Kind::Service,
        Kind::EndpointSlice,
        Kind::Endpoints,
    ];
    let scopes: Vec<Option<String>> =
        if namespaces.is_empty() { vec![None] } else { namespaces.iter().cloned().map(Some).collect() };
    kinds
        .into_iter()
        .flat_map(|kind| scopes.iter().map(move |namespace| Watched { kind, namespace: namespace.clone() }))
        .collect()
}

/// Which objects of a kind are watched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    labels: Option<String>,
    fields: Option<String>,
    /// A kind that a cluster may lack, or not let us read; it counts as empty then.
    may_be_absent: bool,
}

impl Selection {
    /// What is to be read of a kind.
    fn of(watched: &Watched, names: &BTreeMap<Kind, String>) -> Self {
        let is_unmirrored = "endpointslice.kubernetes.io/skip-mirror=true";
        Self {
            labels: (watched.kind == Kind::Endpoints).then(|| is_unmirrored.to_owned()),
            fields: names.get(&watched.kind).map(|name| format!("metadata.name={name}")),
            may_be_absent: matches!(watched.kind, Kind::GatewayPolicy | Kind::ReferenceGrant | Kind::IngressClass),
        }
    }
}

/// What every watch is given.
#[derive(Clone)]
pub(super) struct Watching {
    /// To the API server.
    pub client: Client,
    /// What the client tells of watches being opened.
    pub openings: Openings,
    /// Kinds of which one object is watched: its name.
    pub names: BTreeMap<Kind, String>,
    /// Where changes go.
    pub arrivals: mpsc::Sender<Arrival>,
    /// Where failures are counted.
    pub metrics: ControlMetrics,
    /// Whether any watch works.
    pub in_touch: InTouch,
}

/// Watches one part of the cluster until the receiver is gone. `is_known`: something of it is served already, from
/// disk. Cancelled, it leaves nothing behind.
pub(super) async fn follow(watching: Watching, watched: Watched, is_known: bool) {
    let kind = watched.kind;
    let selection = Selection::of(&watched, &watching.names);
    let report = Report::new(watched.clone(), watching.metrics, watching.in_touch);
    let path = match kind {
        Kind::GatewayRoute => path::<RouteObject>(&watched),
        Kind::GatewayPolicy => path::<PolicyObject>(&watched),
        Kind::ReferenceGrant => path::<GrantObject>(&watched),
        Kind::ConfigMap => path::<ConfigMap>(&watched),
        Kind::Service => path::<Service>(&watched),
        Kind::EndpointSlice => path::<EndpointSlice>(&watched),
        Kind::Endpoints => path::<Endpoints>(&watched),
        Kind::IngressClass => path::<IngressClass>(&watched),
    };
    let opening = watching.openings.of(&path, report.closed_early());
    let memory = Memory::new(report, Doubt::knowing(is_known));
    let following = Following::new(watching.client, (watched, selection), watching.arrivals, opening, memory);
    match kind {
        Kind::GatewayRoute => following.run::<RouteObject>().await,
        Kind::GatewayPolicy => following.run::<PolicyObject>().await,
        Kind::ReferenceGrant => following.run::<GrantObject>().await,
        Kind::ConfigMap => following.run::<ConfigMap>().await,
        Kind::Service => following.run::<Service>().await,
        Kind::EndpointSlice => following.run::<EndpointSlice>().await,
        Kind::Endpoints => following.run::<Endpoints>().await,
        Kind::IngressClass => following.run::<IngressClass>().await,
    }
}

fn path<K: Watchable>(watched: &Watched) -> String {
    K::url_path(&(), watched.namespace.as_deref())
}

fn stripped<K: Watchable>(mut object: K) -> Object {
    let metadata = object.meta_mut();
    metadata.managed_fields = None;
    metadata.owner_references = None;
    metadata.finalizers = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.retain(|name, _| K::KEPT_ANNOTATIONS.contains(&name.as_str()));
    }
    metadata.annotations = metadata.annotations.take().filter(|kept| !kept.is_empty());
    object.strip();
    object.wrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_namespaces_every_kind_is_watched_once_in_all() {
        assert_eq!(everything(&[]).len(), 6);
        assert_eq!(everything(&["a".to_owned(), "b".to_owned()]).len(), 12);
    }

    #[test]
    fn what_nobody_looks_at_is_not_stored() {
        let text = r#"{"metadata": {"name": "sluice", "managedFields": [{}], "finalizers": ["x"],
            "annotations": {"ingressclass.kubernetes.io/is-default-class": "true", "huge": "0"}}}"#;
        let Object::IngressClass(kept) = stripped(serde_json::from_str::<IngressClass>(text).unwrap()) else {
            panic!("another kind")
        };
        let annotations = kept.metadata.annotations.clone().unwrap();
        assert_eq!(annotations.keys().collect::<Vec<_>>(), [DEFAULT_CLASS]);
        assert!(kept.metadata.managed_fields.is_none() && kept.metadata.finalizers.is_none());
    }
}
