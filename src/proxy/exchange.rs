//! One request with its response, from first byte in to last byte out.
//!
//! An exchange is made when the head has been read and dropped when the last byte of the answer has left, or
//! the client has gone. Its drop settles everything once: the count, the duration, the log line, the permit of
//! the endpoint.
//!
//! The request's head ([`Exchange::parts`]) never changes; what becomes known while it is answered is the
//! [`Record`]. They stand apart so that steps can look at the one while they write the other.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts};

use crate::config::Timeouts;
use crate::middleware::edit::Edits;
use crate::middleware::variable::{Asked, Variables};
use crate::observe::access_log::{Entry, Extra, LineForm};
use crate::observe::metrics::ServiceMetrics;
use crate::observe::trace::{RequestId, Trace};
use crate::snapshot::{Guard, Plan};
use crate::upstream::Permit;

use super::refusal::{Refusal, Refused};
use super::request_body::Fault;
use super::seen::Seen;
use super::{Client, Proxy};

/// A request that is being answered.
#[derive(Debug)]
pub struct Exchange {
    proxy: Rc<Proxy>,
    /// The request's head.
    pub parts: Box<Parts>,
    /// What became known since.
    pub record: Record,
}

/// What is known about a request that is being answered.
#[derive(Debug)]
pub struct Record {
    /// Who asks.
    pub client: Rc<Client>,
    /// Which headers it has that mean something to us.
    pub seen: Seen,
    /// Sent on as `X-Request-Id`.
    pub request_id: RequestId,
    /// The trace it belongs to.
    pub trace: Trace,
    /// When the head had been read.
    pub started: Instant,
    /// How a log line is written; none: it is not.
    pub log_form: Option<LineForm>,
    /// The rule that answers.
    pub plan: Option<Arc<Plan>>,
    /// Where it is counted.
    pub service: Option<Arc<ServiceMetrics>>,
    /// Its place among those at once, if its rule counts them.
    pub guard: Option<Guard>,
    /// The endpoint it runs at, or ran at last.
    pub permit: Option<Permit>,
    /// Tries after the first.
    pub retries: u32,
    /// Why the client's body broke off, if it did and has one.
    pub body_fault: Option<Fault>,
    /// As sent to the client.
    pub status: StatusCode,
    /// Why the answer is ours, or what went wrong.
    pub reason: &'static str,
    /// Body bytes handed to the client's connection.
    pub bytes: u64,
    /// For the answer, whoever gives it: what a limit tells.
    pub answer_headers: Vec<(HeaderName, HeaderValue)>,
}

/// The client went before there was an answer: nginx' status for it, seen in metrics and log only.
const CLIENT_CLOSED: u16 = 499;

impl Exchange {
    /// Begins. Until a status is set, the client counts as gone.
    pub fn new(proxy: &Rc<Proxy>, parts: Box<Parts>, client: Rc<Client>, started: Instant) -> Self {
        let seen = Seen::of(&parts.headers);
        let request_id = proxy.request_id(&parts.headers, seen);
        let given = if seen.trace { Trace::of(&parts.headers) } else { None };
        let trace = given.unwrap_or_else(|| proxy.ids.trace(&request_id));
        let record = Record {
            client,
            seen,
            request_id,
            trace,
            started,
            log_form: None,
            plan: None,
            service: None,
            guard: None,
            permit: None,
            retries: 0,
            body_fault: None,
            status: StatusCode::from_u16(CLIENT_CLOSED).unwrap_or(StatusCode::BAD_REQUEST),
            reason: "client_closed",
            bytes: 0,
            answer_headers: Vec::new(),
        };
        Self { proxy: Rc::clone(proxy), parts, record }
    }

    /// Whether [`finish_headers`](Self::finish_headers) would change anything.
    pub fn changes_answer(&self, of_way: Option<&Edits>) -> bool {
        !self.record.answer_headers.is_empty() || self.answer_edits(of_way).is_some_and(|edits| !edits.is_empty())
    }

    fn answer_edits<'s>(&'s self, of_way: Option<&'s Edits>) -> Option<&'s Edits> {
        of_way.or_else(|| self.record.plan.as_ref().map(|plan| &plan.answer_edits))
    }

