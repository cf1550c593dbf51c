//! Another path or host for servers.
//!
//! **A prefix** is replaced by whole segments: of the path, what is left behind the matched prefix is put behind the
//! new one, with the one slash between them that it began with. Both are taken without a final slash, as in matching:
//!
//! | path | matched | new | becomes |
//! |---|---|---|---|
//! | `/foo/bar` | `/foo`, `/foo/` | `/xyz`, `/xyz/` | `/xyz/bar` |
//! | `/foo` | `/foo` | `/xyz` | `/xyz` |
//! | `/foo/` | `/foo` | `/xyz` | `/xyz/` |
//! | `/foo/bar` | `/foo` | `/` | `/bar` |
//! | `/foo`, `/foo/` | `/foo` | `/` | `/` |
//! | `/foo` | `/` | `/xyz` | `/xyz/foo` |
//! | `/` | `/` | `/xyz` | `/xyz/` |
//!
//! (That is the table of the Gateway API's ReplacePrefixMatch, and what follows from it for `/`.)
//!
//! **A path** is written anew, with groups of the rule's path pattern: `$1`, `${1}`, `${name}`; `$$` is a dollar; the
//! longest name counts, so `$1x` is the group `1x`. A group that took no part is empty. **A pattern** of its own does
//! the same where it matches the whole path, and nothing where it does not.
//!
//! What comes out has to be a path again: it begins with `/` (one, not two, which some would take for a host), has no
//! `?`, `#`, spaces, control characters or bytes beyond ASCII, at most [`MAX_PATH_BYTES`], and is brought into normal
//! form by the same rules as the client's, which the caller gives ([`Normalise`]): else `/files/$1` and a group
//! `../admin` would leave the directory. What is no path is an error and answered with 500; nothing of it is sent.

use std::borrow::Cow;

use crate::config::message::{HostRewrite, PathRewrite};
use crate::config::{PathMatch, Pattern};

/// 8 KiB: the longest target we take from clients, and servers take from us.
pub const MAX_PATH_BYTES: usize = 8 * 1024;

/// The router's normal form of a path; none if it has none.
pub type Normalise<'n> = &'n dyn Fn(&str) -> Option<String>;

/// Why there is no path to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RewriteError {
    /// A prefix is to be replaced, and the rule's path is none.
    #[error("the rule has no prefix to replace")]
    NoPrefix,
    /// The groups of a pattern are asked for that does not match.
    #[error("the path does not match the rule's pattern")]
    NoMatch,
    /// Something else than a path.
    #[error("the rewrite yields no valid path")]
    NoPath,
    /// Over [`MAX_PATH_BYTES`].
    #[error("the rewrite yields a path over 8 KiB")]
    TooLong,
}

/// The path for the server, given the client's in normal form and the match it came by.
///
/// # Errors
/// [`RewriteError`] if that is no path.
pub fn path<'p>(
    how: &PathRewrite,
    matched: &PathMatch,
    path: &'p str,
    normalise: Normalise<'_>,
) -> Result<Cow<'p, str>, RewriteError> {
    let text = match how {
        PathRewrite::Prefix(new) => replace_prefix(matched, path, new)?,
        PathRewrite::Path(template) => expand(template, matched, path)?,
        PathRewrite::Regex { pattern, replacement } => match put_in(replacement, pattern, path) {
            Some(text) => text,
            None => return Ok(Cow::Borrowed(path)),
        },
    };
    finish(&text, normalise).map(Cow::Owned)
}

/// The `Host` for the server, of the client's and the endpoint's.
pub fn host<'h>(how: Option<&'h HostRewrite>, of_client: &'h str, of_endpoint: &'h str) -> &'h str {
    match how {
        None => of_client,
        Some(HostRewrite::To(host)) => host,
        Some(HostRewrite::Backend) => of_endpoint,
    }
}

/// Path and query as they are sent.
pub fn target<'t>(path: Cow<'t, str>, query: Option<&str>) -> Cow<'t, str> {
    match query {
        None => path,
        Some(query) => Cow::Owned([&path, "?", query].concat()),
    }
}

pub(super) fn replace_prefix(matched: &PathMatch, path: &str, new: &str) -> Result<String, RewriteError> {
    let PathMatch::Prefix(prefix) = matched else { return Err(RewriteError::NoPrefix) };
    let rest = path.strip_prefix(prefix.trim_end_matches('/')).ok_or(RewriteError::NoPrefix)?;
    if !rest.is_empty() && !rest.starts_with('/') {
        return Err(RewriteError::NoPrefix);
    }
    let text = [new.trim_end_matches('/'), rest].concat();
    Ok(if text.is_empty() { "/".to_owned() } else { text })
}

