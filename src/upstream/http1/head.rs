//! Reads a response head (RFC 9112), strictly: what two readers could read differently is an error.

use std::mem::MaybeUninit;

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::fields::{Fields, Kind, Line};
use super::framing::{BodyFraming, Promise, Said, has_token};

/// The head of one response.
#[derive(Debug)]
pub struct ResponseHead {
    /// 101 after an upgrade that was asked for, else 200 and above; other interim responses were read over.
    pub status: StatusCode,
    /// As received, in order.
    pub fields: Fields,
    /// How the body ends.
    pub framing: BodyFraming,
    /// Whether the server will take another request on this connection.
    pub keeps_alive: bool,
    /// For how long and how many.
    pub promise: Promise,
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
    /// 101 although no upgrade, or another one, was asked for, or more interim responses than are read over.
    #[error("the server sent an interim response that was not asked for")]
    Interim,
}

/// 64 KiB: the same bound that clients have.
pub const MAX_HEAD_BYTES: usize = 64 * 1024;
/// As many as clients may send.
pub const MAX_HEADERS: usize = 100;

/// Takes a head out of `buffer`; none if it has not come in full.
///
/// # Errors
/// [`ResponseError`] for what is no response to a request with `method`.
pub fn parse(buffer: &mut BytesMut, method: &Method) -> Result<Option<ResponseHead>, ResponseError> {
    // The parser would read over empty lines before the status line.
    if buffer.first().is_some_and(|first| *first != b'H') {
        return Err(ResponseError::Malformed);
    }
    let mut slots = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut []);
    let parser = httparse::ParserConfig::default();
    let bytes = match parser.parse_response_with_uninit_headers(&mut response, buffer, &mut slots) {
        Ok(httparse::Status::Complete(bytes)) if bytes > MAX_HEAD_BYTES => return Err(ResponseError::TooLarge),
        Ok(httparse::Status::Complete(bytes)) => bytes,
        Ok(httparse::Status::Partial) if buffer.len() > MAX_HEAD_BYTES => return Err(ResponseError::TooLarge),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(ResponseError::TooLarge),
        Err(_) => return Err(ResponseError::Malformed),
    };
    let code = response.code.ok_or(ResponseError::Malformed)?;
    let is_http_11 = response.version == Some(1);
    let status = StatusCode::from_u16(code).map_err(|_| ResponseError::Malformed)?;
    // Positions: the parsed head borrows the buffer that is then taken apart without a copy.
    let base = buffer.as_ptr() as usize;
    let mut said = Said::default();
    let mut lines = Vec::with_capacity(response.headers.len());
    for header in response.headers.iter() {
        let kind = Kind::of(header.name.as_bytes());
        if kind != Kind::Other {
            said.hear(kind, header.value)?;
        }
        lines.push(Line::new(place(base, header.name.as_bytes()), place(base, header.value), kind));
    }
    if !ends_lines_with_crlf(buffer.get(..bytes).unwrap_or_default(), &lines) {
        return Err(ResponseError::Malformed);
    }
    let fields = Fields::new(buffer.split_to(bytes).freeze(), lines, said.length());
    let framing = said.framing(status, method, is_http_11)?;
    let keeps_alive = said.keeps_alive(is_http_11) && framing != BodyFraming::UntilClose;
    Ok(Some(ResponseHead { status, fields, framing, keeps_alive, promise: said.promise }))
}

/// Where a part stands. An empty one may point anywhere; a head is far below 4 GiB.
fn place(base: usize, part: &[u8]) -> (u32, u32) {
    let start = if part.is_empty() { 0 } else { part.as_ptr() as usize - base };
    let end = start + part.len();
    (u32::try_from(start).unwrap_or(u32::MAX), u32::try_from(end).unwrap_or(u32::MAX))
}

