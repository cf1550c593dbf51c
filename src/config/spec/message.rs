//! Changes to messages as written: headers, another path or host, redirects, direct answers.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::config::schema;

/// Changes to headers, in the order remove, set, add. Those of all levels add up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeaderEditsSpec {
    /// These have this value and no other. Values may hold ${client.address}, ${request.host}, ${request.url}
    /// and ${request.id}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::named_values")]
    pub set: Option<BTreeMap<String, String>>,
    /// These have this value besides those they have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::named_values")]
    pub add: Option<BTreeMap<String, String>>,
    /// All values of these go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::header_names")]
    pub remove: Option<Vec<String>>,
}

/// Another path or host for servers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.prefix), has(self.path), has(self.regex)].filter(x, x).size() <= 1")
        .message("set only one of prefix, path, regex"),
    validation = Rule::new("has(self.regex) == has(self.replacement)").message("regex and replacement go together"),
    validation = Rule::new("!(has(self.host) && has(self.hostFrom))").message("set only one of host, hostFrom"),
)]
pub struct RewriteSpec {
    /// Instead of the prefix in `path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::path")]
    pub prefix: Option<String>,
    /// The whole path. $1 and ${name} are groups of `pathRegex`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::path_template")]
    pub path: Option<String>,
    /// A path that matches whole becomes `replacement`; another one stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::value_regex")]
    pub regex: Option<String>,
    /// With $1 and ${name}, the groups of `regex`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::path_template")]
    pub replacement: Option<String>,
    /// The host that servers see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::host")]
    pub host: Option<String>,
    /// Whose host servers see: client, or backend for that of its URL. Default client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_from: Option<HostFromSpec>,
}

/// Whose host servers see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum HostFromSpec {
    /// What the client asked for: applications make links of it.
    Client,
    /// The authority of the backend's URL.
    Backend,
}

/// An answer that sends the client elsewhere. What is not set stays as the client asked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.scheme) || has(self.host) || has(self.port) || has(self.path) || has(self.prefix)")
        .message("a redirect has to change something"),
    validation = Rule::new("!(has(self.path) && has(self.prefix))").message("set only one of path, prefix"),
)]
pub struct RedirectSpec {
    /// http or https.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<SchemeSpec>,
    /// Without port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::host")]
    pub host: Option<String>,
    /// Default: the usual one of another scheme or host, else the client's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// The whole path. $1 and ${name} are groups of `pathRegex`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::path_template")]
    pub path: Option<String>,
    /// Instead of the prefix in `path` of the rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::path")]
    pub prefix: Option<String>,
    /// keep or drop the client's query. Default keep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<RedirectQuerySpec>,
    /// 301, 302, 303, 307 or 308. Default 302, as browsers keep 301 for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::redirect_status")]
    pub status: Option<i32>,
}

/// The scheme of a redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum SchemeSpec {
    /// Cleartext.
    Http,
    /// TLS.
    Https,
}

/// What becomes of the client's query in a redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RedirectQuerySpec {
    /// It goes along.
    Keep,
    /// It goes.
    Drop,
}

/// A direct answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RespondSpec {
    /// 200 to 599. Default 200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 200, max = 599))]
    pub status: Option<i32>,
    /// At most 8 KiB. Default: empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8192))]
    pub body: Option<String>,
    /// Default text/plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub content_type: Option<String>,
    /// Headers of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::named_values")]
    pub headers: Option<BTreeMap<String, String>>,
}
