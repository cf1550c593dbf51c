//! The body of an answer, on its way to the client.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};

use crate::config::upstream::PoolSettings;
use crate::upstream::http1::{Replay, ResponseHead, Transfer, TransferError};

use super::Proxy;
use super::clock::Clock;
use super::exchange::Exchange;
use super::hop;
use super::tunnel::Upgraded;

/// A server's answer whose head has arrived.
#[derive(Debug)]
pub struct Answer<B> {
    pub(super) head: ResponseHead,
    pub(super) transfer: Box<Transfer<Replay<B>>>,
    pub(super) clock: Clock,
    pub(super) settings: PoolSettings,
}

impl<B> Answer<B> {
    /// The response for the client; the exchange settles with its last byte.
    pub fn into_response(self, proxy: &Rc<Proxy>, mut exchange: Box<Exchange>) -> Response<ProxyBody<B>> {
        exchange.record.status = self.head.status;
        exchange.record.reason = "";
        let mut streaming = Streaming {
            transfer: Some(self.transfer),
            clock: self.clock,
            settings: self.settings,
            proxy: Rc::clone(proxy),
            exchange,
        };
        streaming.release_if_done();
        let mut response = Response::new(ProxyBody { kind: Kind::Streaming(Box::new(streaming)) });
        *response.status_mut() = self.head.status;
        *response.headers_mut() = self.head.headers;
        hop::strip_response(response.headers_mut());
        response
    }
}

/// What is sent to the client.
#[derive(Debug)]
pub struct ProxyBody<B> {
    kind: Kind<B>,
}

#[derive(Debug)]
enum Kind<B> {
    /// Ours: a text.
    Fixed(Bytes, Box<Exchange>),
    /// A server's.
    Streaming(Box<Streaming<B>>),
    /// None: the connection now belongs to what was agreed on. None once it was taken.
    Upgraded(Option<Upgraded>, Box<Exchange>),
}

#[derive(Debug)]
struct Streaming<B> {
    /// None once the connection was given back.
    transfer: Option<Box<Transfer<Replay<B>>>>,
    clock: Clock,
    settings: PoolSettings,
    proxy: Rc<Proxy>,
    exchange: Box<Exchange>,
}

/// The answer broke off: the client must not take it for whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer broke off: {0}")]
pub struct BrokenOff(&'static str);

impl<B> ProxyBody<B> {
    /// A text of ours.
    pub fn fixed(text: String, exchange: Box<Exchange>) -> Self {
        Self { kind: Kind::Fixed(text.into(), exchange) }
    }

    /// Nothing, after which bytes pass both ways. The exchange settles when this is dropped, so it is kept while
    /// they do.
    pub fn upgraded(server: Upgraded, exchange: Box<Exchange>) -> Self {
        Self { kind: Kind::Upgraded(Some(server), exchange) }
    }

    /// The server's side of an upgraded connection, once.
    pub fn take_upgraded(&mut self) -> Option<Upgraded> {
        if let Kind::Upgraded(server, _) = &mut self.kind { server.take() } else { None }
    }

    /// Adds what an upgraded connection carried to the client, for the log.
    pub fn count(&mut self, bytes: u64) {
        if let Kind::Upgraded(_, exchange) = &mut self.kind {
            exchange.record.bytes += bytes;
        }
    }
}

impl<B> Streaming<B> {
    /// Gives the connection back as soon as the answer has been read, not when the client has taken it all.
    fn release_if_done(&mut self) {
        if !self.transfer.as_ref().is_some_and(|transfer| transfer.is_end()) {
            return;
        }
        let Some(connection) = self.transfer.take().and_then(|transfer| transfer.into_connection()) else { return };
        if let Some(load) = &self.exchange.record.load {
            let now = self.proxy.deadlines.now();
            self.proxy.pool.put(load.endpoint(), connection, &self.settings, now);
        }
    }

    fn break_off(&mut self, reason: &'static str) -> BrokenOff {
        self.exchange.record.reason = reason;
        self.transfer = None;
        BrokenOff(reason)
    }
}

impl<B: Body<Data = Bytes> + Unpin> Streaming<B> {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        if self.transfer.is_some() && self.clock.is_over() {
            return Poll::Ready(Some(Err(self.break_off("answer_timeout"))));
        }
        let Some(transfer) = &mut self.transfer else { return Poll::Ready(None) };
        match transfer.poll_body(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.exchange.record.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                self.release_if_done();
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                let reason = match error {
                    TransferError::Client => self.exchange.record.client_fault().reason(),
                    TransferError::NoAnswer | TransferError::Cut => "answer_cut",
                    TransferError::Response(_) => "bad_answer",
                };
                Poll::Ready(Some(Err(self.break_off(reason))))
            }
            Poll::Ready(None) => {
                self.release_if_done();
                Poll::Ready(None)
            }
            Poll::Pending => match self.clock.poll(cx, transfer.progress()) {
                Poll::Ready(_) => Poll::Ready(Some(Err(self.break_off("answer_timeout")))),
                Poll::Pending => Poll::Pending,
            },
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for ProxyBody<B> {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match &mut self.get_mut().kind {
            Kind::Streaming(streaming) => streaming.poll_frame(cx),
            Kind::Upgraded(..) => Poll::Ready(None),
            Kind::Fixed(text, _) if text.is_empty() => Poll::Ready(None),
            Kind::Fixed(text, exchange) => {
                exchange.record.bytes += text.len() as u64;
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(text)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Upgraded(..) => true,
            Kind::Fixed(text, _) => text.is_empty(),
            Kind::Streaming(streaming) => streaming.transfer.is_none() && streaming.exchange.record.reason.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Upgraded(..) => SizeHint::with_exact(0),
            Kind::Fixed(text, _) => SizeHint::with_exact(text.len() as u64),
            Kind::Streaming(streaming) if streaming.transfer.is_none() => SizeHint::with_exact(0),
            Kind::Streaming(streaming) => match streaming.transfer.as_ref().and_then(|transfer| transfer.length_left())
            {
                Some(left) => SizeHint::with_exact(left),
                None => SizeHint::default(),
            },
        }
    }
}
