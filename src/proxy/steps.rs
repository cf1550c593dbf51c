//! What is done to a request before it is sent on, in the one fixed order.
//!
//! ```text
//! the head is clear -> who asks -> which rule -> allow, deny -> rate limits -> so many at once -> length of the body
//!                   -> redirect | respond | one of the backends -> path, host and headers for its servers
//! ```
//!
//! The order cannot be configured, so nothing can be ordered wrongly: an address that is denied costs no token, and a
//! request over its rate takes no place among those at once. Who stops the request says so with a [`Refused`]; what was
//! taken (a place) is held by the [`Record`] and given back with it.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Response, header};
use http_body::Body;

use crate::config::AccessLogFormat;
use crate::config::listener::PathReading;
use crate::config::traffic::Algorithm;
use crate::lb::stable_hash;
use crate::middleware::variable::{Asked as AskedUrl, Variables};
use crate::middleware::{Asked, LimitOutcome, Met, attribute, redirect, rewrite};
use crate::observe::access_log::LineForm;
use crate::router::{Decision, path};
use crate::snapshot::{Plan, PlanAction, PlanTarget, Snapshot, ToUpstream};
use crate::upstream::http1::UploadFraming;

use super::exchange::Record;
use super::forward::{Routed, framing_of};
use super::head::{self, Checked};
use super::outgoing::{Outgoing, Written};
use super::refusal::{Refusal, Refused};
use super::request_body::RequestBody;
use super::{Client, Proxy, upgrade};

/// What comes of a request.
#[derive(Debug)]
pub enum Next {
    /// A server answers.
    Forward(Routed),
    /// The rule answers.
    Own(Response<Bytes>),
}

/// Does all of it.
///
/// # Errors
/// Why the request is not answered as the rule says.
pub async fn run<B>(
    proxy: &Proxy,
    parts: &Parts,
    record: &mut Record,
    body: &mut RequestBody<B>,
) -> Result<Next, Refused>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Refusal>,
{
    let peer = Rc::clone(&record.client);
    let checked = {
        let snapshot = proxy.snapshots.current();
        record.log_form = log_form(&snapshot);
        let checked = head::check(parts, peer.listener.paths)?;
        if let Some(client) = peer.client_of(&parts.headers) {
            record.client = Rc::new(client);
        }
        record.plan = Some(decide(&snapshot, parts, &checked, &record.client)?);
        checked
    };
    let Some(plan) = record.plan.clone() else { return Err(Refusal::NoRoute.into()) };
    let request = Request { proxy, parts, checked: &checked, plan: &plan };
    if !plan.access.is_allowed(record.client.address) {
        return Err(Refusal::AddressDenied.into());
    }
    request.limit_rate(record)?;
    request.enter_gate(record).await?;
    let framing = framing_of(body, record.seen);
    if let Some(most) = plan.rule.traffic.request_body {
        match framing {
            UploadFraming::Length(length) if length > most => return Err(Refusal::BodyTooLarge.into()),
            UploadFraming::Chunked => body.limit(most),
            UploadFraming::Length(_) | UploadFraming::None => {}
        }
    }
    request.act(record, framing)
}

/// How this snapshot wants lines to be written.
pub fn log_form(snapshot: &Snapshot) -> Option<LineForm> {
    match snapshot.gateway.access_log {
        AccessLogFormat::Json => Some(LineForm::Json),
        AccessLogFormat::Text => Some(LineForm::Combined),
        AccessLogFormat::None => None,
    }
}

fn decide(snapshot: &Snapshot, parts: &Parts, checked: &Checked<'_>, client: &Client) -> Result<Arc<Plan>, Refusal> {
    let table = snapshot.table(&client.listener.name);
    match table.decide(&checked.as_router_head(parts, client.address)) {
        Decision::NoHost => Err(Refusal::NoHost),
        Decision::NoRoute => Err(Refusal::NoRoute),
        Decision::Rule(candidate) => Ok(Arc::clone(&candidate.plan)),
    }
}

/// A request whose rule is known.
struct Request<'a> {
    proxy: &'a Proxy,
    parts: &'a Parts,
    checked: &'a Checked<'a>,
    plan: &'a Arc<Plan>,
}

