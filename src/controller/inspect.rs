//! What is wrong with manifests, each with its place: `sluice check` on objects, without a cluster.
//!
//! All texts together are one World, so that a Service in one file is found by a route in another. Each of our own kinds
//! is held against its schema as a file is, then translated by the same code as in a cluster; both lists of problems
//! get lines and columns. What other kinds say is read as far as translation needs it.
//!
//! One thing cannot be known: whether a Service or policy exists that no text has. Where the texts have none of that
//! namespace at all, this is told and wrongs nobody.

use std::collections::BTreeMap;

use serde_json::Value;

use super::manifest::{read_object, with_namespace};
use super::translate::{OwnKind, translate};
use super::world::{Change, ClassSettings, ObjectName, World};
use crate::config::check::{Skin, check};
use crate::config::file::{Located, is_within};
use crate::config::place::{Findings, Place, Placed};
use crate::config::problem::{Effect, Problem, Slug};
use crate::config::shape::Shape;
use crate::config::yaml::{self, Node};
use crate::crd::{KIND, POLICY_KIND};

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// What is wrong, or worth a look, by file, line and column.
    pub problems: Vec<Located>,
    /// How many `GatewayRoute`s there are of this class.
    pub objects: usize,
    /// How many are of another class, and were not looked at.
    pub of_other_classes: usize,
}

/// Looks at texts, each with the name shown in messages.
pub fn inspect(files: &[(String, String)], class: ClassSettings) -> Inspection {
    let mut reading = Reading { world: World::waiting_for(class, []), written: BTreeMap::new(), problems: Vec::new() };
    for (file, text) in files {
        for piece in pieces(text) {
            reading.take(file, piece);
        }
    }
    reading.judge()
}

/// One document of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece<'t> {
    text: &'t str,
    /// Lines before it.
    offset: usize,
}

/// A line that begins with `---` begins a document, wherever it stands.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let (mut start, mut offset, mut at) = (0, 0, 0);
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let is_marker =
            line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']));
        if is_marker && at > start {
            pieces.push(Piece { text: text.get(start..at).unwrap_or_default(), offset });
            (start, offset) = (at, number);
        }
        at += line.len();
    }
    pieces.push(Piece { text: text.get(start..).unwrap_or_default(), offset });
    pieces
}

/// An object of ours: what it is, and which.
type Own = (OwnKind, ObjectName);

/// An object of ours with the places of its text.
struct Written<'t> {
    file: &'t str,
    offset: usize,
    root: Node<'t>,
    form: Vec<Placed>,
}

struct Reading<'t> {
    world: World,
    written: BTreeMap<Own, Written<'t>>,
    problems: Vec<Located>,
}

impl<'t> Reading<'t> {
    fn take(&mut self, file: &'t str, piece: Piece<'t>) {
        let whole = serde_yaml::from_str::<Value>(piece.text);
        match whole {
            // Comments alone.
            Ok(Value::Null) => {}
            Ok(value) => match value.get("kind").and_then(Value::as_str).map(str::to_owned) {
                Some(kind) if kind == POLICY_KIND => self.take_own(file, piece, OwnKind::GatewayPolicy),
                Some(kind) if kind != KIND => self.take_other(file, piece, &kind, value),
                _ => self.take_own(file, piece, OwnKind::GatewayRoute),
            },
            // Told with its line by the stricter reader.
            Err(_) => self.take_own(file, piece, OwnKind::GatewayRoute),
        }
    }

    /// Services and what stands behind them; anything else does not count.
    fn take_other(&mut self, file: &'t str, piece: Piece<'t>, kind: &str, value: Value) {
        match read_object(kind, with_namespace(value)) {
            Ok(Some(object)) => {
                self.world.apply(Change::Applied(object));
            }
            Ok(None) => {}
            Err(error) => {
                let problem = Problem::new("", Slug::WrongType, format!("is no {kind}: {error}"));
                self.tell(file, piece.offset, Place::START, problem);
            }
        }
    }

    fn take_own(&mut self, file: &'t str, piece: Piece<'t>, kind: OwnKind) {
        let shape = match kind {
            OwnKind::GatewayRoute => Shape::of_object(),
            OwnKind::GatewayPolicy => Shape::of_policy(),
        };
        let mut findings = Findings::default();
        let document = yaml::parse(piece.text, &mut findings).map(|mut document| {
            check(&mut document, shape, Skin::Object, &mut findings);
            document
        });
        let form = findings.into_vec();
        let Some(document) = document else { return self.tell_form(file, piece.offset, None, &form) };
        let read = serde_json::to_value(document.value)
            .map(with_namespace)
            .and_then(|value| read_object(kind.as_str(), value));
        let (object, name) = match read {
            Ok(Some(object)) => {
                let name = object.name();
                (object, name)
            }
            Ok(None) => return,
            Err(error) => {
                self.tell_form(file, piece.offset, None, &form);
                let problem = Problem::new("", Slug::WrongType, format!("is no {}: {error}", kind.as_str()));
                return self.tell(file, piece.offset, document.root.at, problem);
            }
        };
        let own = (kind, name);
        self.tell_form(file, piece.offset, Some(&own), &form);
        let name = &own.1;
        let missing = (name.name.is_empty()).then(|| Problem::new("metadata.name", Slug::WrongType, "is missing"));
        let twice = self.written.get(&own).map(|first| {
            let message = format!("{} {name} stands in {} already", kind.as_str(), first.file);
            Problem::new("metadata.name", Slug::DuplicateName, message)
        });
        if let Some(problem) = missing.or(twice) {
            let at = document.root.place_of("metadata.name");
            return self.tell(file, piece.offset, at, problem);
        }
        self.world.apply(Change::Applied(object));
        self.written.insert(own, Written { file, offset: piece.offset, root: document.root, form });
    }

