//! Files become Gateways, or are refused with everything that is wrong.
//!
//! `tests/golden/file/<case>.in.yaml`, or the files of the directory `<case>.in`, give `<case>.out.yaml`.
//! With `SLUICE_BLESS=1` the outputs are rewritten.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde::Serialize;

use super::*;
use crate::config::ClusterRules;
use crate::config::cluster::ListenerTerms;

const MINIMAL: &str = include_str!("../../../tests/golden/file/minimal.in.yaml");

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/file")
}

/// A golden output: the Gateway, or the problems, each as shown and with its kind.
#[derive(Serialize)]
enum Output<'a> {
    #[serde(rename = "gateway")]
    Gateway(GatewayAndTerms<'a>),
    #[serde(rename = "problems")]
    Problems(Vec<String>),
}

/// Beside the Gateway what the file says for the objects of a cluster, if it says anything.
#[derive(Serialize)]
struct GatewayAndTerms<'a> {
    #[serde(flatten)]
    gateway: &'a Gateway,
    #[serde(skip_serializing_if = "is_unwritten")]
    cluster: &'a ClusterRules,
    #[serde(skip_serializing_if = "Vec::is_empty", rename = "listenersForObjects")]
    listeners: Vec<&'a ListenerTerms>,
}

fn is_unwritten(cluster: &&ClusterRules) -> bool {
    **cluster == ClusterRules::default()
}

impl<'a> GatewayAndTerms<'a> {
    fn of(loaded: &'a Loaded) -> Self {
        let listeners = loaded.terms.listeners.iter().filter(|listener| listener.namespaces.is_some()).collect();
        Self { gateway: &loaded.gateway, cluster: &loaded.terms.cluster, listeners }
    }
}

fn output(files: &[(String, String)]) -> String {
    let parsed = parse(files);
    let output = match &parsed {
        Ok(loaded) => Output::Gateway(GatewayAndTerms::of(loaded)),
        Err(wrong) => {
            Output::Problems(wrong.iter().map(|found| format!("[{}] {found}", found.problem.slug.as_str())).collect())
        }
    };
    let mapping = serde_yaml::to_value(&output).map(|value| match value {
        serde_yaml::Value::Tagged(tagged) => {
            let name = tagged.tag.to_string().trim_start_matches('!').to_owned();
            serde_yaml::Value::Mapping([(name.into(), tagged.value)].into_iter().collect())
        }
        other => other,
    });
    mapping.and_then(|mapping| serde_yaml::to_string(&mapping)).expect("plain data is YAML")
}

/// The text of a file, or those of a directory named as in it.
fn input(path: &Path) -> Vec<(String, String)> {
    let is_directory = path.is_dir();
    let shown = |name: String| match is_directory {
        true => Path::new(&name).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        false => "sluice.yaml".to_owned(),
    };
    read(path).expect("golden input").into_iter().map(|(name, text)| (shown(name), text)).collect()
}

#[test]
fn golden_files() {
    let mut cases = 0;
    let mut wrong = Vec::new();
    let mut entries: Vec<PathBuf> =
        fs::read_dir(golden()).expect("golden files").map(|entry| entry.expect("golden file").path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let Some(case) = name.strip_suffix(".in.yaml").or_else(|| name.strip_suffix(".in")) else { continue };
        cases += 1;
        let got = output(&input(&path));
        let expected = golden().join(format!("{case}.out.yaml"));
        if std::env::var_os("SLUICE_BLESS").is_some() {
            fs::write(&expected, &got).expect("golden output");
        } else if fs::read_to_string(&expected).unwrap_or_default() != got {
            wrong.push(format!("{case} gives\n{got}"));
        }
    }
    assert!(cases > 40, "only {cases} golden files");
    assert!(wrong.is_empty(), "not as expected (SLUICE_BLESS=1 rewrites):\n{}", wrong.join("\n"));
}

fn one(text: &str) -> Vec<(String, String)> {
    vec![("sluice.yaml".to_owned(), text.to_owned())]
}

fn messages(text: &str) -> Vec<String> {
    parse(&one(text)).err().into_iter().flatten().map(|found| found.to_string()).collect()
}

#[test]
fn the_minimal_example_listens_on_port_9000() {
    let loaded = parse(&one(MINIMAL)).expect("the example of the reference");
    let ports: Vec<u16> = loaded.gateway.listeners.iter().map(|listener| listener.port).collect();
    assert_eq!(ports, [9000]);
    let labels: Vec<&str> = loaded.gateway.upstreams.iter().map(|upstream| upstream.label.as_str()).collect();
    assert_eq!(labels, ["/api/users", "/api/orders"]);
}

