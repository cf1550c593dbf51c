//! Sluice.

pub mod config;
pub mod lb;
pub mod observe;
pub mod router;
pub mod upstream;
