//! `GatewayPolicy`: choices about requests, written once and taken over by name.
//!
//! A policy is described alone, into the same [`Layer`] that a policy of the file is, and remembered until it changes. Who
//! may use it is said by itself (`allowedNamespaces`; its own namespace always may). A policy with anything wrong in it is
//! off, and so is each rule that uses it: half of a policy could be the half without its checks.
//!
//! Its limits have the identity `policies/NAMESPACE/NAME/LIMIT`, so all that use it are counted together, and so does a
//! dump of it, where its name is `NAMESPACE/NAME`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::verdict::{OwnKind, RuleCounts, Verdict};
use crate::config::cluster::names;
use crate::config::describe::{At, Layer, describe_layer};
use crate::config::spec::ObjectPolicySpec;
use crate::config::{Effect, Problem, Slug};
use crate::controller::world::{ObjectName, PolicyObject};

/// All policies by name.
pub type Policies = BTreeMap<ObjectName, Arc<PolicyPart>>;

/// One policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyPart {
    layer: Arc<Layer>,
    allowed_namespaces: Vec<String>,
    /// What is wrong with it.
    pub problems: Vec<Problem>,
}

impl PolicyPart {
    /// What turns it off; none if it can be used.
    fn why_off(&self) -> Option<&Problem> {
        self.problems.iter().find(|problem| problem.effect < Effect::Warning)
    }
}

/// Reads one policy.
pub fn describe(object: &PolicyObject) -> PolicyPart {
    let mut problems = Vec::new();
    let spec = serde_json::from_value::<ObjectPolicySpec>(object.spec.clone()).unwrap_or_else(|error| {
        problems.push(Problem::new("spec", Slug::WrongType, error.to_string()));
        ObjectPolicySpec::default()
    });
    let owner = format!("policies/{}", object.name());
    let layer = describe_layer(&spec.traffic, &owner, At::Start("spec"), &mut problems);
    let rejected = |problem| Problem { effect: Effect::Rejected, ..problem };
    PolicyPart {
        layer: Arc::new(layer),
        allowed_namespaces: spec.allowed_namespaces.unwrap_or_default(),
        problems: problems.into_iter().map(rejected).collect(),
    }
}

/// `name` is one of the own namespace, `namespace/name` one of any.
pub fn full_name(written: &str, own: &str) -> ObjectName {
    match written.split_once('/') {
        Some((namespace, name)) => ObjectName::new(namespace, name),
        None => ObjectName::new(own, written),
    }
}

/// What a policy says to objects of a namespace.
///
/// # Errors
/// Why it says nothing, for the person who named it.
pub fn layer_for(policy: Option<&Arc<PolicyPart>>, name: &ObjectName, namespace: &str) -> Result<Arc<Layer>, String> {
    let Some(policy) = policy else { return Err(format!("GatewayPolicy {name} not found")) };
    if name.namespace != namespace && !names(&policy.allowed_namespaces, namespace) {
        return Err(format!("GatewayPolicy {name} does not allow namespace {namespace}"));
    }
    match policy.why_off() {
        // What a foreign policy holds is told to its owner.
        Some(_) if name.namespace != namespace => Err(format!("GatewayPolicy {name} is itself off: see its status")),
        Some(why) => Err(format!("GatewayPolicy {name} is itself off: {why}")),
        None => Ok(Arc::clone(&policy.layer)),
    }
}

/// What is told to its owner.
pub fn judge(object: &PolicyObject, part: &PolicyPart) -> Verdict {
    let whose = (OwnKind::GatewayPolicy, &object.metadata);
    Verdict::new(whose, Vec::new(), RuleCounts::default(), part.problems.clone(), Vec::new())
}