/// Whether a 101 is the answer to a request that asked for this upgrade: exactly its protocol, and both headers
/// that say so (RFC 9110, section 7.8). A length or a coding would make the first bytes of the tunnel a body.
pub(super) fn is_switch_to(protocol: &HeaderValue, fields: &Fields) -> bool {
    let mut chosen = fields.values(Kind::Upgrade);
    let is_chosen = chosen.next().is_some_and(|value| value.eq_ignore_ascii_case(protocol.as_bytes()));
    is_chosen
        && chosen.next().is_none()
        && fields.values(Kind::Connection).any(|value| has_token(value, b"upgrade"))
        && fields.values(Kind::ContentLength).all(|value| value == b"0")
        && fields.values(Kind::TransferEncoding).next().is_none()
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
    if buffer.get(..bytes).is_none_or(has_bare_newline) {
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

/// httparse ends a line at LF, with CR before it or not; here the CR has to be there. It stands before each name and
/// twice at the end, and nowhere else can a LF be.
fn ends_lines_with_crlf(head: &[u8], lines: &[Line]) -> bool {
    let is_ended = |line: &Line| {
        let start = line.name.0 as usize;
        head.get(start.wrapping_sub(2)..start) == Some(b"\r\n")
    };
    let is_status_line_alone = || head.iter().position(|byte| *byte == b'\n') == Some(head.len() - 3);
    head.ends_with(b"\r\n\r\n") && lines.iter().all(is_ended) && (!lines.is_empty() || is_status_line_alone())
}

/// The same of trailers, where it is looked for byte by byte.
fn has_bare_newline(block: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', block).any(|at| at == 0 || block.get(at - 1) != Some(&b'\r'))
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

    #[test]
    fn h026_what_is_the_answer_to_an_upgrade() {
        let switches = |headers: &[(&'static str, &'static str)]| {
            let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let head = parse_text(&format!("HTTP/1.1 101 X\r\n{lines}\r\n"));
            head.is_ok_and(|head| is_switch_to(&HeaderValue::from_static("websocket"), &head.expect("complete").fields))
        };
        let connection = ("connection", "x, Upgrade");
        assert!(switches(&[("upgrade", "WebSocket"), connection]));
        assert!(switches(&[("upgrade", "websocket"), ("connection", "x"), connection, ("content-length", "0")]));
        for wrong in [
            &[("upgrade", "websocket")][..],
            &[connection],
            &[("upgrade", "h2c"), connection],
            &[("upgrade", "websocket, h2c"), connection],
            &[("upgrade", "websocket"), ("upgrade", "h2c"), connection],
            &[("upgrade", "websocket"), ("connection", "close")],
            &[("upgrade", "websocket"), connection, ("content-length", "5")],
            &[("upgrade", "websocket"), connection, ("transfer-encoding", "chunked")],
        ] {
            assert!(!switches(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn h035_nothing_stands_before_a_head() {
        for before in ["\r\n", "\n", " ", "\0"] {
            assert!(parse_text(&format!("{before}HTTP/1.1 204 X\r\n\r\n")).is_err(), "{before:?}");
        }
    }

    proptest! {
        #[test]
        fn a_bare_newline_is_found_wherever_it_stands(text in "[\r\n\r\nab]{0,40}") {
            let is_bare = |at: usize| !text[..at].ends_with('\r');
            let expected = text.match_indices('\n').any(|(at, _)| is_bare(at));
            prop_assert_eq!(has_bare_newline(text.as_bytes()), expected);
        }

        #[test]
        fn lines_end_as_the_slow_look_says(text in "HTTP/1.1 200 OK(\r\n|\n|\r)([AB]: ?[xy]{0,3}(\r\n|\n|\r)){0,4}(\r\n|\n|\r|\r\n\r\n)") {
            let is_taken = parse(&mut BytesMut::from(text.as_bytes()), &Method::GET).is_ok_and(|head| head.is_some());
            let whole = text.find("\r\n\r\n").map_or(text.as_str(), |end| &text[..end + 4]);
            prop_assert!(!is_taken || !has_bare_newline(whole.as_bytes()), "{text:?}");
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&mut BytesMut::from(&bytes[..]), &Method::GET);
            let with_line = [b"HTTP/1.1 200 OK\r\n".to_vec(), bytes, b"\r\n\r\n".to_vec()].concat();
            let _ = parse(&mut BytesMut::from(&with_line[..]), &Method::GET);
        }
    }
}
