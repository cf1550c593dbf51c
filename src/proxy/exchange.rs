//! One request with its response, from first byte in to last byte out.
//!
//! An exchange is made when the head has been read and dropped when the last byte of the answer has left, or
//! the client has gone. Its drop settles everything once: the count, the duration, the log line, the load of
//! the endpoint.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use http::{StatusCode, request::Parts};

use crate::observe::access_log::Entry;
use crate::observe::metrics::ServiceMetrics;
use crate::observe::trace::{self, RequestId};
use crate::snapshot::Plan;
use crate::upstream::Load;

use super::refusal::Refusal;
use super::request_body::Fault;
use super::{Client, Proxy};

/// What is known about a request that is being answered.
#[derive(Debug)]
pub struct Exchange {
    proxy: Rc<Proxy>,
    /// The request's head.
    pub parts: Parts,
    /// Who asks.
    pub client: Rc<Client>,
    /// Sent on as `X-Request-Id`.
    pub request_id: RequestId,
    /// When the head had been read.
    pub started: Instant,
    /// Whether a log line is written.
    pub is_logged: bool,
    /// The rule that answers.
    pub plan: Option<Arc<Plan>>,
    /// Where it is counted.
    pub service: Option<Arc<ServiceMetrics>>,
    /// The endpoint it runs at, or ran at last.
    pub load: Option<Load>,
    /// Tries after the first.
    pub retries: usize,
    /// Why the client's body broke off, if it did and has one.
    pub body_fault: Option<Fault>,
    /// As sent to the client.
    pub status: StatusCode,
    /// Why the answer is ours, or what went wrong.
    pub reason: &'static str,
    /// Body bytes handed to the client's connection.
    pub bytes: u64,
}

/// The client went before there was an answer: nginx' status for it, seen in metrics and log only.
const CLIENT_CLOSED: u16 = 499;

impl Exchange {
    /// Begins. Until a status is set, the client counts as gone.
    pub fn new(proxy: &Rc<Proxy>, parts: Parts, client: Rc<Client>, started: Instant) -> Self {
        let request_id = proxy.request_id(&parts.headers);
        Self {
            proxy: Rc::clone(proxy),
            parts,
            client,
            request_id,
            started,
            is_logged: false,
            plan: None,
            service: None,
            load: None,
            retries: 0,
            body_fault: None,
            status: StatusCode::from_u16(CLIENT_CLOSED).unwrap_or(StatusCode::BAD_REQUEST),
            reason: "client_closed",
            bytes: 0,
        }
    }

    /// The answer is ours.
    pub fn refuse(&mut self, refusal: Refusal, status: StatusCode) {
        self.status = status;
        self.reason = refusal.reason();
        self.load = None;
    }

    /// Why the client did not deliver its body.
    pub fn client_fault(&self) -> Refusal {
        self.body_fault.as_ref().and_then(Fault::get).unwrap_or(Refusal::ClientBody)
    }

    fn log(&self, service: &str) {
        let checked = super::head::check(&self.parts).ok();
        let trace_id = self.parts.headers.get("traceparent").and_then(trace::trace_id);
        let elapsed = self.started.elapsed();
        let began = SystemTime::now().checked_sub(elapsed).unwrap_or(SystemTime::UNIX_EPOCH);
        self.proxy.shared.access_log.log(&Entry {
            time: jiff::Timestamp::try_from(began).unwrap_or_default().to_string(),
            client: self.client.address,
            method: self.parts.method.as_str(),
            host: checked.as_ref().map_or("", |head| &head.host),
            path: checked.as_ref().map_or_else(|| self.parts.uri.path(), |head| &head.path),
            status: self.status.as_u16(),
            reason: self.reason,
            route: self.plan.as_ref().map_or("", |plan| &plan.rule.name),
            service,
            backend: self.load.as_ref().map_or("", |load| load.endpoint().label()),
            retries: self.retries,
            bytes: self.bytes,
            duration_ms: (elapsed.as_secs_f64() * 1e6).round() / 1e3,
            request_id: std::str::from_utf8(self.request_id.text(&mut [0; 32])).unwrap_or_default(),
            trace_id: trace_id.unwrap_or_default(),
        });
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let service = self.service.as_ref().unwrap_or(&self.proxy.no_service);
        let duration = self.started.elapsed();
        service.record(self.proxy.worker, &self.parts.method, self.status.as_u16(), duration);
        if !self.reason.is_empty() {
            self.proxy.shared.metrics.refusals.with_label_values(&[self.reason]).inc();
        }
        if self.is_logged {
            self.log(service.label());
        }
    }
}
