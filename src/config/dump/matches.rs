//! What a request must look like.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::config::pattern::Pattern;
use crate::config::route::{Condition, Match, NameEquals, PathMatch, Subject, Test};
use crate::config::spec::{ConditionSpec, RuleFields};

use super::unit;

/// The fields of a match. `written_path`: the path as its author wrote it, if that is known.
pub fn write(matches: &Match, written_path: Option<&str>, spec: &mut RuleFields) {
    let as_written = |path: &String| written_path.unwrap_or(path).to_owned();
    match &matches.path {
        PathMatch::Prefix(path) => spec.path = Some(as_written(path)),
        PathMatch::Exact(path) => spec.exact_path = Some(path.clone()),
        PathMatch::Regex(pattern) => spec.path_regex = Some(path_pattern(pattern)),
    }
    let methods: Vec<String> = matches.methods.iter().map(|method| method.as_str().to_owned()).collect();
    spec.methods = Some(methods).filter(|methods| !methods.is_empty());
    let mut conditions: Vec<ConditionSpec> = Vec::new();
    let mut headers = BTreeMap::new();
    for header in &matches.headers {
        let (name, value) = (header.name.as_str().to_owned(), header.value.clone());
        match headers.entry(name) {
            Entry::Vacant(place) => drop(place.insert(value)),
            // Both spellings of a name were written. One of them as a condition asks the same.
            Entry::Occupied(known) => {
                let (header, any_of) = (Some(known.key().clone()), Some(vec![value]));
                conditions.push(ConditionSpec { header, any_of, ..ConditionSpec::default() });
            }
        }
    }
    spec.headers = Some(headers).filter(|headers| !headers.is_empty());
    spec.query = equals(&matches.query);
    spec.cookies = equals(&matches.cookies);
    conditions.extend(matches.conditions.iter().map(condition));
    spec.conditions = Some(conditions).filter(|conditions| !conditions.is_empty());
}

/// A pattern that does not compile stands for all that begins like it. It is written as long as it was, where that can be,
/// since of two patterns the longer one goes first.
pub fn path_pattern(pattern: &Pattern) -> String {
    let written = pattern.as_str();
    if Pattern::parse(written).is_ok() {
        return written.to_owned();
    }
    // Nothing in it has a meaning of its own.
    let literal = pattern.literal_prefix();
    let room = written.len().saturating_sub(literal.len() + ANYTHING.len());
    let anything = match room % EMPTY.len() {
        0 => ".*",
        1 => ".*?",
        2 => ".*.*",
        _ => ".*.*?",
    };
    format!("{literal}{anything}{}", EMPTY.repeat(room / EMPTY.len()))
}

/// The shortest pattern for all there is.
const ANYTHING: &str = ".*";
/// A pattern for nothing at all, to fill up with.
const EMPTY: &str = "(?:)";

fn equals(list: &[NameEquals]) -> Option<BTreeMap<String, String>> {
    let map: BTreeMap<String, String> = list.iter().map(|equals| (equals.name.clone(), equals.value.clone())).collect();
    Some(map).filter(|map| !map.is_empty())
}

fn condition(condition: &Condition) -> ConditionSpec {
    let mut spec = ConditionSpec::default();
    match condition {
        Condition::ClientAddress(ranges) => spec.client_address = Some(unit::ranges(ranges)),
        Condition::Values(subject, test) => {
            match subject {
                Subject::Header(name) => spec.header = Some(name.clone()),
                Subject::Query(name) => spec.query = Some(name.clone()),
                Subject::Cookie(name) => spec.cookie = Some(name.clone()),
            }
            match test {
                Test::AnyOf(values) => spec.any_of = Some(values.clone()),
                Test::NoneOf(values) => spec.none_of = Some(values.clone()),
                Test::Prefix(prefix) => spec.prefix = Some(prefix.clone()),
                Test::Regex(pattern) => spec.regex = Some(pattern.as_str().to_owned()),
                Test::Present(present) => spec.present = Some(*present),
            }
        }
    }
    spec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_pattern_covers_the_same_and_is_as_long() {
        for broken in ["/a/[0-9", "/a/b(", "/x-y~z/[[[[[[[[[", "/[", "(", "/a/(?P<id>[0-9]+"] {
            let pattern = Pattern::literal_beginning(broken);
            let written = path_pattern(&pattern);
            let read = Pattern::parse(&written).unwrap();
            for value in ["/a/1", "/a/b", "/x-y~z/", "/", "", "/a/\n"] {
                assert_eq!(read.matches(value), pattern.matches(value), "{broken} became {written}: {value}");
            }
            let least = pattern.literal_prefix().len() + ANYTHING.len();
            assert_eq!(written.len(), broken.len().max(least), "{broken} became {written}");
        }
    }
}
