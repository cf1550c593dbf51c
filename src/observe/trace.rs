//! Ids of requests, and the W3C trace context that is passed on.

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher, RandomState};

use http::{HeaderMap, HeaderName, HeaderValue};

/// `traceparent`
pub static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Longest request id taken from a client.
const MAX_REQUEST_ID_BYTES: usize = 128;

/// Makes ids, without a lock and without a system call. Not for secrets.
#[derive(Debug)]
pub struct Ids {
    state: Cell<u64>,
}

impl Default for Ids {
    /// Seeded by the standard library's random hasher.
    fn default() -> Self {
        Self { state: Cell::new(RandomState::new().build_hasher().finish()) }
    }
}

impl Ids {
    /// A new one.
    pub fn request_id(&self) -> RequestId {
        RequestId::Made(self.wide_number())
    }

    /// A new trace. That of a request with an id of ours has the same number, so that one word finds both.
    pub fn trace(&self, request_id: &RequestId) -> Trace {
        let trace = match request_id {
            RequestId::Made(number) => *number,
            RequestId::Given(_) => self.wide_number(),
        };
        // Zero is no trace and no span.
        Trace::Made(trace.max(1), self.number().max(1))
    }

    fn wide_number(&self) -> u128 {
        u128::from(self.number()) << 64 | u128::from(self.number())
    }

    /// A number that cannot be guessed easily, for choices: splitmix64 (Steele, Lea, Flood 2014): every state once, well spread.
    pub fn number(&self) -> u64 {
        let state = self.state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.state.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// The id of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestId {
    /// The client's.
    Given(HeaderValue),
    /// Ours.
    Made(u128),
}

impl RequestId {
    /// As it is sent and logged: ours as 32 hexadecimal digits.
    pub fn text<'b>(&'b self, buffer: &'b mut [u8; 32]) -> &'b [u8] {
        match self {
            Self::Given(value) => value.as_bytes(),
            Self::Made(number) => {
                write_hex(&number.to_be_bytes(), buffer);
                buffer
            }
        }
    }
}

/// The trace that a request belongs to (W3C Trace Context).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trace {
    /// The client's: its `traceparent` is sent on as it came.
    Given(HeaderValue),
    /// Ours, as the client sent none that is valid: a trace of this number begins here, in a span of that number.
    Made(u128, u64),
}

impl Trace {
    /// The client's, if it sent one and it is well formed; two are none (Trace Context, 3.2.2).
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(&TRACEPARENT).iter();
        let value = values.next()?;
        (trace_id(value).is_some() && values.next().is_none()).then(|| Self::Given(value.clone()))
    }

    /// The value of `traceparent` of a trace of ours, not sampled by anybody so far; none for the client's.
    pub fn written(&self) -> Option<[u8; 55]> {
        let Self::Made(trace, span) = self else { return None };
        let mut value = *b"00-00000000000000000000000000000000-0000000000000000-00";
        let (head, tail) = value.split_at_mut(36);
        write_hex(&trace.to_be_bytes(), head.get_mut(3..35)?);
        write_hex(&span.to_be_bytes(), tail.get_mut(..16)?);
        Some(value)
    }

    /// For the log.
    pub fn id(&self) -> String {
        match self {
            Self::Given(value) => trace_id(value).unwrap_or_default().to_owned(),
            Self::Made(trace, _) => format!("{trace:032x}"),
        }
    }
}

/// Writes digits of a number whose bytes come in fours.
fn write_hex(bytes: &[u8], out: &mut [u8]) {
    for (digits, four) in out.chunks_exact_mut(8).zip(bytes.chunks_exact(4)) {
        if let Ok(four) = four.try_into() {
            digits.copy_from_slice(&eight_digits(u32::from_be_bytes(four)));
        }
    }
}

