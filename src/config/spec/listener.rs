//! Where clients connect, as written.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::config::schema;

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
    #[schemars(schema_with = "schema::port")]
    pub port: i32,
    /// http
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<ProtocolSpec>,
    /// Who the client is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_address: Option<ClientAddressSpec>,
    /// How paths are read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paths: Option<PathsSpec>,
    /// What clients may cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<ListenerLimitsSpec>,
    /// Whose objects may be served here. Default: everybody's. Outside a cluster it has no effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::namespaces_or_none")]
    pub namespaces: Option<Vec<String>>,
}

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ProtocolSpec {
    /// Cleartext HTTP/1.1.
    Http,
}

/// Who the client is: the peer, or whom a trusted peer names (file only).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientAddressSpec {
    /// Whose header is believed, walked from the right to the first address not in here. Default: nobody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::cidrs")]
    pub trust: Option<Vec<String>>,
    /// Default X-Forwarded-For.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub header: Option<String>,
}

/// How paths are read (file only).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PathsSpec {
    /// merge: // is /. Default merge, as //admin must not pass by /admin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slashes: Option<SlashesSpec>,
    /// keep: %2F stays and never separates; reject: 400. Default keep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoded_slash: Option<EncodedSlashSpec>,
}

/// What becomes of //.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum SlashesSpec {
    /// It is /.
    #[default]
    Merge,
    /// It stays.
    Keep,
}

/// What becomes of %2F.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum EncodedSlashSpec {
    /// It stays, and never separates.
    #[default]
    Keep,
    /// 400
    Reject,
}

/// What clients of a listener may cost (file only).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListenerLimitsSpec {
    /// A request head, 1KiB to 1MiB. Default 64KiB; over it 431.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::size")]
    pub head: Option<String>,
    /// Header lines. Default 100; over it 431.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub headers: Option<i32>,
    /// A request's target, 128B to 64KiB. Default 8KiB; over it 414.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::size")]
    pub uri: Option<String>,
    /// For a whole head. Default 10s; over it 408.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub head_time: Option<String>,
    /// Between reads of a body. Default 30s; over it 408.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub body_idle: Option<String>,
    /// Between writes. Default 30s; over it the connection is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub write_idle: Option<String>,
    /// Of an idle connection. Default 75s: above the usual 60s of load balancers, so that they close first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub keep_alive: Option<String>,
    /// A request body; rules may only go below. Default unlimited, as bodies are streamed; over it 413.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::size")]
    pub request_body: Option<String>,
    /// Connections of this listener. Default: 90 % of the descriptors; over it accepting pauses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub connections: Option<i32>,
    /// Connections of one client address. Default: any; over it they are closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub connections_per_client: Option<i32>,
    /// How old a connection may become, give or take a tenth. Default 1h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub connection_age: Option<String>,
    /// Requests on one connection. Default 0: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub requests_per_connection: Option<i32>,
}
