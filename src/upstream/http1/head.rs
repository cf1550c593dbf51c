//! Reads a response head (RFC 9112), strictly: what two readers could read differently is an error.

use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

/// The head of one response.
#[derive(Debug)]
pub struct ResponseHead {
    /// 101 or 200 and above; other interim responses were read over.
    pub status: StatusCode,
    /// As received, in order.
    pub headers: HeaderMap,
    /// How the body ends.
    pub framing: BodyFraming,
    /// Whether the server will take another request on this connection.
    pub keeps_alive: bool,
}

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

/// Why bytes are no response, or not one that can be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// Not HTTP.
    #[error("the response head is malformed")]
    Malformed,
    /// Over [`MAX_HEAD_BYTES`] or [`MAX_HEADERS`].
    #[error("the response head is too large")]
    TooLarge,
    /// Content-Length and Transfer-Encoding, or two lengths, or one that is no number.
    #[error("the response tells its length in two ways")]
    Length,
    /// A coding other than chunked alone.
    #[error("the response has a transfer coding other than chunked")]
    TransferCoding,
    /// The chunks are malformed.
    #[error("the chunks of the response are malformed")]
    Chunk,
    /// 101 although no upgrade was asked for, or more than [`MAX_INTERIM`] interim responses.
    #[error("the server sent an interim response that was not asked for")]
    Interim,
}

/// 64 KiB: the same bound that clients have.
pub const MAX_HEAD_BYTES: usize = 64 * 1024;
/// As many as clients may send.
pub const MAX_HEADERS: usize = 100;
/// Interim responses (1xx) read over before one that counts.
pub const MAX_INTERIM: u32 = 32;

/// Takes a head out of `buffer`; none if it has not come in full.
///
/// # Errors
/// [`ResponseError`] for what is no response to a request with `method`.
pub fn parse(buffer: &mut BytesMut, method: &Method) -> Result<Option<ResponseHead>, ResponseError> {
    let mut slots = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut []);
    let parser = httparse::ParserConfig::default();
    let bytes = match parser.parse_response_with_uninit_headers(&mut response, buffer, &mut slots) {
        Ok(httparse::Status::Complete(bytes)) => bytes,
        Ok(httparse::Status::Partial) if buffer.len() > MAX_HEAD_BYTES => return Err(ResponseError::TooLarge),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(ResponseError::TooLarge),
        Err(_) => return Err(ResponseError::Malformed),
    };
    let code = response.code.ok_or(ResponseError::Malformed)?;
    let is_http_11 = response.version == Some(1);
    let status = StatusCode::from_u16(code).map_err(|_| ResponseError::Malformed)?;
    // Positions first: the parsed head borrows the buffer that is then taken apart without a copy.
    let base = buffer.as_ptr() as usize;
    let spans: Vec<Span> = response.headers.iter().map(|header| Span::of(base, header)).collect();
    if buffer.get(..bytes).is_some_and(has_bare_newline) {
        return Err(ResponseError::Malformed);
    }
    let block = buffer.split_to(bytes).freeze();
    let headers = collect_headers(&block, &spans)?;
    let framing = body_framing(status, &headers, method, is_http_11)?;
    let keeps_alive = keeps_alive(&headers, is_http_11) && framing != BodyFraming::UntilClose;
    Ok(Some(ResponseHead { status, headers, framing, keeps_alive }))
}

/// Takes a trailer section out of `buffer`; none if it has not come in full.
///
/// # Errors
/// [`ResponseError`] if it is malformed or too large.
pub fn parse_trailers(buffer: &mut BytesMut, max_bytes: usize) -> Result<Option<HeaderMap>, ResponseError> {
    let mut slots = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let (bytes, found) = match httparse::parse_headers(buffer, &mut slots) {
        Ok(httparse::Status::Complete(complete)) => complete,
        Ok(httparse::Status::Partial) if buffer.len() > max_bytes => return Err(ResponseError::TooLarge),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(ResponseError::Malformed),
    };
    if buffer.get(..bytes).is_some_and(has_bare_newline) {
        return Err(ResponseError::Malformed);
    }
    let mut trailers = HeaderMap::new();
    for line in found {
        let name = HeaderName::from_bytes(line.name.as_bytes()).map_err(|_| ResponseError::Malformed)?;
        let value = HeaderValue::from_bytes(line.value).map_err(|_| ResponseError::Malformed)?;
        trailers.append(name, value);
    }
    let _ = buffer.split_to(bytes);
    Ok(Some(trailers))
}

/// Where a header stands in its block.
struct Span {
    name: (usize, usize),
    value: (usize, usize),
}

impl Span {
    fn of(base: usize, header: &httparse::Header<'_>) -> Self {
        let name = header.name.as_ptr() as usize - base;
        // An empty value may point anywhere.
        let value = if header.value.is_empty() { 0 } else { header.value.as_ptr() as usize - base };
        Self { name: (name, name + header.name.len()), value: (value, value + header.value.len()) }
    }
}

