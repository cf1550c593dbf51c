//! Sluice from outside: the real binary, real sockets, servers and clients of these tests.
//!
//! `lang` is the small language the tests are written in. Tests named `hNNN_...` prove that line of the list of
//! bad inputs and faults.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs,
    reason = "in tests a panic is the way to fail, and threads may sleep"
)]

mod balancing;
mod cli;
mod client_faults;
mod demo;
mod documents;
mod forwarding;
mod health;
mod house;
mod lang;
mod limits;
mod matching;
mod messages;
mod metrics;
mod reload;
mod requests;
mod retries;
mod stopping;
mod swaps;
mod trust;
mod upgrades;
mod upstream_faults;
mod upstream_limits;
mod websocket;
