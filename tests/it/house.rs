//! House rules that a machine can check: who may import whom, how long a file may be, that each says what it is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Who may import whom. Every module of `src/` stands here.
const ARROWS: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    ("cli", &["app", "config", "controller", "crd", "observe", "proxy", "router", "snapshot"]),
    ("app", &["config", "controller", "observe", "proxy", "server", "snapshot", "upstream"]),
    ("controller", &["crd", "config", "observe"]),
    ("server", &["proxy", "snapshot", "config", "observe", "upstream"]),
    ("proxy", &["snapshot", "router", "middleware", "upstream", "lb", "circuitbreaker", "config", "observe"]),
    ("snapshot", &["config", "router", "middleware", "ratelimit", "lb", "upstream", "observe"]),
    ("upstream", &["config", "lb", "health", "circuitbreaker", "observe"]),
    ("middleware", &["config", "ratelimit"]),
    ("router", &["config"]),
    ("lb", &["config"]),
    ("health", &["config"]),
    ("circuitbreaker", &["config"]),
    ("ratelimit", &["config"]),
    ("crd", &["config"]),
    ("config", &[]),
    ("observe", &[]),
];

/// Lines of a source file without its tests.
const MAX_LINES: usize = 400;

fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = std::fs::read_to_string(&path).expect("text");
                found.push((path.strip_prefix(&root).expect("below").to_owned(), text));
            }
        }
    }
    found.sort();
    found
}

/// The module a file belongs to: its first folder, or its own name.
fn module(path: &Path) -> String {
    let first = path.components().next().expect("a name").as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// The text without its tests and comments.
fn code(text: &str) -> String {
    let end = text.find("#[cfg(test)]").unwrap_or(text.len());
    text[..end].lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn imports(text: &str) -> BTreeSet<String> {
    let code = code(text);
    ["crate::", "sluice::"]
        .iter()
        .flat_map(|start| code.match_indices(start).map(|(at, _)| &code[at + start.len()..]).collect::<Vec<_>>())
        .map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect())
        .collect()
}

#[test]
fn nobody_imports_whom_they_may_not() {
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let from = module(&path);
        if from == "lib" {
            continue;
        }
        let Some(may) = allowed.get(from.as_str()) else {
            wrong.push(format!("{from} is not in the table of arrows"));
            continue;
        };
        for to in imports(&text) {
            if to != from && allowed.contains_key(to.as_str()) && !may.contains(&to.as_str()) {
                wrong.push(format!("{} imports {to}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_two_modules_import_each_other() {
    for (from, may) in ARROWS {
        for to in *may {
            let back = ARROWS.iter().find(|(name, _)| name == to).map(|(_, may)| *may).unwrap_or_default();
            assert!(!back.contains(from), "{from} and {to}");
        }
    }
}

#[test]
fn files_are_short_and_say_what_they_are() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let is_test = path.ends_with("tests.rs");
        let lines = text[..text.find("#[cfg(test)]").unwrap_or(text.len())].lines().count();
        if lines > MAX_LINES && !is_test {
            wrong.push(format!("{}: {lines} lines", path.display()));
        }
        if !text.starts_with("//!") {
            wrong.push(format!("{} does not say what it is", path.display()));
        }
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        if ["utils", "util", "common", "helpers", "misc"].contains(&name.as_str()) {
            wrong.push(format!("{}: a file is named after its idea", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn functions_are_not_longer_than_eighty_lines() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let mut began: Option<(usize, usize, &str)> = None;
        for (number, line) in text.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let is_function = line.trim_start().split('(').next().is_some_and(|start| {
                let words: Vec<&str> = start.split_whitespace().collect();
                words.contains(&"fn") && !start.contains("//")
            });
            match began {
                None if is_function && !line.trim_end().ends_with(';') => began = Some((number, indent, line.trim())),
                Some((start, depth, name)) if indent == depth && line.trim_start().starts_with('}') => {
                    if number - start > 80 {
                        wrong.push(format!("{}: {name} has {} lines", path.display(), number - start));
                    }
                    began = None;
                }
                Some((_, depth, _)) if indent == depth && line.trim_end().ends_with("; }") => began = None,
                Some((start, _, _)) if start + 1 == number && line.trim().is_empty() => began = None,
                _ => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_metric_stands_in_the_table() {
    let table = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/observe/metrics.rs"));
    let table = table.expect("the table of metrics");
    for (path, text) in sources().into_iter().filter(|(path, _)| !path.ends_with("tests.rs")) {
        for (at, _) in code(&text).match_indices("\"sluice_").chain(code(&text).match_indices("\"gateway_")) {
            let code = code(&text);
            let name: String = code[at + 1..].chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            if !name.ends_with("_total")
                && !name.starts_with("gateway_")
                && !name.contains("_config_")
                && !name.contains("_snapshot_")
                && !name.contains("_client_")
                && !path.starts_with("observe")
            {
                continue;
            }
            let is_here = path.ends_with("observe/metrics.rs") || path.starts_with("observe/metrics");
            assert!(is_here, "{} names {name}", path.display());
            assert!(table.contains(&format!("//! | `{name}` |")), "{name} is missing in the table");
        }
    }
}
