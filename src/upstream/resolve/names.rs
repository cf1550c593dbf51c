//! What is known about names: a table without a clock, a thread or a socket.
//!
//! A name is in one of these states, by the age of its last good answer:
//!
//! | age | what a connection gets | look-up |
//! |---|---|---|
//! | under [`FRESH`] | the answer | none |
//! | under [`STALE`], or the newest look-up failed | the answer | in the background |
//! | under [`KEPT`] | a newer answer, or after [`Names::find`]'s caller lost patience the old one | waited for |
//! | older, or none | a newer answer, or the error | waited for |
//!
//! A look-up that failed is not made again for [`FAILED`]. So a name server that is away costs nobody a request
//! for ten minutes, and one that answers "no such name" is asked once a second however many requests come.
//! A changed answer is seen after five seconds while there is traffic; after a pause of more than thirty
//! seconds by the first request.
//!
//! At most [`MAX_RUNNING`] look-ups run in the process, one for each name; others wait in a queue that has a
//! place for each known name.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

/// 5 s: the system's resolver tells no time to live, and names of services change about as fast.
pub const FRESH: Duration = Duration::from_secs(5);
/// 30 s: an answer that nobody asked for since may well be wrong.
pub const STALE: Duration = Duration::from_secs(30);
/// 10 min: longer than a name server's restart; an address is not for ever its owner's.
pub const KEPT: Duration = Duration::from_secs(600);
/// 1 s until a look-up that failed is made again.
pub const FAILED: Duration = Duration::from_secs(1);
/// Look-ups at once in the process: each is a thread that may wait for many seconds.
pub const MAX_RUNNING: usize = 64;
/// Known names. Far more than a gateway has upstreams with names; the one used longest ago gives way.
pub const MAX_NAMES: usize = 4096;
/// Addresses of one name.
pub const MAX_ADDRESSES: usize = 8;

/// Addresses of one name, in the order they are to be tried.
pub type Addresses = Arc<[IpAddr]>;

/// All known names.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: HashMap<String, Known, ahash::RandomState>,
    waiting: VecDeque<String>,
    running: usize,
    /// Grows with each use, so that the name used longest ago can be told.
    turn: u64,
}

#[derive(Debug, Default)]
struct Known {
    good: Option<(Addresses, Instant)>,
    failed: Option<(Arc<io::Error>, Instant)>,
    /// Worked last: it stays first as long as it is in the answers.
    preferred: Option<IpAddr>,
    is_asked: bool,
    used_in: u64,
    settled: Arc<Notify>,
}

/// What a connection can do now.
#[derive(Debug)]
pub(super) enum Found {
    /// Try these.
    Use(Addresses),
    /// Wait for a look-up and ask again. The addresses are for those who cannot wait.
    Wait(OwnedNotified, Option<Addresses>),
    /// There is no address.
    Failed(Arc<io::Error>),
}

impl Known {
    fn find(&mut self, now: Instant) -> Found {
        let age = |since: Instant| now.saturating_duration_since(since);
        let good = self.good.as_ref().filter(|(_, since)| age(*since) < KEPT);
        if let Some((addresses, since)) = good
            && (age(*since) < STALE || self.failed.is_some())
        {
            return Found::Use(Arc::clone(addresses));
        }
        match &self.failed {
            Some((error, since)) if good.is_none() && age(*since) < FAILED => Found::Failed(Arc::clone(error)),
            _ => {
                let old = good.map(|(addresses, _)| Arc::clone(addresses));
                Found::Wait(Arc::clone(&self.settled).notified_owned(), old)
            }
        }
    }

    /// Whether a look-up is due.
    fn is_due(&self, now: Instant) -> bool {
        let age = |since: Instant| now.saturating_duration_since(since);
        let is_fresh = self.good.as_ref().is_some_and(|(_, since)| age(*since) < FRESH);
        let just_failed = self.failed.as_ref().is_some_and(|(_, since)| age(*since) < FAILED);
        !is_fresh && !just_failed && !self.is_asked
    }
}

impl Names {
    /// What is known about a name, and a place in the queue for it if a look-up is due.
    pub(super) fn find(&mut self, name: &str, now: Instant) -> Found {
        self.turn += 1;
        if !self.known.contains_key(name) {
            self.make_room();
            if self.known.len() < MAX_NAMES {
                self.known.insert(name.to_owned(), Known::default());
            }
        }
        let Some(known) = self.known.get_mut(name) else {
            return Found::Failed(Arc::new(io::ErrorKind::QuotaExceeded.into()));
        };
        known.used_in = self.turn;
        if known.is_due(now) {
            known.is_asked = true;
            self.waiting.push_back(name.to_owned());
        }
        known.find(now)
    }

    /// The next name to look up, if one more may be. [`settle`](Self::settle) has to follow.
    pub(super) fn next(&mut self) -> Option<String> {
        if self.running >= MAX_RUNNING {
            return None;
        }
        let name = self.waiting.pop_front()?;
        self.running += 1;
        Some(name)
    }

    /// A look-up ended: all who wait for it are woken.
    pub(super) fn settle(&mut self, name: &str, answer: io::Result<Vec<IpAddr>>, now: Instant) {
        self.running = self.running.saturating_sub(1);
        let Some(known) = self.known.get_mut(name) else { return };
        known.is_asked = false;
        match answer {
            Ok(found) if !found.is_empty() => {
                known.good = Some((in_order(&found, known.preferred), now));
                known.failed = None;
            }
            Ok(_) => known.failed = Some((Arc::new(io::ErrorKind::NotFound.into()), now)),
            Err(error) => known.failed = Some((Arc::new(error), now)),
        }
        known.settled.notify_waiters();
    }

    /// This address could be connected to, others before it could not: it comes first from now on.
    pub(super) fn prefer(&mut self, name: &str, address: IpAddr) {
        let Some(known) = self.known.get_mut(name) else { return };
        known.preferred = Some(address);
        if let Some((addresses, _)) = &mut known.good {
            *addresses = in_order(addresses, Some(address));
        }
    }

    fn make_room(&mut self) {
        while self.known.len() >= MAX_NAMES {
            // Names that are being looked up stay: somebody waits for them.
            let idle = self.known.iter().filter(|(_, known)| !known.is_asked);
            let Some(oldest) = idle.min_by_key(|(_, known)| known.used_in).map(|(name, _)| name.clone()) else {
                return;
            };
            self.known.remove(&oldest);
        }
    }
}

/// The preferred address first, then both families in turn, beginning with that of the first: one family that
/// leads nowhere is then not tried eight times. The system has put the better address of each family first.
fn in_order(found: &[IpAddr], preferred: Option<IpAddr>) -> Addresses {
    let mut left: VecDeque<IpAddr> = VecDeque::new();
    for address in preferred.iter().filter(|address| found.contains(address)).chain(found) {
        if !left.contains(address) {
            left.push_back(*address);
        }
    }
    let mut ordered: Vec<IpAddr> = Vec::new();
    while let Some(next) = take_other_family(&mut left, ordered.last()) {
        ordered.push(next);
        if ordered.len() == MAX_ADDRESSES {
            break;
        }
    }
    ordered.into()
}

fn take_other_family(left: &mut VecDeque<IpAddr>, last: Option<&IpAddr>) -> Option<IpAddr> {
    let other = left.iter().position(|address| last.is_some_and(|last| last.is_ipv4() != address.is_ipv4()));
    left.remove(other.unwrap_or(0))
}

#[cfg(test)]
mod tests;
