//! The schema, walked: structural, bounded, each rule at its place; and the printed file is fresh.

use super::*;

const PRINTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/crds/gatewayroutes.yaml");

fn spec_schema() -> Value {
    let crd = serde_json::to_value(crd()).unwrap();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].clone()
}

#[test]
fn printed_definition_is_fresh() {
    let wanted = to_yaml().unwrap();
    if std::env::var_os("SLUICE_BLESS").is_some() {
        std::fs::create_dir_all(std::path::Path::new(PRINTED).parent().unwrap()).unwrap();
        std::fs::write(PRINTED, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(PRINTED).unwrap_or_default();
    assert!(found == wanted, "crds/gatewayroutes.yaml is stale: run this test with SLUICE_BLESS=1");
}

#[test]
fn definition_is_small_enough_for_kubectl_apply() {
    assert!(to_yaml().unwrap().len() < 256 * 1024);
}

/// Calls `look` for every schema node with its path.
fn walk(at: &str, schema: &Value, look: &mut dyn FnMut(&str, &serde_json::Map<String, Value>)) {
    let Some(object) = schema.as_object() else { return };
    look(at, object);
    if let Some(Value::Object(properties)) = object.get("properties") {
        for (name, child) in properties {
            walk(&format!("{at}.{name}"), child, look);
        }
    }
    for key in ["items", "additionalProperties"] {
        if let Some(child) = object.get(key) {
            walk(&format!("{at}.{key}"), child, look);
        }
    }
}

#[test]
fn schema_is_structural_and_has_no_defaults() {
    let crd = serde_json::to_value(crd()).unwrap();
    let root = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    walk("", root, &mut |at, node| {
        let is_int_or_string = node.contains_key("x-kubernetes-int-or-string");
        assert!(is_int_or_string || node.get("type").is_some_and(Value::is_string), "{at} needs one type: {node:?}");
        for bad in ["anyOf", "oneOf", "allOf", "$ref", "default", "nullable", "definitions"] {
            assert!(!node.contains_key(bad), "{at} has {bad}");
        }
    });
}

#[test]
fn everything_tenants_write_is_bounded() {
    walk("spec", &spec_schema(), &mut |at, node| {
        let has = |key| node.contains_key(key);
        match node.get("type").and_then(Value::as_str) {
            Some("array") => assert!(has("maxItems"), "{at} needs maxItems"),
            Some("string") => assert!(has("maxLength") || has("enum"), "{at} needs maxLength"),
            Some("object") if has("additionalProperties") => assert!(has("maxProperties"), "{at} needs maxProperties"),
            _ => {}
        }
    });
}

fn rules_at(schema: &Value) -> Vec<&str> {
    let rules = schema["x-kubernetes-validations"].as_array().map(Vec::as_slice).unwrap_or_default();
    rules.iter().filter_map(|rule| rule["message"].as_str()).collect()
}

#[test]
fn flattened_fields_and_rules_stand_where_they_belong() {
    let spec = spec_schema();
    let route = &spec["properties"]["routes"]["items"];
    let rule = &route["properties"]["rules"]["items"];
    for field in ["name", "path", "exactPath", "methods", "headers", "backends", "timeouts"] {
        assert!(route["properties"].get(field).is_some(), "route needs {field}");
        assert!(rule["properties"].get(field).is_some(), "rule needs {field}");
    }
    assert!(rule["properties"].get("hosts").is_none());
    assert_eq!(
        rules_at(route),
        [
            "set exactly one of backends, rules",
            "with rules, what a request must look like is said in each rule",
            "set only one of path, exactPath",
        ]
    );
    assert_eq!(rules_at(rule), ["set exactly one of backends", "set only one of path, exactPath"]);
    assert_eq!(rules_at(&route["properties"]["backends"]), [crate::config::schema::WEIGHTS_MESSAGE]);
    assert_eq!(rules_at(&spec), ["an empty GatewayRoute does nothing: set routes or upstreams"]);
    let backend = &rule["properties"]["backends"]["items"];
    assert_eq!(rules_at(backend), ["set exactly one of url, service, upstream"]);
    assert_eq!(backend["properties"]["service"]["required"], json!(["name", "port"]));
}

#[test]
fn upstreams_have_their_rules_and_bounds() {
    let upstream = &spec_schema()["properties"]["upstreams"]["items"];
    assert_eq!(
        rules_at(upstream),
        ["set exactly one of service, endpoints; an upstream is named by its service or by name, not by both"]
    );
    let settings = &upstream["properties"];
    let active = &settings["healthCheck"]["properties"]["active"];
    assert_eq!(rules_at(active), [crate::config::schema::PROBE_FORM_MESSAGE]);
    assert_eq!(rules_at(&active["properties"]["path"]), [crate::config::schema::PROBE_PATH_MESSAGE]);
    assert_eq!(active["properties"]["statuses"]["minItems"], 1);
    assert_eq!(settings["circuitBreaker"]["properties"]["failurePercent"]["maximum"], 100.0);
    assert_eq!(settings["whenEmpty"]["minimum"], 400.0);
    for later in ["protocol", "tls", "proxyProtocol"] {
        assert_eq!(rules_at(&settings[later]), [format!("{later} is not supported yet")]);
    }
    assert_eq!(rules_at(&settings["limits"]["properties"]["adaptive"]), ["adaptive is not supported yet"]);
    assert_eq!(settings["limits"]["properties"].get("streams"), None, "that is a listener's");
}

#[test]
fn conditions_are_a_map_by_type() {
    let crd = serde_json::to_value(crd()).unwrap();
    let status = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"];
    let conditions = &status["properties"]["conditions"];
    assert_eq!(conditions["x-kubernetes-list-map-keys"], json!(["type"]));
    assert_eq!(status.get("required"), None);
}
