//! One worker: a thread with a runtime, its sockets, its connections.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio_util::sync::CancellationToken;

use crate::proxy::{Proxy, Shared};
use crate::upstream::deadline::TICK;
use crate::upstream::pool::SWEEP_EVERY;

use super::admission::{Admitted, Bound, OpenListener, bound};
use super::connections::Connections;
use super::{Phase, http1, spread};

/// Commands that may wait for a worker: handed-over connections are the many ones.
pub const QUEUE: usize = 256;
/// Pause after accept failed for want of descriptors or memory: trying on at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long a worker is waited for to close a socket.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// What a worker is told.
#[derive(Debug)]
pub enum Command {
    /// Accept here.
    Listen(Arc<OpenListener>, StdListener),
    /// Accept there no longer; told back when the socket is closed.
    Unlisten(Bound, oneshot::Sender<()>),
    /// Serve a connection that a neighbour accepted.
    Take(StdStream, SocketAddr, Admitted),
}

/// The other workers, and who this one is.
#[derive(Clone, Debug)]
pub struct Neighbours {
    /// Its own number.
    pub number: usize,
    /// By number.
    pub senders: Vec<mpsc::Sender<Command>>,
    /// Open connections, by number.
    pub loads: Arc<[AtomicUsize]>,
}

/// A running worker, from outside.
#[derive(Debug)]
pub struct Worker {
    commands: mpsc::Sender<Command>,
}

impl Worker {
    /// Starts the thread. Its number is sent to `ended` when it ends, for whatever reason.
    ///
    /// # Errors
    /// If the thread or its runtime cannot be started.
    pub fn start(
        neighbours: Neighbours,
        commands: mpsc::Receiver<Command>,
        shared: Shared,
        phase: watch::Receiver<Phase>,
        ended: mpsc::Sender<usize>,
    ) -> std::io::Result<Self> {
        let number = neighbours.number;
        let sender = neighbours.senders.get(number).cloned().ok_or(std::io::ErrorKind::InvalidInput)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
            let _tells = TellsEnd { ended, number };
            let inside = Inside {
                proxy: Rc::new(Proxy::new(shared, number)),
                connections: Rc::new(Connections::new(Arc::clone(&neighbours.loads), number)),
                neighbours,
                listening: HashMap::new(),
            };
            LocalSet::new().block_on(&runtime, inside.run(commands, phase));
        })?;
        Ok(Self { commands: sender })
    }

    /// Tells it something.
    pub async fn tell(&self, command: Command) {
        // A worker that has ended was noticed elsewhere.
        let _ = self.commands.send(command).await;
    }
}

impl Worker {
    /// Returns when the worker's socket is closed, so that its address is free again.
    pub async fn unlisten(&self, address: Bound) {
        let (closed, is_closed) = oneshot::channel();
        self.tell(Command::Unlisten(address, closed)).await;
        // A worker busy for that long closes it later; the address is then reported as taken.
        let _ = tokio::time::timeout(CLOSE_WITHIN, is_closed).await;
    }
}

/// Also tells when the thread panics.
struct TellsEnd {
    ended: mpsc::Sender<usize>,
    number: usize,
}

impl Drop for TellsEnd {
    fn drop(&mut self) {
        let _ = self.ended.try_send(self.number);
    }
}

/// A worker, from inside.
struct Inside {
    proxy: Rc<Proxy>,
    connections: Rc<Connections>,
    neighbours: Neighbours,
    listening: HashMap<Bound, (CancellationToken, JoinHandle<()>)>,
}

