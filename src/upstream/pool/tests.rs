//! What is kept, for how long, and what it holds meanwhile.

use std::future::poll_fn;

use bytes::Bytes;
use http::Method;
use http_body_util::Empty;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::super::spare::MAX_SPARE;
use super::*;
use crate::config::{Endpoint, EndpointId, EndpointState, Upstream, UpstreamId, UpstreamSettings};
use crate::upstream::http1::UploadFraming;

fn endpoint() -> Arc<LiveEndpoint> {
    let described = Endpoint {
        id: EndpointId::new("10.0.0.1:80"),
        host: "10.0.0.1".to_owned(),
        port: 80,
        weight: 1,
        state: EndpointState::Active,
        zone: None,
    };
    let upstream = Upstream {
        id: UpstreamId::new("a"),
        label: "a".to_owned(),
        is_of_urls: false,
        endpoints: vec![described.clone()],
        prefers_zone: false,
        denied: Arc::default(),
        settings: UpstreamSettings::default().into(),
    };
    Arc::new(LiveEndpoint::new(&upstream, &described, &Arc::default(), Instant::now()))
}

async fn pair() -> (Box<Connection>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let (ours, theirs) = tokio::join!(TcpStream::connect(listener.local_addr().expect("bound")), listener.accept());
    (Connection::new(ours.expect("connected"), Instant::now(), None), theirs.expect("accepted").0)
}

/// One exchange on the connection, answered with these bytes.
async fn exchange(connection: Box<Connection>, server: &mut TcpStream, answer: &str) -> Option<Box<Connection>> {
    let head = Bytes::from_static(b"GET / HTTP/1.1\r\n\r\n");
    let mut transfer = connection.send(Method::GET, head.clone(), UploadFraming::None, None::<Empty<Bytes>>, None);
    server.write_all(answer.as_bytes()).await.expect("written");
    poll_fn(|cx| transfer.poll_head(cx)).await.expect("an answer");
    let mut request = vec![0; head.len()];
    server.read_exact(&mut request).await.expect("the request");
    transfer.into_connection()
}

const ANSWER: &str = "HTTP/1.1 204 No Content\r\n\r\n";

#[tokio::test]
async fn a_connection_is_closed_after_the_number_of_requests_it_may_serve() {
    let (pool, endpoint, now) = (Pool::default(), endpoint(), Instant::now());
    let settings = PoolSettings { max_requests: 3, ..PoolSettings::default() };
    let (mut connection, mut server) = pair().await;
    for turn in 1..=3 {
        connection = exchange(connection, &mut server, ANSWER).await.expect("kept alive");
        pool.put(&endpoint, connection, &settings, now);
        match pool.take(&endpoint, now) {
            Some(kept) if turn < 3 => connection = kept,
            None if turn == 3 => return,
            other => panic!("after {turn} requests: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_connection_is_not_used_beyond_its_age_nor_beyond_its_idle_time() {
    let (pool, endpoint) = (Pool::default(), endpoint());
    let settings = PoolSettings { max_age: Duration::from_secs(3), ..PoolSettings::default() };
    let (connection, _server) = pair().await;
    let made_at = connection.made_at();
    pool.put(&endpoint, connection, &settings, made_at + Duration::from_secs(2));
    let connection = pool.take(&endpoint, made_at + Duration::from_millis(2900)).expect("young enough");
    pool.put(&endpoint, connection, &settings, made_at + Duration::from_millis(2900));
    assert!(pool.take(&endpoint, made_at + Duration::from_secs(3)).is_none());
    let (connection, _server) = pair().await;
    pool.put(&endpoint, connection, &settings, made_at + Duration::from_secs(5));
    assert!(pool.is_empty(), "too old to be kept at all");
}

#[tokio::test]
async fn the_servers_word_on_time_and_number_is_obeyed() {
    let (pool, endpoint, now) = (Pool::default(), endpoint(), Instant::now());
    let settings = PoolSettings::default();
    let (connection, mut server) = pair().await;
    let answer = "HTTP/1.1 204 X\r\nKeep-Alive: timeout=2, max=2\r\n\r\n";
    let connection = exchange(connection, &mut server, answer).await.expect("two more");
    pool.put(&endpoint, connection, &settings, now);
    let connection = pool.take(&endpoint, now + Duration::from_millis(1400)).expect("in time");
    let connection = exchange(connection, &mut server, ANSWER).await.expect("one more");
    assert!(exchange(connection, &mut server, ANSWER).await.is_none(), "that was the last");
    let (connection, mut server) = pair().await;
    let connection = exchange(connection, &mut server, answer).await.expect("kept");
    pool.put(&endpoint, connection, &settings, now);
    assert!(pool.take(&endpoint, now + Duration::from_millis(1600)).is_none(), "the server is about to close it");
}

#[tokio::test]
async fn idle_connections_hold_no_buffers_and_the_next_one_taken_gets_one() {
    let (pool, endpoint, now) = (Pool::default(), endpoint(), Instant::now());
    let settings = PoolSettings { max_idle: 1000, ..PoolSettings::default() };
    let mut servers = Vec::new();
    for _ in 0..MAX_SPARE + 10 {
        let (connection, mut server) = pair().await;
        let connection = exchange(connection, &mut server, ANSWER).await.expect("kept");
        pool.put(&endpoint, connection, &settings, now);
        servers.push(server);
    }
    assert_eq!((pool.len(), pool.spare.small()), (servers.len(), MAX_SPARE));
    let mut connection = pool.take(&endpoint, now).expect("there are many");
    assert_eq!(pool.spare.small(), MAX_SPARE - 1);
    assert!(connection.take_buffer().0.capacity() > 0);
}
