//! The place of what is being described, written out only where something is wrong: a hundred thousand rules
//! have millions of places and, on a good day, nothing to say about any.

use std::fmt;

/// A place, as a chain of steps from one that is written out.
#[derive(Clone, Copy, Debug)]
pub enum At<'a> {
    /// `routes[0]`
    Start(&'a str),
    /// `….timeouts`
    Field(&'a At<'a>, &'static str),
    /// `…[3]`
    Index(&'a At<'a>, usize),
    /// `….X-Version`, a name that users chose.
    Name(&'a At<'a>, &'a str),
}

impl<'a> At<'a> {
    /// A field of what stands here.
    pub fn field(&'a self, name: &'static str) -> At<'a> {
        At::Field(self, name)
    }

    /// An entry of the list that stands here.
    pub fn index(&'a self, index: usize) -> At<'a> {
        At::Index(self, index)
    }

    /// An entry of the map that stands here.
    pub fn name(&'a self, name: &'a str) -> At<'a> {
        At::Name(self, name)
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            At::Start(text) => f.write_str(text),
            At::Field(above, name) => write!(f, "{above}.{name}"),
            At::Index(above, index) => write!(f, "{above}[{index}]"),
            At::Name(above, name) => write!(f, "{above}.{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_read_like_javascript() {
        let start = At::Start("spec.routes[0]");
        let headers = start.field("requestHeaders");
        let set = headers.field("set");
        assert_eq!(set.name("X-A").to_string(), "spec.routes[0].requestHeaders.set.X-A");
        let limits = start.field("rateLimits");
        assert_eq!(limits.index(2).field("rate").to_string(), "spec.routes[0].rateLimits[2].rate");
    }
}
