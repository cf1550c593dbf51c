//! Opens listening sockets, one a worker on the same address.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use crate::config::Listener;

/// Connections that wait to be accepted, for each worker; the kernel's own bound (`somaxconn`) counts too.
const BACKLOG: i32 = 4096;

/// A peer that lost its power or its cable never says goodbye: after a minute without a byte the kernel asks four times,
/// every 15 s, and then tells us. An upgraded connection may be quiet for hours, so nothing else would find out.
const KEEP_ALIVE: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15)).with_retries(4);

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} (listener {name})")]
pub struct ListenError {
    name: String,
    address: SocketAddr,
    #[source]
    source: io::Error,
}

/// Opens `count` sockets.
///
/// # Errors
/// [`ListenError`], also if somebody else listens there already.
pub fn open(listener: &Listener, count: usize) -> Result<Vec<TcpListener>, ListenError> {
    let any_v6 = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), listener.port);
    let any_v4 = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), listener.port);
    match listener.address {
        Some(address) => open_at(listener, SocketAddr::new(address, listener.port), count),
        // Both families by one socket; where the host has no IPv6, the old one alone.
        None => match open_at(listener, any_v6, count) {
            Err(error) if is_without_ipv6(&error.source) => open_at(listener, any_v4, count),
            result => result,
        },
    }
}

fn open_at(listener: &Listener, address: SocketAddr, count: usize) -> Result<Vec<TcpListener>, ListenError> {
    let failed = |source| ListenError { name: listener.name.clone(), address, source };
    // Shared ports are shared with anybody: a second process would silently take half of the connections.
    // A socket that does not share finds out.
    drop(bind(address, Sharing::Alone).map_err(failed)?);
    (0..count)
        .map(|_| {
            let socket = bind(address, Sharing::BetweenWorkers)?;
            socket.listen(BACKLOG)?;
            socket.set_nonblocking(true)?;
            // Accepted connections inherit both (tcp(7)), which saves system calls for each.
            socket.set_tcp_nodelay(true)?;
            socket.set_tcp_keepalive(&KEEP_ALIVE)?;
            Ok(socket.into())
        })
        .collect::<io::Result<Vec<_>>>()
        .map_err(failed)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    Alone,
    BetweenWorkers,
}

fn bind(address: SocketAddr, sharing: Sharing) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    if sharing == Sharing::BetweenWorkers {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

fn is_without_ipv6(error: &io::Error) -> bool {
    // EAFNOSUPPORT and EADDRNOTAVAIL.
    matches!(error.raw_os_error(), Some(97 | 99))
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use socket2::SockRef;

    use super::*;

    #[test]
    fn h109_accepted_connections_inherit_what_their_listener_was_told() {
        let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
        let ours = open_at(&Listener::named_by_port(80), address, 1).expect("a free port");
        ours[0].set_nonblocking(false).expect("settable");
        let client = TcpStream::connect(ours[0].local_addr().expect("bound")).expect("connected");
        let (accepted, _) = ours[0].accept().expect("accepted");
        let socket = SockRef::from(&accepted);
        assert!(socket.tcp_nodelay().expect("told") && socket.keepalive().expect("told"));
        assert_eq!(socket.tcp_keepalive_time().expect("told"), Duration::from_secs(60));
        drop(client);
    }

    #[test]
    fn a_port_that_somebody_has_is_not_shared_with_them() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = taken.local_addr().expect("bound").port();
        let listener = Listener { address: Some(Ipv4Addr::LOCALHOST.into()), ..Listener::named_by_port(port) };
        assert!(open(&listener, 2).is_err());
        drop(taken);
        let ours = open(&listener, 2).expect("it is free now");
        assert_eq!(ours.len(), 2);
        assert!(open(&listener, 1).is_err(), "another one of us is somebody else too");
    }
}
