//! `helm upgrade`: other values, another definition, any set of values at all.

use std::fs;
use std::path::{Path, PathBuf};

use serde_yaml::Value;

use crate::command::{kubectl, repository, try_apply, try_get, try_helm, try_kubectl_with};
use crate::fixture::Namespace;
use crate::load::Load;
use crate::sluice::{NAMESPACE, chart, concluded, everywhere, gateway_route, installed, pods, release, upgrade};
use crate::wait::{SOON, eventually, holds};

#[test]
fn changed_values_fail_no_request() {
    let address = installed();
    let space = Namespace::new("values");
    space.backend("shop", 2);
    space
        .route("shop", "    - {hosts: [values.example.com], path: /, backends: [{service: {name: shop, port: http}}]}");
    everywhere(&address, "http://values.example.com/", 200);
    let load = Load::start(&address, "values.example.com", "/");
    upgrade(&chart(), &["--set", "replicaCount=3", "--set", "logFormat=text"], 3);
    load.more(500);
    upgrade(&chart(), &[], 2);
    load.more(500);
    load.finish();
    concluded(&space.name, "shop", "True", "True", "True");
}

/// The pods of both revisions listen elsewhere, and the Service leads to each by the name of its port.
#[test]
fn a_listener_moves_to_another_port_and_no_request_fails() {
    let address = installed();
    let space = Namespace::new("listener");
    space.backend("shop", 2);
    space.route(
        "shop",
        "    - {hosts: [listener.example.com], path: /, backends: [{service: {name: shop, port: http}}]}",
    );
    everywhere(&address, "http://listener.example.com/", 200);
    let load = Load::start(&address, "listener.example.com", "/");
    let listeners = r#"config={"listeners": [{"name": "http", "port": 8080}]}"#;
    upgrade(&chart(), &["--set-json", listeners], 2);
    load.more(500);
    let pods = try_get(&["pods", "-n", NAMESPACE]).expect("pods");
    assert_eq!(pods["items"][0]["spec"]["containers"][0]["ports"][0]["containerPort"], 8080);
    upgrade(&chart(), &[], 2);
    load.more(500);
    load.finish();
}

#[test]
fn a_deployment_becomes_a_daemon_set_and_back() {
    let address = installed();
    let space = Namespace::new("daemon");
    space.backend("shop", 1);
    space
        .route("shop", "    - {hosts: [daemon.example.com], path: /, backends: [{service: {name: shop, port: http}}]}");
    release("upgrade", &chart(), &["--set", "kind=DaemonSet"]);
    kubectl(&["rollout", "status", "-n", NAMESPACE, "daemonset/sluice", "--timeout=120s"]);
    let nodes = try_get(&["nodes"]).expect("nodes")["items"].as_array().map_or(0, Vec::len);
    eventually("one pod on each node", 2 * SOON, || {
        let pods = pods()?;
        holds(pods.len() == nodes, || format!("{pods:?} on {nodes} nodes"))
    });
    everywhere(&address, "http://daemon.example.com/", 200);
    concluded(&space.name, "shop", "True", "True", "True");
    upgrade(&chart(), &[], 2);
    everywhere(&address, "http://daemon.example.com/", 200);
}

