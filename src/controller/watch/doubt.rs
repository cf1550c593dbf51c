//! When an empty list is believed.
//!
//! A list replaces what is known. One that suddenly says "there is nothing" is most often true after somebody
//! deleted the last object, and then watches have told it one by one before. It is almost never true right after
//! an error: an API server that comes back on a wiped store, a gateway in front of it that answers in its stead,
//! a cache that is not filled yet. Believing it at once would take every route off the network in one step.
//!
//! So an empty list is believed at once where nothing was known, and else only if [`ASKED`] lists in a row say
//! so, [`PAUSE`] apart. What is not empty is believed at once and ends the doubt. Cost: a mass deletion during an
//! outage is obeyed half a minute late; and where watches have told of every deletion, which is not counted here, an
//! empty list after an error is doubted for nothing, which delays the next object by [`PAUSE`] at most. Whether single objects vanish cannot be doubted in that way: that is what
//! lists are for.

use std::time::Duration;

/// As many empty lists in a row are believed.
const ASKED: u32 = 4;
/// Between two of them; together 30 s, longer than an API server takes to fill its caches.
const PAUSE: Duration = Duration::from_secs(10);

/// What to do with a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Belief {
    /// It is how things are.
    Believe,
    /// Ask again after this.
    AskAgain(Duration),
}

/// What was seen of one part of the cluster.
#[derive(Debug, Default)]
pub struct Doubt {
    /// Something has been seen since the last list that was believed and empty.
    has_known: bool,
    empty_in_a_row: u32,
}

impl Doubt {
    /// For a part of which something is known already.
    pub fn knowing(has_known: bool) -> Self {
        Self { has_known, empty_in_a_row: 0 }
    }

    /// A list of so many objects has come.
    pub fn judge(&mut self, count: usize) -> Belief {
        if count == 0 && self.has_known {
            self.empty_in_a_row += 1;
            if self.empty_in_a_row < ASKED {
                return Belief::AskAgain(PAUSE);
            }
        }
        self.has_known = count > 0;
        self.empty_in_a_row = 0;
        Belief::Believe
    }

    /// A watch has shown an object.
    pub fn seen(&mut self) {
        self.has_known = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_believed_where_nothing_was_known() {
        assert_eq!(Doubt::default().judge(0), Belief::Believe);
    }

    #[test]
    fn a_sudden_nothing_is_believed_when_it_stays() {
        let mut doubt = Doubt::default();
        doubt.judge(3);
        for _ in 1..ASKED {
            assert_eq!(doubt.judge(0), Belief::AskAgain(PAUSE));
        }
        assert_eq!(doubt.judge(0), Belief::Believe);
        assert_eq!(doubt.judge(0), Belief::Believe);
    }

    #[test]
    fn something_ends_the_doubt() {
        let mut doubt = Doubt::default();
        doubt.seen();
        assert_eq!(doubt.judge(0), Belief::AskAgain(PAUSE));
        assert_eq!(doubt.judge(2), Belief::Believe);
        assert_eq!(doubt.judge(0), Belief::AskAgain(PAUSE));
    }
}
