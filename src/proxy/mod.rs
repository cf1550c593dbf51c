//! One request from its head to the last byte of its answer.
//!
//! ```text
//! head ── head.rs checks ── router decides ── forward.rs tries endpoints ── body.rs streams back ── exchange settles
//!            │                  │                    │
//!            └──── refusal.rs: every answer of ours ─┘
//! ```
//!
//! A [`Proxy`] belongs to one worker and is used by that worker's connections only, so what it keeps
//! (pool, deadlines, ids) needs no lock. The snapshot is loaded once for each request and kept to.
//! Whatever was taken for a request (an endpoint's load, a count, a log line) is given back by the
//! [`Exchange`](exchange::Exchange) when it is dropped, with the last byte of the body and not with the head.

pub mod body;
pub mod clock;
pub mod exchange;
pub mod forward;
pub mod head;
pub mod hop;
pub mod refusal;
pub mod retry;

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};

use crate::config::{AccessLogFormat, Listener};
use crate::observe::access_log::{AccessLog, LineForm};
use crate::observe::metrics::{Metrics, NO_SERVICE, ServiceMetrics};
use crate::observe::trace::{Ids, RequestId};
use crate::router::Decision;
use crate::snapshot::{PlanTarget, Published, Reader, Snapshot};
use crate::upstream::LiveUpstream;
use crate::upstream::deadline::Deadlines;
use crate::upstream::http1::UploadFraming;
use crate::upstream::pool::Pool;

use body::ProxyBody;
use exchange::Exchange;
use refusal::{Refusal, Refused};

/// What all workers share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// What is served.
    pub published: Arc<Published>,
    /// What is measured.
    pub metrics: Arc<Metrics>,
    /// Where requests are logged.
    pub access_log: AccessLog,
    /// Set when the process is about to end: clients are told to go.
    pub is_draining: Arc<AtomicBool>,
}

/// One worker's proxy.
#[derive(Debug)]
pub struct Proxy {
    shared: Shared,
    snapshots: Reader,
    worker: usize,
    no_service: Arc<ServiceMetrics>,
    pool: Pool,
    deadlines: Rc<Deadlines>,
    ids: Ids,
}

impl Proxy {
    /// For the worker of this number.
    pub fn new(shared: Shared, worker: usize) -> Self {
        Self {
            no_service: shared.metrics.service(NO_SERVICE),
            snapshots: Reader::new(Arc::clone(&shared.published)),
            shared,
            worker,
            pool: Pool::default(),
            deadlines: Rc::default(),
            ids: Ids::default(),
        }
    }

    /// What is served, as this worker sees it.
    pub fn snapshots(&self) -> &Reader {
        &self.snapshots
    }

    /// Idle connections to servers.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Deadlines of running exchanges.
    pub fn deadlines(&self) -> &Rc<Deadlines> {
        &self.deadlines
    }

    /// Counts an open client connection for as long as the guard lives.
    pub fn count_client_connection(&self) -> ClientConnection {
        self.shared.metrics.client_connections.inc();
        ClientConnection(self.shared.metrics.client_connections.clone())
    }

    /// Answers a request. Never fails: what cannot be answered by a server is refused with a reason.
    pub async fn serve<B>(self: Rc<Self>, request: Request<B>, client: Rc<Client>) -> Response<ProxyBody<B>>
    where
        B: http_body::Body<Data = Bytes> + Unpin,
    {
        let started = Instant::now();
        let (parts, body) = request.into_parts();
        let mut exchange = Box::new(Exchange::new(&self, parts, client, started));
        // The exchange keeps the rule's plan, not the snapshot: what it needs and no more outlives a swap.
        let routed = route(&self.snapshots.current(), &mut exchange, &body);
        let mut response = match routed {
            Err(refusal) => refuse(exchange, &refusal.into()),
            Ok(routed) => match forward::forward(&self, &mut exchange, routed, body).await {
                Ok(answer) => answer.into_response(&self, exchange),
                Err(refused) => refuse(exchange, &refused),
            },
        };
        if self.shared.is_draining.load(Ordering::Relaxed) {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// The client's, if it is one, else a new one.
    fn request_id(&self, headers: &http::HeaderMap) -> RequestId {
        match headers.get(&hop::X_REQUEST_ID) {
            Some(value) if crate::observe::trace::is_request_id(value) => RequestId::Given(value.clone()),
            _ => self.ids.request_id(),
        }
    }
}

/// Who asks: made once for a connection.
#[derive(Debug)]
pub struct Client {
    /// IPv4 addresses as such, also where they came in by an IPv6 socket.
    pub address: IpAddr,
    /// The address as text.
    pub text: String,
    /// Where it came in, as described when it did.
    pub listener: Arc<Listener>,
}

impl Client {
    /// From the address of its socket.
    pub fn new(address: IpAddr, listener: Arc<Listener>) -> Self {
        let address = address.to_canonical();
        Self { address, text: address.to_string(), listener }
    }
}

/// An open client connection, counted.
#[derive(Debug)]
pub struct ClientConnection(prometheus::IntGauge);

impl Drop for ClientConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// What was decided about a request.
#[derive(Debug)]
pub struct Routed {
    /// Where it goes.
    pub upstream: Arc<LiveUpstream>,
    /// The head as it is sent to whichever server answers.
    pub head: Bytes,
    /// How its body is framed.
    pub framing: UploadFraming,
}

/// Decides, and writes the head for the server while the client's is still at hand: nothing of it is copied
/// but into that.
fn route<B: http_body::Body>(snapshot: &Snapshot, exchange: &mut Exchange, body: &B) -> Result<Routed, Refusal> {
    exchange.record.log_form = match snapshot.gateway.access_log {
        AccessLogFormat::Json => Some(LineForm::Json),
        AccessLogFormat::None => None,
    };
    let client = Rc::clone(&exchange.record.client);
    let checked = head::check(&exchange.parts, client.listener.paths)?;
    let table = snapshot.table(&client.listener.name);
    let plan = match table.decide(&checked.as_router_head(&exchange.parts, client.address)) {
        Decision::NoHost => return Err(Refusal::NoHost),
        Decision::NoRoute => return Err(Refusal::NoRoute),
        Decision::Rule(candidate) => &candidate.plan,
    };
    exchange.record.plan = Some(Arc::clone(plan));
    let upstream = match plan.split.as_ref().ok_or(Refusal::RuleOff)?.next() {
        Some(PlanTarget::Upstream(upstream)) => Arc::clone(upstream),
        Some(PlanTarget::Missing) | None => return Err(Refusal::BackendMissing),
    };
    let framing = forward::framing_of(body, &exchange.parts.headers);
    let head = forward::write_head(exchange, &checked, framing);
    exchange.record.service = Some(Arc::clone(upstream.metrics()));
    Ok(Routed { upstream, head, framing })
}

fn refuse<B>(mut exchange: Box<Exchange>, refused: &Refused) -> Response<ProxyBody<B>> {
    let response = refused.response();
    exchange.record.refuse(refused);
    let (parts, text) = response.into_parts();
    Response::from_parts(parts, ProxyBody::fixed(text, exchange))
}
