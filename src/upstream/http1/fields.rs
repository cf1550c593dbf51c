//! The header lines of a response, as they came.
//!
//! Most answers are passed on with nearly all their headers untouched. A `HeaderMap` of them would be built, looked
//! through, written and taken apart for each: a tenth of what a request costs. So the lines stay the bytes they were
//! received as, with a note of where each stands and what it is; lines that are passed on leave as one piece. Who has
//! to look up or change a header asks for the map ([`Fields::to_map`]).
//!
//! Always holds: names are tokens, values have no control bytes but tabs, and each line ends with CRLF; the parser
//! ([`super::head`]) has seen to it.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::framing::has_token;

/// What a header is to a proxy, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `Connection`
    Connection,
    /// `Content-Length`
    ContentLength,
    /// `Content-Type`
    ContentType,
    /// `Date`
    Date,
    /// Belongs to one connection and tells nothing that we use: `TE`, `Proxy-Connection`.
    HopByHop,
    /// `Keep-Alive`
    KeepAlive,
    /// `Trailer`
    Trailer,
    /// `Transfer-Encoding`
    TransferEncoding,
    /// `Upgrade`
    Upgrade,
    /// `WWW-Authenticate`
    WwwAuthenticate,
    /// Any other.
    Other,
}

impl Kind {
    /// Of a header with this name, in whatever case.
    pub fn of(name: &[u8]) -> Self {
        // By length first: most names are told apart without a look at a letter.
        match name.len() {
            2 if is(name, b"te") => Self::HopByHop,
            4 if is(name, b"date") => Self::Date,
            7 if is(name, b"upgrade") => Self::Upgrade,
            7 if is(name, b"trailer") => Self::Trailer,
            10 if is(name, b"keep-alive") => Self::KeepAlive,
            10 if is(name, b"connection") => Self::Connection,
            12 if is(name, b"content-type") => Self::ContentType,
            14 if is(name, b"content-length") => Self::ContentLength,
            16 if is(name, b"proxy-connection") => Self::HopByHop,
            16 if is(name, b"www-authenticate") => Self::WwwAuthenticate,
            17 if is(name, b"transfer-encoding") => Self::TransferEncoding,
            _ => Self::Other,
        }
    }

    /// Whether it tells about the connection it came by and never goes on to another.
    fn is_hop_by_hop(self) -> bool {
        matches!(self, Self::Connection | Self::HopByHop | Self::KeepAlive | Self::TransferEncoding | Self::Upgrade)
    }
}

/// Whether a token is this word of lower case letters and hyphens, in whatever case. Setting the bit of lower case
/// makes a letter or a hyphen of no other byte that a token can have; a length that is known lets all bytes be compared
/// at once.
fn is<const LENGTH: usize>(token: &[u8], word: &[u8; LENGTH]) -> bool {
    let Ok(token) = <&[u8; LENGTH]>::try_from(token) else { return false };
    let mut differs = 0;
    for at in 0..LENGTH {
        differs |= (token[at] | 0x20) ^ word[at];
    }
    differs == 0
}

/// Where a line stands in its block: heads are below 64 KiB and a little.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) name: (u32, u32),
    pub(super) value: (u32, u32),
    pub(super) kind: Kind,
    /// Is not passed on.
    is_dropped: bool,
}

impl Line {
    pub(super) fn new(name: (u32, u32), value: (u32, u32), kind: Kind) -> Self {
        Self { name, value, kind, is_dropped: false }
    }
}

/// The header lines of one response.
#[derive(Debug, Default)]
pub struct Fields {
    block: Bytes,
    lines: Vec<Line>,
    /// What `Content-Length` says, if it stands there once.
    length: Option<u64>,
}

impl Fields {
    /// Of a whole head, of which `lines` tell where each header stands, in order.
    pub(super) fn new(block: Bytes, lines: Vec<Line>, length: Option<u64>) -> Self {
        let is_single = || lines.iter().filter(|line| line.kind == Kind::ContentLength).count() == 1;
        let length = length.filter(|_| is_single());
        Self { block, lines, length }
    }

    fn bytes(&self, (start, end): (u32, u32)) -> &[u8] {
        self.block.get(start as usize..end as usize).unwrap_or_default()
    }

    /// The values of the headers of one kind, as long as they are passed on.
    pub fn values(&self, kind: Kind) -> impl Iterator<Item = &[u8]> {
        self.lines.iter().filter(move |line| line.kind == kind && !line.is_dropped).map(|line| self.bytes(line.value))
    }

    /// Takes out what belongs to the server's connection: hop-by-hop headers and whatever `Connection` names, but not
    /// the names in `protected` (in any case) and not the length. `Trailer` stays: it announces what follows the
    /// body, and the body is passed on with its trailers.
    pub fn strip(&mut self, protected: &[HeaderName]) {
        let mut lists = 0;
        for line in &mut self.lines {
            lists += u32::from(line.kind == Kind::Connection);
            line.is_dropped |= line.kind.is_hop_by_hop();
        }
        if lists == 0 {
            return;
        }
        let Self { block, lines, .. } = self;
        let bytes = |(start, end): (u32, u32)| block.get(start as usize..end as usize).unwrap_or_default();
        // The two words that nearly all servers send name no header.
        let is_plain = |line: &Line| is(bytes(line.value), b"keep-alive") || is(bytes(line.value), b"close");
        let lists = lines.iter().filter(|line| line.kind == Kind::Connection && !is_plain(line));
        let named: Vec<(u32, u32)> = lists.map(|line| line.value).collect();
        if named.is_empty() {
            return;
        }
        for line in lines.iter_mut().filter(|line| !line.is_dropped && line.kind != Kind::ContentLength) {
            let name = bytes(line.name);
            let is_named = || named.iter().any(|list| has_token(bytes(*list), name));
            let is_protected = || protected.iter().any(|kept| name.eq_ignore_ascii_case(kept.as_str().as_bytes()));
            line.is_dropped = is_named() && !is_protected();
        }
    }

