//! The way to the API server: the pod's own, or that of a kubeconfig.

use std::fmt;
use std::time::Duration;

use kube::Client;
use kube::client::ClientBuilder;

use super::ControllerError;
use super::watch::Openings;

/// A client, and what it tells of watches being opened.
#[derive(Clone)]
pub struct Cluster {
    /// For all requests.
    pub client: Client,
    /// A layer of that client.
    pub openings: Openings,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").finish_non_exhaustive()
    }
}

/// A client for the cluster we are in, or that of the kubeconfig.
///
/// # Errors
/// [`ControllerError::NoCluster`] or [`ControllerError::Client`]. The API server need not answer.
pub async fn client() -> Result<Cluster, ControllerError> {
    let config = kube::Config::infer().await.map_err(|error| ControllerError::NoCluster(Box::new(error)))?;
    of(config)
}

/// A client as the controller needs it.
///
/// Reads give up after 75 s: longer than a watch is silent (65 s, see `watch`), so that only connections that are dead
/// or stalled meet it.
///
/// # Errors
/// [`ControllerError::Client`].
pub(super) fn of(mut config: kube::Config) -> Result<Cluster, ControllerError> {
    config.connect_timeout = Some(Duration::from_secs(5));
    config.read_timeout = Some(Duration::from_secs(75));
    config.reset_reader_on_write = true;
    config.write_timeout = Some(Duration::from_secs(30));
    // Each part of the controller has its own way to try again, with the right pauses; a second one below it would
    // multiply the tries.
    config.default_retry = false;
    let builder = ClientBuilder::try_from(config).map_err(|error| ControllerError::Client(Box::new(error)))?;
    let openings = Openings::default();
    Ok(Cluster { client: builder.with_layer(&openings).build(), openings })
}
