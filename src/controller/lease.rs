//! Who writes statuses: the holder of Lease `sluice-<class>`. Everyone serves; only one writes.
//!
//! The rules of Kubernetes' own leader election, small: the holder renews every few seconds; another takes
//! over when it has seen no renewal for as long as the lease lasts. Clocks of different machines are never
//! compared: a renewal is *seen* (the object differs from what it was) and timed by our own monotonic
//! clock. A holder that cannot renew stops writing before anybody else may begin. On shutdown the lease
//! is given back, so that the next one takes it at its next look.
//!
//! Two holders for a moment would do no harm: statuses are written by server-side apply and agree.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use prometheus::IntGauge;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::watch::jittered;

/// How long a silent holder keeps the lease.
const LEASE: Duration = Duration::from_secs(15);
/// A holder that could not renew for this long stops writing: well before [`LEASE`] ends for the others.
const GIVE_UP: Duration = Duration::from_secs(10);
/// Between two looks, with jitter: from half of it to all of it.
const LOOK: Duration = Duration::from_secs(4);
/// One request.
const DEADLINE: Duration = Duration::from_secs(5);

/// What it takes to hold a lease.
#[derive(Clone, Debug)]
pub struct LeaseSettings {
    /// Name of the Lease.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Who we are: the pod's name.
    pub identity: String,
}

/// Holds the lease whenever possible, until shutdown. `holding` says whether we do.
pub async fn hold(
    client: Client,
    settings: LeaseSettings,
    holding: watch::Sender<bool>,
    held: IntGauge,
    shutdown: CancellationToken,
) {
    let api: Api<Lease> = Api::namespaced(client, &settings.namespace);
    let mut view = View::default();
    loop {
        let patience = DEADLINE.min(view.left(Instant::now()));
        let look = tokio::time::timeout(patience, look(&api, &settings, &mut view));
        let outcome = tokio::select! {
            () = shutdown.cancelled() => break,
            outcome = look => outcome,
        };
        match outcome {
            Ok(Ok(())) => {}
            Ok(Err(error)) => complain(&settings, &error),
            Err(_) => debug!(lease = settings.name, "no answer about the lease in time"),
        }
        announce(&holding, view.is_held(Instant::now()), &settings);
        held.set(i64::from(*holding.borrow()));
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = tokio::time::sleep(jittered(LOOK).min(view.left(Instant::now()))) => {}
        }
    }
    if *holding.borrow() {
        holding.send_replace(false);
        held.set(0);
        let released = tokio::time::timeout(DEADLINE, release(&api, &settings)).await;
        debug!(lease = settings.name, ok = matches!(released, Ok(Ok(()))), "released the lease");
    }
}

fn announce(holding: &watch::Sender<bool>, is_held: bool, settings: &LeaseSettings) {
    let has_changed = holding.send_if_modified(|held| std::mem::replace(held, is_held) != is_held);
    if has_changed {
        info!(lease = settings.name, holding = is_held, "who writes statuses has changed");
    }
}

/// A lost race (409) is no failure: somebody else was faster.
fn complain(settings: &LeaseSettings, error: &kube::Error) {
    match error {
        kube::Error::Api(status) if status.code == 409 => debug!(lease = settings.name, "lost a race for the lease"),
        error => {
            let error = error as &dyn std::error::Error;
            warn!(lease = settings.name, error, "cannot get the lease; serving goes on, statuses may be late");
        }
    }
}

/// What has been seen of the lease, on our own clock.
#[derive(Debug, Default)]
struct View {
    /// The last state seen of another holder, and since when it has been like that.
    other: Option<(LeaseSpec, Instant)>,
    /// When we last renewed.
    renewed: Option<Instant>,
}

/// What to do about the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// It does not exist.
    Create,
    /// It is ours.
    Renew,
    /// It is nobody's, or its holder has been silent for too long.
    Take,
    /// It is somebody else's.
    Wait,
}

impl View {
    fn step(&mut self, lease: Option<&Lease>, identity: &str, now: Instant) -> Step {
        let Some(lease) = lease else { return Step::Create };
        let spec = lease.spec.clone().unwrap_or_default();
        match spec.holder_identity.as_deref() {
            None | Some("") => return Step::Take,
            Some(holder) if holder == identity => return Step::Renew,
            Some(_) => {}
        }
        self.renewed = None;
        let lasts = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        let lasts = lasts.map_or(LEASE, Duration::from_secs);
        match &self.other {
            Some((seen, since)) if *seen == spec => {
                if now.duration_since(*since) > lasts {
                    Step::Take
                } else {
                    Step::Wait
                }
            }
            _ => {
                self.other = Some((spec, now));
                Step::Wait
            }
        }
    }

    fn is_held(&self, now: Instant) -> bool {
        self.renewed.is_some_and(|renewed| now.duration_since(renewed) < GIVE_UP)
    }

