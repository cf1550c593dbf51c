//! Which worker takes an accepted connection.
//!
//! The kernel spreads connections by a hash of addresses, which is even for many and uneven for few: ten
//! long connections on four workers may leave one idle. A worker that is clearly above the mean hands the
//! connection to the one with fewest.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Connections above the mean that are not worth a hand-over.
const SLACK: usize = 2;

/// The worker that should take a connection which `own` accepted; none: `own` itself.
pub fn better_worker(loads: &[AtomicUsize], own: usize) -> Option<usize> {
    let load = |worker: &AtomicUsize| worker.load(Ordering::Relaxed);
    let mine = loads.get(own).map(load)?;
    let total: usize = loads.iter().map(load).sum();
    // Clearly above: by a quarter and by more than the slack.
    if mine * loads.len() * 4 <= total * 5 + SLACK * loads.len() * 4 {
        return None;
    }
    let (least, fewest) = loads.iter().map(load).enumerate().min_by_key(|(_, load)| *load)?;
    (fewest < mine && least != own).then_some(least)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(loads: &[usize], own: usize) -> Option<usize> {
        let loads: Vec<AtomicUsize> = loads.iter().map(|load| AtomicUsize::new(*load)).collect();
        better_worker(&loads, own)
    }

    #[test]
    fn only_a_worker_clearly_above_the_mean_hands_over() {
        assert_eq!(choose(&[1, 0], 0), None);
        assert_eq!(choose(&[10, 9], 0), None);
        assert_eq!(choose(&[10, 0, 5], 0), Some(1));
        assert_eq!(choose(&[10, 0, 5], 2), None);
        assert_eq!(choose(&[1000, 900], 0), None);
        assert_eq!(choose(&[5], 0), None);
    }

    #[test]
    fn connections_that_all_come_to_one_worker_end_up_even() {
        let mut loads = [0_usize; 4];
        for _ in 0..400 {
            let taken_by = choose(&loads, 0).unwrap_or(0);
            loads[taken_by] += 1;
        }
        assert!(loads.iter().all(|load| (90..=130).contains(load)), "{loads:?}");
    }
}
