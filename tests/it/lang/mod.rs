//! `gateway(yaml)` runs the binary; `backend::...` are servers; `client::...` sends bytes and reads answers.

pub mod backend;
pub mod client;
pub mod gateway;

use std::time::{Duration, Instant};

/// How long anything may take before a test gives up: far above what it should take, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until a condition holds.
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < until, "gave up waiting: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A port that nobody has now.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port()
}
