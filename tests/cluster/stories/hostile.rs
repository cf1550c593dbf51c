//! Whatever an API server can store: it costs its own object, and nobody else notices.

use serde_json::{Value, json};

use crate::command::{try_get, try_kubectl, try_kubectl_with};
use crate::fixture::Namespace;
use crate::load::Load;
use crate::sluice::{NAMESPACE, answers, concluded, everywhere, gateway_route, installed};
use crate::wait::{SOON, eventually, holds};

const API: &str = "gateway.sluice.dev/v1alpha1";

#[test]
fn bad_objects_of_every_kind_harm_nobody_else() {
    let address = installed();
    let space = Namespace::new("hostile");
    space.backend("shop", 2);
    space.route(
        "good",
        "    - {hosts: [good.hostile.example.com], path: /, backends: [{service: {name: shop, port: http}}]}",
    );
    let before = concluded(&space.name, "good", "True", "True", "True");
    everywhere(&address, "http://good.hostile.example.com/", 200);
    let restarts = restarts();
    let load = Load::start(&address, "good.hostile.example.com", "/");

    for object in services(&space.name).into_iter().chain(slices(&space.name)) {
        create(&object);
    }
    let loosened =
        [Schema::loosened("gatewayroutes", "GatewayRoute"), Schema::loosened("gatewaypolicies", "GatewayPolicy")];
    for object in policies(&space.name) {
        create(&object);
    }
    let bad = routes(&space.name);
    for object in &bad {
        create(object);
    }
    // As after an upgrade that forbids more: what is stored stays stored.
    drop(loosened);

    // The next change of somebody else is served and told as ever.
    space.route(
        "later",
        "    - {hosts: [later.hostile.example.com], path: /, backends: [{service: {name: shop, port: http}}]}",
    );
    answers(&address, "http://later.hostile.example.com/", &[], 200);
    concluded(&space.name, "later", "True", "True", "True");
    for object in &bad {
        let name = object["metadata"]["name"].as_str().expect("a name");
        eventually(&format!("a verdict on {name}"), SOON, || {
            let status = gateway_route(&space.name, name)?["status"].clone();
            let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
            let is_bad = conditions.iter().any(|condition| condition["status"] == "False");
            holds(is_bad, || format!("{status}"))
        });
    }
    load.more(500);
    load.finish();
    let after = gateway_route(&space.name, "good").expect("the object");
    assert_eq!(before["metadata"]["resourceVersion"], after["metadata"]["resourceVersion"], "nothing to tell: {after}");
    assert_eq!(restarts, self::restarts(), "no replica has died of it");
}

fn create(object: &Value) {
    // Not `apply`, whose annotation would double the size.
    let made = try_kubectl_with(&["create", "--validate=ignore", "-f", "-"], &object.to_string());
    made.unwrap_or_else(|complaint| panic!("{}: {complaint}", object["metadata"]["name"]));
}

fn restarts() -> Vec<(String, u64)> {
    let list = try_get(&["pods", "-n", NAMESPACE]).expect("pods");
    let pods = list["items"].as_array().expect("a list");
    pods.iter()
        .map(|pod| {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            (name.to_owned(), pod["status"]["containerStatuses"][0]["restartCount"].as_u64().unwrap_or_default())
        })
        .collect()
}

fn object(api: &str, kind: &str, namespace: &str, name: &str, rest: &Value) -> Value {
    let mut object = json!({"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": namespace}});
    for (key, value) in rest.as_object().into_iter().flatten() {
        object[key] = value.clone();
    }
    object
}

/// Services that are none, or not for HTTP.
fn services(namespace: &str) -> Vec<Value> {
    let service = |name: &str, spec: Value| object("v1", "Service", namespace, name, &json!({ "spec": spec }));
    let many: Vec<_> = (1..=200).map(|port| json!({"name": format!("port-{port}"), "port": port})).collect();
    vec![
        service("metadata", json!({"type": "ExternalName", "externalName": "169.254.169.254.nip.example"})),
        service("headless", json!({"clusterIP": "None"})),
        service("datagrams", json!({"ports": [{"name": "http", "port": 80, "protocol": "UDP"}]})),
        service("many", json!({ "ports": many })),
        service("by-hand", json!({"ports": [{"name": "http", "port": 80}]})),
    ]
}

/// Slices that no controller writes.
fn slices(namespace: &str) -> Vec<Value> {
    let slice = |name: &str, service: &str, rest: Value| {
        let mut slice = object("discovery.k8s.io/v1", "EndpointSlice", namespace, name, &rest);
        slice["metadata"]["labels"] = json!({ "kubernetes.io/service-name": service });
        slice
    };
    let crowd: Vec<_> =
        (0..1000).map(|n| json!({"addresses": [format!("198.51.{}.{}", n / 250, n % 250 + 1)]})).collect();
    vec![
        slice("no-ports", "by-hand", json!({"addressType": "IPv4", "endpoints": [{"addresses": ["192.0.2.1"]}]})),
        slice("nobody", "by-hand", json!({"addressType": "IPv4", "endpoints": [], "ports": [{"name": "http"}]})),
        slice(
            "names",
            "by-hand",
            json!({"addressType": "FQDN", "endpoints": [{"addresses": ["a.example.com"]}], "ports": [{"name": "http", "port": 80}]}),
        ),
        slice(
            "crowd",
            "by-hand",
            json!({"addressType": "IPv4", "endpoints": crowd, "ports": [{"name": "http", "port": 80}]}),
        ),
        slice("no-service", "not-there", json!({"addressType": "IPv6", "endpoints": [{"addresses": ["2001:db8::1"]}]})),
    ]
}

