//! Places, and what serde cannot tell.

use super::*;

fn read(text: &str) -> (Option<Document<'_>>, Vec<String>) {
    let mut findings = Findings::default();
    let document = parse(text, &mut findings);
    let shown = findings.into_vec().into_iter();
    (document, shown.map(|found| format!("{}:{} {}", found.at.line, found.at.column, found.problem)).collect())
}

fn place(text: &str, path: &str) -> (usize, usize) {
    let (document, problems) = read(text);
    assert_eq!(problems, Vec::<String>::new());
    let at = document.map(|document| document.root.place_of(path)).expect("readable");
    (at.line, at.column)
}

const TEXT: &str = "routes:\n  - path: /a\n    headers:\n      X.Y[0]: é\n      X: b\n    hosts: [é, b]\n    name:\n";

#[test]
fn a_word_is_at_itself_and_a_block_at_its_key() {
    assert_eq!(place(TEXT, "routes"), (1, 1));
    assert_eq!(place(TEXT, "routes[0]"), (2, 5));
    assert_eq!(place(TEXT, "routes[0].path"), (2, 11));
    assert_eq!(place(TEXT, "routes[0].headers"), (3, 5));
    assert_eq!(place(TEXT, "routes[0].hosts[1]"), (6, 16));
    assert_eq!(place(TEXT, "routes[0].name"), (7, 5));
}

#[test]
fn keys_with_dots_and_brackets_are_found() {
    assert_eq!(place(TEXT, "routes[0].headers.X.Y[0]"), (4, 15));
    assert_eq!(place(TEXT, "routes[0].headers.X"), (5, 10));
}

#[test]
fn what_is_not_written_is_at_its_nearest_parent() {
    assert_eq!(place(TEXT, "routes[0].timeouts.idle"), (2, 5));
    assert_eq!(place(TEXT, "routes[7].path"), (1, 1));
    assert_eq!(place(TEXT, "routes[0].path.deeper"), (2, 11));
    assert_eq!(place(TEXT, "upstreams[0]"), (1, 1));
}

#[test]
fn lines_and_columns_count_from_one_in_characters_after_a_byte_order_mark_too() {
    assert_eq!(place("\u{feff}a: b\r\nc: d\r\n", "a"), (1, 4));
    assert_eq!(place("\u{feff}a: b\r\nc: d\r\n", "c"), (2, 4));
    assert_eq!(place("{é: é, b: c}", "b"), (1, 11));
}

#[test]
fn both_readers_give_the_same_values() {
    let text = "a: [1, 1.50, 0x1f, 0o17, true, yes, null, ~, '1', \"\\u00e9\", -5, .inf, 1e3, 2020-01-01]\n\
                b: |\n  two\n  lines\nc: >-\n  folded\n  text\nd: {e: {f: []}}\ng: a folded\n  plain word\nh:\n";
    let (document, problems) = read(text);
    assert_eq!(problems, Vec::<String>::new());
    let document = document.expect("readable");
    assert_eq!(document.value, serde_yaml::from_str::<Value>(text).expect("YAML"));
}

#[test]
fn all_duplicates_are_told_with_both_lines() {
    let (document, problems) = read("a: 1\nb: {c: 1, c: 2}\na: 2\na: 3\n");
    assert_eq!(
        problems,
        [
            "2:11 b.c: the key \"c\" is given twice, in line 2",
            "3:1 a: the key \"a\" is given twice, in lines 1 and 3",
            "4:1 a: the key \"a\" is given twice, in lines 1 and 4",
        ]
    );
    let value = document.expect("the rest is read").value;
    assert_eq!(value, serde_yaml::from_str::<Value>("a: 1\nb: {c: 1}").expect("YAML"));
}

#[test]
fn a_hundred_thousand_duplicates_are_found_in_no_time() {
    let text: String = (0..100_000).map(|key| format!("k{}: 1\n", key % 50_000)).collect();
    let (_, problems) = read(&text);
    assert_eq!(problems.len(), super::super::place::MAX_FINDINGS);
}

#[test]
fn keys_of_users_cannot_break_a_line_or_fill_a_screen() {
    let mut path = String::new();
    push_key(&mut path, "a\nb");
    push_key(&mut path, &"x".repeat(1000));
    assert_eq!(path, format!("a\\nb.{}", "x".repeat(128)));
}
