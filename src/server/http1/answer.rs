//! The head of an answer: how its body is framed for this client, and the bytes.
//!
//! The proxy says what is answered; who asked decides how it is told. A HEAD, a 204 and a 304 have no body, whatever
//! their headers say (RFC 9112, section 6.3). A length that is known is told; one that is not is chunked for
//! HTTP/1.1, and told by the end of the connection for HTTP/1.0.

use http::{HeaderMap, HeaderName, Method, StatusCode, Version, header, request};
use http_body::SizeHint;

use crate::proxy::reply::{ReplyHeaders, has_word};
use crate::upstream::http1::fields::Written;

/// Who asked, as far as it decides how an answer is written.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    is_head: bool,
    is_http_11: bool,
    takes_trailers: bool,
}

/// How the body of an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// After this many bytes.
    Length(u64),
    /// With the last chunk.
    Chunked,
    /// With the connection.
    UntilClose,
}

/// Trailers that could change what a head said about framing, routing or the client (RFC 9110, section 6.5.1).
const NEVER_TRAILERS: [HeaderName; 12] = [
    header::AUTHORIZATION,
    header::CACHE_CONTROL,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::HOST,
    header::MAX_FORWARDS,
    header::SET_COOKIE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
];

impl Asked {
    /// From the head of the request.
    pub fn new(parts: &request::Parts, takes_trailers: bool) -> Self {
        Self { is_head: parts.method == Method::HEAD, is_http_11: parts.version == Version::HTTP_11, takes_trailers }
    }

    /// How the body of this answer is told to end.
    pub fn framing(self, status: StatusCode, body: &SizeHint) -> Framing {
        let has_none = self.is_head
            || status.is_informational()
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        match body.exact() {
            _ if has_none => Framing::None,
            Some(length) => Framing::Length(length),
            None if self.is_http_11 => Framing::Chunked,
            None => Framing::UntilClose,
        }
    }

    /// Whether this trailer of an answer is passed on: the client takes trailers, the head has announced it, and
    /// it is harmless.
    pub fn takes_trailer(self, head: &ReplyHeaders, name: &HeaderName) -> bool {
        self.takes_trailers && !NEVER_TRAILERS.contains(name) && head.announces(name)
    }

    /// Writes the head; whether the connection goes on after it, which the server's or the proxy's
    /// `Connection: close` may still prevent. `body` is what the body would be if it were sent; `write_date`
    /// appends the date.
    pub fn write_head(
        self,
        out: &mut Vec<u8>,
        (status, headers): (StatusCode, &ReplyHeaders),
        (framing, body): (Framing, &SizeHint),
        goes_on: bool,
        write_date: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        write_status(out, status);
        let is_upgrade = status == StatusCode::SWITCHING_PROTOCOLS;
        let mut goes_on = goes_on;
        let length = if let Framing::Length(length) = framing { Some(length) } else { None };
        let Written { length_as_told, has_length, has_date } = match headers {
            ReplyHeaders::Received(fields) => fields.write(out, length),
            ReplyHeaders::Made(map) => {
                goes_on &= is_upgrade || !says_close(map);
                write_map(out, map, is_upgrade)
            }
        };
        if !has_date {
            out.extend_from_slice(b"date: ");
            write_date(out);
            out.extend_from_slice(b"\r\n");
        }
        match framing {
            Framing::Length(_) if has_length => {}
            Framing::Length(length) => write_length(out, length),
            Framing::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
            Framing::None if status == StatusCode::NO_CONTENT || status.is_informational() => {}
            // What the body would have had: as the server said, or as long as ours would be.
            Framing::None => match (length_as_told, body.exact()) {
                (Some(value), _) => write_line(out, "content-length", value),
                (None, Some(length)) if length > 0 => write_length(out, length),
                _ => {}
            },
            Framing::UntilClose => {}
        }
        match (goes_on, self.is_http_11) {
            _ if is_upgrade => {}
            (false, _) => out.extend_from_slice(b"connection: close\r\n"),
            (true, false) => out.extend_from_slice(b"connection: keep-alive\r\n"),
            (true, true) => {}
        }
        out.extend_from_slice(b"\r\n");
        goes_on
    }
}

fn says_close(map: &HeaderMap) -> bool {
    map.get_all(header::CONNECTION).iter().any(|value| has_word(value.as_bytes(), "close"))
}

/// Appends the headers but those that tell where the message ends.
fn write_map<'m>(out: &mut Vec<u8>, map: &'m HeaderMap, is_upgrade: bool) -> Written<'m> {
    let (mut length_as_told, mut has_date) = (None, false);
    for (name, value) in map {
        if *name == header::CONTENT_LENGTH {
            length_as_told = Some(value.as_bytes());
        } else if *name != header::TRANSFER_ENCODING && (is_upgrade || *name != header::CONNECTION) {
            has_date |= *name == header::DATE;
            write_line(out, name.as_str(), value.as_bytes());
        }
    }
    Written { length_as_told, has_length: false, has_date }
}

/// Appends a header line.
pub fn write_line(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    debug_assert!(!value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)), "a header value has no line break");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn write_status(out: &mut Vec<u8>, status: StatusCode) {
    if status == StatusCode::OK {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    // The space stays where there is no phrase (RFC 9112, section 4).
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn write_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"content-length: ");
    write_number(out, length, 10);
    out.extend_from_slice(b"\r\n");
}

/// Appends a number without an allocation.
pub fn write_number(out: &mut Vec<u8>, mut number: u64, base: u64) {
    let start = out.len();
    loop {
        let digit = u8::try_from(number % base).unwrap_or(0);
        out.push(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 });
        number /= base;
        if number == 0 {
            break;
        }
    }
    if let Some(digits) = out.get_mut(start..) {
        digits.reverse();
    }
}

