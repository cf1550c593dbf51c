//! Levels put on one another: what is nearest wins, and what is equal is shared.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::tests::{described_well, rules_of};
use super::*;
use crate::config::message::HeaderEdits;

fn layer_of(fields: &Value, owner: &str) -> Layer {
    let fields: TrafficFields = serde_json::from_value(fields.clone()).expect("fields");
    let mut problems = Vec::new();
    let layer = describe_layer(&fields, owner, At::Start("here"), &mut problems);
    assert_eq!(problems, Vec::new());
    layer
}

fn put_on_one_another(levels: &[Value]) -> Traffic {
    let mut traffic = Traffic::default();
    for (index, fields) in levels.iter().enumerate() {
        layer_of(fields, &format!("level{index}")).put_on(&mut traffic);
    }
    traffic
}

#[test]
fn rules_without_settings_share_one_traffic() {
    let route = |index: usize| format!("- {{path: /{index}, backends: [{{url: 'http://a:1'}}]}}\n");
    let described = described_well(&(0..1000).map(route).collect::<String>());
    let mut all = rules_of(&described).map(|rule| &rule.traffic);
    let first = all.next().expect("a rule");
    assert!(all.all(|traffic| Arc::ptr_eq(first, traffic)));
}

#[test]
fn rules_with_the_same_settings_share_one_traffic() {
    let route = |index: usize| {
        let own = ["use: [strict]", "retries: {attempts: 5}", "timeouts: {idle: 7s}"][index % 3];
        format!("- {{path: /{index}, {own}, backends: [{{url: 'http://a:1'}}]}}\n")
    };
    let described = described_well(&(0..100).map(route).collect::<String>());
    let all: Vec<&Arc<Traffic>> = rules_of(&described).map(|rule| &rule.traffic).collect();
    for (index, traffic) in all.iter().enumerate() {
        assert!(Arc::ptr_eq(traffic, all[index % 3]), "{index}");
    }
    assert!(!Arc::ptr_eq(all[0], all[1]) && !Arc::ptr_eq(all[1], all[2]));
}

#[test]
fn a_limit_is_known_by_the_place_where_it_is_written() {
    let limits = "rateLimits: [{name: x, rate: 1/s}]";
    let described = described_well(&format!(
        "- {{use: [strict], path: /a, concurrency: {{max: 1}}, backends: [{{url: 'http://a:1'}}]}}\n\
         - name: shop\n  {limits}\n  rules:\n\
         \x20   - {{path: /b, backends: [{{url: 'http://a:1'}}]}}\n\
         \x20   - {{path: /c, backends: [{{url: 'http://a:1'}}]}}\n\
         \x20   - {{path: /d, {limits}, backends: [{{url: 'http://a:1'}}]}}\n\
         - {{path: /e, {limits}, backends: [{{url: 'http://a:1'}}]}}\n"
    ));
    let ids: Vec<String> = rules_of(&described)
        .map(|rule| {
            let concurrency = rule.traffic.concurrency.iter().map(|limit| limit.id.to_string());
            let rates = rule.traffic.rate_limits.iter().map(|limit| limit.id.to_string());
            rates.chain(concurrency).collect::<Vec<_>>().join(" ")
        })
        .collect();
    let of_route = "file/shop/x";
    let expected = [
        "policies/strict/one file/any host/prefix /a/concurrency",
        of_route,
        of_route,
        "file/shop/prefix /d/x",
        "file/any host/prefix /e/x",
    ];
    assert_eq!(ids, expected);
    let rules: Vec<_> = rules_of(&described).collect();
    assert!(Arc::ptr_eq(&rules[1].traffic.rate_limits[0], &rules[2].traffic.rate_limits[0]));
}

#[test]
fn an_edited_rate_keeps_the_identity() {
    let ids = |rate: &str| {
        let layer = layer_of(&json!({"rateLimits": [{"name": "x", "rate": rate, "status": 503}]}), "defaults");
        layer.limits().cloned().collect::<Vec<_>>()
    };
    assert_eq!(ids("1/s"), ids("7/m"));
}

