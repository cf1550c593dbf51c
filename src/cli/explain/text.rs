//! A report for people.

use std::fmt::Write as _;

use crate::router::explain::Judged;

use super::Report;
use super::servers::Share;
use super::steps::Step;

/// Rules that are shown; `-o json` shows all.
const MAX_RULES: usize = 20;
/// Names stand in a column of this width.
const NAME_WIDTH: usize = 20;

/// The whole text. Writing into a `String` cannot fail.
pub fn write(report: &Report) -> String {
    let query = report.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
    let mut out = format!(
        "{} {}{query} for host {:?}, from {}, on listener {}\n\n",
        report.method, report.path, report.host, report.client, report.listener
    );
    let winner = report.explanation.rules.iter().find(|rule| rule.wins);
    let _ = match (&report.refused, winner) {
        (Some(refused), Some(rule)) => writeln!(out, "Answer: {refused}\nby the rule {} ({})", rule.name, rule.at),
        (Some(refused), None) => writeln!(out, "Answer: {refused}"),
        (None, Some(rule)) => writeln!(out, "Answered by the rule {} ({})", rule.name, rule.at),
        (None, None) => Ok(()),
    };
    write_steps(&mut out, &report.steps);
    write_servers(&mut out, &report.backends);
    write_losers(&mut out, report);
    out
}

fn write_steps(out: &mut String, steps: &[Step]) {
    if !steps.is_empty() {
        out.push_str("\nWhat happens, in this order:\n");
    }
    for step in steps {
        let _ = writeln!(out, "  {:NAME_WIDTH$} {}", step.step, step.does);
    }
}

fn write_servers(out: &mut String, shares: &[Share]) {
    if !shares.is_empty() {
        out.push_str("\nWhere it goes:\n");
    }
    for share in shares {
        let _ = match shares.len() {
            1 => writeln!(out, "  {}, by {}", share.upstream, share.balancer),
            _ => writeln!(
                out,
                "  {}, by {}, gets weight {} ({} %)",
                share.upstream, share.balancer, share.weight, share.percent
            ),
        };
        for endpoint in &share.endpoints {
            let _ = writeln!(out, "    {endpoint}");
        }
        for step in share.steps.iter().chain(&share.settings) {
            let _ = writeln!(out, "    {:NAME_WIDTH$} {}", step.step, step.does);
        }
    }
}

fn write_losers(out: &mut String, report: &Report) {
    let losers = report.explanation.rules.iter().filter(|rule| !rule.wins).chain(&report.elsewhere);
    let losers: Vec<&Judged> = losers.collect();
    if losers.is_empty() {
        return;
    }
    let whose = report.explanation.decided_by.as_deref().unwrap_or("this host");
    let which = if report.explanation.decision == "rule" { "Why no other rule" } else { "Why no rule" };
    let _ = writeln!(out, "\n{which} of {whose} answers:");
    for rule in losers.iter().take(MAX_RULES) {
        let _ = writeln!(out, "  {} ({}): {}", rule.name, rule.at, rule.why.as_deref().unwrap_or_default());
    }
    if losers.len() > MAX_RULES {
        let _ = writeln!(out, "  and {} more; -o json shows all", losers.len() - MAX_RULES);
    }
}
