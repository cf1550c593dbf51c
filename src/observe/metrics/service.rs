//! The cells of one service: what its requests are counted into.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Method;

/// Upper bounds in seconds: from a local cache's answer to a long poll.
pub(super) const BUCKETS: [f64; 15] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];

/// The cells of one service.
#[derive(Debug)]
pub struct ServiceMetrics {
    label: String,
    /// None: no request came to this worker yet.
    workers: Box<[Mutex<Option<Box<Cells>>>]>,
}

/// One worker's counts for one service. Allocated with the first request.
#[derive(Clone, Debug, Default)]
struct Cells {
    requests: Vec<(MethodLabel, u16, u64)>,
    buckets: [u64; BUCKETS.len()],
    seconds: f64,
}

impl ServiceMetrics {
    /// Without a registry: for tests, and for [`Metrics::service`].
    pub fn new(label: &str, workers: usize) -> Arc<Self> {
        Arc::new(Self { label: label.to_owned(), workers: (0..workers.max(1)).map(|_| Mutex::default()).collect() })
    }

    /// The `service` label.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Counts an answered request. The lock is this worker's own; only a scrape ever waits for it.
    pub fn record(&self, worker: usize, method: &Method, status: u16, duration: Duration) {
        let Some(cells) = self.workers.get(worker) else { return };
        let mut cells = cells.lock().unwrap_or_else(PoisonError::into_inner);
        let cells = cells.get_or_insert_default();
        let method = MethodLabel::of(method);
        match cells.requests.iter_mut().find(|(m, s, _)| *m == method && *s == status) {
            Some((_, _, count)) => *count += 1,
            None => cells.requests.push((method, status, 1)),
        }
        let seconds = duration.as_secs_f64();
        cells.seconds += seconds;
        let bucket = BUCKETS.iter().position(|bound| seconds <= *bound);
        if let Some(count) = bucket.and_then(|bucket| cells.buckets.get_mut(bucket)) {
            *count += 1;
        }
    }

    /// The sums over all workers: requests by status and method, counts by bucket, seconds.
    pub(super) fn sum(&self) -> (BTreeMap<(u16, MethodLabel), u64>, [u64; BUCKETS.len()], f64) {
        let mut requests = BTreeMap::new();
        let mut buckets = [0; BUCKETS.len()];
        let mut seconds = 0.0;
        for cells in &self.workers {
            let cells = cells.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(cells) = &*cells else { continue };
            for (method, status, count) in &cells.requests {
                *requests.entry((*status, *method)).or_insert(0) += count;
            }
            for (sum, count) in buckets.iter_mut().zip(&cells.buckets) {
                *sum += count;
            }
            seconds += cells.seconds;
        }
        (requests, buckets, seconds)
    }
}

/// A method as a label: those of RFC 9110 and PATCH, all others together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum MethodLabel {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Options,
    Patch,
    Connect,
    Trace,
    Other,
}

impl MethodLabel {
    fn of(method: &Method) -> Self {
        match *method {
            Method::GET => Self::Get,
            Method::HEAD => Self::Head,
            Method::POST => Self::Post,
            Method::PUT => Self::Put,
            Method::DELETE => Self::Delete,
            Method::OPTIONS => Self::Options,
            Method::PATCH => Self::Patch,
            Method::CONNECT => Self::Connect,
            Method::TRACE => Self::Trace,
            _ => Self::Other,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Patch => "PATCH",
            Self::Connect => "CONNECT",
            Self::Trace => "TRACE",
            Self::Other => "other",
        }
    }
}
