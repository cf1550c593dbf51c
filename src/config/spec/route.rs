//! Routes and rules as written: what a request must look like, where it goes.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{BackendSpec, RedirectSpec, RespondSpec, TrafficFields};
use crate::config::schema;

/// A route: hosts with rules, or in short form a rule itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.rules), has(self.backends), has(self.redirect), has(self.respond)].exists_one(x, x)")
        .message("set exactly one of backends, redirect, respond, rules"),
    validation = Rule::new("!has(self.rules) || [has(self.path), has(self.exactPath), has(self.pathRegex), has(self.methods), has(self.headers), has(self.query), has(self.cookies), has(self.conditions), has(self.priority)].all(x, !x)")
        .message("with rules, what a request must look like is said in each rule"),
    validation = Rule::new("[has(self.path), has(self.exactPath), has(self.pathRegex)].filter(x, x).size() <= 1")
        .message("set only one of path, exactPath, pathRegex"),
    validation = Rule::new("!(has(self.rewrite) && has(self.rewrite.prefix)) || has(self.path) || has(self.rules)")
        .message("rewrite.prefix replaces the prefix in path, so path has to be set"),
    validation = Rule::new("!(has(self.redirect) && has(self.redirect.prefix)) || has(self.path)")
        .message("redirect.prefix replaces the prefix in path, so path has to be set"),
)]
pub struct RouteSpec {
    /// Who answers for it: exact hosts, or *.example.com for one or more labels. No port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::hosts")]
    pub hosts: Option<Vec<String>>,
    /// Names of the listeners it is served on. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::listener_names")]
    pub listeners: Option<Vec<String>>,
    /// What is served for these hosts. Settings of the route are inherited by its rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub rules: Option<Vec<RuleSpec>>,
    /// A route without `rules` is a rule itself.
    #[serde(flatten)]
    pub rule: RuleFields,
    /// Choices about its requests; its rules inherit them.
    // Beside `rule` and not inside it: serde reads a flattened struct within another by copying.
    #[serde(flatten)]
    pub traffic: TrafficFields,
}

/// A rule: what a request must look like, and what is done with it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.backends), has(self.redirect), has(self.respond)].exists_one(x, x)")
        .message("set exactly one of backends, redirect, respond"),
    validation = Rule::new("[has(self.path), has(self.exactPath), has(self.pathRegex)].filter(x, x).size() <= 1")
        .message("set only one of path, exactPath, pathRegex"),
    validation = Rule::new("!(has(self.rewrite) && has(self.rewrite.prefix)) || has(self.path)")
        .message("rewrite.prefix replaces the prefix in path, so path has to be set"),
    validation = Rule::new("!(has(self.redirect) && has(self.redirect.prefix)) || has(self.path)")
        .message("redirect.prefix replaces the prefix in path, so path has to be set"),
)]
pub struct RuleSpec {
    /// The fields that a rule shares with a route in short form.
    #[serde(flatten)]
    pub rule: RuleFields,
    /// Choices about its requests.
    #[serde(flatten)]
    pub traffic: TrafficFields,
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
    /// The whole path matches; groups are $1 and ${name} in rewrite and redirect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::path_regex")]
    pub path_regex: Option<String>,
    /// Default: all methods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::methods")]
    pub methods: Option<Vec<String>>,
    /// Headers that must have these values. A condition: to change headers is another thing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::headers")]
    pub headers: Option<BTreeMap<String, String>>,
    /// Query parameters that must have these values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::named_values")]
    pub query: Option<BTreeMap<String, String>>,
    /// Cookies that must have these values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::named_values")]
    pub cookies: Option<BTreeMap<String, String>>,
    /// Further conditions; all must hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub conditions: Option<Vec<ConditionSpec>>,
    /// First key of precedence: higher is asked first. Default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1000, max = 1000))]
    pub priority: Option<i32>,
    /// Policies whose settings are taken over; later ones win. Replaces that of the route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::policy_names")]
    pub r#use: Option<Vec<String>>,
    /// Send on to these servers, by weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::backends")]
    pub backends: Option<Vec<BackendSpec>>,
    /// Send the client elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect: Option<RedirectSpec>,
    /// Answer directly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub respond: Option<RespondSpec>,
}

/// Something that must hold of a header, query parameter, cookie or of the client's address.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.header), has(self.query), has(self.cookie), has(self.clientAddress)].exists_one(x, x)")
        .message("a condition looks at exactly one of header, query, cookie, clientAddress"),
    validation = Rule::new("has(self.clientAddress) ? !(has(self.anyOf) || has(self.noneOf) || has(self.prefix) || has(self.regex) || has(self.present)) : [has(self.anyOf), has(self.noneOf), has(self.prefix), has(self.regex), has(self.present)].exists_one(x, x)")
        .message("a condition needs exactly one of anyOf, noneOf, prefix, regex, present"),
)]
pub struct ConditionSpec {
    /// The name of a header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub header: Option<String>,
    /// The name of a query parameter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub query: Option<String>,
    /// The name of a cookie.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub cookie: Option<String>,
    /// The client's address is in one of these ranges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::some_ranges")]
    pub client_address: Option<Vec<String>>,
    /// Some value is one of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::values")]
    pub any_of: Option<Vec<String>>,
    /// No value is one of these; holds also where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::values")]
    pub none_of: Option<Vec<String>>,
    /// Some value begins so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub prefix: Option<String>,
    /// Some value matches whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::value_regex")]
    pub regex: Option<String>,
    /// Whether there is a value at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub present: Option<bool>,
}
