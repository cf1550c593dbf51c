//! A request head as conditions look at it: what has to be read out of it is read once, and only if asked for.
//!
//! Most rules look at path and method alone, and then nothing is read and nothing allocated. The first rule that
//! asks for a query parameter or a cookie has all of them read and sorted by name; every further rule looks up.
//! So the work is linear in the head (`n log n` for sorting), however many rules ask.

use std::borrow::Cow;
use std::cell::OnceCell;

use http::header::{self, AsHeaderName};
use http::{HeaderName, HeaderValue};

use crate::config::Subject;

use super::Head;
use super::cookie::cookies;
use super::query::{Pair, parameters};

/// A value in a head: bytes, which need not be UTF-8.
pub type HeadValue<'a> = &'a [u8];

/// A head with what was read out of it.
#[derive(Debug)]
pub struct Seen<'a> {
    head: Head<'a>,
    query: OnceCell<Vec<Pair<'a>>>,
    cookies: OnceCell<Vec<Pair<'a>>>,
}

impl<'a> Seen<'a> {
    /// Nothing is read yet.
    pub fn new(head: Head<'a>) -> Self {
        Self { head, query: OnceCell::new(), cookies: OnceCell::new() }
    }

    /// The head itself.
    pub fn head(&self) -> &Head<'a> {
        &self.head
    }

    /// The values of a header: each line as received, also one that holds a list. `Host` is the normalised host.
    pub fn header(&self, name: &HeaderName) -> impl Iterator<Item = HeadValue<'a>> {
        self.lines(*name == header::HOST, name)
    }

    /// The same by a name in lower case.
    pub fn header_of_name(&self, name: &str) -> impl Iterator<Item = HeadValue<'a>> {
        self.lines(name == header::HOST, name)
    }

    fn lines<N: AsHeaderName>(&self, is_host: bool, name: N) -> impl Iterator<Item = HeadValue<'a>> + use<'a, N> {
        let host = is_host.then_some(self.head.host.as_bytes());
        let lines = (!is_host).then(|| self.head.headers.get_all(name));
        host.into_iter().chain(lines.into_iter().flatten().map(HeaderValue::as_bytes))
    }

    /// The values of a query parameter, decoded, in the order written.
    pub fn query(&self, name: &str) -> impl Iterator<Item = HeadValue<'_>> {
        named(self.query.get_or_init(|| sorted(parameters(self.head.query.unwrap_or_default()))), name)
    }

    /// The values of a cookie in the order received.
    pub fn cookie(&self, name: &str) -> impl Iterator<Item = HeadValue<'_>> {
        let pairs = || cookies(self.head.headers).map(|(name, value)| (Cow::Borrowed(name), Cow::Borrowed(value)));
        named(self.cookies.get_or_init(|| sorted(pairs())), name)
    }

    /// All values of something, as text for people.
    pub fn texts(&self, subject: &Subject) -> Vec<String> {
        let text = |value: HeadValue<'_>| String::from_utf8_lossy(value).into_owned();
        match subject {
            Subject::Header(name) => self.header_of_name(name).map(text).collect(),
            Subject::Query(name) => self.query(name).map(text).collect(),
            Subject::Cookie(name) => self.cookie(name).map(text).collect(),
        }
    }
}

/// By name; pairs of one name keep their order.
fn sorted<'a>(pairs: impl Iterator<Item = Pair<'a>>) -> Vec<Pair<'a>> {
    let mut pairs: Vec<Pair<'a>> = pairs.collect();
    pairs.sort_by(|(left, _), (right, _)| left.cmp(right));
    pairs
}

fn named<'s>(sorted: &'s [Pair<'_>], name: &str) -> impl Iterator<Item = HeadValue<'s>> {
    let first = sorted.partition_point(|(known, _)| **known < *name.as_bytes());
    let has_name = move |pair: &&Pair<'_>| *pair.0 == *name.as_bytes();
    sorted[first..].iter().take_while(has_name).map(|(_, value)| &**value)
}
