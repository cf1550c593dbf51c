//! Kubernetes in, Gateway out, status back.
pub mod holdoff;
pub mod manifest;
pub mod status;
pub mod translate;
pub mod world;
