//! What a watch tells operators: logs and metrics, and which of its objects cannot be read.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use prometheus::IntCounter;
use tracing::{info, warn};

use super::entry::Broken;
use super::failure::Failure;
use crate::controller::object::ObjectName;
use crate::controller::world::Watched;
use crate::observe::metrics::ControlMetrics;

/// Names remembered of objects that cannot be read. Of more of them only the log tells.
const MAX_BROKEN: usize = 1000;

/// How many watches work; shared by all of them. None of them working means that the API server is away.
#[derive(Clone, Debug, Default)]
pub struct InTouch(Arc<AtomicUsize>);

impl InTouch {
    /// Whether any watch works.
    pub fn is_in_touch(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

/// Tells about one watch.
#[derive(Debug)]
pub struct Report {
    watched: Watched,
    kind: String,
    metrics: ControlMetrics,
    in_touch: InTouch,
    /// Counted among those that work.
    is_working: bool,
    /// Counted among those that do not; neither before its first answer.
    is_failing: bool,
    is_absence_told: bool,
    broken: BTreeSet<ObjectName>,
}

impl Report {
    /// About this part of the cluster.
    pub fn new(watched: Watched, metrics: ControlMetrics, in_touch: InTouch) -> Self {
        let kind = format!("{:?}", watched.kind);
        metrics.watches_failing.with_label_values(&[&kind]).add(0);
        Self {
            watched,
            kind,
            metrics,
            in_touch,
            is_working: false,
            is_failing: false,
            is_absence_told: false,
            broken: BTreeSet::new(),
        }
    }

    fn namespace(&self) -> Option<&str> {
        self.watched.namespace.as_deref()
    }

    /// The server answers as it should.
    pub fn works(&mut self) {
        if !std::mem::replace(&mut self.is_working, true) {
            self.in_touch.0.fetch_add(1, Ordering::Relaxed);
        }
        if std::mem::take(&mut self.is_failing) {
            self.metrics.watches_failing.with_label_values(&[&self.kind]).dec();
            info!(kind = self.kind, namespace = self.namespace(), "watching again");
        }
    }

    /// A list has come and is believed; of its objects these cannot be read.
    pub fn listed(&mut self, count: usize, broken: &[Broken]) {
        info!(kind = self.kind, namespace = self.namespace(), count, "listed");
        self.works();
        self.forget_broken();
        for object in broken {
            self.unreadable(object);
        }
    }

    /// An empty list has come where something is known.
    pub fn doubted(&mut self, pause: Duration) {
        self.count("empty");
        let (kind, namespace) = (&self.kind, self.namespace());
        warn!(kind, namespace, ?pause, "the list is suddenly empty; the last known state stays until it is confirmed");
    }

    /// A kind that need not exist does not, or may not be read. Asked for again and again, told once.
    pub fn absent(&mut self, failure: &Failure) {
        self.works();
        if std::mem::replace(&mut self.is_absence_told, true) {
            return;
        }
        let (kind, namespace) = (&self.kind, self.namespace());
        info!(kind, namespace, code = failure.code(), "this kind is not there for us; going on without it");
    }

    /// Something went wrong. What the server has forgotten is usual, everything else is worth a warning.
    pub fn failed(&mut self, failure: &Failure, pause: Duration) {
        self.count(failure.reason());
        if failure.is_forgotten() {
            info!(kind = self.kind, namespace = self.namespace(), "watch expired, listing again");
            return;
        }
        if std::mem::take(&mut self.is_working) {
            self.in_touch.0.fetch_sub(1, Ordering::Relaxed);
        }
        if !std::mem::replace(&mut self.is_failing, true) {
            self.metrics.watches_failing.with_label_values(&[&self.kind]).inc();
        }
        let error = failure as &dyn std::error::Error;
        let (kind, namespace) = (&self.kind, self.namespace());
        warn!(kind, namespace, error, ?pause, "watch failed; the last known state stays");
    }

    /// An object cannot be read. It counts as absent: its last state would be what its owner no longer wants, and a
    /// replica that starts later could not know it.
    pub fn unreadable(&mut self, object: &Broken) {
        self.count("undecodable");
        let (kind, name, why) = (&self.kind, object.name(), &object.why);
        warn!(kind, object = %name, why, "an object cannot be read and counts as absent");
        if self.broken.len() < MAX_BROKEN && self.broken.insert(name) {
            self.metrics.objects_undecodable.with_label_values(&[&self.kind]).inc();
        }
    }

    /// An object can be read, or is gone.
    pub fn settled(&mut self, name: &ObjectName) {
        if !self.broken.is_empty() && self.broken.remove(name) {
            self.metrics.objects_undecodable.with_label_values(&[&self.kind]).dec();
        }
    }

    fn forget_broken(&mut self) {
        let count = i64::try_from(self.broken.len()).unwrap_or(i64::MAX);
        self.metrics.objects_undecodable.with_label_values(&[&self.kind]).sub(count);
        self.broken.clear();
    }

    /// Counts watches that are ended as soon as they are open.
    pub fn closed_early(&self) -> IntCounter {
        self.metrics.watch_errors.with_label_values(&[self.kind.as_str(), "closed"])
    }

    fn count(&self, reason: &str) {
        self.metrics.watch_errors.with_label_values(&[self.kind.as_str(), reason]).inc();
    }
}