#[test]
fn a_rules_policies_stand_in_place_of_its_routes() {
    let described = described_well(
        "- name: shop\n  use: [strict]\n  timeouts: {idle: 7s}\n  rules:\n\
         \x20   - {path: /a, backends: [{url: 'http://a:1'}]}\n\
         \x20   - {path: /b, use: [], backends: [{url: 'http://a:1'}]}\n",
    );
    let seen: Vec<(u32, u64)> = rules_of(&described)
        .map(|rule| (rule.traffic.retries.attempts, rule.traffic.timeouts.idle.as_secs()))
        .collect();
    assert_eq!(seen, [(1, 7), (2, 7)]);
}

#[test]
fn a_burst_is_one_second_of_the_rate_and_at_least_one() {
    for (rate, burst) in [("100/s", 100), ("50/10s", 5), ("90/m", 1), ("1/d", 1), ("999999999/s", 999_999_999)] {
        let layer = layer_of(&json!({"rateLimits": [{"name": "x", "rate": rate}]}), "defaults");
        assert_eq!(layer.rate_limits.expect("limits")[0].burst, burst, "{rate}");
    }
}

/// One level: some of a few fields, each with some value.
fn level() -> impl Strategy<Value = Value> {
    let members = |name: &'static str, values: &'static [&'static str]| {
        prop::option::of(prop::sample::select(values)).prop_map(move |value| value.map(|value| (name, value)))
    };
    let timeouts = (members("request", &["50s", "60s"]), members("idle", &["1s", "2s"]), members("perTry", &["3s"]));
    let timeouts = timeouts.prop_map(|(a, b, c)| [a, b, c].into_iter().flatten().collect::<Vec<_>>());
    let retries = prop::option::of((prop::option::of(0..10_i32), prop::option::of(Just("POST"))));
    let ranges = || prop::option::of(prop::collection::vec(prop::sample::select(&["10.0.0.0/8", "::1"][..]), 1..3));
    let limits = prop::option::of(prop::collection::vec(Just(()), 0..3));
    let concurrency = prop::option::of(prop::option::of(1..5_i32));
    (timeouts, retries, ranges(), ranges(), limits, concurrency).prop_map(
        |(timeouts, retries, allow, deny, limits, concurrency)| {
            let mut level = json!({});
            for (name, value) in timeouts {
                level["timeouts"][name] = value.into();
            }
            if let Some((attempts, method)) = retries {
                level["retries"] = json!({});
                attempts.into_iter().for_each(|attempts| level["retries"]["attempts"] = attempts.into());
                method.into_iter().for_each(|method| level["retries"]["methods"] = json!([method]));
            }
            allow.into_iter().for_each(|allow| level["security"]["allow"] = allow.into());
            deny.into_iter().for_each(|deny| level["security"]["deny"] = deny.into());
            if let Some(limits) = limits {
                let limit = |index: usize| json!({"name": format!("l{index}"), "rate": "1/s"});
                level["rateLimits"] = (0..limits.len()).map(limit).collect();
            }
            if let Some(max) = concurrency {
                level["concurrency"] = max.map_or(json!({"disabled": true}), |max| json!({"max": max}));
            }
            level
        },
    )
}

/// The innermost level that says something about a field or member.
fn nearest<'l>(levels: &'l [Value], pointer: &str) -> Option<(usize, &'l Value)> {
    levels.iter().enumerate().rev().find_map(|(index, level)| Some((index, level.pointer(pointer)?)))
}

/// Changes to two headers at one level, as (set, add, remove) of each.
type Edits = [(Option<u8>, Option<u8>, bool); 2];

