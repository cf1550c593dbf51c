//! `gateway_rate_limited_total`: who met rate limits, the busiest by name and all others together.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::busiest::{Busiest, Caller, DEFAULT_MAX_LABELS, OTHER};

/// Counts requests that met a limit. Only those pay for it.
#[derive(Clone, Debug)]
pub struct Limited {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    names: usize,
    busiest: Busiest,
}

impl Default for Limited {
    fn default() -> Self {
        let state = State { names: DEFAULT_MAX_LABELS, busiest: Busiest::new(DEFAULT_MAX_LABELS) };
        Self { state: Arc::new(Mutex::new(state)) }
    }
}

impl Limited {
    /// At most this many by name from now on. Another number begins all counts anew, as a restart would.
    pub fn set_names(&self, names: usize) {
        let mut state = self.lock();
        if state.names != names {
            *state = State { names, busiest: Busiest::new(names) };
        }
    }

    /// Counts one, by the hash of its key if the limit does not count by address.
    pub fn count(&self, client: IpAddr, key_hash: Option<u32>) {
        self.lock().busiest.count(Caller::new(client, key_hash));
    }

    /// All counts by label.
    pub(super) fn counts(&self) -> BTreeMap<String, u64> {
        let state = self.lock();
        let named = state.busiest.labels().map(|(caller, count)| (caller.to_string(), count));
        let mut counts: BTreeMap<String, u64> = if state.names == 0 { BTreeMap::new() } else { named.collect() };
        let others = if state.names == 0 { state.busiest.labels().map(|(_, count)| count).sum() } else { 0 };
        let others = others + state.busiest.other();
        if others > 0 {
            counts.insert(OTHER.to_owned(), others);
        }
        counts
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn h129_labels_are_bounded_and_nothing_is_lost() {
        let limited = Limited::default();
        limited.set_names(3);
        for number in 0..1000_u32 {
            limited.count(Ipv4Addr::from_bits(number).into(), None);
        }
        let counts = limited.counts();
        assert!(counts.len() <= 4, "{counts:?}");
        assert_eq!(counts.values().sum::<u64>(), 1000);
        limited.set_names(0);
        limited.count(Ipv4Addr::LOCALHOST.into(), Some(7));
        assert_eq!(limited.counts(), BTreeMap::from([("other".to_owned(), 1)]));
    }
}
