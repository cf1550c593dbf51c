//! The forms of single values: backend URLs, host names, paths.

use super::Scope;
use crate::config::id::EndpointId;
use crate::config::problem::{Problem, Slug};
use crate::config::route::HostPattern;
use crate::config::upstream::{Endpoint, EndpointState};

/// Reads `http://host:port`.
///
/// # Errors
/// The problem, at the place `at`.
pub fn describe_url(text: &str, weight: u32, scope: &dyn Scope, at: &str) -> Result<Endpoint, Problem> {
    let form = |message: &str| Problem::new(at, Slug::UrlForm, message);
    let no_url = || form("must be a URL such as http://10.0.0.1:8080");
    let uri: http::Uri = text.parse().map_err(|_| no_url())?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => return Err(Problem::new(at, Slug::NotSupported, "https backends are not supported yet")),
        // `localhost:8080`, which everybody writes once.
        None if uri.authority().is_some() => return Err(form(&format!("must be a URL: write http://{text}"))),
        _ => return Err(no_url()),
    }
    let authority = uri.authority().ok_or_else(no_url)?;
    if authority.as_str().contains('@') {
        return Err(form("a backend URL has no user and no password"));
    }
    if !matches!(uri.path_and_query().map(http::uri::PathAndQuery::as_str), None | Some("" | "/")) {
        return Err(Problem::new(
            at,
            Slug::UrlPath,
            "a backend URL has no path: what clients ask for is sent on as it is",
        ));
    }
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    let has_port = authority.as_str().len() > uri.host().map_or(0, str::len);
    let port = match uri.port_u16() {
        Some(0) => return Err(Problem::new(at, Slug::PortForm, "a port is 1 to 65535")),
        Some(port) => port,
        None if has_port => return Err(Problem::new(at, Slug::PortForm, "a port is 1 to 65535")),
        None => 80,
    };
    if host.is_empty() {
        return Err(no_url());
    }
    scope.check_url_host(&host, at)?;
    let mut endpoint =
        Endpoint { id: EndpointId::new(""), host, port, weight, state: EndpointState::Active, zone: None };
    endpoint.id = EndpointId::new(endpoint.authority());
    Ok(endpoint)
}

/// Lower case letters, digits, hyphens, dots; at most one `*.` in front.
pub fn parse_host(text: &str) -> Option<HostPattern> {
    let (is_wildcard, name) = match text.strip_prefix("*.") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if text.len() > 253 || !name.split('.').all(is_label) {
        return None;
    }
    Some(if is_wildcard { HostPattern::Wildcard(name.to_owned()) } else { HostPattern::Exact(name.to_owned()) })
}

/// Whether a path is written the way it is matched; the same as the schema's rule, and plain ASCII.
pub fn is_path_form(path: &str) -> bool {
    path.starts_with('/')
        && path.len() <= 512
        && !["//", "/./", "/../", "?", "#", " ", "%2f", "%2F"].iter().any(|part| path.contains(part))
        && !path.ends_with("/.")
        && !path.ends_with("/..")
        && path.bytes().all(|b| b.is_ascii_graphic())
}

/// `/api/` is `/api`; `/` stays.
pub fn strip_final_slash(path: &str) -> String {
    let stripped = path.strip_suffix('/').unwrap_or(path);
    if stripped.is_empty() { "/".to_owned() } else { stripped.to_owned() }
}

/// The longest beginning, in whole segments, that is a path.
pub fn good_beginning(text: &str) -> String {
    let ends = text.match_indices('/').map(|(at, _)| at).chain([text.len()]).filter(|at| *at > 0);
    let good = ends.map(|end| &text[..end]).take_while(|part| is_path_form(part)).last();
    strip_final_slash(good.unwrap_or("/"))
}
