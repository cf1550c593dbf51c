//! What a story puts into the cluster: a namespace of its own, backends, routes.

use crate::command::{apply, kubectl, try_get, try_kubectl};
use crate::wait::{SOON, eventually, holds};

/// A namespace that goes away with the story, and everything in it. A story that fails leaves it, so
/// that one can see why; the next run of that story clears it away.
pub struct Namespace {
    pub name: String,
}

impl Namespace {
    /// Waits for the end of an earlier namespace of that name.
    pub fn new(story: &str) -> Self {
        let name = format!("story-{story}");
        kubectl(&["delete", "namespace", &name, "--ignore-not-found", "--timeout=120s"]);
        kubectl(&["create", "namespace", &name]);
        Self { name }
    }

    /// A Deployment and a Service of that name; the port is 80, called `http`. Returns when the
    /// pods are ready.
    pub fn backend(&self, name: &str, replicas: u32) {
        apply(&self.backend_objects(name, replicas));
        self.rolled_out(name);
    }

    fn backend_objects(&self, name: &str, replicas: u32) -> String {
        let namespace = &self.name;
        let image = image();
        format!(
            r#"
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  replicas: {replicas}
  strategy: {{rollingUpdate: {{maxSurge: 1, maxUnavailable: 0}}}}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 20
      containers:
        - name: backend
          image: {image}
          imagePullPolicy: IfNotPresent
          env: [{{name: VERSION, value: {name}}}]
          ports: [{{name: web, containerPort: 8080}}]
          readinessProbe: {{httpGet: {{path: /ready, port: web}}, periodSeconds: 1}}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  selector: {{app: {name}}}
  ports: [{{name: http, port: 80, targetPort: web}}]
"#
        )
    }

    /// A Service that selects nothing.
    pub fn empty_service(&self, name: &str) {
        let namespace = &self.name;
        apply(&format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: {name}, namespace: {namespace}}}, \
             spec: {{selector: {{app: nothing}}, ports: [{{name: http, port: 80}}]}}}}"
        ));
    }

    /// A GatewayRoute; `routes` is the YAML below `spec.routes`, as a list in any indentation.
    pub fn route(&self, name: &str, routes: &str) {
        let namespace = &self.name;
        apply(&format!(
            "apiVersion: gateway.sluice.dev/v1alpha1\nkind: GatewayRoute\n\
             metadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  routes:\n{routes}\n"
        ));
    }

    pub fn rolled_out(&self, deployment: &str) {
        kubectl(&["rollout", "status", "-n", &self.name, &format!("deployment/{deployment}"), "--timeout=120s"]);
    }

    pub fn scale(&self, deployment: &str, replicas: u32) {
        let replicas = format!("--replicas={replicas}");
        kubectl(&["scale", "-n", &self.name, &format!("deployment/{deployment}"), &replicas]);
        self.rolled_out(deployment);
    }

    /// Names of a deployment's pods that are not on their way out.
    pub fn pods(&self, deployment: &str) -> Result<Vec<String>, String> {
        let list = try_get(&["pods", "-n", &self.name, "-l", &format!("app={deployment}")])?;
        let pods = list["items"].as_array().ok_or("no list")?;
        let staying = pods.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        Ok(staying.filter_map(|pod| Some(pod["metadata"]["name"].as_str()?.to_owned())).collect())
    }

    /// Waits until the pods that were told to end have ended.
    pub fn settled(&self, deployment: &str, replicas: usize) {
        eventually("the old pods' end", SOON, || {
            let list = try_get(&["pods", "-n", &self.name, "-l", &format!("app={deployment}")])?;
            let number = list["items"].as_array().map_or(0, Vec::len);
            holds(number == replicas, || format!("{number} pods, not {replicas}"))
        });
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        // Not waited for: the next story has a namespace of its own.
        let _ = try_kubectl(&["delete", "namespace", &self.name, "--wait=false"]);
    }
}

fn image() -> String {
    std::env::var("SLUICE_BACKEND_IMAGE").unwrap_or_else(|_| "sluice.test/backend:1".to_owned())
}
