//! The operator's file in a cluster: a ConfigMap that Sluice watches itself.
//!
//! Mounted, it would reach the replicas up to a minute apart; watched, it reaches them within milliseconds. It is all or
//! nothing, as any file: one with something wrong in it changes nothing, the last good one stays in effect until a good
//! one is there, and so it does when the ConfigMap is deleted. What is wrong is told by [`Report`]: at `/config`,
//! in `sluice_config_error` and in the log.
//!
//! The keys `*.yaml` of the ConfigMap are the files of a directory, joined in the order of names.
//!
//! Memory of an earlier state lives here and nowhere else: translation is given the file that is in effect.

use std::sync::Arc;

use arc_swap::ArcSwap;
use k8s_openapi::api::core::v1::ConfigMap;
use prometheus::IntGauge;

use super::ControllerError;
use super::object::ObjectName;
use super::world::World;
use crate::config::file::{self, Fingerprint, Loaded, Located};
use crate::config::listener::Listener;
use crate::config::{Gateway, Terms};

/// What the operator's file says, in the last state that was right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorFile {
    /// Its listeners, routes and upstreams, which stand before those of objects.
    pub gateway: Gateway,
    /// What objects find.
    pub terms: Terms,
}

impl Default for OperatorFile {
    /// That of a cluster whose operator says nothing.
    fn default() -> Self {
        let gateway = Gateway { listeners: vec![Listener::default_http()], ..Gateway::default() };
        Self { gateway, terms: Terms::default() }
    }
}

impl From<Loaded> for OperatorFile {
    fn from(loaded: Loaded) -> Self {
        Self { gateway: loaded.gateway, terms: loaded.terms }
    }
}

/// Reads the ConfigMap whenever it changes, and remembers what was good.
#[derive(Debug)]
pub struct Reading {
    name: ObjectName,
    /// Of the texts that were read last, good or not.
    seen: Option<Fingerprint>,
    is_in_effect: bool,
}

/// What has come of a change.
#[derive(Debug)]
pub enum News {
    /// It says what it said.
    Nothing,
    /// It is right, and from now on in effect. With what somebody should look at.
    Good(Arc<OperatorFile>, Vec<String>),
    /// It cannot be used, and why.
    Wrong(Vec<String>),
}

impl Reading {
    /// Of the ConfigMap of this name.
    pub fn of(name: ObjectName) -> Self {
        Self { name, seen: None, is_in_effect: false }
    }

    /// Which ConfigMap.
    pub fn name(&self) -> &ObjectName {
        &self.name
    }

    /// Whether there has been a good one. Before that nothing may be served: its listeners and policies would be missing.
    pub fn is_in_effect(&self) -> bool {
        self.is_in_effect
    }

    /// The ConfigMap is now like this, or not there. `current` is what is in effect.
    pub fn look(&mut self, object: Option<&ConfigMap>, current: &OperatorFile) -> News {
        let Some(object) = object else {
            self.seen = None;
            return News::Wrong(vec![format!("the ConfigMap {} is not there", self.name)]);
        };
        let texts = texts(object);
        let fingerprint = Some(Fingerprint::of(&texts));
        if std::mem::replace(&mut self.seen, fingerprint) == fingerprint {
            return News::Nothing;
        }
        if texts.is_empty() {
            return News::Wrong(vec![format!("the ConfigMap {} has no key *.yaml", self.name)]);
        }
        match file::parse(&texts) {
            Ok(loaded) => {
                self.is_in_effect = true;
                let warnings = told(&loaded.warnings);
                let gateway = file::reuse(&current.gateway, loaded.gateway);
                News::Good(Arc::new(OperatorFile { gateway, terms: loaded.terms }), warnings)
            }
            Err(wrong) => News::Wrong(told(&wrong)),
        }
    }
}

/// The operator's file of a running controller.
#[derive(Debug)]
pub struct Operator {
    reading: Reading,
    report: Report,
}

impl Operator {
    /// That in the ConfigMap of this name.
    pub fn new(name: ObjectName, report: Report) -> Self {
        Self { reading: Reading::of(name), report }
    }

    /// Whether there has been a good one.
    pub fn is_in_effect(&self) -> bool {
        self.reading.is_in_effect()
    }

    /// The ConfigMap may have changed. A file that is wrong changes nothing.
    ///
    /// # Errors
    /// At the start a file that is wrong ends the process, as it does outside a cluster. One that is not there is waited
    /// for: it may come with the next object of the same `kubectl apply`.
    pub fn look(&mut self, world: &mut World) -> Result<(), ControllerError> {
        match self.reading.look(world.config_map().map(Arc::as_ref), &world.operator) {
            News::Nothing => {}
            News::Good(file, warnings) => {
                self.report.good(&warnings);
                world.put_operator(file);
            }
            News::Wrong(problems) => {
                self.report.wrong(problems);
                if world.config_map().is_some() && !self.is_in_effect() {
                    return Err(ControllerError::OperatorFile(self.reading.name().clone()));
                }
            }
        }
        Ok(())
    }
}