/// Policies that say nothing that can be done; a route uses each.
fn policies(namespace: &str) -> Vec<Value> {
    let policy = |name: &str, rest: Value| object(API, "GatewayPolicy", namespace, name, &rest);
    vec![
        policy("nothing", json!({})),
        policy("text", json!({ "spec": "rateLimits" })),
        policy("numbers", json!({"spec": {"rateLimits": [{"name": 1, "rate": 2}], "allowedNamespaces": 3}})),
        policy("itself", json!({"spec": {"use": ["itself"], "timeouts": {"request": "-1s"}}})),
    ]
}

/// Objects that the definition in effect would refuse, and some that it takes.
fn routes(namespace: &str) -> Vec<Value> {
    let route = |name: &str, rest: Value| object(API, "GatewayRoute", namespace, name, &rest);
    let to = |service: &str| json!([{"service": {"name": service, "port": "http"}}]);
    let of = |spec: Value| json!({ "spec": spec });
    let one = |name: &str, rule: Value| {
        let mut rule = rule;
        rule["hosts"] = json!([format!("{name}.hostile.example.com")]);
        route(name, of(json!({ "routes": [rule] })))
    };
    let mut large = one("large", json!({"path": "/", "backends": to("not-there")}));
    large["metadata"]["annotations"] = json!({ "example.com/large": "x\n\u{1b}[31m\"'{{".repeat(20_000) });
    let crowd: Vec<_> = (0..1000).map(|n| json!({"path": format!("/{n}"), "backends": to("not-there")})).collect();
    vec![
        route("no-spec", json!({})),
        route("null-spec", json!({ "spec": null })),
        route("text-spec", json!({ "spec": "routes" })),
        route("routes-no-list", of(json!({"routes": {"path": "/"}}))),
        route("numbers", of(json!({"routes": [{"hosts": [1, 2], "path": 3, "backends": [4]}]}))),
        route("deep", of(json!({ "routes": [nested(60)] }))),
        route(
            "host-names",
            of(
                json!({"routes": [{"hosts": ["a b", "\r\nx", "", "*", "xn--", "good.hostile.example.com."], "path": "/", "backends": to("shop")}]}),
            ),
        ),
        one(
            "line-break",
            json!({"path": "/", "requestHeaders": {"set": {"X-A": "b\r\nX-C: d"}}, "backends": to("shop")}),
        ),
        one("expression", json!({"pathRegex": "(((((a{999}){999}){999}", "backends": to("shop")})),
        one("negative", json!({"path": "/", "backends": [{"service": {"name": "shop", "port": -1}, "weight": -5}]})),
        one("too-high", json!({"path": "/", "timeouts": {"request": "99999999999999999999h"}, "backends": to("shop")})),
        one("metadata-service", json!({"path": "/", "backends": to("metadata")})),
        one("url", json!({"path": "/", "backends": [{"url": "http://169.254.169.254/latest"}]})),
        one("datagram", json!({"path": "/", "backends": to("datagrams")})),
        one(
            "no-policy",
            json!({"path": "/", "use": ["text", "numbers", "itself", "a/b/c", ""], "backends": to("shop")}),
        ),
        one("nowhere", json!({"path": "/", "backends": to("not-there")})),
        route("crowd", of(json!({"routes": [{"hosts": ["crowd.hostile.example.com"], "rules": crowd}]}))),
        large,
    ]
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(json!("end"), |inner, _| json!({ "rules": [inner] }))
}

/// A definition with a schema that takes anything, until it is dropped.
struct Schema {
    definition: String,
    kind: &'static str,
    strict: Value,
}

impl Schema {
    fn loosened(plural: &str, kind: &'static str) -> Self {
        let definition = format!("customresourcedefinition/{plural}.gateway.sluice.dev");
        let strict =
            try_get(&[&definition]).expect("the definition")["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
                .clone();
        assert!(strict["properties"]["spec"].is_object(), "{strict}");
        let schema = Self { definition, kind, strict };
        let anything = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        schema.put(&anything).unwrap_or_else(|complaint| panic!("{complaint}"));
        schema
    }

    /// Puts a schema in place, and waits until the API server judges by it.
    fn put(&self, schema: &Value) -> Result<(), String> {
        let patch = json!([{"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema", "value": schema}]);
        let file = std::env::temp_dir().join(format!("sluice-schema-{}.json", std::process::id()));
        std::fs::write(&file, patch.to_string()).map_err(|error| error.to_string())?;
        let patched = try_kubectl(&["patch", &self.definition, "--type=json", "--patch-file", &file.to_string_lossy()]);
        let _ = std::fs::remove_file(&file);
        patched?;
        let is_strict = schema["properties"].is_object();
        let wrong = object(API, self.kind, "default", "probe", &json!({ "spec": 1 })).to_string();
        eventually("the schema is in effect", SOON, || {
            let tried = try_kubectl_with(&["create", "--dry-run=server", "--validate=ignore", "-f", "-"], &wrong);
            holds(tried.is_err() == is_strict, || format!("{tried:?}"))
        });
        Ok(())
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        // A panic here would hide the story's own.
        if let Err(complaint) = self.put(&self.strict) {
            println!("{} stays loosened: {complaint}", self.definition);
        }
    }
}
