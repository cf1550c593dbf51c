//! A `GatewayRoute` as it arrives from the API server, and what objects are called.

use std::borrow::Cow;
use std::fmt;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::crd::{GROUP, KIND, PLURAL, VERSION};

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

/// A `GatewayRoute` as it arrives. Spec and status are not decoded yet: an object that cannot be decoded
/// is an entry like any other and costs itself alone, while a typed list would fail as a whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RouteObject {
    /// Name, namespace, uid, age, generation.
    pub metadata: ObjectMeta,
    /// What the owner wrote.
    #[serde(default)]
    pub spec: Value,
    /// What was last said about it.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub status: Value,
}

impl RouteObject {
    /// Namespace and name.
    pub fn name(&self) -> ObjectName {
        ObjectName::of(&self.metadata)
    }

    /// Seconds since 1970; objects carry whole seconds.
    pub fn created(&self) -> i64 {
        self.metadata.creation_timestamp.as_ref().map_or(0, |time| time.0.as_second())
    }

    /// The class it asks for, read leniently: an object that cannot be decoded still has one.
    pub fn class(&self) -> Option<&str> {
        self.spec.get("ingressClassName").and_then(Value::as_str)
    }

    /// Whether translation would see no difference. The generation only stands in the verdict.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.metadata.uid == other.metadata.uid
            && self.metadata.creation_timestamp == other.metadata.creation_timestamp
            && self.metadata.generation == other.metadata.generation
            && self.spec == other.spec
    }
}

impl kube::Resource for RouteObject {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind(_: &()) -> Cow<'_, str> {
        KIND.into()
    }

    fn group(_: &()) -> Cow<'_, str> {
        GROUP.into()
    }

    fn version(_: &()) -> Cow<'_, str> {
        VERSION.into()
    }

    fn plural(_: &()) -> Cow<'_, str> {
        PLURAL.into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
