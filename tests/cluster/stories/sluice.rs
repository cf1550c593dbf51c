//! Sluice in the cluster: installed by its chart, found by its Service, asked through its objects.

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
    let chart = repository().join("charts/sluice");
    let image = std::env::var("SLUICE_IMAGE").unwrap_or_else(|_| "sluice.test/sluice:test".to_owned());
    let (name, tag) = image.rsplit_once(':').expect("SLUICE_IMAGE is REPOSITORY:TAG");
    namespace();
    helm(&[
        "install",
        "sluice",
        &chart.to_string_lossy(),
        "-n",
        NAMESPACE,
        "--set",
        &format!("image.repository={name}"),
        "--set-string",
        &format!("image.tag={tag}"),
    ]);
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
