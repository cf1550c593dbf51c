//! The commands as a person meets them.

use crate::lang::gateway::{folder, gateway, run, start};

#[test]
fn check_tells_everything_that_is_wrong_and_where() {
    let folder = folder();
    let text = "routes:\n  - pathh: /a\n    backends: [http://localhost:8081]\n  - path: /b\n    headers: {X-Version: 2}\n    backends: [http://localhost:8081]\n";
    std::fs::write(folder.join("sluice.yaml"), text).expect("written");
    let ran = run(&["check", "sluice.yaml"], Some(&folder));
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("sluice.yaml:2:5: routes[0].pathh: unknown field; did you mean \"path\"?"), "{}", ran.err);
    assert!(ran.err.contains("must be a string, got the number 2: write \"2\""), "{}", ran.err);
    assert_eq!(run(&["check", "missing.yaml"], Some(&folder)).code, 2);
    std::fs::write(folder.join("sluice.yaml"), include_str!("../../manifests/examples/file/minimal.yaml"))
        .expect("written");
    let ran = run(&["check", "sluice.yaml"], Some(&folder));
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
}

#[test]
fn check_takes_manifests_and_looks_at_them_together() {
    let folder = folder();
    let route = "apiVersion: gateway.sluice.dev/v1alpha1\nkind: GatewayRoute\nmetadata: {name: web, namespace: shop}\nspec:\n  routes:\n    - hosts: [shop.example.com]\n      backends: [{service: {name: web, port: http}}]\n";
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\nspec: {ports: [{name: https, port: 80}]}\n";
    std::fs::write(folder.join("route.yaml"), route).expect("written");
    std::fs::write(folder.join("service.yaml"), service).expect("written");
    let ran = run(&["check", "route.yaml", "service.yaml"], Some(&folder));
    assert_eq!(ran.code, 1);
    let told = "route.yaml:7:19: GatewayRoute shop/web spec.routes[0].backends[0].service: Service shop/web has no port \"http\"; it has https (80)";
    assert!(ran.err.contains(told), "{}", ran.err);
    std::fs::write(folder.join("service.yaml"), service.replace("https", "http")).expect("written");
    let ran = run(&["check", "route.yaml", "service.yaml"], Some(&folder));
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert!(ran.out.contains("1 GatewayRoutes in 2 files"), "{}", ran.out);
    // Alone it may be right: the Service may be in the cluster.
    let ran = run(&["check", "route.yaml"], Some(&folder));
    assert_eq!(ran.code, 0);
    assert!(ran.err.contains("it may be in the cluster"), "{}", ran.err);
}

#[test]
fn translate_shows_what_objects_become_and_what_their_owners_are_told() {
    let folder = folder();
    let route = "apiVersion: gateway.sluice.dev/v1alpha1\nkind: GatewayRoute\nmetadata: {name: web, namespace: shop}\nspec:\n  routes:\n    - hosts: [shop.example.com]\n      rules:\n        - {path: /a, backends: [{service: {name: web, port: http}}]}\n        - {path: /b, backends: [{url: 'http://partner.example'}]}\n";
    let others = "apiVersion: v1\nkind: List\nitems:\n- {kind: Service, metadata: {name: web, namespace: shop}, spec: {ports: [{name: http, port: 80}]}}\n- {kind: EndpointSlice, metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}, addressType: IPv4, ports: [{name: http, port: 8080}], endpoints: [{addresses: [192.0.2.1], zone: a}]}\n";
    let file = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("written");
    file("route.yaml", route);
    file("others.yaml", others);
    file("sluice.yaml", "cluster: {externalHosts: [partner.example]}\n");
    let ran = run(&["translate", "-f", "route.yaml", "-f", "others.yaml"], Some(&folder));
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.out.contains("message: partner.example is not in cluster.externalHosts"), "{}", ran.out);
    assert!(ran.out.contains("host: 192.0.2.1") && ran.out.contains("zone: a"), "{}", ran.out);
    let ran =
        run(&["translate", "-f", "route.yaml", "others.yaml", "--config", "sluice.yaml", "-o", "json"], Some(&folder));
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert!(ran.out.contains("\"host\": \"partner.example\""), "{}", ran.out);
    file("broken.yaml", "kind: Service\nmetadata: {name: a}\nspec: {ports: 80}\n");
    let ran = run(&["translate", "-f", "route.yaml", "broken.yaml", "missing.yaml"], Some(&folder));
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("broken.yaml: document 1 is no Service: "), "{}", ran.err);
    assert!(ran.err.contains("missing.yaml: cannot be read: ") && ran.out.contains("shop/web"), "{}", ran.err);
}

