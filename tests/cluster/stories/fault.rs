//! What an API server in trouble, or the network before it, may do to Sluice: nothing that is served changes. And
//! what a Sluice serves that starts while the API server is away.
//!
//! The Sluice of these stories runs beside the cluster, on the node's network, with a proxy of our own between it
//! and the API server (`fault_proxy`). It has a class of its own, so the one in the cluster and this one leave each
//! other's routes alone.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::command::{apply, curl};
use crate::fault_proxy::{Fault, FaultProxy};
use crate::fixture::Namespace;
use crate::load::Load;
use crate::sluice::{answers, concluded, installed};
use crate::wait::{SOON, eventually, holds};

/// Where a Sluice in a cluster listens.
const ADDRESS: &str = "127.0.0.1:9000";
const CLASS: &str = "faults";

/// A Sluice beside the cluster.
struct Local {
    child: Child,
    admin: SocketAddr,
    log: PathBuf,
}

impl Local {
    fn start(proxy: &FaultProxy, directory: &Directory) -> Self {
        let kubeconfig = directory.0.join("kubeconfig");
        let server = proxy.address;
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: a\n\
             clusters: [{{name: a, cluster: {{server: 'http://{server}'}}}}]\n\
             contexts: [{{name: a, context: {{cluster: a, user: a}}}}]\nusers: [{{name: a, user: {{}}}}]\n"
        );
        fs::write(&kubeconfig, text).expect("a temporary file");
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let admin = free.local_addr().expect("an address");
        drop(free);
        let log = directory.0.join("log");
        let sink = fs::File::options().create(true).append(true).open(&log).expect("a temporary file");
        let child = Command::new(env!("CARGO_BIN_EXE_sluice"))
            .args(["run", "--class", CLASS, "--workers", "1", "--log-format", "text"])
            .args(["--admin", &admin.to_string(), "--state-dir", &directory.state().to_string_lossy()])
            .env("KUBECONFIG", &kubeconfig)
            .env_remove("KUBERNETES_SERVICE_HOST")
            .envs([("POD_NAME", "local"), ("POD_NAMESPACE", "default"), ("NO_PROXY", "*")])
            .stdout(Stdio::null())
            .stderr(sink)
            .spawn()
            .expect("sluice");
        Self { child, admin, log }
    }

    /// What an admin path answers: status and body.
    fn admin(&self, path: &str) -> Result<(u16, String), String> {
        let reply = curl(&self.admin.to_string(), &format!("http://admin{path}"), &[])?;
        Ok((reply.status, reply.body))
    }

    fn ready(&self) -> String {
        eventually("ready", SOON, || {
            let (status, body) = self.admin("/readyz")?;
            holds(status == 200, || body.clone())?;
            Ok(body)
        })
    }

    fn metric(&self, series: &str) -> f64 {
        let (_, text) = self.admin("/metrics").expect("metrics");
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().expect("a number"))
    }

    fn said(&self, words: &str) -> bool {
        fs::read_to_string(&self.log).is_ok_and(|log| log.contains(words))
    }

    /// As a crash ends it.
    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            println!("{}", fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}

/// For a kubeconfig, the state and the log of one story.
struct Directory(PathBuf);

impl Directory {
    fn new(story: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sluice-story-{}-{story}", std::process::id()));
        fs::create_dir_all(&path).expect("a temporary directory");
        Self(path)
    }

    fn state(&self) -> PathBuf {
        self.0.join("state")
    }

