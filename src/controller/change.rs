//! What the watches tell the World: which kinds there are, and what has happened to their objects.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Endpoints, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::IngressClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::object::{GrantObject, ObjectName, PolicyObject, RouteObject};

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `GatewayRoute` of `gateway.sluice.dev`.
    GatewayRoute,
    /// `GatewayPolicy` of `gateway.sluice.dev`.
    GatewayPolicy,
    /// `ReferenceGrant` of `gateway.networking.k8s.io`, where that is installed.
    ReferenceGrant,
    /// The `ConfigMap` with the operator's file, and no other.
    ConfigMap,
    /// `Service`.
    Service,
    /// `EndpointSlice` of `discovery.k8s.io`.
    EndpointSlice,
    /// `Endpoints` that nobody mirrors into slices.
    Endpoints,
    /// The one `IngressClass` of this instance.
    IngressClass,
}

/// An object of one of the kinds.
#[derive(Clone, Debug)]
pub enum Object {
    /// See [`Kind::GatewayRoute`].
    GatewayRoute(Arc<RouteObject>),
    /// See [`Kind::GatewayPolicy`].
    GatewayPolicy(Arc<PolicyObject>),
    /// See [`Kind::ReferenceGrant`].
    ReferenceGrant(Arc<GrantObject>),
    /// See [`Kind::ConfigMap`].
    ConfigMap(Arc<ConfigMap>),
    /// See [`Kind::Service`].
    Service(Arc<Service>),
    /// See [`Kind::EndpointSlice`].
    EndpointSlice(Arc<EndpointSlice>),
    /// See [`Kind::Endpoints`].
    Endpoints(Arc<Endpoints>),
    /// See [`Kind::IngressClass`].
    IngressClass(Arc<IngressClass>),
}

impl Object {
    /// Namespace and name.
    pub fn name(&self) -> ObjectName {
        ObjectName::of(self.metadata())
    }

    /// Name, namespace and what else Kubernetes knows of every object.
    pub fn metadata(&self) -> &ObjectMeta {
        match self {
            Self::GatewayRoute(object) => &object.metadata,
            Self::GatewayPolicy(object) => &object.metadata,
            Self::ReferenceGrant(object) => &object.metadata,
            Self::ConfigMap(object) => &object.metadata,
            Self::Service(object) => &object.metadata,
            Self::EndpointSlice(object) => &object.metadata,
            Self::Endpoints(object) => &object.metadata,
            Self::IngressClass(object) => &object.metadata,
        }
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::GatewayRoute(_) => Kind::GatewayRoute,
            Self::GatewayPolicy(_) => Kind::GatewayPolicy,
            Self::ReferenceGrant(_) => Kind::ReferenceGrant,
            Self::ConfigMap(_) => Kind::ConfigMap,
            Self::Service(_) => Kind::Service,
            Self::EndpointSlice(_) => Kind::EndpointSlice,
            Self::Endpoints(_) => Kind::Endpoints,
            Self::IngressClass(_) => Kind::IngressClass,
        }
    }
}

/// The part of the cluster that one watch sees: a kind, in one namespace or in all.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Watched {
    /// The kind.
    pub kind: Kind,
    /// None: all namespaces.
    pub namespace: Option<String>,
}

impl Watched {
    /// Whether this watch would show the object.
    pub fn covers(&self, object: &Object) -> bool {
        let namespace = object.metadata().namespace.as_ref();
        object.kind() == self.kind && (self.namespace.is_none() || self.namespace.as_ref() == namespace)
    }
}

/// What a watch has seen.
#[derive(Clone, Debug)]
pub enum Change {
    /// The object is now like this.
    Applied(Object),
    /// The object is gone; this was its last state.
    Deleted(Object),
    /// The object is gone, or cannot be read, which counts as much.
    Lost(Kind, ObjectName),
    /// All there is.
    Listed(Watched, Vec<Object>),
}

impl Change {
    /// What it is about.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Applied(object) | Self::Deleted(object) => object.kind(),
            Self::Lost(kind, _) => *kind,
            Self::Listed(watched, _) => watched.kind,
        }
    }
}

/// What a change means for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Matter {
    /// Nothing that counts has changed.
    Nothing,
    /// The status of a custom object alone.
    Status,
    /// Translation may come to another result.
    Translation,
}
