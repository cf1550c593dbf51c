//! The tree of places, made from the parser's events, and what must be refused while it is made.
//!
//! No recursion: depth is a bound of ours and not of the stack. A key that is no string is reported and
//! left out with its value, so that nothing is said about it twice.

use std::borrow::Cow;
use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Span, Tag};
use serde_yaml::Value;

use super::{Content, Entry, FEW, MAX_DEPTH, Node, push_key, resolve, syntax};
use crate::config::place::{Findings, Place};
use crate::config::problem::Slug;

/// Reads a text as a tree of places. None if it cannot be read to its end.
pub fn read<'t>(text: &'t str, findings: &mut Findings) -> Option<Node<'t>> {
    Reader { stack: Vec::new(), root: None, findings }.read(text)
}

/// A list or mapping whose end has not been read.
enum Open<'t> {
    List { at: Place, items: Vec<Node<'t>> },
    Mapping { at: Place, entries: Vec<Entry<'t>>, key: Option<Key<'t>> },
}

/// A key whose value has not been read.
struct Key<'t> {
    /// None: not a string, which is reported; its value is left out.
    text: Option<Cow<'t, str>>,
    at: Place,
}

struct Reader<'t, 'f> {
    stack: Vec<Open<'t>>,
    root: Option<Node<'t>>,
    findings: &'f mut Findings,
}

