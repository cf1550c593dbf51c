//! Weights: who gets how much, and how evenly.

use std::collections::BTreeMap;

use crate::fixture::Namespace;
use crate::sluice::{concluded, everywhere, installed};
use crate::wire::Connection;

/// A whole turn of 95 to 5, which is 19 to 1.
const TURN: usize = 20;
const TURNS: usize = 10;

#[test]
fn a_split_is_exact_and_smooth() {
    let address = installed();
    let space = Namespace::new("weights");
    space.backend("stable", 1);
    space.backend("canary", 1);
    space.route(
        "shop",
        r#"
    - hosts: [weights.example.com]
      path: /
      backends:
        - {service: {name: stable, port: http}, weight: 95}
        - {service: {name: canary, port: http}, weight: 5}
"#,
    );
    concluded(&space.name, "shop", "True", "True", "True");
    everywhere(&address, "http://weights.example.com/", 200);
    // One connection stays with one worker of one replica, and nobody else asks: its turn is seen whole.
    let mut connection = Connection::open(&address).expect("a connection");
    let mut answered = Vec::new();
    for _ in 0..TURN * TURNS {
        let response = connection.exchange("GET / HTTP/1.1\r\nHost: weights.example.com\r\n\r\n").expect("an answer");
        assert_eq!(response.status, 200);
        let seen: serde_json::Value = serde_json::from_slice(&response.body).expect("JSON");
        answered.push(seen["version"].as_str().unwrap_or_default().to_owned());
    }
    let mut counts = BTreeMap::new();
    for version in &answered {
        *counts.entry(version.as_str()).or_insert(0) += 1;
    }
    assert_eq!(counts, BTreeMap::from([("stable", 19 * TURNS), ("canary", TURNS)]));
    // Smooth: whatever twenty requests one looks at, exactly one of them went to the canary.
    for (start, window) in answered.windows(TURN).enumerate() {
        let canaries = window.iter().filter(|version| *version == "canary").count();
        assert_eq!(canaries, 1, "requests {start} to {}: {window:?}", start + TURN);
    }
}
