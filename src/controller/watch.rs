//! The watches: what the API server says becomes [`Change`]s for the World.
//!
//! One task for each kind and namespace, on kube-runtime's watcher. It lists, then watches, and after an
//! error goes on where it was, or lists again when the server has forgotten (410). Three things are done
//! on top of it:
//!
//! - a list is gathered here and handed over whole, so a re-list that breaks off half-way changes nothing,
//!   and no error of any kind ever empties what is known;
//! - a watch that falls silent is noticed: the server is asked to end each watch after [`WATCH_SECONDS`], and
//!   5 s later the watcher gives up waiting by itself and connects anew (without listing). So a stalled
//!   connection hides changes for 65 s at most, and each task costs the server one request a minute;
//! - what nobody looks at (managed fields, annotations, statuses of others) is dropped before it is stored.
//!
//! `Endpoints` are watched only where their label says that nobody mirrors them into slices; all
//! others arrive as slices anyway.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Endpoints, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{Api, Client, Resource};
use kube_runtime::watcher::{self, Config, Error, Event};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{info, warn};

use super::world::{
    Change, GrantObject, Kind, MANAGED_BY_LABEL, Object, PolicyObject, RouteObject, SERVICE_NAME_LABEL, Watched,
};

/// How long one watch lasts; see above. Kubernetes' own clients use minutes, which hides a stall as long.
const WATCH_SECONDS: u32 = 60;
/// First wait after an error; doubles.
const MIN_WAIT: Duration = Duration::from_millis(200);
/// Last wait: a returning API server is found within this.
const MAX_WAIT: Duration = Duration::from_secs(15);
/// An error after such a quiet time begins again with the first wait.
const FORGIVE_AFTER: Duration = Duration::from_mins(1);

/// One change, and when it arrived.
#[derive(Debug)]
pub struct Arrival {
    /// What has changed.
    pub change: Change,
    /// For the time from here to being in effect.
    pub at: Instant,
}

/// A kind that can be watched.
trait Watchable: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static {
    /// Drops what nobody looks at.
    fn strip(&mut self);
    /// Wraps it for the World.
    fn wrap(self) -> Object;
}

impl Watchable for RouteObject {
    fn strip(&mut self) {}

    fn wrap(self) -> Object {
        Object::GatewayRoute(Arc::new(self))
    }
}

impl Watchable for PolicyObject {
    fn strip(&mut self) {}

    fn wrap(self) -> Object {
        Object::GatewayPolicy(Arc::new(self))
    }
}

impl Watchable for ConfigMap {
    fn strip(&mut self) {
        self.metadata.labels = None;
    }

    fn wrap(self) -> Object {
        Object::ConfigMap(Arc::new(self))
    }
}

impl Watchable for GrantObject {
    fn strip(&mut self) {
        self.metadata.labels = None;
    }

    fn wrap(self) -> Object {
        Object::ReferenceGrant(Arc::new(self))
    }
}

impl Watchable for Service {
    fn strip(&mut self) {
        self.status = None;
        self.metadata.labels = None;
    }

    fn wrap(self) -> Object {
        Object::Service(Arc::new(self))
    }
}

impl Watchable for EndpointSlice {
    fn strip(&mut self) {
        if let Some(labels) = &mut self.metadata.labels {
            labels.retain(|label, _| label == SERVICE_NAME_LABEL || label == MANAGED_BY_LABEL);
        }
    }

    fn wrap(self) -> Object {
        Object::EndpointSlice(Arc::new(self))
    }
}

impl Watchable for Endpoints {
    fn strip(&mut self) {
        self.metadata.labels = None;
    }

    fn wrap(self) -> Object {
        Object::Endpoints(Arc::new(self))
    }
}

/// Everything that is to be watched: each kind, in all namespaces or in each of these.
pub fn everything(namespaces: &[String]) -> Vec<Watched> {
    let kinds = [Kind::GatewayRoute, Kind::Service, Kind::EndpointSlice, Kind::Endpoints];
    let scopes: Vec<Option<String>> =
        if namespaces.is_empty() { vec![None] } else { namespaces.iter().cloned().map(Some).collect() };
    kinds
        .into_iter()
        .flat_map(|kind| scopes.iter().map(move |namespace| Watched { kind, namespace: namespace.clone() }))
        .collect()
}

/// Watches one part of the cluster until the receiver is gone. Cancelled, it leaves nothing behind.
pub async fn follow(client: Client, watched: Watched, arrivals: mpsc::Sender<Arrival>) {
    match watched.kind {
        Kind::GatewayRoute => run::<RouteObject>(client, watched, Config::default(), arrivals).await,
        Kind::GatewayPolicy => run::<PolicyObject>(client, watched, Config::default(), arrivals).await,
        Kind::ReferenceGrant => run::<GrantObject>(client, watched, Config::default(), arrivals).await,
        Kind::ConfigMap => run::<ConfigMap>(client, watched, Config::default(), arrivals).await,
        Kind::Service => run::<Service>(client, watched, Config::default(), arrivals).await,
        Kind::EndpointSlice => run::<EndpointSlice>(client, watched, Config::default(), arrivals).await,
        Kind::Endpoints => {
            let config = Config::default().labels("endpointslice.kubernetes.io/skip-mirror=true");
            run::<Endpoints>(client, watched, config, arrivals).await;
        }
    }
}

