//! Reading single values of a block: durations, sizes, counts, statuses, ranges of addresses.
//!
//! A [`Block`] knows where it stands and where problems go, so that reading a field is one line. What is
//! not written changes nothing; what is wrong is a problem and changes nothing either, so every value
//! keeps the default it had. Bounds on numbers stand in the schema, too: an API server with an older one lets
//! other numbers through, and engines count on theirs.

use std::ops::RangeInclusive;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::config::cidr::Cidr;
use crate::config::problem::{Problem, Slug};
use crate::config::status_set::StatusSet;
use crate::config::units::{format_size, parse_duration, parse_size};

/// A block of settings that is being read.
#[derive(Debug)]
pub struct Block<'p> {
    at: String,
    problems: &'p mut Vec<Problem>,
}

impl<'p> Block<'p> {
    /// The block written at a place.
    pub fn new(at: impl Into<String>, problems: &'p mut Vec<Problem>) -> Self {
        Self { at: at.into(), problems }
    }

    /// A block inside this one.
    pub fn below(&mut self, name: &str) -> Block<'_> {
        Block { at: format!("{}.{name}", self.at), problems: self.problems }
    }

    /// Something is wrong with a field.
    pub fn problem(&mut self, name: &str, slug: Slug, message: impl Into<String>) {
        self.problems.push(Problem::new(format!("{}.{name}", self.at), slug, message));
    }

    /// Something is wrong with the block.
    pub fn own_problem(&mut self, slug: Slug, message: impl Into<String>) {
        self.problems.push(Problem::new(self.at.as_str(), slug, message));
    }

    /// A duration of any length.
    pub fn duration(&mut self, name: &str, text: Option<&str>, value: &mut Duration) {
        if let Some(duration) = self.parse_duration(name, text) {
            *value = duration;
        }
    }

    /// A duration within bounds; whether one was taken over.
    pub fn duration_within(
        &mut self,
        name: &str,
        text: Option<&str>,
        bounds: &RangeInclusive<Duration>,
        value: &mut Duration,
    ) -> bool {
        let Some(duration) = self.parse_duration(name, text) else { return false };
        if !bounds.contains(&duration) {
            let shown = |bound: &Duration| show_duration(*bound);
            let message = format!(
                "must be {} to {}, got {}",
                shown(bounds.start()),
                shown(bounds.end()),
                text.unwrap_or_default()
            );
            self.problem(name, Slug::OutOfBounds, message);
            return false;
        }
        *value = duration;
        true
    }

    fn parse_duration(&mut self, name: &str, text: Option<&str>) -> Option<Duration> {
        match parse_duration(text?) {
            Ok(duration) => Some(duration),
            Err(error) => {
                self.problem(name, Slug::DurationForm, error.to_string());
                None
            }
        }
    }

    /// Bytes; the inner none: unlimited.
    pub fn size(&mut self, name: &str, text: Option<&str>) -> Option<Option<u64>> {
        match parse_size(text?) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                self.problem(name, Slug::SizeForm, error.to_string());
                None
            }
        }
    }

    /// Bytes within bounds, so never unlimited.
    pub fn size_within(&mut self, name: &str, text: Option<&str>, bounds: &RangeInclusive<u64>, value: &mut usize) {
        let Some(bytes) = self.size(name, text) else { return };
        match bytes.filter(|bytes| bounds.contains(bytes)).and_then(|bytes| usize::try_from(bytes).ok()) {
            Some(bytes) => *value = bytes,
            None => {
                let (least, most) = (format_size(*bounds.start()), format_size(*bounds.end()));
                let message = format!("must be {least} to {most}, got {}", text.unwrap_or_default());
                self.problem(name, Slug::OutOfBounds, message);
            }
        }
    }

    /// A whole number within bounds.
    pub fn count<T: TryFrom<i32>>(
        &mut self,
        name: &str,
        number: Option<i32>,
        bounds: &RangeInclusive<i32>,
        value: &mut T,
    ) {
        let Some(number) = number else { return };
        match T::try_from(number).ok().filter(|_| bounds.contains(&number)) {
            Some(number) => *value = number,
            None => {
                let message = format!("must be {} to {}, got {number}", bounds.start(), bounds.end());
                self.problem(name, Slug::OutOfBounds, message);
            }
        }
    }

    /// A bound that is not there if it is not written.
    pub fn bound(&mut self, name: &str, number: Option<i32>, bounds: &RangeInclusive<i32>, value: &mut Option<u32>) {
        let mut bound = 0;
        self.count(name, number, bounds, &mut bound);
        if bound > 0 {
            *value = Some(bound);
        }
    }

    /// Statuses; an empty list is none.
    pub fn statuses(&mut self, name: &str, list: Option<&[IntOrString]>, value: &mut StatusSet) {
        let Some(list) = list else { return };
        let mut statuses = StatusSet::default();
        let before = self.problems.len();
        for (index, entry) in list.iter().enumerate() {
            let text = match entry {
                IntOrString::Int(number) => number.to_string(),
                IntOrString::String(text) => text.clone(),
            };
            if let Err(error) = statuses.add(&text) {
                self.problem(&format!("{name}[{index}]"), Slug::StatusForm, error.to_string());
            }
        }
        if self.problems.len() == before {
            *value = statuses;
        }
    }

    /// Ranges of addresses.
    pub fn cidrs(&mut self, name: &str, list: Option<&[String]>, value: &mut Vec<Cidr>) {
        let Some(list) = list else { return };
        let mut ranges = Vec::new();
        let before = self.problems.len();
        for (index, text) in list.iter().enumerate() {
            match Cidr::parse(text) {
                Ok(range) => ranges.push(range),
                Err(error) => self.problem(&format!("{name}[{index}]"), Slug::Cidr, error.to_string()),
            }
        }
        if self.problems.len() == before {
            *value = ranges;
        }
    }
}

