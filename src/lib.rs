//! Sluice.

pub mod config;
