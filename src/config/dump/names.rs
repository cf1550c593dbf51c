//! Names that are free, and no longer than a name may be.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Characters of a name in a file, by its schema.
const MAX_CHARS: usize = 253;
/// Characters of a longer one that are kept before what tells it from others.
const KEPT_CHARS: usize = 220;

/// Names of one list, each given once.
#[derive(Debug, Default)]
pub struct Names {
    taken: BTreeSet<String>,
}

impl Names {
    /// The name that is wanted, or one like it.
    pub fn free(&mut self, wanted: &str) -> String {
        let fitting = fit(wanted);
        let numbered = (2..).map(|number: u32| fit(&format!("{fitting}~{number}")));
        let found = std::iter::once(fitting.clone()).chain(numbered).find(|name| !self.taken.contains(name));
        let name = found.unwrap_or(fitting);
        self.taken.insert(name.clone());
        name
    }
}

/// A name that is too long keeps its beginning and gets a hash of all of it.
fn fit(name: &str) -> String {
    if name.is_empty() {
        return "unnamed".to_owned();
    }
    if name.chars().count() <= MAX_CHARS {
        return name.to_owned();
    }
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    let kept: String = name.chars().take(KEPT_CHARS).collect();
    format!("{kept}~{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_given_once_and_fits() {
        let mut names = Names::default();
        assert_eq!([names.free("a"), names.free("a"), names.free("a")], ["a", "a~2", "a~3"]);
        let long = "é".repeat(300);
        let (first, second) = (names.free(&long), names.free(&long));
        assert!(first != second && first.chars().count() <= MAX_CHARS && second.chars().count() <= MAX_CHARS);
        assert_eq!(names.free(""), "unnamed");
    }
}
