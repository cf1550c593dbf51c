//! Groups of servers as written.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::ServiceSpec;
use crate::config::schema;

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
