//! Names and types of a written document against the schema.
//!
//! serde stops at the first mistake, knows no places, and overlooks unknown names where types are
//! flattened. So the document is walked here, beside the tree of its places, and everything is
//! reported at once. What cannot be read is replaced by something of the right type: then serde reads
//! the rest and `describe` can say what else is wrong. Whoever reads the result must drop what
//! `describe` says about replaced parts.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_yaml::{Mapping, Value};

use super::place::{Findings, Place};
use super::problem::Slug;
use super::shape::Shape;
use super::vocabulary::{explain_field, explain_word, later_fields_in_objects};
use super::yaml::{Content, Document, Entry, Members, Node, push_key};

/// Keys whose entries may be a bare URL, which stands for `{url: ...}`; in the file only.
const MAY_BE_URL: [&str; 2] = ["backends", "endpoints"];

/// Endpoints of an upstream in a file. Kubernetes knows Services of some ten thousand pods.
const MAX_ENDPOINTS_IN_FILES: usize = 65_536;

/// Which of the two is read: what may be written differs a little.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skin {
    /// A configuration file.
    File,
    /// A Kubernetes object.
    Object,
}

/// Reports all that does not fit, and makes the document fit.
pub fn check(document: &mut Document<'_>, shape: &Shape, skin: Skin, findings: &mut Findings) {
    let mut walk = Walk { findings, path: String::new(), skin };
    let spot = Spot { node: Some(&document.root), at: document.root.at, key: "", parent: "", is_entry: false };
    walk.visit(&mut document.value, shape, spot);
}

/// Where the walk stands.
#[derive(Clone, Copy)]
struct Spot<'n, 't> {
    /// The value's places; none below what was put in by us.
    node: Option<&'n Node<'t>>,
    /// Where to point.
    at: Place,
    /// The nearest key above.
    key: &'n str,
    /// The key above that: `limits` of a listener are not those of an upstream.
    parent: &'n str,
    /// An entry of a list or map, as opposed to the value of a field.
    is_entry: bool,
}

impl<'n, 't> Spot<'n, 't> {
    /// The spot of a member, given the members written here.
    fn below(&self, name: &'n str, written: &Members<'n, 't>, is_entry: bool) -> Self {
        let entry = written.get(name);
        let at = entry.map_or(self.at, Entry::place);
        Spot { node: entry.map(|entry| &entry.node), at, key: name, parent: self.key, is_entry }
    }
}

struct Walk<'f> {
    findings: &'f mut Findings,
    path: String,
    skin: Skin,
}

