//! Makes a connection to an endpoint, within a time.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::endpoint::Address;
use super::http1::Connection;

/// Why there is no connection. In every case nothing of the request was sent.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name has no address.
    #[error("cannot look up the name")]
    Lookup(#[source] io::Error),
    /// No address could be connected to.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    /// It took too long.
    #[error("connecting took too long")]
    Timeout,
}

/// Addresses of one name that are tried in turn.
const MAX_ADDRESSES: usize = 8;

/// Connects; the time bounds the look-up of a name and all its addresses together.
///
/// # Errors
/// [`ConnectError`]; dropping the future leaves nothing behind.
pub async fn connect(address: &Address, within: Duration) -> Result<Connection, ConnectError> {
    let attempt = try_addresses(address);
    let stream = if within.is_zero() {
        attempt.await?
    } else {
        timeout(within, attempt).await.map_err(|_| ConnectError::Timeout)??
    };
    // A request leaves in one piece; waiting for more to fill a segment would only delay it.
    stream.set_nodelay(true).map_err(ConnectError::Connect)?;
    Ok(Connection::new(stream))
}

async fn try_addresses(address: &Address) -> Result<TcpStream, ConnectError> {
    let (name, port) = match address {
        Address::Socket(socket) => return TcpStream::connect(socket).await.map_err(ConnectError::Connect),
        Address::Name(name, port) => (name.as_str(), *port),
    };
    let found = tokio::net::lookup_host((name, port)).await.map_err(ConnectError::Lookup)?;
    let mut last = None;
    for socket in found.take(MAX_ADDRESSES) {
        match TcpStream::connect(socket).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Some(error),
        }
    }
    match last {
        Some(error) => Err(ConnectError::Connect(error)),
        None => Err(ConnectError::Lookup(io::ErrorKind::NotFound.into())),
    }
}
