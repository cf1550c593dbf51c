//! Reads a request head (RFC 9112), strictly: what two readers could read differently is refused.
//!
//! httparse knows the grammar and is fast; what it lets pass and a gateway must not is caught here: lines that end with
//! LF alone, more than one empty line in front, a fragment in the target (which `Uri` would drop in silence), a length
//! told twice, transfer codings besides chunked. Names and values are slices of the buffer the head was read into:
//! nothing is copied but names that HTTP does not define.
//!
//! What a head means (which host, which path, which methods are served) is the proxy's to judge.

use std::mem::MaybeUninit;

use bytes::{Buf, Bytes, BytesMut};
use http::request::Parts;
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, header};

use crate::config::listener::ListenerLimits;
use crate::proxy::refusal::Refusal;

/// Lines that may be parsed without memory taken for it: above the usual limit of 100.
const LINES_AT_HAND: usize = 128;
/// Most lines that any limit allows: a `HeaderMap` holds 32,768.
const MOST_LINES: usize = 16 * 1024;
/// The longest method that is shown in the log when the rest of a head is no HTTP.
const MAX_METHOD_SHOWN: usize = 32;

/// A head that was read.
#[derive(Debug)]
pub struct RequestHead {
    /// As received.
    pub parts: Box<Parts>,
    /// How the body ends.
    pub framing: BodyFraming,
    /// Whether the client wants to go on after this.
    pub keeps_alive: bool,
    /// Whether it waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
    /// Whether it takes trailers behind an answer.
    pub takes_trailers: bool,
}

/// How a request body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFraming {
    /// There is none, or an empty one.
    None,
    /// After this many bytes, at least one.
    Length(u64),
    /// With the last chunk.
    Chunked,
}

/// Bytes that are no head. Nothing that follows on the connection can be understood.
#[derive(Debug)]
pub struct Refused {
    /// What the client is told.
    pub refusal: Refusal,
    /// What can be told of the request all the same, for the log.
    pub parts: Box<Parts>,
}

impl Refused {
    /// With what the bytes show of a request line.
    pub fn new(refusal: Refusal, bytes: &[u8]) -> Box<Self> {
        Box::new(Self { refusal, parts: guess(bytes) })
    }
}

/// Takes a head out of `buffer`; none if it has not come in full.
///
/// # Errors
/// The refusal.
pub fn parse(buffer: &mut BytesMut, limits: &ListenerLimits) -> Result<Option<RequestHead>, Box<Refused>> {
    let found = find_start(buffer).and_then(|start| match start {
        None => Ok(None),
        Some(start) => {
            let outline = outline(buffer.get(start..).unwrap_or_default(), limits)?;
            Ok(outline.map(|outline| (start, outline)))
        }
    });
    let Some((start, outline)) = found.map_err(|refusal| Refused::new(refusal, buffer))? else { return Ok(None) };
    buffer.advance(start);
    let block = buffer.split_to(outline.bytes).freeze();
    build(&block, outline, limits).map(Some).map_err(|refusal| Refused::new(refusal, &block))
}

/// What a request line shows, as far as it is one.
fn guess(buffer: &[u8]) -> Box<Parts> {
    let mut words = buffer.split(|byte| matches!(byte, b' ' | b'\r' | b'\n'));
    let method = words.next().filter(|word| word.len() <= MAX_METHOD_SHOWN);
    let target = words.next().filter(|word| word.len() <= ListenerLimits::default().uri_bytes);
    let mut parts = empty_parts();
    let method = method.and_then(|word| Method::from_bytes(word).ok());
    parts.method = method.or_else(|| Method::from_bytes(b"-").ok()).unwrap_or_default();
    parts.uri = target.and_then(|word| Uri::try_from(word).ok()).unwrap_or_default();
    parts
}

/// Where a header stands in its block.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    name: (u32, u32),
    value: (u32, u32),
}

impl Span {
    fn of(base: usize, header: &httparse::Header<'_>) -> Self {
        let place = |start: usize, length: usize| {
            // An empty value may point anywhere; a block is far below 4 GiB.
            let start = if length == 0 { 0 } else { u32::try_from(start.wrapping_sub(base)).unwrap_or(u32::MAX) };
            (start, start.saturating_add(u32::try_from(length).unwrap_or(u32::MAX)))
        };
        Self {
            name: place(header.name.as_ptr() as usize, header.name.len()),
            value: place(header.value.as_ptr() as usize, header.value.len()),
        }
    }
}

