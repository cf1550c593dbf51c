//! Who may use what in a cluster, as written: what the operator says about objects, and owners of hosts about others.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::TrafficFields;
use crate::config::schema;

/// Who may use which hosts, and which servers objects may name (file only; outside a cluster it has no effect).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterSpec {
    /// namespace, open or granted. Default namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_ownership: Option<HostOwnership>,
    /// Hosts that belong to these namespaces, however old the objects are that name them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_grants: Option<Vec<HostGrantSpec>>,
    /// Namespaces whose routes may answer for any host that nobody named; * for all. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::namespaces_or_none")]
    pub catch_all: Option<Vec<String>>,
    /// Hosts outside the cluster that objects may send to: names, *.example.com, or addresses. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::external_hosts")]
    pub external_hosts: Option<Vec<String>>,
    /// Where objects may never send, whatever a name resolves to. Default: loopback and link-local addresses, the own
    /// pods and the API server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::cidrs")]
    pub deny_addresses: Option<Vec<String>>,
    /// What statuses say that clients connect to. Default: the addresses of the own Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::public_addresses")]
    pub addresses: Option<Vec<String>>,
}

/// Who owns a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum HostOwnership {
    /// The namespace of the oldest object that names it.
    #[default]
    Namespace,
    /// Everybody.
    Open,
    /// Only the namespaces of hostGrants.
    Granted,
}

/// Hosts with the namespaces that they belong to (file only).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostGrantSpec {
    /// Exact hosts, or *.example.com for itself and all names below. Of several entries the most specific counts.
    #[schemars(schema_with = "schema::some_hosts")]
    pub hosts: Vec<String>,
    /// Their namespaces; * for all.
    #[schemars(schema_with = "schema::namespaces")]
    pub namespaces: Vec<String>,
}

/// A subtree of hosts that their owner lets other namespaces have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GrantSpec {
    /// Exactly these hosts. Default: those of the object's routes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::hosts")]
    pub hosts: Option<Vec<String>>,
    /// This path and all below it, by whole segments. Default: /
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::path")]
    pub path: Option<String>,
    /// Who may serve there; * for all namespaces.
    #[schemars(schema_with = "schema::namespaces")]
    pub namespaces: Vec<String>,
}

/// The spec of a `GatewayPolicy`: choices that routes and rules take over by `use`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObjectPolicySpec {
    /// Namespaces whose objects may use it; * for all. Default: only its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::namespaces_or_none")]
    pub allowed_namespaces: Option<Vec<String>>,
    /// What it says.
    #[serde(flatten)]
    pub traffic: TrafficFields,
}
