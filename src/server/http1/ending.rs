//! How a connection ends, or stops being HTTP.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::AsyncWrite;

use crate::proxy::tunnel::{Tunnel, Upgraded};

use super::wire::Wire;
use super::workshop::Workshop;

/// How long a client may go on sending after our last word: an answer that meets unread bytes is lost in a reset.
const LINGER: Duration = Duration::from_secs(2);
/// Bytes read and thrown away meanwhile.
const LINGER_BYTES: usize = 4 * 1024 * 1024;

/// Says that nothing more comes, then reads on for a while.
pub(super) async fn linger(wire: &RefCell<Wire>) {
    let said = poll_fn(|cx| Pin::new(&mut wire.borrow_mut().stream).poll_shutdown(cx)).await;
    if said.is_ok() {
        let until = wire.borrow().clock.now();
        let mut left = LINGER_BYTES;
        poll_fn(|cx| poll_linger(&mut wire.borrow_mut(), until, &mut left, cx)).await;
    }
}

fn poll_linger(wire: &mut Wire, since: Instant, left: &mut usize, cx: &mut Context<'_>) -> Poll<()> {
    loop {
        wire.buffer.clear();
        match wire.poll_fill(cx) {
            Poll::Ready(Ok(count)) if count > 0 && count < *left => *left -= count,
            Poll::Ready(_) => return Poll::Ready(()),
            Poll::Pending => return wire.poll_late(cx, since, LINGER),
        }
    }
}

/// Makes the client see that something broke.
pub(super) fn reset(wire: &RefCell<Wire>) {
    // If that fails the connection is gone already.
    let _ = wire.borrow().stream.set_zero_linger();
}

/// Carries bytes both ways until both sides have ended; how many the client got.
pub(super) async fn tunnel(wire: &RefCell<Wire>, upgraded: Upgraded, workshop: &Workshop) -> u64 {
    let Upgraded { mut server, idle } = upgraded;
    let mut tunnel = {
        let mut wire = wire.borrow_mut();
        let from_client = std::mem::take(&mut wire.buffer).freeze();
        Tunnel::new(from_client, std::mem::take(&mut server.buffered), idle, &wire.clock)
    };
    let ended = poll_fn(|cx| {
        let client = &mut wire.borrow_mut().stream;
        tunnel.poll(client, &mut server.stream, &mut workshop.scratch(), cx)
    })
    .await;
    tracing::debug!(?ended, "an upgraded connection has ended");
    tunnel.bytes_to_client()
}
