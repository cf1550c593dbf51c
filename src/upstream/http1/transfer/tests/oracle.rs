//! Our reading of answers beside hyper's: we may refuse what hyper takes, but what we take, hyper reads the same.

use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;

use super::*;

/// Status, headers and body, as one reader understood them.
type Reading = (u16, HeaderMap, Vec<u8>);

const ANSWERS: [&str; 9] = [
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nServer: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;a=b\r\n world\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n",
    "HTTP/1.1 404 Not Found\r\nX-Empty:\r\nX-Twice: 1\r\nX-Twice: 2\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n\r\n",
    "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nuntil the end",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\nKeep-Alive: timeout=5\r\n\r\nabc",
];

#[derive(Clone, Debug)]
enum Change {
    Replace(u16, u8),
    Insert(u16, u8),
    Remove(u16),
    Repeat(u16, u8),
    Cut(u16),
}

fn any_byte() -> impl Strategy<Value = u8> {
    let telling = proptest::sample::select(&b"\r\n \t:;,=0159afAFx\"\0\x0b\x7f\x80-+"[..]);
    prop_oneof![4 => telling, 1 => any::<u8>()]
}

fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (any::<u16>(), any_byte()).prop_map(|(at, byte)| Change::Replace(at, byte)),
        4 => (any::<u16>(), any_byte()).prop_map(|(at, byte)| Change::Insert(at, byte)),
        3 => any::<u16>().prop_map(Change::Remove),
        2 => (any::<u16>(), 1_u8..40).prop_map(|(at, length)| Change::Repeat(at, length)),
        1 => any::<u16>().prop_map(Change::Cut),
    ]
}

fn change(bytes: &mut Vec<u8>, change: &Change) {
    let length = bytes.len();
    let place = |at: u16| usize::from(at) % length.max(1);
    match *change {
        _ if bytes.is_empty() => {}
        Change::Replace(at, byte) => {
            if let Some(place) = bytes.get_mut(place(at)) {
                *place = byte;
            }
        }
        Change::Insert(at, byte) => bytes.insert(place(at), byte),
        Change::Remove(at) => drop(bytes.remove(place(at))),
        Change::Repeat(at, length) => {
            let at = place(at);
            let piece = bytes[at..bytes.len().min(at + usize::from(length))].to_vec();
            bytes.splice(at..at, piece);
        }
        Change::Cut(at) => bytes.truncate(place(at)),
    }
}

async fn our_reading(answer: &[u8], method: &Method) -> Option<Reading> {
    let (connection, mut server) = pair().await;
    let mut transfer = send(connection, method.clone(), UploadFraming::None, None);
    server.write_all(answer).await.expect("written");
    server.shutdown().await.expect("closed");
    let head = poll_fn(|cx| transfer.poll_head(cx)).await.ok()?;
    let mut data = Vec::new();
    while let Some(frame) = poll_fn(|cx| transfer.poll_body(cx)).await {
        if let Ok(bytes) = frame.ok()?.into_data() {
            data.extend_from_slice(&bytes);
        }
    }
    Some((head.status.as_u16(), head.fields.to_map(), data))
}

async fn hypers_reading(answer: &[u8], method: &Method) -> Option<Reading> {
    let (ours, mut server) = tokio::io::duplex(64 * 1024);
    let serve = async {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            server.read_buf(&mut request).await.expect("readable");
        }
        server.write_all(answer).await.expect("written");
        server.shutdown().await.expect("closed");
    };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(ours)).await.expect("ready");
    let request = http::Request::builder().method(method).uri("/").body(Empty::<Bytes>::new()).expect("a request");
    let read = async move {
        let (parts, body) = sender.send_request(request).await.ok()?.into_parts();
        let data = body.collect().await.ok()?.to_bytes().to_vec();
        Some((parts.status.as_u16(), parts.headers, data))
    };
    let ((), _, reading) = tokio::join!(serve, connection, read);
    reading
}

fn readings(answer: &[u8], method: &Method) -> (Option<Reading>, Option<Reading>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::join!(our_reading(answer, method), hypers_reading(answer, method)) })
}

#[test]
fn whole_answers_are_read_as_hyper_reads_them() {
    for answer in ANSWERS {
        for method in [Method::GET, Method::HEAD] {
            let (ours, hypers) = readings(answer.as_bytes(), &method);
            assert!(ours.is_some(), "{method} {answer:?}");
            assert_eq!(ours, hypers, "{method} {answer:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn h035_a_damaged_answer_is_refused_or_read_as_hyper_reads_it(
        which in 0..ANSWERS.len(),
        changes in proptest::collection::vec(any_change(), 1..4),
        is_head in proptest::bool::weighted(0.1),
    ) {
        let mut answer = ANSWERS[which].as_bytes().to_vec();
        for one in &changes {
            change(&mut answer, one);
        }
        let method = if is_head { Method::HEAD } else { Method::GET };
        let (ours, hypers) = readings(&answer, &method);
        if ours.is_some() {
            prop_assert_eq!(ours, hypers, "{}", String::from_utf8_lossy(&answer));
        }
    }
}
