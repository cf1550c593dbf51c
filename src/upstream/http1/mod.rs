//! HTTP/1.1 towards servers: a connection of our own.
//!
//! hyper's client is right but general: it hands each request to a connection task through channels, which
//! is most of what a small request costs. Here the exchange owns the connection while it lasts: the head is
//! written from one buffer, the answer is read where it is awaited, and the connection goes back to its
//! worker's pool when the last byte has passed. No task, no channel, two system calls.
//!
//! - [`encode`] writes a request head; [`head`] reads a response head, strictly, and [`framing`] what it says
//!   about lengths and the connection.
//! - [`chunked`] reads chunked bodies, strictly.
//! - [`upload`] sends a request body with its [`trailer`]s; [`replay`] remembers the beginning of a body, so that
//!   it can be sent again.
//! - [`transfer`] is one request with its response on one connection; [`upgraded`] is what is left of it when
//!   both sides agreed to speak another protocol.
//!
//! What must hold: whatever a server sends, the answer is either the one response to the one request, or an
//! error; a connection is used again only if request and response both ended exactly where they said, and
//! not a byte more has come.

pub mod chunked;
pub mod connection;
pub mod encode;
pub mod fields;
pub mod framing;
pub mod head;
pub mod replay;
pub mod trailer;
pub mod transfer;
pub mod upgraded;
pub mod upload;

pub use connection::{Connection, Held};
pub use fields::Fields;
pub use head::{ResponseError, ResponseHead};
pub use replay::Replay;
pub use transfer::{Transfer, TransferError};
pub use upgraded::Upgraded;
pub use upload::UploadFraming;