impl<'t> Reader<'t, '_> {
    fn read(mut self, text: &'t str) -> Option<Node<'t>> {
        let options = granit_parser::options! {
            emit_unresolved_aliases: true,
            emit_comments: false,
            flow_nesting_limit: MAX_DEPTH,
            block_nesting_limit: MAX_DEPTH,
        };
        for event in Parser::new_from_str_with_options(text, options) {
            let (event, span) = match event {
                Ok(event) => event,
                Err(error) => {
                    syntax::report(&error, text, self.findings);
                    return None;
                }
            };
            if self.stack.len() >= MAX_DEPTH {
                self.add(begin(&span), Slug::Syntax, syntax::too_deep(MAX_DEPTH));
                return None;
            }
            if self.is_second_document(&event, &span) {
                break;
            }
            self.take(event, &span);
        }
        let nothing = || Node { at: Place::START, content: Content::Plain(Cow::Borrowed("")) };
        Some(self.root.unwrap_or_else(nothing))
    }

    fn is_second_document(&mut self, event: &Event<'t>, span: &Span) -> bool {
        let is_second = matches!(event, Event::DocumentStart(..)) && self.root.is_some();
        if is_second {
            let message = "a file holds one document: move this one to a file of its own";
            self.add(begin(span), Slug::Syntax, message);
        }
        is_second
    }

    fn take(&mut self, event: Event<'t>, span: &Span) {
        let at = begin(span);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_extras(anchor, tag.as_deref(), span);
                let content = match style {
                    // Where nothing is written the parser says null.
                    ScalarStyle::Plain if span.is_empty() => Content::Plain(Cow::Borrowed("")),
                    ScalarStyle::Plain => Content::Plain(text),
                    _ => Content::Quoted(text),
                };
                self.close(Node { at, content });
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse_extras(anchor, tag.as_deref(), span);
                self.stack.push(Open::List { at, items: Vec::new() });
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse_extras(anchor, tag.as_deref(), span);
                self.stack.push(Open::Mapping { at, entries: Vec::new(), key: None });
            }
            Event::SequenceEnd | Event::MappingEnd => match self.stack.pop() {
                Some(Open::List { at, items }) => self.close(Node { at, content: Content::List(items) }),
                Some(Open::Mapping { at, entries, .. }) => {
                    self.refuse_duplicates(&entries);
                    self.close(Node { at, content: Content::Mapping(entries) });
                }
                None => {}
            },
            Event::Alias(_) => {
                let message = "YAML aliases are not supported: write the value out again";
                self.add(at, Slug::YamlStar, message);
                self.close(Node { at, content: Content::Alias });
            }
            Event::UnresolvedAlias(name) => {
                let message = format!("a value beginning with * is a YAML alias: write \"*{name}\" in quotes");
                self.add(at, Slug::YamlStar, message);
                self.close(Node { at, content: Content::Alias });
            }
            _ => {}
        }
    }

    /// A node is complete: it is a key, a value, an entry or the whole.
    fn close(&mut self, node: Node<'t>) {
        if let Some(Open::Mapping { key: None, .. }) = self.stack.last() {
            let read = self.key(node);
            if let Some(Open::Mapping { key, .. }) = self.stack.last_mut() {
                *key = Some(read);
            }
            return;
        }
        match self.stack.last_mut() {
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Mapping { entries, key, .. }) => {
                if let Some(Key { text: Some(key), at }) = key.take() {
                    entries.push(Entry { key, at, node });
                }
            }
            None => self.root = Some(node),
        }
    }

    fn key(&mut self, node: Node<'t>) -> Key<'t> {
        let at = node.at;
        let got = match node.content {
            Content::Quoted(text) => return Key { text: Some(text), at },
            Content::Plain(text) if text == "<<" => {
                self.add(at, Slug::Syntax, "merge keys (<<) are not supported: write the fields out");
                return Key { text: None, at };
            }
            Content::Plain(text) => match resolve(&text) {
                Value::Number(_) => format!("the number {text}: write {text:?}"),
                Value::Bool(_) => format!("the boolean {text}: write {text:?}"),
                Value::Null if text.is_empty() => "nothing".to_owned(),
                Value::Null => format!("null: write {text:?}"),
                _ => return Key { text: Some(text), at },
            },
            Content::List(_) => "a list".to_owned(),
            Content::Mapping(_) => "a mapping".to_owned(),
            Content::Alias => return Key { text: None, at },
        };
        self.add(at, Slug::WrongType, format!("a key must be a string, got {got}"));
        Key { text: None, at }
    }

    fn refuse_extras(&mut self, anchor: usize, tag: Option<&Tag>, span: &Span) {
        if anchor != 0 {
            let message = "a value beginning with & is a YAML anchor, which is not supported: write the value out \
                           where it is used, or in quotes if the & belongs to it";
            self.add(begin(span), Slug::Syntax, message);
        }
        if let Some(tag) = tag {
            let at = span.tag_start().map_or_else(|| begin(span), |mark| place(&mark));
            let message = format!("YAML tags ({}) are not supported: write the value alone", tag.original());
            self.add(at, Slug::Syntax, message);
        }
    }

    fn refuse_duplicates(&mut self, entries: &[Entry<'t>]) {
        let is_new = |(index, entry): (usize, &Entry<'t>)| entries[..index].iter().all(|other| other.key != entry.key);
        if entries.len() <= FEW && entries.iter().enumerate().all(is_new) {
            return;
        }
        let mut first: HashMap<&str, Place> = HashMap::with_capacity(entries.len());
        for entry in entries {
            let Some(known) = first.get(entry.key.as_ref()) else {
                first.insert(&entry.key, entry.at);
                continue;
            };
            let mut path = self.path();
            push_key(&mut path, &entry.key);
            let lines = match (known.line, entry.at.line) {
                (one, other) if one == other => format!("in line {one}"),
                (one, other) => format!("in lines {one} and {other}"),
            };
            let message = format!("the key {:?} is given twice, {lines}", entry.key);
            self.findings.add(entry.at, path, Slug::YamlDuplicate, message);
        }
    }

    fn add(&mut self, at: Place, slug: Slug, message: impl Into<String>) {
        let path = self.path();
        self.findings.add(at, path, slug, message);
    }

    /// Of the node that is being read.
    fn path(&self) -> String {
        let mut path = String::new();
        for open in &self.stack {
            match open {
                Open::List { items, .. } => path.push_str(&format!("[{}]", items.len())),
                Open::Mapping { key: Some(key), .. } => push_key(&mut path, key.text.as_deref().unwrap_or("?")),
                Open::Mapping { key: None, .. } => {}
            }
        }
        path
    }
}

fn begin(span: &Span) -> Place {
    place(&span.start)
}

/// The parser counts lines from 1 and columns from 0.
pub fn place(mark: &granit_parser::Marker) -> Place {
    Place { line: mark.line().max(1), column: mark.col() + 1 }
}
