//! One client connection: HTTP/1.1 by hyper, time limits by us.
//!
//! hyper has no limit for an idle connection, for a body that stops, for a client that stops reading. So the
//! socket is wrapped ([`ClientIo`]): while no request runs, the next head has to begin within [`KEEP_ALIVE`] and
//! to be whole within [`HEAD_TIME`] of its first byte (a total, so that a byte now and then does not help);
//! a client that does not take what is sent to it is given up after [`WRITE_IDLE`]. A running exchange has its
//! own clock.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::Request;
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::config::Listener;
use crate::proxy::{Client, Proxy};
use crate::upstream::deadline::{Deadline, Deadlines, TICK};

/// 75 s: above the usual 60 s of load balancers, so that they close first and never meet our close.
pub const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// 10 s: three lost packets fit, a client that sends a byte now and then does not.
pub const HEAD_TIME: Duration = Duration::from_secs(10);
/// 30 s without taking a byte.
pub const WRITE_IDLE: Duration = Duration::from_secs(30);
/// How long a new connection is left alone when the process ends.
const SETTLE: Duration = Duration::from_millis(500);
/// How long a client may go on sending after our last word: an answer that meets unread bytes is lost in a reset.
const LINGER: Duration = Duration::from_secs(2);
/// Bytes read and thrown away meanwhile.
const LINGER_BYTES: usize = 4 * 1024 * 1024;
/// 64 KiB: holds large cookies, costs little to read.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// The connections of one worker.
#[derive(Debug)]
pub struct Connections {
    loads: Arc<[AtomicUsize]>,
    number: usize,
    is_closing: Cell<bool>,
}

impl Connections {
    /// None yet.
    pub fn new(loads: Arc<[AtomicUsize]>, number: usize) -> Self {
        Self { loads, number, is_closing: Cell::new(false) }
    }

    /// Counts one more for as long as the guard lives.
    pub fn open(self: &Rc<Self>) -> Open {
        if let Some(load) = self.loads.get(self.number) {
            load.fetch_add(1, Ordering::Relaxed);
        }
        Open { of: Rc::clone(self) }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.loads.get(self.number).map_or(0, |load| load.load(Ordering::Relaxed))
    }

    /// From now on they end as soon as nothing runs on them.
    pub fn close(&self) {
        self.is_closing.set(true);
    }

    /// Whether they end.
    pub fn are_closing(&self) -> bool {
        self.is_closing.get()
    }
}

/// One open connection.
#[derive(Debug)]
pub struct Open {
    of: Rc<Connections>,
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(load) = self.of.loads.get(self.of.number) {
            load.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Serves a connection to its end.
pub async fn serve(stream: TcpStream, peer: SocketAddr, listener: Arc<Listener>, proxy: Rc<Proxy>, open: Open) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection was gone before it began");
        return;
    }
    let gauge = proxy.count_client_connection();
    let client = Rc::new(Client::new(peer.ip(), listener));
    let running = Rc::new(Cell::new(0_u32));
    let clock = Rc::clone(proxy.deadlines());
    let io = ClientIo::new(stream, &proxy, Rc::clone(&running));
    let service = service_fn(move |request: Request<Incoming>| {
        let proxy = Rc::clone(&proxy);
        let client = Rc::clone(&client);
        let busy = Busy::begin(&running);
        async move { Ok::<_, std::convert::Infallible>(proxy.serve(request, client).await.map(|body| busy.around(body))) }
    });
    let mut builder = http1::Builder::new();
    builder.max_header_size(MAX_HEAD_BYTES).max_buf_size(2 * MAX_HEAD_BYTES).header_read_timeout(None);
    let mut serving = std::pin::pin!(builder.serve_connection(io, service));
    let mut is_told = false;
    // A connection that was just made may have a request on its way: it is given the time to arrive.
    let settled = clock.after(SETTLE);
    let mut settling = Deadline::new(&clock);
    let result = poll_fn(|cx| {
        if open.of.are_closing() && !is_told && settling.poll(cx, settled).is_ready() {
            is_told = true;
            serving.as_mut().graceful_shutdown();
        }
        serving.as_mut().poll(cx)
    })
    .await;
    if let Err(error) = result {
        tracing::debug!(%peer, %error, "connection ended");
    }
    drop((gauge, open));
}

/// Counts a running exchange of the connection, from its head to the last byte of its answer.
#[derive(Debug)]
struct Busy {
    running: Rc<Cell<u32>>,
}

impl Busy {
    fn begin(running: &Rc<Cell<u32>>) -> Self {
        running.set(running.get() + 1);
        Self { running: Rc::clone(running) }
    }

    fn around<B>(self, body: B) -> BusyBody<B> {
        BusyBody { body, _busy: self }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.running.set(self.running.get().saturating_sub(1));
    }
}

