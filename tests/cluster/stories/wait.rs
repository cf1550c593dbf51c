//! Waiting for a condition, with a deadline: the only way a story waits.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// 50 ms: what is waited for takes a tenth of a second or more, and a try starts a process.
const PAUSE: Duration = Duration::from_millis(50);

/// A minute: pods start within seconds, even while the machine compiles something else.
pub const SOON: Duration = Duration::from_secs(60);

/// Tries until `attempt` succeeds and returns what it found; fails with its last word after `limit`.
pub fn eventually<T>(what: &str, limit: Duration, mut attempt: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        match attempt() {
            Ok(found) => return found,
            Err(last) if Instant::now() >= deadline => panic!("not within {limit:?}: {what}: {last}"),
            Err(_) => sleep(PAUSE),
        }
    }
}

/// `Ok` when it holds, else what was seen instead.
pub fn holds(condition: bool, seen: impl FnOnce() -> String) -> Result<(), String> {
    if condition { Ok(()) } else { Err(seen()) }
}
