//! A World from YAML text: what translation's tests, and commands that try manifests without a cluster, read.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Endpoints, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::IngressClass;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::world::{Change, ClassSettings, GrantObject, Object, PolicyObject, RouteObject, World};

/// Why a text is no list of objects.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not YAML.
    #[error("document {document} is not YAML")]
    Syntax {
        /// Counted from 1.
        document: usize,
        /// Where and why.
        source: serde_yaml::Error,
    },
    /// Not what its kind looks like.
    #[error("document {document} is no {kind}")]
    Form {
        /// Counted from 1.
        document: usize,
        /// As it says itself.
        kind: String,
        /// Why.
        source: serde_json::Error,
    },
}

/// Reads all documents. Kinds that do not count are passed over; an object without a namespace is in `default`.
///
/// # Errors
/// [`ManifestError`] for the first document that cannot be read.
pub fn read_world(text: &str, class: ClassSettings) -> Result<World, ManifestError> {
    let mut world = World::waiting_for(class, []);
    match read_into(&mut world, text).into_iter().next() {
        Some(error) => Err(error),
        None => Ok(world),
    }
}

/// The same beside what a World has already. A document that cannot be read costs itself alone, as in a cluster; one that
/// is not even YAML ends the reading, as nobody knows where the next one begins.
pub fn read_into(world: &mut World, text: &str) -> Vec<ManifestError> {
    let mut errors = Vec::new();
    for (document, deserializer) in (1..).zip(serde_yaml::Deserializer::from_str(text)) {
        match Value::deserialize(deserializer) {
            Ok(value) => put(world, document, value, &mut errors),
            Err(source) => {
                errors.push(ManifestError::Syntax { document, source });
                break;
            }
        }
    }
    errors
}

/// An object, or the objects of a list as `kubectl get -o yaml` prints it.
fn put(world: &mut World, document: usize, mut value: Value, errors: &mut Vec<ManifestError>) {
    let kind = value.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some(items) = value.get_mut("items").and_then(Value::as_array_mut).filter(|_| kind == "List") {
        for item in std::mem::take(items) {
            // A list in a list is none that anybody prints.
            put(world, document, item, errors);
        }
        return;
    }
    match read_object(&kind, with_namespace(value)) {
        Ok(Some(object)) => {
            world.apply(Change::Applied(object));
        }
        Ok(None) => {}
        Err(source) => errors.push(ManifestError::Form { document, kind, source }),
    }
}

pub(super) fn read_object(kind: &str, value: Value) -> Result<Option<Object>, serde_json::Error> {
    fn read<T: DeserializeOwned>(value: Value) -> Result<Arc<T>, serde_json::Error> {
        serde_json::from_value(value).map(Arc::new)
    }
    Ok(Some(match kind {
        "GatewayRoute" => Object::GatewayRoute(read::<RouteObject>(value)?),
        "GatewayPolicy" => Object::GatewayPolicy(read::<PolicyObject>(value)?),
        "ReferenceGrant" => Object::ReferenceGrant(read::<GrantObject>(value)?),
        "Service" => Object::Service(read::<Service>(value)?),
        "EndpointSlice" => Object::EndpointSlice(read::<EndpointSlice>(value)?),
        "Endpoints" => Object::Endpoints(read::<Endpoints>(value)?),
        "IngressClass" => Object::IngressClass(read::<IngressClass>(value)?),
        _ => return Ok(None),
    }))
}

pub(super) fn with_namespace(mut value: Value) -> Value {
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.entry("namespace").or_insert_with(|| Value::from("default"));
    }
    value
}

/// Whether a text is a manifest and no configuration file. By its lines, so that this is known of broken texts too.
pub fn is_manifest(text: &str) -> bool {
    let has_line = |key: &str| text.lines().any(|line| line.trim_start_matches('\u{feff}').starts_with(key));
    let is_json = text.trim_start().starts_with('{');
    (has_line("apiVersion:") && has_line("kind:"))
        || (is_json && text.contains("\"apiVersion\"") && text.contains("\"kind\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"
apiVersion: v1
kind: List
items:
  - {kind: Service, metadata: {name: web, namespace: shop}, spec: {ports: 80}}
  - {kind: Service, metadata: {name: api, namespace: shop}, spec: {ports: [{port: 80}]}}
  - {kind: Deployment, metadata: {name: api}}
---
kind: GatewayRoute
metadata: {name: web}
"#;

    #[test]
    fn lists_are_taken_apart_and_what_cannot_be_read_costs_itself_alone() {
        let mut world = World::waiting_for(ClassSettings::default(), []);
        let errors = read_into(&mut world, LIST);
        assert!(matches!(errors.as_slice(), [ManifestError::Form { document: 1, .. }]), "{errors:?}");
        assert!(world.service("shop", "api").is_some() && world.service("shop", "web").is_none());
        assert_eq!(world.routes().map(|(name, _)| name.to_string()).collect::<Vec<_>>(), ["default/web"]);
    }

    #[test]
    fn what_is_no_yaml_ends_the_reading() {
        let mut world = World::waiting_for(ClassSettings::default(), []);
        let errors = read_into(&mut world, "kind: Service\nmetadata: {name: a}\n---\nkind: [\n---\nkind: Service\n");
        assert!(matches!(errors.as_slice(), [ManifestError::Syntax { document: 2, .. }]), "{errors:?}");
        assert!(world.service("default", "a").is_some());
    }
}
