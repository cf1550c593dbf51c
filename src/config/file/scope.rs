//! What routes of a file can see: the file's own upstreams, any URL, no Services.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Part;
use crate::config::describe::{Layer, Scope, Surroundings, describe_endpoints, describe_settings};
use crate::config::id::UpstreamId;
use crate::config::nearest::nearest;
use crate::config::problem::{Problem, Slug};
use crate::config::route::Source;
use crate::config::spec::{ServiceSpec, UpstreamSpec};
use crate::config::traffic::Traffic;
use crate::config::upstream::{Upstream, UpstreamSettings};

/// Stands before the identities of rules, whose URLs are upstreams too.
const IDENTITY: &str = "file";
const NO_SERVICES: &str = "Services exist only in a cluster: write url or upstream";

/// The names of all files together.
pub struct FileScope {
    /// Upstreams by name, with the place each is written at.
    upstreams: BTreeMap<String, String>,
    /// Some upstream could not be read, so a missing name may be its.
    is_incomplete: bool,
    /// What holds for servers of which nothing nearer is written.
    defaults: Arc<UpstreamSettings>,
    /// Listeners, policies, defaults.
    pub around: Surroundings,
}

/// Describes the named upstreams of all files, and what routes see of them.
pub fn describe_upstreams(
    parts: &[Part<'_>],
    defaults: UpstreamSettings,
    problems: &mut Vec<Problem>,
) -> (FileScope, Vec<Upstream>) {
    let is_incomplete = parts.iter().any(|part| {
        part.root.is_none() || part.form.as_slice().iter().any(|found| found.problem.path.starts_with("upstream"))
    });
    let mut scope = FileScope {
        upstreams: BTreeMap::new(),
        is_incomplete,
        defaults: defaults.into(),
        around: Surroundings::default(),
    };
    let mut upstreams = Vec::new();
    for part in parts {
        for (at, spec) in part.placed("upstreams", part.spec.upstreams.as_ref()) {
            upstreams.extend(describe_upstream(spec, &at, &mut scope, problems));
        }
    }
    (scope, upstreams)
}

fn describe_upstream(
    spec: &UpstreamSpec,
    at: &str,
    scope: &mut FileScope,
    problems: &mut Vec<Problem>,
) -> Option<Upstream> {
    if spec.service.is_some() {
        let message = "Services exist only in a cluster: write name and endpoints";
        problems.push(Problem::new(format!("{at}.service"), Slug::NotHere, message));
    } else if spec.endpoints.is_none() {
        let message = "an upstream needs endpoints, a list of servers which may be empty";
        problems.push(Problem::new(at, Slug::UpstreamSource, message));
    }
    let Some(name) = &spec.name else {
        if spec.service.is_none() {
            problems.push(Problem::new(
                at,
                Slug::UpstreamSource,
                "an upstream needs a name, by which backends call it",
            ));
        }
        return None;
    };
    let settings = describe_settings(&spec.settings, &scope.defaults, at, problems).into();
    let endpoints = describe_endpoints(spec.endpoints.as_deref().unwrap_or_default(), scope, at, problems);
    if name.starts_with("file/") {
        let message = "a name may not begin with file/, as those of routes do";
        problems.push(Problem::new(format!("{at}.name"), Slug::DuplicateName, message));
    }
    if let Some(taken) = scope.upstreams.get(name) {
        let message = format!("the name {name} is taken by {taken}");
        problems.push(Problem::new(format!("{at}.name"), Slug::DuplicateName, message));
        return None;
    }
    scope.upstreams.insert(name.clone(), at.to_owned());
    Some(Upstream {
        id: UpstreamId::new(name.as_str()),
        label: name.clone(),
        is_of_urls: false,
        endpoints,
        prefers_zone: false,
        denied: Arc::default(),
        settings,
    })
}

impl Scope for FileScope {
    fn identity(&self) -> &str {
        IDENTITY
    }

    fn source(&self) -> Source {
        Source::File
    }

    fn path_prefix(&self) -> &'static str {
        ""
    }

    fn check_any_host(&self, _at: &str) -> Result<(), Problem> {
        Ok(())
    }

    fn check_url_host(&self, _host: &str, _at: &str) -> Result<(), Problem> {
        Ok(())
    }

    fn upstream_defaults(&self) -> Arc<UpstreamSettings> {
        Arc::clone(&self.defaults)
    }

    fn service(&mut self, _service: &ServiceSpec, at: &str) -> Result<UpstreamId, Problem> {
        Err(Problem::new(at, Slug::NotHere, NO_SERVICES))
    }

    fn upstream(&self, name: &str, at: &str) -> Result<UpstreamId, Problem> {
        if self.upstreams.contains_key(name) || self.is_incomplete {
            return Ok(UpstreamId::new(name));
        }
        let message = match nearest(name, self.upstreams.keys().map(String::as_str)) {
            Some(meant) => format!("no upstream {name:?}: did you mean {meant}?"),
            None => format!("no upstream {name:?} in this configuration"),
        };
        Err(Problem::new(at, Slug::UpstreamMissing, message))
    }

    fn listener(&self, name: &str, at: &str) -> Result<(), Problem> {
        self.around.listener(name, at)
    }

    fn policy(&mut self, name: &str, at: &str) -> Result<Arc<Layer>, Problem> {
        self.around.policy(name, at)
    }

    fn defaults(&self) -> Arc<Traffic> {
        Arc::clone(&self.around.defaults)
    }

    fn check_priority(&self, _at: &str) -> Result<(), Problem> {
        Ok(())
    }
}
