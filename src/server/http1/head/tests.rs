//! What is refused, and hyper's server as the judge of what is not.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::upstream::http1::chunked::{Chunked, Decoded};

fn limits() -> ListenerLimits {
    ListenerLimits::default()
}

fn read(text: &[u8]) -> Result<Option<RequestHead>, Refusal> {
    parse(&mut BytesMut::from(text), &limits()).map_err(|refused| refused.refusal)
}

fn refusal(head: &str) -> Option<Refusal> {
    read(format!("{head}\r\n\r\n").as_bytes()).err()
}

#[test]
fn a_head_is_read_and_what_follows_is_left() {
    let mut buffer = BytesMut::from(
        &b"\r\nPOST /a?b HTTP/1.1\r\nHost: x\r\nX-Mine:  1 \t\r\nEmpty:\r\nX-Mine: 2\r\nContent-Length: 5\r\nExpect: 100-Continue\r\n\r\nhello"[..],
    );
    let head = parse(&mut buffer, &limits()).expect("a head").expect("whole");
    assert_eq!((head.parts.method.as_str(), head.parts.uri.to_string().as_str()), ("POST", "/a?b"));
    let mine: Vec<_> = head.parts.headers.get_all("x-mine").iter().map(HeaderValue::as_bytes).collect();
    assert_eq!((mine, head.parts.headers["empty"].as_bytes()), (vec![&b"1"[..], b"2"], &b""[..]));
    assert_eq!((head.framing, head.keeps_alive, head.expects_continue), (BodyFraming::Length(5), true, true));
    assert_eq!(buffer.as_ref(), b"hello");
}

#[test]
fn a_head_that_has_not_come_in_full_is_left_alone() {
    let whole = b"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n";
    for end in 0..whole.len() {
        let mut buffer = BytesMut::from(&whole[..end]);
        assert!(matches!(parse(&mut buffer, &limits()), Ok(None)), "cut at {end}");
        assert_eq!(buffer.as_ref(), &whole[..end]);
    }
}

#[test]
fn who_goes_on() {
    let goes_on = |line: &str, headers: &str| {
        read(format!("GET / {line}\r\n{headers}\r\n").as_bytes()).expect("a head").expect("whole").keeps_alive
    };
    assert!(goes_on("HTTP/1.1", ""));
    assert!(!goes_on("HTTP/1.1", "Connection: x, Close\r\n"));
    assert!(!goes_on("HTTP/1.1", "Connection: close\r\nConnection: keep-alive\r\n"));
    assert!(!goes_on("HTTP/1.0", ""));
    assert!(goes_on("HTTP/1.0", "Connection: Keep-Alive\r\n"));
}

#[test]
fn h001_to_h010_lengths_that_can_be_read_two_ways() {
    for framing in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 0\r\nContent-Length: 5",
        "Content-Length: 5, 5",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 0x5",
        "Content-Length: 1_0",
        "Content-Length: 5a",
        "Content-Length: 5 5",
        "Content-Length:",
        "Content-Length: 99999999999999999999",
        "Content-Length: 18446744073709551616",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: ,chunked",
        "Transfer-Encoding: chunked,",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding:",
    ] {
        assert_eq!(
            refusal(&format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}")),
            Some(Refusal::BadFraming),
            "{framing}"
        );
    }
    assert_eq!(
        refusal("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked"),
        Some(Refusal::BadFraming),
        "HTTP/1.0 has no codings"
    );
    let framing = |text: &str| {
        let head = format!("POST / HTTP/1.1\r\n{text}\r\n\r\n");
        read(head.as_bytes()).expect("a head").expect("whole").framing
    };
    assert_eq!(framing("Content-Length: 010"), BodyFraming::Length(10));
    assert_eq!(framing("Content-Length: 5 "), BodyFraming::Length(5));
    assert_eq!(framing("Content-Length: 0"), BodyFraming::None);
    assert_eq!(framing("Transfer-Encoding: CHUNKED"), BodyFraming::Chunked);
}

