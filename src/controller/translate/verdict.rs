//! What is told to the owner of an object: how much of it can be served, what is wrong, who is served instead.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;

use crate::config::{Effect, Problem, Slug};
use crate::controller::world::{ObjectName, Subject};
use crate::crd::{KIND, POLICY_KIND};

/// The kinds that have verdicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OwnKind {
    /// `GatewayRoute`
    GatewayRoute,
    /// `GatewayPolicy`
    GatewayPolicy,
}

impl OwnKind {
    /// As objects say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GatewayRoute => KIND,
            Self::GatewayPolicy => POLICY_KIND,
        }
    }
}

/// The judgement about one object, as far as translation can tell. Whether it is in effect yet is told by
/// the data plane; `controller/status` joins the two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// What the object is.
    #[serde(skip)]
    pub kind: OwnKind,
    /// The object.
    #[serde(serialize_with = "serialize_name")]
    pub object: ObjectName,
    /// Which of the objects that had this name.
    #[serde(skip)]
    pub uid: String,
    /// The generation of the spec that was judged.
    pub generation: i64,
    /// As written, each once.
    pub hosts: Vec<String>,
    /// How many rules there are and how they fare.
    pub rules: RuleCounts,
    /// Worst first.
    pub problems: Vec<Problem>,
    /// What lost against others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<Conflict>,
}

/// Rules of an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleCounts {
    /// All of them.
    pub written: usize,
    /// Answer 500, or are left out with their object.
    pub off: usize,
    /// Lost on at least one host.
    pub lost: usize,
    /// Lost on all hosts.
    pub nowhere: usize,
    /// Some of their requests get 500.
    pub partly: usize,
}

/// One thing that somebody else has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Conflict {
    /// The place in this object.
    pub path: String,
    /// `GatewayRoute shop/web spec.routes[0]`.
    pub winner: String,
    /// The age of the winner.
    pub since: String,
    /// The same as a sentence.
    pub message: String,
}

impl Verdict {
    /// The verdict about an object, with its problems put in order.
    pub fn new(
        (kind, metadata): (OwnKind, &ObjectMeta),
        hosts: Vec<String>,
        rules: RuleCounts,
        mut problems: Vec<Problem>,
        conflicts: Vec<Conflict>,
    ) -> Self {
        // Stable: within one effect they stay in the order written.
        problems.sort_by_key(|problem| problem.effect);
        Self {
            kind,
            object: ObjectName::of(metadata),
            uid: metadata.uid.clone().unwrap_or_default(),
            generation: metadata.generation.unwrap_or_default(),
            hosts,
            rules,
            problems,
            conflicts,
        }
    }

    /// Whom it is about.
    pub fn subject(&self) -> Subject {
        Subject { kind: self.kind, name: self.object.clone() }
    }

    /// The worst that happens to it; none if all is well.
    pub fn worst(&self) -> Option<Effect> {
        self.problems.first().map(|problem| problem.effect)
    }
}

/// Whether a kind of problem is about what an object refers to. All others are about what it says.
pub fn is_about_references(slug: Slug) -> bool {
    matches!(slug, Slug::ServiceMissing | Slug::PortMissing | Slug::RefNotPermitted | Slug::PolicyMissing)
}

fn serialize_name<S: serde::Serializer>(name: &ObjectName, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(name)
}
