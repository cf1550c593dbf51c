//! The tasks that tell: who may (`lease`), statuses (`status_writer`), Events (`event`), addresses (`address`).

use std::sync::Arc;

use kube::Client;
use tokio::sync::{mpsc, watch as newest};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::ControllerSettings;
use super::lease::{self, LeaseSettings};
use super::status_writer::{Board, StatusWriter};
use super::{address, event};
use crate::observe::metrics::ControlMetrics;

/// Starts them; all end with `stop`.
pub fn start(
    settings: &ControllerSettings,
    client: &Client,
    board: &Arc<Board>,
    metrics: &ControlMetrics,
    stop: &CancellationToken,
) -> JoinSet<()> {
    let mut writers = JoinSet::new();
    let (holding, is_holder) = newest::channel(false);
    let lease =
        lease::hold(client.clone(), lease_settings(settings), holding, metrics.lease_held.clone(), stop.clone());
    writers.spawn(lease);
    let (events, announced) = mpsc::channel(event::QUEUE);
    let instance = settings.pod_name.clone();
    writers.spawn(event::send(client.clone(), instance, announced, metrics.clone(), stop.clone()));
    let addresses_known = CancellationToken::new();
    if let Some(service) = settings.service.clone() {
        let namespace = settings.pod_namespace.clone();
        let following = address::follow(client.clone(), namespace, service, Arc::clone(board), addresses_known.clone());
        let stop = stop.clone();
        writers.spawn(async move {
            tokio::select! {
                () = following => {}
                () = stop.cancelled() => {}
            }
        });
    } else {
        board.set_addresses(Vec::new(), Instant::now());
        addresses_known.cancel();
    }
    let writer = StatusWriter::new(client.clone(), &settings.class, Arc::clone(board), metrics.clone(), events);
    writers.spawn(writer.run(is_holder, addresses_known, stop.clone()));
    writers
}

fn lease_settings(settings: &ControllerSettings) -> LeaseSettings {
    LeaseSettings {
        name: format!("sluice-{}", settings.class),
        namespace: settings.pod_namespace.clone(),
        identity: settings.pod_name.clone(),
    }
}
