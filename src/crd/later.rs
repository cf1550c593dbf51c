//! Fields of the reference that this version does not build: refused by the schema, with a message.
//!
//! A field that the schema does not name is dropped by the API server without a word, unless the client asks for
//! strictness as kubectl does. A dropped `security` would leave a route open. So every such name is in the schema, as
//! something that no value satisfies. What is in the schema already and not built for objects is refused there.

use serde_json::{Value, json};

use crate::config::vocabulary::{later_fields, later_fields_in_objects};

const LISTS: [&str; 3] = ["certificates", "errorPages", "mirrors"];
const LISTS_OF_NUMBERS: [&str; 1] = ["grpcStatuses"];
const TEXTS: [&str; 7] = ["grpcService", "maxAge", "onStoreError", "plaintext", "protocol", "proxyProtocol", "satisfy"];

/// Adds them to the schema of a place, given with the one above it, and to all below it.
pub(super) fn refuse((above, place): (&str, &str), schema: &mut Value) {
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
    for (name, child) in properties.iter_mut() {
        let child = if child.get("items").is_some() { &mut child["items"] } else { child };
        refuse((place, name), child);
    }
    // The file itself has no name; its fields are not those of an object.
    let of_both = if place == "spec" { &[] } else { later_fields(above, place) };
    for name in of_both.iter().chain(later_fields_in_objects(place)) {
        let node = properties.entry(*name).or_insert_with(|| shape(name));
        node["description"] = "Not supported yet.".into();
        node["x-kubernetes-validations"] =
            json!([{"rule": "false", "message": format!("{name} is not supported yet")}]);
    }
}

fn shape(name: &str) -> Value {
    let anything = json!({"type": "object", "maxProperties": 256, "x-kubernetes-preserve-unknown-fields": true});
    if LISTS.contains(&name) {
        json!({"type": "array", "maxItems": 64, "items": anything})
    } else if LISTS_OF_NUMBERS.contains(&name) {
        json!({"type": "array", "maxItems": 64, "items": {"type": "integer", "format": "int32"}})
    } else if TEXTS.contains(&name) {
        json!({"type": "string", "maxLength": 512})
    } else {
        anything
    }
}
