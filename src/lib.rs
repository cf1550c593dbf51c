//! Sluice.

pub mod config;
pub mod crd;
