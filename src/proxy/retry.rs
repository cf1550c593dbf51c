//! May this request be tried again elsewhere?
//!
//! Only where nobody can have begun to work on it:
//! - no connection could be made: nothing was sent, any method;
//! - a connection that was used before died before the first byte of an answer. The server closed it while
//!   our request was on its way. If nothing was written, any method; else only methods that are safe to
//!   repeat (RFC 9110, 9.2.2), as the server may have read it after all.
//!
//! And never once a byte of the answer has gone to the client, or the client's body has been read from. At most
//! [`MAX_RETRIES`] times: a rolling update may show two dead endpoints.

use http::Method;

use crate::upstream::http1::{Transfer, TransferError};

/// Tries after the first.
pub const MAX_RETRIES: usize = 2;

/// Whether a failed exchange may be sent again.
pub fn is_stale_connection<B>(transfer: &Transfer<B>, error: &TransferError, method: &Method) -> bool {
    matches!(error, TransferError::NoAnswer)
        && transfer.was_reused()
        && (transfer.written() == 0 || is_idempotent(method))
}

fn is_idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE)
}
