//! How long a watch waits before it tries again.
//!
//! Doubling, so that a server in trouble is left alone; with jitter, so that replicas and watches do not come
//! back in step; at least as long as the server asks for. A quiet minute forgives what was before.

use std::time::Duration;

use tokio::time::Instant;

/// First wait after an error; doubles.
pub const MIN_WAIT: Duration = Duration::from_millis(200);
/// Last wait: a returning API server is found within this.
pub const MAX_WAIT: Duration = Duration::from_secs(15);
/// The longest that a server may ask for: beyond that it is asked anew, as it may have been another one.
const MAX_ASKED: Duration = Duration::from_secs(30);
/// An error after such a quiet time begins again with the first wait.
const FORGIVE_AFTER: Duration = Duration::from_mins(1);

/// Remembers the last wait.
#[derive(Debug, Default)]
pub struct Wait {
    last: Option<(Instant, Duration)>,
}

impl Wait {
    /// How long to wait after an error now. `asked` is what the server itself wants (Retry-After).
    pub fn after_error(&mut self, now: Instant, asked: Option<Duration>) -> Duration {
        let next = match self.last {
            Some((at, wait)) if now.duration_since(at) < FORGIVE_AFTER + wait => (wait * 2).min(MAX_WAIT),
            _ => MIN_WAIT,
        };
        self.last = Some((now, next));
        let asked = asked.unwrap_or_default().min(MAX_ASKED);
        // Those who were all told the same number of seconds must not come back in the same moment.
        jittered(next).max(asked + jittered(asked / 4))
    }
}

/// Between a half and the whole.
pub fn jittered(wait: Duration) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    let random = u16::try_from(RandomState::new().hash_one(0_u8) % 1024).unwrap_or_default();
    wait / 2 + wait * u32::from(random) / 2048
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_are_forgiven() {
        let mut wait = Wait::default();
        let mut now = Instant::now();
        for _ in 0..20 {
            let pause = wait.after_error(now, None);
            assert!(pause <= MAX_WAIT && pause >= MIN_WAIT / 2, "{pause:?}");
            now += pause;
        }
        assert!(wait.after_error(now, None) >= MAX_WAIT / 2);
        assert!(wait.after_error(now + FORGIVE_AFTER * 2, None) <= MIN_WAIT);
    }

    #[test]
    fn a_server_that_asks_for_time_gets_it_within_reason() {
        let mut wait = Wait::default();
        assert!(wait.after_error(Instant::now(), Some(Duration::from_secs(3))) >= Duration::from_secs(3));
        let long = wait.after_error(Instant::now(), Some(Duration::from_hours(1)));
        assert!(long >= MAX_ASKED && long <= MAX_ASKED * 2, "{long:?}");
    }
}
