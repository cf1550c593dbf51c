//! Sluice.

pub mod config;
pub mod lb;
pub mod observe;
pub mod proxy;
pub mod router;
pub mod server;
pub mod snapshot;
pub mod upstream;
