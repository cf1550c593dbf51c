//! The schema in the form the file's check walks: made from the very schema that the CRD is made from,
//! so that a field cannot be known to one and unknown to the other.
//!
//! Only what the schema generator writes for our types is understood: references, optional types,
//! enums by `oneOf` or `enum`, integer-or-string. [`Shape::Any`] stands for all else and a test keeps it
//! from occurring, since what it stands for would go unchecked.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::Value as Json;

use super::spec::{FileSpec, ObjectPolicySpec, ObjectSpec};

/// References nest no deeper: a schema that refers to itself ends here.
const MAX_DEPTH: usize = 32;

/// What may stand at one place. Bounds are inclusive.
#[expect(missing_docs, reason = "each variant tells its fields")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Text, bounded in characters. Its form, in words, is the message of a rule that `describe` checks.
    Text { min: usize, max: usize, form: Option<String> },
    /// One of these words.
    Choice(Vec<String>),
    /// A whole number.
    Integer { min: i64, max: i64 },
    /// `true` or `false`.
    Boolean,
    /// A whole number or text: a port, or its name.
    IntegerOrText,
    /// A list, bounded in entries.
    List { items: Box<Shape>, min: usize, max: usize },
    /// Names that users choose, each with a value.
    Map { values: Box<Shape>, max: usize },
    /// Names that we choose.
    Record { fields: BTreeMap<String, Shape>, required: Vec<String> },
    /// Nothing is known about it.
    Any,
}

impl Shape {
    /// The shape of a configuration file. Made once: it never changes, and the schema behind it is large.
    pub fn of_file() -> &'static Self {
        static SHAPE: LazyLock<Shape> = LazyLock::new(|| {
            let schema = schemars::schema_for!(FileSpec);
            read(schema.as_value(), schema.as_value(), 0)
        });
        &SHAPE
    }

    /// The shape of a `GatewayRoute` in a manifest. Its metadata are the API server's matter, its status ours.
    pub fn of_object() -> &'static Self {
        static SHAPE: LazyLock<Shape> = LazyLock::new(|| make_shape_of_object(&schemars::schema_for!(ObjectSpec)));
        &SHAPE
    }

    /// The shape of a `GatewayPolicy` in a manifest.
    pub fn of_policy() -> &'static Self {
        static SHAPE: LazyLock<Shape> =
            LazyLock::new(|| make_shape_of_object(&schemars::schema_for!(ObjectPolicySpec)));
        &SHAPE
    }
}

fn make_shape_of_object(schema: &schemars::Schema) -> Shape {
    let text = || Shape::Text { min: 1, max: 253, form: None };
    let fields = [
        ("apiVersion", text()),
        ("kind", text()),
        ("metadata", Shape::Any),
        ("spec", read(schema.as_value(), schema.as_value(), 0)),
        ("status", Shape::Any),
    ];
    Shape::Record {
        fields: fields.into_iter().map(|(name, field)| (name.to_owned(), field)).collect(),
        required: vec!["metadata".to_owned(), "spec".to_owned()],
    }
}

fn read(node: &Json, root: &Json, depth: usize) -> Shape {
    if depth > MAX_DEPTH {
        return Shape::Any;
    }
    if let Some(target) = node.get("$ref").and_then(Json::as_str) {
        return match target.strip_prefix('#').and_then(|pointer| root.pointer(pointer)) {
            Some(target) => read(target, root, depth + 1),
            None => Shape::Any,
        };
    }
    if let Some(options) = node.get("anyOf").and_then(Json::as_array) {
        let mut real = options.iter().filter(|option| option.get("type").and_then(Json::as_str) != Some("null"));
        return match (real.next(), real.next()) {
            (Some(only), None) => read(only, root, depth + 1),
            _ => Shape::Any,
        };
    }
    if node.get("x-kubernetes-int-or-string").and_then(Json::as_bool) == Some(true) {
        return Shape::IntegerOrText;
    }
    if let Some(words) = choice(node) {
        return Shape::Choice(words);
    }
    match type_name(node) {
        Some("string") => Shape::Text {
            min: count(node, "minLength", 0),
            max: count(node, "maxLength", usize::MAX),
            form: node.pointer("/x-kubernetes-validations/0/message").and_then(Json::as_str).map(str::to_owned),
        },
        Some("integer") => integer(node),
        Some("boolean") => Shape::Boolean,
        Some("array") => Shape::List {
            items: Box::new(node.get("items").map_or(Shape::Any, |items| read(items, root, depth + 1))),
            min: count(node, "minItems", 0),
            max: count(node, "maxItems", usize::MAX),
        },
        Some("object") => object(node, root, depth),
        _ => Shape::Any,
    }
}

fn object(node: &Json, root: &Json, depth: usize) -> Shape {
    if let Some(properties) = node.get("properties").and_then(Json::as_object) {
        let fields =
            properties.iter().map(|(name, property)| (name.clone(), read(property, root, depth + 1))).collect();
        let required = node.get("required").and_then(Json::as_array).into_iter().flatten();
        return Shape::Record { fields, required: required.filter_map(Json::as_str).map(str::to_owned).collect() };
    }
    match node.get("additionalProperties") {
        Some(values) => Shape::Map {
            values: Box::new(read(values, root, depth + 1)),
            max: count(node, "maxProperties", usize::MAX),
        },
        None => Shape::Any,
    }
}

