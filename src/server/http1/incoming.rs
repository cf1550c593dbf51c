//! The body of a request, read from the connection by whoever wants it.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::proxy::refusal::Refusal;

use super::wire::Wire;

/// A request's body. Costs nothing where there is none.
#[derive(Debug)]
pub struct Incoming {
    /// The connection and the number of the request; none: there is no body.
    from: Option<(Rc<RefCell<Wire>>, u64)>,
}

/// Why a body did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IncomingError {
    /// The client closed or reset the connection.
    #[error("the client closed the connection within its request")]
    Cut,
    /// It sent nothing for `limits.bodyIdle`.
    #[error("the client sent nothing of its body for too long")]
    TimedOut,
    /// Its chunks are none.
    #[error("the chunks of the request are malformed")]
    Malformed,
    /// More than `limits.requestBody`.
    #[error("the request's body is too large")]
    TooLarge,
}

impl From<IncomingError> for Refusal {
    fn from(error: IncomingError) -> Self {
        match error {
            IncomingError::Cut => Self::ClientBody,
            IncomingError::TimedOut => Self::ClientTimeout,
            IncomingError::Malformed => Self::BadFraming,
            IncomingError::TooLarge => Self::BodyTooLarge,
        }
    }
}

impl Incoming {
    /// The body of a request that has none.
    pub(super) fn none() -> Self {
        Self { from: None }
    }

    /// The body of the request of this number.
    pub(super) fn of(wire: &Rc<RefCell<Wire>>, turn: u64) -> Self {
        Self { from: Some((Rc::clone(wire), turn)) }
    }

    fn length_left(&self) -> Option<u64> {
        self.from.as_ref().map_or(Some(0), |(wire, turn)| wire.borrow().length_left(*turn))
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = IncomingError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, IncomingError>>> {
        match &self.from {
            None => Poll::Ready(None),
            Some((wire, turn)) => wire.borrow_mut().poll_body(cx, *turn),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.length_left() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.length_left().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
