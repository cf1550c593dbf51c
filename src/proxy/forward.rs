//! Sends a request to a server: picks, connects, tries again where that is safe, waits for the head.

use std::borrow::Cow;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http::header;
use http_body::Body;

use crate::observe::trace::Trace;
use crate::upstream::connect::connect;
use crate::upstream::http1::encode::HeadWriter;
use crate::upstream::http1::framing::is_bound_to_connection;
use crate::upstream::http1::{Connection, Replay, ResponseHead, Transfer, TransferError, UploadFraming};
use crate::upstream::{EndpointSet, LiveEndpoint};

use super::body::Answer;
use super::clock::{Clock, TimeUp};
use super::exchange::Exchange;
use super::head::Checked;
use super::refusal::{Refusal, Refused};
use super::{Proxy, Routed, hop, retry};

/// Sends the request on and waits for the head of the answer.
///
/// # Errors
/// The refusal.
pub async fn forward<B>(
    proxy: &Rc<Proxy>,
    exchange: &mut Exchange,
    routed: Routed,
    body: B,
) -> Result<Answer<B>, Refused>
where
    B: Body<Data = Bytes> + Unpin,
{
    let Routed { upstream, head, framing } = routed;
    let set = upstream.current();
    let timeouts = exchange.record.plan.as_ref().map(|plan| plan.rule.traffic.timeouts).unwrap_or_default();
    let clock = Clock::new(proxy, &timeouts, exchange.record.started);
    let held_bytes = exchange.record.plan.as_ref().map_or(0, |plan| plan.rule.traffic.retries.body_bytes);
    let mut attempt = Attempt { proxy, exchange, set: &set, clock, tried: Vec::new(), may_use_idle: true };
    let mut body = Some(Replay::new(body, usize::try_from(held_bytes).unwrap_or(usize::MAX)));
    loop {
        match attempt.run(&head, framing, body).await? {
            Tried::Answered(head, mut transfer) => {
                let Attempt { clock, .. } = attempt;
                if let Some(body) = transfer.body_mut() {
                    body.forget();
                }
                return Ok(Answer { head, transfer, clock, settings: set.settings().pool.clone() });
            }
            Tried::Again(again) => {
                body = again;
                attempt.exchange.record.retries += 1;
                proxy.shared.metrics.retries.inc();
            }
        }
    }
}

/// One endpoint after the other.
struct Attempt<'a> {
    proxy: &'a Rc<Proxy>,
    exchange: &'a mut Exchange,
    set: &'a EndpointSet,
    clock: Clock,
    tried: Vec<Arc<LiveEndpoint>>,
    /// Not after an idle connection turned out to be dead: its neighbours may be as well.
    may_use_idle: bool,
}

/// How a try ended, if not with a refusal.
enum Tried<B> {
    Answered(ResponseHead, Box<Transfer<Replay<B>>>),
    /// Safe to try again, with the body from its start.
    Again(Option<Replay<B>>),
}

