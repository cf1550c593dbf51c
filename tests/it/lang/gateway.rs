//! The real binary as a child process, with a file of the test.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use super::client::{self, Answer};
use super::{eventually, free_port};

/// A running Sluice; killed when dropped.
pub struct Gateway {
    child: Child,
    pub port: u16,
    pub admin: u16,
    pub folder: PathBuf,
    /// More fields of the listener in the file.
    listener: String,
    log: Arc<Mutex<Vec<String>>>,
    access_log: Arc<Mutex<Vec<String>>>,
}

/// The binary under test.
pub fn binary() -> &'static str {
    env!("CARGO_BIN_EXE_sluice")
}

/// A folder of the test's own.
pub fn folder() -> PathBuf {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let name = format!("sluice-it-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder).expect("a folder for temporary files");
    folder
}

/// Runs the binary with routes (YAML below `routes:`) on a port of its own, until it is ready.
pub fn gateway(routes: &str) -> Gateway {
    gateway_with(routes, &[])
}

/// The same with more fields of the listener.
pub fn gateway_on(listener: &str, routes: &str) -> Gateway {
    let (port, folder) = (free_port(), folder());
    std::fs::write(folder.join("sluice.yaml"), config_on(port, listener, routes)).expect("written");
    let mut gateway = start(folder, port, &[]);
    listener.clone_into(&mut gateway.listener);
    gateway
}

/// The same with more arguments.
pub fn gateway_with(routes: &str, arguments: &[&str]) -> Gateway {
    let (port, folder) = (free_port(), folder());
    std::fs::write(folder.join("sluice.yaml"), config(port, routes)).expect("written");
    start(folder, port, arguments)
}

/// A whole file with one listener.
pub fn config(port: u16, routes: &str) -> String {
    config_on(port, "", routes)
}

fn config_on(port: u16, listener: &str, routes: &str) -> String {
    let fields = if listener.is_empty() { String::new() } else { format!(", {listener}") };
    format!("listeners: [{{name: http, port: {port}{fields}}}]\n{routes}")
}

/// Runs the binary with the file `sluice.yaml` of a folder.
pub fn start(folder: PathBuf, port: u16, arguments: &[&str]) -> Gateway {
    let admin = free_port();
    let mut child = Command::new(binary())
        .arg("run")
        .arg("--config")
        .arg(folder.join("sluice.yaml"))
        .args(["--admin", &format!("127.0.0.1:{admin}")])
        // By environment, so that a test can say otherwise by argument.
        .envs([("SLUICE_WORKERS", "2"), ("SLUICE_DRAIN", "0s"), ("SLUICE_DRAIN_DEADLINE", "10s")])
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let log = collect(child.stderr.take().expect("piped"));
    let access_log = collect(child.stdout.take().expect("piped"));
    let mut gateway = Gateway { child, port, admin, folder, listener: String::new(), log, access_log };
    eventually("ready", || {
        if let Ok(Some(status)) = gateway.child.try_wait() {
            panic!("it ended with {status}: {}", gateway.log());
        }
        gateway.is_ready().then_some(())
    });
    gateway
}

fn collect(stream: impl Read + Send + 'static) -> Arc<Mutex<Vec<String>>> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&lines);
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            into.lock().expect("not poisoned").push(line);
        }
    });
    lines
}

impl Gateway {
    /// One GET on a connection of its own.
    pub fn get(&self, path: &str) -> Answer {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"))
    }

    /// One GET with these header lines, each ended by a line break.
    pub fn get_with(&self, path: &str, headers: &str) -> Answer {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}\r\n"))
    }

    /// The status of one GET that a trusted peer passes on for this client.
    pub fn status_for(&self, client: &str, path: &str) -> u16 {
        self.get_with(path, &format!("X-Forwarded-For: {client}\r\n")).status
    }

    /// These bytes on a connection of its own, and the answer.
    pub fn send(&self, request: &str) -> Answer {
        client::exchange(self.port, request.as_bytes())
    }

    pub fn admin(&self, path: &str) -> Answer {
        client::exchange(
            self.admin,
            format!("GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n").as_bytes(),
        )
    }

    pub fn is_ready(&self) -> bool {
        let request = b"GET /readyz HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n";
        client::try_exchange(self.admin, request).is_ok_and(|answer| answer.status == 200)
    }

    /// Writes the file anew, by renaming, as editors do.
    pub fn rewrite(&self, routes: &str) {
        let new = self.folder.join("sluice.yaml.new");
        std::fs::write(&new, config_on(self.port, &self.listener, routes)).expect("written");
        std::fs::rename(new, self.folder.join("sluice.yaml")).expect("renamed");
    }

    /// Writes the file anew and waits until it is in effect.
    pub fn reload(&self, routes: &str) {
        let number = self.metric("sluice_snapshot_number").expect("a number");
        self.rewrite(routes);
        self.signal("HUP");
        eventually("the new file", || (self.metric("sluice_snapshot_number") > Some(number)).then_some(()));
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(status.expect("kill is there").success());
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        eventually("the end", || self.child.try_wait().expect("a child"))
    }

    /// The most memory it ever had, as the kernel counts it.
    pub fn peak_memory_kib(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel tells");
        line.trim().trim_end_matches(" kB").trim().parse().expect("a number")
    }

    /// What it wrote about itself.
    pub fn log(&self) -> String {
        self.log.lock().expect("not poisoned").join("\n")
    }

    /// The lines of the access log so far.
    pub fn access_log(&self) -> Vec<serde_json::Value> {
        let lines = self.access_log.lock().expect("not poisoned");
        lines.iter().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    /// Waits until a series has this value.
    pub fn await_metric(&self, series: &str, value: f64) {
        eventually(&format!("{series} {value}"), || (self.metric(series) == Some(value)).then_some(()));
    }

    /// The value of a series, by its exact text.
    pub fn metric(&self, series: &str) -> Option<f64> {
        let text = self.admin("/metrics").text();
        let line = text.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')))?;
        line.rsplit(' ').next()?.parse().ok()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log of the gateway\n{}", self.log());
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A command with its output.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// Runs the binary to its end.
pub fn run(arguments: &[&str], folder: Option<&Path>) -> Ran {
    let mut command = Command::new(binary());
    command.args(arguments).env_remove("KUBECONFIG").env_remove("KUBERNETES_SERVICE_HOST");
    if let Some(folder) = folder {
        command.current_dir(folder);
    }
    let output = command.output().expect("the binary starts");
    Ran {
        code: output.status.code().expect("an exit code"),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
