//! What the file says about the objects of a cluster.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::Part;
use super::operator::only_one;
use crate::config::cluster::{ALL_NAMESPACES, ClusterRules};
use crate::config::describe::{Block, parse_host};
use crate::config::problem::{Problem, Slug};
use crate::config::route::HostPattern;
use crate::config::schema::{EXTERNAL_HOST_MESSAGE, HOST_MESSAGE, NAMESPACE_MESSAGE, PUBLIC_ADDRESS_MESSAGE};
use crate::config::spec::{ClusterSpec, HostGrantSpec};

/// The block `cluster` of the one file that has it.
pub fn describe_cluster(parts: &[Part<'_>], problems: &mut Vec<Problem>) -> ClusterRules {
    match only_one(parts, "cluster", |spec| spec.cluster.as_ref(), problems) {
        Some((at, spec)) => describe(spec, &mut Block::new(at, problems)),
        None => ClusterRules::default(),
    }
}

fn describe(spec: &ClusterSpec, block: &mut Block<'_>) -> ClusterRules {
    let grants = spec.host_grants.as_deref().unwrap_or_default();
    let mut deny = Vec::new();
    block.cidrs("denyAddresses", spec.deny_addresses.as_deref(), &mut deny);
    ClusterRules {
        ownership: spec.host_ownership.unwrap_or_default(),
        pinned: describe_grants(grants, block),
        catch_all: describe_namespaces("catchAll", spec.catch_all.as_deref(), block),
        external_hosts: external_hosts(spec.external_hosts.as_deref().unwrap_or_default(), block),
        deny_addresses: spec.deny_addresses.is_some().then_some(deny),
        addresses: spec.addresses.as_deref().map(|list| public_addresses(list, block)),
    }
}

fn describe_grants(grants: &[HostGrantSpec], block: &mut Block<'_>) -> BTreeMap<HostPattern, Vec<String>> {
    let mut pinned: BTreeMap<HostPattern, Vec<String>> = BTreeMap::new();
    for (index, grant) in grants.iter().enumerate() {
        let mut block = block.below(&format!("hostGrants[{index}]"));
        let namespaces = describe_namespaces("namespaces", Some(&grant.namespaces), &mut block);
        for (at, host) in grant.hosts.iter().enumerate() {
            match parse_host(host) {
                Some(host) => pinned.entry(host).or_default().extend(namespaces.iter().cloned()),
                None => block.problem(&format!("hosts[{at}]"), Slug::HostForm, HOST_MESSAGE),
            }
        }
    }
    for namespaces in pinned.values_mut() {
        namespaces.sort();
        namespaces.dedup();
    }
    pinned
}

/// Names of namespaces, or `*` for all; sorted, each once.
pub fn describe_namespaces(field: &str, list: Option<&[String]>, block: &mut Block<'_>) -> Vec<String> {
    let mut namespaces = Vec::new();
    for (index, name) in list.unwrap_or_default().iter().enumerate() {
        let is_label = matches!(parse_host(name), Some(HostPattern::Exact(label)) if !label.contains('.'));
        if is_label || name == ALL_NAMESPACES {
            namespaces.push(name.clone());
        } else {
            block.problem(&format!("{field}[{index}]"), Slug::NameForm, NAMESPACE_MESSAGE);
        }
    }
    namespaces.sort();
    namespaces.dedup();
    namespaces
}

fn external_hosts(list: &[String], block: &mut Block<'_>) -> Vec<HostPattern> {
    let mut hosts = Vec::new();
    for (index, text) in list.iter().enumerate() {
        let address = text.parse::<IpAddr>().ok().map(|address| HostPattern::Exact(address.to_string()));
        match address.or_else(|| parse_host(text)) {
            Some(host) => hosts.push(host),
            None => block.problem(&format!("externalHosts[{index}]"), Slug::HostForm, EXTERNAL_HOST_MESSAGE),
        }
    }
    hosts
}

fn public_addresses(list: &[String], block: &mut Block<'_>) -> Vec<String> {
    let mut addresses: Vec<String> = Vec::new();
    for (index, text) in list.iter().enumerate() {
        let address = match (text.parse::<IpAddr>(), parse_host(text)) {
            (Ok(address), _) => address.to_string(),
            (Err(_), Some(HostPattern::Exact(host))) => host,
            _ => {
                block.problem(&format!("addresses[{index}]"), Slug::HostForm, PUBLIC_ADDRESS_MESSAGE);
                continue;
            }
        };
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}
