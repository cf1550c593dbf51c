//! What operators see: metrics, the access log, ids of requests and traces, and the tasks of the process.

pub mod access_log;
pub mod busiest;
pub mod limited;
pub mod metrics;
pub mod tasks;
pub mod trace;