fn edits_of(edits: &Edits) -> Value {
    let mut written = json!({"set": {}, "add": {}, "remove": []});
    for (name, (set, add, is_removed)) in ["X-A", "x-b"].into_iter().zip(edits) {
        set.iter().for_each(|value| written["set"][name] = value.to_string().into());
        add.iter().for_each(|value| written["add"][name] = value.to_string().into());
        if *is_removed {
            written["remove"].as_array_mut().expect("a list").push(name.into());
        }
    }
    json!({ "responseHeaders": written })
}

/// What one header becomes: its own value if any, and those added.
fn values_of(edits: &HeaderEdits, name: &str) -> (bool, Option<String>, Vec<String>) {
    let text = |edit: &crate::config::message::HeaderEdit| edit.value.as_text().expect("plain").to_owned();
    let set: Vec<String> = edits.set.iter().filter(|edit| edit.name == name).map(text).collect();
    assert!(set.len() <= 1, "{name} is set twice");
    let added = edits.add.iter().filter(|edit| edit.name == name).map(text).collect();
    (edits.remove.iter().any(|removed| removed == name), set.into_iter().next(), added)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn the_nearest_level_that_says_something_counts(levels in prop::collection::vec(level(), 0..5)) {
        let traffic = put_on_one_another(&levels);
        let text = |pointer: &str| nearest(&levels, pointer).and_then(|(_, value)| value.as_str());
        let seconds = |duration: std::time::Duration| format!("{}s", duration.as_secs());
        prop_assert_eq!(seconds(traffic.timeouts.request), text("/timeouts/request").unwrap_or("0s"));
        prop_assert_eq!(seconds(traffic.timeouts.idle), text("/timeouts/idle").unwrap_or("60s"));
        prop_assert_eq!(seconds(traffic.timeouts.per_try), text("/timeouts/perTry").unwrap_or("0s"));

        // Replaced whole: what the nearest block leaves out is the default and not that of a level above.
        let retries = nearest(&levels, "/retries").map(|(_, retries)| retries.clone()).unwrap_or_default();
        prop_assert_eq!(u64::from(traffic.retries.attempts), retries["attempts"].as_u64().unwrap_or(2));
        prop_assert_eq!(traffic.retries.methods.len(), if retries["methods"].is_array() { 1 } else { 6 });

        let length = |pointer: &str| nearest(&levels, pointer).and_then(|(_, list)| list.as_array()).map(Vec::len);
        prop_assert_eq!(traffic.security.allow.as_ref().map(Vec::len), length("/security/allow"));
        prop_assert_eq!(traffic.security.deny.len(), length("/security/deny").unwrap_or(0));

        let ids: Vec<String> = traffic.rate_limits.iter().map(|limit| limit.id.to_string()).collect();
        let expected: Vec<String> = match nearest(&levels, "/rateLimits") {
            Some((level, limits)) => {
                (0..limits.as_array().map_or(0, Vec::len)).map(|index| format!("level{level}/l{index}")).collect()
            }
            None => Vec::new(),
        };
        prop_assert_eq!(ids, expected);
        let max = nearest(&levels, "/concurrency").and_then(|(_, limit)| limit["max"].as_u64());
        prop_assert_eq!(traffic.concurrency.as_ref().map(|limit| u64::from(limit.max)), max);
    }

    #[test]
    fn changes_to_headers_add_up(levels in prop::collection::vec(any::<Edits>(), 0..5)) {
        let written: Vec<Value> = levels.iter().map(edits_of).collect();
        let traffic = put_on_one_another(&written);
        for (index, name) in ["x-a", "x-b"].into_iter().enumerate() {
            let (mut is_removed, mut set, mut added) = (false, None, Vec::new());
            for level in &levels {
                let (sets, adds, removes) = level[index];
                if removes {
                    (is_removed, set, added) = (true, None, Vec::new());
                }
                set = sets.map(|value| value.to_string()).or(set);
                added.extend(adds.map(|value| value.to_string()));
            }
            prop_assert_eq!(values_of(&traffic.response_headers, name), (is_removed, set, added));
        }
    }
}
