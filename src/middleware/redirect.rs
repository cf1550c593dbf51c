//! An answer that sends the client elsewhere: what stands in `Location`.
//!
//! It is built from parts that were checked, never from what the client wrote: the scheme it came by, the host in
//! normal form or the one configured, a path that begins with one slash (`//evil.example` in a `Location` is another
//! host to browsers, and so is `/\evil.example`), and the query. Everything in path and query that is not plain is
//! percent-encoded, so neither can begin a fragment or another header.
//!
//! **Port**: the one configured; else none if scheme or host change, as the client's port belongs to the old place;
//! else the client's. The usual one of the scheme is not written (80, 443).
//!
//! **Path** and **prefix** are as in a [rewrite](super::rewrite), and an error like there is answered with 500.
//!
//! A client that named no host (HTTP/1.0) gets the path alone, if scheme, host and port stay.

use http::HeaderValue;

use super::rewrite::{Normalise, RewriteError, expand, finish, replace_prefix};
use super::variable::Asked;
use crate::config::PathMatch;
use crate::config::message::{Redirect, RedirectPath};

/// Why there is no place to send the client to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedirectError {
    /// The new path.
    #[error(transparent)]
    Path(#[from] RewriteError),
    /// The client named no host, and none is configured.
    #[error("the request names no host to redirect to")]
    NoHost,
    /// Host or scheme have characters that no URL has.
    #[error("the redirect yields no valid URL")]
    NoUrl,
}

/// The value of `Location`.
///
/// # Errors
/// [`RedirectError`]
pub fn location(
    redirect: &Redirect,
    matched: &PathMatch,
    asked: &Asked<'_>,
    normalise: Normalise<'_>,
) -> Result<HeaderValue, RedirectError> {
    let path = match &redirect.path {
        None => finish(&encoded(asked.path, is_path_byte), normalise)?,
        Some(RedirectPath::Path(template)) => finish(&expand(template, matched, asked.path)?, normalise)?,
        Some(RedirectPath::Prefix(new)) => finish(&replace_prefix(matched, asked.path, new)?, normalise)?,
    };
    let mut url = origin(redirect, asked)?;
    url.push_str(&encoded(&path, is_path_byte));
    if let Some(query) = asked.query.filter(|_| redirect.keeps_query) {
        url.push('?');
        url.push_str(&encoded(query, is_query_byte));
    }
    let is_plain = url.bytes().all(|byte| byte.is_ascii_graphic());
    if is_plain { HeaderValue::try_from(url).map_err(|_| RedirectError::NoUrl) } else { Err(RedirectError::NoUrl) }
}

/// Scheme, host and port; empty if there is no host and it stays the same.
fn origin(redirect: &Redirect, asked: &Asked<'_>) -> Result<String, RedirectError> {
    let scheme = redirect.scheme.as_deref().unwrap_or(asked.scheme);
    let host = redirect.host.as_deref().unwrap_or(asked.host);
    let stays = scheme == asked.scheme && host == asked.host;
    if host.is_empty() {
        let is_same_place = stays && redirect.port.is_none();
        return if is_same_place { Ok(String::new()) } else { Err(RedirectError::NoHost) };
    }
    if !is_host(host) {
        return Err(RedirectError::NoUrl);
    }
    let usual = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return Err(RedirectError::NoUrl),
    };
    let port = redirect.port.or(asked.port.filter(|_| stays));
    Ok(match port {
        Some(port) if port != usual => format!("{scheme}://{host}:{port}"),
        _ => format!("{scheme}://{host}"),
    })
}

/// It was checked where it came in; here is where a mistake there would hurt.
fn is_host(host: &str) -> bool {
    host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'[' | b']' | b':'))
}

fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_graphic()
        && !matches!(byte, b'"' | b'#' | b'<' | b'>' | b'?' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}')
}

fn is_query_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'#' | b'<' | b'>' | b'\\')
}

/// What is not plain as `%41`. Escapes that are there stay.
fn encoded(text: &str, is_plain: fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if is_plain(byte) { out.push(char::from(byte)) } else { out.push_str(&format!("%{byte:02X}")) }
    }
    out
}

#[cfg(test)]
mod tests {
    use http::{StatusCode, Uri};
    use proptest::prelude::*;

    use super::*;
    use crate::config::Pattern;
    use crate::middleware::rewrite::tests::normal;

    const ASKED: Asked<'_> = Asked { scheme: "http", host: "a.example", port: None, path: "/x/y", query: Some("q=1") };

    fn same() -> Redirect {
        Redirect { scheme: None, host: None, port: None, path: None, keeps_query: true, status: StatusCode::FOUND }
    }

    fn to(redirect: &Redirect, asked: &Asked<'_>) -> Result<String, RedirectError> {
        let matched = PathMatch::Prefix("/x".to_owned());
        let value = location(redirect, &matched, asked, &normal)?;
        Ok(value.to_str().expect("plain").to_owned())
    }

    #[test]
    fn what_is_not_said_stays() {
        let https = Redirect { scheme: Some("https".to_owned()), ..same() };
        assert_eq!(to(&https, &ASKED).as_deref(), Ok("https://a.example/x/y?q=1"));
        let host = Redirect { host: Some("b.example".to_owned()), keeps_query: false, ..same() };
        assert_eq!(to(&host, &ASKED).as_deref(), Ok("http://b.example/x/y"));
        let prefix = Redirect { path: Some(RedirectPath::Prefix("/z".to_owned())), ..same() };
        assert_eq!(to(&prefix, &ASKED).as_deref(), Ok("http://a.example/z/y?q=1"));
        let path = Redirect { path: Some(RedirectPath::Path("/home".to_owned())), ..same() };
        assert_eq!(to(&path, &ASKED).as_deref(), Ok("http://a.example/home?q=1"));
    }

