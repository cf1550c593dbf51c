//! A layer of the client that sees watches being opened, which the watcher above it does not tell.
//!
//! It does two things:
//!
//! - it slows down what goes round without an error. A watch that opens well and is ended at once is opened anew at
//!   once by the watcher, as fast as the network allows; a proxy in the way, or an API server that is going down,
//!   does that. Here an opening that follows the last one within [`SHORT`] waits, longer each time (`wait`);
//! - it tells that a watch works again. After an error the watcher is silent until something changes.
//!
//! Watches are known by their path, which differs by kind and namespace. Everything else passes untouched.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response, Uri};
use prometheus::IntCounter;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tower_layer::Layer;
use tower_service::Service;
use tracing::warn;

use super::wait::Wait;

/// A watch that is opened again so soon after it was has failed, however politely: servers end watches after a minute.
const SHORT: Duration = Duration::from_secs(2);

/// The watches that the client knows. Clones know the same; there is one for each watch task.
#[derive(Clone, Debug, Default)]
pub struct Openings(Arc<Mutex<BTreeMap<String, Arc<Opening>>>>);

/// How one watch is being opened.
#[derive(Debug)]
pub struct Opening {
    /// It has been opened.
    pub opened: Notify,
    closed_early: IntCounter,
    last: Mutex<Last>,
}

#[derive(Debug, Default)]
struct Last {
    opened: Option<Instant>,
    wait: Wait,
}

impl Openings {
    /// The watch at this path. `closed_early` counts how often it had to be opened again at once.
    pub fn of(&self, path: &str, closed_early: IntCounter) -> Arc<Opening> {
        let opening = Arc::new(Opening { opened: Notify::new(), closed_early, last: Mutex::default() });
        self.lock().insert(path.to_owned(), Arc::clone(&opening));
        opening
    }

    /// The watch that a request opens. The API server may stand below a path of its own.
    fn find(&self, uri: &Uri) -> Option<Arc<Opening>> {
        let is_watch = uri.query().is_some_and(|query| query.split('&').any(|part| part == "watch=true"));
        let known = self.lock();
        let found = known.iter().find(|(path, _)| is_watch && uri.path().ends_with(path.as_str()));
        found.map(|(_, opening)| Arc::clone(opening))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Opening>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Opening {
    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long to wait before it is opened; for one that was opened just now.
    fn pause(&self, now: Instant) -> Option<Duration> {
        let mut last = self.last();
        let is_early = last.opened.take().is_some_and(|opened| now.duration_since(opened) < SHORT);
        is_early.then(|| last.wait.after_error(now, None))
    }

    fn has_opened(&self, now: Instant) {
        self.last().opened = Some(now);
        self.opened.notify_one();
    }
}

impl<S> Layer<S> for Openings {
    type Service = Watched<S>;

    fn layer(&self, inner: S) -> Watched<S> {
        Watched { inner, openings: self.clone() }
    }
}

/// The client below, with its watches looked at.
#[derive(Clone, Debug)]
pub struct Watched<S> {
    inner: S,
    openings: Openings,
}

impl<S, Q, B> Service<Request<Q>> for Watched<S>
where
    S: Service<Request<Q>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: 'static,
    B: 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let opening = self.openings.find(request.uri());
        // Does nothing before it is polled.
        let answer = self.inner.call(request);
        let Some(opening) = opening else { return Box::pin(answer) };
        Box::pin(async move {
            if let Some(pause) = opening.pause(Instant::now()) {
                opening.closed_early.inc();
                warn!(?pause, "a watch was ended as soon as it was open");
                sleep(pause).await;
            }
            let answer = answer.await?;
            if answer.status().is_success() {
                opening.has_opened(Instant::now());
            }
            Ok(answer)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opening(openings: &Openings, path: &str) -> Arc<Opening> {
        openings.of(path, IntCounter::new("closed", "early").unwrap())
    }

    #[test]
    fn a_watch_that_is_ended_at_once_is_opened_ever_more_slowly() {
        let opening = opening(&Openings::default(), "/api/v1/services");
        let mut now = Instant::now();
        assert_eq!(opening.pause(now), None);
        let mut longest = Duration::ZERO;
        for _ in 0..12 {
            opening.has_opened(now);
            now += Duration::from_millis(1);
            let pause = opening.pause(now).unwrap();
            longest = longest.max(pause);
            now += pause;
        }
        assert!(longest > Duration::from_secs(7), "{longest:?}");
        opening.has_opened(now);
        assert_eq!(opening.pause(now + Duration::from_mins(1)), None);
    }

    #[test]
    fn only_watches_are_slowed_down() {
        let openings = Openings::default();
        opening(&openings, "/api/v1/services");
        let find = |uri: &str| openings.find(&uri.parse().unwrap()).is_some();
        assert!(find("http://a/api/v1/services?watch=true&resourceVersion=7"));
        assert!(find("http://a/clusters/one/api/v1/services?resourceVersion=7&watch=true"));
        assert!(!find("http://a/api/v1/services?limit=500"));
        assert!(!find("http://a/api/v1/endpoints?watch=true"));
    }
}
