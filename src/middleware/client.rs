//! Who the client is: the peer of the connection, or whom a trusted peer names.
//!
//! Behind a load balancer every connection comes from the balancer, which writes the true client into a header. But
//! anybody can write that header, so it counts only as far as it was written by somebody trusted. It is read from the
//! right, where the nearest proxy wrote: as long as an address is trusted, the one to its left was written by it and
//! can be believed. The first that is not trusted is the client, and what stands left of it is what the client itself
//! made up.
//!
//! ```text
//! peer 10.0.0.1 (trusted)    X-Forwarded-For: 8.8.8.8, 203.0.113.9, 10.0.0.5
//!                                             made up  the client   trusted
//! to servers                 X-Forwarded-For: 203.0.113.9, 10.0.0.5, 10.0.0.1
//! ```
//!
//! If all are trusted, the leftmost is the client. An entry that is no address (`unknown`, a name) ends the walk: the
//! last good one counts. So does the bound of 64 entries. What is sent on to servers is the believed part and the
//! peer, never the made-up part (h079): a server that looks at the left end only is not deceived.
//!
//! [`Trust`] is compiled from a listener and asked for each request; without a trusted peer it costs one look
//! at the peer's address and allocates nothing.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName};

use super::address_set::AddressSet;
use crate::config::listener::ClientAddress;

/// Entries looked at: more proxies in a row than anybody has.
const MAX_ENTRIES: usize = 64;

/// Whom a listener believes.
#[derive(Clone, Debug)]
pub struct Trust {
    trusted: AddressSet,
    header: Option<HeaderName>,
}

/// Who asks, and by which way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identified {
    /// The client.
    pub client: IpAddr,
    /// Trusted proxies between the client and the peer, then the peer; empty if the client is the peer.
    via: Vec<IpAddr>,
}

impl Trust {
    /// From what is configured. A header name that is none is believed of nobody.
    pub fn new(described: &ClientAddress) -> Self {
        let header = HeaderName::from_bytes(described.header.as_bytes()).ok();
        Self { trusted: AddressSet::new(&described.trust), header }
    }

    /// Who asks, by this peer and with these headers.
    pub fn identify(&self, peer: IpAddr, headers: &HeaderMap) -> Identified {
        let peer = peer.to_canonical();
        let mut found = Identified { client: peer, via: Vec::new() };
        let Some(name) = self.header.as_ref().filter(|_| self.trusted.contains(peer)) else { return found };
        // Several lines are one list, in their order; so from the right, the last line first.
        let lines = headers.get_all(name).iter().rev();
        let entries = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        let entries = entries.map(<[u8]>::trim_ascii).filter(|entry| !entry.is_empty());
        for entry in entries.take(MAX_ENTRIES) {
            let Some(address) = read_entry(entry) else { break };
            found.via.push(found.client);
            found.client = address;
            if !self.trusted.contains(address) {
                break;
            }
        }
        found.via.reverse();
        found
    }
}

impl Identified {
    /// A client that nobody spoke for.
    pub fn peer(address: IpAddr) -> Self {
        Self { client: address.to_canonical(), via: Vec::new() }
    }

    /// Whether the client is the peer itself, so that what is known of the connection can be used.
    pub fn is_peer(&self) -> bool {
        self.via.is_empty()
    }

    /// What is written as X-Forwarded-For: the client, the trusted proxies, the peer.
    pub fn forwarded_for(&self) -> String {
        let mut text = self.client.to_string();
        for address in &self.via {
            // Writing to a String cannot fail.
            let _ = write!(text, ", {address}");
        }
        text
    }
}

/// `1.2.3.4`, `1.2.3.4:5`, `::1`, `[::1]`, `[::1]:5`. Ports are not looked at.
fn read_entry(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?;
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let address = match bare {
        Some(v6) => v6.parse().ok().map(IpAddr::V6),
        None => text.parse().ok().or_else(|| text.parse().ok().map(|with_port: SocketAddr| with_port.ip())),
    };
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests;
