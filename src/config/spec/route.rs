//! Routes and rules as written: what a request must look like, where it goes.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{BackendSpec, TimeoutsSpec};
use crate::config::schema;

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