#[test]
fn h008_h009_h014_to_h018_h028_to_h030_heads_that_are_no_http() {
    for head in [
        "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked",
        "GET / HTTP/1.1\r\n Host: a",
        "GET / HTTP/1.1\r\nX: y\r\n Transfer-Encoding: chunked",
        "GET / HTTP/1.1\r\nX: y\r\n\tTransfer-Encoding: chunked",
        "GET / HTTP/1.1\r\nTransfer-Encoding: \u{b}chunked",
        "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\0",
        "GET / HTTP/1.1\r\nTransfer-Encoding:\rchunked",
        "GET / HTTP/1.1\nHost: a",
        "GET / HTTP/1.1\r\nHost: a\nX: y",
        "GET / HTTP/1.1\r\nX: a\rb",
        "GET / HTTP/1.1\r\nX: a\0b",
        "GET / HTTP/1.1\r\nX\0: b",
        "GET / HTTP/1.1\r\n: b",
        "GET / HTTP/1.1\r\nno colon",
        "GET / HTTP/1.1\r\nX\u{e9}: b",
        "GET / HTTP/1.1\r\nX: \u{7f}",
        "G{T / HTTP/1.1",
        "GET /",
        "GET / ",
        "GET / HTTP/1.1 ",
        "GET / http/1.1",
        "GET / FTP/1.1",
        "GET / HTTP/1",
        "GET / HTTP/1.10",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET /a b HTTP/1.1",
        " GET / HTTP/1.1",
        "\r\n\r\nGET / HTTP/1.1",
        "\nGET / HTTP/1.1",
        "\rGET / HTTP/1.1",
        "\u{16}\u{3}\u{1}",
    ] {
        assert_eq!(refusal(head), Some(Refusal::BadHead), "{head:?}");
    }
    for line in ["GET / HTTP/1.2", "GET / HTTP/2.0", "GET / HTTP/0.9", "PRI * HTTP/2.0"] {
        assert_eq!(refusal(line), Some(Refusal::BadVersion), "{line}");
    }
    assert_eq!(read(b"GET / HTTP/1.1\r\nHost: a\r\n\n").err(), Some(Refusal::BadHead));
    assert_eq!(read(b"GET / HTTP/1.1\r\nHost: a\n\r\n").err(), Some(Refusal::BadHead));
    assert_eq!(read(b"GET / HTTP/1.1\n\r\n").err(), Some(Refusal::BadHead));
}

#[test]
fn h031_targets_with_a_fragment_or_another_scheme() {
    for target in ["/a#b", "/#", "#", "http://a/b#c", "ftp://a/b", "file:///etc/passwd", "/\u{7f}"] {
        let found = refusal(&format!("GET {target} HTTP/1.1\r\nHost: a"));
        assert!(matches!(found, Some(Refusal::BadPath | Refusal::BadHead)), "{target}: {found:?}");
    }
    for target in ["/a%23b", "http://a/b", "HTTPS://a:1/b", "*"] {
        assert_eq!(refusal(&format!("GET {target} HTTP/1.1\r\nHost: a")), None, "{target}");
    }
}

#[test]
fn h041_every_limit_is_the_listeners() {
    let limits = ListenerLimits { head_bytes: 200, headers: 3, uri_bytes: 50, ..limits() };
    let found = |text: &str| parse(&mut BytesMut::from(text), &limits).map_err(|refused| refused.refusal).err();
    assert_eq!(found("GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n"), None);
    assert_eq!(found("GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n\r\n"), Some(Refusal::HeadTooLarge));
    assert_eq!(found(&format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(49))), None);
    assert_eq!(found(&format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(50))), Some(Refusal::UriTooLong));
    assert_eq!(found(&format!("GET /{}", "a".repeat(50))), Some(Refusal::UriTooLong), "its end need not come");
    assert_eq!(found(&format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "a".repeat(200))), Some(Refusal::HeadTooLarge));
    assert_eq!(found(&format!("GET / HTTP/1.1\r\nA: {}", "a".repeat(200))), Some(Refusal::HeadTooLarge));
    assert_eq!(found(&"A".repeat(201)), Some(Refusal::HeadTooLarge));
    let many = ListenerLimits { headers: 300, ..ListenerLimits::default() };
    let head = |lines: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "A: 1\r\n".repeat(lines));
    assert!(parse(&mut BytesMut::from(head(300).as_str()), &many).is_ok_and(|head| head.is_some()));
    assert!(parse(&mut BytesMut::from(head(301).as_str()), &many).is_err());
}

