//! When what is known goes to disk, and when what is on disk is served; `state` does both.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::watch as newest;
use tokio::time::Instant;
use tracing::error;

use super::state::{self, Newest, StateSettings, Stored};
use super::watch::InTouch;
use super::world::World;
use crate::observe::metrics::ControlMetrics;

/// What the loop remembers about the disk.
#[derive(Debug)]
pub struct Keeping {
    /// Whether the API server can be asked: what it cannot confirm is not written anew, and so keeps its age.
    pub in_touch: InTouch,
    /// What was on disk, and when it is to be served if nothing better has come.
    stored: Option<(Stored, Instant)>,
    /// For who writes it to disk; where nobody does, nothing is handed over.
    kept: newest::Sender<Newest>,
    due: Option<Instant>,
}

impl Default for Keeping {
    fn default() -> Self {
        Self { in_touch: InTouch::default(), stored: None, kept: newest::channel(None).0, due: None }
    }
}

impl Keeping {
    /// Serves this if the API server does not answer in time.
    pub fn fall_back_to(&mut self, stored: Option<Stored>) {
        self.stored = stored.map(|stored| (stored, Instant::now() + state::PATIENCE));
    }

    /// When to serve what was on disk.
    pub fn fallback_due(&self) -> Option<Instant> {
        self.stored.as_ref().map(|(_, due)| *due)
    }

    /// What was on disk, once; none when something better has come.
    pub fn take_stored(&mut self) -> Option<Stored> {
        self.stored.take().map(|(stored, _)| stored)
    }

    /// For who writes it to disk.
    pub fn subscribe(&self) -> newest::Receiver<Newest> {
        self.kept.subscribe()
    }

    /// Something that counts has changed.
    pub fn changed(&mut self, now: Instant) {
        let soon = now + state::GAP;
        self.due = Some(self.due.map_or(soon, |earlier| earlier.min(soon)));
    }

    /// When to hand over what is to be kept.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Hands it over, if it is known to be so.
    pub fn hand_over(&mut self, world: &World, now: Instant) {
        if !self.in_touch.is_in_touch() {
            self.due = Some(now + state::GAP);
            return;
        }
        self.due = Some(now + state::CONFIRM_EVERY);
        if self.kept.receiver_count() > 0 {
            self.kept.send_replace(Some((Arc::new(world.objects()), SystemTime::now())));
        }
    }
}

/// What an earlier process has kept, if it may be used.
pub async fn stored(settings: Option<&StateSettings>, metrics: &ControlMetrics) -> Option<Stored> {
    let settings = settings?.clone();
    let path = settings.path.clone();
    let loaded = tokio::task::spawn_blocking(move || state::load(&settings, SystemTime::now())).await;
    match loaded.ok()? {
        Ok(stored) => stored,
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            error!(path = %path.display(), error, "the state on disk is not used; waiting for the API server");
            metrics.state_files.with_label_values(&["refused"]).inc();
            None
        }
    }
}