    #[test]
    fn the_port_follows_the_place() {
        let with = |port| Asked { port, ..ASKED };
        let (http, https) = (Some("http".to_owned()), Some("https".to_owned()));
        let host = Some("b.example".to_owned());
        for (redirect, asked, wanted) in [
            (same(), with(Some(8080)), "http://a.example:8080"),
            (same(), with(Some(80)), "http://a.example"),
            (same(), with(Some(443)), "http://a.example:443"),
            (Redirect { scheme: http, ..same() }, with(Some(8080)), "http://a.example:8080"),
            (Redirect { scheme: https.clone(), ..same() }, with(Some(8080)), "https://a.example"),
            (Redirect { host: host.clone(), ..same() }, with(Some(8080)), "http://b.example"),
            (Redirect { port: Some(9000), ..same() }, with(Some(8080)), "http://a.example:9000"),
            (Redirect { port: Some(80), ..same() }, with(Some(8080)), "http://a.example"),
            (Redirect { scheme: https.clone(), port: Some(443), ..same() }, with(None), "https://a.example"),
            (Redirect { scheme: https, host, port: Some(80), ..same() }, with(None), "https://b.example:80"),
        ] {
            assert_eq!(to(&redirect, &asked), Ok(format!("{wanted}/x/y?q=1")), "{redirect:?} {asked:?}");
        }
    }

    #[test]
    fn a_client_without_host_stays_where_it_is() {
        let asked = Asked { host: "", ..ASKED };
        assert_eq!(to(&same(), &asked).as_deref(), Ok("/x/y?q=1"));
        let https = Redirect { scheme: Some("https".to_owned()), ..same() };
        assert_eq!(to(&https, &asked), Err(RedirectError::NoHost));
        assert_eq!(to(&Redirect { port: Some(81), ..same() }, &asked), Err(RedirectError::NoHost));
    }

    #[test]
    fn h093_no_path_becomes_another_host() {
        let keeping = |path: &str| Some(path.to_owned());
        for (path, wanted) in [
            ("//evil.example/x", "/evil.example/x"),
            ("///evil.example", "/evil.example"),
            ("/\\evil.example", "/%5Cevil.example"),
            ("/@evil.example", "/@evil.example"),
            ("/a#b", "/a%23b"),
        ] {
            let asked = Asked { path, host: "", query: None, ..ASKED };
            let matched = PathMatch::Prefix("/".to_owned());
            let value = location(&same(), &matched, &asked, &keeping).expect("a path");
            assert_eq!(value, wanted, "{path}");
        }
        for host in ["a/b", "a@evil.example", "a?b", "a#b", "a\r\nb", "a\\b"] {
            assert_eq!(to(&same(), &Asked { host, ..ASKED }), Err(RedirectError::NoUrl), "{host}");
        }
        let script = Redirect { scheme: Some("javascript".to_owned()), ..same() };
        assert_eq!(to(&script, &ASKED), Err(RedirectError::NoUrl));
    }

    #[test]
    fn h040_the_query_cannot_end_the_header() {
        let asked = Asked { query: Some("a=\r\nSet-Cookie: x#f\u{e9}\\"), ..ASKED };
        let wanted = "http://a.example/x/y?a=%0D%0ASet-Cookie:%20x%23f%C3%A9%5C";
        assert_eq!(to(&same(), &asked).as_deref(), Ok(wanted));
    }

    #[test]
    fn h087_a_path_that_is_none_is_an_error() {
        let matched = PathMatch::Regex(Pattern::parse("/(.*)").expect("it compiles"));
        let redirect = Redirect { path: Some(RedirectPath::Path("$1".to_owned())), ..same() };
        let result = location(&redirect, &matched, &ASKED, &normal);
        assert_eq!(result, Err(RedirectError::Path(RewriteError::NoPath)));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

        #[test]
        fn a_location_is_a_url_of_the_expected_host(
            given in "/[a-z/.%25@:;\\\\\u{e9}]{0,12}",
            query in proptest::option::of("\\PC{0,8}"),
            template in proptest::option::of("/[a-z/$1@:.\\\\]{0,10}"),
            port in proptest::option::of(1_u16..),
            changes_host in any::<bool>(),
        ) {
            let Some(given) = normal(&given) else { return Ok(()) };
            let host = changes_host.then(|| "b.example".to_owned());
            let redirect = Redirect { host: host.clone(), path: template.map(RedirectPath::Path), ..same() };
            let asked = Asked { path: &given, query: query.as_deref(), port, ..ASKED };
            let matched = PathMatch::Regex(Pattern::parse("/(.*)").expect("it compiles"));
            if let Ok(value) = location(&redirect, &matched, &asked, &normal) {
                let uri: Uri = value.to_str().expect("plain").parse().expect("a URL");
                prop_assert_eq!(uri.host(), Some(if changes_host { "b.example" } else { "a.example" }));
                prop_assert_eq!(uri.scheme_str(), Some("http"));
                prop_assert!(uri.path().starts_with('/') && !uri.path().starts_with("//"));
                prop_assert_eq!(uri.query().is_some(), query.is_some());
                prop_assert!(!value.as_bytes().contains(&b'#') && !value.as_bytes().contains(&b'\\'));
            }
        }
    }
}
