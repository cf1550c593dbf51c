//! Does the client want to leave HTTP for another protocol on this connection, and may it?
//!
//! An upgrade turns a connection between two parties that both count requests into one that carries anything. If
//! one side believes in the upgrade and the other does not, what follows is smuggled past every rule. So the wish
//! counts only if it cannot be misread: `Connection` names `Upgrade`, one protocol is named and permitted, the
//! request is HTTP/1.1 and has no body. `h2c` is never passed on, whoever permits it: HTTP/2 inside would be
//! requests that nobody routed. Any other wish is not an error but simply not heard, as RFC 9110 (7.8) allows:
//! the headers are hop-by-hop, do not reach the server, and the request is an ordinary one.
//!
//! The server decides with 101. The client's side then gives its socket to [`super::tunnel`].

use http::request::Parts;
use http::{HeaderValue, Version, header};

use crate::config::traffic::Upgrades;

use super::refusal::Refusal;

/// The protocol that is asked of the server, in the client's spelling; none: an ordinary request.
///
/// # Errors
/// [`Refusal::BadUpgrade`] if the request wants a permitted upgrade and has a body: a server that upgrades at once
/// and one that reads the body first would disagree about where the new protocol begins.
pub fn requested<'a>(
    parts: &'a Parts,
    has_body: bool,
    permitted: &Upgrades,
) -> Result<Option<&'a HeaderValue>, Refusal> {
    let mut wishes = parts.headers.get_all(header::UPGRADE).iter();
    let Some(wish) = wishes.next() else { return Ok(None) };
    let protocol = wish.as_bytes();
    let is_permitted = !protocol.eq_ignore_ascii_case(b"h2c")
        && permitted.0.iter().any(|token| token.as_bytes().eq_ignore_ascii_case(protocol));
    if wishes.next().is_some() || !is_permitted || parts.version != Version::HTTP_11 || !names_upgrade(parts) {
        return Ok(None);
    }
    let announces_body = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING].iter().any(|name| {
        // An announced length of nothing is nothing.
        parts.headers.get(name).is_some_and(|value| value.as_bytes().iter().any(|byte| *byte != b'0'))
    });
    if has_body || announces_body { Err(Refusal::BadUpgrade) } else { Ok(Some(wish)) }
}

fn names_upgrade(parts: &Parts) -> bool {
    let values = parts.headers.get_all(header::CONNECTION).iter();
    values
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn wish(version: Version, headers: &[(&str, &str)], has_body: bool) -> Result<Option<String>, Refusal> {
        let mut builder = Request::builder().version(version);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let (parts, ()) = builder.body(()).expect("a request").into_parts();
        let found = requested(&parts, has_body, &Upgrades::default())?;
        Ok(found.map(|value| value.to_str().expect("text").to_owned()))
    }

    #[test]
    fn a_websocket_is_asked_for_by_both_headers() {
        let both = [("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")];
        assert_eq!(wish(Version::HTTP_11, &both, false), Ok(Some("WebSocket".to_owned())));
        assert_eq!(wish(Version::HTTP_11, &both[..1], false), Ok(None));
        assert_eq!(wish(Version::HTTP_11, &both[1..], false), Ok(None));
        assert_eq!(wish(Version::HTTP_10, &both, false), Ok(None));
    }

    #[test]
    fn h024_an_upgrade_with_a_body_is_refused() {
        let both = [("connection", "upgrade"), ("upgrade", "websocket")];
        assert_eq!(wish(Version::HTTP_11, &both, true), Err(Refusal::BadUpgrade));
        for announced in [("content-length", "5"), ("transfer-encoding", "chunked")] {
            assert_eq!(wish(Version::HTTP_11, &[both[0], both[1], announced], false), Err(Refusal::BadUpgrade));
        }
        let nothing = [both[0], both[1], ("content-length", "0")];
        assert_eq!(wish(Version::HTTP_11, &nothing, false), Ok(Some("websocket".to_owned())));
    }

    #[test]
    fn h025_h2c_and_what_nobody_permitted_are_not_heard() {
        for protocol in ["h2c", "H2C", "websocket, h2c", "tls/1.0", ""] {
            let headers = [("connection", "upgrade, http2-settings"), ("upgrade", protocol), ("content-length", "5")];
            assert_eq!(wish(Version::HTTP_11, &headers, true), Ok(None), "{protocol}");
        }
        let twice = [("connection", "upgrade"), ("upgrade", "websocket"), ("upgrade", "h2c")];
        assert_eq!(wish(Version::HTTP_11, &twice, false), Ok(None));
        let (parts, ()) = Request::builder()
            .header("connection", "upgrade")
            .header("upgrade", "h2c")
            .body(())
            .expect("a request")
            .into_parts();
        assert_eq!(requested(&parts, false, &Upgrades(vec!["h2c".to_owned()])), Ok(None));
    }
}
