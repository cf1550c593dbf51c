//! The custom resources `GatewayRoute` and `GatewayPolicy`: specs, status, and the definitions printed into `crds/`.
//!
//! The specs are [`ObjectSpec`] and [`ObjectPolicySpec`], made of the same types as the file, so they cannot drift apart.
//! The status is what `controller/status` writes and what users wait for. The definition is built here by hand instead
//! of by kube's derive: the schema then comes out of `config` alone, and what the API server must know
//! besides it (columns, list types, status subresource) stands in one readable place.
//!
//! Always holds: the schema is structural, has no defaults (a default frozen into an object would hide
//! later ones), and stays far below the 256 KiB above which `kubectl apply` fails.

mod later;

use std::borrow::Cow;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1 as api;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::spec::{ObjectPolicySpec, ObjectSpec};

/// The API group of everything Sluice defines.
pub const GROUP: &str = "gateway.sluice.dev";
/// The version that is served and stored.
pub const VERSION: &str = "v1alpha1";
/// The kind of routes.
pub const KIND: &str = "GatewayRoute";
/// Its name in URLs.
pub const PLURAL: &str = "gatewayroutes";
/// The kind of policies.
pub const POLICY_KIND: &str = "GatewayPolicy";
/// Its name in URLs.
pub const POLICY_PLURAL: &str = "gatewaypolicies";

/// Hosts, rules and where their requests go, as one namespaced object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewayRoute {
    /// Name, namespace, age.
    #[schemars(skip)]
    pub metadata: ObjectMeta,
    /// What is to be served.
    pub spec: ObjectSpec,
    /// What is served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<GatewayRouteStatus>,
}

impl kube::Resource for GatewayRoute {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind(_: &()) -> Cow<'_, str> {
        KIND.into()
    }

    fn group(_: &()) -> Cow<'_, str> {
        GROUP.into()
    }

    fn version(_: &()) -> Cow<'_, str> {
        VERSION.into()
    }

    fn plural(_: &()) -> Cow<'_, str> {
        PLURAL.into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// Choices about requests that routes take over by name, as one namespaced object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewayPolicy {
    /// Name and namespace.
    #[schemars(skip)]
    pub metadata: ObjectMeta,
    /// What it says, and to whom.
    pub spec: ObjectPolicySpec,
    /// Whether it can be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<GatewayRouteStatus>,
}

/// What is true about an object: whether it is accepted, what is wrong with it, since when it is in effect.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayRouteStatus {
    /// The generation all of this is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Accepted, ResolvedRefs, Serving; each with the generation it is about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The proof behind condition Serving.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serving: Option<Serving>,
    /// Made for columns, which can show one value only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
    /// What is wrong, worst first. Written also when empty, so that what another class wrote does not stay.
    #[schemars(length(max = 16))]
    pub problems: Vec<ProblemStatus>,
    /// What lost against another object, and against which.
    #[schemars(length(max = 16))]
    pub conflicts: Vec<ConflictStatus>,
    /// Where clients reach it.
    #[schemars(length(max = 16))]
    pub addresses: Vec<String>,
}

/// Which generation is in effect, where, and how soon it was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Serving {
    /// The generation that is in effect.
    pub generation: i64,
    /// Replicas known to decide by it.
    pub acknowledged: i32,
    /// Replicas that were asked. Absent: the others are not asked yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// From the arrival of the change to the last acknowledgement. Absent: first seen in a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_millis: Option<i64>,
    /// When the last acknowledgement came.
    pub at: String,
}

/// One value a column.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// The first host, and how many more.
    pub hosts: String,
    /// Acknowledged of asked.
    pub replicas: String,
    /// How many problems there are.
    pub problems: i32,
}

/// One thing wrong, at one place.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProblemStatus {
    /// The place, in JavaScript notation.
    pub path: String,
    /// From a closed list.
    pub reason: String,
    /// rejected, ruleOff, notServed, answers500, ignored or warning.
    pub effect: String,
    /// What is wrong and what to write instead.
    pub message: String,
}

