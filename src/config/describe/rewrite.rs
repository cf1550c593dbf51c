//! Another path or host, for servers and in redirects, and the groups of patterns in them.
//!
//! In a path to write, `$1`, `${1}` and `${name}` are groups, `$$` is a dollar, and the longest name that can be read
//! counts: `$1x` is the group `1x`. A `$` before anything else is itself. That is how the regex crate reads it, which
//! puts the groups in.

use super::at::At;
use super::form::{is_path_form, parse_host, strip_final_slash};
use super::reader::Reader;
use crate::config::message::{HostRewrite, PathRewrite, Rewrite};
use crate::config::pattern::Pattern;
use crate::config::problem::Slug;
use crate::config::route::HostPattern;
use crate::config::schema::{ONE_HOST_MESSAGE, PATH_MESSAGE, PATH_TEMPLATE_MESSAGE};
use crate::config::spec::{HostFromSpec, RewriteSpec};

impl Reader<'_> {
    /// None: nothing is rewritten. Groups of the rule's own pattern are checked where the rule is known.
    pub(super) fn rewrite(&mut self, spec: &RewriteSpec, at: At<'_>) -> Option<Rewrite> {
        let kinds = [spec.prefix.is_some(), spec.path.is_some(), spec.regex.is_some()];
        if kinds.into_iter().filter(|is_set| *is_set).count() > 1 {
            self.note(at, Slug::RewriteOne, "set only one of prefix, path, regex");
        }
        if spec.regex.is_some() != spec.replacement.is_some() {
            self.note(at, Slug::RewriteOne, "regex and replacement go together");
        }
        if spec.host.is_some() && spec.host_from.is_some() {
            self.note(at, Slug::HostOne, "set only one of host, hostFrom");
        }
        let prefix = spec.prefix.as_ref().and_then(|text| self.prefix(text, at.field("prefix")));
        let path = spec.path.as_ref().and_then(|text| self.path_template(text, at.field("path")));
        let regex = match (&spec.regex, &spec.replacement) {
            (Some(regex), Some(replacement)) => self.replacement(regex, replacement, at),
            _ => None,
        };
        let path = prefix.map(PathRewrite::Prefix).or_else(|| path.map(PathRewrite::Path)).or(regex);
        let to = spec.host.as_ref().and_then(|text| self.host(text, at.field("host"))).map(HostRewrite::To);
        let host = match spec.host_from {
            Some(HostFromSpec::Backend) => Some(HostRewrite::Backend),
            Some(HostFromSpec::Client) | None => to,
        };
        (path.is_some() || host.is_some()).then_some(Rewrite { path, host })
    }

    fn replacement(&mut self, regex: &str, replacement: &str, at: At<'_>) -> Option<PathRewrite> {
        let pattern = self.pattern(regex, at.field("regex"));
        let place = at.field("replacement");
        let replacement = self.path_template(replacement, place)?;
        let pattern = pattern?;
        self.check_groups(&replacement, Some(&pattern), place);
        Some(PathRewrite::Regex { pattern, replacement })
    }

    /// A prefix to write instead of another.
    pub(super) fn prefix(&mut self, text: &str, at: At<'_>) -> Option<String> {
        let read = if is_path_form(text) { Ok(strip_final_slash(text)) } else { Err(PATH_MESSAGE) };
        self.take(read, at, Slug::PathForm)
    }

    /// A path to write, perhaps with groups.
    pub(super) fn path_template(&mut self, text: &str, at: At<'_>) -> Option<String> {
        let is_path = text.starts_with(['/', '$'])
            && text.len() <= 512
            && text.bytes().all(|b| b.is_ascii_graphic() && b != b'?' && b != b'#');
        self.take(is_path.then(|| text.to_owned()).ok_or(PATH_TEMPLATE_MESSAGE), at, Slug::PathForm)
    }

    pub(super) fn host(&mut self, text: &str, at: At<'_>) -> Option<String> {
        let read = match parse_host(text) {
            Some(HostPattern::Exact(host)) => Ok(host),
            _ => Err(ONE_HOST_MESSAGE),
        };
        self.take(read, at, Slug::HostForm)
    }

    /// Whether the pattern has all groups that are named.
    pub(super) fn check_groups(&mut self, template: &str, pattern: Option<&Pattern>, at: At<'_>) {
        for group in groups(template) {
            let shown =
                if group.bytes().all(|b| b.is_ascii_digit()) { format!("${group}") } else { format!("${{{group}}}") };
            let message = match (pattern, group.parse::<usize>()) {
                (None, _) => format!("{shown}: there is no pathRegex that it could be a group of"),
                (Some(pattern), Ok(number)) if number <= pattern.groups() => continue,
                (Some(pattern), Ok(_)) => match pattern.groups() {
                    0 => format!("{shown}: the pattern has no groups"),
                    1 => format!("{shown}: the pattern has 1 group"),
                    groups => format!("{shown}: the pattern has {groups} groups"),
                },
                (Some(pattern), Err(_)) if pattern.has_group(group) => continue,
                (Some(_), Err(_)) => format!("{shown}: the pattern has no group of that name"),
            };
            self.note(at, Slug::Capture, message);
        }
    }
}

/// The groups that a template names, by number or name.
fn groups(template: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = template;
    while let Some((_, after)) = rest.split_once('$') {
        if let Some(after) = after.strip_prefix('$') {
            rest = after;
            continue;
        }
        let (group, tail) = match after.strip_prefix('{') {
            Some(inside) => inside.split_once('}').unwrap_or((inside, "")),
            None => {
                let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
                after.split_at(after.find(|c| !is_name(c)).unwrap_or(after.len()))
            }
        };
        if !group.is_empty() {
            found.push(group);
        }
        rest = tail;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_read_as_they_are_put_in() {
        assert_eq!(groups("/a/$1/${id}/$$2/$x_1/$/"), ["1", "id", "x_1"]);
        assert_eq!(groups("$1x${2"), ["1x", "2"]);
        assert_eq!(groups("/a"), Vec::<&str>::new());
    }
}
