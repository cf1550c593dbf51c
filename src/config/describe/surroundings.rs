//! What the rules of a file can name, and what holds for all of them: listeners, policies, defaults.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::layer::Layer;
use crate::config::nearest::nearest;
use crate::config::problem::{Problem, Slug};
use crate::config::traffic::Traffic;

/// What the rules of a file can name, and what holds for all of them.
#[derive(Debug, Default)]
pub struct Surroundings {
    /// Names of listeners.
    pub listeners: Vec<String>,
    /// Some listener could not be read, so a missing name may be its.
    pub has_unread_listeners: bool,
    /// Policies by name.
    pub policies: BTreeMap<String, Arc<Layer>>,
    /// Some policy could not be read, so a missing name may be its.
    pub has_unread_policies: bool,
    /// What holds wherever nothing nearer is said.
    pub defaults: Arc<Traffic>,
}

impl Surroundings {
    /// Whether a listener has this name.
    ///
    /// # Errors
    /// The problem, at the place `at`.
    pub fn listener(&self, name: &str, at: &str) -> Result<(), Problem> {
        if self.has_unread_listeners || self.listeners.iter().any(|known| known == name) {
            return Ok(());
        }
        let message = match nearest(name, self.listeners.iter().map(String::as_str)) {
            Some(meant) => format!("no listener {name:?}: did you mean {meant}?"),
            None => format!("no listener {name:?}; there are: {}", self.listeners.join(", ")),
        };
        Err(Problem::new(at, Slug::ListenerMissing, message))
    }

    /// What a policy says.
    ///
    /// # Errors
    /// The problem, at the place `at`.
    pub fn policy(&self, name: &str, at: &str) -> Result<Arc<Layer>, Problem> {
        if let Some(layer) = self.policies.get(name) {
            return Ok(Arc::clone(layer));
        }
        if self.has_unread_policies {
            return Ok(Arc::default());
        }
        let message = match nearest(name, self.policies.keys().map(String::as_str)) {
            Some(meant) => format!("no policy {name:?}: did you mean {meant}?"),
            None => format!("no policy {name:?} in this configuration"),
        };
        Err(Problem::new(at, Slug::PolicyMissing, message))
    }
}
