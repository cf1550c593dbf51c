//! Who may use a host, and how much of it.
//!
//! Asked in this order, for each host alone (a wildcard is a host of its own and does not own the names below it):
//! 1. a `hostGrants` entry of the operator covers it: it belongs to the namespaces of that entry, whatever the ages;
//! 2. the operator's file names it in a route: it belongs to the file;
//! 3. else `hostOwnership` decides. `namespace`: it belongs to the namespace of the oldest object that names it in its
//!    routes or grants; of several of one second (as of one `kubectl apply`) one that grants it comes first. `open`: everybody has it. `granted`: nobody.
//!
//! Who has a host may serve all of it and sets priorities there. Others have what its owners grant: subtrees, in which
//! their rules have priority 0. A route without hosts never comes here; whether it may be is said by `catchAll`.
//!
//! Objects that are left out for their size still own their hosts: else a still younger object of somebody else would
//! get what the owner wrote first.

use std::collections::{HashMap, HashSet};

use super::delegation::is_inside;
use super::ownership::Entry;
use crate::config::cluster::names;
use crate::config::{ClusterRules, HostOwnership, HostPattern, PathMatch};
use crate::controller::world::OperatorFile;

/// Who has a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner<'a> {
    /// The operator's file.
    File,
    /// Namespaces that the operator names.
    Pinned(&'a [String]),
    /// The namespace of this entry, by position.
    Oldest(usize),
    /// Everybody.
    Everybody,
    /// Nobody.
    Nobody,
}

/// A subtree that an owner lets a namespace have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted<'a> {
    /// The entry that says so, by position.
    pub by: usize,
    /// This path and all below it.
    pub path: &'a str,
}

/// How much of a host somebody may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leave<'a> {
    /// All of it.
    Whole,
    /// These subtrees, at least one.
    Within(Vec<Granted<'a>>),
    /// Nothing, as somebody else has it.
    Nothing(Owner<'a>),
}

impl Leave<'_> {
    /// Whether rules for this path may be served.
    pub fn covers(&self, path: &PathMatch) -> bool {
        match self {
            Self::Whole => true,
            Self::Within(granted) => granted.iter().any(|granted| is_inside(path, granted.path)),
            Self::Nothing(_) => false,
        }
    }
}

/// Who may use which host.
pub struct Hosts<'a> {
    entries: &'a [Entry],
    owners: HashMap<&'a HostPattern, Owner<'a>>,
    /// Grants of owners, with the place of each in its object.
    grants: HashMap<&'a HostPattern, Vec<(usize, usize)>>,
    /// Grants of hosts that their object does not have: entry, place in it, host.
    pub void: Vec<(usize, usize, &'a HostPattern)>,
}

impl<'a> Hosts<'a> {
    /// Looks at all entries, which are in order of age.
    pub fn of(entries: &'a [Entry], operator: &'a OperatorFile) -> Self {
        let in_file: HashSet<&HostPattern> = operator.gateway.routes.iter().flat_map(|route| &route.hosts).collect();
        let rules = &operator.terms.cluster;
        let owner = |(host, first): (&'a HostPattern, First)| (host, owner(host, first.at, rules, &in_file));
        let owners = first_to_name(entries).into_iter().map(owner).collect();
        let mut hosts = Self { entries, owners, grants: HashMap::new(), void: Vec::new() };
        hosts.collect_grants();
        hosts
    }

    fn collect_grants(&mut self) {
        for (at, entry) in self.entries.iter().enumerate() {
            for (place, grant) in entry.part.grants.iter().enumerate() {
                for host in &grant.hosts {
                    if self.owner_besides(host, &entry.name.namespace).is_none() {
                        self.grants.entry(host).or_default().push((at, place));
                    } else {
                        self.void.push((at, place, host));
                    }
                }
            }
        }
    }

    /// Who has a host, unless this namespace does.
    pub fn owner_besides(&self, host: &HostPattern, namespace: &str) -> Option<Owner<'a>> {
        let owner = self.owners.get(host).copied().unwrap_or(Owner::Nobody);
        let is_own = match owner {
            Owner::Everybody => true,
            Owner::File | Owner::Nobody => false,
            Owner::Pinned(namespaces) => names(namespaces, namespace),
            Owner::Oldest(at) => self.entries.get(at).is_some_and(|entry| entry.name.namespace == namespace),
        };
        (!is_own).then_some(owner)
    }

    /// How much of a host a namespace may use.
    pub fn leave(&self, host: &HostPattern, namespace: &str) -> Leave<'a> {
        let Some(owner) = self.owner_besides(host, namespace) else { return Leave::Whole };
        let granted = self.grants.get(host).into_iter().flatten().filter_map(|(by, place)| {
            let grant = self.entries.get(*by)?.part.grants.get(*place)?;
            grant.is_for(namespace).then_some(Granted { by: *by, path: grant.path.as_str() })
        });
        let granted: Vec<Granted<'a>> = granted.collect();
        if granted.is_empty() { Leave::Nothing(owner) } else { Leave::Within(granted) }
    }
}

/// The first object that names a host, by position.
#[derive(Clone, Copy)]
struct First {
    at: usize,
    created: i64,
    grants: bool,
}

fn first_to_name(entries: &[Entry]) -> HashMap<&HostPattern, First> {
    let mut first: HashMap<&HostPattern, First> = HashMap::new();
    for (at, entry) in entries.iter().enumerate() {
        let created = entry.object.created();
        let in_grants = entry.part.grants.iter().flat_map(|grant| &grant.hosts).map(|host| (host, true));
        let in_routes = entry.part.routes.iter().flat_map(|route| &route.route.hosts).map(|host| (host, false));
        for (host, grants) in in_grants.chain(in_routes) {
            let known = first.entry(host).or_insert(First { at, created, grants });
            if known.created == created && grants && !known.grants {
                *known = First { at, created, grants };
            }
        }
    }
    first
}

fn owner<'a>(host: &HostPattern, oldest: usize, rules: &'a ClusterRules, in_file: &HashSet<&HostPattern>) -> Owner<'a> {
    match (rules.pinned_to(host), rules.ownership) {
        (Some(namespaces), _) => Owner::Pinned(namespaces),
        (None, _) if in_file.contains(host) => Owner::File,
        (None, HostOwnership::Namespace) => Owner::Oldest(oldest),
        (None, HostOwnership::Open) => Owner::Everybody,
        (None, HostOwnership::Granted) => Owner::Nobody,
    }
}