/// Words by `enum`, or by `oneOf` whose members are words.
fn choice(node: &Json) -> Option<Vec<String>> {
    if let Some(word) = node.get("const").and_then(Json::as_str) {
        return Some(vec![word.to_owned()]);
    }
    if let Some(words) = node.get("enum").and_then(Json::as_array) {
        return Some(words.iter().filter_map(Json::as_str).map(str::to_owned).collect());
    }
    let members = node.get("oneOf").and_then(Json::as_array)?;
    let words: Option<Vec<Vec<String>>> = members.iter().map(choice).collect();
    Some(words?.concat())
}

fn integer(node: &Json) -> Shape {
    let (low, high) = match node.get("format").and_then(Json::as_str) {
        Some("int64") => (i64::MIN, i64::MAX),
        _ => (i64::from(i32::MIN), i64::from(i32::MAX)),
    };
    let bound = |name: &str, default: i64| node.get(name).and_then(Json::as_i64).unwrap_or(default);
    Shape::Integer { min: bound("minimum", low), max: bound("maximum", high) }
}

/// The type, without the `null` of an optional one.
fn type_name(node: &Json) -> Option<&str> {
    match node.get("type")? {
        Json::String(name) => Some(name),
        Json::Array(names) => {
            let mut real = names.iter().filter_map(Json::as_str).filter(|name| *name != "null");
            real.next().filter(|_| real.next().is_none())
        }
        _ => None,
    }
}

fn count(node: &Json, name: &str, default: usize) -> usize {
    node.get(name).and_then(Json::as_u64).and_then(|count| usize::try_from(count).ok()).unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_known(shape: &Shape, path: &str) {
        match shape {
            Shape::Any => panic!("{path} would go unchecked"),
            Shape::Choice(words) => assert!(!words.is_empty(), "{path} permits nothing"),
            Shape::List { items, .. } => assert_known(items, &format!("{path}[]")),
            Shape::Map { values, .. } => assert_known(values, &format!("{path}.*")),
            Shape::Record { fields, required } => {
                assert!(required.iter().all(|name| fields.contains_key(name)), "{path}");
                fields.iter().for_each(|(name, field)| assert_known(field, &format!("{path}.{name}")));
            }
            Shape::Text { .. } | Shape::Integer { .. } | Shape::Boolean | Shape::IntegerOrText => {}
        }
    }

    #[test]
    fn every_field_of_the_schema_is_understood() {
        assert_known(Shape::of_file(), "");
    }

    /// A keyword that nobody reads would be a rule that the file does not obey.
    #[test]
    fn every_keyword_of_the_schema_is_known() {
        const KEYWORDS: [&str; 20] = [
            "$schema",
            "$defs",
            "$ref",
            "title",
            "description",
            "type",
            "properties",
            "required",
            "items",
            "oneOf",
            "anyOf",
            "const",
            "enum",
            "format",
            "minimum",
            "maximum",
            "minLength",
            "maxLength",
            "minItems",
            "maxItems",
        ];
        // The rules in CEL, patterns and names given twice are checked by `describe`; a set may hold a name twice in a file, it is one.
        const OTHERS: [&str; 7] = [
            "pattern",
            "x-kubernetes-list-map-keys",
            "maxProperties",
            "additionalProperties",
            "x-kubernetes-validations",
            "x-kubernetes-list-type",
            "x-kubernetes-int-or-string",
        ];
        fn visit(node: &Json, names_are_fields: bool) {
            match node {
                Json::Object(members) => {
                    for (name, member) in members {
                        if names_are_fields {
                            visit(member, false);
                            continue;
                        }
                        let name = name.as_str();
                        assert!(KEYWORDS.contains(&name) || OTHERS.contains(&name), "the schema uses {name}");
                        if !matches!(
                            name,
                            "required" | "enum" | "x-kubernetes-validations" | "x-kubernetes-list-map-keys"
                        ) {
                            visit(member, matches!(name, "properties" | "$defs"));
                        }
                    }
                }
                Json::Array(members) => members.iter().for_each(|member| visit(member, false)),
                _ => {}
            }
        }
        visit(schemars::schema_for!(FileSpec).as_value(), false);
    }

    #[test]
    fn bounds_come_from_the_schema() {
        let Shape::Record { fields, .. } = Shape::of_file() else { panic!("the file is a record") };
        let Some(Shape::List { items, .. }) = fields.get("listeners") else { panic!("listeners is a list") };
        let Shape::Record { fields, required } = items.as_ref() else { panic!("a listener is a record") };
        assert_eq!(fields.get("port"), Some(&Shape::Integer { min: 1, max: 65535 }));
        assert_eq!(fields.get("protocol"), Some(&Shape::Choice(vec!["http".to_owned()])));
        assert_eq!(required, &["port"]);
    }
}