/// The request line, how many bytes the head has, and where its headers stand.
struct Outline {
    method: Method,
    target: (usize, usize),
    version: Version,
    bytes: usize,
    spans: Vec<Span>,
}

fn build(block: &Bytes, outline: Outline, limits: &ListenerLimits) -> Result<RequestHead, Refusal> {
    check_line_ends(block, &outline.spans)?;
    let mut parts = empty_parts();
    parts.uri = read_target(&block.slice(outline.target.0..outline.target.1), limits)?;
    parts.method = outline.method;
    parts.version = outline.version;
    let mut facts = Facts::default();
    parts.headers = collect(block, &outline.spans, &mut facts)?;
    Ok(RequestHead {
        framing: facts.framing(parts.version)?,
        keeps_alive: facts.keeps_alive(parts.version),
        expects_continue: facts.expects_continue && parts.version == Version::HTTP_11,
        takes_trailers: facts.takes_trailers,
        parts,
    })
}

/// Where the request line begins: behind one empty line at most (RFC 9112, section 2.2), which old clients leave
/// after a body. None: more is needed to know.
fn find_start(buffer: &[u8]) -> Result<Option<usize>, Refusal> {
    let start = if buffer.starts_with(b"\r\n") { 2 } else { 0 };
    match buffer.get(start..).unwrap_or_default() {
        [] => Ok(None),
        [b'\r'] if start == 0 => Ok(None),
        [b'\r' | b'\n', ..] => Err(Refusal::BadHead),
        _ => Ok(Some(start)),
    }
}

/// Finds everything without taking it.
fn outline(buffer: &[u8], limits: &ListenerLimits) -> Result<Option<Outline>, Refusal> {
    let lines = limits.headers.min(MOST_LINES);
    let mut few = [const { MaybeUninit::uninit() }; LINES_AT_HAND];
    let mut many = Vec::new();
    let slots = if lines <= LINES_AT_HAND {
        few.get_mut(..lines).unwrap_or_default()
    } else {
        many.resize_with(lines, MaybeUninit::uninit);
        many.as_mut_slice()
    };
    let mut request = httparse::Request::new(&mut []);
    let parser = httparse::ParserConfig::default();
    let bytes = match parser.parse_request_with_uninit_headers(&mut request, buffer, slots) {
        Ok(httparse::Status::Complete(bytes)) if bytes <= limits.head_bytes => bytes,
        Ok(httparse::Status::Partial) if buffer.len() <= limits.head_bytes => {
            return if has_long_target(buffer, limits) { Err(Refusal::UriTooLong) } else { Ok(None) };
        }
        Ok(_) => return Err(if has_long_target(buffer, limits) { Refusal::UriTooLong } else { Refusal::HeadTooLarge }),
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::HeadTooLarge),
        Err(httparse::Error::Version) => return Err(refuse_version(buffer)),
        Err(_) => return Err(Refusal::BadHead),
    };
    let (Some(method), Some(path), Some(version)) = (request.method, request.path, request.version) else {
        return Err(Refusal::BadHead);
    };
    let base = buffer.as_ptr() as usize;
    let start = path.as_ptr() as usize - base;
    Ok(Some(Outline {
        method: Method::from_bytes(method.as_bytes()).map_err(|_| Refusal::BadHead)?,
        target: (start, start + path.len()),
        version: if version == 1 { Version::HTTP_11 } else { Version::HTTP_10 },
        bytes,
        spans: request.headers.iter().map(|header| Span::of(base, header)).collect(),
    }))
}

/// Whether the target alone is over its bound, also while its end has not come.
fn has_long_target(buffer: &[u8], limits: &ListenerLimits) -> bool {
    let mut words = buffer.splitn(3, |byte| *byte == b' ');
    words.nth(1).is_some_and(|target| {
        let length = target.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(target.len());
        length > limits.uri_bytes
    })
}

/// Another version of HTTP is told apart from what is no HTTP.
fn refuse_version(buffer: &[u8]) -> Refusal {
    let line = buffer.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    match line.splitn(3, |byte| *byte == b' ').nth(2) {
        Some([b'H', b'T', b'T', b'P', b'/', major, b'.', minor])
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Refusal::BadVersion
        }
        _ => Refusal::BadHead,
    }
}

