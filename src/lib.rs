//! Sluice.

pub mod app;
pub mod cli;
pub mod config;
pub mod controller;
pub mod crd;
pub mod lb;
pub mod observe;
pub mod proxy;
pub mod router;
pub mod server;
pub mod snapshot;
pub mod upstream;
