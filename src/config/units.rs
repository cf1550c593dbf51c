//! Values that users write as text: durations such as `1m30s`, sizes such as `64KiB`, rates such as `100/s`.
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

/// Why a text is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be a size such as 512B, 64KiB, 10MiB, 2GiB, or unlimited (1m and 1M are refused: they mean different things in different tools)"
)]
pub struct SizeError;

/// Reads `512B`, `64KiB` (`64Ki`), `10MiB`, `2GiB`; `unlimited` is none.
///
/// # Errors
/// [`SizeError`] for anything else.
pub fn parse_size(text: &str) -> Result<Option<u64>, SizeError> {
    const UNITS: [(&str, u64); 7] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("B", 1),
    ];
    if text == "unlimited" {
        return Ok(None);
    }
    let (digits, unit) =
        UNITS.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit))).ok_or(SizeError)?;
    let is_number = (1..=10).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    let number: u64 = if is_number { digits.parse().map_err(|_| SizeError)? } else { return Err(SizeError) };
    Ok(Some(number.saturating_mul(unit)))
}

/// The shortest text that [`parse_size`] reads back: `100MiB`, `1000B`.
pub fn format_size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.iter().find(|(unit, _)| bytes > 0 && bytes.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", bytes / unit),
        None => format!("{bytes}B"),
    }
}

/// So many in such a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    /// At least 1.
    pub count: u32,
    /// At least a second.
    pub period: Duration,
}

impl serde::Serialize for Rate {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{}/{}s", self.count, self.period.as_secs()))
    }
}

/// Why a text is no rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be a rate such as 100/s, 600/m, 50/10s or 10000/d")]
pub struct RateError;

/// Reads `100/s`, `600/m`, `50/10s`, `10000/d`.
///
/// # Errors
/// [`RateError`] for anything else: zero, more than nine digits, periods over 999 units.
pub fn parse_rate(text: &str) -> Result<Rate, RateError> {
    let (count, period) = text.split_once('/').ok_or(RateError)?;
    let unit = match period.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        Some('d') => 86400,
        _ => return Err(RateError),
    };
    let units = &period[..period.len() - 1];
    let units = if units.is_empty() { 1 } else { positive(units, 3)? };
    Ok(Rate { count: positive(count, 9)?, period: Duration::from_secs(u64::from(units) * unit) })
}

fn positive(digits: &str, most: usize) -> Result<u32, RateError> {
    let is_number = (1..=most).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    if !is_number || digits.starts_with('0') {
        return Err(RateError);
    }
    digits.parse().map_err(|_| RateError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_users_write_them() {
        assert_eq!(parse_size("512B"), Ok(Some(512)));
        assert_eq!(parse_size("64KiB"), Ok(Some(65536)));
        assert_eq!(parse_size("10Mi"), Ok(Some(10 << 20)));
        assert_eq!(parse_size("0B"), Ok(Some(0)));
        assert_eq!(parse_size("unlimited"), Ok(None));
        for text in ["", "1", "1m", "1M", "1K", "1KB", "-1B", "1.5KiB", "B", "1 KiB", "12345678901B"] {
            assert_eq!(parse_size(text), Err(SizeError), "{text:?}");
        }
    }

    #[test]
    fn sizes_are_shown_as_they_are_written() {
        for text in ["0B", "1000B", "1KiB", "1025B", "64KiB", "100MiB", "1025MiB", "2GiB"] {
            assert_eq!(parse_size(text).map(|bytes| bytes.map(format_size)), Ok(Some(text.to_owned())));
        }
    }

    #[test]
    fn rates_as_users_write_them() {
        let rate = |text: &str| parse_rate(text).map(|rate| (rate.count, rate.period.as_secs()));
        assert_eq!(rate("100/s"), Ok((100, 1)));
        assert_eq!(rate("600/m"), Ok((600, 60)));
        assert_eq!(rate("50/10s"), Ok((50, 10)));
        assert_eq!(rate("10000/d"), Ok((10000, 86400)));
        for text in ["", "100", "0/s", "1/0s", "1/1000s", "1/ms", "-1/s", "1.5/s", "1 /s", "/s", "1/", "01/s", "1/é"] {
            assert_eq!(parse_rate(text), Err(RateError), "{text:?}");
        }
    }

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
