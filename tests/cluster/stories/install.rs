//! The first and the last hour: install by Helm, try the examples, uninstall.

use std::collections::BTreeSet;
use std::fs;

use serde::Deserialize;
use serde_yaml::{Deserializer, Value};

use crate::command::{apply, helm, kubectl, repository, try_kubectl};
use crate::sluice::{NAMESPACE, answers, concluded, install, installed, namespace, uninstall};
use crate::wait::{SOON, eventually, holds};

#[test]
fn helm_installs_a_sluice_that_answers() {
    uninstall();
    install();
    let address = installed();
    // Nobody has asked for this host: Sluice itself answers, and says that there is nothing.
    answers(&address, "http://nobody.example.com/", &[], 404);
    let pods = kubectl(&["get", "pods", "-n", NAMESPACE]);
    assert!(pods.matches("1/1").count() == 2, "two replicas are ready: {pods}");
}

#[test]
fn helm_uninstalls_everything_but_the_definitions() {
    uninstall();
    namespace();
    let before = everything();
    install();
    installed();
    assert!(everything().len() > before.len(), "the listing sees what Helm installs");
    helm(&["uninstall", "sluice", "-n", NAMESPACE]);
    eventually("nothing but definitions", 2 * SOON, || {
        let left: Vec<_> = everything().difference(&before).cloned().collect();
        holds(left.is_empty(), || format!("left: {left:?}"))
    });
    let definition = "customresourcedefinition/gatewayroutes.gateway.sluice.dev";
    kubectl(&["get", definition]);
}

/// Everything in Sluice's namespace, and everything else in the cluster that bears its name: of
/// any kind, so that a kind added to the chart is not forgotten here. Events only tell what was.
fn everything() -> BTreeSet<String> {
    let kinds = kubectl(&["api-resources", "--verbs=list", "-o", "name"]);
    let of_interest = |kind: &&str| !kind.starts_with("events") && !kind.ends_with("metrics.k8s.io");
    let kinds: Vec<_> = kinds.lines().filter(of_interest).collect();
    let listed = kubectl(&[
        "get",
        &kinds.join(","),
        "--all-namespaces",
        "--ignore-not-found",
        "-o",
        "go-template={{range .items}}{{.kind}} {{.metadata.namespace}}/{{.metadata.name}}\n{{end}}",
    ]);
    let ours = |line: &&str| line.contains("sluice") && !line.starts_with("CustomResourceDefinition");
    listed.lines().filter(ours).map(str::to_owned).collect()
}

#[test]
fn every_example_is_accepted() {
    installed();
    let examples = repository().join("manifests/examples");
    let files = fs::read_dir(&examples).unwrap_or_else(|error| panic!("{}: {error}", examples.display()));
    let mut seen = 0;
    for file in files {
        let path = file.expect("a directory entry").path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            try_example(&fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())));
            seen += 1;
        }
    }
    assert!(seen > 0, "no examples in {}", examples.display());
}

/// Applies one file, sees all its routes accepted, and takes it away again.
fn try_example(text: &str) {
    let objects: Vec<Value> = Deserializer::from_str(text)
        .map(|object| Value::deserialize(object).expect("YAML"))
        .filter(|object| !object.is_null())
        .collect();
    let text_of = |object: &Value, name: &str| object["metadata"][name].as_str().unwrap_or("default").to_owned();
    let made: Vec<_> = objects
        .iter()
        .map(|object| text_of(object, "namespace"))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .filter(|namespace| try_kubectl(&["create", "namespace", namespace]).is_ok())
        .collect();
    apply(text);
    for object in objects.iter().filter(|object| object["kind"] == "GatewayRoute") {
        let (namespace, name) = (text_of(object, "namespace"), text_of(object, "name"));
        // What an example refers to need not be in this cluster; that it is understood must be true.
        eventually(&format!("{namespace}/{name} accepted"), SOON, || {
            let wait =
                ["wait", "-n", &namespace, &format!("gatewayroute/{name}"), "--for=condition=Accepted", "--timeout=1s"];
            try_kubectl(&wait)
        });
        kubectl(&["delete", "gatewayroute", &name, "-n", &namespace]);
    }
    for namespace in made {
        kubectl(&["delete", "namespace", &namespace, "--wait=false"]);
    }
}

#[test]
fn a_route_outlives_a_reinstallation() {
    let address = installed();
    let space = crate::fixture::Namespace::new("reinstall");
    space.backend("shop", 1);
    space.route(
        "shop",
        "    - {hosts: [reinstall.example.com], path: /, backends: [{service: {name: shop, port: http}}]}",
    );
    answers(&address, "http://reinstall.example.com/", &[], 200);
    uninstall();
    let address = {
        install();
        installed()
    };
    answers(&address, "http://reinstall.example.com/", &[], 200);
    concluded(&space.name, "shop", "True", "True", "True");
}
