//! Sends a request to a server: picks, connects, tries again where that is allowed, waits for the head.
//!
//! What a try teaches about its endpoint is told to the permit at once: an answer with its status and time, a
//! failure of the server, or nothing where the client or we ourselves were to blame. A reused connection that turns
//! out to be dead teaches nothing either: the server closed it while our request was on its way.

mod way;

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, header};
use http_body::Body;

use crate::config::traffic::Traffic;
use crate::snapshot::ToUpstream;
use crate::upstream::http1::framing::is_bound_to_connection;
use crate::upstream::http1::{Connection, Replay, ResponseHead, Transfer, TransferError, UploadFraming};
use crate::upstream::{LiveEndpoint, Outcome};

use super::Proxy;
use super::body::Answer;
use super::clock::{Clock, TimeUp};
use super::exchange::Exchange;
use super::outgoing::Outgoing;
use super::refusal::{Refusal, Refused};
use super::retry::{self, Failure};
use super::seen::Seen;
use way::NoConnection;

/// A request that a server is to answer.
#[derive(Debug)]
pub struct Routed {
    /// Where it goes.
    pub to: Arc<ToUpstream>,
    /// The head as it is sent.
    pub head: Outgoing,
    /// How its body is framed.
    pub framing: UploadFraming,
    /// What a consistent hash looks at, if the rule has one.
    pub hash: Option<u64>,
    /// The protocol it asks to change to, if that is let through.
    pub upgrade: Option<HeaderValue>,
}

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
    let plan = exchange.record.plan.clone().ok_or(Refusal::NoRoute)?;
    let traffic = &plan.rule.traffic;
    let clock = Clock::new(proxy, &traffic.timeouts, exchange.record.started);
    routed.to.upstream.budget.request(proxy.deadlines.now());
    let held =
        if retry::may_need_body(&traffic.retries, &exchange.parts.method) { traffic.retries.body_bytes } else { 0 };
    let has_body = routed.framing != UploadFraming::None;
    let mut body = has_body.then(|| Box::new(Replay::new(body, usize::try_from(held).unwrap_or(usize::MAX))));
    let mut attempt =
        Attempt { proxy, exchange, routed: &routed, traffic, clock, tried: Vec::new(), may_use_idle: true };
    loop {
        match attempt.run(body).await? {
            Tried::Answered(head, transfer) => {
                let Attempt { clock, .. } = attempt;
                return Ok(Answer { head, transfer, clock, to: routed.to });
            }
            Tried::Again(from_its_start) => body = from_its_start,
        }
    }
}

/// One endpoint after the other.
struct Attempt<'a> {
    proxy: &'a Rc<Proxy>,
    exchange: &'a mut Exchange,
    routed: &'a Routed,
    traffic: &'a Traffic,
    clock: Clock,
    tried: Vec<Arc<LiveEndpoint>>,
    /// Not after an idle connection turned out to be dead: its neighbours may be as well.
    may_use_idle: bool,
}

/// How a try ended, if not with a refusal.
enum Tried<B> {
    Answered(ResponseHead, Box<Transfer<Box<Replay<B>>>>),
    /// To be tried again, with the body from its start.
    Again(Option<Box<Replay<B>>>),
}

/// Why there is no head.
enum NoHead {
    Transfer(TransferError),
    TimeUp(TimeUp),
}

