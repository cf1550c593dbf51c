//! The same decision, with reasons: for `sluice explain`.

use serde::Serialize;

use crate::config::Subject;

use super::conditions::Mismatch;
use super::precedence::Rank;
use super::seen::Seen;
use super::table::DecidedBy;
use super::{Head, Table};

/// Why a request goes where it goes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// What was decided: `rule`, `no_route` or `no_host`.
    pub decision: &'static str,
    /// Whose rules decide: a host, a wildcard, or `any host`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
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
        let Some((table, decided_by)) = self.host_table(head.host) else {
            return Explanation { decision: "no_host", decided_by: None, rules: Vec::new() };
        };
        let seen = Seen::new(*head);
        let winner = table.decide(&seen).map(super::Candidate::rank);
        let judge = |candidate: &super::Candidate<P>| {
            let rank = candidate.rank();
            let why = match (candidate.check(&seen), winner) {
                (Err(mismatch), _) => Some(tell(&mismatch, &seen)),
                (Ok(()), Some(winner)) if winner != rank => Some(tell_lost(&rank, &winner)),
                (Ok(()), _) => None,
            };
            let (name, at) = (candidate.rule.name.clone(), candidate.rule.at.clone());
            Judged { name, at, wins: winner == Some(rank), why }
        };
        Explanation {
            decision: if winner.is_some() { "rule" } else { "no_route" },
            decided_by: Some(match decided_by {
                DecidedBy::Exact(host) => host.to_owned(),
                DecidedBy::Wildcard(suffix) => format!("*.{suffix}"),
                DecidedBy::Any => "any host".to_owned(),
            }),
            rules: table.candidates().into_iter().map(judge).collect(),
        }
    }
}

fn tell_lost(rank: &Rank, winner: &Rank) -> String {
    format!("it matches too, but the winner has {}", rank.lost_at(winner))
}

/// A mismatch with what the request has instead.
fn tell(mismatch: &Mismatch<'_>, seen: &Seen<'_>) -> String {
    let found = match mismatch {
        // The request's path and method are what was asked about.
        Mismatch::Path(_) | Mismatch::Method(_) => return mismatch.to_string(),
        Mismatch::Header(header) => seen.texts(&Subject::Header(header.name.as_str().to_owned())),
        Mismatch::Query(query) => seen.texts(&Subject::Query(query.name.clone())),
        Mismatch::Cookie(cookie) => seen.texts(&Subject::Cookie(cookie.name.clone())),
        Mismatch::Values(subject, _) => seen.texts(subject),
        Mismatch::Client(_) => return format!("{mismatch} (it is {})", seen.head().client),
    };
    match found.as_slice() {
        [] => format!("{mismatch} (the request has none)"),
        values => {
            let values: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
            format!("{mismatch} (it is {})", values.join(" and "))
        }
    }
}
