//! What an owner is told about a route: conditions, columns, problems, and that nobody else suffers.

use crate::command::{kubectl, try_kubectl};
use crate::fixture::Namespace;
use crate::load::Load;
use crate::sluice::{answers, concluded, condition, everywhere, gateway_route, installed};
use crate::wait::{SOON, eventually, holds};

#[test]
fn conditions_follow_each_generation() {
    installed();
    let space = Namespace::new("conditions");
    space.backend("shop", 1);
    for path in ["/a", "/b"] {
        let backend = "{service: {name: shop, port: http}}";
        space.route("shop", &format!("    - {{hosts: [conditions.example.com], path: {path}, backends: [{backend}]}}"));
        kubectl(&["wait", "-n", &space.name, "gwr/shop", "--for=condition=Serving", "--timeout=60s"]);
        concluded(&space.name, "shop", "True", "True", "True");
    }
    let object = gateway_route(&space.name, "shop").expect("the object");
    assert_eq!(object["metadata"]["generation"], 2, "two specs were applied: {object}");
}

#[test]
fn columns_tell_the_state() {
    installed();
    let space = Namespace::new("columns");
    space.backend("shop", 1);
    space.route(
        "shop",
        "    - {hosts: [columns.example.com], path: /, backends: [{service: {name: shop, port: http}}]}",
    );
    concluded(&space.name, "shop", "True", "True", "True");
    let table = kubectl(&["get", "gwr", "-n", &space.name]);
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    let [header, row] = &lines[..] else { panic!("a header and one row: {table}") };
    let column = |name: &str| {
        let place = header.iter().position(|title| *title == name);
        place.and_then(|place| row.get(place).copied()).unwrap_or_else(|| panic!("no column {name}: {table}"))
    };
    assert_eq!(column("NAME"), "shop");
    assert_eq!(column("HOSTS"), "columns.example.com");
    for name in ["ACCEPTED", "REFS", "SERVING"] {
        assert_eq!(column(name), "True", "{table}");
    }
}

#[test]
fn a_broken_route_harms_nobody_else() {
    let address = installed();
    let space = Namespace::new("broken");
    space.backend("shop", 2);
    space.route("good", "    - {hosts: [good.example.com], path: /, backends: [{service: {name: shop, port: http}}]}");
    everywhere(&address, "http://good.example.com/", 200);
    let load = Load::start(&address, "good.example.com", "/");
    space.empty_service("empty");
    space.route(
        "bad",
        r#"
    - hosts: [bad.example.com]
      rules:
        - {path: /right, backends: [{service: {name: shop, port: http}}]}
        - {path: /missing, backends: [{service: {name: shoop, port: http}}]}
        - {path: /port, backends: [{service: {name: shop, port: web}}]}
        - {path: /empty, backends: [{service: {name: empty, port: http}}]}
"#,
    );
    let object = eventually("the verdict", SOON, || {
        let object = gateway_route(&space.name, "bad")?;
        let verdict = condition(&object, "ResolvedRefs");
        holds(verdict["status"] == "False", || format!("{}", object["status"]))?;
        Ok(object)
    });
    assert_eq!(condition(&object, "ResolvedRefs")["reason"], "ServiceNotFound", "{}", object["status"]);
    let problems = object["status"]["problems"].as_array().cloned().unwrap_or_default();
    for (rule, said) in [(1, "shoop"), (2, "web")] {
        let place = format!("spec.routes[0].rules[{rule}].backends[0]");
        let names =
            |problem: &&serde_json::Value| problem["path"].as_str().is_some_and(|path| path.starts_with(&place));
        let problem = problems.iter().find(names).unwrap_or_else(|| panic!("no problem at {place}: {problems:?}"));
        assert!(problem["message"].to_string().contains(said), "{problem}");
    }
    answers(&address, "http://bad.example.com/right", &[], 200);
    answers(&address, "http://bad.example.com/missing", &[], 500);
    answers(&address, "http://bad.example.com/port", &[], 500);
    let empty = answers(&address, "http://bad.example.com/empty", &[], 503);
    assert!(empty.head.contains("\r\nretry-after:"), "an empty Service says when to come again: {}", empty.head);
    // What the API server itself refuses never reaches anybody, and says why.
    let refused = |route: &str, said: &str| {
        let object = format!(
            "{{apiVersion: gateway.sluice.dev/v1alpha1, kind: GatewayRoute, metadata: {{name: refused}}, spec: {{routes: [{route}]}}}}"
        );
        let file = std::env::temp_dir().join(format!("sluice-story-{}.yaml", std::process::id()));
        std::fs::write(&file, object).expect("a temporary file");
        // As a client that does not ask for strictness: what the schema does not name would be dropped.
        let arguments = ["apply", "--validate=false", "-n", &space.name, "-f", &file.to_string_lossy()];
        let complaint = try_kubectl(&arguments);
        std::fs::remove_file(&file).expect("a temporary file");
        assert!(complaint.as_ref().is_err_and(|text| text.contains(said)), "{route}: {complaint:?}");
    };
    let backends = "backends: [{service: {name: shop, port: http}}]";
    refused(&format!("{{hosts: [Bad.example.com], path: /, {backends}}}"), "must be a host name in lower case");
    refused(&format!("{{hosts: [a.example.com], path: api, {backends}}}"), "must begin with /");
    refused(&format!("{{hosts: [a.example.com], methods: [get], {backends}}}"), "in capitals");
    refused("{hosts: [a.example.com]}", "set exactly one of backends, redirect, respond, rules");
    refused(&format!("{{hosts: [a.example.com], pathRegex: '/a[', {backends}}}"), "not a regular expression");
    refused(
        &format!("{{hosts: [a.example.com], rateLimits: [{{name: a, rate: '5'}}], {backends}}}"),
        "must be a rate such as 100/s",
    );
    let later = ["cors: {}", "security: {basic: {}}", "compression: {}", "buffering: {}", "mirrors: [{}]"];
    for field in later {
        refused(&format!("{{hosts: [a.example.com], {field}, {backends}}}"), "is not supported yet");
    }
    load.more(200);
    load.finish();
    concluded(&space.name, "good", "True", "True", "True");
}
