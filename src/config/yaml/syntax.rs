//! What is said about a text that is not YAML.
//!
//! The readers' own words are kept where they help. The mistakes everybody makes once get ours.

use granit_parser::{ErrorKind, ScanError};

use super::tree::place;
use crate::config::place::{Findings, Place};
use crate::config::problem::Slug;

const TABS: &str = "a tab cannot indent in YAML: use spaces";

/// Reports where the events end.
pub fn report(error: &ScanError, text: &str, findings: &mut Findings) {
    let mut at = place(error.marker());
    let (slug, message) = match error.kind() {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabAtBlockScalarStart
        | ErrorKind::TabInPlainScalar => {
            at = tab_from(at, text);
            (Slug::Syntax, TABS.to_owned())
        }
        ErrorKind::ExpectedBlockMappingKey | ErrorKind::ExpectedBlockSequenceEntry | ErrorKind::InvalidIndentation => {
            (Slug::Syntax, format!("not YAML: {}; is it indented as the lines above?", error.info()))
        }
        ErrorKind::MissingAnchorOrAliasName => {
            let message = "a value beginning with * or & is a YAML alias or anchor: write it in quotes, as \"*\"";
            (Slug::YamlStar, message.to_owned())
        }
        ErrorKind::RecursionLimitExceeded => (Slug::Syntax, too_deep(super::MAX_DEPTH)),
        ErrorKind::UnexpectedCharacter { character: character @ ('@' | '`' | '%') } => {
            (Slug::Syntax, format!("a value cannot begin with {character}: write it in quotes"))
        }
        _ => (Slug::Syntax, format!("not YAML: {}", error.info())),
    };
    findings.add(at, "", slug, message);
}

/// Reports what the second reader refuses although the first did not.
pub fn report_serde(error: &serde_yaml::Error, text: &str, findings: &mut Findings) {
    let at = error
        .location()
        .map_or(Place::START, |location| Place { line: location.line().max(1), column: location.column().max(1) });
    let line = text.lines().nth(at.line - 1).unwrap_or_default();
    let indent = line.len() - line.trim_start().len();
    let message = if line.get(..indent).is_some_and(|indent| indent.contains('\t')) {
        TABS.to_owned()
    } else {
        let whole = error.to_string();
        let reason = whole.split(" at line ").next().unwrap_or_default();
        format!("not YAML: {reason}")
    };
    findings.add(at, "", Slug::Syntax, message);
}

/// The first tab that indents at or below `at`, where a scanner that reads ahead may have begun.
fn tab_from(at: Place, text: &str) -> Place {
    let indented = text.lines().enumerate().skip(at.line - 1).find_map(|(index, line)| {
        let column = line.chars().take_while(|c| c.is_whitespace()).position(|c| c == '\t')?;
        Some(Place { line: index + 1, column: column + 1 })
    });
    indented.unwrap_or(at)
}

/// What is said about a text that nests deeper than is read.
pub fn too_deep(levels: usize) -> String {
    format!("lists and mappings may nest {levels} deep, not deeper")
}