/// Where it is told how the operator's file fares.
#[derive(Clone, Debug)]
pub struct Report {
    /// What `/config` shows.
    pub problems: Arc<ArcSwap<Vec<String>>>,
    /// `sluice_config_error`
    pub error: IntGauge,
}

impl Report {
    /// The newest file is in effect.
    pub fn good(&self, warnings: &[String]) {
        for warning in warnings {
            tracing::warn!(%warning, "configuration");
        }
        self.problems.store(Arc::new(Vec::new()));
        self.error.set(0);
    }

    /// The newest file is not used.
    pub fn wrong(&self, problems: Vec<String>) {
        for problem in &problems {
            tracing::error!(%problem, "the operator's file is not used");
        }
        self.problems.store(Arc::new(problems));
        self.error.set(1);
    }
}

fn told(located: &[Located]) -> Vec<String> {
    located.iter().map(ToString::to_string).collect()
}

/// The keys that are files, in the order of names.
fn texts(object: &ConfigMap) -> Vec<(String, String)> {
    let is_file = |name: &str| !name.starts_with('.') && (name.ends_with(".yaml") || name.ends_with(".yml"));
    let data = object.data.iter().flatten().filter(|(name, _)| is_file(name));
    data.map(|(name, text)| (name.clone(), text.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config_map(files: &[(&str, &str)]) -> ConfigMap {
        let data = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        ConfigMap { data: Some(data), ..ConfigMap::default() }
    }

    const GOOD: &str = "cluster: {catchAll: [edge]}\nroutes: [{path: /, respond: {status: 204}}]\n";

    fn good(news: News) -> Arc<OperatorFile> {
        match news {
            News::Good(file, _) => file,
            other => panic!("{other:?}"),
        }
    }

    fn wrong(news: News) -> Vec<String> {
        match news {
            News::Wrong(why) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_wrong_is_told_and_changes_nothing() {
        let mut reading = Reading::of(ObjectName::new("edge", "sluice"));
        let before = OperatorFile::default();
        assert_eq!(wrong(reading.look(None, &before)), ["the ConfigMap edge/sluice is not there"]);
        let empty = config_map(&[("notes.txt", "7")]);
        assert_eq!(wrong(reading.look(Some(&empty), &before)), ["the ConfigMap edge/sluice has no key *.yaml"]);
        let broken = config_map(&[("sluice.yaml", "routess: []\n")]);
        let told = wrong(reading.look(Some(&broken), &before));
        assert!(told[0].starts_with("sluice.yaml:1:1: routess: unknown field"), "{told:?}");
        assert!(!reading.is_in_effect());
        let file = good(reading.look(Some(&config_map(&[("sluice.yaml", GOOD)])), &before));
        assert!(file.terms.cluster.may_catch_all("edge") && reading.is_in_effect());
        assert!(matches!(reading.look(Some(&config_map(&[("sluice.yaml", GOOD)])), &file), News::Nothing));
        wrong(reading.look(Some(&broken), &file));
        assert!(reading.is_in_effect(), "the last good one stays");
        good(reading.look(Some(&config_map(&[("sluice.yaml", GOOD)])), &file));
    }

    #[test]
    fn what_did_not_change_in_the_file_is_the_same_as_before() {
        let mut reading = Reading::of(ObjectName::new("edge", "sluice"));
        let two = |status: u16| {
            let text =
                format!("routes:\n  - {{path: /a, respond: {{}}}}\n  - {{path: /b, respond: {{status: {status}}}}}\n");
            config_map(&[("sluice.yaml", &text)])
        };
        let first = good(reading.look(Some(&two(204)), &OperatorFile::default()));
        let second = good(reading.look(Some(&two(205)), &first));
        let same = |at: usize| Arc::ptr_eq(&first.gateway.routes[at], &second.gateway.routes[at]);
        assert!(same(0) && !same(1));
    }

    #[test]
    fn keys_are_joined_as_the_files_of_a_directory() {
        let mut reading = Reading::of(ObjectName::new("edge", "sluice"));
        let files = config_map(&[
            ("b.yaml", "routes: [{path: /b, respond: {}}]"),
            ("a.yaml", "routes: [{path: /a, respond: {}}]"),
        ]);
        let file = good(reading.look(Some(&files), &OperatorFile::default()));
        let names: Vec<&str> = file.gateway.routes.iter().map(|route| route.rules[0].name.as_str()).collect();
        assert_eq!(names, ["/a", "/b"]);
    }
}