/// A number in hexadecimal: its half bytes are spread over eight bytes and made digits all at once.
fn eight_digits(number: u32) -> [u8; 8] {
    let spread = u64::from(number);
    let spread = (spread | spread << 16) & 0x0000_ffff_0000_ffff;
    let spread = (spread | spread << 8) & 0x00ff_00ff_00ff_00ff;
    let spread = (spread | spread << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    // One where the digit is a letter: six more carries into the upper half of the byte.
    let letters = (spread + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
    let to_letter = u64::from(b'a' - b'0' - 10);
    (spread + 0x3030_3030_3030_3030 + letters * to_letter).to_be_bytes()
}

/// Whether a client's request id can be passed on: short, and of harmless characters.
pub fn is_request_id(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    (1..=MAX_REQUEST_ID_BYTES).contains(&bytes.len())
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'=' | b'/' | b'+'))
}

/// The trace id of a well-formed `traceparent` (W3C Trace Context, level 1: version 00, or a later version
/// that begins the same way).
pub fn trace_id(value: &HeaderValue) -> Option<&str> {
    let text = value.to_str().ok()?;
    let mut parts = text.splitn(5, '-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str, len: usize| {
        text.len() == len && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let is_zero = |text: &str| text.bytes().all(|b| b == b'0');
    let has_form = is_hex(version, 2) && is_hex(trace, 32) && is_hex(span, 16) && is_hex(flags, 2);
    if !has_form || version == "ff" || is_zero(trace) || is_zero(span) || (version == "00" && parts.next().is_some()) {
        return None;
    }
    Some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_the_standard_library() {
        let ids = Ids::default();
        for number in (0..1000).map(|_| ids.number()).chain([0, u64::MAX, 0x0123_4567_89ab_cdef]) {
            let mut digits = [0; 16];
            write_hex(&number.to_be_bytes(), &mut digits);
            assert_eq!(std::str::from_utf8(&digits), Ok(format!("{number:016x}").as_str()));
        }
    }

    #[test]
    fn ids_differ() {
        let ids = Ids::default();
        let first = ids.request_id();
        assert_ne!(first, ids.request_id());
        assert_ne!(first, Ids::default().request_id());
        let text = HeaderValue::from_bytes(first.text(&mut [0; 32])).expect("a value");
        assert!(is_request_id(&text) && text.len() == 32);
        assert_eq!(RequestId::Made(0xab).text(&mut [0; 32]), b"000000000000000000000000000000ab");
    }

    #[test]
    fn a_trace_of_ours_is_well_formed_and_has_the_number_of_the_request() {
        let ids = Ids::default();
        let id = ids.request_id();
        let trace = ids.trace(&id);
        let value = trace.written().expect("it is ours");
        let value = HeaderValue::from_bytes(&value).expect("a value");
        assert_eq!(trace_id(&value), Some(trace.id().as_str()));
        assert_eq!(id.text(&mut [0; 32]), trace.id().as_bytes());
        let mut headers = HeaderMap::new();
        headers.append(&TRACEPARENT, value.clone());
        assert_eq!(Trace::of(&headers), Some(Trace::Given(value.clone())));
        headers.append(&TRACEPARENT, value);
        assert_eq!(Trace::of(&headers), None, "two are none");
    }

    #[test]
    fn h095_ids_that_are_malformed_or_long_are_not_passed_on() {
        for text in ["", "a b", "a\"b", "a,b", &"x".repeat(129)] {
            assert!(!is_request_id(&HeaderValue::from_str(text).expect("a value")), "{text}");
        }
    }

    #[test]
    fn trace_parents() {
        let id = |text: &'static str| trace_id(&HeaderValue::from_static(text)).map(ToOwned::to_owned);
        let trace = "0af7651916cd43dd8448eb211c80319c";
        assert_eq!(id("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").as_deref(), Some(trace));
        assert_eq!(id("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x").as_deref(), Some(trace));
        for bad in [
            "",
            "00",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
        ] {
            assert_eq!(id(bad), None, "{bad}");
        }
    }
}
