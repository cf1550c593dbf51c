//! The replica that writes status dies without a word. Traffic goes on, another takes the Lease over,
//! and writes only what is new.

use crate::command::{kubectl, try_get};
use crate::fixture::Namespace;
use crate::sluice::{NAMESPACE, answers, concluded, everywhere, installed, pods};
use crate::wait::{SOON, eventually, holds};

#[test]
fn a_killed_lease_holder_is_followed_by_another() {
    let address = installed();
    let space = Namespace::new("holder");
    space.backend("shop", 1);
    let route = |name: &str| {
        let backend = "{service: {name: shop, port: http}}";
        space.route(name, &format!("    - {{hosts: [{name}.holder.example.com], path: /, backends: [{backend}]}}"));
    };
    route("before");
    let version = concluded(&space.name, "before", "True", "True", "True")["metadata"]["resourceVersion"].clone();
    everywhere(&address, "http://before.holder.example.com/", 200);
    let dead = holder().expect("somebody wrote that status");

    kubectl(&["delete", "pod", "-n", NAMESPACE, &dead, "--grace-period=0", "--force"]);
    route("after");
    answers(&address, "http://after.holder.example.com/", &[], 200);
    everywhere(&address, "http://before.holder.example.com/", 200);
    // Not released but left to run out, which takes 15 s.
    let heir = eventually("another holder", 2 * SOON, || {
        let now = holder()?;
        holds(now != dead, || format!("still {now}"))?;
        Ok(now)
    });
    assert!(pods().expect("pods").contains(&heir), "{heir} is a replica");
    concluded(&space.name, "after", "True", "True", "True");
    let after = concluded(&space.name, "before", "True", "True", "True");
    assert_eq!(after["metadata"]["resourceVersion"], version, "a new holder writes nothing that is known: {after}");
    kubectl(&["rollout", "status", "-n", NAMESPACE, "deployment/sluice", "--timeout=120s"]);
}

fn holder() -> Result<String, String> {
    let lease = try_get(&["lease", "sluice-sluice", "-n", NAMESPACE])?;
    let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
    holds(!holder.is_empty(), || format!("nobody holds it: {lease}"))?;
    Ok(holder.to_owned())
}
