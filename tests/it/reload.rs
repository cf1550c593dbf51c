//! A changed file is live, a wrong one changes nothing, and no request is lost by either.

use crate::lang::backend::Backend;
use crate::lang::client::Client;
use crate::lang::eventually;
use crate::lang::gateway::gateway;

fn route(backend: &Backend) -> String {
    format!("routes: [{{path: /, backends: [{}]}}]", backend.url())
}

#[test]
fn a_changed_file_is_picked_up_by_itself() {
    let (old, new) = (Backend::says("old"), Backend::says("new"));
    let gateway = gateway(&route(&old));
    assert_eq!(gateway.get("/").text(), "old");
    gateway.rewrite(&route(&new));
    eventually("the new file", || (gateway.get("/").text() == "new").then_some(()));
}

#[test]
fn a_signal_reads_at_once_and_a_swapped_symlink_is_a_change() {
    let (old, new) = (Backend::says("old"), Backend::says("new"));
    let gateway = gateway(&route(&old));
    // As the kubelet swaps a mounted ConfigMap: the file is a link into a folder that is a link.
    let data = gateway.folder.join("..data");
    std::fs::create_dir(&data).expect("made");
    let text = crate::lang::gateway::config(gateway.port, &route(&new));
    std::fs::write(data.join("sluice.yaml"), text).expect("written");
    std::fs::remove_file(gateway.folder.join("sluice.yaml")).expect("removed");
    std::os::unix::fs::symlink("..data/sluice.yaml", gateway.folder.join("sluice.yaml")).expect("linked");
    gateway.signal("HUP");
    eventually("the new file", || (gateway.get("/").text() == "new").then_some(()));
}

#[test]
fn a_wrong_file_changes_nothing_and_is_told() {
    let backend = Backend::says("good");
    let gateway = gateway(&route(&backend));
    gateway.rewrite("routes: [{pathh: /, backends: [http://localhost:1]}]");
    gateway.signal("HUP");
    eventually("the error is counted", || (gateway.metric("sluice_config_error") == Some(1.0)).then_some(()));
    assert_eq!(gateway.get("/").text(), "good");
    let shown = gateway.admin("/config").text();
    assert!(shown.contains("did you mean"), "{shown}");
    assert!(gateway.log().contains("pathh"));
    gateway.rewrite(&route(&backend));
    gateway.signal("HUP");
    eventually("mended", || (gateway.metric("sluice_config_error") == Some(0.0)).then_some(()));
    assert!(!gateway.admin("/config").text().contains("did you mean"));
}

#[test]
fn listeners_come_and_go() {
    let backend = Backend::says("x");
    let gateway = gateway(&route(&backend));
    let second = crate::lang::free_port();
    let text = format!(
        "listeners: [{{name: http, port: {}}}, {{name: two, port: {second}}}]\n{}",
        gateway.port,
        route(&backend)
    );
    std::fs::write(gateway.folder.join("sluice.yaml"), text).expect("written");
    gateway.signal("HUP");
    eventually("the second port", || Client::connect(second).ok());
    assert_eq!(gateway.get("/").text(), "x");
    gateway.rewrite(&route(&backend));
    gateway.signal("HUP");
    eventually("the second port closes", || Client::connect(second).is_err().then_some(()));
    assert_eq!(gateway.get("/").text(), "x");
}

#[test]
fn a_listener_can_change_on_its_own_port() {
    let backend = Backend::says("x");
    let gateway = gateway(&route(&backend));
    let port = gateway.port;
    for listener in [format!("{{name: web, port: {port}}}"), format!("{{name: web, address: 127.0.0.1, port: {port}}}")]
    {
        std::fs::write(gateway.folder.join("sluice.yaml"), format!("listeners: [{listener}]\n{}", route(&backend)))
            .expect("written");
        let number = gateway.metric("sluice_snapshot_number").expect("a number");
        gateway.signal("HUP");
        eventually("in effect", || (gateway.metric("sluice_snapshot_number") > Some(number)).then_some(()));
        eventually("answers", || Client::connect(port).is_ok().then_some(()));
        assert_eq!(gateway.get("/").text(), "x", "{listener}");
        assert_eq!(gateway.metric("sluice_config_error"), Some(0.0), "{listener}");
    }
}
