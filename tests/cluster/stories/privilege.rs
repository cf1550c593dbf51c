//! Least privilege: what Sluice's service account can do is what is written here, and nothing else.
//!
//! The API server is asked, as that account, for all that it may do. What any account may do is taken away
//! from the answer; the rest must be the list below, to the letter.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::command::{kubectl, try_kubectl, try_kubectl_with};
use crate::fixture::Namespace;
use crate::sluice::{NAMESPACE, chart, concluded, everywhere, installed, upgrade};

/// In every namespace, as by default all are watched. Group, kind, verb; no verb writes but the one for status.
const EVERYWHERE: &[&str] = &[
    // What is served.
    "gateway.sluice.dev/gatewayroutes list",
    "gateway.sluice.dev/gatewayroutes watch",
    // What its owners are told.
    "gateway.sluice.dev/gatewayroutes/status patch",
    // The policies that routes use, and what their owners are told.
    "gateway.sluice.dev/gatewaypolicies list",
    "gateway.sluice.dev/gatewaypolicies watch",
    "gateway.sluice.dev/gatewaypolicies/status patch",
    // Who may use Services of another namespace.
    "gateway.networking.k8s.io/referencegrants list",
    "gateway.networking.k8s.io/referencegrants watch",
    // What got worse.
    "events.k8s.io/events create",
    // Where its servers are.
    "/services list",
    "/services watch",
    "/endpoints list",
    "/endpoints watch",
    "discovery.k8s.io/endpointslices list",
    "discovery.k8s.io/endpointslices watch",
];

/// Of kinds without a namespace, where it may serve all namespaces.
const OF_THE_CLUSTER: &[&str] = &[
    // Whether its class is the default one.
    "networking.k8s.io/ingressclasses:sluice list",
    "networking.k8s.io/ingressclasses:sluice watch",
];

/// In its own namespace besides.
const AT_HOME: &[&str] = &[
    // Who writes status. By name, and it cannot be made or deleted.
    "coordination.k8s.io/leases:sluice-sluice get",
    "coordination.k8s.io/leases:sluice-sluice update",
    // Where clients reach it, for the status of routes.
    "/services:sluice get",
];

#[test]
fn sluice_can_do_nothing_that_it_does_not_need() {
    installed();
    let space = Namespace::new("privilege");
    assert_eq!(rights_beyond_any(&space.name), set(&[EVERYWHERE, OF_THE_CLUSTER]), "in a namespace of somebody else");
    assert_eq!(rights_beyond_any(NAMESPACE), set(&[EVERYWHERE, OF_THE_CLUSTER, AT_HOME]), "in its own namespace");
    // The list is one way to ask; each of these is another, and is what an intruder would try.
    for wish in [
        &["get", "secrets"][..],
        &["list", "secrets"],
        &["get", "configmaps", "-n", "kube-system"],
        &["create", "pods"],
        &["create", "pods/exec"],
        &["update", "gatewayroutes"],
        &["create", "leases", "-n", NAMESPACE],
        &["get", "nodes"],
        &["create", "serviceaccounts/token"],
        &["impersonate", "users"],
    ] {
        let account = format!("--as={}", account("sluice", NAMESPACE));
        let answer = try_kubectl(&[&["auth", "can-i"], wish, &[&account]].concat());
        assert!(answer.is_err_and(|said| said.contains(": no")), "{wish:?}");
    }
    // What people may do comes with the chart as well: who can edit a namespace can edit its routes.
    let binding = ["create", "rolebinding", "author", "-n", &space.name, "--clusterrole=edit", "--user=author"];
    kubectl(&binding);
    let as_author = ["--as=author", "-n", &space.name];
    kubectl(&[&["auth", "can-i", "create", "gatewayroutes"][..], &as_author].concat());
    let status =
        try_kubectl(&[&["auth", "can-i", "update", "gatewayroutes", "--subresource=status"][..], &as_author].concat());
    assert!(status.is_err(), "status is Sluice's word: {status:?}");
}

#[test]
fn rights_in_some_namespaces_are_enough_for_these() {
    let address = installed();
    let (inside, outside) = (Namespace::new("inside"), Namespace::new("outside"));
    for (space, host) in [(&inside, "inside.example.com"), (&outside, "outside.example.com")] {
        space.backend("shop", 1);
        let backend = "{service: {name: shop, port: http}}";
        space.route("shop", &format!("    - {{hosts: [{host}], path: /, backends: [{backend}]}}"));
    }
    everywhere(&address, "http://outside.example.com/", 200);
    upgrade(&chart(), &["--set", &format!("watchNamespaces={{{}}}", inside.name)], 2);
    everywhere(&address, "http://inside.example.com/", 200);
    everywhere(&address, "http://outside.example.com/", 404);
    inside.route("more", "    - {hosts: [more.example.com], respond: {status: 200, body: more}}");
    concluded(&inside.name, "more", "True", "True", "True");
    assert_eq!(rights_beyond_any(&inside.name), set(&[EVERYWHERE]), "in the one that it watches");
    assert_eq!(rights_beyond_any(&outside.name), set(&[]), "in another");
    upgrade(&chart(), &[], 2);
    everywhere(&address, "http://outside.example.com/", 200);
}

fn set(lists: &[&[&str]]) -> BTreeSet<String> {
    lists.iter().flat_map(|list| list.iter()).map(|right| (*right).to_owned()).collect()
}

/// What Sluice's account may do in a namespace, and an account without any binding may not.
fn rights_beyond_any(namespace: &str) -> BTreeSet<String> {
    let any = rights(&account("nobody", NAMESPACE), namespace);
    rights(&account("sluice", NAMESPACE), namespace).difference(&any).cloned().collect()
}

fn account(name: &str, namespace: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}

fn rights(account: &str, namespace: &str) -> BTreeSet<String> {
    let question = format!(
        "{{apiVersion: authorization.k8s.io/v1, kind: SelfSubjectRulesReview, spec: {{namespace: {namespace}}}}}"
    );
    let groups = ["--as-group=system:serviceaccounts", "--as-group=system:authenticated"];
    let arguments =
        ["create", "--validate=ignore", "-o", "json", "-f", "-", &format!("--as={account}"), groups[0], groups[1]];
    let answer = try_kubectl_with(&arguments, &question).unwrap_or_else(|complaint| panic!("{complaint}"));
    let review: Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(review["status"]["incomplete"], false, "{review}");
    let rules = review["status"]["resourceRules"].as_array().cloned().unwrap_or_default();
    rules.iter().flat_map(flat).collect()
}

/// `group/kind verb`, or `group/kind:name verb`, for each combination of one rule.
fn flat(rule: &Value) -> Vec<String> {
    let list = |name: &str| -> Vec<String> {
        let values = rule[name].as_array().cloned().unwrap_or_default();
        values.iter().map(|value| value.as_str().unwrap_or_default().to_owned()).collect()
    };
    let names = match list("resourceNames") {
        names if names.is_empty() => vec![String::new()],
        names => names.into_iter().map(|name| format!(":{name}")).collect(),
    };
    let mut found = Vec::new();
    for group in list("apiGroups") {
        for kind in list("resources") {
            for name in &names {
                found.extend(list("verbs").iter().map(|verb| format!("{group}/{kind}{name} {verb}")));
            }
        }
    }
    found
}