    /// Appends the lines that are passed on. The length is told by whoever frames the body anew, so that line goes,
    /// unless it says `length` and nothing else has to be written.
    pub fn write(&self, out: &mut Vec<u8>, length: Option<u64>) -> Written<'_> {
        let has_length = self.length.is_some() && self.length == length;
        let mut written = Written { length_as_told: None, has_length, has_date: false };
        let mut piece = None;
        for line in &self.lines {
            let is_length = line.kind == Kind::ContentLength;
            if is_length {
                written.length_as_told = Some(self.bytes(line.value));
            }
            written.has_date |= line.kind == Kind::Date && !line.is_dropped;
            let (start, is_kept) = (line.name.0, !line.is_dropped && (has_length || !is_length));
            match (is_kept, piece) {
                (true, None) => piece = Some(start),
                (false, Some(from)) => {
                    out.extend_from_slice(self.bytes((from, start)));
                    piece = None;
                }
                _ => {}
            }
        }
        if let Some(from) = piece {
            // The final empty line is not one of them.
            let end = u32::try_from(self.block.len().saturating_sub(2)).unwrap_or(u32::MAX);
            out.extend_from_slice(self.bytes((from, end)));
        }
        written
    }

    /// The headers that are passed on, to be looked up and changed.
    pub fn to_map(&self) -> HeaderMap {
        let mut map = HeaderMap::with_capacity(self.lines.len() + 2);
        for line in self.lines.iter().filter(|line| !line.is_dropped) {
            let name = HeaderName::from_bytes(self.bytes(line.name));
            let value = self.block.slice(line.value.0 as usize..line.value.1 as usize);
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_maybe_shared(value)) {
                map.append(name, value);
            }
        }
        map
    }
}

/// What was among the lines.
#[derive(Clone, Copy, Debug)]
pub struct Written<'f> {
    /// The length that the server told.
    pub length_as_told: Option<&'f [u8]>,
    /// It was written.
    pub has_length: bool,
    /// `Date` was written.
    pub has_date: bool,
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use http::{Method, header};

    use super::super::head::parse;
    use super::*;

    fn fields(lines: &str) -> Fields {
        let text = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
        parse(&mut BytesMut::from(&text[..]), &Method::GET).expect("a head").expect("whole").fields
    }

    fn written(fields: &Fields) -> (String, Option<String>, bool) {
        let mut out = Vec::new();
        let written = fields.write(&mut out, None);
        let length = written.length_as_told.map(|length| String::from_utf8_lossy(length).into_owned());
        (String::from_utf8_lossy(&out).replace("\r\n", ";"), length, written.has_date)
    }

    #[test]
    fn what_is_passed_on_leaves_as_it_came() {
        let mut answer = fields(
            "Server: x\r\nConnection: X-Own, content-LENGTH, Cookie\r\nX-Own: 1\r\nContent-Length: 5\r\nA:b\r\nCookie: c\r\nTE: x\r\nDate: d\r\nkeep-alive: 5\r\n",
        );
        answer.strip(&[header::COOKIE]);
        assert_eq!(written(&answer), ("Server: x;A:b;Cookie: c;Date: d;".to_owned(), Some("5".to_owned()), true));
        let map = answer.to_map();
        let names: Vec<&str> = map.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["server", "content-length", "a", "cookie", "date"]);
    }

    #[test]
    fn nothing_but_hop_by_hop_leaves_nothing() {
        let mut answer =
            fields("Connection: close\r\nTransfer-Encoding: chunked\r\nUpgrade: x\r\nProxy-Connection: x\r\n");
        answer.strip(&[]);
        assert_eq!(written(&answer), (String::new(), None, false));
        assert_eq!(written(&fields("")), (String::new(), None, false));
    }

    #[test]
    fn a_length_that_is_right_stays_where_it_stands() {
        let lines = |lines: &str, length| {
            let mut out = Vec::new();
            let has_length = fields(lines).write(&mut out, length).has_length;
            (String::from_utf8_lossy(&out).replace("\r\n", ";"), has_length)
        };
        let told = "A: 1\r\nContent-Length: 05\r\nB: 2\r\n";
        assert_eq!(lines(told, Some(5)), ("A: 1;Content-Length: 05;B: 2;".to_owned(), true));
        assert_eq!(lines(told, Some(4)), ("A: 1;B: 2;".to_owned(), false));
        assert_eq!(lines(told, None), ("A: 1;B: 2;".to_owned(), false));
        let twice = "Content-Length: 5\r\nContent-Length: 5\r\nB: 2\r\n";
        assert_eq!(lines(twice, Some(5)), ("B: 2;".to_owned(), false));
    }

    #[test]
    fn kinds_are_known_in_any_case() {
        for (name, kind) in [
            ("Connection", Kind::Connection),
            ("KEEP-ALIVE", Kind::KeepAlive),
            ("content-length", Kind::ContentLength),
            ("Upgrade", Kind::Upgrade),
            ("Trailer", Kind::Trailer),
            ("proxy-Connection", Kind::HopByHop),
            ("WWW-Authenticate", Kind::WwwAuthenticate),
            ("Transfer-Encoding", Kind::TransferEncoding),
            ("content-type", Kind::ContentType),
            ("te", Kind::HopByHop),
            ("date", Kind::Date),
            ("data", Kind::Other),
            ("x-anything", Kind::Other),
            ("", Kind::Other),
        ] {
            assert_eq!(Kind::of(name.as_bytes()), kind, "{name}");
        }
    }
}