    /// The last changes to an answer's headers: what limits tell, then the edits of the server's way, or of the rule.
    pub fn finish_headers(&mut self, headers: &mut HeaderMap, of_way: Option<&Edits>) {
        for (name, value) in std::mem::take(&mut self.record.answer_headers) {
            headers.insert(name, value);
        }
        let Some(edits) = self.answer_edits(of_way) else { return };
        if edits.is_empty() {
            return;
        }
        let Ok(checked) = super::head::check(&self.parts, self.record.client.listener.paths) else { return };
        let mut id = [0; 32];
        let variables = Variables {
            client_address: &self.record.client.text,
            asked: Asked {
                scheme: "http",
                host: &checked.host,
                port: checked.port,
                path: &checked.path,
                query: checked.query,
            },
            request_id: self.record.request_id.text(&mut id),
        };
        if let Err(error) = edits.apply(headers, &variables) {
            tracing::debug!(%error, "a header of the answer is left out");
        }
    }

    /// Whether this one is written, by the choice of its rule.
    fn is_sampled(&self) -> bool {
        let Some(plan) = &self.record.plan else { return true };
        let sampling = &plan.rule.traffic.access_log;
        match sampling.one_in {
            1 => true,
            _ if sampling.always.contains(self.record.status) => true,
            0 => false,
            one_in => self.proxy.ids.number().is_multiple_of(u64::from(one_in)),
        }
    }

    fn log(&self, form: LineForm, service: &str) {
        let (parts, record) = (&self.parts, &self.record);
        let checked = super::head::check(parts, record.client.listener.paths).ok();
        let elapsed = record.started.elapsed();
        let began = SystemTime::now().checked_sub(elapsed).unwrap_or(SystemTime::UNIX_EPOCH);
        let began = jiff::Timestamp::try_from(began).unwrap_or_default();
        let extra = match form {
            LineForm::Json => Extra::default(),
            LineForm::Combined => self.extra(began),
        };
        let mut id = [0; 32];
        let entry = Entry {
            time: if form == LineForm::Json { began.to_string() } else { String::new() },
            client: record.client.address,
            method: parts.method.as_str(),
            host: checked.as_ref().map_or("", |head| &head.host),
            path: checked.as_ref().map_or_else(|| parts.uri.path(), |head| &head.path),
            status: record.status.as_u16(),
            reason: record.reason,
            route: record.plan.as_ref().map_or("", |plan| &plan.rule.name),
            service,
            backend: record.permit.as_ref().map_or("", |permit| permit.endpoint().label()),
            retries: record.retries,
            bytes: record.bytes,
            duration_ms: (elapsed.as_secs_f64() * 1e6).round() / 1e3,
            request_id: std::str::from_utf8(record.request_id.text(&mut id)).unwrap_or_default(),
            trace_id: &record.trace.id(),
            extra,
        };
        self.proxy.shared.access_log.log(&entry, form);
    }

    fn extra(&self, began: jiff::Timestamp) -> Extra<'_> {
        let header = |name| self.parts.headers.get(name).map(HeaderValue::as_bytes).unwrap_or_default();
        Extra {
            target: self.parts.uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str),
            version: match self.parts.version {
                http::Version::HTTP_10 => "HTTP/1.0",
                http::Version::HTTP_2 => "HTTP/2.0",
                _ => "HTTP/1.1",
            },
            referer: header(header::REFERER),
            user_agent: header(header::USER_AGENT),
            time: began.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
        }
    }
}

impl Record {
    /// The answer is ours.
    pub fn refuse(&mut self, refused: &Refused) {
        self.status = refused.status;
        self.reason = refused.why.reason();
    }

    /// Bounds in time, as the rule has them.
    pub fn timeouts(&self) -> Timeouts {
        self.plan.as_ref().map(|plan| plan.rule.traffic.timeouts).unwrap_or_default()
    }

    /// Why the client did not deliver its body.
    pub fn client_fault(&self) -> Refusal {
        self.body_fault.as_ref().and_then(Fault::get).unwrap_or(Refusal::ClientBody)
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let record = &self.record;
        let service = record.service.as_ref().unwrap_or(&self.proxy.no_service);
        let duration = record.started.elapsed();
        service.record(self.proxy.worker, &self.parts.method, record.status.as_u16(), duration);
        if !record.reason.is_empty() {
            self.proxy.shared.metrics.refusals.with_label_values(&[record.reason]).inc();
        }
        if let Some(form) = record.log_form
            && self.is_sampled()
        {
            self.log(form, service.label());
        }
    }
}
