//! Looks up names of endpoints, once for all workers.
//!
//! The system's resolver blocks and tells no time to live. So look-ups run on threads of their own, at most 64,
//! and their answers are remembered in a table ([`names`] says for how long). A worker asks the table under a
//! short lock; if it has to wait, it waits without a thread. Most connections of an endpoint with a name cost
//! one look into the table, those of an endpoint with an IP address cost nothing here.
//!
//! Threads are not the runtimes' blocking pools, as a runtime waits for those when it ends, and a name server
//! that is away would hold up the end of the process.

mod names;

use std::fmt;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::timeout;

pub use names::{Addresses, MAX_ADDRESSES};
use names::{Found, Names};

/// 500 ms for a newer answer, where there is an old one: most of the connect timeout is left for it.
const PATIENCE: Duration = Duration::from_millis(500);

/// Asks for the addresses of a name; may block.
type Ask = Box<dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync>;

/// What is known about names; one for the process, shared by its clones.
#[derive(Clone)]
pub struct Resolver {
    inner: Arc<Inner>,
}

struct Inner {
    names: Mutex<Names>,
    ask: Ask,
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

impl Resolver {
    /// One that asks the system: its hosts file and name servers.
    pub fn of_system() -> Self {
        // The port is of no matter, but the system's function wants one.
        Self::new(Box::new(|name| Ok((name, 0).to_socket_addrs()?.map(|found| found.ip()).collect())))
    }

    /// One that asks `ask`, on a thread that may block.
    pub fn new(ask: Ask) -> Self {
        Self { inner: Arc::new(Inner { names: Mutex::default(), ask }) }
    }

    /// The addresses of a name, at least one, in the order to try them. Dropping the future leaves a running
    /// look-up to those who wait for it too.
    ///
    /// # Errors
    /// What the look-up failed with. It takes as long as the system's resolver takes: bound it.
    pub async fn addresses(&self, name: &str) -> Result<Addresses, Arc<io::Error>> {
        loop {
            let found = self.inner.names().find(name, Instant::now());
            self.inner.start_threads();
            match found {
                Found::Use(addresses) => return Ok(addresses),
                Found::Failed(error) => return Err(error),
                Found::Wait(settled, None) => settled.await,
                Found::Wait(settled, Some(old)) => {
                    if timeout(PATIENCE, settled).await.is_err() {
                        return Ok(old);
                    }
                }
            }
        }
    }

    /// Tells that this address could be connected to and those before it could not.
    pub fn prefer(&self, name: &str, address: IpAddr) {
        self.inner.names().prefer(name, address);
    }
}

impl Inner {
    fn names(&self) -> MutexGuard<'_, Names> {
        // The table is whole after each call, also after one that panicked.
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a thread for each look-up that may begin.
    fn start_threads(self: &Arc<Self>) {
        loop {
            let next = self.names().next();
            let Some(name) = next else { return };
            let of_thread = (Arc::clone(self), name.clone());
            let started = std::thread::Builder::new().name("resolver".to_owned()).spawn(move || {
                let (inner, name) = of_thread;
                inner.look_up(name);
            });
            if let Err(error) = started {
                self.names().settle(&name, Err(error), Instant::now());
            }
        }
    }

    /// Looks up this name, then those that wait.
    fn look_up(&self, first: String) {
        let mut next = Some(first);
        while let Some(name) = next {
            let answer = (self.ask)(&name);
            if let Err(error) = &answer {
                tracing::debug!(name, %error, "a name cannot be looked up");
            }
            let mut names = self.names();
            names.settle(&name, answer, Instant::now());
            next = names.next();
        }
    }
}

#[cfg(test)]
mod tests;