impl Inside {
    async fn run(mut self, mut commands: mpsc::Receiver<Command>, mut phase: watch::Receiver<Phase>) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut last_sweep = Instant::now();
        loop {
            tokio::select! {
                Some(command) = commands.recv() => self.obey(command),
                _ = tick.tick() => {
                    let now = Instant::now();
                    self.proxy.deadlines().tick(now);
                    self.proxy.snapshots().refresh();
                    if now - last_sweep >= SWEEP_EVERY {
                        self.proxy.pool().sweep(now);
                        last_sweep = now;
                    }
                    if self.connections.are_closing() && self.connections.count() == 0 && commands.is_empty() {
                        return;
                    }
                }
                Ok(()) = phase.changed() => {
                    if *phase.borrow_and_update() == Phase::Closing {
                        self.close().await;
                    }
                }
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Listen(listener, socket) => match TcpListener::from_std(socket) {
                Ok(socket) => {
                    let stop = CancellationToken::new();
                    let address = bound(&listener.described());
                    let accepting = spawn_local(accept(socket, listener, stop.clone(), self.acceptor()));
                    self.listening.insert(address, (stop, accepting));
                }
                Err(error) => tracing::error!(listener = listener.described().name, %error, "cannot accept"),
            },
            Command::Unlisten(address, closed) => {
                if let Some((stop, accepting)) = self.listening.remove(&address) {
                    stop.cancel();
                    drop(spawn_local(async move {
                        let _ = accepting.await;
                        let _ = closed.send(());
                    }));
                }
            }
            Command::Take(stream, peer, admitted) => match TcpStream::from_std(stream) {
                Ok(stream) => self.acceptor().serve(stream, peer, admitted),
                Err(error) => tracing::debug!(%error, "a handed-over connection is gone"),
            },
        }
    }

    fn acceptor(&self) -> Acceptor {
        Acceptor {
            proxy: Rc::clone(&self.proxy),
            connections: Rc::clone(&self.connections),
            neighbours: self.neighbours.clone(),
        }
    }

    async fn close(&mut self) {
        for (_, (stop, _)) in self.listening.drain() {
            stop.cancel();
        }
        // What the kernel had accepted for us is taken first: closing the socket would reset it.
        tokio::task::yield_now().await;
        self.connections.close();
        self.proxy.deadlines().wake_all();
    }
}

#[derive(Clone)]
struct Acceptor {
    proxy: Rc<Proxy>,
    connections: Rc<Connections>,
    neighbours: Neighbours,
}

impl Acceptor {
    fn serve(&self, stream: TcpStream, peer: SocketAddr, admitted: Admitted) {
        let connection = http1::Connection::new(stream, peer, &self.proxy, self.connections.open(), admitted);
        drop(spawn_local(connection.serve()));
    }

    /// Serves it here, or hands it to a worker with less to do.
    fn spread(&self, stream: TcpStream, peer: SocketAddr, admitted: Admitted) {
        let better = spread::better_worker(&self.neighbours.loads, self.neighbours.number);
        let Some(sender) = better.and_then(|number| self.neighbours.senders.get(number)) else {
            return self.serve(stream, peer, admitted);
        };
        let Ok(permit) = sender.try_reserve() else { return self.serve(stream, peer, admitted) };
        match stream.into_std() {
            Ok(stream) => permit.send(Command::Take(stream, peer, admitted)),
            Err(error) => tracing::debug!(%error, "a connection was lost while handing it over"),
        }
    }
}

async fn accept(socket: TcpListener, listener: Arc<OpenListener>, stop: CancellationToken, acceptor: Acceptor) {
    let most = most_connections();
    loop {
        let open = acceptor.neighbours.loads.iter().map(|load| load.load(Ordering::Relaxed)).sum::<usize>();
        if open >= most || !listener.has_room() {
            // Descriptors are left for servers, or those who are here could not be served.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            if stop.is_cancelled() {
                return;
            }
            continue;
        }
        tokio::select! {
            biased;
            accepted = socket.accept() => match accepted {
                Ok((stream, peer)) => match listener.admit(peer.ip()) {
                    Some(admitted) => acceptor.spread(stream, peer, admitted),
                    None => tracing::debug!(%peer, "closed: its client has too many connections"),
                },
                Err(error) if is_about_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept, pausing");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            // Behind accept: what is in the queue is served before the socket closes.
            () = stop.cancelled() => return,
        }
    }
}

/// Descriptors that clients never get: listeners, files, runtimes and a few servers.
const OWN_DESCRIPTORS: usize = 64;

/// Client connections of the whole process: 90 % of the descriptors it may open, and never so many that we have none.
fn most_connections() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next()).and_then(|soft| soft.parse::<usize>().ok());
    soft.map_or(usize::MAX, |soft| (soft / 10 * 9).min(soft.saturating_sub(OWN_DESCRIPTORS)).max(1))
}

/// The connection was gone before it was accepted: nothing to wait for.
fn is_about_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