/// Runs a watcher, and a new one when the old one would never come round.
async fn run<K>(client: Client, watched: Watched, config: Config, arrivals: mpsc::Sender<Arrival>)
where
    K: Watchable + Resource<Scope = NamespaceResourceScope>,
{
    let config = config.timeout(WATCH_SECONDS);
    let mut wait = Wait::default();
    loop {
        let api: Api<K> = match &watched.namespace {
            Some(namespace) => Api::namespaced(client.clone(), namespace),
            None => Api::all(client.clone()),
        };
        let mut events = watcher::watcher(api, config.clone()).boxed();
        let mut gathered = Vec::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    let Some(change) = to_change(event, &watched, &mut gathered) else { continue };
                    if arrivals.send(Arrival { change, at: Instant::now() }).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    let pause = wait.after_error(Instant::now());
                    tell(&watched, &error, pause);
                    tokio::time::sleep(pause).await;
                    if is_forgotten(&error) {
                        break;
                    }
                }
            }
        }
    }
}

/// A list becomes one change when it is complete; before that it is nothing.
fn to_change<K: Watchable>(event: Event<K>, watched: &Watched, gathered: &mut Vec<Object>) -> Option<Change> {
    match event {
        Event::Init => gathered.clear(),
        Event::InitApply(object) => gathered.push(stripped(object)),
        Event::InitDone => {
            let objects = std::mem::take(gathered);
            info!(kind = ?watched.kind, namespace = watched.namespace, count = objects.len(), "listed");
            return Some(Change::Listed(watched.clone(), objects));
        }
        Event::Apply(object) => return Some(Change::Applied(stripped(object))),
        Event::Delete(object) => return Some(Change::Deleted(stripped(object))),
    }
    None
}

fn stripped<K: Watchable>(mut object: K) -> Object {
    let metadata = object.meta_mut();
    metadata.managed_fields = None;
    metadata.annotations = None;
    metadata.owner_references = None;
    metadata.finalizers = None;
    object.strip();
    object.wrap()
}

/// The watcher lists again when a running watch says 410, but not when the server refuses with 410 to start one.
fn is_forgotten(error: &Error) -> bool {
    matches!(error, Error::WatchStartFailed(kube::Error::Api(status)) if status.code == 410)
}

/// 410 is the server's way of saying "list again", and happens; everything else is worth a warning.
fn tell(watched: &Watched, error: &Error, pause: Duration) {
    let is_usual = matches!(error, Error::WatchError(status) if status.code == 410) || is_forgotten(error);
    let (kind, namespace) = (watched.kind, watched.namespace.as_deref());
    if is_usual {
        info!(?kind, namespace, "watch expired, listing again");
    } else {
        let error = error as &dyn std::error::Error;
        warn!(?kind, namespace, error, ?pause, "watch failed; the last known state stays");
    }
}

/// Doubling waits with jitter, so that replicas do not come back in step.
#[derive(Debug, Default)]
struct Wait {
    last: Option<(Instant, Duration)>,
}

impl Wait {
    fn after_error(&mut self, now: Instant) -> Duration {
        let next = match self.last {
            Some((at, wait)) if now.duration_since(at) < FORGIVE_AFTER + wait => (wait * 2).min(MAX_WAIT),
            _ => MIN_WAIT,
        };
        self.last = Some((now, next));
        jittered(next)
    }
}

/// Between a half and the whole.
pub fn jittered(wait: Duration) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    let random = u16::try_from(RandomState::new().hash_one(0_u8) % 1024).unwrap_or_default();
    wait / 2 + wait * u32::from(random) / 2048
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched() -> Watched {
        Watched { kind: Kind::Service, namespace: None }
    }

    #[test]
    fn a_list_is_handed_over_whole_or_not_at_all() {
        let mut gathered = Vec::new();
        let mut step = |event| to_change::<Service>(event, &watched(), &mut gathered);
        assert!(step(Event::Init).is_none());
        assert!(step(Event::InitApply(Service::default())).is_none());
        // The list breaks off and begins again.
        assert!(step(Event::Init).is_none());
        assert!(step(Event::InitApply(Service::default())).is_none());
        let change = step(Event::InitDone);
        assert!(matches!(change, Some(Change::Listed(_, objects)) if objects.len() == 1));
    }

    #[test]
    fn waits_double_up_to_a_bound_and_are_forgiven() {
        let mut wait = Wait::default();
        let mut now = Instant::now();
        for _ in 0..20 {
            let pause = wait.after_error(now);
            assert!(pause <= MAX_WAIT && pause >= MIN_WAIT / 2, "{pause:?}");
            now += pause;
        }
        assert!(wait.after_error(now) >= MAX_WAIT / 2);
        assert!(wait.after_error(now + FORGIVE_AFTER * 2) <= MIN_WAIT);
    }

    #[test]
    fn without_namespaces_every_kind_is_watched_once_in_all() {
        assert_eq!(everything(&[]).len(), 4);
        assert_eq!(everything(&["a".to_owned(), "b".to_owned()]).len(), 8);
    }
}
