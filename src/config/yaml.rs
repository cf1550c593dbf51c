//! YAML with places: where each key and value of a document stands.
//!
//! The events of `granit_parser` give a tree of places, and with it everything that serde cannot tell: keys
//! given twice, aliases, anchors, tags, a second document. The values of a right text are those that `serde_yaml` reads
//! from it. For a hundred thousand routes reading twice would cost half a second; so of a large text
//! ([`LARGE_BYTES`]) the values are made from the tree, word by word as `serde_yaml` reads words, unless there is something in it on
//! which readers are known to differ ([`is_unusual`]). A property test holds the two against each other.
//!
//! The subset: one document, one mapping, keys that are strings and given once. No aliases, anchors,
//! merge keys and tags: `*.example.com` without quotes is an alias, and a file that means something
//! else than it shows is worth less than one that repeats itself.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_yaml::{Mapping, Value};

use super::place::{Findings, Place};
use super::problem::Slug;

mod syntax;
mod tree;

/// 32 MiB: over a hundred thousand routes in full dress.
pub const MAX_BYTES: usize = 32 << 20;
/// Mappings and lists inside each other; the schema needs a dozen.
const MAX_DEPTH: usize = 64;
/// Entries of a mapping that are compared one by one and not put into a table.
const FEW: usize = 16;

/// A document that could be read, whatever is wrong in it.
#[derive(Debug)]
pub struct Document<'t> {
    /// What it says. Keys are strings.
    pub value: Value,
    /// Where it says so.
    pub root: Node<'t>,
}

/// A value's place, and the places in it.
#[derive(Debug)]
pub struct Node<'t> {
    /// Where the value begins.
    pub at: Place,
    /// What it is.
    pub content: Content<'t>,
}

/// What stands at a place.
#[derive(Debug)]
pub enum Content<'t> {
    /// A word without quotes: text, number, boolean or null.
    Plain(Cow<'t, str>),
    /// Text in quotes or as a block.
    Quoted(Cow<'t, str>),
    /// Entries in order.
    List(Vec<Node<'t>>),
    /// Keys in order, those given twice included.
    Mapping(Vec<Entry<'t>>),
    /// An alias, about which a problem is reported.
    Alias,
}

/// A key with its value.
#[derive(Debug)]
pub struct Entry<'t> {
    /// The key.
    pub key: Cow<'t, str>,
    /// Where the key begins.
    pub at: Place,
    /// The value.
    pub node: Node<'t>,
}

/// 1 MiB: below it reading a text twice costs some milliseconds and the values are always `serde_yaml`'s.
const LARGE_BYTES: usize = 1 << 20;

/// Reads a text. None if it cannot be read to its end; then at least one finding says why.
pub fn parse<'t>(text: &'t str, findings: &mut Findings) -> Option<Document<'t>> {
    if text.len() > MAX_BYTES {
        let message = format!("the file is larger than {} MiB", MAX_BYTES >> 20);
        findings.add(Place::START, "", Slug::TooMany, message);
        return None;
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let before = findings.as_slice().len();
    let root = tree::read(text, findings)?;
    if matches!(&root.content, Content::Plain(text) if text.is_empty()) {
        findings.add(Place::START, "", Slug::Syntax, "the file is empty: write at least routes");
        return None;
    }
    let is_good = findings.as_slice().len() == before;
    let value = if is_good && (text.len() < LARGE_BYTES || is_unusual(text)) {
        serde_yaml::from_str(text).map_err(|error| syntax::report_serde(&error, text, findings)).ok()?
    } else {
        root.to_value()
    };
    Some(Document { value, root })
}

/// Markers of documents, directives, block scalars, tabs and lone carriage returns: readers differ in what they make of
/// them in odd places. The marker that many files begin with is none of them.
pub(super) fn is_unusual(text: &str) -> bool {
    let text = text.strip_prefix("---\n").unwrap_or(text);
    let has_lone_return = || text.split('\r').skip(1).any(|tail| !tail.starts_with('\n'));
    text.contains(['|', '>', '\t', '\u{feff}', '\u{85}', '\u{2028}', '\u{2029}'])
        || text.starts_with('%')
        || text.contains("\n%")
        || text.contains("---")
        || text.contains("...")
        || has_lone_return()
}

/// The members of a mapping as written, to be asked by name.
#[derive(Debug)]
pub enum Members<'n, 't> {
    /// So few that looking at each is faster than a table.
    Few(&'n [Entry<'t>]),
    /// By key; of a key given twice the first.
    Many(HashMap<&'n str, &'n Entry<'t>>),
}

impl<'n, 't> Members<'n, 't> {
    /// The entry of this key; of a key given twice the first.
    pub fn get(&self, name: &str) -> Option<&'n Entry<'t>> {
        match self {
            Self::Few(entries) => entries.iter().find(|entry| entry.key == name),
            Self::Many(entries) => entries.get(name).copied(),
        }
    }
}

impl<'t> Node<'t> {
    /// The entries of this mapping; none if it is something else.
    pub fn members(&self) -> Members<'_, 't> {
        match &self.content {
            Content::Mapping(entries) if entries.len() > FEW => {
                Members::Many(entries.iter().rev().map(|entry| (entry.key.as_ref(), entry)).collect())
            }
            Content::Mapping(entries) => Members::Few(entries),
            _ => Members::Few(&[]),
        }
    }

    /// The entry of this index, if this is a list that has it.
    pub fn item(&self, index: usize) -> Option<&Node<'t>> {
        match &self.content {
            Content::List(items) => items.get(index),
            _ => None,
        }
    }

    /// The word as written, if it stands without quotes.
    pub fn plain(&self) -> Option<&str> {
        match &self.content {
            Content::Plain(text) => Some(text),
            _ => None,
        }
    }

    /// Where `routes[0].rules[2].path` stands; of a path that is not written, its nearest written parent.
    pub fn place_of(&self, path: &str) -> Place {
        let (mut node, mut place, mut rest) = (self, self.at, path);
        while !rest.is_empty() {
            let step = match &node.content {
                Content::List(items) => step_into_list(items, rest).map(|(item, tail)| (item, item.at, tail)),
                Content::Mapping(entries) => {
                    let rest = rest.strip_prefix('.').unwrap_or(rest);
                    step_into_mapping(entries, rest).map(|(entry, tail)| (&entry.node, entry.place(), tail))
                }
                _ => None,
            };
            let Some((next, at, tail)) = step else { break };
            (node, place, rest) = (next, at, tail);
        }
        place
    }

    /// The values as they would be without what was found wrong: the first of a key given twice counts.
    pub(super) fn to_value(&self) -> Value {
        match &self.content {
            Content::Plain(text) => resolve(text),
            Content::Quoted(text) => Value::String(text.to_string()),
            Content::List(items) => Value::Sequence(items.iter().map(Node::to_value).collect()),
            Content::Mapping(entries) => {
                let mut mapping = Mapping::with_capacity(entries.len());
                for entry in entries {
                    let key = Value::String(entry.key.to_string());
                    mapping.entry(key).or_insert_with(|| entry.node.to_value());
                }
                Value::Mapping(mapping)
            }
            Content::Alias => Value::Null,
        }
    }
}