#[test]
fn a_dump_serves_what_the_instance_served() {
    let routes = "defaults: {responseHeaders: {set: {X-From: sluice}}}\npolicies: [{name: few, rateLimits: [{name: few, rate: 2/h, burst: 2, key: []}]}]\nroutes:\n  - {path: /a, use: [few], respond: {body: \"one\\ntwo\"}}\n  - {path: /b, use: [few], respond: {status: 418}}\n  - {path: /c, redirect: {path: /d}}\n";
    let running = gateway(routes);
    let (port, admin) = (running.port, format!("127.0.0.1:{}", running.admin));
    let written = folder().join("served");
    let directory = written.to_str().expect("text");
    let ran = run(&["dump", directory, "--admin", &admin], None);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert!(ran.out.contains("sluice.yaml: written (3 rules, 0 upstreams)"), "{}", ran.out);
    let again = run(&["dump", directory, "--admin", &admin], None);
    assert_eq!(again.code, 2, "{}", again.err);
    assert!(again.err.contains("has sluice.yaml already: give an empty directory"), "{}", again.err);
    assert_eq!(running.get("/c").status, 302);
    drop(running);
    assert_eq!(run(&["dump", "-", "--admin", &admin], None).code, 1, "nobody is there any more");
    let running = start(written, port, &[]);
    assert_eq!(running.get("/a").body, b"one\ntwo");
    assert_eq!((running.get("/b").status, running.get("/c").status), (418, 302));
    assert_eq!(running.get("/a").status, 429, "both rules still share one count");
    assert!(running.get("/c").header("x-from") == Some("sluice"));
}

#[test]
fn check_tells_what_can_be_read_although_something_cannot() {
    let folder = folder();
    std::fs::write(folder.join("wrong.yaml"), "routes: [{pathh: /}]").expect("written");
    let ran = run(&["check", "missing.yaml", "wrong.yaml"], Some(&folder));
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("missing.yaml: cannot be read") && ran.err.contains("wrong.yaml:1:11"), "{}", ran.err);
}

#[test]
fn every_shell_gets_completions_of_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = run(&["completions", shell], None);
        assert_eq!(ran.code, 0, "{}", ran.err);
        for command in ["run", "check", "explain", "crd", "demo", "completions"] {
            assert!(ran.out.contains(command), "{shell} knows {command}");
        }
        assert!(ran.out.contains("drain-deadline"), "{shell} knows flags");
    }
    assert_eq!(run(&["completions", "cmd"], None).code, 2);
}

#[test]
fn every_flag_of_run_has_a_variable() {
    let help = run(&["run", "--help"], None).out;
    let is_flag = |line: &&str| line.trim_start().starts_with("--") || line.trim_start().starts_with("-h");
    let flags: Vec<&str> = help.lines().filter(is_flag).filter_map(|line| line.split("--").nth(1)).collect();
    assert!(flags.len() > 8, "{help}");
    for flag in flags.iter().filter_map(|flag| flag.split([' ', '=']).next()).filter(|flag| *flag != "help") {
        let variable = format!("[env: SLUICE_{}=", flag.to_uppercase().replace('-', "_"));
        assert!(help.contains(&variable), "{flag} has no {variable}: {help}");
    }
    assert!(help.contains("SLUICE_LOG sets"), "{help}");
}

#[test]
fn every_example_file_is_right() {
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/examples/file");
    for entry in std::fs::read_dir(examples).expect("there are examples") {
        let path = entry.expect("readable").path();
        let ran = run(&["check", path.to_str().expect("plain text")], None);
        assert_eq!(ran.code, 0, "{}: {}", path.display(), ran.err);
    }
}

#[test]
fn run_with_nothing_to_serve_says_what_to_do() {
    let ran = run(&["run"], None);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("sluice run --config") && ran.err.contains("helm install"), "{}", ran.err);
}

#[test]
fn a_wrong_file_at_the_start_is_told_in_full() {
    let folder = folder();
    std::fs::write(folder.join("sluice.yaml"), "routes: [{pathh: /}]").expect("written");
    let ran = run(&["run", "--config", "sluice.yaml"], Some(&folder));
    assert_eq!(ran.code, 2);
    assert!(
        ran.err.contains("sluice.yaml:1:11: routes[0].pathh: unknown field; did you mean \"path\"?"),
        "{}",
        ran.err
    );
}

#[test]
fn explain_tells_who_answers_and_why_the_others_do_not() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/examples/file/demo.yaml");
    let ran = run(&["explain", "http://localhost:9000/api/orders", "--config", file], None);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("404 no_route"), "{}", ran.out);
    assert!(ran.out.contains("the header x-version is not \"v2\""), "{}", ran.out);
    let ran = run(&["explain", "GET", "http://localhost/api/orders", "-H", "X-Version: v2", "--config", file], None);
    assert_eq!(ran.code, 0);
    assert!(ran.out.contains("localhost:9103"), "{}", ran.out);
    assert!(ran.out.contains("the path is not below /api/users"), "{}", ran.out);
    let ran = run(&["explain", "http://localhost/api/../canary", "--config", file, "-o", "json"], None);
    let shown: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!(
        (shown["path"].as_str(), shown["backends"][0]["endpoints"].as_array().map(Vec::len)),
        (Some("/canary"), Some(2))
    );
    assert!(run(&["explain", "http://localhost/%00", "--config", file], None).out.contains("400 bad_path"));
}

#[test]
fn crd_prints_what_stands_in_the_repository() {
    let ran = run(&["crd"], None);
    let (routes, policies) =
        (include_str!("../../crds/gatewayroutes.yaml"), include_str!("../../crds/gatewaypolicies.yaml"));
    assert_eq!(ran.out, format!("---\n{routes}---\n{policies}"));
}

#[test]
fn help_names_every_command() {
    let ran = run(&["--help"], None);
    for command in ["run", "check", "explain", "crd", "demo", "completions", "First steps"] {
        assert!(ran.out.contains(command), "{command}");
    }
}
