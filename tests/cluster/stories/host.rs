//! Hosts belong to namespaces: what one has taken, no other can take away.

use crate::command::kubectl;
use crate::fixture::Namespace;
use crate::load::Load;
use crate::sluice::{answers, ask, concluded, condition, everywhere, gateway_route, installed};
use crate::wait::{SOON, eventually, holds};

#[test]
fn a_host_cannot_be_taken_from_another_namespace() {
    let address = installed();
    let (owner, thief) = (Namespace::new("owner"), Namespace::new("thief"));
    owner.backend("shop", 1);
    thief.backend("trap", 1);
    owner.route("shop", "    - {hosts: [bank.example.com], path: /, backends: [{service: {name: shop, port: http}}]}");
    let before = concluded(&owner.name, "shop", "True", "True", "True");
    everywhere(&address, "http://bank.example.com/", 200);
    let load = Load::start(&address, "bank.example.com", "/login");

    // A longer path, an exact one and more conditions would all win, if they were heard.
    thief.route(
        "shop",
        r#"
    - hosts: [bank.example.com]
      rules:
        - {exactPath: /login, backends: [{service: {name: trap, port: http}}]}
        - {path: /login, headers: {User-Agent: sluice-stories}, backends: [{service: {name: trap, port: http}}]}
    - {hosts: [thief.example.com], path: /, backends: [{service: {name: trap, port: http}}]}
"#,
    );
    let refused = eventually("the verdict", SOON, || {
        let object = gateway_route(&thief.name, "shop")?;
        holds(condition(&object, "Accepted")["status"] == "False", || format!("{}", object["status"]))?;
        Ok(object)
    });
    let told = &refused["status"];
    assert_eq!(condition(&refused, "Accepted")["reason"], "HostNotOwned", "{told}");
    assert!(told.to_string().contains("bank.example.com belongs to namespace story-owner"), "{told}");
    // What is its own is served, and nothing of it is seen under the other's name.
    assert_eq!(answers(&address, "http://thief.example.com/", &[], 200).field("version"), "trap");
    everywhere(&address, "http://thief.example.com/", 200);
    let pods = load.pods_of_next(1000);
    assert!(pods.keys().all(|pod| pod.starts_with("shop-")), "only the owner's pods answer: {pods:?}");
    assert_eq!(ask(&address, "http://bank.example.com/login", &[]).field("version"), "shop");
    load.finish();
    let after = gateway_route(&owner.name, "shop").expect("the object");
    assert_eq!(
        before["metadata"]["resourceVersion"], after["metadata"]["resourceVersion"],
        "the owner is not bothered"
    );

    // When the owner gives it up, the next in age has it, without being asked again.
    kubectl(&["delete", "gatewayroute", "shop", "-n", &owner.name]);
    assert_eq!(answers(&address, "http://bank.example.com/login", &[], 200).field("version"), "trap");
    concluded(&thief.name, "shop", "True", "True", "True");
}
