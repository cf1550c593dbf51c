//! "Did you mean": the known name that a mistyped one is nearest to.
//!
//! Distance is the number of edits, where an edit is a letter added, left out, replaced, or swapped
//! with its neighbour. Two are allowed, as more turn any short word into any other; names of up to
//! three letters get one. Letter case, `_` and `-` cost nothing: `exact_path` is `exactPath`.

/// No more edits than this.
const MAX_EDITS: usize = 2;
/// Names up to this length get one edit: with two, `url` would be `use`.
const SHORT: usize = 3;

/// The name nearest to what is written, if one is within two edits; of equally near ones the first.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = fold(written);
    let allowed = if written.len() <= SHORT { 1 } else { MAX_EDITS };
    let mut best: Option<(usize, &'a str)> = None;
    for name in known {
        let folded = fold(name);
        let Some(edits) = edits(&written, &folded) else { continue };
        let is_other_word = edits >= written.len().min(folded.len()) && edits > 0;
        if edits <= allowed && !is_other_word && best.is_none_or(|(least, _)| edits < least) {
            best = Some((edits, name));
        }
    }
    best.map(|(_, name)| name)
}

fn fold(name: &str) -> Vec<char> {
    name.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase).collect()
}

/// Edits from one word to the other, none if more than [`MAX_EDITS`]. Only the band of the table that
/// can hold so few is computed, so the cost grows with the length and not with its square.
fn edits(a: &[char], b: &[char]) -> Option<usize> {
    if a.len().abs_diff(b.len()) > MAX_EDITS {
        return None;
    }
    let far = MAX_EDITS + 1;
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).map(|j| j.min(far)).collect();
    for (i, from) in a.iter().enumerate() {
        let mut row = vec![far; b.len() + 1];
        if let Some(first) = row.first_mut() {
            *first = (i + 1).min(far);
        }
        let band = i.saturating_sub(MAX_EDITS)..(i + MAX_EDITS + 1).min(b.len());
        for j in band {
            let to = b[j];
            let replaced = above[j] + usize::from(*from != to);
            let mut least = replaced.min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *from == b[j - 1] && a[i - 1] == to {
                least = least.min(before[j - 1] + 1);
            }
            row[j + 1] = least.min(far);
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().filter(|edits| *edits <= MAX_EDITS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FIELDS: [&str; 6] = ["path", "exactPath", "hosts", "backends", "url", "use"];

    #[test]
    fn mistyped_names_find_their_field() {
        for (written, meant) in [
            ("pathh", "path"),
            ("paht", "path"),
            ("Path", "path"),
            ("exact_path", "exactPath"),
            ("exact-pth", "exactPath"),
            ("host", "hosts"),
            ("uri", "url"),
        ] {
            assert_eq!(nearest(written, FIELDS), Some(meant), "{written}");
        }
    }

    #[test]
    fn other_words_find_nothing() {
        for written in ["prefix", "u", "", "uxy", "services", "p", &"x".repeat(100_000)] {
            assert_eq!(nearest(written, FIELDS), None, "{written:.20}");
        }
    }

    /// The whole table, as in textbooks.
    fn all_edits(a: &[char], b: &[char]) -> usize {
        let mut table = vec![vec![0; b.len() + 1]; a.len() + 1];
        for i in 0..=a.len() {
            for j in 0..=b.len() {
                table[i][j] = if i == 0 || j == 0 {
                    i + j
                } else {
                    let mut least = (table[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]))
                        .min(table[i - 1][j] + 1)
                        .min(table[i][j - 1] + 1);
                    if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                        least = least.min(table[i - 2][j - 2] + 1);
                    }
                    least
                };
            }
        }
        table[a.len()][b.len()]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]
        #[test]
        fn the_band_counts_like_the_whole_table(a in "[abc]{0,8}", b in "[abc]{0,8}") {
            let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
            let all = all_edits(&a, &b);
            prop_assert_eq!(edits(&a, &b), (all <= MAX_EDITS).then_some(all));
        }
    }
}
