//! The same decision, with reasons: for `sluice explain`.

use serde::Serialize;

use super::{Head, Table};

/// Why a request goes where it goes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// What was decided: `rule`, `no_route` or `no_host`.
    pub decision: &'static str,
    /// The rules of the host that decides, in the order of precedence.
    pub rules: Vec<Judged>,
}

/// One rule and what became of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Judged {
    /// The rule's name.
    pub name: String,
    /// Where it is written.
    pub at: String,
    /// Whether it answers.
    pub wins: bool,
    /// Why it does not: the first condition that fails, or the key at which it lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl<P> Table<P> {
    /// What [`Table::decide`] says about this head, and why.
    pub fn explain(&self, head: &Head<'_>) -> Explanation {
        let Some(table) = self.host_table(head.host) else {
            return Explanation { decision: "no_host", rules: Vec::new() };
        };
        let mut winner = None;
        let mut rules = Vec::new();
        for candidate in table.candidates() {
            let (wins, why) = match (candidate.check(head), winner) {
                (Err(mismatch), _) => (false, Some(mismatch.to_string())),
                (Ok(()), None) => {
                    winner = Some(candidate.precedence);
                    (true, None)
                }
                (Ok(()), Some(first)) => (false, Some(candidate.precedence.lost_at(&first).to_string())),
            };
            rules.push(Judged { name: candidate.rule.name.clone(), at: candidate.rule.at.clone(), wins, why });
        }
        Explanation { decision: if winner.is_some() { "rule" } else { "no_route" }, rules }
    }
}
