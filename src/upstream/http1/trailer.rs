//! Trailers of a request: which of them are sent on.
//!
//! A server may merge trailers into the headers it has already acted on. So what would have mattered there
//! (where the request goes, how long it is, who asks, what we vouch for) is left out, in every spelling that
//! servers fold together; the rest is passed on, as gRPC-like protocols put their checksums there.

use bytes::{BufMut, BytesMut};
use http::HeaderMap;

/// All trailers of one request together. Over it none is sent: half of them would be a message nobody wrote.
const MAX_TRAILER_BYTES: usize = 16 * 1024;

/// Framing, routing, authentication, conditions, and what describes the body (RFC 9110, section 6.5.1).
const FORBIDDEN: [&str; 21] = [
    "authorization",
    "connection",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "max-forwards",
    "origin",
    "pragma",
    "cache-control",
    "range",
    "referer",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-real-ip",
    "x-request-id",
];

/// Families of the same.
const FORBIDDEN_PREFIXES: [&str; 9] =
    ["content-", "if-", "proxy-", "sec-", "x-api-key", "x-client-cert-", "x-envoy-", "x-forwarded-", "x-http-method"];

/// Writes what may be sent on, each as a line.
pub(super) fn write_allowed(trailers: &HeaderMap, out: &mut BytesMut) {
    let allowed = || trailers.iter().filter(|(name, _)| is_allowed(name.as_str()));
    let bytes: usize = allowed().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if bytes > MAX_TRAILER_BYTES {
        tracing::debug!(bytes, "the trailers of a request are too large and are left out");
        return;
    }
    out.reserve(bytes);
    for (name, value) in allowed() {
        out.put_slice(name.as_str().as_bytes());
        out.put_slice(b": ");
        out.put_slice(value.as_bytes());
        out.put_slice(b"\r\n");
    }
}

fn is_allowed(name: &str) -> bool {
    // CGI, WSGI and Rack fold `_` and `.` into `-`.
    let folded = name.replace(['_', '.'], "-");
    let name = folded.as_str();
    !FORBIDDEN.contains(&name) && !FORBIDDEN_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn sent_on(trailers: &[(&str, &str)]) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in trailers {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            map.append(name, HeaderValue::from_str(value).expect("a value"));
        }
        let mut out = BytesMut::new();
        write_allowed(&map, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn h069_trailers_that_would_matter_as_headers_are_left_out() {
        for name in [
            "Content-Length",
            "Transfer-Encoding",
            "Host",
            "Authorization",
            "Cookie",
            "TE",
            "Trailer",
            "X-Forwarded-For",
            "x_forwarded_for",
            "x.real.ip",
            "Connection",
            "Upgrade",
            "If-Match",
            "Content_Type",
        ] {
            assert_eq!(sent_on(&[(name, "forged"), ("x-sum", "1")]), "x-sum: 1\r\n", "{name}");
        }
        assert_eq!(sent_on(&[("grpc-status", "0"), ("digest", "x"), ("digest", "y")]).matches("\r\n").count(), 3);
    }

    #[test]
    fn trailers_over_the_bound_are_left_out_whole() {
        let long = "x".repeat(MAX_TRAILER_BYTES);
        assert_eq!(sent_on(&[("a", "1"), ("b", &long)]), "");
    }
}
