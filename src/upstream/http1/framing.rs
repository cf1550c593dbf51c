//! What the headers of a response say about its length and about its connection.
//!
//! All of it is gathered in one look over the headers while they are collected: five look-ups by name for
//! each response would cost more than the comparisons. Lengths follow RFC 9112, section 6.3, without its
//! leniency: two ways to tell the length are an error.

use std::time::Duration;

use http::{Method, StatusCode};

use super::fields::Kind;
use super::head::ResponseError;

/// How a response body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFraming {
    /// There is none.
    None,
    /// After this many bytes, at least one.
    Length(u64),
    /// With the last chunk.
    Chunked,
    /// When the server closes.
    UntilClose,
}

/// What a server promises about its connection in `Keep-Alive`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Promise {
    /// How long it keeps the connection while unused, less [`CLOSE_CROSSING`].
    pub idle_limit: Option<Duration>,
    /// Further requests it takes.
    pub requests_left: Option<u32>,
}

/// Half a second before the server's time the connection is no longer used, as our request would cross its
/// close on the way.
const CLOSE_CROSSING: Duration = Duration::from_millis(500);

/// Digits of a length that fit in 64 bits whatever they are.
const MAX_LENGTH_DIGITS: usize = 19;

/// What was said in the headers so far.
#[derive(Debug, Default)]
pub(super) struct Said {
    length: Option<u64>,
    codings: u32,
    is_chunked: bool,
    says_close: bool,
    says_keep_alive: bool,
    is_bound: bool,
    pub(super) promise: Promise,
}

impl Said {
    /// Takes one header into account.
    pub(super) fn hear(&mut self, kind: Kind, value: &[u8]) -> Result<(), ResponseError> {
        match kind {
            Kind::ContentLength => {
                let length = parse_length(value)?;
                if self.length.is_some_and(|known| known != length) {
                    return Err(ResponseError::Length);
                }
                self.length = Some(length);
            }
            Kind::TransferEncoding => {
                self.codings += 1;
                self.is_chunked = value.eq_ignore_ascii_case(b"chunked");
            }
            Kind::Connection if value == b"keep-alive" => self.says_keep_alive = true,
            Kind::Connection => {
                self.says_close |= has_token(value, b"close");
                self.says_keep_alive |= has_token(value, b"keep-alive");
            }
            Kind::KeepAlive => self.promise = read_promise(value),
            Kind::WwwAuthenticate => self.is_bound |= is_bound_to_connection(value),
            _ => {}
        }
        Ok(())
    }

    /// What `Content-Length` said.
    pub(super) fn length(&self) -> Option<u64> {
        self.length
    }

    /// How the body ends.
    pub(super) fn framing(
        &self,
        status: StatusCode,
        method: &Method,
        is_http_11: bool,
    ) -> Result<BodyFraming, ResponseError> {
        let has_no_body = *method == Method::HEAD
            || status.is_informational()
            || status == StatusCode::NO_CONTENT
            || status == StatusCode::NOT_MODIFIED;
        match (self.codings, self.length) {
            (1.., Some(_)) => Err(ResponseError::Length),
            (1.., None) if !is_http_11 || self.codings > 1 || !self.is_chunked => Err(ResponseError::TransferCoding),
            _ if has_no_body => Ok(BodyFraming::None),
            (1.., None) => Ok(BodyFraming::Chunked),
            (0, Some(0)) => Ok(BodyFraming::None),
            (0, Some(length)) => Ok(BodyFraming::Length(length)),
            (0, None) => Ok(BodyFraming::UntilClose),
        }
    }

    /// Whether the connection may be used again, as far as the server's words go.
    pub(super) fn keeps_alive(&self, is_http_11: bool) -> bool {
        !self.says_close && !self.is_bound && (is_http_11 || self.says_keep_alive)
    }
}

/// NTLM and Negotiate authenticate the connection, not the request: whoever used it next would be the same
/// user. True for the value of a server's `WWW-Authenticate` and of a client's `Authorization`.
pub fn is_bound_to_connection(credentials: &[u8]) -> bool {
    let scheme = credentials.split(|byte| *byte == b' ').next().unwrap_or_default();
    scheme.eq_ignore_ascii_case(b"ntlm") || scheme.eq_ignore_ascii_case(b"negotiate")
}

/// Whether a list separated by commas has this member.
pub(super) fn has_token(list: &[u8], token: &[u8]) -> bool {
    list.split(|byte| *byte == b',').any(|member| member.trim_ascii().eq_ignore_ascii_case(token))
}

fn parse_length(text: &[u8]) -> Result<u64, ResponseError> {
    if text.is_empty() || text.len() > MAX_LENGTH_DIGITS || !text.iter().all(u8::is_ascii_digit) {
        return Err(ResponseError::Length);
    }
    Ok(text.iter().fold(0_u64, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

/// `timeout=5, max=100`; what is not understood promises nothing.
fn read_promise(value: &[u8]) -> Promise {
    let mut promise = Promise::default();
    for part in value.split(|byte| *byte == b',') {
        let Ok(part) = std::str::from_utf8(part) else { continue };
        let Some((name, number)) = part.split_once('=') else { continue };
        let Ok(number) = number.trim().parse::<u32>() else { continue };
        let name = name.trim();
        if name.eq_ignore_ascii_case("timeout") {
            promise.idle_limit = Some(Duration::from_secs(number.into()).saturating_sub(CLOSE_CROSSING));
        } else if name.eq_ignore_ascii_case("max") {
            promise.requests_left = Some(number);
        }
    }
    promise
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_promises_about_its_connection() {
        let promise = |text: &str| read_promise(text.as_bytes());
        let both = Promise { idle_limit: Some(Duration::from_millis(4500)), requests_left: Some(99) };
        assert_eq!(promise("timeout=5, max=99"), both);
        assert_eq!(promise("Max=99 ,Timeout = 5"), both);
        assert_eq!(promise("timeout=0").idle_limit, Some(Duration::ZERO));
        for nothing in ["", "timeout", "timeout=", "timeout=-1", "timeout=5.5", "max=99999999999", "\u{e9}=5"] {
            assert_eq!(promise(nothing), Promise::default(), "{nothing:?}");
        }
    }

    #[test]
    fn h090_which_credentials_belong_to_the_connection() {
        for bound in ["NTLM", "ntlm TlRMTVNTUAAC", "Negotiate", "negotiate YII"] {
            assert!(is_bound_to_connection(bound.as_bytes()), "{bound}");
        }
        for free in ["", "Basic realm=ntlm", "Bearer negotiate", "NTLMv9"] {
            assert!(!is_bound_to_connection(free.as_bytes()), "{free}");
        }
    }
}
