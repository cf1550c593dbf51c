//! Choices about requests as written: the fields that routes, rules, policies and defaults share.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::config::schema;

/// What holds wherever nothing nearer is said (file only).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DefaultsSpec {
    /// For every rule.
    #[serde(flatten)]
    pub traffic: TrafficFields,
}

/// Choices with a name, which routes and rules take over by `use` (file only).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicySpec {
    /// What `use` calls it.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// What it says.
    #[serde(flatten)]
    pub traffic: TrafficFields,
}

/// Choices about requests: what defaults, policies, routes and rules have in common.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrafficFields {
    /// Bounds in time. Merged member by member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<TimeoutsSpec>,
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
