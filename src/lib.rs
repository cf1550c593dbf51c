//! Sluice: a Kubernetes ingress controller and the HTTP proxy it steers, in one process.
//!
//! Two halves know each other only through two messages in [`config`]: an [`Offer`](config::Offer) goes in, an
//! [`Applied`](config::Applied) comes back.
//!
//! ```text
//!            described                          compiled                     living
//! file ──────────┐
//!   (app::reload)├─> config::Gateway ─ Offer ─> snapshot ── one swap ──> server ─> proxy ─> upstream
//! cluster ───────┘    (config)                  (router, lb)             workers   a request  connections
//!   (controller, crd)      ^                        │
//!        ^                 └──── one model          │
//!        └─────────── status <──────── Applied ─────┘
//! ```
//!
//! | word | meaning |
//! |---|---|
//! | Listener | an address the proxy accepts on |
//! | Route, Rule | hosts with a list of rules; a rule is what matches, what is done, where it goes |
//! | Upstream, Endpoint | a group of interchangeable servers; one server address in it, as described |
//! | LiveUpstream, LiveEndpoint | the same two while running |
//! | Gateway | the whole description. Plain data |
//! | World | the Kubernetes objects that count, as seen at one moment |
//! | Problem, Verdict | something wrong in a description and where; what is told to an object's owner |
//! | Snapshot | a Gateway compiled for serving. Never changes once made |
//! | Registry | the living things that outlast snapshots, found by identity |
//! | Exchange | one request with its response, from first byte in to last byte out |
//! | Refusal | an answer that is ours and not an endpoint's, with its reason |
//!
//! Who may import whom is a table in `tests/it/house.rs`; a test keeps it true. The way of a request begins in
//! [`proxy`], that of a change in [`snapshot::compile`] and `controller`, the end of the process in [`server`].

pub mod app;
pub mod circuitbreaker;
pub mod cli;
pub mod config;
pub mod controller;
pub mod crd;
pub mod health;
pub mod lb;
pub mod middleware;
pub mod observe;
pub mod proxy;
pub mod ratelimit;
pub mod router;
pub mod server;
pub mod snapshot;
pub mod upstream;