#[cfg(test)]
mod tests {
    use http::{Request, Response};

    use super::*;

    fn asked(method: &str, version: Version) -> Asked {
        let request = Request::builder().method(method).version(version).body(());
        Asked::new(&request.expect("a request").into_parts().0, true)
    }

    fn head(asked: Asked, status: u16, headers: &[(&str, &str)], length: Option<u64>, keeps: bool) -> String {
        let mut builder = Response::builder().status(status);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let parts = builder.body(()).expect("a response").into_parts().0;
        let body = length.map_or_else(SizeHint::default, SizeHint::with_exact);
        let framing = asked.framing(parts.status, &body);
        let write = |headers: &ReplyHeaders| {
            let mut out = Vec::new();
            let date = |out: &mut Vec<u8>| out.extend_from_slice(b"D");
            asked.write_head(&mut out, (parts.status, headers), (framing, &body), keeps, date);
            String::from_utf8(out).expect("text").replace("\r\n", ";")
        };
        let written = write(&ReplyHeaders::Made(Box::new(parts.headers.clone())));
        // A server's lines that go on as they came say the same, if they do not speak of its connection.
        if let Some(received) = received(headers) {
            assert_eq!(write(&received), written);
        }
        written
    }

    fn received(headers: &[(&str, &str)]) -> Option<ReplyHeaders> {
        if headers.iter().any(|(name, _)| *name == "connection") {
            return None;
        }
        let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let mut bytes = bytes::BytesMut::from(format!("HTTP/1.1 200 OK\r\n{lines}\r\n").as_str());
        let head = crate::upstream::http1::head::parse(&mut bytes, &Method::GET).ok()??;
        Some(ReplyHeaders::Received(head.fields))
    }

    #[test]
    fn lengths_are_told_chunked_or_by_the_end() {
        let (new, old) = (asked("GET", Version::HTTP_11), asked("GET", Version::HTTP_10));
        let told = [("content-length", "7"), ("transfer-encoding", "chunked"), ("x-a", "1"), ("date", "old")];
        assert_eq!(head(new, 200, &told, Some(7), true), "HTTP/1.1 200 OK;x-a: 1;date: old;content-length: 7;;");
        assert_eq!(head(new, 200, &[], None, true), "HTTP/1.1 200 OK;date: D;transfer-encoding: chunked;;");
        assert_eq!(head(new, 200, &[], Some(0), true), "HTTP/1.1 200 OK;date: D;content-length: 0;;");
        assert_eq!(head(old, 200, &[], None, false), "HTTP/1.1 200 OK;date: D;connection: close;;");
        assert_eq!(
            head(old, 404, &[], Some(10), true),
            "HTTP/1.1 404 Not Found;date: D;content-length: 10;connection: keep-alive;;"
        );
        let closes = [("connection", "x, Close")];
        assert_eq!(
            head(new, 200, &closes, Some(0), true),
            "HTTP/1.1 200 OK;date: D;content-length: 0;connection: close;;"
        );
        assert_eq!(head(new, 299, &[], Some(0), true), "HTTP/1.1 299 ;date: D;content-length: 0;;");
    }

    #[test]
    fn h037_answers_without_a_body_tell_what_it_would_have_been() {
        let (get, by_head) = (asked("GET", Version::HTTP_11), asked("HEAD", Version::HTTP_11));
        let told = [("content-length", "1000")];
        assert_eq!(head(by_head, 200, &told, Some(0), true), "HTTP/1.1 200 OK;date: D;content-length: 1000;;");
        assert_eq!(head(by_head, 404, &[], Some(20), true), "HTTP/1.1 404 Not Found;date: D;content-length: 20;;");
        assert_eq!(head(by_head, 200, &[], Some(0), true), "HTTP/1.1 200 OK;date: D;;");
        assert_eq!(head(get, 204, &told, Some(0), true), "HTTP/1.1 204 No Content;date: D;;");
        assert_eq!(head(get, 304, &told, Some(0), true), "HTTP/1.1 304 Not Modified;date: D;content-length: 1000;;");
        assert_eq!(get.framing(StatusCode::NO_CONTENT, &SizeHint::default()), Framing::None);
    }

    #[test]
    fn an_upgrade_keeps_its_own_connection_header() {
        let headers = [("connection", "upgrade"), ("upgrade", "websocket")];
        assert_eq!(
            head(asked("GET", Version::HTTP_11), 101, &headers, Some(0), false),
            "HTTP/1.1 101 Switching Protocols;connection: upgrade;upgrade: websocket;date: D;;"
        );
    }

    #[test]
    fn h069_trailers_pass_if_they_are_wanted_announced_and_harmless() {
        let get = asked("GET", Version::HTTP_11);
        let mut announced = HeaderMap::new();
        announced.insert("trailer", http::HeaderValue::from_static("x-sum, Content-Length"));
        let announced = ReplyHeaders::Made(Box::new(announced));
        assert!(get.takes_trailer(&announced, &HeaderName::from_static("x-sum")));
        assert!(!get.takes_trailer(&announced, &HeaderName::from_static("x-other")));
        assert!(!get.takes_trailer(&announced, &header::CONTENT_LENGTH));
        let unasked = Asked { takes_trailers: false, ..get };
        assert!(!unasked.takes_trailer(&announced, &HeaderName::from_static("x-sum")));
    }

    #[test]
    fn numbers() {
        let text = |number, base| {
            let mut out = b"x".to_vec();
            write_number(&mut out, number, base);
            String::from_utf8(out).expect("text")
        };
        assert_eq!(
            (text(0, 10), text(1024, 10), text(u64::MAX, 16)),
            ("x0".into(), "x1024".into(), "xffffffffffffffff".into())
        );
    }
}
