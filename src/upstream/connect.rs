//! Makes a connection to an endpoint, within a time.
//!
//! An endpoint with an IP address is one attempt. A name may have several addresses, and some of them may
//! lead nowhere without saying so. They are tried in turn, but not one after the other: each gets
//! [`HEAD_START`] before the next is tried beside it, and one that fails lets the next begin at once. The first
//! that answers is taken and remembered as the one to begin with. With eight addresses of which seven are
//! black holes, the eighth is tried after 1.75 s, within the usual 2 s for a connection.

use std::any::Any;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::{Either, select};
use futures_util::stream::FuturesUnordered;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::endpoint::Address;
use super::http1::Connection;
use super::resolve::{Addresses, Resolver};
use crate::config::Cidr;

/// Why there is no connection. In every case nothing of the request was sent.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name has no address.
    #[error("cannot look up the name")]
    Lookup(#[source] Arc<io::Error>),
    /// No address could be connected to.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    /// We have no port, descriptor or memory for it: no fault of the endpoint.
    #[error("nothing is left here to connect with")]
    Exhausted(#[source] io::Error),
    /// Whoever wrote this endpoint may not reach that address.
    #[error("{0} is in cluster.denyAddresses")]
    Denied(IpAddr),
    /// It took too long.
    #[error("connecting took too long")]
    Timeout,
}

impl ConnectError {
    fn of(error: io::Error) -> Self {
        if is_ours(&error) { Self::Exhausted(error) } else { Self::Connect(error) }
    }

    /// Whether another endpoint could not be connected to either, and this one is not to blame.
    pub fn is_exhausted(&self) -> bool {
        matches!(self, Self::Exhausted(_))
    }
}

/// 250 ms for an address before the next is tried beside it: most connections within a region are made in a
/// tenth of it, and RFC 8305 asks for it.
const HEAD_START: Duration = Duration::from_millis(250);

/// Unused for this long, a connection is probed: a server that vanished without a word is noticed although we
/// only wait for it.
const PROBE_AFTER: Duration = Duration::from_secs(60);
/// From one probe to the next.
const PROBE_EVERY: Duration = Duration::from_secs(15);
/// Probes without an answer after which the connection is dead: two minutes after the last sign of life.
const PROBES: u32 = 4;
/// Bytes that nobody acknowledged for this long make the connection dead. Also a server that takes nothing
/// for this long is given up, so it is not shorter than the usual idle timeout.
const UNACKNOWLEDGED: Duration = Duration::from_secs(60);

/// Connects; the time bounds the look-up of a name and all its addresses together. Zero: no bound. `held` is
/// dropped when the connection is closed, or at once if there is none. No connection is made to an address in `denied`: a
/// name of somebody else's may resolve to anything, and to something else at each look.
///
/// # Errors
/// [`ConnectError`]; dropping the future leaves nothing behind.
pub async fn connect(
    resolver: &Resolver,
    address: &Address,
    denied: &[Cidr],
    within: Duration,
    held: Option<Box<dyn Any + Send>>,
) -> Result<Box<Connection>, ConnectError> {
    let attempt = async {
        match address {
            Address::Socket(socket) => {
                check_permitted(socket.ip(), denied)?;
                TcpStream::connect(socket).await.map_err(ConnectError::of)
            }
            // In a box: the plain case shall not carry its weight.
            Address::Name(name, port) => Box::pin(connect_by_name(resolver, name, *port, denied)).await,
        }
    };
    let stream = if within.is_zero() {
        attempt.await?
    } else {
        timeout(within, attempt).await.map_err(|_| ConnectError::Timeout)??
    };
    prepare(&stream).map_err(ConnectError::of)?;
    Ok(Connection::new(stream, Instant::now(), held))
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    // A request leaves in one piece; waiting for more to fill a segment would only delay it.
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let probes = TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_EVERY).with_retries(PROBES);
    socket.set_tcp_keepalive(&probes)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    Ok(())
}

/// Whether a connection may be made to this address.
///
/// # Errors
/// [`ConnectError::Denied`]
pub fn check_permitted(address: IpAddr, denied: &[Cidr]) -> Result<(), ConnectError> {
    let is_denied = denied.iter().any(|range| range.contains(address));
    if is_denied { Err(ConnectError::Denied(address.to_canonical())) } else { Ok(()) }
}

async fn connect_by_name(
    resolver: &Resolver,
    name: &str,
    port: u16,
    denied: &[Cidr],
) -> Result<TcpStream, ConnectError> {
    let mut addresses = resolver.addresses(name).await.map_err(ConnectError::Lookup)?;
    if !denied.is_empty() {
        addresses = permitted(&addresses, denied)?;
    }
    let (used, stream) = first_to_answer(&addresses, |ip| TcpStream::connect(SocketAddr::new(ip, port))).await?;
    if addresses.first() != Some(&used) {
        resolver.prefer(name, used);
    }
    Ok(stream)
}

/// Those that may be connected to.
fn permitted(addresses: &[IpAddr], denied: &[Cidr]) -> Result<Addresses, ConnectError> {
    let mut refused = None;
    let mut permitted = Vec::new();
    for address in addresses {
        match check_permitted(*address, denied) {
            Ok(()) => permitted.push(*address),
            Err(error) => refused = Some(error),
        }
    }
    refused.filter(|_| permitted.is_empty()).map_or_else(|| Ok(permitted.into()), Err)
}

/// Tries addresses, each with a head start before the next; the first that answers.
async fn first_to_answer<S, F>(addresses: &[IpAddr], connect: impl Fn(IpAddr) -> F) -> Result<(IpAddr, S), ConnectError>
where
    F: Future<Output = io::Result<S>>,
{
    let mut untried = addresses.iter();
    let mut running = FuturesUnordered::new();
    let mut failure = None;
    loop {
        let next = untried.next().copied();
        match next {
            Some(ip) => {
                let attempt = connect(ip);
                running.push(async move { (ip, attempt.await) });
            }
            None if running.is_empty() => {
                let error = failure.unwrap_or_else(|| ConnectError::Connect(io::ErrorKind::NotFound.into()));
                return Err(error);
            }
            None => {}
        }
        let ended = if untried.len() == 0 {
            running.next().await
        } else {
            let head_start = pin!(sleep(HEAD_START));
            match select(running.next(), head_start).await {
                Either::Left((ended, _)) => ended,
                Either::Right(_) => None,
            }
        };
        match ended {
            Some((ip, Ok(stream))) => return Ok((ip, stream)),
            Some((_, Err(error))) => failure = Some(worse(failure, ConnectError::of(error))),
            None => {}
        }
    }
}

/// Of two failures the one that tells more: the endpoint's before ours, the newer before the older.
fn worse(known: Option<ConnectError>, new: ConnectError) -> ConnectError {
    match known {
        Some(known) if new.is_exhausted() && !known.is_exhausted() => known,
        _ => new,
    }
}

/// Whether it is us who have nothing left.
fn is_ours(error: &io::Error) -> bool {
    let ours = [libc::EADDRNOTAVAIL, libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
    error.raw_os_error().is_some_and(|number| ours.contains(&number))
}

#[cfg(test)]
mod tests;
