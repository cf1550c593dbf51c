//! What the operator says about the objects of a cluster: whose hosts are whose, which servers they may name.
//!
//! Plain data, described from the file's block `cluster`. A file outside a cluster may have the block: there are no
//! objects there, so it has no effect, and one file serves for both.
//!
//! `hostGrants` pins hosts. An entry covers its hosts, and one with a wildcard all names below it as well, since an
//! operator who pins `*.example.com` means whatever may be there. Of several entries that cover a host the most
//! specific counts alone (exact before wildcard, the longer wildcard before the shorter), as with the hosts of routes:
//! so `*.example.com` for the platform and `shop.example.com` for the shop read as they are meant. Equal entries are
//! put together.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::cidr::Cidr;
use super::listener::Listener;
use super::route::HostPattern;
use super::spec::HostOwnership;
use super::traffic::Traffic;
use super::upstream::UpstreamSettings;

/// Stands for all namespaces.
pub const ALL_NAMESPACES: &str = "*";

/// What objects find in a cluster: all that the operator's file says and that is no route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Whose hosts are whose, which servers objects may name.
    pub cluster: ClusterRules,
    /// Where objects may be served, in the order written.
    pub listeners: Vec<ListenerTerms>,
    /// What holds for requests of which nothing nearer is said.
    pub defaults: Arc<Traffic>,
    /// The same for servers.
    pub upstream_defaults: Arc<UpstreamSettings>,
}

impl Default for Terms {
    /// Those of a cluster whose operator says nothing.
    fn default() -> Self {
        Self {
            cluster: ClusterRules::default(),
            listeners: vec![ListenerTerms { name: Listener::default_http().name, namespaces: None }],
            defaults: Arc::default(),
            upstream_defaults: Arc::default(),
        }
    }
}

/// Whose objects may be served on a listener. No part of [`Listener`]: sockets do not depend on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerTerms {
    /// That of the listener.
    pub name: String,
    /// None: everybody's.
    pub namespaces: Option<Vec<String>>,
}

impl ListenerTerms {
    /// Whether objects of a namespace may be served here.
    pub fn is_open_to(&self, namespace: &str) -> bool {
        self.namespaces.as_deref().is_none_or(|namespaces| names(namespaces, namespace))
    }
}

/// The block `cluster`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterRules {
    /// Who owns a host that is not pinned.
    pub ownership: HostOwnership,
    /// Namespaces by the hosts that belong to them.
    pub pinned: BTreeMap<HostPattern, Vec<String>>,
    /// Namespaces whose routes may answer for any host.
    pub catch_all: Vec<String>,
    /// Hosts outside the cluster that objects may send to. An address is kept as an exact host, in its usual form.
    pub external_hosts: Vec<HostPattern>,
    /// Where objects may never send; none: nothing is said, so the default holds.
    pub deny_addresses: Option<Vec<Cidr>>,
    /// What statuses say that clients connect to; none: the addresses of the own Service.
    pub addresses: Option<Vec<String>>,
}

impl ClusterRules {
    /// The namespaces that a host is pinned to; none if no entry covers it.
    pub fn pinned_to(&self, host: &HostPattern) -> Option<&[String]> {
        if self.pinned.is_empty() {
            return None;
        }
        if let Some(namespaces) = self.pinned.get(host) {
            return Some(namespaces);
        }
        let (HostPattern::Exact(name) | HostPattern::Wildcard(name)) = host;
        // From the nearest wildcard above it to the farthest.
        let above = name.match_indices('.').filter_map(|(at, _)| name.get(at + 1..));
        above.filter_map(|suffix| self.pinned.get(&HostPattern::Wildcard(suffix.to_owned()))).next().map(Vec::as_slice)
    }

    /// Whether routes of a namespace may answer for any host.
    pub fn may_catch_all(&self, namespace: &str) -> bool {
        names(&self.catch_all, namespace)
    }

    /// Whether objects may send to a host outside the cluster. Addresses are compared in their usual form.
    pub fn permits_external(&self, host: &str) -> bool {
        self.external_hosts.iter().any(|pattern| match pattern {
            HostPattern::Exact(name) => name == host,
            HostPattern::Wildcard(suffix) => {
                host.strip_suffix(suffix.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
        })
    }
}

/// Whether a list of namespaces has this one.
pub fn names(namespaces: &[String], namespace: &str) -> bool {
    namespaces.iter().any(|name| name == namespace || name == ALL_NAMESPACES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(host: &str) -> HostPattern {
        HostPattern::Exact(host.to_owned())
    }

    fn wildcard(suffix: &str) -> HostPattern {
        HostPattern::Wildcard(suffix.to_owned())
    }

    #[test]
    fn the_most_specific_entry_pins_a_host() {
        let entries = [
            (wildcard("test"), "all"),
            (wildcard("shop.test"), "shops"),
            (exact("a.shop.test"), "a"),
            (exact("test"), "root"),
        ];
        let pinned = entries.into_iter().map(|(host, namespace)| (host, vec![namespace.to_owned()])).collect();
        let rules = ClusterRules { pinned, ..ClusterRules::default() };
        let owner = |host: HostPattern| rules.pinned_to(&host).map(|namespaces| namespaces[0].clone());
        assert_eq!(owner(exact("a.shop.test")).as_deref(), Some("a"));
        assert_eq!(owner(exact("b.shop.test")).as_deref(), Some("shops"));
        assert_eq!(owner(exact("shop.test")).as_deref(), Some("all"), "a wildcard does not cover its own suffix");
        assert_eq!(owner(wildcard("x.shop.test")).as_deref(), Some("shops"));
        assert_eq!(owner(wildcard("shop.test")).as_deref(), Some("shops"));
        assert_eq!(owner(exact("test")).as_deref(), Some("root"));
        assert_eq!(owner(exact("b.example")), None);
    }

    #[test]
    fn external_hosts_are_names_wildcards_or_addresses() {
        let external_hosts = vec![exact("a.test"), wildcard("b.test"), exact("::1")];
        let rules = ClusterRules { external_hosts, ..ClusterRules::default() };
        let permitted = ["a.test", "x.b.test", "x.y.b.test", "::1"];
        assert!(permitted.iter().all(|host| rules.permits_external(host)));
        let others = ["x.a.test", "b.test", ".b.test", "xb.test", "::2"];
        assert!(!others.iter().any(|host| rules.permits_external(host)));
    }
}
