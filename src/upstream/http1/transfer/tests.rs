//! Exchanges over real sockets, with a server that sends exactly the bytes of the test.

use std::future::poll_fn;

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
async fn pair() -> (Connection, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (ours, theirs) = tokio::join!(TcpStream::connect(address), listener.accept());
    (Connection::new(ours.expect("connected")), theirs.expect("accepted").0)
}

fn send(connection: Connection, method: Method, framing: UploadFraming, body: Option<TestBody>) -> Transfer<TestBody> {
    let head = HeadWriter::new(&method, "/", 64).finish(framing);
    connection.send(method, head, framing, body)
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