#[test]
fn a_definition_is_upgraded_with_objects_in_place() {
    let address = installed();
    let space = Namespace::new("definition");
    space.backend("shop", 2);
    let older = OlderChart::without("slowStart");
    upgrade(&older.path, &[], 2);
    space.route("shop", &plain("/"));
    let before = concluded(&space.name, "shop", "True", "True", "True");
    everywhere(&address, "http://definition.example.com/", 200);
    let newer = format!(
        "{{apiVersion: gateway.sluice.dev/v1alpha1, kind: GatewayRoute, metadata: {{name: newer, namespace: {}}}, \
         spec: {{upstreams: [{{service: {{name: shop, port: http}}, slowStart: {{window: 1s}}}}]}}}}",
        space.name
    );
    let complaint = try_apply(&newer).expect_err("the older definition does not know the field");
    assert!(complaint.contains("slowStart"), "{complaint}");

    let load = Load::start(&address, "definition.example.com", "/");
    upgrade(&chart(), &[], 2);
    eventually("the newer definition is in effect", SOON, || try_apply(&newer));
    concluded(&space.name, "newer", "True", "True", "True");
    load.more(500);
    load.finish();
    let after = concluded(&space.name, "shop", "True", "True", "True");
    assert_eq!(before["metadata"]["uid"], after["metadata"]["uid"], "it is the same object");
    assert_eq!(before["spec"], after["spec"]);
    // And it can be changed.
    space.route("shop", &plain("/other"));
    everywhere(&address, "http://definition.example.com/other", 200);
    assert_eq!(gateway_route(&space.name, "shop").expect("the object")["metadata"]["generation"], 2);
}

fn plain(path: &str) -> String {
    format!(
        "    - {{hosts: [definition.example.com], path: {path}, backends: [{{service: {{name: shop, port: http}}}}]}}"
    )
}

/// A copy of the chart whose definitions lack a field, as those of an earlier version would.
struct OlderChart {
    path: PathBuf,
}

impl OlderChart {
    fn without(field: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sluice-older-chart-{}", std::process::id()));
        copy(&chart(), &path);
        let definitions = path.join("files/crds");
        let mut removed = 0;
        for entry in fs::read_dir(&definitions).expect("the chart's definitions") {
            let file = entry.expect("a directory entry").path();
            let text = fs::read_to_string(&file).expect("text");
            let mut definition: Value = serde_yaml::from_str(&text).expect("YAML");
            removed += forget(&mut definition, field);
            fs::write(&file, serde_yaml::to_string(&definition).expect("YAML")).expect("written");
        }
        assert!(removed > 0, "no definition has the field {field}");
        Self { path }
    }
}

impl Drop for OlderChart {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Takes a property out of a schema, wherever it stands. Returns how often it did.
fn forget(value: &mut Value, field: &str) -> usize {
    match value {
        Value::Mapping(map) => {
            let properties = map.get_mut("properties").and_then(Value::as_mapping_mut);
            let found = properties.and_then(|properties| properties.remove(field)).is_some();
            usize::from(found) + map.iter_mut().map(|(_, below)| forget(below, field)).sum::<usize>()
        }
        Value::Sequence(list) => list.iter_mut().map(|below| forget(below, field)).sum(),
        _ => 0,
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let path = entry.expect("a directory entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).expect("copied");
        }
    }
}

/// What `tests/chart` renders, a real API server judges: unknown fields, wrong types, what validation says
/// about Services and pods. Nothing is stored.
#[test]
fn an_api_server_takes_every_set_of_values() {
    installed();
    // Their sets are for clusters with the Prometheus operator's kinds.
    let is_foreign = |path: &Path| path.to_string_lossy().contains("monitoring");
    let mut seen = 0;
    for entry in fs::read_dir(repository().join("charts/sluice/ci")).expect("sets of values") {
        let path = entry.expect("a directory entry").path();
        if is_foreign(&path) {
            continue;
        }
        let (chart, values) = (chart(), path.to_string_lossy());
        let template = [
            "template",
            "gate",
            &chart.to_string_lossy(),
            "-n",
            NAMESPACE,
            "--kube-version=1.29.0",
            "--values",
            &values,
        ];
        let objects = try_helm(&template).unwrap_or_else(|complaint| panic!("{values}: {complaint}"));
        let dry = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-f", "-"];
        let told = try_kubectl_with(&dry, &objects).unwrap_or_else(|complaint| panic!("{values}: {complaint}"));
        assert!(told.contains("serverside-applied (server dry run)"), "{values}: {told}");
        seen += 1;
    }
    assert!(seen >= 5, "{seen} sets of values");
}
