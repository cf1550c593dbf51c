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

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::schema;

/// A route: hosts with rules, or in short form a rule itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.rules), has(self.backends)].exists_one(x, x)")
        .message("set exactly one of backends, rules"),
    validation = Rule::new("!has(self.rules) || [has(self.path), has(self.exactPath), has(self.methods), has(self.headers)].all(x, !x)")
        .message("with rules, what a request must look like is said in each rule"),
    validation = Rule::new("[has(self.path), has(self.exactPath)].filter(x, x).size() <= 1")
        .message("set only one of path, exactPath"),
)]
pub struct RouteSpec {
    /// Who answers for it: exact hosts, or *.example.com for one or more labels. No port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::hosts")]
    pub hosts: Option<Vec<String>>,
    /// What is served for these hosts. Settings of the route are inherited by its rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub rules: Option<Vec<RuleSpec>>,
    /// A route without `rules` is a rule itself.
    #[serde(flatten)]
    pub rule: RuleFields,
}

/// A rule: what a request must look like, and what is done with it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.backends)").message("set exactly one of backends"),
    validation = Rule::new("[has(self.path), has(self.exactPath)].filter(x, x).size() <= 1")
        .message("set only one of path, exactPath"),
)]
pub struct RuleSpec {
    /// The fields that a rule shares with a route in short form.
    #[serde(flatten)]
    pub rule: RuleFields,
}

/// What routes and rules have in common.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuleFields {
    /// The name in labels, logs and status; keeps the identity when the match changes.
    /// Default: host and path as written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub name: Option<String>,
    /// Prefix by whole segments: /api covers /api and /api/x, not /apis. Default: /
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::path")]
    pub path: Option<String>,
    /// This path alone: /a is not /a/
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::path")]
    pub exact_path: Option<String>,
    /// Default: all methods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::methods")]
    pub methods: Option<Vec<String>>,
    /// Headers that must have these values. A condition: to change headers is another thing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::headers")]
    pub headers: Option<BTreeMap<String, String>>,
    /// Send on to these servers, by weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::backends")]
    pub backends: Option<Vec<BackendSpec>>,
    /// Bounds in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<TimeoutsSpec>,
}

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
}

/// Bounds in time. 0s: no bound.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TimeoutsSpec {
    /// First byte in to last byte out, retries included: 504. Default 0s, as a total breaks downloads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub request: Option<String>,
    /// No byte either way: 504, or reset once the response began. Default 60s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub idle: Option<String>,
}

/// What is known about servers: in a file a named group of endpoints, in an object a Service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.service), has(self.endpoints)].exists_one(x, x) && has(self.service) != has(self.name)")
        .message("set exactly one of service, endpoints; an upstream is named by its service or by name, not by both"),
)]
pub struct UpstreamSpec {
    /// What backends call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub name: Option<String>,
    /// Its servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub endpoints: Option<Vec<EndpointSpec>>,
    /// A Service of the object's namespace, whose servers these settings are about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceSpec>,
    /// How long one connection may take to be made; then another endpoint is tried. Default 2s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub connect_timeout: Option<String>,
    /// Connections kept between requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolSpec>,
}

/// Connections kept between requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolSpec {
    /// How long an unused connection is kept. Default 4s: below the 5s at which common servers close.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub idle_timeout: Option<String>,
    /// Unused connections kept for each endpoint and worker. Default 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000))]
    pub max_idle: Option<i32>,
}

/// One server address.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointSpec {
    /// http://host:port
    #[schemars(length(max = 512))]
    pub url: String,
    /// Share of requests beside the other endpoints. Default 1; 0: nothing new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub weight: Option<i32>,
}

/// Where clients connect (file only).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListenerSpec {
    /// Default: protocol-port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub name: Option<String>,
    /// A local address. Default: all, in both families.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub address: Option<String>,
    /// TCP port.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// http
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<ProtocolSpec>,
}

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ProtocolSpec {
    /// Cleartext HTTP/1.1.
    Http,
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
    /// What operators see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observability: Option<ObservabilitySpec>,
}

/// What operators see (file only).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObservabilitySpec {
    /// One line for each request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_log: Option<AccessLogSpec>,
}

/// One line for each request (file only).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccessLogSpec {
    /// json or none. Default json.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<AccessLogFormat>,
}

/// How a request is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum AccessLogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// Nothing.
    None,
}

/// The spec of a `GatewayRoute`: the parts of the file that tenants may write.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.routes) || has(self.upstreams)")
        .message("an empty GatewayRoute does nothing: set routes or upstreams"),
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
}