impl Attempt<'_> {
    async fn run<B>(&mut self, body: Option<Box<Replay<B>>>) -> Result<Tried<B>, Refused>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let (endpoint, way) = self.way().await?;
        let began = Instant::now();
        self.clock.begin_try(self.traffic.timeouts.per_try);
        let connection = match self.connection(&endpoint, way).await {
            Ok(connection) => connection,
            Err(NoConnection::TimeUp) => return Err(Refusal::RequestTimeout.into()),
            Err(NoConnection::Exhausted) => return Err(Refusal::Exhausted.into()),
            Err(NoConnection::Failed) => {
                self.settle(Outcome::Failed);
                self.tried.push(endpoint);
                return self.again(Failure::Connect, Refusal::ConnectFailed, body).await;
            }
        };
        let mut transfer = self.send(connection, &endpoint, body);
        match self.head(&mut transfer).await {
            Ok(head) => self.answered(head, transfer, &endpoint, began).await,
            Err(NoHead::TimeUp(which)) => self.time_is_up(which, transfer, endpoint).await,
            Err(NoHead::Transfer(error)) => self.failed(&error, transfer, endpoint).await,
        }
    }

    fn send<B>(
        &self,
        connection: Box<Connection>,
        endpoint: &LiveEndpoint,
        body: Option<Box<Replay<B>>>,
    ) -> Box<Transfer<Box<Replay<B>>>> {
        let parts = &self.exchange.parts;
        let has_credentials = self.exchange.record.seen.authorization;
        let credentials = has_credentials.then(|| parts.headers.get(header::AUTHORIZATION)).flatten();
        let is_bound = credentials.is_some_and(|value| is_bound_to_connection(value.as_bytes()));
        let connection = if is_bound { connection.for_one_client() } else { connection };
        let head = self.routed.head.to_endpoint(endpoint);
        connection.send(parts.method.clone(), head, self.routed.framing, body, self.routed.upgrade.clone())
    }

    async fn head<B>(&mut self, transfer: &mut Transfer<Box<Replay<B>>>) -> Result<ResponseHead, NoHead>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        poll_fn(|cx| match transfer.poll_head(cx) {
            Poll::Ready(result) => Poll::Ready(result.map_err(NoHead::Transfer)),
            Poll::Pending => self.clock.poll(cx, transfer.progress()).map(|which| Err(NoHead::TimeUp(which))),
        })
        .await
    }

    async fn answered<B>(
        &mut self,
        head: ResponseHead,
        mut transfer: Box<Transfer<Box<Replay<B>>>>,
        endpoint: &Arc<LiveEndpoint>,
        began: Instant,
    ) -> Result<Tried<B>, Refused> {
        let now = Instant::now();
        let outcome = Outcome::Answered(head.status, now.saturating_duration_since(began));
        if let Some(permit) = &mut self.exchange.record.permit {
            permit.settle(outcome, now);
        }
        if let Some(wait) = self.wait_before(Failure::Status(head.status))
            && transfer.body_mut().is_none_or(|body| body.can_rewind())
            && self.take_retry()
        {
            self.tried.push(Arc::clone(endpoint));
            let body = rewound(transfer.into_body());
            return self.wait_and_go(wait, body).await;
        }
        if let Some(body) = transfer.body_mut() {
            body.forget();
        }
        self.clock.end_try();
        Ok(Tried::Answered(head, transfer))
    }

    async fn time_is_up<B>(
        &mut self,
        which: TimeUp,
        transfer: Box<Transfer<Box<Replay<B>>>>,
        endpoint: Arc<LiveEndpoint>,
    ) -> Result<Tried<B>, Refused> {
        if transfer.awaits_client() {
            let refusal = if which == TimeUp::Request { Refusal::RequestTimeout } else { Refusal::ClientTimeout };
            return Err(refusal.into());
        }
        self.settle(Outcome::Failed);
        match which {
            TimeUp::Request => Err(Refusal::RequestTimeout.into()),
            TimeUp::Idle => Err(Refusal::UpstreamTimeout.into()),
            TimeUp::Try => {
                self.tried.push(endpoint);
                self.again(Failure::Timeout, Refusal::TryTimeout, transfer.into_body()).await
            }
        }
    }

    async fn failed<B>(
        &mut self,
        error: &TransferError,
        transfer: Box<Transfer<Box<Replay<B>>>>,
        endpoint: Arc<LiveEndpoint>,
    ) -> Result<Tried<B>, Refused> {
        let (failure, refusal) = match error {
            TransferError::Client => return Err(self.exchange.record.client_fault().into()),
            TransferError::NoAnswer if transfer.was_reused() => {
                // The same endpoint may be asked again: it closed one connection, it did not fail.
                self.may_use_idle = false;
                (Failure::Stale { has_written: transfer.written() > 0 }, Refusal::NoAnswer)
            }
            TransferError::NoAnswer => (Failure::Reset, Refusal::NoAnswer),
            TransferError::Cut => (Failure::Reset, Refusal::BadAnswer),
            TransferError::Response(_) => {
                self.settle(Outcome::Failed);
                return Err(Refusal::BadAnswer.into());
            }
        };
        if failure == Failure::Reset {
            self.settle(Outcome::Failed);
            self.tried.push(endpoint);
        }
        self.again(failure, refusal, transfer.into_body()).await
    }

    /// Tries again if that is allowed, else refuses.
    async fn again<B>(
        &mut self,
        failure: Failure,
        refusal: Refusal,
        body: Option<Box<Replay<B>>>,
    ) -> Result<Tried<B>, Refused> {
        if self.clock.is_over() {
            return Err(Refusal::RequestTimeout.into());
        }
        let wait = self.wait_before(failure).ok_or(refusal)?;
        let had_body = body.is_some();
        let body = rewound(body);
        if (had_body && body.is_none()) || !self.take_retry() {
            return Err(refusal.into());
        }
        self.wait_and_go(wait, body).await
    }

    fn wait_before(&self, failure: Failure) -> Option<Duration> {
        let retried = self.exchange.record.retries;
        let method = &self.exchange.parts.method;
        let random = self.proxy.ids.number();
        let wait = retry::wait_before(&self.traffic.retries, method, failure, retried, random)?;
        // Who cannot be tried again in time gets the answer there is, now, and not a late one of ours.
        self.clock.left().is_none_or(|left| wait < left).then_some(wait)
    }

    /// Whether the upstream's budget has a try left.
    fn take_retry(&mut self) -> bool {
        let upstream = &self.routed.to.upstream;
        let is_left = upstream.budget.try_retry(&upstream.current().settings().retry_budget, self.clock.now());
        if is_left {
            self.exchange.record.retries += 1;
            self.proxy.shared.metrics.retries.inc();
        }
        is_left
    }

    async fn wait_and_go<B>(&mut self, wait: Duration, body: Option<Box<Replay<B>>>) -> Result<Tried<B>, Refused> {
        // While it waits, the place at the last endpoint is somebody else's.
        self.exchange.record.permit = None;
        let wait = self.clock.left().map_or(wait, |left| left.min(wait));
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        if self.clock.is_over() { Err(Refusal::RequestTimeout.into()) } else { Ok(Tried::Again(body)) }
    }

    fn settle(&mut self, outcome: Outcome) {
        if let Some(permit) = &mut self.exchange.record.permit {
            permit.settle(outcome, Instant::now());
        }
    }
}

/// The body from its start.
fn rewound<B>(body: Option<Box<Replay<B>>>) -> Option<Box<Replay<B>>> {
    body.and_then(|body| body.rewind()).map(Box::new)
}

/// The framing the client used: a body of unknown length stays one, an announced empty body stays announced.
pub fn framing_of<B: Body>(body: &B, seen: Seen) -> UploadFraming {
    if body.is_end_stream() {
        return if seen.content_length { UploadFraming::Length(0) } else { UploadFraming::None };
    }
    match body.size_hint().exact() {
        Some(length) => UploadFraming::Length(length),
        None => UploadFraming::Chunked,
    }
}