    fn tell_form(&mut self, file: &str, offset: usize, object: Option<&Own>, form: &[Placed]) {
        for Placed { at, problem } in form {
            let mut problem = problem.clone();
            // The API server would drop the field, or kubectl refuse it: somebody meant something.
            problem.effect = Effect::Rejected;
            problem.path = of_object(object, &problem.path);
            self.tell(file, offset, *at, problem);
        }
    }

    fn tell(&mut self, file: &str, offset: usize, at: Place, problem: Problem) {
        self.problems.push(Located { file: file.to_owned(), line: at.line + offset, column: at.column, problem });
    }

    /// What translation says, with places.
    fn judge(mut self) -> Inspection {
        let translation = translate(&self.world);
        for verdict in translation.policies.iter().chain(&translation.verdicts) {
            let own = (verdict.kind, verdict.object.clone());
            let Some(written) = self.written.get(&own) else { continue };
            let mut found = Vec::new();
            for problem in &verdict.problems {
                let follows = |form: &Placed| {
                    is_within(&problem.path, &form.problem.path) || is_within(&form.problem.path, &problem.path)
                };
                if !written.form.iter().any(follows) {
                    found.push((
                        written.root.place_of(&problem.path),
                        self.as_seen_without_cluster(problem, &verdict.object),
                    ));
                }
            }
            let (file, offset) = (written.file, written.offset);
            for (at, mut problem) in found {
                problem.path = of_object(Some(&own), &problem.path);
                self.tell(file, offset, at, problem);
            }
        }
        let mut problems = self.problems;
        problems
            .sort_by(|left, right| (&left.file, left.line, left.column).cmp(&(&right.file, right.line, right.column)));
        let routes = self.written.keys().filter(|(kind, _)| *kind == OwnKind::GatewayRoute).count();
        let objects = translation.verdicts.len();
        Inspection { problems, objects, of_other_classes: routes.saturating_sub(objects) }
    }

    fn as_seen_without_cluster(&self, problem: &Problem, object: &ObjectName) -> Problem {
        let mut problem = problem.clone();
        if problem.slug == Slug::ServiceMissing && self.world.services(&object.namespace).is_none() {
            problem.effect = Effect::Warning;
            problem.message.push_str(", as there are no Services in these files: it may be in the cluster");
        }
        if problem.slug == Slug::PolicyMissing && self.world.policies().len() == 0 {
            problem.effect = Effect::Warning;
            problem.message.push_str(", as there are no GatewayPolicies in these files: it may be in the cluster");
        }
        problem
    }
}

