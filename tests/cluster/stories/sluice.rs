//! Sluice in the cluster: installed by its chart, found by its Service, asked through its objects.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::command::{Reply, curl, helm, kubectl, repository, try_get, try_helm, try_kubectl};
use crate::wait::{SOON, eventually, holds};

/// Where the stories install it.
pub const NAMESPACE: &str = "sluice-system";

/// Installs Sluice unless it is there, and waits until it serves. Returns where it is reached.
pub fn installed() -> String {
    if try_helm(&["status", "sluice", "-n", NAMESPACE]).is_err() {
        install();
    }
    kubectl(&["rollout", "status", "-n", NAMESPACE, "deployment/sluice", "--timeout=120s"]);
    address()
}

/// `helm install` as the README has it. The namespace admits only pods under the restricted
/// standard, so that the chart is held to it.
pub fn install() {
    namespace();
    release("install", &chart(), &[]);
}

/// `helm upgrade` to this chart with these settings and no others. Returns when so many replicas run and
/// the old ones have finished their drain.
pub fn upgrade(chart: &Path, settings: &[&str], replicas: usize) {
    let before = pods().expect("pods");
    release("upgrade", chart, settings);
    kubectl(&["rollout", "status", "-n", NAMESPACE, "deployment/sluice", "--timeout=170s"]);
    eventually("the old replicas' end", 2 * SOON, || {
        let pods = pods()?;
        holds(pods.len() == replicas, || format!("{before:?} became {pods:?}, not {replicas}"))
    });
}

/// `helm install` or `helm upgrade`, not waited for.
pub fn release(verb: &str, chart: &Path, settings: &[&str]) {
    let image = std::env::var("SLUICE_IMAGE").unwrap_or_else(|_| "sluice.test/sluice:test".to_owned());
    let (name, tag) = image.rsplit_once(':').expect("SLUICE_IMAGE is REPOSITORY:TAG");
    let (name, tag) = (format!("image.repository={name}"), format!("image.tag={tag}"));
    let chart = chart.to_string_lossy();
    let fixed = [verb, "sluice", &chart, "-n", NAMESPACE, "--set", &name, "--set-string", &tag];
    helm(&[&fixed[..], settings].concat());
}

pub fn chart() -> PathBuf {
    repository().join("charts/sluice")
}

/// The names of Sluice's own pods, those on their way out among them.
pub fn pods() -> Result<Vec<String>, String> {
    let list = try_get(&["pods", "-n", NAMESPACE])?;
    let pods = list["items"].as_array().ok_or("no list")?;
    Ok(pods.iter().filter_map(|pod| Some(pod["metadata"]["name"].as_str()?.to_owned())).collect())
}

/// Away with it and its namespace, so that what follows begins with a cluster that never knew it.
pub fn uninstall() {
    if try_helm(&["status", "sluice", "-n", NAMESPACE]).is_ok() {
        helm(&["uninstall", "sluice", "-n", NAMESPACE]);
    }
    kubectl(&["delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=120s"]);
}

pub fn namespace() {
    if try_kubectl(&["get", "namespace", NAMESPACE]).is_err() {
        kubectl(&["create", "namespace", NAMESPACE]);
        kubectl(&["label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted"]);
    }
}

fn address() -> String {
    if let Ok(address) = std::env::var("SLUICE_ADDRESS") {
        return address;
    }
    let service = try_get(&["service", "sluice", "-n", NAMESPACE]).expect("the Service of the chart");
    let ip = service["spec"]["clusterIP"].as_str().expect("a ClusterIP");
    format!("{ip}:80")
}

/// Asks until the status is `status`, and returns that reply. Another answer on the way is fine:
/// the change is under way.
pub fn answers(address: &str, url: &str, arguments: &[&str], status: u16) -> Reply {
    eventually(&format!("{status} for {url}"), SOON, || {
        let reply = curl(address, url, arguments)?;
        if reply.status == status { Ok(reply) } else { Err(format!("{reply:?}")) }
    })
}

/// Waits until twenty new connections in a row are answered so. Each goes to any of the replicas, and
/// a replica may be some milliseconds behind the one whose word the status is.
pub fn everywhere(address: &str, url: &str, status: u16) {
    eventually(&format!("{status} for {url} from every replica"), SOON, || {
        for _ in 0..20 {
            let reply = curl(address, url, &[])?;
            holds(reply.status == status, || format!("{reply:?}"))?;
        }
        Ok(())
    });
}

/// Asks once: what is decided already must not change on the next request.
pub fn ask(address: &str, url: &str, arguments: &[&str]) -> Reply {
    curl(address, url, arguments).expect("an answer")
}

pub fn gateway_route(namespace: &str, name: &str) -> Result<Value, String> {
    try_get(&["gatewayroute", name, "-n", namespace])
}

/// Waits until the three conditions say so about the newest generation, and returns the object.
pub fn concluded(namespace: &str, name: &str, accepted: &str, resolved: &str, serving: &str) -> Value {
    eventually(&format!("the conditions of {name}"), SOON, || {
        let object = gateway_route(namespace, name)?;
        let generation = &object["metadata"]["generation"];
        for (kind, wanted) in [("Accepted", accepted), ("ResolvedRefs", resolved), ("Serving", serving)] {
            let found = condition(&object, kind);
            let right = found["status"] == wanted && found["observedGeneration"] == *generation;
            holds(right, || format!("{kind} is not {wanted} for {generation}: {}", object["status"]))?;
        }
        let observed = &object["status"]["observedGeneration"];
        holds(observed == generation, || format!("observed {observed} of {generation}"))?;
        Ok(object)
    })
}

/// One condition of an object, or `Null`.
pub fn condition(object: &Value, kind: &str) -> Value {
    let conditions = object["status"]["conditions"].as_array();
    let found = conditions.and_then(|all| all.iter().find(|condition| condition["type"] == kind));
    found.cloned().unwrap_or_default()
}
