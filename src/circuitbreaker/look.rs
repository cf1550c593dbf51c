//! What can be seen of a breaker without its lock: one word, so that state and numbers always belong together.
//!
//! Two bits for the state, the rest for what it takes to answer "may a request be tried now".

use super::State;

/// What can be seen of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// With its number, for permits.
    Closed { phase: u64 },
    /// Trials under way and good ones, 31 bits each.
    HalfOpen { running: u32, good: u32 },
    /// In nanoseconds from the origin: enough for 146 years.
    Open { until: u64 },
}

/// The bits beside the state.
pub(super) const PAYLOAD: u64 = (1 << 62) - 1;
/// The bits of one count.
const COUNT: u64 = (1 << 31) - 1;

impl Look {
    pub(super) fn to_bits(self) -> u64 {
        let (state, payload) = match self {
            Self::Closed { phase } => (State::Closed, phase & PAYLOAD),
            Self::HalfOpen { running, good } => (State::HalfOpen, u64::from(running) << 31 | u64::from(good)),
            Self::Open { until } => (State::Open, until),
        };
        (state as u64) << 62 | payload
    }

    pub(super) fn from_bits(bits: u64) -> Self {
        let payload = bits & PAYLOAD;
        // 31 bits each: nothing is cut off.
        let count = |bits: u64| (bits & COUNT) as u32;
        match bits >> 62 {
            0 => Self::Closed { phase: payload },
            1 => Self::HalfOpen { running: count(payload >> 31), good: count(payload) },
            _ => Self::Open { until: payload },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_written_is_read(number in 0..=PAYLOAD, running in 0_u32..=1 << 30, good in 0_u32..=1 << 30) {
            for look in [Look::Closed { phase: number }, Look::Open { until: number }, Look::HalfOpen { running, good }] {
                prop_assert_eq!(Look::from_bits(look.to_bits()), look);
            }
        }
    }
}
