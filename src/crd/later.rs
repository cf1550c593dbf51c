//! Fields of the reference that this version does not build: refused by the schema, with a message.
//!
//! A field that the schema does not name is dropped by the API server without a word, unless the client asks for
//! strictness as kubectl does. A dropped `security` would leave a route open. So every such name is in the schema, as
//! something that no value satisfies.

use serde_json::{Map, Value, json};

use crate::config::vocabulary::later_fields;

const LISTS: [&str; 6] = ["certificates", "conditions", "errorPages", "grants", "mirrors", "rateLimits"];
const LISTS_OF_TEXTS: [&str; 3] = ["listeners", "upgrades", "use"];
const TEXTS: [&str; 7] = ["grpcService", "pathRegex", "perTry", "protocol", "proxyProtocol", "streamIdle", "via"];
const NUMBERS: [&str; 1] = ["priority"];

/// Adds them to the schema of a place, given with the one above it, and to all below it.
pub(super) fn refuse((above, place): (&str, &str), schema: &mut Value) {
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
    for (name, child) in properties.iter_mut() {
        let child = if child.get("items").is_some() { &mut child["items"] } else { child };
        refuse((place, name), child);
    }
    for name in later_fields(above, place) {
        add(properties, name);
    }
}

fn add(properties: &mut Map<String, Value>, name: &str) {
    let anything = json!({"type": "object", "maxProperties": 256, "x-kubernetes-preserve-unknown-fields": true});
    let mut node = if LISTS.contains(&name) {
        json!({"type": "array", "maxItems": 64, "items": anything})
    } else if LISTS_OF_TEXTS.contains(&name) {
        json!({"type": "array", "maxItems": 64, "items": {"type": "string", "maxLength": 512}})
    } else if TEXTS.contains(&name) || name == "zone" {
        json!({"type": "string", "maxLength": 512})
    } else if NUMBERS.contains(&name) {
        json!({"type": "integer", "format": "int32"})
    } else {
        anything
    };
    node["description"] = "Not supported yet.".into();
    node["x-kubernetes-validations"] = json!([{"rule": "false", "message": format!("{name} is not supported yet")}]);
    properties.entry(name).or_insert(node);
}
