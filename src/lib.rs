//! Sluice.

pub mod config;
pub mod controller;
pub mod crd;
