//! What a request must look like. A condition that is broken counts as true: the rule is off, and its place must
//! not become smaller than it was meant to be.

use http::{HeaderName, HeaderValue};

use super::at::At;
use super::form::{good_beginning, is_path_form, strip_final_slash};
use super::reader::Reader;
use crate::config::pattern::Pattern;
use crate::config::problem::Slug;
use crate::config::route::{Condition, HeaderEquals, Match, NameEquals, PathMatch, Subject, Test};
use crate::config::schema::PATH_MESSAGE;
use crate::config::spec::{ConditionSpec, RuleFields};

impl Reader<'_> {
    pub(super) fn matches(&mut self, spec: &RuleFields, at: At<'_>) -> Match {
        let path = self.path(spec, at);
        let mut matches = Match::path(path);
        if let Some(methods) = &spec.methods {
            matches.methods = self.methods(methods, at.field("methods"));
        }
        if spec.headers.is_some() {
            matches.headers = self.headers(spec, at.field("headers"));
        }
        for (name, value) in spec.query.iter().flatten() {
            let at = at.field("query");
            matches.query.extend(self.name_equals(name, value, "a query parameter", at.name(name)));
        }
        for (name, value) in spec.cookies.iter().flatten() {
            let at = at.field("cookies");
            let equals = self.name_equals(name, value, "a cookie", at.name(name));
            matches.cookies.extend(equals);
        }
        for (index, condition) in spec.conditions.iter().flatten().enumerate() {
            matches.conditions.extend(self.condition(condition, at.field("conditions").index(index)));
        }
        matches.conditions.sort();
        matches.conditions.dedup();
        matches
    }

    fn path(&mut self, spec: &RuleFields, at: At<'_>) -> PathMatch {
        let kinds = [spec.path.is_some(), spec.exact_path.is_some(), spec.path_regex.is_some()];
        if kinds.into_iter().filter(|is_set| *is_set).count() > 1 {
            self.note(at, Slug::OnePath, "set only one of path, exactPath, pathRegex");
        }
        match (&spec.path, &spec.exact_path, &spec.path_regex) {
            (Some(prefix), _, _) if is_path_form(prefix) => PathMatch::Prefix(strip_final_slash(prefix)),
            (Some(bad), _, _) => self.broken_path(bad, at.field("path")),
            (None, Some(exact), _) if is_path_form(exact) => PathMatch::Exact(exact.clone()),
            (None, Some(bad), _) => self.broken_path(bad, at.field("exactPath")),
            (None, None, Some(regex)) => {
                let pattern = self.pattern(regex, at.field("pathRegex"));
                PathMatch::Regex(pattern.unwrap_or_else(|| Pattern::literal_beginning(regex)))
            }
            (None, None, None) => PathMatch::Prefix("/".to_owned()),
        }
    }

    fn broken_path(&mut self, text: &str, at: At<'_>) -> PathMatch {
        self.note(at, Slug::PathForm, PATH_MESSAGE);
        PathMatch::Prefix(good_beginning(text))
    }

    fn headers(&mut self, spec: &RuleFields, at: At<'_>) -> Vec<HeaderEquals> {
        let mut headers = Vec::new();
        for (name, value) in spec.headers.iter().flatten() {
            let place = at.name(name);
            match (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
                (Ok(name), Ok(_)) => headers.push(HeaderEquals { name, value: value.clone() }),
                (Err(_), _) => self.note(place, Slug::HttpForm, "is not a header name"),
                (_, Err(_)) => self.note(place, Slug::HttpForm, "a header value may not contain a line break"),
            }
        }
        headers.sort();
        headers
    }

    fn name_equals(&mut self, name: &str, value: &str, what: &str, at: At<'_>) -> Option<NameEquals> {
        if !is_name(name) {
            self.note(at, Slug::HttpForm, format!("is not the name of {what}"));
            return None;
        }
        Some(NameEquals { name: name.to_owned(), value: value.to_owned() })
    }

    fn condition(&mut self, spec: &ConditionSpec, at: At<'_>) -> Option<Condition> {
        let subjects =
            [spec.header.is_some(), spec.query.is_some(), spec.cookie.is_some(), spec.client_address.is_some()];
        let is_one_subject = subjects.into_iter().filter(|is_set| *is_set).count() == 1;
        if !is_one_subject {
            let message = "a condition looks at exactly one of header, query, cookie, clientAddress";
            self.note(at, Slug::ConditionSubject, message);
        }
        let tests = [
            spec.any_of.is_some(),
            spec.none_of.is_some(),
            spec.prefix.is_some(),
            spec.regex.is_some(),
            spec.present.is_some(),
        ];
        let tests = tests.into_iter().filter(|is_set| *is_set).count();
        if tests != usize::from(spec.client_address.is_none()) {
            let message = if spec.client_address.is_some() {
                "clientAddress stands alone, without anyOf, noneOf, prefix, regex, present"
            } else {
                "a condition needs exactly one of anyOf, noneOf, prefix, regex, present"
            };
            self.note(at, Slug::ConditionOperator, message);
            return None;
        }
        if let Some(ranges) = &spec.client_address {
            let mut ranges = self.whole(ranges.len(), |reader| reader.ranges(ranges, at.field("clientAddress")))?;
            ranges.sort();
            ranges.dedup();
            return is_one_subject.then_some(Condition::ClientAddress(ranges));
        }
        let subject = self.subject(spec, at);
        let test = self.test(spec, at);
        if is_one_subject { Some(Condition::Values(subject?, test?)) } else { None }
    }

    /// A list of which every entry could be read: with less of it the condition would be another one.
    fn whole<T>(&mut self, wanted: usize, read: impl FnOnce(&mut Self) -> Vec<T>) -> Option<Vec<T>> {
        let list = read(self);
        (list.len() == wanted).then_some(list)
    }

    fn subject(&mut self, spec: &ConditionSpec, at: At<'_>) -> Option<Subject> {
        if let Some(name) = &spec.header {
            let read = HeaderName::from_bytes(name.as_bytes()).map_err(|_| "is not a header name");
            let name = self.take(read, at.field("header"), Slug::HttpForm)?;
            return Some(Subject::Header(name.as_str().to_owned()));
        }
        let (name, place, what) = match (&spec.query, &spec.cookie) {
            (Some(name), _) => (name, at.field("query"), "a query parameter"),
            (None, Some(name)) => (name, at.field("cookie"), "a cookie"),
            (None, None) => return None,
        };
        if !is_name(name) {
            self.note(place, Slug::HttpForm, format!("is not the name of {what}"));
            return None;
        }
        Some(if spec.query.is_some() { Subject::Query(name.clone()) } else { Subject::Cookie(name.clone()) })
    }

    fn test(&mut self, spec: &ConditionSpec, at: At<'_>) -> Option<Test> {
        let sorted = |values: &Vec<String>| {
            let mut values = values.clone();
            values.sort();
            values.dedup();
            values
        };
        if let Some(values) = &spec.any_of {
            return Some(Test::AnyOf(sorted(values)));
        }
        if let Some(values) = &spec.none_of {
            return Some(Test::NoneOf(sorted(values)));
        }
        if let Some(prefix) = &spec.prefix {
            return Some(Test::Prefix(prefix.clone()));
        }
        if let Some(regex) = &spec.regex {
            return self.pattern(regex, at.field("regex")).map(Test::Regex);
        }
        spec.present.map(Test::Present)
    }
}

/// Names of query parameters and cookies: something, and on one line.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(char::is_control)
}
