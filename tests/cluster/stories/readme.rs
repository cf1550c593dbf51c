//! The README's commands for a cluster, as they stand there, one after another.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::command::{Answer, kubectl, repository, shell};
use crate::fixture::Namespace;
use crate::sluice::{NAMESPACE, install, installed, uninstall};
use crate::wait::{SOON, eventually};

#[test]
fn the_readmes_commands_do_what_it_says() {
    let space = Namespace::new("readme");
    // What the text takes for granted: a Service web, and that one is in its namespace.
    space.backend("web", 1);
    let config = Config::within(&space.name);
    let image = std::env::var("SLUICE_IMAGE").unwrap_or_else(|_| "sluice.test/sluice:test".to_owned());
    let (name, tag) = image.rsplit_once(':').expect("SLUICE_IMAGE is REPOSITORY:TAG");
    let text = std::fs::read_to_string(repository().join("README.md")).expect("the README");
    let text = text.replace("REGISTRY/sluice", name).replace("image.tag=TAG", &format!("image.tag={tag}"));
    uninstall();

    let start = commands(&text, "helm install sluice");
    assert_eq!(start.len(), 5, "five commands: {start:?}");
    let mut behind = Vec::new();
    for command in &start {
        if let Some(command) = command.strip_suffix('&') {
            behind.push(Behind::start(&config, command));
        } else if command.starts_with("curl ") {
            // Whoever types them gives the one before this the second that it needs.
            let answer = eventually(command, SOON, || config.run(&format!("{command} --fail --silent --show-error")));
            assert!(answer.contains(r#""version":"web""#), "the Service answers: {answer}");
        } else {
            config.run(command).unwrap_or_else(|complaint| panic!("{complaint}"));
        }
    }
    let told = "kubectl wait gatewayroute/hello --for=condition=Serving";
    assert!(text.contains(told), "{told} is in the README");
    config.run(told).unwrap_or_else(|complaint| panic!("{complaint}"));
    drop(behind);
    five_steps(&text, &space, &config);

    let upgrade = commands(&text, "helm upgrade sluice");
    let mut end = upgrade.iter().map(String::as_str).collect::<Vec<_>>();
    end.push("helm uninstall sluice --namespace sluice-system");
    // A cluster that is not ours may have routes of others.
    let is_ours = std::env::var_os("SLUICE_KUBECONFIG").is_none();
    if is_ours {
        end.push("kubectl delete crd gatewayroutes.gateway.sluice.dev");
    }
    for command in end {
        assert!(text.contains(command), "{command} is in the README");
        config.run(command).unwrap_or_else(|complaint| panic!("{complaint}"));
    }
    if is_ours {
        without_helm(&text, &config, &image);
    }
    uninstall();
    install();
    installed();
}

/// The object that the README shows, with the Services that it names.
fn five_steps(text: &str, space: &Namespace, config: &Config) {
    space.backend("users", 1);
    space.backend("users-next", 1);
    let object = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let object = object.into_iter().find(|block| block.contains("kind: GatewayRoute")).expect("an object");
    std::fs::write(config.folder.join("shop.yaml"), object).expect("a temporary file");
    let steps = commands(text, "sluice check");
    let mut said = String::new();
    for command in steps.iter().map(|command| command.replace("sluice check", "\"$SLUICE\" check")) {
        let command = format!("cd {} && {command}", config.folder.display());
        said = config.run(&command).unwrap_or_else(|complaint| panic!("{complaint}"));
    }
    assert!(said.contains("Type:") && said.contains("Serving"), "the last one shows the conditions: {said}");
}

/// `manifests/install.yaml`, with the image that this cluster has.
fn without_helm(text: &str, config: &Config, image: &str) {
    let command = "kubectl apply -f manifests/install.yaml";
    assert!(text.contains(command), "{command} is in the README");
    kubectl(&["delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=120s"]);
    config.run(command).unwrap_or_else(|complaint| panic!("{complaint}"));
    kubectl(&["set", "image", "-n", NAMESPACE, "deployment/sluice", &format!("sluice={image}")]);
    kubectl(&["rollout", "status", "-n", NAMESPACE, "deployment/sluice", "--timeout=120s"]);
    kubectl(&["delete", "-f", &repository().join("manifests/install.yaml").to_string_lossy(), "--timeout=120s"]);
}

/// The lines of the README's block that begins so.
fn commands(text: &str, beginning: &str) -> Vec<String> {
    let block = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let block = block.into_iter().find(|block| block.starts_with(beginning));
    let block = block.unwrap_or_else(|| panic!("no block of the README begins with {beginning}"));
    block.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

/// A kubeconfig whose commands go to one namespace when they name none.
struct Config {
    path: String,
    folder: PathBuf,
}

impl Config {
    fn within(namespace: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("sluice-readme-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let path = folder.join("kubeconfig");
        std::fs::write(&path, kubectl(&["config", "view", "--raw", "--minify"])).expect("a temporary file");
        let config = Self { path: path.to_string_lossy().into_owned(), folder };
        let set = format!("kubectl config set-context --current --namespace={namespace}");
        config.run(&set).unwrap_or_else(|complaint| panic!("{complaint}"));
        config
    }

    /// In the repository's folder, as the README's reader.
    fn run(&self, command: &str) -> Answer {
        shell(&format!("SLUICE={}; {command}", env!("CARGO_BIN_EXE_sluice")), &self.path)
    }
}

impl Drop for Config {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A command that goes on until it is dropped.
struct Behind(Child);

impl Behind {
    fn start(config: &Config, command: &str) -> Self {
        let child = Command::new("bash")
            .args(["-c", &format!("exec {command}")])
            .current_dir(repository())
            .env("KUBECONFIG", &config.path)
            .stdout(Stdio::null())
            .spawn();
        Self(child.unwrap_or_else(|error| panic!("{command}: {error}")))
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
