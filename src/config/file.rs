//! The file skin: a YAML file, or a directory of them, becomes a [`Gateway`].
//!
//! All or nothing: a file has one author, who is told everything that is wrong, with line and column,
//! and until then what is served stays as it is. So every problem here has the effect
//! [`Effect::Rejected`], whatever it would do to one of many objects.
//!
//! Three passes, whose findings are shown together: what is not YAML (`yaml`), what is not the schema
//! (`check`), what means nothing (`describe`). A part that an early pass refused is replaced by something
//! harmless, and what the last pass says about that part is dropped: a mistyped `backends` must not be
//! called missing as well.
//!
//! The files of a directory are one description: their lists are joined in the order of names, names
//! are unique in all of them, but each message counts inside its own file.

use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_yaml::Value;

use super::check::{Skin, check};
use super::describe::{Described, Scope, describe_placed_routes, find_duplicates};
use super::place::{Findings, MAX_FINDINGS, Place, Placed};
use super::problem::{Effect, Problem, Slug};
use super::route::{Action, Rule};
use super::shape::Shape;
use super::spec::{FileSpec, RouteSpec};
use super::yaml::{self, Node};
use super::{Gateway, Route, Terms};

mod cluster;
mod disk;
mod listen;
mod operator;
mod policies;
mod reuse;
mod scope;

pub use disk::read;
pub use listen::bounds_above_listeners;
pub use reuse::reuse;

/// What came of the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// What is to be served.
    pub gateway: Gateway,
    /// What objects find in a cluster. Outside one it has no effect.
    pub terms: Terms,
    /// Of the texts it was made from.
    pub fingerprint: Fingerprint,
    /// What somebody should look at; nothing of it keeps the files from being used.
    pub warnings: Vec<Located>,
}

/// Tells whether texts have changed. Good inside one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// Of files with their names.
    pub fn of(files: &[(String, String)]) -> Self {
        let mut hasher = DefaultHasher::new();
        files.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// A problem with its place in a file: `sluice.yaml:7:5: routes[0].pathh: unknown field`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// The file's name as shown.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What is wrong; its path counts inside the file.
    pub problem: Problem,
}

impl fmt::Display for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.problem)
    }
}

/// Why files are not used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// They cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The path asked for.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// They can be read, and this is wrong with them.
    #[error("the configuration has {} and is not used", count(.0.len()))]
    Wrong(Vec<Located>),
}

/// Reads and describes a file, or the files of a directory.
///
/// # Errors
/// [`LoadError`]; nothing of the files is to be used then.
pub fn load(path: &Path) -> Result<Loaded, LoadError> {
    let files = read(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
    parse(&files).map_err(LoadError::Wrong)
}

/// Describes texts, each with the name shown in messages.
///
/// # Errors
/// Everything that is wrong, in the order of files, lines and columns.
pub fn parse(files: &[(String, String)]) -> Result<Loaded, Vec<Located>> {
    parse_as(Shape::of_file(), files)
}

fn parse_as(shape: &Shape, files: &[(String, String)]) -> Result<Loaded, Vec<Located>> {
    let mut parts: Vec<Part<'_>> = Vec::new();
    for (name, text) in files {
        let prefix = if files.len() > 1 { format!("{name} ") } else { String::new() };
        parts.push(Part::read(name, prefix, text, shape));
    }
    let (gateway, terms, mut meaning) = describe(&mut parts);
    // More are not shown; what rejects the files stays before what only warns.
    meaning.sort_by_key(|problem| problem.effect == Effect::Warning);
    meaning.truncate(MAX_FINDINGS);
    let mut located: Vec<Vec<Located>> = parts.iter().map(Part::form).collect();
    for problem in meaning {
        if let Some((index, found)) = locate(&parts, problem)
            && let Some(list) = located.get_mut(index)
        {
            list.push(found);
        }
    }
    for list in &mut located {
        list.sort_by_key(|found| (found.line, found.column));
    }
    let (mut wrong, warnings): (Vec<Located>, Vec<Located>) =
        located.into_iter().flatten().partition(|found| found.problem.effect != Effect::Warning);
    wrong.truncate(MAX_FINDINGS);
    if wrong.is_empty() {
        Ok(Loaded { gateway, terms, fingerprint: Fingerprint::of(files), warnings })
    } else {
        Err(wrong)
    }
}

/// One file, as far as it could be read.
struct Part<'t> {
    name: &'t str,
    /// Stands before paths while several files are described together; empty for a single one.
    prefix: String,
    /// None: not even YAML.
    root: Option<Node<'t>>,
    /// Without its routes.
    spec: FileSpec,
    /// What is written of each route, for serde to read.
    routes: Vec<Value>,
    form: Findings,
}

