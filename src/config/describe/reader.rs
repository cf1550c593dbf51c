//! Single values as written become values of their type; what is wrong with one is noted at its place, and
//! then it is as if nothing were written.

use std::time::Duration;

use http::{Method, StatusCode};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::at::At;
use crate::config::attribute::{Attribute, AttributeError};
use crate::config::cidr::Cidr;
use crate::config::pattern::Pattern;
use crate::config::problem::{Problem, Slug};
use crate::config::route::MethodName;
use crate::config::status_set::StatusSet;
use crate::config::units::{parse_duration, parse_size};

/// Reads values and notes what is wrong.
pub struct Reader<'p> {
    /// All that was noted so far.
    pub problems: &'p mut Vec<Problem>,
}

impl Reader<'_> {
    /// Notes a problem.
    pub fn note(&mut self, at: At<'_>, slug: Slug, message: impl Into<String>) {
        self.problems.push(Problem::new(at.to_string(), slug, message));
    }

    /// Takes the value, or notes why there is none.
    pub fn take<T, E: ToString>(&mut self, read: Result<T, E>, at: At<'_>, slug: Slug) -> Option<T> {
        read.map_err(|error| self.note(at, slug, error.to_string())).ok()
    }

    pub fn duration(&mut self, text: Option<&String>, at: At<'_>) -> Option<Duration> {
        self.take(parse_duration(text?), at, Slug::DurationForm)
    }

    /// Bytes; the inner none means unlimited.
    pub fn size(&mut self, text: Option<&String>, at: At<'_>) -> Option<Option<u64>> {
        self.take(parse_size(text?), at, Slug::SizeForm)
    }

    /// A status from `least` to 599.
    pub fn status(&mut self, number: Option<i32>, least: u16, at: At<'_>) -> Option<StatusCode> {
        let number = number?;
        let status = u16::try_from(number).ok().filter(|number| (least..600).contains(number));
        let status = status.and_then(|number| StatusCode::from_u16(number).ok());
        let message = || format!("must be a status from {least} to 599, got {number}");
        self.take(status.ok_or_else(message), at, Slug::StatusForm)
    }

    pub fn statuses(&mut self, list: &[IntOrString], at: At<'_>) -> StatusSet {
        let mut set = StatusSet::default();
        for (index, entry) in list.iter().enumerate() {
            let added = match entry {
                IntOrString::Int(number) => set.add(&number.to_string()),
                IntOrString::String(text) => set.add(text),
            };
            self.take(added, at.index(index), Slug::StatusForm);
        }
        set
    }

    pub fn ranges(&mut self, list: &[String], at: At<'_>) -> Vec<Cidr> {
        let ranges = list.iter().enumerate();
        ranges.filter_map(|(index, text)| self.take(Cidr::parse(text), at.index(index), Slug::Cidr)).collect()
    }

    pub fn attributes(&mut self, list: &[String], at: At<'_>) -> Vec<Attribute> {
        let mut attributes = Vec::new();
        for (index, text) in list.iter().enumerate() {
            let read = Attribute::parse(text);
            let slug = match read {
                Err(AttributeError::Later(_)) => Slug::NotSupported,
                _ => Slug::AttributeForm,
            };
            attributes.extend(self.take(read, at.index(index), slug));
        }
        attributes
    }

    /// Sorted, each once.
    pub fn methods(&mut self, list: &[String], at: At<'_>) -> Vec<MethodName> {
        let mut methods = Vec::new();
        for (index, text) in list.iter().enumerate() {
            match Method::from_bytes(text.as_bytes()) {
                Ok(method) if !text.bytes().any(|b| b.is_ascii_lowercase()) => methods.push(MethodName(method)),
                _ => {
                    let message = format!("must be a method such as GET or POST, in capitals; got {text:?}");
                    self.note(at.index(index), Slug::HttpForm, message);
                }
            }
        }
        methods.sort();
        methods.dedup();
        methods
    }

    pub fn pattern(&mut self, text: &str, at: At<'_>) -> Option<Pattern> {
        self.take(Pattern::parse(text), at, Slug::Regex)
    }
}

/// A number whose bounds are the schema's; what an old schema let through is cut to them.
pub fn count(number: i32, least: u32, most: u32) -> u32 {
    u32::try_from(number).unwrap_or(0).clamp(least, most)
}
