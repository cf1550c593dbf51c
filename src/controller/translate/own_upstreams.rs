//! Servers that an object names itself, by URL: the upstreams of `spec.upstreams` that have a name.
//!
//! They are described before the routes, which call them by name, and are as strict as a backend's own URL: with one
//! server in it that the operator does not permit, the upstream as a whole answers 500. A part of the requests sent
//! elsewhere without a word would be worse than all of them failing with one.
//!
//! The identity is `namespace/object/name`. A route in short form that has the same name would have the same identity
//! for its URLs, and names with `/` could be that of any rule, so both are refused.

use std::collections::BTreeMap;

use crate::config::describe::{Scope, describe_endpoints, describe_settings};
use crate::config::nearest::nearest;
use crate::config::spec::{RouteSpec, UpstreamSpec};
use crate::config::{Effect, Problem, Slug, Upstream, UpstreamId};

/// What became of the named upstreams of one object.
#[derive(Debug, Default)]
pub struct OwnUpstreams {
    named: BTreeMap<String, Named>,
    /// Those that can be used.
    pub usable: Vec<Upstream>,
    /// What is wrong with them, in the order written.
    pub problems: Vec<Problem>,
}

#[derive(Debug)]
enum Named {
    Usable(UpstreamId),
    /// With what is wrong, and where it is told.
    Unusable(Slug, String),
}

impl OwnUpstreams {
    /// Describes them all.
    pub fn describe(specs: &[UpstreamSpec], routes: &[RouteSpec], scope: &dyn Scope) -> Self {
        let mut own = Self::default();
        for (index, spec) in specs.iter().enumerate() {
            let at = format!("spec.upstreams[{index}]");
            if let (None, Some(_), Some(name)) = (&spec.service, &spec.endpoints, &spec.name) {
                own.add(name, spec, &at, routes, scope);
            }
        }
        own
    }

    fn add(&mut self, name: &str, spec: &UpstreamSpec, at: &str, routes: &[RouteSpec], scope: &dyn Scope) {
        let before = self.problems.len();
        self.check_name(name, at, routes);
        let endpoints =
            describe_endpoints(spec.endpoints.as_deref().unwrap_or_default(), scope, at, &mut self.problems);
        let unusable = self.problems.get(before).map(|problem| problem.slug);
        let mut unreadable = Vec::new();
        let settings = describe_settings(&spec.settings, &scope.upstream_defaults(), at, &mut unreadable).into();
        self.problems.extend(unreadable.into_iter().map(|problem| Problem { effect: Effect::Ignored, ..problem }));
        if self.named.contains_key(name) {
            return;
        }
        let id = UpstreamId::new(format!("{}/{name}", scope.identity()));
        let named = match unusable {
            Some(slug) => Named::Unusable(slug, at.to_owned()),
            None => Named::Usable(id.clone()),
        };
        self.named.insert(name.to_owned(), named);
        if unusable.is_none() {
            let (label, denied) = (id.to_string(), Default::default());
            let upstream = Upstream { id, label, is_of_urls: false, endpoints, prefers_zone: false, denied, settings };
            self.usable.push(upstream);
        }
    }

    fn check_name(&mut self, name: &str, at: &str, routes: &[RouteSpec]) {
        let at = format!("{at}.name");
        if name.contains('/') {
            let message = "must have no /, as names of rules have".to_owned();
            self.problems.push(Problem::new(at, Slug::NameForm, message));
        } else if self.named.contains_key(name) {
            let message = format!("the name {name} is taken by an upstream before it");
            self.problems.push(Problem::new(at, Slug::DuplicateName, message));
        } else if let Some(route) = routes.iter().position(|route| route.rule.name.as_deref() == Some(name)) {
            let message = format!("the name {name} is taken by spec.routes[{route}]");
            self.problems.push(Problem::new(at, Slug::DuplicateName, message));
        }
    }

    /// The upstream of this name.
    ///
    /// # Errors
    /// The problem, at the place `at`.
    pub fn find(&self, name: &str, at: &str) -> Result<UpstreamId, Problem> {
        match self.named.get(name) {
            Some(Named::Usable(id)) => Ok(id.clone()),
            Some(Named::Unusable(slug, place)) => {
                Err(Problem::new(at, *slug, format!("upstream {name:?} cannot be used: see {place}")))
            }
            None => {
                let message = match nearest(name, self.named.keys().map(String::as_str)) {
                    Some(hint) => format!("no upstream {name:?}: did you mean {hint}?"),
                    None => format!("no upstream {name:?} in this object: to reach a Service, write service"),
                };
                Err(Problem::new(at, Slug::UpstreamMissing, message))
            }
        }
    }
}
