//! The admin address: is it alive, is it ready, what is measured, what is in effect.
//!
//! Served by the control runtime, loopback unless told otherwise, never on a port that clients reach. Shows no
//! secrets: there are none in the Gateway.

use std::convert::Infallible;
use std::fs::File;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::config::dump::dump;
use crate::observe::metrics::Metrics;
use crate::snapshot::Published;

/// Connections at once: scrapers, probes and a person.
const MAX_CONNECTIONS: usize = 64;
/// A head has to arrive within it.
const HEAD_TIME: Duration = Duration::from_secs(5);

/// A descriptor kept for when there is no other: somebody has to be able to look at a process at its limit, and a
/// liveness probe that finds no descriptor must not end one that only has many clients.
#[derive(Clone, Debug, Default)]
struct Spare(Arc<Mutex<Option<File>>>);

impl Spare {
    /// Whether there was one, which is free now.
    fn use_up(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }

    /// Keeps one again, if there is one.
    fn refill(&self) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.is_none() {
            *kept = File::open("/dev/null").ok();
        }
    }
}

/// What the admin address tells about.
#[derive(Clone, Debug)]
pub struct Admin {
    /// What is served.
    pub published: Arc<Published>,
    /// What is measured.
    pub metrics: Arc<Metrics>,
    /// A first snapshot serves, and the process does not end.
    pub is_ready: Arc<AtomicBool>,
    /// Why the newest configuration is not in effect; empty while it is.
    pub problems: Arc<ArcSwap<Vec<String>>>,
    /// What is served was read from disk, where it was written then.
    pub stale_since: Arc<ArcSwap<Option<SystemTime>>>,
}

impl Admin {
    /// Answers until `stop`.
    pub async fn serve(self, socket: TcpListener, stop: CancellationToken) {
        let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let tasks = tokio_util::task::TaskTracker::new();
        let spare = Spare::default();
        spare.refill();
        loop {
            let accepted = tokio::select! {
                accepted = socket.accept() => accepted,
                () = stop.cancelled() => return,
            };
            if accepted.is_err() && spare.use_up() {
                continue;
            }
            let (Ok((stream, _)), Ok(slot)) = (accepted, Arc::clone(&slots).try_acquire_owned()) else {
                // Out of descriptors or too many at once: whoever it was tries again.
                tokio::time::sleep(Duration::from_millis(10)).await;
                spare.refill();
                continue;
            };
            let spare = spare.clone();
            let admin = self.clone();
            let stop = stop.clone();
            tasks.spawn(async move {
                let service = service_fn(move |request| {
                    let admin = admin.clone();
                    async move { Ok::<_, Infallible>(admin.answer(request).await) }
                });
                let mut builder = http1::Builder::new();
                builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME);
                let connection = builder.serve_connection(TokioIo::new(stream), service);
                tokio::select! {
                    _ = connection => {}
                    () = stop.cancelled() => {}
                }
                drop(slot);
                spare.refill();
            });
        }
    }

    /// A dump of many routes takes a second or more, which probes and scrapes must not wait for.
    async fn answer(self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if request.method() != Method::GET || request.uri().path() != "/dump" {
            return self.answer_at_once(&request);
        }
        let dumped = tokio::task::spawn_blocking(move || self.dump()).await;
        dumped.unwrap_or_else(|_| text(StatusCode::INTERNAL_SERVER_ERROR, "the dump has failed\n".into()))
    }

    fn answer_at_once(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".into());
        }
        match request.uri().path() {
            "/livez" => text(StatusCode::OK, "alive\n".into()),
            "/readyz" if self.is_ready.load(Ordering::Relaxed) => text(StatusCode::OK, self.ready()),
            "/readyz" => text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n".into()),
            "/metrics" => self.measured(),
            "/config" => self.config(),
            _ => text(StatusCode::NOT_FOUND, "there are /livez /readyz /metrics /config /dump\n".into()),
        }
    }

    /// What is in effect as a file.
    fn dump(&self) -> Response<Full<Bytes>> {
        match dump(&self.published.load().gateway) {
            Ok(file) => text(StatusCode::OK, file),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        }
    }

    /// Old news serve as well as new ones; whoever looks shall know.
    fn ready(&self) -> String {
        match self.stale_seconds() {
            None => "ready\n".to_owned(),
            Some(age) => {
                format!("ready, serving the last known state from disk, {age} s old: no answer from the API server\n")
            }
        }
    }

    fn stale_seconds(&self) -> Option<u64> {
        self.stale_since.load().map(|since| since.elapsed().unwrap_or_default().as_secs())
    }

    fn measured(&self) -> Response<Full<Bytes>> {
        let age = self.stale_seconds();
        let control = &self.metrics.control;
        control.snapshot_stale.set(i64::from(age.is_some()));
        control.snapshot_stale_seconds.set(age.unwrap_or_default().try_into().unwrap_or(i64::MAX));
        match self.metrics.encode() {
            Ok(metrics) => text(StatusCode::OK, metrics),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        }
    }

    fn config(&self) -> Response<Full<Bytes>> {
        let snapshot = self.published.load();
        let shown = serde_json::json!({
            "number": snapshot.number,
            "problems": **self.problems.load(),
            "staleSeconds": self.stale_seconds(),
            "gateway": *snapshot.gateway,
        });
        let mut response = text(StatusCode::OK, format!("{shown:#}\n"));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

/// Opens the admin address.
///
/// # Errors
/// If it cannot be bound.
pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

fn text(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
