//! Clients that never stop asking while something happens to the cluster.
//!
//! Each client is a thread with one connection that it keeps, as browsers and gateways do. It opens
//! another when the server has announced the end (`Connection: close`) or has closed the idle one
//! before a byte of the next request was written. Everything else that is not a 200 with a whole
//! body is a failed request: a refused connection, a reset, an early end, a 502, a 20 s silence.
//! Nothing is tried twice.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::wait::{SOON, eventually, holds};
use crate::wire::Connection;

/// Enough to have a request under way at any moment, few enough for a machine with two cores.
const CLIENTS: usize = 6;
/// 5 ms between the requests of one client: about a thousand requests a second in all.
const PACE: Duration = Duration::from_millis(5);
/// 5 min: no story needs more; a forgotten load ends.
const LONGEST: Duration = Duration::from_secs(300);
/// The first failures tell the cause; thousands more would only hide it.
const KEPT_FAILURES: usize = 10;

pub struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

struct Shared {
    address: String,
    head: String,
    begun: Instant,
    stop: AtomicBool,
    answered: AtomicU64,
    failed: AtomicU64,
    failures: Mutex<Vec<String>>,
    pods: Mutex<BTreeMap<String, u64>>,
}

impl Load {
    /// Begins to ask for `path` of `host` at `address`, and returns after the first hundred answers.
    pub fn start(address: &str, host: &str, path: &str) -> Self {
        let shared = Arc::new(Shared {
            address: address.to_owned(),
            head: format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: sluice-stories\r\n\r\n"),
            begun: Instant::now(),
            stop: AtomicBool::new(false),
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            failures: Mutex::new(Vec::new()),
            pods: Mutex::new(BTreeMap::new()),
        });
        let client = |_| {
            let shared = Arc::clone(&shared);
            spawn(move || shared.ask())
        };
        let load = Self { clients: (0..CLIENTS).map(client).collect(), shared };
        load.more(100);
        load
    }

    /// Waits until `number` further requests were answered: proof that the load is still there.
    pub fn more(&self, number: u64) {
        let goal = self.shared.answered.load(Ordering::Relaxed) + number;
        eventually("further answers", SOON, || {
            let answered = self.shared.answered.load(Ordering::Relaxed);
            holds(answered >= goal, || format!("{answered} of {goal}: {}", self.shared.report()))
        });
    }

    /// Who answered among the next `number` requests.
    pub fn pods_of_next(&self, number: u64) -> BTreeMap<String, u64> {
        self.shared.counted().clear();
        self.more(number);
        self.shared.counted().clone()
    }

    /// Ends the load; every request must have been answered.
    pub fn finish(mut self) {
        self.end();
        let report = self.shared.report();
        assert!(self.shared.failed.load(Ordering::Relaxed) == 0, "requests failed: {report}");
        println!("{report}");
    }

    fn end(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for client in self.clients.drain(..) {
            if client.join().is_err() {
                self.shared.fail("a client panicked");
            }
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn ask(&self) {
        let mut kept = None;
        while !self.stop.load(Ordering::Relaxed) && self.begun.elapsed() < LONGEST {
            match self.ask_once(kept.take()) {
                Ok(connection) => kept = Some(connection),
                Err(cause) => self.fail(&cause),
            }
            sleep(PACE);
        }
    }

    fn ask_once(&self, kept: Option<Connection>) -> Result<Connection, String> {
        let mut connection = match kept {
            Some(connection) if connection.is_usable()? => connection,
            _ => Connection::open(&self.address)?,
        };
        let response = connection.exchange(&self.head)?;
        if response.status != 200 {
            return Err(format!("{}: {}", response.status, String::from_utf8_lossy(&response.body)));
        }
        let seen: Value = serde_json::from_slice(&response.body).map_err(|error| format!("body: {error}"))?;
        let pod = seen["pod"].as_str().ok_or("an answer of somebody else")?;
        *self.counted().entry(pod.to_owned()).or_default() += 1;
        self.answered.fetch_add(1, Ordering::Relaxed);
        Ok(connection)
    }

    fn fail(&self, cause: &str) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() < KEPT_FAILURES {
            failures.push(format!("after {:.3?}: {cause}", self.begun.elapsed()));
        }
    }

    fn counted(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, u64>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report(&self) -> String {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let (answered, failed) = (self.answered.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed));
        let spent = self.begun.elapsed();
        format!("{answered} answered, {failed} failed in {spent:.1?}; the first failures: {failures:#?}")
    }
}
