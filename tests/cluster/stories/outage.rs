//! The API server goes away and comes back. Traffic does not notice, and changes work again.

use crate::command::{cluster, try_kubectl};
use crate::fixture::Namespace;
use crate::load::Load;
use crate::sluice::{answers, concluded, everywhere, installed};
use crate::wait::{SOON, eventually};

#[test]
fn an_api_server_outage_fails_no_request() {
    let address = installed();
    let space = Namespace::new("outage");
    space.backend("shop", 2);
    let route = |name: &str, host: &str| {
        space.route(
            name,
            &format!("    - {{hosts: [{host}], path: /, backends: [{{service: {{name: shop, port: http}}}}]}}"),
        );
    };
    route("shop", "outage.example.com");
    everywhere(&address, "http://outage.example.com/", 200);
    let load = Load::start(&address, "outage.example.com", "/");

    cluster(&["apiserver", "stop"]);
    let asked = try_kubectl(&["get", "namespaces", "--request-timeout=2s"]);
    assert!(asked.is_err(), "the API server is gone: {asked:?}");
    // About ten seconds: every watch has broken and was tried again several times.
    load.more(5000);
    cluster(&["apiserver", "start"]);

    // A change is seen again: a new route, and a new set of endpoints.
    route("later", "later.example.com");
    answers(&address, "http://later.example.com/", &[], 200);
    concluded(&space.name, "later", "True", "True", "True");
    space.scale("shop", 3);
    eventually("the new pod answers", SOON, || {
        let pods = load.pods_of_next(200);
        crate::wait::holds(pods.len() == 3, || format!("{pods:?}"))
    });
    load.finish();
}