impl Walk<'_> {
    fn visit(&mut self, value: &mut Value, shape: &Shape, spot: Spot<'_, '_>) {
        if spot.node.is_some_and(|node| matches!(node.content, Content::Alias)) {
            *value = filler(shape);
            return;
        }
        if value.is_null() {
            let what = if spot.is_entry { "the entry" } else { "the key" };
            self.refuse(value, shape, spot, format!("must not be null: leave {what} out"));
            return;
        }
        match shape {
            Shape::Text { min, max, form } => self.text(value, shape, (*min, *max, form.as_deref()), spot),
            Shape::Choice(words) => self.choice(value, shape, words, spot),
            Shape::Integer { min, max } => self.integer(value, shape, (*min, *max), spot),
            Shape::Boolean => {
                if !value.is_bool() {
                    let got = show(value, spot.node);
                    self.refuse(value, shape, spot, format!("must be true or false, got {got}"));
                }
            }
            Shape::IntegerOrText => self.integer_or_text(value, shape, spot),
            Shape::List { items, min, max } => self.list(value, shape, items, (*min, *max), spot),
            Shape::Map { values, max } => self.map(value, shape, values, *max, spot),
            Shape::Record { fields, required } => self.record(value, shape, (fields, required), spot),
            Shape::Any => {}
        }
    }

    fn text(
        &mut self,
        value: &mut Value,
        shape: &Shape,
        (min, max, form): (usize, usize, Option<&str>),
        spot: Spot<'_, '_>,
    ) {
        let Some(text) = value.as_str() else {
            let got = show(value, spot.node);
            if let Some(form) = form {
                self.refuse(value, shape, spot, format!("{form}; got {got}"));
                return;
            }
            let hint = if value.is_number() || value.is_bool() {
                format!(": write {:?}", written(value, spot.node))
            } else {
                String::new()
            };
            self.refuse(value, shape, spot, format!("must be a string, got {got}{hint}"));
            return;
        };
        let length = text.chars().count();
        if length < min {
            self.add(spot.at, Slug::WrongType, too_few(min, "characters"));
        } else if length > max {
            let message = format!("must be at most {max} characters long, has {length}");
            self.add(spot.at, Slug::TooMany, message);
        }
    }

    fn choice(&mut self, value: &mut Value, shape: &Shape, words: &[String], spot: Spot<'_, '_>) {
        let Some(word) = value.as_str() else {
            let (got, words) = (show(value, spot.node), words.join(", "));
            self.refuse(value, shape, spot, format!("must be one of {words}; got {got}"));
            return;
        };
        if !words.iter().any(|known| known == word) {
            let unknown = explain_word(spot.key, word, words.iter().map(String::as_str));
            self.add(spot.at, unknown.slug, unknown.message);
            *value = filler(shape);
        }
    }

    fn integer(&mut self, value: &mut Value, shape: &Shape, (min, max): (i64, i64), spot: Spot<'_, '_>) {
        if let Some(number) = value.as_i64() {
            if number < min || number > max {
                self.refuse(value, shape, spot, format!("must be {min} to {max}, got {number}"));
            }
            return;
        }
        let got = show(value, spot.node);
        let hint = match value.as_str().map(str::parse::<i64>) {
            Some(Ok(number)) => format!(": write {number} without quotes"),
            _ => String::new(),
        };
        self.refuse(value, shape, spot, format!("must be a whole number, got {got}{hint}"));
    }

    fn integer_or_text(&mut self, value: &mut Value, shape: &Shape, spot: Spot<'_, '_>) {
        let fits = value.is_string() || value.as_i64().is_some_and(|number| i32::try_from(number).is_ok());
        if !fits {
            let got = show(value, spot.node);
            self.refuse(value, shape, spot, format!("must be a whole number or a name, got {got}"));
        }
    }

    fn list(
        &mut self,
        value: &mut Value,
        shape: &Shape,
        items: &Shape,
        (min, max): (usize, usize),
        spot: Spot<'_, '_>,
    ) {
        let Some(entries) = value.as_sequence_mut() else {
            let got = show(value, spot.node);
            let hint = match value {
                Value::String(_) | Value::Number(_) => format!(": write [{}]", source(value, spot.node)),
                Value::Mapping(_) => ": write - before its first key".to_owned(),
                _ => String::new(),
            };
            self.refuse(value, shape, spot, format!("must be a list, got {got}{hint}"));
            return;
        };
        // A dump has as many endpoints as a Service had.
        let max = if self.skin == Skin::File && spot.key == "endpoints" { MAX_ENDPOINTS_IN_FILES } else { max };
        if entries.len() < min {
            self.add(spot.at, Slug::WrongType, too_few(min, "entries"));
        } else if entries.len() > max {
            let message = format!("must have at most {max} entries, has {}", entries.len());
            self.add(spot.at, Slug::TooMany, message);
            // Later passes count on the bound.
            entries.truncate(max);
        }
        let length = self.path.len();
        for (index, entry) in entries.iter_mut().enumerate() {
            // Writing to a string cannot fail.
            let _ = write!(self.path, "[{index}]");
            let node = spot.node.and_then(|node| node.item(index));
            let at = node.map_or(spot.at, |node| node.at);
            if self.skin == Skin::File && MAY_BE_URL.contains(&spot.key) && entry.is_string() {
                let url = entry.clone();
                *entry = Value::Mapping(Mapping::from_iter([(Value::from("url"), url)]));
            }
            self.visit(entry, items, Spot { node, at, is_entry: true, ..spot });
            self.path.truncate(length);
        }
    }

    fn map(&mut self, value: &mut Value, shape: &Shape, values: &Shape, max: usize, spot: Spot<'_, '_>) {
        let Some(members) = value.as_mapping_mut() else {
            let got = show(value, spot.node);
            self.refuse(value, shape, spot, format!("must be a mapping of names to values, got {got}"));
            return;
        };
        if members.len() > max {
            let message = format!("must have at most {max} entries, has {}", members.len());
            self.add(spot.at, Slug::TooMany, message);
            *members = std::mem::take(members).into_iter().take(max).collect();
        }
        let written = spot.node.map_or(Members::Few(&[]), Node::members);
        for (name, member) in members.iter_mut() {
            let Some(name) = name.as_str() else { continue };
            self.member(name, member, values, spot.below(name, &written, true));
        }
    }

    fn record(
        &mut self,
        value: &mut Value,
        shape: &Shape,
        (fields, required): (&BTreeMap<String, Shape>, &[String]),
        spot: Spot<'_, '_>,
    ) {
        let Some(members) = value.as_mapping_mut() else {
            let got = show(value, spot.node);
            self.refuse(value, shape, spot, format!("must be a mapping, got {got}"));
            return;
        };
        let mut meant: Vec<String> = Vec::new();
        let written = spot.node.map_or(Members::Few(&[]), Node::members);
        for (name, member) in members.iter_mut() {
            let Some(name) = name.as_str() else { continue };
            let is_for_files = self.skin == Skin::Object && later_fields_in_objects(spot.key).contains(&name);
            match fields.get(name) {
                _ if is_for_files => {
                    let at = written.get(name).map_or(spot.at, |entry| entry.at);
                    self.add_below(name, at, Slug::NotSupported, "not supported yet".to_owned());
                }
                Some(field) => self.member(name, member, field, spot.below(name, &written, false)),
                None => {
                    let at = written.get(name).map_or(spot.at, |entry| entry.at);
                    meant.extend(self.unknown(name, fields, at, (spot.parent, spot.key)));
                }
            }
        }
        for name in required {
            let Some(field) = fields.get(name) else { continue };
            if members.contains_key(name.as_str()) {
                continue;
            }
            members.insert(Value::from(name.as_str()), filler(field));
            if !meant.contains(name) {
                self.add(spot.at, Slug::WrongType, format!("{name} is missing"));
            }
        }
    }

    fn member(&mut self, name: &str, member: &mut Value, shape: &Shape, spot: Spot<'_, '_>) {
        let length = self.path.len();
        push_key(&mut self.path, name);
        self.visit(member, shape, spot);
        self.path.truncate(length);
    }

    /// Returns the field that was probably meant.
    fn unknown(
        &mut self,
        name: &str,
        fields: &BTreeMap<String, Shape>,
        at: Place,
        place: (&str, &str),
    ) -> Option<String> {
        let unknown = explain_field(place, name, fields.keys().map(String::as_str));
        self.add_below(name, at, unknown.slug, unknown.message);
        unknown.meant
    }

    fn add_below(&mut self, name: &str, at: Place, slug: Slug, message: String) {
        let length = self.path.len();
        push_key(&mut self.path, name);
        self.add(at, slug, message);
        self.path.truncate(length);
    }

    /// Reports a value of the wrong type and replaces it.
    fn refuse(&mut self, value: &mut Value, shape: &Shape, spot: Spot<'_, '_>, message: String) {
        self.add(spot.at, Slug::WrongType, message);
        *value = filler(shape);
    }

    fn add(&mut self, at: Place, slug: Slug, message: impl Into<String>) {
        self.findings.add(at, self.path.clone(), slug, message);
    }
}