/// `1h`, `1m30s`, `100ms`: as users write it.
fn show_duration(duration: Duration) -> String {
    let (seconds, millis) = (duration.as_secs(), duration.subsec_millis());
    let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s"), (u64::from(millis), "ms")];
    let text: String =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count}{unit}")).collect();
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_shown_as_they_are_written() {
        for (millis, text) in [(0, "0s"), (100, "100ms"), (90_000, "1m30s"), (3_600_000, "1h"), (3_600_001, "1h1ms")] {
            assert_eq!(show_duration(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn what_is_wrong_is_a_problem_and_changes_nothing() {
        let mut problems = Vec::new();
        let mut block = Block::new("at", &mut problems);
        let (mut time, mut bytes, mut count) = (Duration::from_secs(7), 7_usize, 7_u32);
        let short = Duration::ZERO..=Duration::from_secs(9);
        block.duration("a", Some("soon"), &mut time);
        assert!(!block.duration_within("b", Some("10s"), &short, &mut time));
        block.size_within("c", Some("unlimited"), &(1..=1024), &mut bytes);
        block.size_within("d", Some("1M"), &(1..=1024), &mut bytes);
        block.count("e", Some(-1), &(0..=9), &mut count);
        block.count("f", None, &(0..=9), &mut count);
        assert_eq!((time, bytes, count), (Duration::from_secs(7), 7, 7));
        let found: Vec<String> =
            problems.iter().map(|problem| format!("{} {}", problem.slug.as_str(), problem)).collect();
        assert_eq!(found.len(), 5, "{found:?}");
        assert_eq!(found[1], "out-of-bounds at.b: must be 0s to 9s, got 10s");
        assert_eq!(found[2], "out-of-bounds at.c: must be 1B to 1KiB, got unlimited");
        assert_eq!(found[4], "out-of-bounds at.e: must be 0 to 9, got -1");
    }

    #[test]
    fn an_empty_list_is_none_and_an_absent_one_changes_nothing() {
        let mut problems = Vec::new();
        let mut block = Block::new("at", &mut problems);
        let before = StatusSet::of(&[(500, 599)]);
        let mut statuses = before.clone();
        block.statuses("statuses", None, &mut statuses);
        assert_eq!(statuses, before);
        block.statuses("statuses", Some(&[]), &mut statuses);
        assert!(statuses.is_empty());
        block.statuses(
            "statuses",
            Some(&[IntOrString::Int(404), IntOrString::String("6xx".to_owned())]),
            &mut statuses,
        );
        assert!(statuses.is_empty(), "half of a list is not what was meant");
        assert_eq!(problems.len(), 1);
    }
}
