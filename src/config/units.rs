//! Values that users write as text: durations such as `1m30s`.
//!
//! One notation for the file and for objects (Gateway API's duration format), so that a value can be
//! moved between the two. Parsing is strict: what two tools read differently is refused here.

use std::time::Duration;

/// Why a text is no duration. The text shown to users is the same as that of the schema's rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be a duration such as 500ms, 30s, 1m30s or 2h (whole numbers, units h m s ms)")]
pub struct DurationError;

/// At most four parts, as in `1h2m3s4ms`.
const MAX_PARTS: usize = 4;
/// Digits of one part: 99999h is over eleven years, more is a typing error.
const MAX_DIGITS: usize = 5;

/// Reads `500ms`, `30s`, `1m30s`, `2h`. `0s` is zero and means "no limit" wherever a limit stands.
///
/// # Errors
/// [`DurationError`] for anything else: no unit, fractions, signs, spaces, more than five digits.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    let mut parts = 0;
    while !rest.is_empty() {
        parts += 1;
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if parts > MAX_PARTS || digits == 0 || digits > MAX_DIGITS {
            return Err(DurationError);
        }
        let (number, tail) = rest.split_at(digits);
        let number: u64 = number.parse().map_err(|_| DurationError)?;
        let (unit, tail) = split_unit(tail)?;
        total += unit * u32::try_from(number).map_err(|_| DurationError)?;
        rest = tail;
    }
    if parts == 0 { Err(DurationError) } else { Ok(total) }
}

fn split_unit(text: &str) -> Result<(Duration, &str), DurationError> {
    const UNITS: [(&str, Duration); 4] = [
        ("ms", Duration::from_millis(1)),
        ("h", Duration::from_secs(3600)),
        ("m", Duration::from_secs(60)),
        ("s", Duration::from_secs(1)),
    ];
    UNITS.iter().find_map(|(name, unit)| text.strip_prefix(name).map(|tail| (*unit, tail))).ok_or(DurationError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_users_write_them() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("2h"), Ok(Duration::from_secs(7200)));
        assert_eq!(parse_duration("0s"), Ok(Duration::ZERO));
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "5", "1.5s", "-1s", "+1s", " 1s", "1s ", "1d", "100000s", "1h1m1s1ms1ms", "s", "1 s"] {
            assert_eq!(parse_duration(text), Err(DurationError), "{text:?}");
        }
    }
}