impl Request<'_> {
    /// As steps see it.
    fn asked<'s>(&'s self, client: &'s Client) -> Asked<'s> {
        Asked {
            parts: self.parts,
            client: client.address,
            host: &self.checked.host,
            path: &self.checked.path,
            query: self.checked.query,
            route: &self.plan.rule.id,
            listener: &client.listener.name,
        }
    }

    fn limit_rate(&self, record: &mut Record) -> Result<(), Refused> {
        if self.plan.limits.is_empty() {
            return Ok(());
        }
        let client = Rc::clone(&record.client);
        // Not to a tick: a bucket of a thousand a second fills a hundred times in one.
        let now = record.started;
        let LimitOutcome { refusal, reported, headers } = self.plan.limits.check(&self.asked(&client), now);
        record.answer_headers = headers;
        reported.iter().for_each(|met| self.count_limited(met));
        let Some(refusal) = refusal else { return Ok(()) };
        self.count_limited(&refusal.met);
        let after = std::time::Duration::from_secs(refusal.retry_after);
        let why = if refusal.is_key_missing { Refusal::RateKeyMissing } else { Refusal::RateLimited };
        Err(Refused::from(why).with_status(refusal.status).with_retry_after(after))
    }

    fn count_limited(&self, met: &Met) {
        self.proxy.shared.metrics.limited.count(met.client, met.key_hash);
    }

    async fn enter_gate(&self, record: &mut Record) -> Result<(), Refused> {
        let (Some(gate), Some(concurrency)) = (&self.plan.gate, &self.plan.rule.traffic.concurrency) else {
            return Ok(());
        };
        let key = attribute::gate_key(&concurrency.per, &self.asked(&record.client), gate);
        match gate.enter(key).await {
            Ok(guard) => {
                record.guard = Some(guard);
                Ok(())
            }
            Err(_) => Err(Refused::from(Refusal::TooManyAtOnce).with_status(concurrency.status)),
        }
    }

    fn act(&self, record: &mut Record, framing: UploadFraming) -> Result<Next, Refused> {
        let client = Rc::clone(&record.client);
        let id = record.request_id.clone();
        let mut buffer = [0; 32];
        let variables = self.variables(&client, id.text(&mut buffer));
        match &self.plan.action {
            PlanAction::Off => Err(Refusal::RuleOff.into()),
            PlanAction::Respond(answer) => Ok(Next::Own(answer.response(&variables))),
            PlanAction::Redirect(redirect) => {
                let matched = &self.plan.rule.matches.path;
                let normalise = normalise(client.listener.paths);
                let location = redirect::location(redirect, matched, &variables.asked, &normalise);
                let location = location.map_err(|_| Refusal::BadRewrite)?;
                let mut response = Response::new(Bytes::new());
                *response.status_mut() = redirect.status;
                response.headers_mut().insert(header::LOCATION, location);
                Ok(Next::Own(response))
            }
            PlanAction::Forward(split) => match split.next() {
                Some(PlanTarget::Upstream(to)) => self.send(record, to, &variables, framing).map(Next::Forward),
                Some(PlanTarget::Missing) | None => Err(Refusal::BackendMissing.into()),
            },
        }
    }

    fn send(
        &self,
        record: &mut Record,
        to: &Arc<ToUpstream>,
        variables: &Variables<'_>,
        framing: UploadFraming,
    ) -> Result<Routed, Refused> {
        record.service = Some(Arc::clone(to.upstream.metrics()));
        let traffic = &self.plan.rule.traffic;
        let has_body = framing != UploadFraming::None;
        let upgrade: Option<HeaderValue> = match record.seen.upgrade {
            true => upgrade::requested(self.parts, has_body, &traffic.upgrades)?.cloned(),
            false => None,
        };
        let rewrite = traffic.rewrite.as_ref();
        let path = self.path(record)?;
        let written = Written {
            exchange: self.parts,
            record,
            checked: self.checked,
            target: &rewrite::target(path, self.checked.query),
            host: rewrite.and_then(|rewrite| rewrite.host.as_ref()),
            edits: &to.edits,
            upgrade: upgrade.as_ref(),
        };
        let head = Outgoing::write(&written, variables, framing);
        Ok(Routed { to: Arc::clone(to), head, framing, hash: self.hash(to, record), upgrade })
    }

    /// The path for the server.
    fn path(&self, record: &Record) -> Result<Cow<'_, str>, Refusal> {
        let rule = &self.plan.rule;
        let Some(how) = rule.traffic.rewrite.as_ref().and_then(|rewrite| rewrite.path.as_ref()) else {
            return Ok(Cow::Borrowed(&self.checked.path));
        };
        let normalise = normalise(record.client.listener.paths);
        rewrite::path(how, &rule.matches.path, &self.checked.path, &normalise).map_err(|_| Refusal::BadRewrite)
    }

    /// What a consistent hash looks at.
    fn hash(&self, to: &ToUpstream, record: &Record) -> Option<u64> {
        let Algorithm::ConsistentHash(how) = to.choice.algorithm() else { return None };
        let asked = self.asked(&record.client);
        let mut bytes = Vec::with_capacity(64);
        if attribute::feed(&how.hash_on, &asked, &mut |part| bytes.extend_from_slice(part)) == attribute::Found::None {
            bytes.clear();
            attribute::feed_client(&asked, &mut |part| bytes.extend_from_slice(part));
        }
        Some(stable_hash([bytes.as_slice()].into_iter()))
    }

    fn variables<'s>(&'s self, client: &'s Client, request_id: &'s [u8]) -> Variables<'s> {
        Variables {
            client_address: &client.text,
            asked: AskedUrl {
                scheme: "http",
                host: &self.checked.host,
                port: self.checked.port,
                path: &self.checked.path,
                query: self.checked.query,
            },
            request_id,
        }
    }
}

/// The router's normal form, for steps that make paths.
fn normalise(reading: PathReading) -> impl Fn(&str) -> Option<String> {
    move |text| path::normalise(text, reading).ok().map(Cow::into_owned)
}
