//! Writes the newest state to disk whenever there is a newer one.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::{StateSettings, file, format};
use crate::controller::world::Object;
use crate::observe::metrics::ControlMetrics;

/// Between two tries after one that failed: a full disk rarely mends itself.
const TRY_AGAIN: Duration = Duration::from_secs(30);

/// The objects to keep, as of a moment; none before the first.
pub type Newest = Option<(Arc<Vec<Object>>, SystemTime)>;

/// Until nobody has newer ones. Whoever hands them over decides how often. A write under way when this is dropped
/// ends by itself, whole or without effect.
pub async fn keep(settings: StateSettings, mut newest: watch::Receiver<Newest>, metrics: ControlMetrics) {
    let mut is_working = true;
    let mut first = true;
    while newest.changed().await.is_ok() {
        loop {
            let Some((objects, at)) = newest.borrow_and_update().clone() else { break };
            let settings = settings.clone();
            let count = objects.len();
            let task = tokio::task::spawn_blocking(move || {
                file::replace(&settings.path, |out| format::encode(out, &settings, &objects, at))
            });
            match task.await {
                Ok(Ok(())) => {
                    metrics.state_files.with_label_values(&["written"]).inc();
                    debug!(count, "state written");
                    if std::mem::take(&mut first) || !std::mem::replace(&mut is_working, true) {
                        info!(count, "the state is kept on disk");
                    }
                    break;
                }
                Ok(Err(error)) => {
                    metrics.state_files.with_label_values(&["failed"]).inc();
                    if std::mem::take(&mut is_working) {
                        warn!(%error, "the state cannot be kept on disk; the earlier one stays");
                    }
                }
                Err(_) => return,
            }
            // Newer ones are taken up sooner or later, never faster than this.
            sleep(TRY_AGAIN).await;
        }
    }
}
