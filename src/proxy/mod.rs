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
pub mod outgoing;
pub mod refusal;
pub mod reply;
pub mod request_body;
pub mod retry;
pub mod seen;
pub mod steps;
pub mod tunnel;
pub mod upgrade;

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bytes::Bytes;
use http::Response;
use http::request::Parts;

use crate::config::Listener;
use crate::middleware::{Identified, Trust};
use crate::observe::access_log::AccessLog;

use crate::observe::metrics::{Metrics, NO_SERVICE, ServiceMetrics};
use crate::observe::trace::{Ids, RequestId};
use crate::snapshot::{Published, Reader};
use crate::upstream::deadline::Deadlines;
use crate::upstream::pool::Pool;
use crate::upstream::resolve::Resolver;

use body::ProxyBody;
use exchange::Exchange;
use refusal::{Refusal, Refused};
use reply::{Reply, ReplyHeaders};
use request_body::RequestBody;
use seen::Seen;
use steps::Next;

/// What all workers share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// What is served.
    pub published: Arc<Published>,
    /// What is measured.
    pub metrics: Arc<Metrics>,
    /// Where requests are logged.
    pub access_log: AccessLog,
    /// Looks up names of servers.
    pub resolver: Resolver,
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
    pub async fn serve<B>(self: Rc<Self>, parts: Box<Parts>, body: B, client: Rc<Client>) -> Reply<RequestBody<B>>
    where
        B: http_body::Body<Data = Bytes> + Unpin,
        B::Error: Into<Refusal>,
    {
        let started = Instant::now();
        let mut body = RequestBody::new(body);
        let mut exchange = Box::new(Exchange::new(&self, parts, client, started));
        exchange.record.body_fault = body.fault();
        let next = steps::run(&self, &exchange.parts, &mut exchange.record, &mut body).await;
        let mut reply = match next {
            Err(refused) => refuse(exchange, &refused),
            Ok(Next::Own(response)) => own(exchange, response),
            Ok(Next::Forward(routed)) => match forward::forward(&self, &mut exchange, routed, body).await {
                Ok(answer) => answer.into_reply(&self, exchange),
                Err(refused) => refuse(exchange, &refused),
            },
        };
        reply.closes |= self.shared.is_draining.load(Ordering::Relaxed);
        reply
    }

    /// Answers what is no request, or none that may be passed on: counted and logged like any other. `parts`
    /// is what is known of it.
    pub fn refuse<B>(self: &Rc<Self>, parts: Box<Parts>, client: Rc<Client>, refusal: Refusal) -> Reply<B> {
        let mut exchange = Box::new(Exchange::new(self, parts, client, Instant::now()));
        exchange.record.log_form = steps::log_form(&self.snapshots.current());
        refuse(exchange, &refusal.into())
    }

    /// A number for spreading things out in time.
    pub fn random(&self) -> u64 {
        self.ids.number()
    }

    /// The client's, if it is one, else a new one.
    fn request_id(&self, headers: &http::HeaderMap, seen: Seen) -> RequestId {
        match seen.request_id.then(|| headers.get(&hop::X_REQUEST_ID)).flatten() {
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
    /// Whom it speaks for: what is sent as `X-Forwarded-For`; none: only for itself.
    forwarded_for: Option<String>,
    /// Whom the listener believes, if anybody.
    trust: Option<Trust>,
}

impl Client {
    /// From the address of its socket.
    pub fn new(address: IpAddr, listener: Arc<Listener>) -> Self {
        let address = address.to_canonical();
        let trust = &listener.client_address;
        let trust = (!trust.trust.is_empty()).then(|| Trust::new(trust));
        Self { address, text: text_of(address), listener, forwarded_for: None, trust }
    }

    /// Who asks by this peer, if that is somebody else.
    fn client_of(&self, headers: &http::HeaderMap) -> Option<Self> {
        let identified: Identified = self.trust.as_ref()?.identify(self.address, headers);
        if identified.is_peer() {
            return None;
        }
        Some(Self {
            address: identified.client,
            text: identified.client.to_string(),
            listener: Arc::clone(&self.listener),
            forwarded_for: Some(identified.forwarded_for()),
            trust: None,
        })
    }

    /// The header that names clients at this listener, where it is not the usual one, which is always written anew.
    fn word(&self) -> Option<hop::TrustedWord<'_>> {
        let name = self.listener.client_address.header.as_str();
        if name.eq_ignore_ascii_case("x-forwarded-for") {
            return None;
        }
        Some(hop::TrustedWord { name, is_trusted: self.forwarded_for.is_some() })
    }

    /// What is sent as `X-Forwarded-For`.
    pub fn forwarded_for(&self) -> &str {
        self.forwarded_for.as_deref().unwrap_or(&self.text)
    }
}

/// An address as text. A connection is made for one request often enough that formatting IPv4 by hand pays: a thousand
/// instructions of thirty thousand.
fn text_of(address: IpAddr) -> String {
    let IpAddr::V4(v4) = address else { return address.to_string() };
    let mut text = String::with_capacity("255.255.255.255".len());
    for (at, octet) in v4.octets().into_iter().enumerate() {
        if at > 0 {
            text.push('.');
        }
        let digits = [octet / 100, octet / 10 % 10, octet % 10];
        let first = digits.iter().position(|digit| *digit > 0).unwrap_or(2);
        text.extend(digits.iter().skip(first).map(|digit| char::from(b'0' + digit)));
    }
    text
}

/// An open client connection, counted.
#[derive(Debug)]
pub struct ClientConnection(prometheus::IntGauge);

impl Drop for ClientConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// An answer of ours that says why there is no other.
fn refuse<B>(mut exchange: Box<Exchange>, refused: &Refused) -> Reply<B> {
    exchange.record.refuse(refused);
    let closes = refused.why.ends_connection();
    Reply { closes, ..fixed(exchange, refused.response().map(Bytes::from)) }
}

/// An answer of the rule's own.
fn own<B>(mut exchange: Box<Exchange>, response: Response<Bytes>) -> Reply<B> {
    exchange.record.status = response.status();
    exchange.record.reason = "";
    fixed(exchange, response)
}

fn fixed<B>(mut exchange: Box<Exchange>, response: Response<Bytes>) -> Reply<B> {
    let (mut parts, body) = response.into_parts();
    exchange.finish_headers(&mut parts.headers, None);
    let headers = ReplyHeaders::Made(Box::new(parts.headers));
    Reply { status: parts.status, headers, closes: false, body: ProxyBody::fixed(body, exchange) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_the_standard_library_writes_them() {
        for octet in 0..=255 {
            let address = IpAddr::from([octet, 255 - octet, octet / 2, 10]);
            assert_eq!(text_of(address), address.to_string());
        }
        assert_eq!(text_of("2001:db8::1".parse().expect("an address")), "2001:db8::1");
    }
}
