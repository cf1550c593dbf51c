//! The schema, walked: structural, bounded, each rule at its place; and the printed file is fresh.

use super::*;

/// The whole schemas, routes first.
fn schemas() -> [Value; 2] {
    all().map(|(_, definition)| {
        let definition = serde_json::to_value(definition).unwrap();
        definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
    })
}

fn spec_schema() -> Value {
    let [routes, _] = schemas();
    routes["properties"]["spec"].clone()
}

#[test]
fn printed_definitions_are_fresh() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
    for (name, definition) in all() {
        let wanted = to_yaml(&definition).unwrap();
        if std::env::var_os("SLUICE_BLESS").is_some() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(name), &wanted).unwrap();
        }
        let found = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert!(found == wanted, "crds/{name} is stale: run this test with SLUICE_BLESS=1");
    }
}

#[test]
fn definitions_are_small_enough_for_kubectl_apply() {
    for (_, definition) in all() {
        assert!(to_yaml(&definition).unwrap().len() < 256 * 1024);
    }
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
    let look = &mut |at: &str, node: &serde_json::Map<String, Value>| {
        let is_int_or_string = node.contains_key("x-kubernetes-int-or-string");
        assert!(is_int_or_string || node.get("type").is_some_and(Value::is_string), "{at} needs one type: {node:?}");
        for bad in ["anyOf", "oneOf", "allOf", "$ref", "default", "nullable", "definitions"] {
            assert!(!node.contains_key(bad), "{at} has {bad}");
        }
    };
    schemas().iter().for_each(|root| walk("", root, look));
}

#[test]
fn everything_tenants_write_is_bounded() {
    let look = &mut |at: &str, node: &serde_json::Map<String, Value>| {
        let has = |key| node.contains_key(key);
        match node.get("type").and_then(Value::as_str) {
            Some("array") => assert!(has("maxItems"), "{at} needs maxItems"),
            Some("string") => assert!(has("maxLength") || has("enum"), "{at} needs maxLength"),
            Some("object") if has("additionalProperties") => assert!(has("maxProperties"), "{at} needs maxProperties"),
            _ => {}
        }
    };
    schemas().iter().for_each(|root| walk("spec", &root["properties"]["spec"], look));
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
    for field in ["name", "path", "exactPath", "methods", "headers", "backends", "timeouts", "rateLimits"] {
        assert!(route["properties"].get(field).is_some(), "route needs {field}");
        assert!(rule["properties"].get(field).is_some(), "rule needs {field}");
    }
    assert!(rule["properties"].get("hosts").is_none());
    let of_rule = [
        "set exactly one of backends, redirect, respond",
        "set only one of path, exactPath, pathRegex",
        "rewrite.prefix replaces the prefix in path, so path has to be set",
        "redirect.prefix replaces the prefix in path, so path has to be set",
    ];
    let of_route = [
        "set exactly one of backends, redirect, respond, rules",
        "with rules, what a request must look like is said in each rule",
    ];
    assert_eq!(rules_at(rule), of_rule);
    assert_eq!(rules_at(route), [of_route.as_slice(), &of_rule[1..]].concat());
    assert_eq!(rules_at(&route["properties"]["backends"]), [crate::config::schema::WEIGHTS_MESSAGE]);
    assert_eq!(rules_at(&spec), ["an empty GatewayRoute does nothing: set routes, upstreams or grants"]);
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
    for schema in schemas() {
        let status = &schema["properties"]["status"];
        let conditions = &status["properties"]["conditions"];
        assert_eq!(conditions["x-kubernetes-list-map-keys"], json!(["type"]));
        assert_eq!(status.get("required"), None);
    }
}

/// What is built for the file only, or not at all, is refused wherever it could be written.
#[test]
fn what_objects_cannot_have_is_refused_by_the_schema() {
    let spec = spec_schema();
    let route = &spec["properties"]["routes"]["items"];
    let rule = &route["properties"]["rules"]["items"];
    let refused = |at: &Value, name: &str| {
        let rules = &at["properties"][name]["x-kubernetes-validations"];
        assert_eq!(*rules, json!([{"rule": "false", "message": format!("{name} is not supported yet")}]), "{name}");
    };
    for place in [route, rule] {
        for name in ["grpc", "sticky", "mirrors", "cors", "errorPages", "fault", "tracing"] {
            refused(place, name);
        }
        for name in ["jwt", "basic", "apiKey", "external", "plaintext", "satisfy", "clientCertificate"] {
            refused(&place["properties"]["security"], name);
        }
        refused(&place["properties"]["retries"], "grpcStatuses");
        refused(&place["properties"]["rateLimits"]["items"], "onStoreError");
    }
    refused(&spec, "certificates");
    let [_, policies] = schemas();
    let policy = &policies["properties"]["spec"];
    for name in ["sticky", "mirrors", "cors", "errorPages", "fault", "tracing"] {
        refused(policy, name);
    }
    refused(&policy["properties"]["security"], "jwt");
    for name in ["hosts", "path", "backends", "use", "priority", "name"] {
        assert_eq!(policy["properties"].get(name), None, "{name} is no choice about requests");
    }
}

#[test]
fn rate_limits_are_a_map_by_name() {
    let spec = spec_schema();
    let limits = &spec["properties"]["routes"]["items"]["properties"]["rateLimits"];
    assert_eq!(limits["x-kubernetes-list-map-keys"], json!(["name"]));
    assert_eq!(limits["items"]["required"], json!(["name", "rate"]));
}
