//! A listener while it is open, as all workers share it: what it is described as now, and how many connections it has.
//!
//! Bounds are the listener's, not a worker's: `limits.connections` of 100 means 100 on all workers together. Over it
//! accepting pauses, so that clients wait in the kernel's queue and are served when somebody leaves. Over
//! `connectionsPerClient` a connection is closed at once: whoever has too many must not make others wait.
//!
//! A client is an IPv4 address or an IPv6 /64, which is what one subscriber gets. The table of clients holds only
//! those with open connections, so it is bounded by these; it is kept only while the listener has that limit, and a
//! connection that was admitted before it had one is not counted.
//!
//! A listener is found by the address it is bound to. What else is described about it can change while it is open:
//! connections that come then go by the new description, those that are there keep theirs.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::config::Listener;

/// What a listener is bound to: its identity.
pub type Bound = (Option<IpAddr>, u16);

/// A listener that is open.
#[derive(Debug)]
pub struct OpenListener {
    described: ArcSwap<Listener>,
    open: AtomicUsize,
    clients: Mutex<HashMap<ClientKey, u32, ahash::RandomState>>,
}

impl OpenListener {
    /// Without connections yet.
    pub fn new(described: Listener) -> Arc<Self> {
        Arc::new(Self {
            described: ArcSwap::from_pointee(described),
            open: AtomicUsize::new(0),
            clients: Mutex::default(),
        })
    }

    /// As it is described now.
    pub fn described(&self) -> Arc<Listener> {
        self.described.load_full()
    }

    /// Takes over another description of the same address.
    pub fn describe(&self, described: Listener) {
        debug_assert_eq!(bound(&described), bound(&self.described.load()), "an address is an identity");
        self.described.store(Arc::new(described));
    }

    /// Whether another connection may be accepted.
    pub fn has_room(&self) -> bool {
        let most = self.described.load().limits.connections;
        most.is_none_or(|most| self.open.load(Ordering::Relaxed) < most as usize)
    }

    /// Admits a connection for as long as the guard lives; none: its client has too many.
    pub fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<Admitted> {
        let described = self.described();
        let client = match described.limits.connections_per_client {
            None => None,
            Some(most) => Some(self.admit_client(ClientKey::of(peer), most)?),
        };
        self.open.fetch_add(1, Ordering::Relaxed);
        Some(Admitted { at: Arc::clone(self), client, described })
    }

    fn admit_client(&self, key: ClientKey, most: u32) -> Option<ClientKey> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let count = clients.get(&key).copied().unwrap_or(0);
        if count >= most {
            return None;
        }
        clients.insert(key, count + 1);
        Some(key)
    }
}

/// What a description is bound to.
pub fn bound(listener: &Listener) -> Bound {
    (listener.address, listener.port)
}

/// Who is counted as one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct ClientKey(IpAddr);

impl ClientKey {
    fn of(peer: IpAddr) -> Self {
        match peer.to_canonical() {
            IpAddr::V6(address) => Self(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into()),
            address => Self(address),
        }
    }
}

/// One connection that was admitted.
#[derive(Debug)]
pub struct Admitted {
    at: Arc<OpenListener>,
    client: Option<ClientKey>,
    described: Arc<Listener>,
}

impl Admitted {
    /// The listener as it was described at that moment.
    pub fn listener(&self) -> &Arc<Listener> {
        &self.described
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.at.open.fetch_sub(1, Ordering::Relaxed);
        let Some(key) = self.client else { return };
        let mut clients = self.at.clients.lock().unwrap_or_else(PoisonError::into_inner);
        match clients.get_mut(&key) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(clients.remove(&key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(connections: Option<u32>, per_client: Option<u32>) -> Listener {
        let mut listener = Listener::named_by_port(80);
        listener.limits.connections = connections;
        listener.limits.connections_per_client = per_client;
        listener
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn h053_the_listener_is_full_until_somebody_leaves() {
        let open = OpenListener::new(listener(Some(2), None));
        let first = open.admit(ip("10.0.0.1"));
        assert!(first.is_some() && open.has_room());
        let second = open.admit(ip("10.0.0.1"));
        assert!(!open.has_room());
        drop(first);
        assert!(open.has_room());
        open.describe(listener(Some(1), None));
        assert!(!open.has_room(), "a new bound counts those who are there");
        drop(second);
        assert!(open.has_room());
    }

    #[test]
    fn h053_a_client_is_an_ipv4_address_or_an_ipv6_network() {
        let open = OpenListener::new(listener(None, Some(1)));
        let first = open.admit(ip("10.0.0.1"));
        assert!(first.is_some());
        assert!(open.admit(ip("::ffff:10.0.0.1")).is_none());
        assert!(open.admit(ip("10.0.0.2")).is_some(), "and that one has left again");
        let six = open.admit(ip("2001:db8:0:1::1"));
        assert!(six.is_some() && open.admit(ip("2001:db8:0:1:ffff::2")).is_none());
        assert!(open.admit(ip("2001:db8:0:2::1")).is_some());
        drop(first);
        assert!(open.admit(ip("10.0.0.1")).is_some());
        drop(six);
        assert!(open.clients.lock().expect("not poisoned").is_empty(), "who has left is forgotten");
    }

    #[test]
    fn a_limit_that_comes_later_does_not_count_who_came_before() {
        let open = OpenListener::new(listener(None, None));
        let before = open.admit(ip("10.0.0.1"));
        open.describe(listener(None, Some(1)));
        let after = open.admit(ip("10.0.0.1"));
        assert!(after.is_some() && open.admit(ip("10.0.0.1")).is_none());
        drop(before);
        assert!(open.admit(ip("10.0.0.1")).is_none(), "its end frees nobody else's place");
        drop(after);
        assert!(open.admit(ip("10.0.0.1")).is_some());
    }
}