/// The least value that serde reads.
fn filler(shape: &Shape) -> Value {
    match shape {
        Shape::Text { .. } | Shape::IntegerOrText => Value::from(""),
        Shape::Choice(words) => Value::from(words.first().map(String::as_str).unwrap_or_default()),
        Shape::Integer { min, max } => Value::from(0.clamp(*min, *max)),
        Shape::Boolean => Value::from(false),
        Shape::List { .. } => Value::Sequence(Vec::new()),
        Shape::Map { .. } => Value::Mapping(Mapping::new()),
        Shape::Record { fields, required } => {
            let members =
                required.iter().filter_map(|name| Some((Value::from(name.as_str()), filler(fields.get(name)?))));
            Value::Mapping(members.collect())
        }
        Shape::Any => Value::Null,
    }
}

fn too_few(min: usize, things: &str) -> String {
    if min == 1 { "must not be empty".to_owned() } else { format!("must have at least {min} {things}") }
}

/// A value in a message, with its type.
fn show(value: &Value, node: Option<&Node<'_>>) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => format!("the boolean {}", written(value, node)),
        Value::Number(_) => format!("the number {}", written(value, node)),
        Value::String(_) => format!("the string {:?}", written(value, node)),
        Value::Sequence(_) => "a list".to_owned(),
        Value::Mapping(_) | Value::Tagged(_) => "a mapping".to_owned(),
    }
}

/// A value as YAML, for a hint.
fn source(value: &Value, node: Option<&Node<'_>>) -> String {
    match value {
        Value::String(_) => format!("{:?}", written(value, node)),
        _ => written(value, node),
    }
}

/// A scalar as written, cut to what fits a line: `1.10` is not `1.1`.
fn written(value: &Value, node: Option<&Node<'_>>) -> String {
    const MAX_SHOWN: usize = 60;
    let text = match (node.and_then(Node::plain), value) {
        (Some(plain), _) => plain.to_owned(),
        (None, Value::String(text)) => text.clone(),
        (None, Value::Bool(value)) => value.to_string(),
        (None, Value::Number(value)) => value.to_string(),
        (None, _) => String::new(),
    };
    if text.chars().count() <= MAX_SHOWN {
        return text;
    }
    text.chars().take(MAX_SHOWN).chain(['…']).collect()
}