/// A path written anew, with the groups of the rule's pattern if it has one.
pub(super) fn expand(template: &str, matched: &PathMatch, path: &str) -> Result<String, RewriteError> {
    match matched {
        PathMatch::Regex(pattern) => put_in(template, pattern, path).ok_or(RewriteError::NoMatch),
        // Groups were refused when it was described; a dollar is written the same with and without a pattern.
        PathMatch::Exact(_) | PathMatch::Prefix(_) => Ok(template.replace("$$", "$")),
    }
}

fn put_in(template: &str, pattern: &Pattern, path: &str) -> Option<String> {
    let groups = pattern.captures(path)?;
    let mut text = String::with_capacity(template.len() + path.len());
    groups.expand(template, &mut text);
    Some(text)
}

/// Makes sure that it is a path.
pub(super) fn finish(text: &str, normalise: Normalise<'_>) -> Result<String, RewriteError> {
    if text.len() > MAX_PATH_BYTES {
        return Err(RewriteError::TooLong);
    }
    let is_path = text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#'));
    if !is_path {
        return Err(RewriteError::NoPath);
    }
    let extra = text.bytes().take_while(|byte| *byte == b'/').count() - 1;
    let normal = normalise(text.get(extra..).unwrap_or("/")).ok_or(RewriteError::NoPath)?;
    // Also if slashes are kept: after a dot segment there may be two again.
    if normal.starts_with('/') && !normal.starts_with("//") { Ok(normal) } else { Err(RewriteError::NoPath) }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn normal(path: &str) -> Option<String> {
        crate::router::path::normalise(path, crate::config::listener::PathReading::default()).ok().map(Cow::into_owned)
    }

    fn prefix(path: &str) -> PathMatch {
        PathMatch::Prefix(path.to_owned())
    }

    fn pattern(text: &str) -> PathMatch {
        PathMatch::Regex(Pattern::parse(text).expect("it compiles"))
    }

    fn rewritten(how: &PathRewrite, matched: &PathMatch, given: &str) -> Result<String, RewriteError> {
        path(how, matched, given, &normal).map(Cow::into_owned)
    }

    #[test]
    fn a_prefix_is_replaced_with_one_slash_at_the_seam() {
        for (given, matched, new, wanted) in [
            ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
            ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo/", "/xyz/", "/xyz/bar"),
            ("/foo", "/foo", "/xyz", "/xyz"),
            ("/foo/", "/foo", "/xyz", "/xyz/"),
            ("/foo/bar", "/foo", "", "/bar"),
            ("/foo/", "/foo", "", "/"),
            ("/foo", "/foo", "", "/"),
            ("/foo/", "/foo", "/", "/"),
            ("/foo", "/foo", "/", "/"),
            ("/foo/bar", "/foo", "/", "/bar"),
            ("/foo", "/", "/xyz", "/xyz/foo"),
            ("/", "/", "/xyz", "/xyz/"),
            ("/", "/", "/", "/"),
            ("/foo/a%2Fb", "/foo", "/x", "/x/a%2Fb"),
        ] {
            let how = PathRewrite::Prefix(new.to_owned());
            assert_eq!(rewritten(&how, &prefix(matched), given).as_deref(), Ok(wanted), "{given} {matched} {new}");
        }
        let how = PathRewrite::Prefix("/x".to_owned());
        assert_eq!(rewritten(&how, &prefix("/foo"), "/foobar"), Err(RewriteError::NoPrefix));
        assert_eq!(rewritten(&how, &PathMatch::Exact("/foo".to_owned()), "/foo"), Err(RewriteError::NoPrefix));
    }

    #[test]
    fn a_path_is_written_with_groups() {
        let orders = pattern("/api/v([0-9]+)(?P<rest>/orders/.*)?");
        let whole = |template: &str, given: &str| rewritten(&PathRewrite::Path(template.to_owned()), &orders, given);
        assert_eq!(whole("$2", "/api/v1/orders/7").as_deref(), Ok("/orders/7"));
        assert_eq!(whole("/v/${1}x${rest}/$$1", "/api/v1/orders/7").as_deref(), Ok("/v/1x/orders/7/$1"));
        assert_eq!(whole("/v$1x", "/api/v1").as_deref(), Ok("/v"), "the group 1x is nowhere");
        assert_eq!(whole("$1", "/other"), Err(RewriteError::NoMatch));
        let plain = PathRewrite::Path("/home/$$".to_owned());
        assert_eq!(rewritten(&plain, &prefix("/"), "/x").as_deref(), Ok("/home/$"));
    }

    #[test]
    fn a_pattern_of_its_own_acts_where_it_matches_the_whole_path() {
        let pattern = Pattern::parse("/old/(.*)").expect("it compiles");
        let how = PathRewrite::Regex { pattern, replacement: "/new/$1".to_owned() };
        assert_eq!(rewritten(&how, &prefix("/"), "/old/a/b").as_deref(), Ok("/new/a/b"));
        assert_eq!(rewritten(&how, &prefix("/"), "/x/old/a").as_deref(), Ok("/x/old/a"));
    }

    #[test]
    fn h087_what_is_no_path_is_never_sent() {
        let all = pattern("/(.*)");
        for (template, given, error) in [
            ("$1", "/a", RewriteError::NoPath),
            ("$1", "/", RewriteError::NoPath),
            ("/$1\r\nX: y", "/a", RewriteError::NoPath),
            ("/$1 x", "/a", RewriteError::NoPath),
            ("/a?b=$1", "/a", RewriteError::NoPath),
            ("/a#$1", "/a", RewriteError::NoPath),
            ("/%0$1", "/0", RewriteError::NoPath),
            ("/%$1", "/a", RewriteError::NoPath),
            ("/a\\$1", "/a", RewriteError::NoPath),
            ("/\u{e9}", "/a", RewriteError::NoPath),
        ] {
            assert_eq!(rewritten(&PathRewrite::Path(template.to_owned()), &all, given), Err(error), "{template}");
        }
        let long = "/".to_owned() + &"a".repeat(MAX_PATH_BYTES / 2);
        let twice = PathRewrite::Path("/$1/$1".to_owned());
        assert_eq!(rewritten(&twice, &all, &long), Err(RewriteError::TooLong));
    }

    #[test]
    fn h085_a_group_cannot_climb_out_of_its_directory() {
        let all = pattern("/f/(.*)");
        let how = PathRewrite::Path("/files/.$1/admin".to_owned());
        assert_eq!(rewritten(&how, &all, "/f/.").as_deref(), Ok("/admin"), "in normal form before anybody sees it");
        let slashes = PathRewrite::Path("//$1".to_owned());
        assert_eq!(rewritten(&slashes, &all, "/f//evil.example").as_deref(), Ok("/evil.example"));
        let keeping = |path: &str| Some(path.to_owned());
        let kept = path(&slashes, &all, "/f//evil.example", &keeping);
        assert_eq!(kept.as_deref(), Ok("/evil.example"));
    }

    #[test]
    fn the_host_is_the_clients_unless_told_otherwise() {
        assert_eq!(host(None, "a:80", "b:81"), "a:80");
        assert_eq!(host(Some(&HostRewrite::To("c".to_owned())), "a:80", "b:81"), "c");
        assert_eq!(host(Some(&HostRewrite::Backend), "a:80", "b:81"), "b:81");
        assert_eq!(target("/a".into(), Some("b=1")), "/a?b=1");
        assert_eq!(target("/a".into(), None), "/a");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

        #[test]
        fn whatever_comes_out_is_a_path_in_normal_form(
            given in "/[a-c/.%25]{0,12}",
            template in "[/a$1{}.%25?# ]{0,12}",
            kind in 0..3,
        ) {
            let Some(given) = normal(&given) else { return Ok(()) };
            let (how, matched) = match kind {
                0 => (PathRewrite::Prefix(template), prefix("/")),
                1 => (PathRewrite::Path(template), pattern("/?(.*)")),
                _ => {
                    let pattern = Pattern::parse("/a(.*)").expect("it compiles");
                    (PathRewrite::Regex { pattern, replacement: template }, prefix("/"))
                }
            };
            if let Ok(path) = rewritten(&how, &matched, &given) {
                prop_assert!(path.starts_with('/') && !path.contains("//"));
                prop_assert!(path.bytes().all(|b| b.is_ascii_graphic() && b != b'?' && b != b'#'));
                prop_assert_eq!(normal(&path), Some(path));
            }
        }

        #[test]
        fn a_new_prefix_changes_nothing_behind_it(
            segments in proptest::collection::vec("[a-z]{1,3}", 0..5),
            matched in 0_usize..5,
            new in proptest::collection::vec("[a-z]{1,3}", 0..3),
            ends_with_slash in any::<bool>(),
        ) {
            // Model: lists of segments.
            let matched = matched.min(segments.len());
            let write = |segments: &[String]| format!("/{}", segments.join("/"));
            let given = write(&segments) + if ends_with_slash && !segments.is_empty() { "/" } else { "" };
            let how = PathRewrite::Prefix(write(&new));
            let got = rewritten(&how, &prefix(&write(&segments[..matched])), &given).expect("a path");
            let got: Vec<&str> = got.split('/').filter(|segment| !segment.is_empty()).collect();
            let wanted: Vec<&str> = new.iter().chain(&segments[matched..]).map(String::as_str).collect();
            prop_assert_eq!(got, wanted);
        }
    }
}
