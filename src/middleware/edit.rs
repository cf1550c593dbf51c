//! Changes to headers, compiled once for a rule: what goes, and what is written behind the rest.
//!
//! Several edits act in a row, those of the rule and then those of the backend, each removing, setting and adding in
//! this order. Whatever they are, together they do two things: some names lose all their values, and some lines are
//! appended. So that is what they are compiled to, and a request costs one look per header instead of a changed map:
//! the head for the server is written directly from the client's headers, leaving out whatever [`Edits::is_removed`],
//! followed by [`Edits::appended`].
//!
//! A later edit sees what the earlier one made: `add X` of the rule followed by `remove X` of the backend adds
//! nothing.
//!
//! Headers that frame the message, belong to one connection or are our own word are refused when the configuration is
//! described ([`is_protected_header`]); should one get here, it is left out.
//!
//! A value that cannot be filled ([`VariableError`]) is not sent, and the header it would have replaced goes all the
//! same: a client's value must not stand where ours was meant to.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::variable::{VariableError, Variables, fill};
use crate::config::message::{HeaderEdit, HeaderEdits, Template, is_protected_header, is_protected_response_header};

/// Header edits in a row, as one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    /// All values that came with the message go.
    removed: Vec<HeaderName>,
    /// Written behind the rest, in this order.
    appended: Vec<(HeaderName, Value)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    /// The same for every request.
    Fixed(HeaderValue),
    Varying(Template),
}

impl Edits {
    /// Edits of a request, the outermost first.
    pub fn of_request<'e>(in_a_row: impl IntoIterator<Item = &'e HeaderEdits>) -> Self {
        Self::compile(in_a_row, is_protected_header)
    }

    /// Edits of an answer, the outermost first.
    pub fn of_response<'e>(in_a_row: impl IntoIterator<Item = &'e HeaderEdits>) -> Self {
        Self::compile(in_a_row, is_protected_response_header)
    }

    fn compile<'e>(in_a_row: impl IntoIterator<Item = &'e HeaderEdits>, is_protected: fn(&HeaderName) -> bool) -> Self {
        let mut edits = Self::default();
        for edit in in_a_row {
            for name in edit.remove.iter().filter(|name| !is_protected(name)) {
                edits.remove(name);
            }
            for edit in edit.set.iter().filter(|edit| !is_protected(&edit.name)) {
                edits.remove(&edit.name);
                edits.append(edit);
            }
            for edit in edit.add.iter().filter(|edit| !is_protected(&edit.name)) {
                edits.append(edit);
            }
        }
        edits
    }

    fn remove(&mut self, name: &HeaderName) {
        self.appended.retain(|(known, _)| known != name);
        if !self.removed.contains(name) {
            self.removed.push(name.clone());
        }
    }

    fn append(&mut self, edit: &HeaderEdit) {
        let fixed = edit.value.as_text().and_then(|text| HeaderValue::from_bytes(text.as_bytes()).ok());
        let value = fixed.map_or_else(|| Value::Varying(edit.value.clone()), Value::Fixed);
        self.appended.push((edit.name.clone(), value));
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.appended.is_empty()
    }

    /// Whether what came with the message under this name is left out.
    pub fn is_removed(&self, name: &HeaderName) -> bool {
        // Mostly none and rarely more than three: a list is faster than a set.
        self.removed.contains(name)
    }

    /// What is written behind the rest. An error stands for a line that must not be sent.
    pub fn appended<'e>(
        &'e self,
        variables: &'e Variables<'e>,
    ) -> impl Iterator<Item = (&'e HeaderName, Result<HeaderValue, VariableError>)> {
        self.appended.iter().map(|(name, value)| (name, value.fill(variables)))
    }

    /// Changes a map of headers.
    ///
    /// # Errors
    /// The last value that could not be filled. The changes are made all the same, without its line.
    pub fn apply(&self, headers: &mut HeaderMap, variables: &Variables<'_>) -> Result<(), VariableError> {
        for name in &self.removed {
            headers.remove(name);
        }
        let mut result = Ok(());
        for (name, value) in self.appended(variables) {
            match value {
                Ok(value) => {
                    headers.append(name, value);
                }
                Err(error) => result = Err(error),
            }
        }
        result
    }
}

