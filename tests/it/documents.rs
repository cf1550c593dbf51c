//! What documents show is what works: the README's configuration, the examples.

use sluice::config::{Effect, Slug};
use sluice::controller::manifest::read_world;
use sluice::controller::translate::translate;
use sluice::controller::world::ClassSettings;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn read(path: &str) -> String {
    std::fs::read_to_string(format!("{ROOT}/{path}")).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The blocks of a Markdown text in this language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let start = format!("```{language}\n");
    text.split(&start).skip(1).filter_map(|rest| rest.split("```").next()).map(ToOwned::to_owned).collect()
}

/// Problems of the objects, apart from Services that a text without a cluster cannot have.
fn problems(text: &str) -> Vec<String> {
    let class = ClassSettings { class: "sluice".into(), serve_unclassed: true };
    let world = read_world(text, class).expect("YAML of objects");
    let verdicts = translate(&world).verdicts;
    assert!(!verdicts.is_empty(), "there is an object in {text}");
    let found = verdicts.iter().flat_map(|verdict| verdict.problems.iter());
    found.filter(|problem| problem.slug != Slug::ServiceMissing).map(ToString::to_string).collect()
}

#[test]
fn the_readmes_configuration_is_right() {
    let blocks = blocks(&read("README.md"), "yaml");
    let (objects, files): (Vec<_>, Vec<_>) = blocks.into_iter().partition(|block| block.contains("kind: GatewayRoute"));
    assert_eq!(files, [read("manifests/examples/file/minimal.yaml")], "the five lines are those of the example");
    assert_eq!(objects.len(), 1);
    assert_eq!(problems(&objects[0]), Vec::<String>::new());
}

#[test]
fn every_example_object_is_right() {
    let mut seen = 0;
    for entry in std::fs::read_dir(format!("{ROOT}/manifests/examples")).expect("there are examples") {
        let path = entry.expect("readable").path();
        if path.extension().is_some_and(|ending| ending == "yaml") {
            let text = std::fs::read_to_string(&path).expect("text");
            assert_eq!(problems(&text), Vec::<String>::new(), "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 4);
    let wrong = "apiVersion: gateway.sluice.dev/v1alpha1\nkind: GatewayRoute\nmetadata: {name: a, namespace: a}\nspec: {routes: [{hosts: [A], path: /}]}";
    assert!(!problems(wrong).is_empty(), "the test sees problems");
    assert_eq!(Slug::HostForm.effect(), Effect::RuleOff);
}

#[test]
fn every_example_file_is_right() {
    let mut seen = 0;
    for entry in std::fs::read_dir(format!("{ROOT}/manifests/examples/file")).expect("there are examples") {
        let path = entry.expect("readable").path();
        let ran = crate::lang::gateway::run(&["check", path.to_str().expect("text")], None);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{}", path.display());
        seen += 1;
    }
    assert!(seen >= 11, "one file a feature");
}

#[test]
fn the_readmes_commands_exist() {
    let text = read("README.md");
    for file in [
        "tests/run",
        "tests/bench/run",
        "tests/cluster/image",
        "manifests/install.yaml",
        "manifests/examples/hello.yaml",
    ] {
        assert!(text.contains(file), "{file} is named");
        assert!(std::path::Path::new(&format!("{ROOT}/{file}")).exists(), "{file} exists");
    }
}
