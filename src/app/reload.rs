//! Picks up changes of the configuration file.
//!
//! The content is read again every [`POLL`] and compared: mounted ConfigMaps change by swapping a symlink,
//! editors by renaming, and no notification covers all of that on every file system. SIGHUP reads at once.
//!
//! A file that is wrong changes nothing: what is served stays, the problems are logged once, shown at
//! `/config`, and `sluice_config_error` is 1 until a good one is there.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::config::file::{self, LoadError, Loaded};
use crate::config::{Gateway, Offer};
use crate::server::admin::Admin;

/// Under the two seconds within which a change is promised to be live.
const POLL: Duration = Duration::from_secs(1);

/// Reads the file and offers what it says.
#[derive(Debug)]
pub struct Reloader {
    path: PathBuf,
    offers: watch::Sender<Option<Offer>>,
    admin: Admin,
    number: u64,
    seen: Seen,
    /// What was offered last: the next one has of it what did not change.
    offered: Arc<Gateway>,
}

/// What was read last.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Texts(Vec<(String, String)>),
    Unreadable(String),
}

impl Reloader {
    /// Reads for the first time.
    ///
    /// # Errors
    /// If the file cannot be used: there is nothing to serve yet.
    pub fn start(path: PathBuf, offers: watch::Sender<Option<Offer>>, admin: Admin) -> Result<Self, LoadError> {
        let texts = file::read(&path).map_err(|source| LoadError::Read { path: path.clone(), source })?;
        let loaded = file::parse(&texts).map_err(LoadError::Wrong)?;
        let mut reloader = Self { path, offers, admin, number: 0, seen: Seen::Texts(texts), offered: Arc::default() };
        reloader.offer(loaded);
        Ok(reloader)
    }

    /// Reads again whenever it is time, until `stop`.
    pub async fn watch(mut self, now: Arc<Notify>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                () = now.notified() => {}
                () = stop.cancelled() => return,
            }
            // Files may be slow, as on a network mount, and large: neither must hold up the runtime.
            let Ok(same) = tokio::task::spawn_blocking(move || {
                self.look();
                self
            })
            .await
            else {
                return;
            };
            self = same;
        }
    }

    fn look(&mut self) {
        let seen = match file::read(&self.path) {
            Ok(texts) => Seen::Texts(texts),
            Err(error) => Seen::Unreadable(format!("cannot read {}: {error}", self.path.display())),
        };
        if seen == self.seen {
            return;
        }
        self.seen = seen;
        match &self.seen {
            Seen::Unreadable(why) => {
                let why = vec![why.clone()];
                self.reject(why);
            }
            Seen::Texts(texts) => match file::parse(texts) {
                Ok(loaded) => self.offer(loaded),
                Err(wrong) => self.reject(wrong.iter().map(ToString::to_string).collect()),
            },
        }
    }

    fn offer(&mut self, loaded: Loaded) {
        for warning in &loaded.warnings {
            tracing::warn!(%warning, "configuration");
        }
        self.admin.problems.store(Arc::new(Vec::new()));
        self.admin.metrics.config_error.set(0);
        self.number += 1;
        self.offered = Arc::new(file::reuse(&self.offered, loaded.gateway));
        self.offers.send_replace(Some(Offer {
            number: self.number,
            gateway: Arc::clone(&self.offered),
            stale_since: None,
        }));
    }

    fn reject(&self, problems: Vec<String>) {
        for problem in &problems {
            tracing::error!(%problem, "the new configuration is not used");
        }
        self.admin.problems.store(Arc::new(problems));
        self.admin.metrics.config_error.set(1);
    }
}
