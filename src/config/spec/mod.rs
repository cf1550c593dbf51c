//! The configuration as it is written: one schema for the file and for objects.
//!
//! These types are what serde reads, what the CRD's schema is made from, and nothing else: texts are
//! still texts. `describe` turns them into the Gateway and says what is wrong with them. Every field
//! but a few is optional, and none has a schema default: a default frozen into objects would hide
//! later ones.
//!
//! The schema carries the reference's validation rules (CEL) with their messages; the same checks
//! exist once more in `describe`, since files never see an API server and an old CRD lets old
//! mistakes through.
//!
//! Here stand the two documents and how they name servers; `route`, `traffic`, `limit`, `message`, `upstream`,
//! `listener`, `cluster` and `operator` hold what they are made of.

mod cluster;
mod limit;
mod listener;
mod message;
mod operator;
mod route;
mod traffic;
mod upstream;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

pub use cluster::*;
pub use limit::*;
pub use listener::*;
pub use message::*;
pub use operator::*;
pub use route::*;
pub use traffic::*;
pub use upstream::*;

/// One share of a rule's requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.url), has(self.service), has(self.upstream)].exists_one(x, x)")
        .message("set exactly one of url, service, upstream"),
)]
pub struct BackendSpec {
    /// A server: http://host:port. In objects only hosts that the operator lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub url: Option<String>,
    /// A Service of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceSpec>,
    /// The name of an upstream of the same file or object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub upstream: Option<String>,
    /// Share of requests beside the other backends. Default 1; 0: nothing new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub weight: Option<i32>,
    /// Changes on the way to this backend only, after those of the rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_headers: Option<HeaderEditsSpec>,
    /// Changes on the way back from this backend only, before those of the rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_headers: Option<HeaderEditsSpec>,
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceSpec {
    /// The Service.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// The Service's port (not the targetPort), by name or number.
    pub port: IntOrString,
    /// Default: the namespace of the object. Another one needs a ReferenceGrant there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// endpoints: its pods are balanced here; clusterIP: by the cluster, for meshes. Default endpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<ViaSpec>,
}

/// Who balances the servers of a Service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ViaSpec {
    /// Sluice, which knows each of them.
    #[default]
    Endpoints,
    /// The cluster, behind one address: no balancing, health or stickiness here.
    #[serde(rename = "clusterIP")]
    ClusterIp,
}

/// The file (file only).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FileSpec {
    /// Where clients connect. Default: http on port 9000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listeners: Option<Vec<ListenerSpec>>,
    /// What is served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes: Option<Vec<RouteSpec>>,
    /// Named groups of servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstreams: Option<Vec<UpstreamSpec>>,
    /// Choices that routes and rules take over by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policies: Option<Vec<PolicySpec>>,
    /// What holds wherever nothing nearer is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defaults: Option<DefaultsSpec>,
    /// What operators see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observability: Option<ObservabilitySpec>,
    /// Where rate limits are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit_store: Option<RateLimitStoreSpec>,
    /// Whose hosts are whose, and which servers objects may name. Outside a cluster it has no effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterSpec>,
}

/// The spec of a `GatewayRoute`: the parts of the file that tenants may write.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.routes) || has(self.upstreams) || has(self.grants)")
        .message("an empty GatewayRoute does nothing: set routes, upstreams or grants"),
)]
pub struct ObjectSpec {
    /// Which instance of Sluice serves it. Unset: those that serve unclassed objects, as the one of class sluice does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub ingress_class_name: Option<String>,
    /// What is served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub routes: Option<Vec<RouteSpec>>,
    /// What is known about the servers of Services in the object's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub upstreams: Option<Vec<UpstreamSpec>>,
    /// What of its hosts it lets other namespaces have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub grants: Option<Vec<GrantSpec>>,
}
