//! Where clients connect: workers, their sockets and connections, and how they end.
//!
//! One worker a core, each a thread with a runtime of its own, its own listening sockets (the kernel spreads
//! connections over them), its own proxy. Workers share nothing but what an answer needs: the snapshot, and
//! what is known about endpoints. The [`Server`] stands outside, tells workers what to listen on and when to
//! end. The admin address is served by the control runtime, so that a slow scrape never slows a request.
//!
//! # How it ends
//!
//! A load balancer goes on sending connections for a while after a replica has said that it ends. So ending
//! has two phases: [`Phase::Announcing`] accepts and answers as ever, but every answer tells the client to go
//! (`Connection: close`) and readiness is gone; [`Phase::Closing`] stops accepting, lets running exchanges
//! finish and closes idle connections. A deadline ends what is left.

pub mod admin;
pub mod admission;
pub mod connections;
pub mod http1;
pub mod listen;
pub mod spread;
pub mod worker;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{mpsc, watch};

use crate::config::Listener;
use crate::proxy::Shared;

use admission::{Bound, OpenListener, bound};
use listen::ListenError;
use worker::{Command, Worker};

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Serving.
    Serving,
    /// Serving, and telling clients to go.
    Announcing,
    /// No new connections; running exchanges finish.
    Closing,
}

/// All workers.
#[derive(Debug)]
pub struct Server {
    workers: Vec<Worker>,
    shared: Shared,
    phase: watch::Sender<Phase>,
    listening: HashMap<Bound, Arc<OpenListener>>,
    ended: mpsc::Receiver<usize>,
}

impl Server {
    /// Starts the workers; nothing is listened on yet.
    ///
    /// # Errors
    /// If a thread or a runtime cannot be started.
    pub fn start(workers: usize, shared: &Shared) -> std::io::Result<Self> {
        let (phase, _) = watch::channel(Phase::Serving);
        let (ending, ended) = mpsc::channel(workers.max(1));
        let channels: Vec<_> = (0..workers.max(1)).map(|_| mpsc::channel(worker::QUEUE)).collect();
        let senders: Vec<_> = channels.iter().map(|(sender, _)| sender.clone()).collect();
        let loads: Arc<[AtomicUsize]> = senders.iter().map(|_| AtomicUsize::new(0)).collect();
        let mut started = Vec::new();
        for (number, (_, commands)) in channels.into_iter().enumerate() {
            let neighbours = worker::Neighbours { number, senders: senders.clone(), loads: Arc::clone(&loads) };
            let worker = Worker::start(neighbours, commands, shared.clone(), phase.subscribe(), ending.clone())?;
            started.push(worker);
        }
        Ok(Self { workers: started, shared: shared.clone(), phase, listening: HashMap::new(), ended })
    }

    /// Listens on these and on nothing else. An address that stays keeps its sockets, whatever else is said about it.
    ///
    /// # Errors
    /// The first listener that cannot be opened; all others are.
    pub async fn listen(&mut self, listeners: &[Listener]) -> Result<(), ListenError> {
        let stays = |known: &Bound| listeners.iter().any(|listener| bound(listener) == *known);
        let gone: Vec<Bound> = self.listening.keys().filter(|known| !stays(known)).copied().collect();
        for address in gone {
            for worker in &self.workers {
                worker.unlisten(address).await;
            }
            if let Some(listener) = self.listening.remove(&address) {
                tracing::info!(listener = listener.described().name, "no longer listening");
            }
        }
        let mut first_error = None;
        for listener in listeners {
            if let Some(open) = self.listening.get(&bound(listener)) {
                if *open.described() != *listener {
                    open.describe(listener.clone());
                }
                continue;
            }
            match listen::open(listener, self.workers.len()) {
                Ok(sockets) => self.hand_out(listener, sockets).await,
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    async fn hand_out(&mut self, listener: &Listener, sockets: Vec<std::net::TcpListener>) {
        let Some(address) = sockets.first().and_then(|socket| socket.local_addr().ok()) else { return };
        let open = OpenListener::new(listener.clone());
        for (worker, socket) in self.workers.iter().zip(sockets) {
            worker.tell(Command::Listen(Arc::clone(&open), socket)).await;
        }
        tracing::info!(listener = listener.name, %address, "listening");
        self.listening.insert(bound(listener), open);
    }

    /// Goes on to this phase; never back.
    pub fn enter(&self, phase: Phase) {
        if phase >= Phase::Announcing {
            self.shared.is_draining.store(true, Ordering::Relaxed);
        }
        self.phase.send_if_modified(|now| {
            let goes_on = phase > *now;
            *now = phase.max(*now);
            goes_on
        });
    }

    /// Waits until a worker has ended: its number. Before [`Phase::Closing`] that is a failure.
    pub async fn worker_ended(&mut self) -> Option<usize> {
        self.ended.recv().await
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }
}
