//! Exchanges over real sockets, with a server that sends exactly the bytes of the test.

mod oracle;

use std::future::poll_fn;
use std::time::{Duration, Instant};

use http::HeaderMap;
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::upstream::http1::UploadFraming;
use crate::upstream::http1::encode::HeadWriter;

type TestBody = http_body_util::combinators::UnsyncBoxBody<Bytes, std::io::Error>;

fn full(text: &'static str) -> TestBody {
    Full::new(Bytes::from_static(text.as_bytes())).map_err(|never| match never {}).boxed_unsync()
}

/// A connected pair: ours, and the server's side.
async fn pair() -> (Box<Connection>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (ours, theirs) = tokio::join!(TcpStream::connect(address), listener.accept());
    (Connection::new(ours.expect("connected"), Instant::now(), None), theirs.expect("accepted").0)
}

fn send(
    connection: Box<Connection>,
    method: Method,
    framing: UploadFraming,
    body: Option<TestBody>,
) -> Box<Transfer<TestBody>> {
    let head = HeadWriter::new(&method, "/", 64).finish(framing);
    connection.send(method, head, framing, body, None)
}

async fn read_all(
    transfer: &mut Transfer<TestBody>,
) -> Result<(StatusCode, Vec<u8>, Option<HeaderMap>), TransferError> {
    let head = poll_fn(|cx| transfer.poll_head(cx)).await?;
    let (mut data, mut trailers) = (Vec::new(), None);
    while let Some(frame) = poll_fn(|cx| transfer.poll_body(cx)).await {
        match frame?.into_data() {
            Ok(bytes) => data.extend_from_slice(&bytes),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Ok((head.status, data, trailers))
}

/// What came of one GET that the server answers with these bytes, then closing or not.
async fn answer(bytes: &[u8], closes: bool) -> (Result<(u16, String), TransferError>, bool) {
    let (connection, mut server) = pair().await;
    let mut transfer = send(connection, Method::GET, UploadFraming::None, None);
    server.write_all(bytes).await.expect("written");
    if closes {
        server.shutdown().await.expect("closed");
    }
    let result = read_all(&mut transfer).await;
    let is_reusable = transfer.into_connection().is_some();
    (result.map(|(status, data, _)| (status.as_u16(), String::from_utf8_lossy(&data).into_owned())), is_reusable)
}

#[tokio::test]
async fn answers_of_every_framing() {
    for (bytes, closes, body, reusable) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", false, "hi", true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", false, "hi", true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, "", true),
        (
            "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
            false,
            "hi",
            true,
        ),
        ("HTTP/1.1 200 OK\r\n\r\nhi", true, "hi", false),
        ("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi", false, "hi", false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", false, "hi", false),
    ] {
        let (result, is_reusable) = answer(bytes.as_bytes(), closes).await;
        assert_eq!(result.expect("an answer"), (200, body.to_owned()), "{bytes:?}");
        assert_eq!(is_reusable, reusable, "{bytes:?}");
    }
}

#[tokio::test]
async fn h036_bytes_after_an_answer_are_never_the_next_one() {
    let (result, is_reusable) =
        answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\n", false).await;
    assert_eq!(result.expect("an answer").1, "hi");
    assert!(!is_reusable);
}

#[tokio::test]
async fn h036_bytes_on_an_idle_connection_make_it_unusable() {
    let (mut connection, mut server) = pair().await;
    assert!(connection.is_usable());
    server.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.expect("written");
    while connection.is_usable() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn h038_an_answer_cut_short_never_ends_cleanly() {
    for bytes in [
        "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n",
        "HTTP/1.1 200 OK\r\nContent-Le",
    ] {
        let (result, _) = answer(bytes.as_bytes(), true).await;
        assert!(matches!(result, Err(TransferError::Cut)), "{bytes:?} {result:?}");
    }
    let (result, _) = answer(b"", true).await;
    assert!(matches!(result, Err(TransferError::NoAnswer)));
}

#[tokio::test]
async fn h026_h039_interim_answers_nobody_asked_for_are_refused() {
    let (result, _) = answer(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", false).await;
    assert!(matches!(result, Err(TransferError::Response(ResponseError::Interim))));
    let flood = "HTTP/1.1 100 Continue\r\n\r\n".repeat(40);
    let (result, _) = answer(flood.as_bytes(), false).await;
    assert!(matches!(result, Err(TransferError::Response(ResponseError::Interim))));
}

#[tokio::test]
async fn h101_an_early_answer_arrives_although_the_body_is_not_finished() {
    let (connection, mut server) = pair().await;
    let endless = StreamBody::new(futures_util::stream::pending::<Result<Frame<Bytes>, std::io::Error>>());
    let body = http_body_util::combinators::UnsyncBoxBody::new(endless);
    let mut transfer = send(connection, Method::POST, UploadFraming::Chunked, Some(body));
    server.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno").await.expect("written");
    let (status, data, _) = read_all(&mut transfer).await.expect("an answer");
    assert_eq!((status.as_u16(), data.as_slice()), (413, &b"no"[..]));
    assert!(transfer.into_connection().is_none(), "half a request is on it");
}

#[tokio::test]
async fn requests_are_framed_as_said() {
    for (framing, wanted) in [
        (UploadFraming::Length(5), "POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\nhello"),
        (UploadFraming::Chunked, "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    ] {
        let (connection, mut server) = pair().await;
        let mut transfer = send(connection, Method::POST, framing, Some(full("hello")));
        let serve = async {
            let mut seen = vec![0; wanted.len()];
            server.read_exact(&mut seen).await.expect("the request");
            server.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.expect("written");
            String::from_utf8_lossy(&seen).into_owned()
        };
        let (seen, result) = tokio::join!(serve, read_all(&mut transfer));
        assert_eq!(seen, wanted);
        assert_eq!(result.expect("an answer").0, 204);
        assert!(transfer.into_connection().is_some());
    }
}

#[tokio::test]
async fn a_large_body_passes_whole_in_both_framings() {
    const FRAMES: usize = 200;
    for framing in [UploadFraming::Length(FRAMES as u64 * 30_000), UploadFraming::Chunked] {
        let (connection, mut server) = pair().await;
        let frames =
            (0..FRAMES).map(|i| Ok::<_, std::io::Error>(Frame::data(Bytes::from(vec![b'a' + (i % 26) as u8; 30_000]))));
        let body = http_body_util::combinators::UnsyncBoxBody::new(StreamBody::new(futures_util::stream::iter(frames)));
        let mut transfer = send(connection, Method::POST, framing, Some(body));
        let serve = async {
            let (mut seen, mut piece) = (Vec::new(), vec![0; 50_000]);
            let is_whole = |seen: &[u8]| match framing {
                UploadFraming::Chunked => seen.ends_with(b"0\r\n\r\n"),
                _ => seen.len() > FRAMES * 30_000,
            };
            while !is_whole(&seen) {
                let count = server.read(&mut piece).await.expect("readable");
                assert!(count > 0);
                seen.extend_from_slice(&piece[..count]);
            }
            server.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.expect("written");
            seen
        };
        let (seen, result) = tokio::join!(serve, read_all(&mut transfer));
        assert_eq!(result.expect("an answer").0, 204);
        let head = seen.windows(4).position(|w| w == b"\r\n\r\n").expect("a head") + 4;
        let letters = seen[head..].iter().filter(|b| b.is_ascii_lowercase()).count();
        assert_eq!(letters, FRAMES * 30_000, "sizes in hexadecimal have no letters here: 7530");
    }
}

#[tokio::test]
async fn h020_a_client_that_sends_less_than_it_said_is_an_error() {
    let (connection, _server) = pair().await;
    let mut transfer = send(connection, Method::POST, UploadFraming::Length(50), Some(full("hello")));
    assert!(matches!(read_all(&mut transfer).await, Err(TransferError::Client)));
}

#[tokio::test]
async fn trailers_pass() {
    let (connection, mut server) = pair().await;
    let mut transfer = send(connection, Method::GET, UploadFraming::None, None);
    server
        .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n")
        .await
        .expect("written");
    let (_, data, trailers) = read_all(&mut transfer).await.expect("an answer");
    assert_eq!(data, b"a");
    assert_eq!(trailers.expect("trailers").get("x-sum").map(http::HeaderValue::as_bytes), Some(&b"1"[..]));
}

#[tokio::test]
async fn the_servers_keep_alive_time_is_obeyed() {
    let (connection, mut server) = pair().await;
    let mut transfer = send(connection, Method::GET, UploadFraming::None, None);
    server.write_all(b"HTTP/1.1 204 X\r\nKeep-Alive: timeout=2, max=9\r\n\r\n").await.expect("written");
    read_all(&mut transfer).await.expect("an answer");
    let connection = transfer.into_connection().expect("kept");
    assert_eq!(connection.idle_limit(), Some(Duration::from_millis(1500)));
    assert!(connection.is_reused());
}

#[tokio::test]
async fn an_empty_chunked_body_ends_also_when_it_is_sent_again() {
    let (connection, mut server) = pair().await;
    let mut transfer = send(connection, Method::PUT, UploadFraming::Chunked, None);
    let wanted = "PUT / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    let serve = async {
        let mut seen = vec![0; wanted.len()];
        server.read_exact(&mut seen).await.expect("the request");
        server.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.expect("written");
        seen
    };
    let (seen, result) = tokio::join!(serve, read_all(&mut transfer));
    assert_eq!((seen.as_slice(), result.expect("an answer").0.as_u16()), (wanted.as_bytes(), 204));
}

/// What came of asking for an upgrade to `websocket` when the server answers with these bytes.
async fn upgrade(answer: &str) -> (Result<StatusCode, TransferError>, Transfer<TestBody>, TcpStream) {
    let (connection, mut server) = pair().await;
    let head = Bytes::from_static(b"GET / HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
    let protocol = HeaderValue::from_static("websocket");
    let mut transfer = connection.send(Method::GET, head, UploadFraming::None, None::<TestBody>, Some(protocol));
    server.write_all(answer.as_bytes()).await.expect("written");
    let found = poll_fn(|cx| transfer.poll_head(cx)).await.map(|head| head.status);
    (found, *transfer, server)
}

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\r\n";

#[tokio::test]
async fn after_an_upgrade_bytes_pass_both_ways_beginning_with_those_behind_the_answer() {
    let (status, transfer, mut server) = upgrade(&format!("{SWITCH}early")).await;
    assert_eq!(status.expect("an answer"), 101);
    assert!(transfer.is_end());
    let mut tunnel = transfer.into_upgraded().expect("upgraded");
    let mut request = vec![0; 65];
    let request_bytes = server.read(&mut request).await.expect("the request");
    assert!(request_bytes > 0);
    server.write_all(b"later").await.expect("written");
    let mut seen = [0; 3];
    tunnel.read_exact(&mut seen).await.expect("readable");
    let mut rest = [0; 7];
    tunnel.read_exact(&mut rest).await.expect("readable");
    assert_eq!((&seen, &rest), (b"ear", b"lylater"));
    tunnel.write_all(b"ours").await.expect("writable");
    tunnel.shutdown().await.expect("closable");
    let mut answer = String::new();
    server.read_to_string(&mut answer).await.expect("readable");
    assert_eq!(answer, "ours");
}

#[tokio::test]
async fn h026_a_switch_to_something_else_is_an_error() {
    for answer in [
        "HTTP/1.1 101 X\r\n\r\n",
        "HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.1 101 X\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
        "HTTP/1.1 101 X\r\nUpgrade: websocket, h2c\r\nConnection: upgrade\r\n\r\n",
        "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 5\r\n\r\n",
    ] {
        let (result, transfer, _server) = upgrade(answer).await;
        assert!(matches!(result, Err(TransferError::Response(ResponseError::Interim))), "{answer:?}");
        assert!(transfer.into_upgraded().is_none(), "{answer:?}");
    }
    let (result, _) = answer(SWITCH.as_bytes(), false).await;
    assert!(result.is_err(), "nobody asked for it");
}

#[tokio::test]
async fn h024_no_switch_before_the_request_is_out_in_full() {
    let (connection, mut server) = pair().await;
    let endless = StreamBody::new(futures_util::stream::pending::<Result<Frame<Bytes>, std::io::Error>>());
    let body = Some(http_body_util::combinators::UnsyncBoxBody::new(endless));
    let head = HeadWriter::new(&Method::POST, "/", 64).finish(UploadFraming::Chunked);
    let protocol = Some(HeaderValue::from_static("websocket"));
    let mut transfer: Transfer<TestBody> = *connection.send(Method::POST, head, UploadFraming::Chunked, body, protocol);
    server.write_all(SWITCH.as_bytes()).await.expect("written");
    assert!(poll_fn(|cx| transfer.poll_head(cx)).await.is_err());
}

#[tokio::test]
async fn h023_another_answer_to_an_upgrade_is_no_tunnel() {
    let (status, mut transfer, _server) = upgrade("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await;
    assert_eq!(status.expect("an answer"), 200);
    let body = poll_fn(|cx| transfer.poll_body(cx)).await.expect("a body").expect("whole");
    assert_eq!(body.into_data().expect("data"), "hi");
    let connection = transfer.into_connection().expect("clean, so it is kept");
    drop(connection);
    let (status, transfer, _server) = upgrade("HTTP/1.1 426 No\r\nContent-Length: 0\r\n\r\n\x01\x05").await;
    assert_eq!(status.expect("an answer"), 426);
    assert!(transfer.into_upgraded().is_none());
    let (_, transfer, _server) = upgrade("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nextra").await;
    assert!(transfer.into_connection().is_none(), "not clean");
}

#[tokio::test]
async fn h037_a_body_where_none_may_be_ends_the_connection() {
    for (method, answer) in [
        (Method::HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"),
        (Method::GET, "HTTP/1.1 204 No Content\r\n\r\nhi"),
        (Method::GET, "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nhi"),
    ] {
        let (connection, mut server) = pair().await;
        let mut transfer = send(connection, method, UploadFraming::None, None);
        server.write_all(answer.as_bytes()).await.expect("written");
        let (_, data, _) = read_all(&mut transfer).await.expect("an answer");
        assert!(data.is_empty(), "{answer:?}");
        assert!(transfer.into_connection().is_none(), "{answer:?}");
    }
}

#[tokio::test]
async fn h090_a_connection_with_credentials_of_its_own_is_not_shared() {
    let (connection, mut server) = pair().await;
    let mut transfer = send(connection.for_one_client(), Method::GET, UploadFraming::None, None);
    server.write_all(b"HTTP/1.1 204 X\r\n\r\n").await.expect("written");
    read_all(&mut transfer).await.expect("an answer");
    assert!(transfer.into_connection().is_none());
    let (_, is_reusable) =
        answer(b"HTTP/1.1 401 X\r\nWWW-Authenticate: Negotiate\r\nContent-Length: 0\r\n\r\n", false).await;
    assert!(!is_reusable);
}

#[tokio::test]
async fn h069_allowed_trailers_of_a_request_are_sent_on() {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("1"));
    trailers.insert("content-length", HeaderValue::from_static("5"));
    for size in [5, 30_000] {
        let data = Bytes::from(vec![b'x'; size]);
        let frames = [Frame::data(data.clone()), Frame::trailers(trailers.clone())].map(Ok::<_, std::io::Error>);
        let body = StreamBody::new(futures_util::stream::iter(frames));
        let body = http_body_util::combinators::UnsyncBoxBody::new(body);
        let (connection, mut server) = pair().await;
        let mut transfer = send(connection, Method::POST, UploadFraming::Chunked, Some(body));
        let serve = async {
            let mut seen = Vec::new();
            while !seen.ends_with(b"\r\n\r\n") || seen.len() < size {
                server.read_buf(&mut seen).await.expect("readable");
            }
            server.write_all(b"HTTP/1.1 204 X\r\n\r\n").await.expect("written");
            String::from_utf8(seen).expect("text")
        };
        let (seen, result) = tokio::join!(serve, read_all(&mut transfer));
        let wanted = format!("{size:x}\r\n{}\r\n0\r\nx-sum: 1\r\n\r\n", "x".repeat(size));
        assert!(seen.ends_with(&wanted), "{size}");
        assert_eq!(result.expect("an answer").0, 204);
        assert!(transfer.into_connection().is_some());
    }
}

#[tokio::test]
async fn a_head_that_comes_byte_by_byte_is_read() {
    let (connection, mut server) = pair().await;
    let mut transfer = send(connection, Method::GET, UploadFraming::None, None);
    let serve = async {
        for byte in b"HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 2\r\n\r\nhi" {
            server.write_all(&[*byte]).await.expect("written");
            tokio::task::yield_now().await;
        }
    };
    let ((), result) = tokio::join!(serve, read_all(&mut transfer));
    assert_eq!(result.expect("an answer").1, b"hi");
}

/// A server that reads so many bytes and then closes; what it had read.
async fn reads_and_closes(mut server: TcpStream, bytes: usize) -> Vec<u8> {
    let mut seen = vec![0; bytes];
    let mut filled = 0;
    while filled < bytes {
        match server.read(&mut seen[filled..]).await {
            Ok(count) if count > 0 => filled += count,
            _ => break,
        }
    }
    seen.truncate(filled);
    seen
}

/// Undoes the framing.
fn body_of(request: &[u8], framing: UploadFraming) -> Vec<u8> {
    let head = request.windows(4).position(|w| w == b"\r\n\r\n").expect("a head") + 4;
    if framing != UploadFraming::Chunked {
        return request[head..].to_vec();
    }
    let (mut chunked, mut rest, mut body) = (Chunked::default(), BytesMut::from(&request[head..]), Vec::new());
    loop {
        match chunked.decode(&mut rest).expect("chunked") {
            Decoded::Data(data) => body.extend_from_slice(&data),
            Decoded::End => return body,
            other => panic!("{other:?}"),
        }
    }
}

/// Sends a body to a server that fails after so many bytes, then, if it can begin again, to one that does not.
/// What the second server got; none if the body cannot begin again.
async fn sent_twice(frames: &[Vec<u8>], fails_after: usize, is_chunked: bool, limit: usize) -> Option<Vec<u8>> {
    let length = frames.iter().map(Vec::len).sum::<usize>();
    let framing = if is_chunked { UploadFraming::Chunked } else { UploadFraming::Length(length as u64) };
    let frames: Vec<_> = frames.iter().map(|frame| Ok(Frame::data(Bytes::from(frame.clone())))).collect();
    let body = http_body_util::combinators::UnsyncBoxBody::new(StreamBody::new(futures_util::stream::iter(frames)));
    let body: crate::upstream::http1::Replay<TestBody> = crate::upstream::http1::Replay::new(body, limit);
    let head = HeadWriter::new(&Method::PUT, "/", 64).finish(framing);
    let (connection, server) = pair().await;
    let mut transfer = connection.send(Method::PUT, head.clone(), framing, Some(body), None);
    let fails_after = fails_after.min(head.len() + length);
    let (_, result) = tokio::join!(reads_and_closes(server, fails_after), poll_fn(|cx| transfer.poll_head(cx)));
    assert!(result.is_err());
    let body = transfer.into_body().and_then(crate::upstream::http1::Replay::rewind)?;
    let (connection, mut server) = pair().await;
    let mut transfer = connection.send(Method::PUT, head.clone(), framing, Some(body), None);
    let serve = async {
        let mut seen = Vec::new();
        while !(is_chunked && seen.ends_with(b"0\r\n\r\n") || !is_chunked && seen.len() == head.len() + length) {
            assert!(server.read_buf(&mut seen).await.expect("readable") > 0);
        }
        server.write_all(b"HTTP/1.1 204 X\r\n\r\n").await.expect("written");
        seen
    };
    let (seen, result) = tokio::join!(serve, poll_fn(|cx| transfer.poll_head(cx)));
    assert_eq!(result.expect("an answer").status, 204);
    assert!(transfer.into_connection().is_some());
    Some(body_of(&seen, framing))
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, cases: 64, ..Default::default() })]

    #[test]
    fn h097_the_second_server_gets_the_whole_body_wherever_the_first_failed(
        sizes in proptest::collection::vec(proptest::prop_oneof![1_usize..50, 4000_usize..5000, 20_000_usize..30_000], 0..6),
        fails_after in proptest::prop_oneof![0_usize..200, 0_usize..60_000],
        is_chunked in proptest::prelude::any::<bool>(),
        limit in proptest::prop_oneof![proptest::prelude::Just(64 * 1024), 0_usize..10_000],
    ) {
        // No byte is that of a chunk's size or end.
        let frames: Vec<Vec<u8>> = sizes.iter().enumerate().map(|(at, size)| vec![b'p' + (at as u8 % 8); *size]).collect();
        let whole = frames.concat();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let again = runtime.block_on(sent_twice(&frames, fails_after, is_chunked, limit));
        if whole.len() <= limit {
            proptest::prop_assert_eq!(again, Some(whole));
        } else if let Some(again) = again {
            proptest::prop_assert_eq!(again, whole);
        }
    }
}