impl<'t> Part<'t> {
    fn read(name: &'t str, prefix: String, text: &'t str, shape: &Shape) -> Self {
        let mut form = Findings::default();
        let mut spec = FileSpec::default();
        let (mut root, mut routes) = (None, Vec::new());
        if let Some(mut document) = yaml::parse(text, &mut form) {
            check(&mut document, shape, Skin::File, &mut form);
            // Read one by one when they are described.
            if let Some(Value::Sequence(written)) = document.value.get_mut("routes") {
                routes = std::mem::take(written);
            }
            match serde_yaml::from_value(document.value) {
                Ok(read) => spec = read,
                // The check let pass what serde refuses: said plainly, since it must not be overlooked.
                Err(error) => form.add(document.root.at, "", Slug::WrongType, error.to_string()),
            }
            root = Some(document.root);
        }
        Self { name, prefix, root, spec, routes, form }
    }

    /// Entries of a list of this file with the places they are written at.
    fn placed<'s, T>(
        &'s self,
        list: &'static str,
        entries: Option<&'s Vec<T>>,
    ) -> impl Iterator<Item = (String, &'s T)> {
        let entries = entries.into_iter().flatten().enumerate();
        entries.map(move |(index, entry)| (format!("{}{list}[{index}]", self.prefix), entry))
    }

    /// The routes with the places they are written at.
    fn take_routes(&mut self) -> impl Iterator<Item = (String, Value)> {
        let prefix = self.prefix.clone();
        let routes = std::mem::take(&mut self.routes).into_iter().enumerate();
        routes.map(move |(index, route)| (format!("{prefix}routes[{index}]"), route))
    }

    fn form(&self) -> Vec<Located> {
        self.form.as_slice().iter().cloned().map(|found| self.located(found)).collect()
    }

    fn located(&self, Placed { at, mut problem }: Placed) -> Located {
        // An unknown field is a warning in an object, as the API server has dropped it by then.
        if problem.effect != Effect::Warning || problem.slug == Slug::UnknownField {
            problem.effect = Effect::Rejected;
        }
        problem.path = on_one_line(problem.path);
        problem.message = on_one_line(problem.message);
        Located { file: self.name.to_owned(), line: at.line, column: at.column, problem }
    }

    /// Whether a problem of meaning at `path` may follow from what was wrong in form.
    fn explains(&self, path: &str, slug: Slug) -> bool {
        // These miss something, which may stand there mistyped.
        let misses = matches!(
            slug,
            Slug::OneAction
                | Slug::BackendOne
                | Slug::UpstreamSource
                | Slug::WeightsZero
                | Slug::DuplicateMatch
                | Slug::ConditionSubject
                | Slug::ConditionOperator
                | Slug::RedirectEmpty
                | Slug::RewriteOne
                | Slug::PrefixPath
                | Slug::HashOn
                | Slug::MaxMissing
        );
        self.form.as_slice().iter().any(|found| {
            let form = found.problem.path.as_str();
            is_within(path, form) || (misses && is_within(form, path))
        })
    }
}

/// Users' names stand in paths and messages; none of them may begin a line of its own in a log.
fn on_one_line(text: String) -> String {
    if text.chars().any(char::is_control) {
        return text.chars().flat_map(|c| if c.is_control() { c.escape_debug().collect() } else { vec![c] }).collect();
    }
    text
}

/// Whether `path` is `above`, or below it.
pub fn is_within(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|tail| above.is_empty() || tail.is_empty() || tail.starts_with(['.', '[']))
}