impl Value {
    fn fill(&self, variables: &Variables<'_>) -> Result<HeaderValue, VariableError> {
        match self {
            Self::Fixed(value) => Ok(value.clone()),
            Self::Varying(template) => fill(template, variables),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::message::{Piece, Variable};
    use crate::middleware::variable::tests::{example, template};

    fn name(text: &str) -> HeaderName {
        HeaderName::from_bytes(text.as_bytes()).expect("a name")
    }

    fn edit(of: &str, value: &str) -> HeaderEdit {
        HeaderEdit { name: name(of), value: template(&[Piece::Text(value.to_owned())]) }
    }

    fn map(headers: &[(&str, &str)]) -> HeaderMap {
        headers.iter().map(|(of, value)| (name(of), HeaderValue::from_str(value).expect("a value"))).collect()
    }

    fn changed(edits: &Edits, headers: &[(&str, &str)]) -> Vec<String> {
        let mut map = HeaderMap::new();
        for (of, value) in headers {
            map.append(name(of), HeaderValue::from_str(value).expect("a value"));
        }
        edits.apply(&mut map, &example()).expect("all values can be filled");
        map.iter().map(|(name, value)| format!("{name}: {}", value.to_str().expect("text"))).collect()
    }

    #[test]
    fn remove_set_and_add_in_this_order() {
        let edits = HeaderEdits {
            remove: vec![name("x-a"), name("x-b")],
            set: vec![edit("x-b", "set"), edit("x-c", "set")],
            add: vec![edit("x-b", "added"), edit("x-d", "added")],
        };
        let came = [("x-a", "1"), ("x-b", "1"), ("x-c", "1"), ("x-c", "2"), ("x-d", "1")];
        let mut lines = changed(&Edits::of_response([&edits]), &came);
        lines.sort();
        assert_eq!(lines, ["x-b: added", "x-b: set", "x-c: set", "x-d: 1", "x-d: added"]);
    }

    #[test]
    fn nothing_to_do_is_seen_at_once() {
        assert!(Edits::of_request([&HeaderEdits::default(), &HeaderEdits::default()]).is_empty());
    }

    #[test]
    fn what_frames_a_message_is_never_touched() {
        let all =
            ["host", "content-length", "transfer-encoding", "connection", "upgrade", "x-forwarded-for", "x-request-id"];
        let edits = HeaderEdits {
            remove: all.iter().map(|of| name(of)).collect(),
            set: all.iter().map(|of| edit(of, "7")).collect(),
            add: all.iter().map(|of| edit(of, "7")).collect(),
        };
        assert!(Edits::of_request([&edits]).is_empty());
        let lines = changed(&Edits::of_response([&edits]), &[("content-length", "5"), ("connection", "close")]);
        assert!(lines.contains(&"content-length: 5".to_owned()) && lines.contains(&"connection: close".to_owned()));
        assert!(!lines.iter().any(|line| line.starts_with("transfer-encoding")), "{lines:?}");
    }

    #[test]
    fn h040_a_value_that_cannot_be_filled_is_left_out_and_so_is_what_it_replaces() {
        let url = HeaderEdit { name: name("x-url"), value: template(&[Piece::Variable(Variable::RequestUrl)]) };
        let edits = HeaderEdits { set: vec![url, edit("x-other", "1")], ..HeaderEdits::default() };
        let mut variables = example();
        variables.asked.path = "/a\r\nSet-Cookie: x=1";
        let mut headers = map(&[("x-url", "of the client")]);
        assert_eq!(Edits::of_request([&edits]).apply(&mut headers, &variables), Err(VariableError::Control));
        assert_eq!(headers, map(&[("x-other", "1")]));
    }

    fn any_edits() -> impl Strategy<Value = HeaderEdits> {
        let names = || proptest::sample::select(vec!["x-a", "x-b", "x-c", "accept"]);
        let edits = || proptest::collection::vec((names(), "[a-z]{1,3}"), 0..3);
        let named = |list: Vec<(&str, String)>| list.iter().map(|(of, value)| edit(of, value)).collect();
        (proptest::collection::vec(names(), 0..3), edits(), edits()).prop_map(move |(remove, set, add)| HeaderEdits {
            remove: remove.into_iter().map(name).collect(),
            set: named(set),
            add: named(add),
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

        #[test]
        fn edits_in_a_row_do_what_each_does_after_the_other(
            came in proptest::collection::vec((proptest::sample::select(vec!["x-a", "x-b", "x-z"]), "[a-z]"), 0..5),
            in_a_row in proptest::collection::vec(any_edits(), 0..4),
        ) {
            // Model: one map, changed step by step.
            let mut wanted = HeaderMap::new();
            for (of, value) in &came {
                wanted.append(name(of), HeaderValue::from_str(value).expect("a value"));
            }
            let edits = Edits::of_request(&in_a_row);
            let mut got = wanted.clone();
            let mut sent = HeaderMap::new();
            for (name, value) in wanted.iter().filter(|(name, _)| !edits.is_removed(name)) {
                sent.append(name, value.clone());
            }
            for edit in &in_a_row {
                let value = |edit: &HeaderEdit| {
                    HeaderValue::from_str(edit.value.as_text().expect("a text")).expect("a value")
                };
                edit.remove.iter().for_each(|name| drop(wanted.remove(name)));
                edit.set.iter().for_each(|edit| drop(wanted.insert(&edit.name, value(edit))));
                for edit in &edit.add {
                    wanted.append(&edit.name, value(edit));
                }
            }
            let variables = example();
            for (name, value) in edits.appended(&variables) {
                sent.append(name, value.expect("a text"));
            }
            prop_assert_eq!(edits.apply(&mut got, &variables), Ok(()));
            prop_assert_eq!(&got, &wanted);
            prop_assert_eq!(&sent, &wanted);
        }
    }
}
