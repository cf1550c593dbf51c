//! What probes find: good or bad ones in a row make an endpoint healthy or unhealthy.
//!
//! A single probe may be unlucky, so it takes `unhealthyAfter` bad ones in a row to take an endpoint out and
//! `healthyAfter` good ones to bring it back. The very first result is more than is known so far: if it is good, the
//! endpoint is healthy at once; if it is bad, it is the first of its row, and the endpoint stays unknown, and used,
//! until the row is long enough. With the defaults (every 5 s, 2 s patience, 3 bad ones) one that hangs is out after
//! at most 5 + 3 · 2 + 2 · 5 seconds, less if it refuses.
//!
//! When the probe itself is edited (another path, another port), the state stays until the new probe's first result,
//! which counts as a first result again: a path that was wrong and is right now brings the endpoint back at once.
//!
//! Results come from one prober for each endpoint; the status is read by all workers.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::config::upstream::ActiveHealth;

use super::Status;

/// The health of one endpoint, as probes find it.
#[derive(Debug, Default)]
pub struct Active {
    /// A [`Status`]; written under the lock.
    status: AtomicU8,
    row: Mutex<Row>,
}

/// Equal results, without another between them.
#[derive(Debug, Default)]
struct Row {
    is_good: bool,
    /// 0: the next result is the first one.
    length: u32,
}

impl Active {
    /// What is known.
    pub fn status(&self) -> Status {
        match self.status.load(Ordering::Relaxed) {
            0 => Status::Unknown,
            1 => Status::Healthy,
            _ => Status::Unhealthy,
        }
    }

    /// Takes in the result of a probe. Gives the status if it is a new one, for the log.
    pub fn record(&self, is_good: bool, settings: &ActiveHealth) -> Option<Status> {
        let mut row = self.lock();
        let is_first = row.length == 0;
        row.length = if row.is_good == is_good { row.length.saturating_add(1) } else { 1 };
        row.is_good = is_good;
        let (wanted, status) = match is_good {
            true if is_first => (1, Status::Healthy),
            true => (settings.healthy_after, Status::Healthy),
            false => (settings.unhealthy_after, Status::Unhealthy),
        };
        if row.length < wanted || self.status() == status {
            return None;
        }
        self.status.store(status as u8, Ordering::Relaxed);
        Some(status)
    }

    /// Another probe than before: its first result is a first one, until then the state stays.
    pub fn probe_changed(&self) {
        *self.lock() = Row::default();
    }

    /// As new: it is not probed any more.
    pub fn forget(&self) {
        let mut row = self.lock();
        *row = Row::default();
        self.status.store(Status::Unknown as u8, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Row> {
        self.row.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::config::upstream::Probe;

    pub(in crate::health) fn settings(healthy_after: u32, unhealthy_after: u32) -> ActiveHealth {
        ActiveHealth {
            probe: Probe::Tcp,
            port: None,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            healthy_after,
            unhealthy_after,
        }
    }

    #[test]
    fn the_first_good_result_decides_and_the_first_bad_one_counts() {
        let active = Active::default();
        assert_eq!(active.record(true, &settings(2, 3)), Some(Status::Healthy));
        let active = Active::default();
        assert_eq!(active.record(false, &settings(2, 3)), None);
        assert_eq!(active.status(), Status::Unknown);
        assert_eq!(active.record(false, &settings(2, 3)), None);
        assert_eq!(active.record(false, &settings(2, 3)), Some(Status::Unhealthy));
        assert_eq!(active.record(true, &settings(2, 3)), None);
        assert_eq!(active.record(true, &settings(2, 3)), Some(Status::Healthy));
    }

    #[test]
    fn a_new_probe_keeps_the_state_until_its_first_result() {
        let active = Active::default();
        for _ in 0..3 {
            active.record(false, &settings(2, 3));
        }
        active.probe_changed();
        assert_eq!(active.status(), Status::Unhealthy);
        assert_eq!(active.record(true, &settings(2, 3)), Some(Status::Healthy));
        active.probe_changed();
        assert_eq!(active.record(false, &settings(2, 3)), None);
        assert_eq!(active.status(), Status::Healthy);
    }

    /// From the whole list of results, `None` for a change of the probe.
    fn naive(results: &[Option<bool>], settings: &ActiveHealth) -> Status {
        let row_before = |end: usize| {
            let last = results[end - 1];
            results[..end].iter().rev().take_while(|result| **result == last).count() as u32
        };
        let decides = |end: usize| match results[end - 1] {
            None => None,
            Some(true) => {
                let is_first = end == 1 || results[end - 2].is_none();
                (is_first || row_before(end) >= settings.healthy_after).then_some(Status::Healthy)
            }
            Some(false) => (row_before(end) >= settings.unhealthy_after).then_some(Status::Unhealthy),
        };
        (1..=results.len()).rev().find_map(decides).unwrap_or_default()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn h106_flapping_does_what_the_list_of_results_says(
            results in proptest::collection::vec(proptest::option::weighted(0.9, any::<bool>()), 1..60),
            healthy_after in 0_u32..5,
            unhealthy_after in 0_u32..5,
        ) {
            let (active, settings) = (Active::default(), settings(healthy_after, unhealthy_after));
            for end in 1..=results.len() {
                let before = active.status();
                let told = match results[end - 1] {
                    Some(is_good) => active.record(is_good, &settings),
                    None => {
                        active.probe_changed();
                        None
                    }
                };
                let wanted = naive(&results[..end], &settings);
                prop_assert_eq!(active.status(), wanted);
                prop_assert_eq!(told, (before != wanted).then_some(wanted));
            }
        }
    }
}