/// One thing that another object already has.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConflictStatus {
    /// The place in this object.
    pub path: String,
    /// Who is served instead.
    pub winner: String,
    /// The age of the winner.
    pub since: String,
    /// The same as a sentence.
    pub message: String,
}

/// The definitions with the files they are printed into.
pub fn all() -> [(&'static str, api::CustomResourceDefinition); 2] {
    let routes = Form { kind: KIND, plural: PLURAL, singular: "gatewayroute", short: "gwr", columns: route_columns() };
    let policies = Form {
        kind: POLICY_KIND,
        plural: POLICY_PLURAL,
        singular: "gatewaypolicy",
        short: "gwp",
        columns: policy_columns(),
    };
    [
        ("gatewayroutes.yaml", routes.define(schema::<GatewayRoute>("spec"))),
        // What is not built yet of a policy's fields is what is not built of `policies` in the file.
        ("gatewaypolicies.yaml", policies.define(schema::<GatewayPolicy>("policies"))),
    ]
}

/// How a kind is called and shown.
struct Form {
    kind: &'static str,
    plural: &'static str,
    singular: &'static str,
    short: &'static str,
    columns: Vec<api::CustomResourceColumnDefinition>,
}

impl Form {
    /// The definition, as an API server takes it.
    fn define(self, schema: api::JSONSchemaProps) -> api::CustomResourceDefinition {
        let names = api::CustomResourceDefinitionNames {
            kind: self.kind.to_owned(),
            plural: self.plural.to_owned(),
            singular: Some(self.singular.to_owned()),
            list_kind: Some(format!("{}List", self.kind)),
            short_names: Some(vec![self.short.to_owned()]),
            categories: Some(vec!["sluice".to_owned()]),
        };
        let version = api::CustomResourceDefinitionVersion {
            name: VERSION.to_owned(),
            served: true,
            storage: true,
            schema: Some(api::CustomResourceValidation { open_api_v3_schema: Some(schema) }),
            subresources: Some(api::CustomResourceSubresources {
                status: Some(api::CustomResourceSubresourceStatus(json!({}))),
                scale: None,
            }),
            additional_printer_columns: Some(self.columns),
            ..Default::default()
        };
        api::CustomResourceDefinition {
            metadata: ObjectMeta { name: Some(format!("{}.{GROUP}", self.plural)), ..Default::default() },
            spec: api::CustomResourceDefinitionSpec {
                group: GROUP.to_owned(),
                names,
                scope: "Namespaced".to_owned(),
                versions: vec![version],
                ..Default::default()
            },
            status: None,
        }
    }
}

/// A definition as it stands in its file.
///
/// # Errors
/// None in practice: the definition is made of plain values, which YAML can write.
pub fn to_yaml(definition: &api::CustomResourceDefinition) -> Result<String, serde_yaml::Error> {
    let body = serde_yaml::to_string(definition)?;
    Ok(format!("# Printed by `sluice crd`; a test keeps it fresh. Do not edit.\n{body}"))
}

fn column(name: &str, kind: &str, path: &str, priority: Option<i32>) -> api::CustomResourceColumnDefinition {
    api::CustomResourceColumnDefinition {
        name: name.to_owned(),
        type_: kind.to_owned(),
        json_path: path.to_owned(),
        priority,
        ..Default::default()
    }
}

/// Hosts Accepted Refs Serving Replicas Ms Problems Age; with `-o wide` also Class and Reason.
fn route_columns() -> Vec<api::CustomResourceColumnDefinition> {
    vec![
        column("Hosts", "string", ".status.summary.hosts", None),
        column("Accepted", "string", ".status.conditions[?(@.type==\"Accepted\")].status", None),
        column("Refs", "string", ".status.conditions[?(@.type==\"ResolvedRefs\")].status", None),
        column("Serving", "string", ".status.conditions[?(@.type==\"Serving\")].status", None),
        column("Replicas", "string", ".status.summary.replicas", None),
        column("Ms", "integer", ".status.serving.afterMillis", None),
        column("Problems", "integer", ".status.summary.problems", None),
        column("Age", "date", ".metadata.creationTimestamp", None),
        column("Class", "string", ".spec.ingressClassName", Some(1)),
        column("Reason", "string", ".status.conditions[?(@.type==\"Accepted\")].reason", Some(1)),
    ]
}

/// Accepted Serving Problems Age; with `-o wide` also Namespaces and Reason.
fn policy_columns() -> Vec<api::CustomResourceColumnDefinition> {
    vec![
        column("Accepted", "string", ".status.conditions[?(@.type==\"Accepted\")].status", None),
        column("Serving", "string", ".status.conditions[?(@.type==\"Serving\")].status", None),
        column("Problems", "integer", ".status.summary.problems", None),
        column("Age", "date", ".metadata.creationTimestamp", None),
        column("Namespaces", "string", ".spec.allowedNamespaces", Some(1)),
        column("Reason", "string", ".status.conditions[?(@.type==\"Accepted\")].reason", Some(1)),
    ]
}

fn conditions_schema(generator: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({
        "type": "array",
        "maxItems": 8,
        "items": generator.subschema_for::<Condition>(),
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    })
}

/// The structural schema of a whole object; `place` is where the vocabulary knows its spec.
#[expect(clippy::expect_used, reason = "no input reaches this: it fails for nobody or for everybody, in a test")]
fn schema<T: JsonSchema>(place: &'static str) -> api::JSONSchemaProps {
    let mut settings = schemars::generate::SchemaSettings::openapi3();
    settings.inline_subschemas = true;
    settings.meta_schema = None;
    let mut root = settings.into_generator().into_root_schema_for::<T>();
    OptionalIsAbsent.transform(&mut root);
    kube::core::schema::StructuralSchemaRewriter.transform(&mut root);
    Tidy.transform(&mut root);
    let mut value = root.to_value();
    if let Some(spec) = value.pointer_mut("/properties/spec") {
        later::refuse(("", place), spec);
    }
    if let Some(root) = value.as_object_mut() {
        // The API server knows `metadata` by itself.
        root.insert("required".to_owned(), json!(["spec"]));
        root.remove("title");
    }
    serde_json::from_value(value).expect("schemars writes JSON schema, which these types read")
}

/// An optional field may be absent; it may not be `null`, which would be a second way to say so.
struct OptionalIsAbsent;

impl Transform for OptionalIsAbsent {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        let Some(object) = schema.as_object_mut() else { return };
        object.remove("nullable");
        if let Some(Value::Array(kinds)) = object.get_mut("type") {
            kinds.retain(|kind| kind != "null");
            if let [only] = kinds.as_slice() {
                let only = only.clone();
                object.insert("type".to_owned(), only);
            }
        }
        let Some(Value::Array(choices)) = object.get("anyOf") else { return };
        let real: Vec<Value> = choices.iter().filter(|choice| !is_null_schema(choice)).cloned().collect();
        if let [Value::Object(only)] = real.as_slice() {
            object.remove("anyOf");
            for (key, value) in only {
                // A description of the field says more than that of its type.
                object.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
    }
}

fn is_null_schema(schema: &Value) -> bool {
    schema.get("type").is_some_and(|kind| kind == "null")
        || schema.get("enum").is_some_and(|values| *values == json!([null]))
}

/// Formats and defaults that a CRD does not know or that must not be frozen into objects.
struct Tidy;

impl Transform for Tidy {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        let Some(object) = schema.as_object_mut() else { return };
        object.remove("default");
        if object.get("format").is_some_and(|format| format == "uint" || format == "uint32" || format == "uint64") {
            object.remove("format");
        }
    }
}

#[cfg(test)]
mod tests;