#[test]
fn a_problem_reads_like_a_compilers() {
    let text = "routes:\n  - backends: [http://a:1]\n    pathh: /x\n";
    assert_eq!(messages(text), ["sluice.yaml:3:5: routes[0].pathh: unknown field; did you mean \"path\"?"]);
}

#[test]
fn every_problem_of_a_file_rejects_it() {
    for text in ["routes: [{path: /, backends: [http://a:1], pathh: /}]", "routes: [{path: x, backends: []}]"] {
        for found in parse(&one(text)).expect_err("wrong") {
            assert_eq!(found.problem.effect, Effect::Rejected, "{found}");
        }
    }
}

#[test]
fn windows_files_are_read() {
    let text = format!("\u{feff}{}", MINIMAL.replace('\n', "\r\n"));
    let (ours, theirs) = (parse(&one(MINIMAL)), parse(&one(&text)));
    assert_eq!(ours.map(|loaded| loaded.gateway), theirs.map(|loaded| loaded.gateway));
}

#[test]
fn what_is_deep_huge_or_many_ends() {
    for text in [
        "[".repeat(100_000),
        "{a: ".repeat(100_000),
        "- ".repeat(100_000),
        "? ".repeat(10_000),
        (0..300).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect(),
        "a: &a [x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n".to_owned(),
        "x".repeat(yaml::MAX_BYTES + 1),
        format!("routes: [{}]", "{}, ".repeat(50_000)),
        format!("{{{}}}", (0..50_000).map(|key| format!("k{key}: 1, ")).collect::<String>()),
    ] {
        let wrong = parse(&one(&text)).expect_err("not a configuration");
        assert!((1..=MAX_FINDINGS).contains(&wrong.len()), "{} problems", wrong.len());
    }
}

#[test]
fn a_fingerprint_tells_another_text_and_another_name() {
    let files = |name: &str, text: &str| Fingerprint::of(&[(name.to_owned(), text.to_owned())]);
    assert_eq!(files("a", "b"), files("a", "b"));
    assert_ne!(files("a", "b"), files("a", "c"));
    assert_ne!(files("a", "b"), files("ab", ""));
}

/// A directory of its own, gone with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sluice-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).expect("scratch directory");
        Self(path)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).expect("scratch file");
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_directory_is_read_in_the_order_of_names_without_hidden_files() {
    let directory = Scratch::new("order");
    directory.write("20-b.yaml", "routes: []\n");
    directory.write("10-a.yml", MINIMAL);
    directory.write(".hidden.yaml", "nonsense");
    directory.write("notes.txt", "nonsense");
    fs::create_dir(directory.0.join("folder.yaml")).expect("scratch directory");
    let files = read(&directory.0).expect("readable");
    let names: Vec<&str> = files.iter().filter_map(|(name, _)| name.rsplit('/').next()).collect();
    assert_eq!(names, ["10-a.yml", "20-b.yaml"]);
    assert_eq!(load(&directory.0).expect("valid").gateway.routes.len(), 2);
}

#[test]
fn a_config_map_is_read_through_its_links_and_its_swap_is_seen() {
    let mount = Scratch::new("configmap");
    for (version, text) in [("..one", MINIMAL), ("..two", "routes: []\n")] {
        fs::create_dir(mount.0.join(version)).expect("scratch directory");
        mount.write(&format!("{version}/sluice.yaml"), text);
    }
    symlink("..one", mount.0.join("..data")).expect("link");
    symlink("..data/sluice.yaml", mount.0.join("sluice.yaml")).expect("link");
    let before = load(&mount.0).expect("valid");
    symlink("..two", mount.0.join("..data_tmp")).expect("link");
    fs::rename(mount.0.join("..data_tmp"), mount.0.join("..data")).expect("swap");
    let after = load(&mount.0).expect("valid");
    assert_eq!((before.gateway.routes.len(), after.gateway.routes.len()), (2, 0));
    assert_ne!(before.fingerprint, after.fingerprint);
}

