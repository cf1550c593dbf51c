//! Custom objects as they arrive from the API server, and what objects are called.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::translate::OwnKind;
use crate::crd::{GROUP, KIND, PLURAL, POLICY_KIND, POLICY_PLURAL, VERSION};

/// Which object: namespace and name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName {
    /// Empty for objects without one.
    pub namespace: String,
    /// Unique in its namespace and kind.
    pub name: String,
}

impl ObjectName {
    /// Names an object.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The name in the object's own words.
    pub fn of(metadata: &ObjectMeta) -> Self {
        Self::new(metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl fmt::Debug for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

macro_rules! resource {
    ($name:ident, $group:expr, $version:expr, $kind:expr, $plural:expr) => {
        impl kube::Resource for $name {
            type DynamicType = ();
            type Scope = NamespaceResourceScope;

            fn kind(_: &()) -> Cow<'_, str> {
                $kind.into()
            }

            fn group(_: &()) -> Cow<'_, str> {
                $group.into()
            }

            fn version(_: &()) -> Cow<'_, str> {
                $version.into()
            }

            fn plural(_: &()) -> Cow<'_, str> {
                $plural.into()
            }

            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }

            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    };
}

/// A custom object as it arrives. Spec and status are not decoded yet: an object that cannot be decoded
/// is an entry like any other and costs itself alone, while a typed list would fail as a whole.
macro_rules! custom_object {
    ($(#[$doc:meta])* $name:ident, $kind:expr, $plural:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        pub struct $name {
            /// Name, namespace, uid, age, generation.
            pub metadata: ObjectMeta,
            /// What the owner wrote.
            #[serde(default)]
            pub spec: Value,
            /// What was last said about it.
            #[serde(default, skip_serializing_if = "Value::is_null")]
            pub status: Value,
        }

        impl $name {
            /// Namespace and name.
            pub fn name(&self) -> ObjectName {
                ObjectName::of(&self.metadata)
            }

            /// Seconds since 1970; objects carry whole seconds.
            pub fn created(&self) -> i64 {
                self.metadata.creation_timestamp.as_ref().map_or(0, |time| time.0.as_second())
            }

            /// Whether translation would see no difference. The generation only stands in the verdict.
            pub fn says_the_same(&self, other: &Self) -> bool {
                self.metadata.uid == other.metadata.uid
                    && self.metadata.creation_timestamp == other.metadata.creation_timestamp
                    && self.metadata.generation == other.metadata.generation
                    && self.spec == other.spec
            }
        }

        resource!($name, GROUP, VERSION, $kind, $plural);
    };
}

custom_object! {
    /// A `GatewayRoute`.
    RouteObject, KIND, PLURAL
}

custom_object! {
    /// A `GatewayPolicy`.
    PolicyObject, POLICY_KIND, POLICY_PLURAL
}

impl RouteObject {
    /// The class it asks for, read leniently: an object that cannot be decoded still has one.
    pub fn class(&self) -> Option<&str> {
        self.spec.get("ingressClassName").and_then(Value::as_str)
    }
}

/// A `ReferenceGrant` of the Gateway API. Every version of it so far is served as v1beta1, too.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GrantObject {
    /// Name and namespace.
    pub metadata: ObjectMeta,
    /// Who may refer to what.
    #[serde(default)]
    pub spec: Value,
}

resource!(GrantObject, "gateway.networking.k8s.io", "v1beta1", "ReferenceGrant", "referencegrants");

/// Which object of ours: the kinds that have verdicts and statuses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    /// Its kind.
    pub kind: OwnKind,
    /// Its name.
    pub name: ObjectName,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.name)
    }
}

/// An object that has a status.
#[derive(Clone, Debug)]
pub enum OwnObject {
    /// A `GatewayRoute`.
    Route(Arc<RouteObject>),
    /// A `GatewayPolicy`.
    Policy(Arc<PolicyObject>),
}

impl OwnObject {
    /// Which it is.
    pub fn subject(&self) -> Subject {
        let kind = match self {
            Self::Route(_) => OwnKind::GatewayRoute,
            Self::Policy(_) => OwnKind::GatewayPolicy,
        };
        Subject { kind, name: ObjectName::of(self.metadata()) }
    }

    /// Name, uid, generation.
    pub fn metadata(&self) -> &ObjectMeta {
        match self {
            Self::Route(object) => &object.metadata,
            Self::Policy(object) => &object.metadata,
        }
    }

    /// What was last said about it.
    pub fn status(&self) -> &Value {
        match self {
            Self::Route(object) => &object.status,
            Self::Policy(object) => &object.status,
        }
    }

    /// The same with another status.
    pub fn with_status(&self, status: Value) -> Self {
        match self {
            Self::Route(object) => Self::Route(Arc::new(RouteObject { status, ..(**object).clone() })),
            Self::Policy(object) => Self::Policy(Arc::new(PolicyObject { status, ..(**object).clone() })),
        }
    }
}
