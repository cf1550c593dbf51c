//! The user's tools as functions: `kubectl`, `helm`, `curl`, and the script that runs the cluster.
//!
//! Each call is bounded by `timeout`, so a hanging API server fails a story instead of stopping it.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// Seconds. Above the longest wait a story asks `kubectl` or `helm` for.
const LIMIT: &str = "180";

/// What a tool printed, or what it complained about.
pub type Answer = Result<String, String>;

pub fn kubectl(arguments: &[&str]) -> String {
    expect(try_kubectl(arguments))
}

pub fn try_kubectl(arguments: &[&str]) -> Answer {
    run("kubectl", arguments, "")
}

/// One object, or a list, as JSON.
pub fn try_get(arguments: &[&str]) -> Result<Value, String> {
    let text = try_kubectl(&[&["get", "-o", "json"], arguments].concat())?;
    serde_json::from_str(&text).map_err(|error| error.to_string())
}

pub fn apply(objects: &str) -> String {
    expect(run("kubectl", &["apply", "-f", "-"], objects))
}

pub fn try_apply(objects: &str) -> Answer {
    run("kubectl", &["apply", "-f", "-"], objects)
}

/// `kubectl` that reads from its standard input.
pub fn try_kubectl_with(arguments: &[&str], input: &str) -> Answer {
    run("kubectl", arguments, input)
}

pub fn helm(arguments: &[&str]) -> String {
    expect(try_helm(arguments))
}

pub fn try_helm(arguments: &[&str]) -> Answer {
    run("helm", arguments, "")
}

/// `tests/cluster/cluster`, which can end the API server and begin it again.
pub fn cluster(arguments: &[&str]) -> String {
    assert!(
        std::env::var_os("SLUICE_KUBECONFIG").is_none(),
        "this story ends the API server, which it may do only to a cluster of its own"
    );
    let script = repository().join("tests/cluster/cluster");
    expect(run(&script.to_string_lossy(), arguments, ""))
}

pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// What came back for one request.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Reply {
    /// A field of the backend's answer; empty when something else answered.
    pub fn field(&self, name: &str) -> String {
        let seen: Value = serde_json::from_str(&self.body).unwrap_or_default();
        seen[name].as_str().unwrap_or_default().to_owned()
    }
}

/// `curl` for a URL with a host name that leads to `address`. Further arguments are curl's own.
pub fn curl(address: &str, url: &str, arguments: &[&str]) -> Result<Reply, String> {
    let route = format!("::{address}");
    let fixed = ["-sS", "--max-time", "10", "-i", "--connect-to", route.as_str(), url];
    let text = run("curl", &[&fixed[..], arguments].concat(), "")?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| format!("no response head: {text}"))?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| format!("no status line: {head}"))?;
    Ok(Reply { status, head: head.to_lowercase(), body: body.to_owned() })
}

/// A line of a shell, in the repository's folder, with a kubeconfig of one's own.
pub fn shell(line: &str, kubeconfig: &str) -> Answer {
    let script = r#"cd "$1" && KUBECONFIG=$2 exec bash -euo pipefail -c "$3""#;
    let folder = repository();
    run("bash", &["-c", script, "bash", &folder.to_string_lossy(), kubeconfig, line], "")
}

fn run(program: &str, arguments: &[&str], input: &str) -> Answer {
    let output = start(program, arguments, input).map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let said = String::from_utf8_lossy(&output.stdout);
    Err(format!("{program} {}: {}: {said}{complaint}", arguments.join(" "), output.status))
}

fn start(program: &str, arguments: &[&str], input: &str) -> std::io::Result<Output> {
    let mut child = Command::new("timeout")
        .args([LIMIT, program])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    child.wait_with_output()
}

fn expect(answer: Answer) -> String {
    answer.unwrap_or_else(|complaint| panic!("{complaint}"))
}
