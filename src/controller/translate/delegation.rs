//! `grants[]` of an object: a subtree of its hosts that it lets other namespaces have.
//!
//! A grant that says something wrong is ignored, whole: it gives less than was meant, never more.

use crate::config::cluster::names;
use crate::config::describe::{is_path_form, parse_host, strip_final_slash};
use crate::config::schema::{HOST_MESSAGE, PATH_MESSAGE};
use crate::config::spec::GrantSpec;
use crate::config::{Effect, HostPattern, PathMatch, Problem, Route, Slug};

/// One grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartGrant {
    /// Position in the object.
    pub index: usize,
    /// Exactly these; a wildcard is not the names below it.
    pub hosts: Vec<HostPattern>,
    /// This path and all below it; without final slash.
    pub path: String,
    /// Who may serve there.
    pub namespaces: Vec<String>,
}

impl PartGrant {
    /// Whether a namespace may serve there.
    pub fn is_for(&self, namespace: &str) -> bool {
        names(&self.namespaces, namespace)
    }
}

/// Reads the grants of an object; `routes` are its own, whose hosts are meant where a grant names none.
pub fn describe_grants(specs: &[GrantSpec], routes: &[Route], problems: &mut Vec<Problem>) -> Vec<PartGrant> {
    specs.iter().enumerate().filter_map(|(index, spec)| describe_grant(index, spec, routes, problems)).collect()
}

fn describe_grant(index: usize, spec: &GrantSpec, routes: &[Route], problems: &mut Vec<Problem>) -> Option<PartGrant> {
    let at = format!("spec.grants[{index}]");
    let before = problems.len();
    let mut ignored = |place: String, slug, message: &str| {
        let problem = Problem::new(format!("{at}{place}"), slug, message);
        problems.push(Problem { effect: Effect::Ignored, ..problem });
    };
    let mut hosts: Vec<HostPattern> = Vec::new();
    for (place, text) in spec.hosts.iter().flatten().enumerate() {
        match parse_host(text) {
            Some(host) => hosts.push(host),
            None => ignored(format!(".hosts[{place}]"), Slug::HostForm, HOST_MESSAGE),
        }
    }
    if spec.hosts.is_none() {
        hosts.extend(routes.iter().flat_map(|route| &route.hosts).cloned());
        hosts.sort();
        hosts.dedup();
    }
    if hosts.is_empty() && problems.len() == before {
        let message = "a grant needs hosts, as the object has no routes with hosts";
        let problem = Problem::new(format!("{at}.hosts"), Slug::HostRequired, message);
        problems.push(Problem { effect: Effect::Ignored, ..problem });
    }
    let path = spec.path.as_deref().unwrap_or("/");
    if !is_path_form(path) {
        let problem = Problem::new(format!("{at}.path"), Slug::PathForm, PATH_MESSAGE);
        problems.push(Problem { effect: Effect::Ignored, ..problem });
    }
    (problems.len() == before).then(|| PartGrant {
        index,
        hosts,
        path: strip_final_slash(path),
        namespaces: spec.namespaces.clone(),
    })
}

/// Whether everything that a path matches lies in a subtree. Of a pattern only its plain beginning is known, so it has to
/// reach beyond the subtree's own name.
pub fn is_inside(path: &PathMatch, subtree: &str) -> bool {
    if subtree == "/" {
        return true;
    }
    let below = |path: &str| path.strip_prefix(subtree).is_some_and(|rest| rest.starts_with('/'));
    match path {
        PathMatch::Exact(path) | PathMatch::Prefix(path) => path == subtree || below(path),
        PathMatch::Regex(pattern) => below(pattern.literal_prefix()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Pattern;

    #[test]
    fn a_subtree_ends_at_whole_segments() {
        let prefix = |path: &str| PathMatch::Prefix(path.to_owned());
        let regex = |text: &str| PathMatch::Regex(Pattern::parse(text).unwrap());
        let inside = [
            prefix("/pay"),
            prefix("/pay/x"),
            PathMatch::Exact("/pay".to_owned()),
            PathMatch::Exact("/pay/".to_owned()),
            regex("/pay/[0-9]+"),
            regex("^/pay/.*"),
        ];
        assert!(inside.iter().all(|path| is_inside(path, "/pay")));
        let outside = [
            prefix("/"),
            prefix("/payments"),
            PathMatch::Exact("/pa".to_owned()),
            regex("/pay.*"),
            regex("/pay(/.*)?"),
            regex("/pay/?.*"),
            regex("/pay/x|/cart"),
            regex("(?i)/pay/x"),
        ];
        for path in &outside {
            assert!(!is_inside(path, "/pay"), "{path}");
            assert!(is_inside(path, "/"), "{path}");
        }
    }
}
