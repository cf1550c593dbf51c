//! Numbers, times, sizes and rates the way users write them, in forms that are read back as the same.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::config::cidr::Cidr;
use crate::config::status_set::StatusSet;
use crate::config::units::{Rate, format_size};

/// Digits of one part of a duration, see `units`.
const MAX_PART: u128 = 99_999;
/// Parts of a duration, see `units`.
const MAX_PARTS: usize = 4;

/// A number that a schema bounds far below what it holds here.
pub fn number<T: TryInto<i32>>(value: T) -> i32 {
    value.try_into().unwrap_or(i32::MAX)
}

/// `1h`, `90s`, `1500ms`: the least parts that are read back, as each has five digits at most. Above twenty years what is
/// below an hour may be lost.
pub fn duration(value: Duration) -> String {
    const UNITS: [(u128, &str); 4] = [(3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")];
    let mut left = value.as_millis();
    if left == 0 {
        return "0s".to_owned();
    }
    // In one unit where that fits: 90s says more than 1m30s.
    if let Some((unit, name)) = UNITS.iter().find(|(unit, _)| left.is_multiple_of(*unit) && left / unit <= MAX_PART) {
        return format!("{}{name}", left / unit);
    }
    let mut parts = Vec::new();
    // Where the hours need two parts, seconds stand for the minutes too.
    let is_long = left / 3_600_000 > MAX_PART;
    for (unit, name) in UNITS.into_iter().filter(|(_, name)| !(is_long && *name == "m")) {
        while left >= unit && parts.len() < MAX_PARTS {
            let count = (left / unit).min(MAX_PART);
            left -= count * unit;
            parts.push(format!("{count}{name}"));
        }
    }
    parts.concat()
}

/// Bytes; none: unlimited.
pub fn size(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "unlimited".to_owned(), format_size)
}

/// `100/s`, `50/10s`
pub fn rate(rate: Rate) -> String {
    const UNITS: [(u64, char); 4] = [(86_400, 'd'), (3600, 'h'), (60, 'm'), (1, 's')];
    let seconds = rate.period.as_secs().max(1);
    let (unit, name) = UNITS.into_iter().find(|(unit, _)| seconds.is_multiple_of(*unit)).unwrap_or((1, 's'));
    match seconds / unit {
        1 => format!("{}/{name}", rate.count),
        units => format!("{}/{units}{name}", rate.count),
    }
}

/// `503`, `500-504`
pub fn statuses(set: &StatusSet) -> Vec<IntOrString> {
    let write = |(first, last): &(u16, u16)| match first == last {
        true => IntOrString::Int(i32::from(*first)),
        false => IntOrString::String(format!("{first}-{last}")),
    };
    set.ranges().iter().map(write).collect()
}

/// `10.0.0.0/8`
pub fn ranges(ranges: &[Cidr]) -> Vec<String> {
    ranges.iter().map(Cidr::to_string).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::units::{parse_duration, parse_rate, parse_size};

    #[test]
    fn the_forms_are_those_that_people_write() {
        let written = |text: &str| parse_duration(text).map(duration);
        for text in ["0s", "500ms", "1500ms", "1m", "61s", "2h", "99999h", "99999h1m1s1ms"] {
            assert_eq!(written(text).as_deref(), Ok(text));
        }
        assert_eq!(written("1m30s").as_deref(), Ok("90s"));
        assert_eq!(parse_rate("600/m").map(rate).as_deref(), Ok("600/m"));
        assert_eq!(parse_rate("50/10s").map(rate).as_deref(), Ok("50/10s"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_written_is_read_back(
            parts in prop::collection::vec((0..=99_999_u32, 0..4_usize), 1..3),
            count in 1..1_000_000_000_u32,
            (units, unit) in (1..1000_u32, 0..4_usize),
            (bytes, of) in (0..10_000_000_000_u64, 0..4_usize),
        ) {
            let text: String =
                parts.iter().map(|(count, unit)| format!("{count}{}", ["h", "m", "s", "ms"][*unit])).collect();
            let value = parse_duration(&text).unwrap();
            prop_assert_eq!(parse_duration(&duration(value)), Ok(value), "{} is {}", text, duration(value));
            let value = parse_rate(&format!("{count}/{units}{}", ["s", "m", "h", "d"][unit])).unwrap();
            prop_assert_eq!(parse_rate(&rate(value)), Ok(value));
            let value = parse_size(&format!("{bytes}{}", ["B", "KiB", "MiB", "GiB"][of])).unwrap();
            prop_assert_eq!(parse_size(&size(value)), Ok(value));
        }
    }
}