#[test]
fn what_is_known_of_a_bad_head_is_told() {
    let refused = |text: &str| {
        let parts = parse(&mut BytesMut::from(text), &limits()).expect_err("refused").parts;
        format!("{} {}", parts.method, parts.uri)
    };
    assert_eq!(refused("GET /a?b HTTP/1.1\r\nX : y\r\n\r\n"), "GET /a?b");
    assert_eq!(refused("POST /a HTTP/1.1\r\nContent-Length: x\r\n\r\n"), "POST /a");
    assert_eq!(refused("\u{16}\u{3}\u{1}\0 \r\n\r\n"), "- /");
}

/// A request as somebody has read it.
#[derive(Clone, Debug, PartialEq)]
struct Read {
    method: String,
    target: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Read {
    fn new(parts: &Parts, body: Vec<u8>) -> Self {
        let headers = parts.headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
        Self { method: parts.method.to_string(), target: parts.uri.to_string(), headers: headers.collect(), body }
    }
}

/// The first request in these bytes, as we read it; none if it is refused or not whole.
fn ours(bytes: &[u8]) -> Option<Read> {
    let mut buffer = BytesMut::from(bytes);
    let head = parse(&mut buffer, &limits()).ok()??;
    let mut body = Vec::new();
    match head.framing {
        BodyFraming::None => {}
        BodyFraming::Length(length) => {
            body.extend_from_slice(buffer.get(..usize::try_from(length).ok()?)?);
        }
        BodyFraming::Chunked => {
            let mut chunked = Chunked::default();
            loop {
                match chunked.decode(&mut buffer).ok()? {
                    Decoded::Data(data) => body.extend_from_slice(&data),
                    Decoded::NeedMore => return None,
                    Decoded::End | Decoded::Trailers(_) => break,
                }
            }
        }
    }
    Some(Read::new(&head.parts, body))
}

/// The same by hyper.
fn hypers(bytes: &[u8]) -> Option<Read> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let first = Arc::new(Mutex::new(None));
    let found = Arc::clone(&first);
    let service = service_fn(move |request: Request<Incoming>| {
        let found = Arc::clone(&found);
        async move {
            let (parts, body) = request.into_parts();
            let read = body.collect().await.ok().map(|body| Read::new(&parts, body.to_bytes().to_vec()));
            found.lock().expect("not poisoned").get_or_insert(read);
            Ok::<_, Infallible>(http::Response::new(Empty::<Bytes>::new()))
        }
    });
    runtime.block_on(async {
        let (mut client, server) = tokio::io::duplex(64 * 1024);
        client.write_all(bytes).await.expect("it fits");
        client.shutdown().await.expect("half closed");
        let mut builder = hyper::server::conn::http1::Builder::new();
        let serving = builder.half_close(true).serve_connection(TokioIo::new(server), service);
        let mut answer = Vec::new();
        let _ = tokio::join!(serving, client.read_to_end(&mut answer));
    });
    let read = first.lock().expect("not poisoned").take();
    read.flatten()
}

const REQUESTS: [&str; 8] = [
    "GET /a?b=c HTTP/1.1\r\nHost: x.example\r\nUser-Agent: t\r\nAccept: */*\r\n\r\n",
    "GET http://x.example:80/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\nhello worldGET /next HTTP/1.1\r\nHost: x\r\n\r\n",
    "PUT /p HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;a=\"b\"\r\n world\r\n0\r\n\r\n",
    "POST /t HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n",
    "POST /o HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabc",
    "OPTIONS * HTTP/1.1\r\nHost: x\r\nX-Empty:\r\nX-Two: 1\r\nX-Two: 2\r\n\r\n",
    "\r\nDELETE /d HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n",
];

