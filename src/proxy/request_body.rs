//! The client's body on its way to a server, which remembers why it broke off.
//!
//! What sends the body on knows only that it failed. What the client is told depends on why: it was too slow, too
//! large, cut short, or no body at all. So the first error stays in a cell ([`Fault`]) that the exchange holds too.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

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
}

impl<B: Body> RequestBody<B> {
    /// Watches it. A body that is at its end already cannot fail and costs nothing.
    pub fn new(body: B) -> Self {
        let fault = (!body.is_end_stream()).then(Fault::default);
        Self { body, fault }
    }

    /// What will tell why it broke off.
    pub fn fault(&self) -> Option<Fault> {
        self.fault.clone()
    }
}

impl<B> Body for RequestBody<B>
where
    B: Body + Unpin,
    B::Error: Into<Refusal>,
{
    type Data = B::Data;
    type Error = Refusal;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, Refusal>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        polled.map(|frame| {
            frame.map(|result| {
                result.map_err(|error| {
                    let refusal = error.into();
                    if let Some(fault) = &self.fault {
                        fault.set(refusal);
                    }
                    refusal
                })
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
