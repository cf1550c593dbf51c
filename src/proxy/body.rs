//! The body of an answer, on its way to the client.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderValue, StatusCode};
use http_body::{Body, Frame, SizeHint};

use crate::snapshot::ToUpstream;
use crate::upstream::http1::fields::Kind as Header;
use crate::upstream::http1::{Fields, Replay, ResponseHead, Transfer, TransferError};

use super::Proxy;
use super::clock::Clock;
use super::exchange::Exchange;
use super::hop;
use super::reply::{Reply, ReplyHeaders};
use super::tunnel::Upgraded;

/// A server's answer whose head has arrived.
#[derive(Debug)]
pub struct Answer<B> {
    pub(super) head: ResponseHead,
    pub(super) transfer: Box<Transfer<Box<Replay<B>>>>,
    pub(super) clock: Clock,
    pub(super) to: Arc<ToUpstream>,
}

impl<B> Answer<B> {
    /// The answer for the client; the exchange settles with its last byte.
    pub fn into_reply(mut self, proxy: &Rc<Proxy>, mut exchange: Box<Exchange>) -> Reply<B> {
        let status = self.head.status;
        exchange.record.status = status;
        exchange.record.reason = "";
        let mut fields = std::mem::take(&mut self.head.fields);
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return self.into_switch(fields, exchange);
        }
        fields.strip(&hop::PROTECTED);
        let is_event_stream = is_event_stream(&fields);
        let edits = &self.to.answer_edits;
        let headers = if exchange.changes_answer(Some(edits)) {
            let mut headers = Box::new(fields.to_map());
            exchange.finish_headers(&mut headers, Some(edits));
            ReplyHeaders::Made(headers)
        } else {
            ReplyHeaders::Received(fields)
        };
        let body = self.into_stream(proxy, exchange, is_event_stream);
        Reply { status, headers, closes: false, body }
    }

    /// A change of protocol that both sides have agreed to.
    fn into_switch(self, mut fields: Fields, mut exchange: Box<Exchange>) -> Reply<B> {
        let protocol = fields.values(Header::Upgrade).next().and_then(|value| HeaderValue::from_bytes(value).ok());
        fields.strip(&hop::PROTECTED);
        let mut headers = Box::new(fields.to_map());
        exchange.finish_headers(&mut headers, Some(&self.to.answer_edits));
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.extend(protocol.map(|protocol| (UPGRADE, protocol)));
        let status = self.head.status;
        Reply { status, headers: ReplyHeaders::Made(headers), closes: false, body: self.into_tunnel(exchange) }
    }

    /// Both sides have left HTTP.
    fn into_tunnel(self, exchange: Box<Exchange>) -> ProxyBody<B> {
        let idle = exchange.record.timeouts().stream_idle;
        match self.transfer.into_upgraded() {
            Some(server) => ProxyBody::upgraded(Upgraded { server, idle }, exchange),
            // A transfer that has a head with 101 can be upgraded; without a server the client's side just ends.
            None => ProxyBody::fixed(Bytes::new(), exchange),
        }
    }

    fn into_stream(mut self, proxy: &Rc<Proxy>, exchange: Box<Exchange>, is_event_stream: bool) -> ProxyBody<B> {
        if is_event_stream {
            self.clock.set_idle(exchange.record.timeouts().stream_idle);
        }
        let mut streaming =
            Streaming { transfer: Some(self.transfer), clock: self.clock, proxy: Rc::clone(proxy), exchange };
        streaming.release_if_done();
        ProxyBody { kind: Kind::Streaming(Box::new(streaming)) }
    }
}

/// Server-sent events: quiet for as long as nothing happens.
fn is_event_stream(fields: &Fields) -> bool {
    const KIND: &[u8] = b"text/event-stream";
    let kind = fields.values(Header::ContentType).next();
    kind.and_then(|kind| kind.get(..KIND.len())).is_some_and(|kind| kind.eq_ignore_ascii_case(KIND))
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
    transfer: Option<Box<Transfer<Box<Replay<B>>>>>,
    clock: Clock,
    proxy: Rc<Proxy>,
    exchange: Box<Exchange>,
}

/// The answer broke off: the client must not take it for whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer broke off: {0}")]
pub struct BrokenOff(&'static str);

impl<B> ProxyBody<B> {
    /// A text of ours.
    pub fn fixed(body: Bytes, exchange: Box<Exchange>) -> Self {
        Self { kind: Kind::Fixed(body, exchange) }
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
        if let Some(permit) = &self.exchange.record.permit {
            let set = permit.upstream().current();
            let settings = set.settings();
            if !permit.endpoint().has_place_awaited(&settings.limits) {
                self.proxy.pool.put(permit.endpoint(), connection, &settings.pool, self.proxy.deadlines.now());
            }
        }
    }

    /// The endpoint is told that it failed.
    fn servers_fault(&mut self, reason: &'static str) -> &'static str {
        if let Some(permit) = &mut self.exchange.record.permit {
            permit.broke_off(self.clock.now());
        }
        reason
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
                    TransferError::NoAnswer | TransferError::Cut => self.servers_fault("answer_cut"),
                    TransferError::Response(_) => self.servers_fault("bad_answer"),
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