    fn state_file(&self) -> PathBuf {
        self.state().join(format!("sluice-{CLASS}.state"))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn route(space: &Namespace, name: &str) {
    let namespace = &space.name;
    apply(&format!(
        "{{apiVersion: gateway.sluice.dev/v1alpha1, kind: GatewayRoute, metadata: {{name: {name}, \
         namespace: {namespace}}}, spec: {{ingressClassName: {CLASS}, routes: [{{hosts: [{name}.fault.example.com], \
         path: /, backends: [{{service: {{name: shop, port: http}}}}]}}]}}}}"
    ));
}

fn url(name: &str) -> String {
    format!("http://{name}.fault.example.com/")
}

#[test]
fn no_fault_of_the_api_server_changes_what_is_served() {
    installed();
    let space = Namespace::new("faults");
    space.backend("shop", 2);
    route(&space, "shop");
    let directory = Directory::new("faults");
    let proxy = FaultProxy::start();
    let local = Local::start(&proxy, &directory);
    assert_eq!(local.ready(), "ready\n");
    answers(ADDRESS, &url("shop"), &[], 200);
    concluded(&space.name, "shop", "True", "True", "True");
    let load = Load::start(ADDRESS, "shop.fault.example.com", "/");

    let faults = [
        Fault::Cut,
        Fault::Refuse(429),
        Fault::Refuse(500),
        Fault::Forget,
        Fault::ForgetWithin,
        Fault::Empty,
        Fault::EndAtOnce,
        Fault::Half,
        Fault::Stall,
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        let before = proxy.requests();
        proxy.set(fault);
        let began = Instant::now();
        // Long enough for several tries of each watch, and until the watch that counts has met it: after the faults
        // before, it may be pausing.
        let met = |reason: &str| {
            local.metric(&format!("sluice_watch_errors_total{{kind=\"GatewayRoute\",reason=\"{reason}\"}}")) > 0.0
        };
        let has_met = || match fault {
            Fault::Empty => met("empty"),
            Fault::EndAtOnce => met("closed"),
            _ => true,
        };
        while began.elapsed() < Duration::from_secs(5) || (!has_met() && began.elapsed() < SOON) {
            load.more(200);
        }
        let asked = proxy.requests() - before;
        assert!(asked < 200, "{fault:?}: {asked} requests in five seconds are a storm");
        answers(ADDRESS, &url("shop"), &[], 200);
        proxy.set(Fault::None);
        // A change is seen again, and told.
        let name = format!("after-{number}");
        route(&space, &name);
        answers(ADDRESS, &url(&name), &[], 200);
        concluded(&space.name, &name, "True", "True", "True");
        println!("{fault:?}: {asked} requests, a change was served {:?} after it began", began.elapsed());
    }
    assert!(local.metric("sluice_watch_errors_total{kind=\"GatewayRoute\",reason=\"empty\"}") > 0.0);
    assert!(local.metric("sluice_watch_errors_total{kind=\"GatewayRoute\",reason=\"closed\"}") > 0.0);
    space.scale("shop", 3);
    eventually("the new pod answers", SOON, || {
        let pods = load.pods_of_next(200);
        holds(pods.len() == 3, || format!("{pods:?}"))
    });
    load.finish();
}

#[test]
fn a_restart_without_the_api_server_serves_what_was_known_and_says_so() {
    installed();
    let space = Namespace::new("restart");
    space.backend("shop", 1);
    route(&space, "shop");
    let directory = Directory::new("restart");
    let proxy = FaultProxy::start();
    let mut local = Local::start(&proxy, &directory);
    assert_eq!(local.ready(), "ready\n");
    answers(ADDRESS, &url("shop"), &[], 200);
    eventually("the state on disk", SOON, || {
        let text = fs::read_to_string(directory.state_file()).map_err(|error| error.to_string())?;
        holds(text.contains("shop.fault.example.com"), || "without the route".to_owned())
    });

    for away in [Fault::Cut, Fault::Stall, Fault::Refuse(500)] {
        local.kill();
        proxy.set(away);
        local = Local::start(&proxy, &directory);
        let said = local.ready();
        assert!(said.contains("from disk"), "{away:?}: {said}");
        answers(ADDRESS, &url("shop"), &[], 200);
        assert!(local.metric("sluice_snapshot_stale") > 0.0, "{away:?}");
        assert!(local.admin("/config").is_ok_and(|(_, body)| body.contains("\"staleSeconds\": ")), "{away:?}");
        assert!(local.said("serving the last known state from disk"), "{away:?}");
        proxy.set(Fault::None);
        eventually("fresh again", SOON, || {
            let (_, body) = local.admin("/readyz")?;
            holds(body == "ready\n", || body.clone())
        });
        assert!(local.metric("sluice_snapshot_stale") < 1.0, "{away:?}");
    }

    // A state that was damaged is not served, is said to be refused, and harms nothing once the API server is back.
    local.kill();
    let whole = fs::read(directory.state_file()).expect("the state");
    fs::write(directory.state_file(), &whole[..whole.len() / 2]).expect("a temporary file");
    proxy.set(Fault::Cut);
    let local = Local::start(&proxy, &directory);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(8) {
        assert!(
            local.admin("/readyz").is_ok_and(|(status, _)| status == 503) || began.elapsed() < Duration::from_secs(3)
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(local.said("the state on disk is not used") && local.said("cut off"));
    proxy.set(Fault::None);
    assert_eq!(local.ready(), "ready\n");
    answers(ADDRESS, &url("shop"), &[], 200);
}