impl Entry<'_> {
    /// Where to point for this field: at a word itself, at the key of a list, a mapping or nothing.
    pub fn place(&self) -> Place {
        match &self.node.content {
            Content::Plain(text) if text.is_empty() => self.at,
            Content::List(_) | Content::Mapping(_) => self.at,
            _ => self.node.at,
        }
    }
}

/// Appends a key to a path. Keys are users' text: what could break a line, or fill a screen, is shown
/// escaped and cut.
pub fn push_key(path: &mut String, key: &str) {
    const MAX_SHOWN: usize = 128;
    if !path.is_empty() {
        path.push('.');
    }
    if key.len() <= MAX_SHOWN && !key.chars().any(char::is_control) {
        path.push_str(key);
    } else {
        path.extend(key.chars().take(MAX_SHOWN).flat_map(char::escape_debug));
    }
}

fn step_into_list<'n, 't, 'p>(items: &'n [Node<'t>], rest: &'p str) -> Option<(&'n Node<'t>, &'p str)> {
    let (index, tail) = rest.strip_prefix('[')?.split_once(']')?;
    Some((items.get(index.parse::<usize>().ok()?)?, tail))
}

/// Keys may hold dots and brackets: the longest that fits is meant.
fn step_into_mapping<'n, 't, 'p>(entries: &'n [Entry<'t>], rest: &'p str) -> Option<(&'n Entry<'t>, &'p str)> {
    let fits = entries.iter().filter_map(|entry| {
        let tail = rest.strip_prefix(entry.key.as_ref())?;
        (tail.is_empty() || tail.starts_with(['.', '['])).then_some((entry, tail))
    });
    fits.min_by_key(|(_, tail)| tail.len())
}

/// The typed value of a word without quotes.
fn resolve(word: &str) -> Value {
    if is_surely_text(word) {
        return Value::String(word.to_owned());
    }
    match serde_yaml::from_str(word) {
        Ok(value @ (Value::Null | Value::Bool(_) | Value::Number(_))) => value,
        _ => Value::String(word.to_owned()),
    }
}

/// Numbers begin with a digit, a sign or a point, and the words that mean something else have five letters at
/// most: saves asking for nearly every key and value.
fn is_surely_text(word: &str) -> bool {
    match word.as_bytes().first() {
        None | Some(b'0'..=b'9' | b'+' | b'-' | b'.' | b'~') => false,
        Some(b'n' | b'N' | b't' | b'T' | b'f' | b'F') => word.len() > 5,
        Some(_) => true,
    }
}

#[cfg(test)]
mod tests;