#[test]
fn what_cannot_be_read_says_why() {
    let directory = Scratch::new("unreadable");
    let why = |path: &Path| read(path).expect_err("unreadable").to_string();
    assert_eq!(why(&directory.0), "the directory has no *.yaml");
    fs::write(directory.0.join("a.yaml"), [b'a', 0xff]).expect("scratch file");
    assert!(why(&directory.0).ends_with("a.yaml is not UTF-8 at byte 1"));
    assert!(matches!(load(&directory.0.join("b.yaml")), Err(LoadError::Read { .. })));
    assert!(why(Path::new("/dev/zero")).starts_with("more than 32 MiB"));
}

/// What people and editors do to a file, and what nobody does.
#[derive(Clone, Debug)]
enum Edit {
    Delete,
    Insert(&'static str),
    Double,
    Cut,
    Swap(usize),
}

fn edits() -> impl Strategy<Value = Vec<(prop::sample::Index, Edit)>> {
    const PIECES: [&str; 32] = [
        "*",
        "&a ",
        "*a",
        "!!str ",
        "!x ",
        "<<: ",
        "- ",
        "? ",
        ": ",
        "\t",
        "\n",
        "\r",
        "  ",
        "[",
        "]",
        "{",
        "}",
        ",",
        "\"",
        "'",
        "|\n",
        ">-\n",
        "#",
        "---\n",
        "...\n",
        "%YAML 1.2\n",
        "null",
        "1e999",
        "\u{feff}",
        "\u{0}",
        "é",
        "routes:\n",
    ];
    let edit = prop_oneof![
        3 => Just(Edit::Delete),
        6 => prop::sample::select(&PIECES[..]).prop_map(Edit::Insert),
        1 => Just(Edit::Double),
        1 => Just(Edit::Cut),
        2 => (1_usize..40).prop_map(Edit::Swap),
    ];
    prop::collection::vec((any::<prop::sample::Index>(), edit), 1..12)
}

fn mutate(text: &str, edits: &[(prop::sample::Index, Edit)]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for (index, edit) in edits {
        if chars.is_empty() {
            break;
        }
        let at = index.index(chars.len());
        match edit {
            Edit::Delete => {
                chars.remove(at);
            }
            Edit::Insert(piece) => {
                chars.splice(at..at, piece.chars());
            }
            Edit::Double => {
                let tail: Vec<char> = chars.iter().skip(at).take(200).copied().collect();
                chars.splice(at..at, tail);
            }
            Edit::Cut => chars.truncate(at),
            Edit::Swap(far) => {
                let other = (at + far).min(chars.len() - 1);
                chars.swap(at, other);
            }
        }
    }
    chars.into_iter().collect()
}

fn all_inputs() -> Vec<String> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(golden()).expect("golden files") {
        let path = entry.expect("golden file").path();
        if path.to_string_lossy().contains(".in") {
            texts.extend(input(&path).into_iter().map(|(_, text)| text));
        }
    }
    texts
}

#[test]
fn mutated_files_never_panic_and_problems_point_into_the_file() {
    let texts = all_inputs();
    let shape = Shape::of_file();
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4000) };
    proptest!(config, |(which in any::<prop::sample::Index>(), edits in edits())| {
        let text = mutate(which.get::<String>(&texts), &edits);
        let lines = text.split(['\n', '\r']).count();
        for found in parse_as(shape, &one(&text)).err().into_iter().flatten() {
            prop_assert!(found.line >= 1 && found.line <= lines + 1 && found.column >= 1, "{found}\n{text}");
            prop_assert!(!found.to_string().contains('\n'), "{found}\n{text}");
        }
    });
}

#[test]
fn values_are_those_that_another_reader_gives() {
    let texts = all_inputs();
    // The same edits in each run: a word on which two readers differ is no reason to stop who works on something else.
    let rng_seed = proptest::test_runner::RngSeed::Fixed(1);
    let config = ProptestConfig { failure_persistence: None, rng_seed, ..ProptestConfig::with_cases(4000) };
    let compared = std::cell::Cell::new(0);
    proptest!(config, |(which in any::<prop::sample::Index>(), edits in edits())| {
        let text = mutate(which.get::<String>(&texts), &edits);
        let text = text.trim_start_matches('\u{feff}');
        let mut findings = Findings::default();
        let read = yaml::parse(text, &mut findings);
        let other = serde_yaml::from_str::<Value>(text);
        if let (Some(document), true, false, Ok(other)) = (read, findings.is_empty(), yaml::is_unusual(text), other) {
            compared.set(compared.get() + 1);
            prop_assert_eq!(document.root.to_value(), other, "{}", text);
        }
    });
    assert!(compared.get() > 300, "{} texts were compared", compared.get());
}
