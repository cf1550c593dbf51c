//! Which headers with a meaning for a proxy a request has.
//!
//! Most requests have none of them, and asking a map for each name, one after the other, costs more than one look over
//! all names. So that look is taken once, when the exchange begins.

use http::{HeaderMap, header};

use crate::observe::trace::TRACEPARENT;

use super::hop::X_REQUEST_ID;

/// What was seen among the names of a request's headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// `Authorization`
    pub authorization: bool,
    /// `Connection`
    pub connection: bool,
    /// `Content-Length`
    pub content_length: bool,
    /// `Traceparent`
    pub trace: bool,
    /// `Upgrade`
    pub upgrade: bool,
    /// `X-Request-Id`
    pub request_id: bool,
}

impl Seen {
    /// Of these headers.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut seen = Self::default();
        for name in headers.keys() {
            seen.authorization |= *name == header::AUTHORIZATION;
            seen.connection |= *name == header::CONNECTION;
            seen.content_length |= *name == header::CONTENT_LENGTH;
            seen.upgrade |= *name == header::UPGRADE;
            seen.trace |= *name == TRACEPARENT;
            seen.request_id |= *name == X_REQUEST_ID;
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn each_is_seen_and_no_other() {
        let seen = |names: &[&'static str]| {
            let pairs = names.iter().map(|name| (HeaderName::from_static(name), HeaderValue::from_static("1")));
            Seen::of(&pairs.collect())
        };
        assert_eq!(seen(&["host", "accept", "x-other"]), Seen::default());
        assert_eq!(seen(&["connection", "upgrade"]), Seen { connection: true, upgrade: true, ..Seen::default() });
        assert_eq!(seen(&["traceparent", "x-request-id"]), Seen { trace: true, request_id: true, ..Seen::default() });
        let both = Seen { authorization: true, content_length: true, ..Seen::default() };
        assert_eq!(seen(&["content-length", "authorization"]), both);
    }
}