/// `GatewayRoute shop/web spec.routes[0]`, as conflicts name it.
fn of_object(object: Option<&Own>, path: &str) -> String {
    match object {
        Some((kind, name)) => format!("{} {name} {path}", kind.as_str()).trim_end().to_owned(),
        None => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(texts: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<(String, String)> =
            texts.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        inspect(&files, ClassSettings::default()).problems.iter().map(ToString::to_string).collect()
    }

    const ROUTE: &str = "apiVersion: gateway.sluice.dev/v1alpha1\nkind: GatewayRoute\nmetadata: {name: web, namespace: shop}\nspec:\n  routes:\n    - hosts: [shop.example.com]\n      backends: [{service: {name: web, port: http}}]\n";
    const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\nspec: {ports: [{name: http, port: 80}]}\n";

    #[test]
    fn a_service_in_another_file_is_found() {
        assert_eq!(told(&[("a.yaml", ROUTE), ("b.yaml", SERVICE)]), Vec::<String>::new());
        let renamed = SERVICE.replace("name: web", "name: wbe");
        assert_eq!(
            told(&[("a.yaml", ROUTE), ("b.yaml", &renamed)]),
            [
                "a.yaml:7:19: GatewayRoute shop/web spec.routes[0].backends[0].service: Service shop/web not found: did you mean wbe?"
            ]
        );
    }

    #[test]
    fn services_that_no_file_has_are_not_held_against_anybody() {
        let inspection = inspect(&[("a.yaml".to_owned(), ROUTE.to_owned())], ClassSettings::default());
        assert_eq!(inspection.objects, 1);
        assert!(inspection.problems.iter().all(|found| found.problem.effect == Effect::Warning));
        assert_eq!(inspection.problems.len(), 1);
    }

    #[test]
    fn places_count_from_the_beginning_of_the_file() {
        let wrong = ROUTE.replace("hosts: [shop", "pathh: /a\n      path: b\n      hosts: [SHOP");
        let text = format!("# first\n---\n{SERVICE}---\n# second\n{wrong}");
        assert_eq!(
            told(&[("all.yaml", &text)]),
            [
                "all.yaml:14:7: GatewayRoute shop/web spec.routes[0].pathh: unknown field; did you mean \"path\"?",
                "all.yaml:15:13: GatewayRoute shop/web spec.routes[0].path: must begin with / and be written the way it is matched: no //, /./, /../, ?, #, spaces or %2F",
                "all.yaml:16:15: GatewayRoute shop/web spec.routes[0].hosts[0]: must be a host name in lower case, without port; a wildcard stands for the whole first part: *.example.com",
            ]
        );
    }

    #[test]
    fn a_text_that_is_no_yaml_is_told_with_its_line() {
        let text = format!("{SERVICE}---\nkind: GatewayRoute\nspec: [\n");
        let told = told(&[("a.yaml", &text)]);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told.iter().all(|line| line.starts_with("a.yaml:")), "{told:?}");
    }

    #[test]
    fn what_an_object_may_not_write_is_told() {
        let url = ROUTE.replace("{service: {name: web, port: http}}", "http://10.0.0.1:80");
        assert_eq!(
            told(&[("a.yaml", &url), ("b.yaml", SERVICE)]),
            [
                "a.yaml:7:18: GatewayRoute shop/web spec.routes[0].backends[0]: must be a mapping, got the string \"http://10.0.0.1:80\""
            ]
        );
        let twice = told(&[("a.yaml", ROUTE), ("b.yaml", ROUTE), ("c.yaml", SERVICE)]);
        assert_eq!(twice, ["b.yaml:3:18: metadata.name: GatewayRoute shop/web stands in a.yaml already"]);
        let certificates = told(&[("a.yaml", &format!("{ROUTE}  certificates: []\n")), ("c.yaml", SERVICE)]);
        assert_eq!(certificates, ["a.yaml:8:3: GatewayRoute shop/web spec.certificates: not supported yet"]);
    }

    #[test]
    fn policies_are_looked_at_and_found_by_those_that_use_them() {
        let used = ROUTE.replace("backends", "use: [x]\n      backends");
        let files = [("a.yaml", used.as_str()), ("c.yaml", SERVICE)];
        assert_eq!(
            told(&files),
            [
                "a.yaml:7:13: GatewayRoute shop/web spec.routes[0].use[0]: GatewayPolicy shop/x not found, as there are no GatewayPolicies in these files: it may be in the cluster"
            ]
        );
        let policy = "apiVersion: gateway.sluice.dev/v1alpha1\nkind: GatewayPolicy\nmetadata: {name: x, namespace: shop}\nspec:\n  timeouts: {request: 1s}\n";
        let with = |policy: &str| told(&[("a.yaml", &used), ("b.yaml", policy), ("c.yaml", SERVICE)]);
        assert_eq!(with(policy), Vec::<String>::new());
        let misspelt = with(&policy.replace("request", "requets"));
        assert_eq!(
            misspelt,
            ["b.yaml:5:14: GatewayPolicy shop/x spec.timeouts.requets: unknown field; did you mean \"request\"?"]
        );
        let broken = with(&policy.replace("1s", "soon"));
        assert_eq!(broken.len(), 2, "{broken:?}");
        assert!(broken[0].starts_with(
            "a.yaml:7:13: GatewayRoute shop/web spec.routes[0].use[0]: GatewayPolicy shop/x is itself off"
        ));
        assert!(
            broken[1].starts_with("b.yaml:5:23: GatewayPolicy shop/x spec.timeouts.request: must be a duration"),
            "{broken:?}"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]
        #[test]
        fn any_text_is_looked_at_and_problems_point_into_it(
            cuts in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(&PIECES[..])), 0..6)
        ) {
            let mut chars: Vec<char> = format!("{SERVICE}---\n{ROUTE}---\n{ROUTE}").chars().collect();
            for (at, piece) in cuts {
                let at = at.index(chars.len());
                chars.splice(at..(at + 3).min(chars.len()), piece.chars());
            }
            let text: String = chars.into_iter().collect();
            let lines = text.split(['\n', '\r']).count();
            for found in inspect(&[("a.yaml".to_owned(), text.clone())], ClassSettings::default()).problems {
                prop_assert!(found.line >= 1 && found.line <= lines + 1 && found.column >= 1, "{found}\n{text}");
            }
        }
    }

    const PIECES: [&str; 12] = ["", "\n---\n", "*a", "&a ", "[", "}", ": ", "\t", "null", "kind: ", "\u{0}", "é\n"];

    #[test]
    fn documents_begin_at_their_markers() {
        let offsets = |text: &str| pieces(text).iter().map(|piece| piece.offset).collect::<Vec<_>>();
        assert_eq!(offsets("a: 1\n---\nb: 1\n--- # two\nc: |\n  ---\n"), [0, 1, 3]);
        assert_eq!(offsets("---\na: 1\n"), [0]);
        assert_eq!(offsets("----\n"), [0]);
        assert_eq!(offsets(""), [0]);
    }
}