/// A body that keeps its connection busy.
struct BusyBody<B> {
    body: B,
    _busy: Busy,
}

impl<B: http_body::Body + Unpin> http_body::Body for BusyBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

/// A client's socket with time limits.
struct ClientIo {
    inner: TokioIo<TcpStream>,
    clock: Rc<Deadlines>,
    /// Exchanges running on the connection.
    running: Rc<Cell<u32>>,
    reading: Deadline,
    /// Since when a head is awaited; none while an exchange runs.
    waiting: Option<Waiting>,
    writing: Deadline,
    /// Since when the client takes nothing.
    stalled: Option<Instant>,
    /// After our last word: until when, and how many bytes, the client is still listened to.
    lingering: Option<(Instant, usize)>,
}

#[derive(Clone, Copy)]
struct Waiting {
    since: Instant,
    has_begun: bool,
}

impl ClientIo {
    fn new(stream: TcpStream, proxy: &Proxy, running: Rc<Cell<u32>>) -> Self {
        Self {
            inner: TokioIo::new(stream),
            clock: Rc::clone(proxy.deadlines()),
            running,
            reading: Deadline::new(proxy.deadlines()),
            waiting: None,
            writing: Deadline::new(proxy.deadlines()),
            stalled: None,
            lingering: None,
        }
    }

    /// Pending, or the error of a client whose time is over.
    fn check_head_time(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        // While the tail of an answer is still on its way, the other limit counts.
        if self.running.get() > 0 || self.stalled.is_some() {
            self.waiting = None;
            return Poll::Pending;
        }
        let now = self.clock.now();
        let waiting = *self.waiting.get_or_insert(Waiting { since: now, has_begun: false });
        let limit = if waiting.has_begun { HEAD_TIME } else { KEEP_ALIVE };
        match self.reading.poll(cx, waiting.since + limit + TICK) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => {
                if waiting.has_begun {
                    // hyper has nothing to write while it reads a head, so this cannot fall into an answer.
                    let _ = self.inner.inner().try_write(TIMED_OUT);
                }
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }

    fn note_bytes(&mut self) {
        match &mut self.waiting {
            Some(waiting) if !waiting.has_begun => *waiting = Waiting { since: self.clock.now(), has_begun: true },
            // The first bytes of a connection come before anybody waited.
            None if self.running.get() == 0 => {
                self.waiting = Some(Waiting { since: self.clock.now(), has_begun: true });
            }
            _ => {}
        }
    }

    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some((until, mut left)) = self.lingering else { return Poll::Ready(()) };
        let mut scratch = [0; 4096];
        loop {
            let mut buffer = tokio::io::ReadBuf::new(&mut scratch);
            match tokio::io::AsyncRead::poll_read(Pin::new(self.inner.inner_mut()), cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() && buffer.filled().len() < left => {
                    left -= buffer.filled().len();
                    self.lingering = Some((until, left));
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return self.reading.poll(cx, until),
            }
        }
    }

    fn check_stall<T>(&mut self, cx: &Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.stalled = None;
            return result;
        }
        let now = self.clock.now();
        let since = *self.stalled.get_or_insert(now);
        self.writing.poll(cx, since + WRITE_IDLE + TICK).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// Up to here a copy costs less than what the kernel does more for a gathering write.
const GATHER_BYTES: usize = 2048;

/// All parts in one, if they are small.
fn gather<'b>(parts: &[io::IoSlice<'_>], buffer: &'b mut [u8; GATHER_BYTES]) -> Option<&'b [u8]> {
    let mut filled = 0;
    for part in parts {
        buffer.get_mut(filled..filled + part.len())?.copy_from_slice(part);
        filled += part.len();
    }
    buffer.get(..filled)
}

/// What a client is told that did not finish its head in time.
const TIMED_OUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

impl Read for ClientIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.inner).poll_read(cx, buf) {
            Poll::Pending => self.check_head_time(cx),
            Poll::Ready(Ok(())) => {
                self.note_bytes();
                Poll::Ready(Ok(()))
            }
            failed => failed,
        }
    }
}

impl Write for ClientIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.check_stall(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = match gather(bufs, &mut [0; GATHER_BYTES]) {
            Some(gathered) => Pin::new(&mut self.inner).poll_write(cx, gathered),
            None => Pin::new(&mut self.inner).poll_write_vectored(cx, bufs),
        };
        self.check_stall(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    /// Says that nothing more comes, then reads on for a while: a socket closed over unread bytes resets the
    /// connection, and the client might never see the answer.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            std::task::ready!(Pin::new(&mut self.inner).poll_shutdown(cx))?;
            self.lingering = Some((self.clock.after(LINGER), LINGER_BYTES));
        }
        self.poll_linger(cx).map(Ok)
    }
}
