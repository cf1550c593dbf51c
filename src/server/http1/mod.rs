//! HTTP/1 towards clients: a connection of our own.
//!
//! hyper's server is right but general. It keeps its buffers while a connection idles (14 KiB each), runs behind layers
//! that a proxy pays for with every request, and leaves to others what a gateway has to bound: idle connections,
//! bodies that stop, clients that do not read. Here a connection is one task without inner tasks or channels. It
//! reads a head, asks the [`Proxy`] for an answer, writes it, and starts over.
//!
//! ```text
//!        ┌──────────────── idle: a socket and a few words, no buffer ◄────────────────┐
//!        ▼ readable: takes a buffer                                                   │
//!   turn.rs reads a head ── head.rs ──► Proxy::serve ──► sending.rs writes the answer ┤
//!              │                  ▲          │ polls          │ answer.rs, outbox.rs   │
//!              │                  └── incoming.rs: the body   │                        ├► 101: tunnel
//!              └─ no HTTP: a refusal ────────────────────────►┘                        └► linger, close
//!   wire.rs: the socket, what was read, and the bound of every wait
//! ```
//!
//! # What must hold
//!
//! - **One reading.** A head is HTTP/1.0 or 1.1 to the letter or it is refused, counted and logged, and the
//!   connection ends. The next head is looked for where the last body ended exactly, and only after the answer was
//!   written: requests sent ahead are answered in order, each routed by itself.
//! - **An answer arrives.** Whoever has sent more than we read (a body nobody wanted, requests after the last one) is
//!   listened to for a while after our last byte ([`ending`]): a socket closed over unread bytes resets the
//!   connection, and the client might never see the answer.
//! - **A broken answer looks broken.** Without its last chunk, short of its length, or, where only the end of the
//!   connection would tell its length, with a reset.
//! - **Bounded memory.** One head, one frame each way, what is gathered for one write. The next frame is taken
//!   when the last has left, the next head read when the last answer has.
//! - **Every wait has an end** ([`wire`]), told in the listener's limits, kept by the worker's ticking clock: no timer is set
//!   or cut for a request.
//!
//! # Who has gone?
//!
//! A client that closes its socket and one that only says that it sends no more look the same: an end of its stream. To
//! go on working for nobody is waste, and a client that has half closed still wants its answer. So it is decided by what
//! it said: if this was its last request (`Connection: close`, or HTTP/1.0 without keep-alive), an end is what was
//! announced, and the answer is written; a client that is gone for good resets the connection then. If it had wanted to
//! go on, an end while it waits means that it has given up, and the exchange is cancelled at once. A reset is always
//! the end. (nginx cancels at any end, HAProxy lets it be told.)
//!
//! # 100 Continue
//!
//! is sent when somebody wants the body, that is when there is a connection to a server, and not before. If the final
//! answer comes first the body is not asked for, and as nobody but the client knows whether it will come after all,
//! the connection ends.
//!
//! # What it costs
//!
//! Two system calls for a request that came in one piece: a read and a write. An idle connection is one task of some
//! hundred bytes with its socket. The future of an exchange is made when bytes have come, in a box, and is dropped when
//! none have for a second. 10,000 idle connections take 12 MiB: 1.2 KiB each, a third of it the runtime's own.

pub mod answer;
mod ending;
pub mod head;
mod incoming;
mod outbox;
mod sending;
mod turn;
mod wire;
mod workshop;

pub use incoming::{Incoming, IncomingError};
pub use workshop::Workshop;

use std::cell::RefCell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::config::listener::ListenerLimits;
use crate::proxy::{Client, ClientConnection, Proxy};
use crate::upstream::deadline::TICK;

use super::admission::Admitted;
use super::connections::{Connections, Open};

use wire::Wire;

/// How long a new connection is left alone when the process ends: a request may be on its way.
const SETTLE: Duration = Duration::from_millis(500);
/// Stands for "no bound" where a wait must be woken all the same when the process ends.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// One client connection.
#[derive(Debug)]
pub struct Connection {
    wire: Rc<RefCell<Wire>>,
    proxy: Rc<Proxy>,
    client: Rc<Client>,
    open: Open,
    admitted: Admitted,
    _gauge: ClientConnection,
    /// Requests so far.
    requests: u64,
    /// When it was made, or its last answer was given.
    idle_since: Instant,
    /// From when on it may be closed while it idles.
    settled: Instant,
    /// From when on an answer is the last; none: never.
    expires: Option<Instant>,
}

/// What comes after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Another request, when it comes.
    Request,
    /// Nothing: the client expects no more and has sent no more.
    Close,
    /// Nothing, but the client may still be sending.
    Linger,
    /// Nothing, and the client must see that something broke.
    Reset,
}

impl Connection {
    /// Takes a connection that was accepted.
    pub fn new(stream: TcpStream, peer: SocketAddr, proxy: &Rc<Proxy>, open: Open, admitted: Admitted) -> Self {
        let clock = proxy.deadlines();
        let age = admitted.listener().limits.connection_age;
        Self {
            wire: Rc::new(RefCell::new(Wire::new(stream, clock))),
            client: Rc::new(Client::new(peer.ip(), std::sync::Arc::clone(admitted.listener()))),
            open,
            _gauge: proxy.count_client_connection(),
            requests: 0,
            idle_since: clock.now(),
            settled: clock.after(SETTLE),
            expires: (!age.is_zero()).then(|| clock.now() + about(age, proxy.random())),
            admitted,
            proxy: Rc::clone(proxy),
        }
    }

    /// Serves it to its end.
    pub async fn serve(mut self) {
        while self.await_bytes().await {
            match Box::pin(self.talk()).await {
                Next::Request => {}
                Next::Close => return,
                Next::Linger => return Box::pin(ending::linger(&self.wire)).await,
                Next::Reset => return ending::reset(&self.wire),
            }
        }
    }

    /// Whether there is something to read. Holds no buffer meanwhile.
    async fn await_bytes(&self) -> bool {
        let ends = self.idle_since + self.patience() + TICK;
        poll_fn(|cx| {
            let ends = if self.connections().are_closing() { ends.min(self.settled) } else { ends };
            self.wire.borrow_mut().poll_idle(cx, ends)
        })
        .await
    }

    /// How long it may idle.
    fn patience(&self) -> Duration {
        let keep_alive = self.limits().keep_alive;
        if keep_alive.is_zero() { FOR_EVER } else { keep_alive }
    }

    fn take_buffer(&self) {
        let mut wire = self.wire.borrow_mut();
        if wire.buffer.capacity() == 0 {
            wire.buffer = self.connections().workshop().take_read();
        }
    }

    fn give_buffer_back(&self) {
        let buffer = std::mem::take(&mut self.wire.borrow_mut().buffer);
        self.connections().workshop().give_read(buffer);
    }

    /// Whether another request may follow, as far as that is ours to decide.
    fn may_go_on(&self) -> bool {
        let most = self.limits().requests_per_connection;
        let is_young = self.expires.is_none_or(|expires| self.proxy.deadlines().now() < expires);
        is_young && (most == 0 || self.requests < most) && !self.connections().are_closing()
    }

    fn limits(&self) -> &ListenerLimits {
        &self.admitted.listener().limits
    }

    fn connections(&self) -> &Connections {
        self.open.connections()
    }
}

/// Give or take a tenth, so that connections made together do not all end together.
fn about(age: Duration, random: u64) -> Duration {
    let share = f64::from(u32::try_from(random >> 32).unwrap_or_default()) / f64::from(u32::MAX);
    age.mul_f64(0.9 + 0.2 * share)
}

#[cfg(test)]
mod tests;
