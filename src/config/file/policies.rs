//! What the file says for many rules at once: policies, which rules take over by name, and defaults, which hold
//! wherever nothing nearer is said.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Part;
use crate::config::describe::{At, Layer, Surroundings, describe_layer};
use crate::config::listener::Listener;
use crate::config::problem::{Problem, Slug};
use crate::config::spec::DefaultsSpec;
use crate::config::traffic::Traffic;

/// All that rules of these files can name, and what holds for all of them.
pub fn describe_surroundings(parts: &[Part<'_>], listeners: &[Listener], problems: &mut Vec<Problem>) -> Surroundings {
    let is_unread = |list: &str| {
        let is_about = |part: &Part<'_>| part.form.as_slice().iter().any(|found| found.problem.path.starts_with(list));
        parts.iter().any(|part| part.root.is_none() || is_about(part))
    };
    Surroundings {
        listeners: listeners.iter().map(|listener| listener.name.clone()).collect(),
        has_unread_listeners: is_unread("listener"),
        policies: describe_policies(parts, problems),
        has_unread_policies: is_unread("polic"),
        defaults: describe_defaults(parts, problems),
    }
}

fn describe_policies(parts: &[Part<'_>], problems: &mut Vec<Problem>) -> BTreeMap<String, Arc<Layer>> {
    let mut policies = BTreeMap::new();
    let mut places: BTreeMap<&str, String> = BTreeMap::new();
    for part in parts {
        for (at, spec) in part.placed("policies", part.spec.policies.as_ref()) {
            let owner = format!("policies/{}", spec.name);
            let layer = describe_layer(&spec.traffic, &owner, At::Start(&at), problems);
            if let Some(taken) = places.get(spec.name.as_str()) {
                let message = format!("the name {} is taken by {taken}", spec.name);
                problems.push(Problem::new(format!("{at}.name"), Slug::DuplicateName, message));
                continue;
            }
            places.insert(&spec.name, at);
            policies.insert(spec.name.clone(), Arc::new(layer));
        }
    }
    policies
}

/// Those of a second file are refused with all else that stands in `defaults`.
fn describe_defaults(parts: &[Part<'_>], problems: &mut Vec<Problem>) -> Arc<Traffic> {
    let mut written = parts.iter().filter_map(|part| Some((part, part.spec.defaults.as_ref()?)));
    let Some((first, DefaultsSpec { traffic: fields, .. })) = written.next() else { return Arc::default() };
    let at = format!("{}defaults", first.prefix);
    let layer = describe_layer(fields, "defaults", At::Start(&at), problems);
    let mut traffic = Traffic::default();
    layer.put_on(&mut traffic);
    Arc::new(traffic)
}
