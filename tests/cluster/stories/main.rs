//! Stories: Sluice on a real cluster, seen as its user sees it, through `kubectl`, `helm`, `curl`
//! and clients that keep connections open.
//!
//! `tests/cluster/run` builds the cluster and runs them; with `SLUICE_KUBECONFIG` they run on a
//! cluster of your own. They are no part of a plain `cargo test`, for without a cluster they can
//! only fail. Each story stands alone: it installs Sluice if it finds none, works in a namespace
//! and with host names of its own, and can be run by its name. Only one runs at a time
//! (`--test-threads=1`), since some restart what all of them use.
//!
//! Settings, all optional on the cluster of `tests/cluster/cluster`:
//! `SLUICE_IMAGE` and `SLUICE_BACKEND_IMAGE` (images the cluster can get), `SLUICE_ADDRESS`
//! (`host:port` at which Sluice's Service is reached from here; its ClusterIP when unset).

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs,
    reason = "in a story a panic is the way to fail, and its threads may sleep"
)]

mod command;
mod fault;
mod fault_proxy;
mod fixture;
mod load;
mod sluice;
mod wait;
mod wire;

mod host;
mod hostile;
mod install;
mod lease;
mod outage;
mod privilege;
mod readme;
mod rollout;
mod route;
mod status;
mod upgrade;
mod weight;
