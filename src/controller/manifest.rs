//! A World from YAML text: what translation's tests, and commands that try manifests without a cluster, read.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Endpoints, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::world::{Change, ClassSettings, Object, RouteObject, World};

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
    for (index, document) in serde_yaml::Deserializer::from_str(text).enumerate() {
        let document_number = index + 1;
        let value = Value::deserialize(document)
            .map_err(|source| ManifestError::Syntax { document: document_number, source })?;
        let kind = value.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
        let object = read_object(&kind, with_namespace(value)).map_err(|source| ManifestError::Form {
            document: document_number,
            kind,
            source,
        })?;
        if let Some(object) = object {
            world.apply(Change::Applied(object));
        }
    }
    Ok(world)
}

pub(super) fn read_object(kind: &str, value: Value) -> Result<Option<Object>, serde_json::Error> {
    fn read<T: DeserializeOwned>(value: Value) -> Result<Arc<T>, serde_json::Error> {
        serde_json::from_value(value).map(Arc::new)
    }
    Ok(Some(match kind {
        "GatewayRoute" => Object::GatewayRoute(read::<RouteObject>(value)?),
        "Service" => Object::Service(read::<Service>(value)?),
        "EndpointSlice" => Object::EndpointSlice(read::<EndpointSlice>(value)?),
        "Endpoints" => Object::Endpoints(read::<Endpoints>(value)?),
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
