//! The client's body on its way to a server, which remembers why it broke off.
//!
//! What sends the body on knows only that it failed. What the client is told depends on why: it was too slow, too
//! large, cut short, or no body at all. So the first error stays in a cell ([`Fault`]) that the exchange holds too.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::refusal::Refusal;

/// Why a body broke off; nothing while it did not.
#[derive(Clone, Debug, Default)]
pub struct Fault(Rc<Cell<Option<Refusal>>>);

impl Fault {
    /// The first reason.
    pub fn get(&self) -> Option<Refusal> {
        self.0.get()
    }

    fn set(&self, refusal: Refusal) {
        self.0.set(self.0.get().or(Some(refusal)));
    }
}

/// A client's body, watched.
#[derive(Debug)]
pub struct RequestBody<B> {
    body: B,
    fault: Option<Fault>,
    /// Bytes that may still come; none: any.
    left: Option<u64>,
}

impl<B: Body> RequestBody<B> {
    /// Watches it. A body that is at its end already cannot fail and costs nothing.
    pub fn new(body: B) -> Self {
        let fault = (!body.is_end_stream()).then(Fault::default);
        Self { body, fault, left: None }
    }

    /// Ends it with [`Refusal::BodyTooLarge`] after this many bytes.
    pub fn limit(&mut self, bytes: u64) {
        self.left = Some(bytes);
    }

    /// What will tell why it broke off.
    pub fn fault(&self) -> Option<Fault> {
        self.fault.clone()
    }
}

impl<B: Body<Data = Bytes>> RequestBody<B> {
    fn count(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, Refusal> {
        if let (Some(left), Some(data)) = (&mut self.left, frame.data_ref()) {
            *left = left.checked_sub(data.len() as u64).ok_or(Refusal::BodyTooLarge)?;
        }
        Ok(frame)
    }
}

impl<B> Body for RequestBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Refusal>,
{
    type Data = Bytes;
    type Error = Refusal;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Refusal>>> {
        let this = self.get_mut();
        let Some(result) = ready!(Pin::new(&mut this.body).poll_frame(cx)) else { return Poll::Ready(None) };
        let checked = result.map_err(Into::into).and_then(|frame| this.count(frame));
        if let (Err(refusal), Some(fault)) = (&checked, &this.fault) {
            fault.set(*refusal);
        }
        Poll::Ready(Some(checked))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
