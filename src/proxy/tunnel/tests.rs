//! Tunnels between real sockets.

use std::future::poll_fn;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, LocalSet, spawn_local};

use tokio::net::TcpStream;

use super::*;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (connected, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    (connected.expect("connected"), accepted.expect("accepted").0)
}

struct Scene {
    client: TcpStream,
    server: TcpStream,
    clock: Rc<Deadlines>,
    tunnel: JoinHandle<(Ended, u64)>,
}

async fn scene(early: (&'static [u8], &'static [u8]), idle: Duration) -> Scene {
    let (client, mut inner_client) = pair().await;
    let (server, mut inner_server) = pair().await;
    let clock = Rc::new(Deadlines::default());
    let mut tunnel = Tunnel::new(Bytes::from_static(early.0), Bytes::from_static(early.1), idle, &clock);
    let tunnel = spawn_local(async move {
        let mut scratch = vec![0; SCRATCH_BYTES];
        let ended = poll_fn(|cx| tunnel.poll(&mut inner_client, &mut inner_server, &mut scratch, cx)).await;
        (ended, tunnel.bytes_to_client())
    });
    Scene { client, server, clock, tunnel }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, async {
        tokio::time::timeout(PATIENCE, test).await.expect("in time");
    });
}

async fn read_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.expect("an end");
    all
}

#[test]
fn what_was_sent_early_goes_first_and_ends_are_passed_on() {
    run(async {
        let mut scene = scene((b"early ", b"hello "), Duration::ZERO).await;
        scene.client.write_all(b"question").await.expect("sent");
        scene.client.shutdown().await.expect("half closed");
        assert_eq!(read_all(&mut scene.server).await, b"early question");
        // The other direction lives on after the first has ended.
        scene.server.write_all(b"answer").await.expect("sent");
        tokio::task::yield_now().await;
        assert!(!scene.tunnel.is_finished());
        drop(scene.server);
        assert_eq!(read_all(&mut scene.client).await, b"hello answer");
        assert_eq!(scene.tunnel.await.expect("no panic"), (Ended::Closed, 12));
    });
}

#[test]
fn h110_a_side_that_breaks_ends_both() {
    for breaks_client in [true, false] {
        run(async move {
            let scene = scene((b"", b""), Duration::ZERO).await;
            let (broken, mut other) =
                if breaks_client { (scene.client, scene.server) } else { (scene.server, scene.client) };
            broken.set_zero_linger().expect("settable");
            drop(broken);
            assert_eq!(scene.tunnel.await.expect("no panic").0, Ended::Broken);
            // A plain end or a reset, but no waiting.
            let _ = other.read(&mut [0; 16]).await;
        });
    }
}

#[test]
fn h110_silence_ends_it_and_a_byte_starts_the_wait_anew() {
    run(async {
        let mut scene = scene((b"", b""), Duration::from_secs(3600)).await;
        let start = scene.clock.now();
        let tick = async |seconds: u64| {
            scene.clock.tick(start + Duration::from_secs(seconds));
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
        };
        tick(3599).await;
        scene.server.write_all(b"ping").await.expect("sent");
        let mut ping = [0; 4];
        scene.client.read_exact(&mut ping).await.expect("it passes");
        tick(7000).await;
        assert!(!scene.tunnel.is_finished());
        tick(7300).await;
        assert_eq!(scene.tunnel.await.expect("no panic"), (Ended::Idle, 4));
    });
}

#[test]
fn h110_large_volumes_pass_both_ways_at_once_while_one_reads_slowly() {
    const BYTES: usize = 8 << 20;
    run(async {
        let scene = scene((b"", b""), Duration::ZERO).await;
        let echo = spawn_local(async move {
            let (mut reader, mut writer) = scene.server.into_split();
            tokio::io::copy(&mut reader, &mut writer).await.expect("copied");
        });
        let (mut reader, mut writer) = scene.client.into_split();
        let sending = spawn_local(async move {
            let piece: Vec<u8> = (0..=u8::MAX).cycle().take(100_003).collect();
            let mut sent = 0;
            while sent < BYTES {
                let size = piece.len().min(BYTES - sent);
                writer.write_all(&piece[..size]).await.expect("sent");
                sent += size;
            }
            writer.shutdown().await.expect("half closed");
        });
        let (mut received, mut buffer) = (0, vec![0; 50_000]);
        loop {
            let count = reader.read(&mut buffer).await.expect("read");
            if count == 0 {
                break;
            }
            for (index, byte) in buffer[..count].iter().enumerate() {
                assert_eq!(usize::from(*byte), ((received + index) % 100_003) % 256);
            }
            received += count;
            tokio::task::yield_now().await;
        }
        assert_eq!(received, BYTES);
        sending.await.expect("no panic");
        echo.await.expect("no panic");
        assert_eq!(scene.tunnel.await.expect("no panic"), (Ended::Closed, BYTES as u64));
    });
}
