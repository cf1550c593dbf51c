//! Carries bytes both ways once both sides have agreed to leave HTTP (WebSocket and other upgrades).
//!
//! Nobody here knows what passes, so only the two connections tell when it is over:
//!
//! - An end is passed on, not anticipated: when one side says that it sends no more, the other is told so, and the
//!   opposite direction goes on until it ends too. Protocols that answer after the last question live on that.
//! - A side that breaks (reset, gone) ends both at once: what the other still sends has no reader.
//! - Without a byte either way for the idle time, both end. That is hours by default, as quiet WebSockets are
//!   normal, but it is bounded: a peer that lost its power sends no end, ever.
//!
//! # Memory
//!
//! A direction reads into a scratch buffer that all tunnels of a worker share and writes from it at once. Only what
//! the other side does not take is kept, at most one scratch buffer ([`SCRATCH_BYTES`]) for each direction; then nothing more is
//! read until it has left, so a slow reader slows the sender down. 10,000 quiet WebSockets hold no buffer at all.
//!
//! [`Tunnel::poll`] is called by the client's connection, which owns both sockets for as long as that takes.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::upstream::deadline::{Deadline, Deadlines, TICK};
use crate::upstream::http1;

/// 64 KiB: what a socket gives in one read of a large message.
pub const SCRATCH_BYTES: usize = 64 * 1024;

/// The server's side of a connection that was upgraded.
#[derive(Debug)]
pub struct Upgraded {
    /// Its connection.
    pub server: http1::Upgraded,
    /// How long no byte may pass; zero: for ever.
    pub idle: Duration,
}

/// How a tunnel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Both sides said that they send no more.
    Closed,
    /// One side broke.
    Broken,
    /// No byte passed for the idle time.
    Idle,
}

/// Two directions and the time between bytes.
#[derive(Debug)]
pub struct Tunnel {
    to_server: Direction,
    to_client: Direction,
    idle: Duration,
    clock: Rc<Deadlines>,
    deadline: Deadline,
    /// Bytes that had passed when something last moved, and when that was.
    moved: (u64, Instant),
}

impl Tunnel {
    /// With what either side had sent before: `from_client` behind its request, `from_server` behind its 101.
    pub fn new(from_client: Bytes, from_server: Bytes, idle: Duration, clock: &Rc<Deadlines>) -> Self {
        Self {
            to_server: Direction::new(from_client),
            to_client: Direction::new(from_server),
            idle,
            clock: Rc::clone(clock),
            deadline: Deadline::new(clock),
            moved: (0, clock.now()),
        }
    }

    /// Bytes that reached the client.
    pub fn bytes_to_client(&self) -> u64 {
        self.to_client.written
    }

    /// Moves both directions on. `scratch` holds nothing between calls.
    pub fn poll<C, S>(
        &mut self,
        client: &mut C,
        server: &mut S,
        scratch: &mut [u8],
        cx: &mut Context<'_>,
    ) -> Poll<Ended>
    where
        C: AsyncRead + AsyncWrite + Unpin,
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let up = self.to_server.poll(client, server, scratch, cx);
        let down = self.to_client.poll(server, client, scratch, cx);
        match (up, down) {
            (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => Poll::Ready(Ended::Broken),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(Ended::Closed),
            _ => self.poll_idle(cx).map(|()| Ended::Idle),
        }
    }

    fn poll_idle(&mut self, cx: &Context<'_>) -> Poll<()> {
        let passed = self.to_server.written + self.to_client.written;
        if passed != self.moved.0 {
            self.moved = (passed, self.clock.now());
        }
        if self.idle.is_zero() {
            return Poll::Pending;
        }
        self.deadline.poll(cx, self.moved.1 + self.idle + TICK)
    }
}

/// One direction.
#[derive(Debug)]
struct Direction {
    /// What was read and not yet taken by the other side.
    pending: Bytes,
    written: u64,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    /// The sender has said that nothing more comes.
    Ending,
    /// The receiver was told.
    Ended,
}

impl Direction {
    fn new(pending: Bytes) -> Self {
        Self { pending, written: 0, stage: Stage::Open }
    }

    /// Ready when it has ended.
    fn poll(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        scratch: &mut [u8],
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            while !self.pending.is_empty() {
                let count = ready!(Pin::new(&mut *to).poll_write(cx, &self.pending))?;
                self.count(count)?;
                self.pending.advance(count);
            }
            match self.stage {
                Stage::Ended => return Poll::Ready(Ok(())),
                Stage::Ending => {
                    ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                    self.stage = Stage::Ended;
                    return Poll::Ready(Ok(()));
                }
                Stage::Open => {}
            }
            // Nothing was kept, so the buffer's last allocation goes as well.
            self.pending = Bytes::new();
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(&mut *from).poll_read(cx, &mut buffer))?;
            let data = buffer.filled();
            if data.is_empty() {
                self.stage = Stage::Ending;
                continue;
            }
            let taken = match Pin::new(&mut *to).poll_write(cx, data)? {
                Poll::Ready(count) => {
                    self.count(count)?;
                    count
                }
                Poll::Pending => 0,
            };
            self.pending = Bytes::copy_from_slice(data.get(taken..).unwrap_or_default());
        }
    }

    fn count(&mut self, count: usize) -> io::Result<()> {
        self.written += count as u64;
        if count == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