    /// How long nothing may be waited for: a holder has to notice in time that it is one no longer. Others, and those
    /// whose time is over, wait as long as they like.
    fn left(&self, now: Instant) -> Duration {
        match self.renewed {
            Some(renewed) if self.is_held(now) => GIVE_UP - now.duration_since(renewed),
            _ => LOOK.max(DEADLINE),
        }
    }
}

async fn look(api: &Api<Lease>, settings: &LeaseSettings, view: &mut View) -> Result<(), kube::Error> {
    // From before the request: what the others see is never older than what we count from.
    let now = Instant::now();
    let lease = api.get_opt(&settings.name).await?;
    let step = view.step(lease.as_ref(), &settings.identity, now);
    let lease = lease.unwrap_or_default();
    match step {
        Step::Wait => return Ok(()),
        Step::Create => {
            api.create(&PostParams::default(), &ours(settings, Lease::default(), true)).await?;
        }
        // Both carry the resourceVersion that was read: whoever writes second loses.
        Step::Renew => {
            api.replace(&settings.name, &PostParams::default(), &ours(settings, lease, false)).await?;
        }
        Step::Take => {
            api.replace(&settings.name, &PostParams::default(), &ours(settings, lease, true)).await?;
        }
    }
    view.renewed = Some(now);
    Ok(())
}

/// The lease as it is when it is ours.
fn ours(settings: &LeaseSettings, lease: Lease, is_new: bool) -> Lease {
    let now = MicroTime(Timestamp::now());
    let old = lease.spec.unwrap_or_default();
    let metadata =
        ObjectMeta { name: Some(settings.name.clone()), namespace: Some(settings.namespace.clone()), ..lease.metadata };
    let spec = LeaseSpec {
        holder_identity: Some(settings.identity.clone()),
        lease_duration_seconds: i32::try_from(LEASE.as_secs()).ok(),
        acquire_time: if is_new { Some(now.clone()) } else { old.acquire_time },
        renew_time: Some(now),
        lease_transitions: Some(old.lease_transitions.unwrap_or_default() + i32::from(is_new)),
        ..LeaseSpec::default()
    };
    Lease { metadata, spec: Some(spec) }
}

async fn release(api: &Api<Lease>, settings: &LeaseSettings) -> Result<(), kube::Error> {
    let Some(lease) = api.get_opt(&settings.name).await? else { return Ok(()) };
    let spec = lease.spec.clone().unwrap_or_default();
    if spec.holder_identity.as_deref() != Some(&settings.identity) {
        return Ok(());
    }
    let spec = LeaseSpec { holder_identity: None, lease_duration_seconds: Some(1), ..spec };
    api.replace(&settings.name, &PostParams::default(), &Lease { spec: Some(spec), ..lease }).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(holder: &str, renewed: i64) -> Lease {
        let spec = LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(15),
            renew_time: Some(MicroTime(Timestamp::from_second(renewed).unwrap())),
            ..LeaseSpec::default()
        };
        Lease { spec: Some(spec), ..Lease::default() }
    }

    #[test]
    fn a_missing_or_released_lease_is_taken_at_once() {
        let mut view = View::default();
        assert_eq!(view.step(None, "me", Instant::now()), Step::Create);
        assert_eq!(view.step(Some(&lease("", 1)), "me", Instant::now()), Step::Take);
        assert_eq!(view.step(Some(&lease("me", 1)), "me", Instant::now()), Step::Renew);
    }

    #[test]
    fn a_renewing_holder_keeps_it_however_wrong_its_clock() {
        let mut view = View::default();
        let start = Instant::now();
        for round in 0..20_u64 {
            // Times from the past, going backwards: only that they differ counts.
            let seen = lease("other", 1000 - i64::try_from(round).unwrap());
            assert_eq!(view.step(Some(&seen), "me", start + Duration::from_secs(5 * round)), Step::Wait);
        }
    }

    #[test]
    fn a_silent_holder_loses_it_after_its_time() {
        let mut view = View::default();
        let start = Instant::now();
        let seen = lease("other", i64::from(u32::MAX));
        assert_eq!(view.step(Some(&seen), "me", start), Step::Wait);
        assert_eq!(view.step(Some(&seen), "me", start + Duration::from_secs(14)), Step::Wait);
        assert_eq!(view.step(Some(&seen), "me", start + Duration::from_secs(16)), Step::Take);
    }

    #[test]
    fn a_holder_that_cannot_renew_stops_before_others_may_begin() {
        let start = Instant::now();
        let view = View { renewed: Some(start), ..View::default() };
        assert!(view.is_held(start + Duration::from_secs(9)));
        assert!(!view.is_held(start + GIVE_UP));
        assert!(GIVE_UP + DEADLINE <= LEASE);
    }
}
