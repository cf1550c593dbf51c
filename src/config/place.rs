//! Where in a text something stands, and what was found wrong there.
//!
//! Lines and columns count from 1, columns in characters, as editors show them. [`Findings`] is
//! bounded: a file of a million mistakes is explained by its first thousand.

use super::problem::{Problem, Slug};

/// More than anybody reads at once, little enough to hold and to print.
pub const MAX_FINDINGS: usize = 1000;

/// A place in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

impl Place {
    /// Where a text begins.
    pub const START: Self = Self { line: 1, column: 1 };
}

/// A problem with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Where it is seen.
    pub at: Place,
    /// What it is.
    pub problem: Problem,
}

/// What was found wrong in one text so far.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    list: Vec<Placed>,
}

impl Findings {
    /// Takes one up, unless there are [`MAX_FINDINGS`] already.
    pub fn add(&mut self, at: Place, path: impl Into<String>, slug: Slug, message: impl Into<String>) {
        if self.list.len() < MAX_FINDINGS {
            self.list.push(Placed { at, problem: Problem::new(path, slug, message) });
        }
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// What was found, in the order it was found.
    pub fn as_slice(&self) -> &[Placed] {
        &self.list
    }

    /// What was found, in the order it was found.
    pub fn into_vec(self) -> Vec<Placed> {
        self.list
    }
}