/// httparse ends a line at LF, with CR before it or not; here the CR has to be there. It stands before each name
/// and twice at the end, and nowhere else can a LF be.
fn check_line_ends(block: &[u8], spans: &[Span]) -> Result<(), Refusal> {
    let is_ended = |span: &Span| {
        let start = span.name.0 as usize;
        block.get(start.wrapping_sub(2)..start) == Some(b"\r\n")
    };
    if block.ends_with(b"\r\n\r\n") && spans.iter().all(is_ended) { Ok(()) } else { Err(Refusal::BadHead) }
}

fn read_target(target: &Bytes, limits: &ListenerLimits) -> Result<Uri, Refusal> {
    if target.len() > limits.uri_bytes {
        return Err(Refusal::UriTooLong);
    }
    // `Uri` would cut it off, and who reads the target differently sees another path.
    if memchr::memchr(b'#', target).is_some() {
        return Err(Refusal::BadPath);
    }
    let uri = Uri::from_maybe_shared(target.clone()).map_err(|_| Refusal::BadPath)?;
    match uri.scheme() {
        Some(scheme) if *scheme != Scheme::HTTP && *scheme != Scheme::HTTPS => Err(Refusal::BadPath),
        _ => Ok(uri),
    }
}

fn collect(block: &Bytes, spans: &[Span], facts: &mut Facts) -> Result<HeaderMap, Refusal> {
    let mut headers = HeaderMap::with_capacity(spans.len());
    for span in spans {
        let name = block.get(span.name.0 as usize..span.name.1 as usize).ok_or(Refusal::BadHead)?;
        let name = HeaderName::from_bytes(name).map_err(|_| Refusal::BadHead)?;
        let value = block.slice(span.value.0 as usize..span.value.1 as usize);
        let value = HeaderValue::from_maybe_shared(value).map_err(|_| Refusal::BadHead)?;
        facts.note(&name, value.as_bytes())?;
        headers.try_append(name, value).map_err(|_| Refusal::HeadTooLarge)?;
    }
    Ok(headers)
}

/// What headers say about this connection and this message's length.
#[derive(Debug, Default)]
struct Facts {
    length: Option<u64>,
    is_chunked: bool,
    says_close: bool,
    says_keep_alive: bool,
    expects_continue: bool,
    takes_trailers: bool,
}

impl Facts {
    fn note(&mut self, name: &HeaderName, value: &[u8]) -> Result<(), Refusal> {
        if *name == header::CONTENT_LENGTH {
            // Also the same length twice is told twice.
            if self.length.is_some() {
                return Err(Refusal::BadFraming);
            }
            self.length = Some(parse_length(value).ok_or(Refusal::BadFraming)?);
        } else if *name == header::TRANSFER_ENCODING {
            if self.is_chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Refusal::BadFraming);
            }
            self.is_chunked = true;
        } else if *name == header::CONNECTION {
            for token in value.split(|byte| *byte == b',') {
                self.says_close |= token.trim_ascii().eq_ignore_ascii_case(b"close");
                self.says_keep_alive |= token.trim_ascii().eq_ignore_ascii_case(b"keep-alive");
            }
        } else if *name == header::TE {
            self.takes_trailers |=
                value.split(|byte| *byte == b',').any(|token| token.trim_ascii().eq_ignore_ascii_case(b"trailers"));
        } else if *name == header::EXPECT {
            self.expects_continue = value.eq_ignore_ascii_case(b"100-continue");
        }
        Ok(())
    }

    /// RFC 9112, section 6.3, without its leniency.
    fn framing(&self, version: Version) -> Result<BodyFraming, Refusal> {
        match (self.is_chunked, self.length) {
            (true, Some(_)) => Err(Refusal::BadFraming),
            // HTTP/1.0 has no codings: whoever passed it on did not understand it.
            (true, None) if version == Version::HTTP_10 => Err(Refusal::BadFraming),
            (true, None) => Ok(BodyFraming::Chunked),
            (false, None | Some(0)) => Ok(BodyFraming::None),
            (false, Some(length)) => Ok(BodyFraming::Length(length)),
        }
    }

    fn keeps_alive(&self, version: Version) -> bool {
        !self.says_close && (version == Version::HTTP_11 || self.says_keep_alive)
    }
}

/// Digits and nothing else, read as decimal; 19 of them always fit.
fn parse_length(text: &[u8]) -> Option<u64> {
    let is_number = (1..=19).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    is_number.then(|| text.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

fn empty_parts() -> Box<Parts> {
    Box::new(Request::new(()).into_parts().0)
}

#[cfg(test)]
mod tests;
