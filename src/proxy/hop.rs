//! Headers that belong to one connection, and headers that tell who the client is.
//!
//! A client can name any header in `Connection` and so have it removed, or send a header that servers take
//! for our word. So, in this order: the client's hop-by-hop headers go, judged by the client's own message;
//! what only we may say goes, in every spelling that servers fold together (`X_Forwarded_For`); then ours
//! are written. Names that servers rely on cannot be removed by naming them in `Connection`.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::middleware::edit::Edits;
use crate::observe::trace::TRACEPARENT;
use crate::upstream::http1::encode::HeadWriter;

use super::seen::Seen;

/// `X-Request-Id`
pub static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Never sent on, whatever `Connection` says. `Expect` was met by us, lengths are written anew.
const HOP_BY_HOP: [HeaderName; 12] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::EXPECT,
    header::CONTENT_LENGTH,
    header::HOST,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("http2-settings"),
];

/// What only we say to servers.
const OURS: [&str; 8] = [
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-server",
    "x-real-ip",
    "x-request-id",
    "forwarded",
];

/// Prefixes of headers that other gateways write and servers believe.
const OURS_BY_PREFIX: [&str; 3] = ["x-forwarded-", "x-envoy-", "x-client-cert-"];

/// Servers rely on these: naming one in `Connection` does not remove it.
pub(super) const PROTECTED: [HeaderName; 4] =
    [header::AUTHORIZATION, header::COOKIE, header::CONTENT_TYPE, header::CONTENT_ENCODING];

/// Writes the client's headers that are sent on. `word` is the header that names clients at this listener, if it is
/// none of ours: it goes, in every spelling, unless somebody trusted wrote it.
pub fn write_end_to_end(
    headers: &HeaderMap,
    seen: Seen,
    edits: &Edits,
    word: Option<&TrustedWord<'_>>,
    writer: &mut HeadWriter,
) {
    let listed = if seen.connection { connection_tokens(headers) } else { Vec::new() };
    for (name, value) in headers {
        if !HOP_BY_HOP.contains(name)
            && *name != TRACEPARENT
            && !is_ours(name.as_str())
            && word.is_none_or(|word| word.may_pass(name.as_str()))
            && !is_removed(name, &listed)
            && !is_edited(name, edits)
        {
            writer.header(name, value);
        }
    }
}

/// A header in which a proxy before us names the client, other than `X-Forwarded-For`.
#[derive(Clone, Copy, Debug)]
pub struct TrustedWord<'a> {
    /// As configured.
    pub name: &'a str,
    /// Whether the peer that sent it is trusted.
    pub is_trusted: bool,
}

impl TrustedWord<'_> {
    fn may_pass(&self, name: &str) -> bool {
        if name.eq_ignore_ascii_case(self.name) {
            return self.is_trusted;
        }
        let folded = |name: &str| name.replace(['_', '.'], "-");
        name.len() != self.name.len() || !folded(name).eq_ignore_ascii_case(&folded(self.name))
    }
}

/// Whether servers could take this header for our word.
fn is_ours(name: &str) -> bool {
    if !name.starts_with(['x', 'f']) {
        return false;
    }
    // Servers fold `_` and `.` into `-` (CGI, WSGI, Rack): all spellings are one name.
    let has_alias = name.bytes().any(|byte| matches!(byte, b'_' | b'.'));
    let matches = |name: &str| OURS.contains(&name) || OURS_BY_PREFIX.iter().any(|prefix| name.starts_with(prefix));
    if has_alias { matches(&name.replace(['_', '.'], "-")) } else { matches(name) }
}

/// Whether the rule removes or replaces this header, in any spelling that servers fold together.
fn is_edited(name: &HeaderName, edits: &Edits) -> bool {
    if edits.is_empty() {
        return false;
    }
    if !name.as_str().bytes().any(|byte| matches!(byte, b'_' | b'.')) {
        return edits.is_removed(name);
    }
    let folded = HeaderName::from_bytes(name.as_str().replace(['_', '.'], "-").as_bytes());
    edits.is_removed(name) || folded.is_ok_and(|folded| edits.is_removed(&folded))
}

fn is_removed(name: &HeaderName, listed: &[HeaderName]) -> bool {
    listed.contains(name) && !PROTECTED.contains(name)
}

/// The names in all `Connection` headers.
fn connection_tokens(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(header::CONNECTION).iter();
    values
        .flat_map(|value: &HeaderValue| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|token| HeaderName::from_bytes(token.trim_ascii()).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::upstream::http1::UploadFraming;

    fn sent_on(headers: &[(&str, &str)]) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(
                HeaderName::from_bytes(name.as_bytes()).expect("a name"),
                HeaderValue::from_str(value).expect("a value"),
            );
        }
        let mut writer = HeadWriter::new(&Method::GET, "/", 256);
        write_end_to_end(&map, Seen::of(&map), &Edits::default(), None, &mut writer);
        let head = writer.finish(UploadFraming::None);
        String::from_utf8_lossy(&head).replace("GET / HTTP/1.1\r\n", "").replace("\r\n", ";")
    }

    #[test]
    fn h078_what_connection_names_goes_but_not_what_servers_rely_on() {
        let sent = sent_on(&[
            ("connection", "keep-alive, X-Hop, Authorization, Cookie"),
            ("x-hop", "1"),
            ("authorization", "a"),
            ("cookie", "c"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("x-stays", "1"),
        ]);
        assert_eq!(sent, "authorization: a;cookie: c;x-stays: 1;;");
    }

    #[test]
    fn h079_h080_h083_a_client_cannot_speak_for_us_in_any_spelling() {
        for name in [
            "X-Forwarded-For",
            "x_forwarded_for",
            "X-Forwarded_Proto",
            "x.forwarded.host",
            "X-Real-IP",
            "x_real_ip",
            "Forwarded",
            "X-Forwarded-Prefix",
            "X-Forwarded-Client-Cert",
            "X-Envoy-Original-Path",
            "X-Client-Cert-Subject",
            "x-request_id",
        ] {
            assert_eq!(sent_on(&[(name, "forged")]), ";", "{name}");
        }
        assert_eq!(sent_on(&[("x-forward", "1"), ("from", "a@b")]), "x-forward: 1;from: a@b;;");
    }

    #[test]
    fn h025_no_upgrade_to_h2c_is_ever_asked_for() {
        assert_eq!(
            sent_on(&[("connection", "Upgrade, HTTP2-Settings"), ("upgrade", "h2c"), ("http2-settings", "x")]),
            ";"
        );
    }
}