fn collect_headers(block: &Bytes, spans: &[Span]) -> Result<HeaderMap, ResponseError> {
    let mut headers = HeaderMap::with_capacity(spans.len() + 2);
    for span in spans {
        let name = HeaderName::from_bytes(&block[span.name.0..span.name.1]).map_err(|_| ResponseError::Malformed)?;
        let value = HeaderValue::from_maybe_shared(block.slice(span.value.0..span.value.1))
            .map_err(|_| ResponseError::Malformed)?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// httparse lets a line end with LF alone; here a line ends with CRLF.
fn has_bare_newline(block: &[u8]) -> bool {
    let mut previous = 0;
    for &byte in block {
        if byte == b'\n' && previous != b'\r' {
            return true;
        }
        previous = byte;
    }
    false
}

/// RFC 9112, section 6.3, without its leniency: two ways to tell the length are an error.
fn body_framing(
    status: StatusCode,
    headers: &HeaderMap,
    method: &Method,
    is_http_11: bool,
) -> Result<BodyFraming, ResponseError> {
    let length = content_length(headers)?;
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let coding = codings.next();
    let has_no_body = *method == Method::HEAD
        || status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED;
    match (coding, length) {
        (Some(_), Some(_)) => Err(ResponseError::Length),
        (Some(value), None) => {
            if !is_http_11 || codings.next().is_some() || !value.as_bytes().eq_ignore_ascii_case(b"chunked") {
                return Err(ResponseError::TransferCoding);
            }
            Ok(if has_no_body { BodyFraming::None } else { BodyFraming::Chunked })
        }
        _ if has_no_body => Ok(BodyFraming::None),
        (None, Some(0)) => Ok(BodyFraming::None),
        (None, Some(length)) => Ok(BodyFraming::Length(length)),
        (None, None) => Ok(BodyFraming::UntilClose),
    }
}

fn content_length(headers: &HeaderMap) -> Result<Option<u64>, ResponseError> {
    let mut found = None;
    for value in headers.get_all(header::CONTENT_LENGTH) {
        let text = value.as_bytes();
        if text.is_empty() || text.len() > 19 || !text.iter().all(u8::is_ascii_digit) {
            return Err(ResponseError::Length);
        }
        let length = text.iter().fold(0_u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        if found.is_some_and(|known| known != length) {
            return Err(ResponseError::Length);
        }
        found = Some(length);
    }
    Ok(found)
}

fn keeps_alive(headers: &HeaderMap, is_http_11: bool) -> bool {
    let mut says_close = false;
    let mut says_keep_alive = false;
    for value in headers.get_all(header::CONNECTION) {
        for token in value.as_bytes().split(|byte| *byte == b',') {
            says_close |= token.trim_ascii().eq_ignore_ascii_case(b"close");
            says_keep_alive |= token.trim_ascii().eq_ignore_ascii_case(b"keep-alive");
        }
    }
    !says_close && (is_http_11 || says_keep_alive)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse_text(text: &str) -> Result<Option<ResponseHead>, ResponseError> {
        parse(&mut BytesMut::from(text), &Method::GET)
    }

    fn framing(headers: &str) -> Result<BodyFraming, ResponseError> {
        parse_text(&format!("HTTP/1.1 200 OK\r\n{headers}\r\n")).map(|head| head.expect("complete").framing)
    }

    #[test]
    fn the_length_of_a_body() {
        assert_eq!(framing("Content-Length: 5\r\n"), Ok(BodyFraming::Length(5)));
        assert_eq!(framing("Content-Length: 0\r\n"), Ok(BodyFraming::None));
        assert_eq!(framing("Content-Length: 010\r\n"), Ok(BodyFraming::Length(10)));
        assert_eq!(framing("Transfer-Encoding: Chunked\r\n"), Ok(BodyFraming::Chunked));
        assert_eq!(framing(""), Ok(BodyFraming::UntilClose));
        let mut head = BytesMut::from("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
        assert_eq!(
            parse(&mut head, &Method::HEAD).map(|head| head.map(|head| head.framing)),
            Ok(Some(BodyFraming::None))
        );
    }

    #[test]
    fn h035_heads_that_can_be_read_two_ways_are_refused() {
        for headers in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Content-Length: -1\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: 5, 5\r\n",
            "Content-Length: \r\n",
            "Content-Length: 99999999999999999999\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: identity\r\n",
            "A: b\r\n c\r\n",
            "A : b\r\n",
            "A\r\n",
            ": b\r\n",
            "A: \0\r\n",
            "A: b\nC: d\r\n",
            "A: b\rc\r\n",
        ] {
            assert!(framing(headers).is_err(), "{headers:?}");
        }
        for line in ["HTTP/1.1 099 X", "HTTP/1.1 abc", "HTTP/2.0 200 OK", "HTTP/1.1 2000 OK", "ICY 200 OK", "garbage"] {
            assert!(parse_text(&format!("{line}\r\n\r\n")).is_err(), "{line}");
        }
        assert!(parse_text("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
    }

    #[test]
    fn endless_heads_are_refused() {
        let many = "A: b\r\n".repeat(MAX_HEADERS + 1);
        assert_eq!(framing(&many), Err(ResponseError::TooLarge));
        let long = format!("HTTP/1.1 200 OK\r\nA: {}", "b".repeat(MAX_HEAD_BYTES));
        assert!(matches!(parse_text(&long), Err(ResponseError::TooLarge)));
    }

    #[test]
    fn who_closes() {
        let keeps = |text: &str| parse_text(text).map(|head| head.map(|head| head.keeps_alive));
        assert_eq!(keeps("HTTP/1.1 204 X\r\n\r\n"), Ok(Some(true)));
        assert_eq!(keeps("HTTP/1.1 204 X\r\nConnection: x, Close\r\n\r\n"), Ok(Some(false)));
        assert_eq!(keeps("HTTP/1.0 204 X\r\n\r\n"), Ok(Some(false)));
        assert_eq!(keeps("HTTP/1.0 204 X\r\nConnection: keep-alive\r\n\r\n"), Ok(Some(true)));
        assert_eq!(keeps("HTTP/1.1 200 X\r\n\r\n"), Ok(Some(false)));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&mut BytesMut::from(&bytes[..]), &Method::GET);
            let with_line = [b"HTTP/1.1 200 OK\r\n".to_vec(), bytes, b"\r\n\r\n".to_vec()].concat();
            let _ = parse(&mut BytesMut::from(&with_line[..]), &Method::GET);
        }
    }
}