impl Attempt<'_> {
    async fn run<B>(
        &mut self,
        head: &Bytes,
        framing: UploadFraming,
        body: Option<Replay<B>>,
    ) -> Result<Tried<B>, Refusal>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let endpoint = self.set.pick(&self.tried).ok_or(Refusal::NoEndpoints)?;
        self.exchange.record.load = Some(endpoint.begin());
        let is_last = self.exchange.record.retries >= 2;
        let connection = match self.connection(&endpoint).await {
            Ok(connection) => connection,
            Err(_) if self.clock.is_over() => return Err(Refusal::RequestTimeout),
            Err(refusal) if is_last || refusal == Refusal::RequestTimeout => return Err(refusal),
            Err(_) => {
                self.tried.push(endpoint);
                return Ok(Tried::Again(body));
            }
        };
        let parts = &self.exchange.parts;
        let credentials = parts.headers.get(header::AUTHORIZATION);
        let is_bound = credentials.is_some_and(|value| is_bound_to_connection(value.as_bytes()));
        let connection = if is_bound { connection.for_one_client() } else { connection };
        let mut transfer = Box::new(connection.send(parts.method.clone(), head.clone(), framing, body, None));
        match self.answer(&mut transfer).await {
            Ok(head) => Ok(Tried::Answered(head, transfer)),
            Err(Failed::TimeUp(TimeUp::Request)) => Err(Refusal::RequestTimeout),
            Err(Failed::TimeUp(TimeUp::Idle)) if transfer.awaits_client() => Err(Refusal::ClientTimeout),
            Err(Failed::TimeUp(TimeUp::Idle)) => Err(Refusal::UpstreamTimeout),
            Err(Failed::Transfer(error)) => {
                let is_stale = matches!(error, TransferError::NoAnswer) && transfer.was_reused();
                let failure = retry::Failure::Stale { has_written: transfer.written() > 0 };
                let retries = crate::config::traffic::Retries::default();
                let may_retry = !is_last
                    && is_stale
                    && retry::wait_before(&retries, &self.exchange.parts.method, failure, 0, 0).is_some();
                // The same endpoint may be asked again: it closed one connection, it did not fail.
                self.may_use_idle = false;
                match transfer.into_body().and_then(Replay::rewind) {
                    Some(body) if may_retry => Ok(Tried::Again(Some(body))),
                    _ => Err(self.refusal_of(&error)),
                }
            }
        }
    }

    /// An idle connection, or a new one.
    async fn connection(&mut self, endpoint: &Arc<LiveEndpoint>) -> Result<Connection, Refusal> {
        if self.may_use_idle
            && let Some(idle) = self.proxy.pool.take(endpoint, self.clock.now())
        {
            return Ok(idle);
        }
        let mut within = self.set.settings().connect_timeout;
        if let Some(left) = self.clock.left() {
            if left.is_zero() {
                return Err(Refusal::RequestTimeout);
            }
            within = if within.is_zero() { left } else { within.min(left) };
        }
        connect(&self.proxy.shared.resolver, endpoint.address(), within, None).await.map_err(|error| {
            tracing::debug!(backend = endpoint.label(), %error, "no connection");
            if error.is_exhausted() { Refusal::Exhausted } else { Refusal::ConnectFailed }
        })
    }

    fn refusal_of(&self, error: &TransferError) -> Refusal {
        match error {
            TransferError::NoAnswer => Refusal::NoAnswer,
            TransferError::Cut | TransferError::Response(_) => Refusal::BadAnswer,
            TransferError::Client => self.exchange.record.client_fault(),
        }
    }

    async fn answer<B>(&mut self, transfer: &mut Transfer<B>) -> Result<ResponseHead, Failed>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        poll_fn(|cx| match transfer.poll_head(cx) {
            Poll::Ready(result) => Poll::Ready(result.map_err(Failed::Transfer)),
            Poll::Pending => self.clock.poll(cx, transfer.progress()).map(|which| Err(Failed::TimeUp(which))),
        })
        .await
    }
}

enum Failed {
    Transfer(TransferError),
    TimeUp(TimeUp),
}

/// The framing the client used: a body of unknown length stays one, an announced empty body stays announced.
pub fn framing_of<B: Body>(body: &B, headers: &http::HeaderMap) -> UploadFraming {
    if body.is_end_stream() {
        return if headers.contains_key(header::CONTENT_LENGTH) {
            UploadFraming::Length(0)
        } else {
            UploadFraming::None
        };
    }
    match body.size_hint().exact() {
        Some(length) => UploadFraming::Length(length),
        None => UploadFraming::Chunked,
    }
}

/// The head as it is sent to whichever server answers.
pub fn write_head(exchange: &Exchange, checked: &Checked<'_>, framing: UploadFraming) -> Bytes {
    let parts = &exchange.parts;
    let target = match checked.query {
        None => Cow::Borrowed(checked.path.as_ref()),
        Some(query) => Cow::Owned([checked.path.as_ref(), "?", query].concat()),
    };
    let mut writer = HeadWriter::new(&parts.method, &target, 1024);
    let host = match checked.port {
        Some(port) if port != 80 => Cow::Owned(format!("{}:{port}", checked.host)),
        _ => Cow::Borrowed(checked.host.as_ref()),
    };
    writer.line("host", host.as_bytes());
    hop::write_end_to_end(&parts.headers, &mut writer);
    writer.line("x-forwarded-for", exchange.record.client.text.as_bytes());
    writer.line("x-forwarded-proto", b"http");
    writer.line("x-forwarded-host", host.as_bytes());
    writer.line("x-request-id", exchange.record.request_id.text(&mut [0; 32]));
    match (&exchange.record.trace, exchange.record.trace.written()) {
        (_, Some(ours)) => writer.line("traceparent", &ours),
        (Trace::Given(theirs), None) => writer.line("traceparent", theirs.as_bytes()),
        (Trace::Made(..), None) => {}
    }
    writer.finish(framing)
}
