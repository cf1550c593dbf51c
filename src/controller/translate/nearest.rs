//! "Did you mean": the known name that is nearest to a mistyped one.

/// More edits than this and it is another name, not a slip.
const MAX_EDITS: usize = 2;

/// The nearest of `known` within two edits; of equally near ones the first.
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = known.into_iter().filter(|name| name.len().abs_diff(wrong.len()) <= MAX_EDITS);
    let measured = near.map(|name| (edits(wrong, name), name));
    // A name of one or two letters is within two edits of any other.
    let few = measured.filter(|(edits, name)| *edits <= MAX_EDITS && *edits < name.len());
    few.min_by_key(|(edits, _)| *edits).map(|(_, name)| name)
}

/// Insertions, deletions, replacements and swaps of neighbours that lead from one text to the other.
fn edits(left: &str, right: &str) -> usize {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for row in 1..=left.len() {
        let mut next = vec![row];
        for column in 1..=right.len() {
            let differs = usize::from(left[row - 1] != right[column - 1]);
            let mut best = (last[column] + 1).min(next[column - 1] + 1).min(last[column - 1] + differs);
            let is_swap =
                row > 1 && column > 1 && left[row - 1] == right[column - 2] && left[row - 2] == right[column - 1];
            if is_swap {
                best = best.min(before[column - 2] + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut last, next);
    }
    last[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised() {
        let known = ["orders", "users", "web"];
        assert_eq!(nearest("usres", known), Some("users"));
        assert_eq!(nearest("user", known), Some("users"));
        assert_eq!(nearest("weeb", known), Some("web"));
    }

    #[test]
    fn other_names_are_not() {
        assert_eq!(nearest("payments", ["orders", "users"]), None);
        assert_eq!(nearest("xy", ["ab"]), None);
        assert_eq!(nearest("x", []), None);
    }
}
