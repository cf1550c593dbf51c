//! An answer for a client, whoever gives it: a status, headers, a body.
//!
//! A server's headers that nobody looks at go on as the bytes they came as ([`Fields`]); only where a rule or a limit
//! changes them, or the answer is ours, are they a map.

use http::header::TRAILER;
use http::{HeaderMap, HeaderName, StatusCode};

use crate::upstream::http1::Fields;
use crate::upstream::http1::fields::Kind;

use super::body::ProxyBody;

/// An answer for a client.
#[derive(Debug)]
pub struct Reply<B> {
    /// Of the answer.
    pub status: StatusCode,
    /// What belongs to the server's connection is not in it.
    pub headers: ReplyHeaders,
    /// The connection ends with it.
    pub closes: bool,
    /// What is sent after the head; the exchange settles when it is dropped.
    pub body: ProxyBody<B>,
}

/// The headers of an answer.
#[derive(Debug)]
pub enum ReplyHeaders {
    /// A server's, as they came.
    Received(Fields),
    /// Ours, or a server's with changes.
    Made(Box<HeaderMap>),
}

impl ReplyHeaders {
    /// Whether a trailer of this name is announced.
    pub fn announces(&self, name: &HeaderName) -> bool {
        let names = |list: &[u8]| has_word(list, name.as_str());
        match self {
            Self::Received(fields) => fields.values(Kind::Trailer).any(names),
            Self::Made(map) => map.get_all(TRAILER).iter().any(|list| names(list.as_bytes())),
        }
    }
}

/// Whether one of the words separated by commas is this one.
pub fn has_word(list: &[u8], word: &str) -> bool {
    list.split(|byte| *byte == b',').any(|token| token.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
}
