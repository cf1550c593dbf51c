//! Statuses as users list them: `503`, `"5xx"`, `"500-504"`.

use http::StatusCode;

/// Some of the statuses 100 to 599.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct StatusSet {
    /// First and last, inclusive, in the order written.
    ranges: Vec<(u16, u16)>,
}

/// Why a text is no status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a status such as 503, a class such as \"5xx\" or a range such as \"500-504\", within 100 to 599")]
pub struct StatusError;

impl StatusSet {
    /// A set of single statuses or ranges, both ends included.
    pub fn of(ranges: &[(u16, u16)]) -> Self {
        Self { ranges: ranges.to_vec() }
    }

    /// Adds a status, a class or a range.
    ///
    /// # Errors
    /// [`StatusError`]
    pub fn add(&mut self, text: &str) -> Result<(), StatusError> {
        let range = match text.split_once('-') {
            Some((first, last)) => (status(first)?, status(last)?),
            None => match text.strip_suffix("xx") {
                Some(class) => {
                    let class = status(&format!("{class}00"))?;
                    (class, class + 99)
                }
                None => (status(text)?, status(text)?),
            },
        };
        if range.0 > range.1 {
            return Err(StatusError);
        }
        self.ranges.push(range);
        Ok(())
    }

    /// Whether this status is in it.
    pub fn contains(&self, status: StatusCode) -> bool {
        self.ranges.iter().any(|(first, last)| (*first..=*last).contains(&status.as_u16()))
    }

    /// First and last of each range, both in it, in the order written.
    pub fn ranges(&self) -> &[(u16, u16)] {
        &self.ranges
    }

    /// Whether no status is in it.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}

fn status(text: &str) -> Result<u16, StatusError> {
    let is_number = text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit());
    let status: u16 = if is_number { text.parse().map_err(|_| StatusError)? } else { return Err(StatusError) };
    if (100..600).contains(&status) { Ok(status) } else { Err(StatusError) }
}

impl serde::Serialize for StatusSet {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text =
            |(first, last): &(u16, u16)| if first == last { first.to_string() } else { format!("{first}-{last}") };
        serializer.collect_seq(self.ranges.iter().map(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_classes_and_ranges() {
        let mut set = StatusSet::default();
        assert!(set.is_empty());
        for text in ["404", "5xx", "200-204"] {
            assert_eq!(set.add(text), Ok(()));
        }
        let contains = |status: u16| set.contains(StatusCode::from_u16(status).expect("a status"));
        assert!(contains(404) && contains(500) && contains(599) && contains(204));
        assert!(!contains(405) && !contains(205) && !contains(499));
        for text in ["", "5x", "xx", "99", "600", "6xx", "504-500", "-500", "500-", "5 03", "+50", "50x"] {
            assert_eq!(set.add(text), Err(StatusError), "{text:?}");
        }
    }
}