/// What smuggling is made of.
const PIECES: [&str; 28] = [
    "\r\n",
    "\n",
    "\r",
    "\0",
    " ",
    "\t",
    "\u{b}",
    ":",
    ",",
    ";",
    "#",
    "?",
    "0",
    "5",
    "a",
    "chunked",
    "identity",
    "HTTP/1.0",
    "HTTP/1.1",
    "\r\n\r\n",
    "0\r\n\r\n",
    "Content-Length: 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Host: y\r\n",
    "Connection: close\r\n",
    "\r\n ",
    "00000000",
    "-",
];

/// One change of a request.
#[derive(Clone, Debug)]
enum Change {
    Byte(usize, u8),
    Insert(usize, usize),
    Replace(usize, usize, usize),
    Remove(usize, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let place = 0_usize..200;
    prop_oneof![
        (place.clone(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        (place.clone(), 0..PIECES.len()).prop_map(|(at, piece)| Change::Insert(at, piece)),
        (place.clone(), 1_usize..4, 0..PIECES.len()).prop_map(|(at, size, piece)| Change::Replace(at, size, piece)),
        (place, 1_usize..12).prop_map(|(at, size)| Change::Remove(at, size)),
    ]
}

fn changed(request: &str, changes: &[Change]) -> Vec<u8> {
    let mut bytes = request.as_bytes().to_vec();
    for change in changes {
        let place = |at: usize| at % (bytes.len() + 1);
        match *change {
            Change::Byte(at, byte) => {
                let at = place(at);
                if let Some(slot) = bytes.get_mut(at) {
                    *slot = byte;
                }
            }
            Change::Insert(at, piece) => {
                let at = place(at);
                bytes.splice(at..at, PIECES[piece].bytes());
            }
            Change::Replace(at, size, piece) => {
                let at = place(at);
                let end = (at + size).min(bytes.len());
                bytes.splice(at..end, PIECES[piece].bytes());
            }
            Change::Remove(at, size) => {
                let at = place(at);
                let end = (at + size).min(bytes.len());
                bytes.drain(at..end);
            }
        }
    }
    bytes
}

#[test]
fn good_requests_are_read_as_hyper_reads_them() {
    for request in REQUESTS {
        let read = ours(request.as_bytes());
        assert!(read.is_some(), "{request:?}");
        assert_eq!(read, hypers(request.as_bytes()), "{request:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_we_accept_hyper_accepts_and_reads_the_same(
        request in 0..REQUESTS.len(),
        changes in proptest::collection::vec(change(), 0..4),
    ) {
        let bytes = changed(REQUESTS[request], &changes);
        if let Some(read) = ours(&bytes) {
            prop_assert_eq!(Some(read), hypers(&bytes), "{:?}", String::from_utf8_lossy(&bytes));
        }
    }

    #[test]
    fn how_a_head_is_cut_into_reads_changes_nothing(
        request in 0..REQUESTS.len(),
        changes in proptest::collection::vec(change(), 0..3),
        cut in 0_usize..200,
    ) {
        let bytes = changed(REQUESTS[request], &changes);
        let shown = |result: Result<Option<RequestHead>, Box<Refused>>| {
            result.map(|head| head.map(|head| Read::new(&head.parts, Vec::new()))).map_err(|refused| refused.refusal)
        };
        let whole = shown(parse(&mut BytesMut::from(&bytes[..]), &limits()));
        let cut = cut % (bytes.len() + 1);
        let mut buffer = BytesMut::from(&bytes[..cut]);
        match shown(parse(&mut buffer, &limits())) {
            Ok(None) => {
                buffer.extend_from_slice(&bytes[cut..]);
                prop_assert_eq!(shown(parse(&mut buffer, &limits())), whole);
            }
            // What was enough for an answer stays that answer, unless more makes a bad head worse.
            Ok(found) => prop_assert_eq!(Ok(found), whole),
            Err(_) => prop_assert!(whole.is_err()),
        }
    }

    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&bytes);
        let _ = read(&[b"GET / HTTP/1.1\r\n".to_vec(), bytes, b"\r\n\r\n".to_vec()].concat());
    }
}