/// Finds the file and the place of a problem of meaning; none if it follows from one of form.
fn locate(parts: &[Part<'_>], mut problem: Problem) -> Option<(usize, Located)> {
    const LISTS: [&str; 8] =
        ["routes", "upstreams", "listeners", "policies", "defaults", "observability", "rateLimitStore", "cluster"];
    let found = parts.iter().enumerate().find_map(|(index, part)| {
        let path = problem.path.strip_prefix(&part.prefix)?;
        LISTS.iter().any(|list| is_within(path, list)).then(|| (index, part, path.to_owned()))
    });
    // Every path begins so; one that does not is shown all the same, since it must reject the files.
    let (index, part, path) = found.or_else(|| Some((0, parts.first()?, problem.path.clone())))?;
    if part.explains(&path, problem.slug) {
        return None;
    }
    let at = part.root.as_ref().map_or(Place::START, |root| root.place_of(&path));
    problem.path = path;
    Some((index, part.located(Placed { at, problem })))
}

/// What all files together mean, and what is wrong with that.
fn describe(parts: &mut [Part<'_>]) -> (Gateway, Terms, Vec<Problem>) {
    let mut problems = Vec::new();
    let written: Vec<(String, Value)> = parts.iter_mut().flat_map(Part::take_routes).collect();
    let parts = &*parts;
    let listeners = listen::describe_listeners(parts, &mut problems);
    let defaults = operator::describe_upstream_defaults(parts, &mut problems);
    let (mut scope, mut upstreams) = scope::describe_upstreams(parts, defaults, &mut problems);
    scope.around = policies::describe_surroundings(parts, &listeners, &mut problems);
    let terms = Terms {
        cluster: cluster::describe_cluster(parts, &mut problems),
        listeners: listen::describe_terms(parts, &mut problems),
        defaults: scope.defaults(),
        upstream_defaults: scope.upstream_defaults(),
    };
    let mut unread = Vec::new();
    let specs = written.into_iter().map(|(at, value)| {
        let spec: RouteSpec = serde_yaml::from_value(value).unwrap_or_else(|error| {
            // As above: the check let pass what serde refuses.
            unread.push(Problem::new(at.as_str(), Slug::WrongType, error.to_string()));
            RouteSpec::default()
        });
        (at, spec)
    });
    let described = describe_placed_routes(specs, &mut scope);
    problems.append(&mut unread);
    let Described { routes, upstreams: of_rules, problems: of_routes } = described;
    problems.extend(of_routes);
    refuse_duplicates(&routes, parts, &mut problems);
    upstreams.extend(of_rules);
    let seen = operator::describe_observability(parts, &mut problems);
    let gateway = Gateway {
        listeners,
        routes: routes.into_iter().map(Arc::new).collect(),
        upstreams: upstreams.into_iter().map(Arc::new).collect(),
        access_log: seen.access_log,
        metric_clients: seen.metric_clients,
        rate_limit_keys: operator::describe_rate_limit_keys(parts, &mut problems),
        ..Gateway::default()
    };
    listen::warn_of_bounds_above_listeners(&gateway, &mut problems);
    (gateway, terms, problems)
}

fn refuse_duplicates(routes: &[Route], parts: &[Part<'_>], problems: &mut Vec<Problem>) {
    let is_doubtful = |rule: &Rule| {
        let route = rule.at.split_inclusive(']').next().unwrap_or_default();
        let is_explained = |part: &Part<'_>| {
            route.strip_prefix(&part.prefix).is_some_and(|path| part.explains(path, Slug::DuplicateMatch))
        };
        rule.action == Action::Broken || parts.iter().any(is_explained)
    };
    let mut last = None;
    for found in find_duplicates(routes.iter()) {
        let pair = (found.rule.at.as_str(), found.winner.at.as_str());
        // Once, however many hosts they share.
        if last == Some(pair) || is_doubtful(found.rule) || is_doubtful(found.winner) {
            continue;
        }
        last = Some(pair);
        let message = format!("the same host and match as {}", found.winner.at);
        problems.push(Problem::new(&found.rule.at, Slug::DuplicateMatch, message));
    }
}

fn count(problems: usize) -> String {
    if problems == 1 { "1 problem".to_owned() } else { format!("{problems} problems") }
}

#[cfg(test)]
mod tests;
