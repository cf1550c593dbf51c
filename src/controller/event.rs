//! What is worth an Event, and the way it goes to the API server.
//!
//! Status tells what is; an Event tells that it has changed, to those who watch a namespace and not an object. So one
//! is made where a status is written and what stands in it is news: a problem that was not there before (Warning:
//! `Invalid`, `Conflict` or `RefsBroken`), or that none is left where there was one (Normal: `Resolved`). It is
//! derived from the status that stands in the object, so a restart or a new holder repeats nothing. A good object
//! that appears makes none: thousands of them may appear at once.
//!
//! Bounded: one an object and minute (`status_writer`), [`QUEUE`] waiting, [`GAP`] apart. What does not fit is dropped
//! and counted; the status is there all the same. None is repeated: an Event is a hint.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::status::{MAX_LISTED, camel_case};
use super::status_writer::Written;
use super::translate::{Verdict, is_about_references};
use super::world::CONTROLLER;
use crate::config::{Effect, Problem, Slug};
use crate::crd::{GROUP, GatewayRouteStatus, VERSION};
use crate::observe::metrics::ControlMetrics;

/// Events that wait to be sent.
pub const QUEUE: usize = 256;
/// Between two of them: 20 a second.
const GAP: Duration = Duration::from_millis(50);
/// One request.
const DEADLINE: Duration = Duration::from_secs(5);
/// Bytes of a note; the API allows 1024.
const MAX_NOTE: usize = 1000;
/// Bytes of the object's name in the Event's, which has 253 in all.
const MAX_NAME: usize = 200;
/// What the API allows for `reportingInstance`.
const MAX_INSTANCE: usize = 128;

/// What an Event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// `Normal` or `Warning`.
    pub kind: &'static str,
    /// From a closed list.
    pub reason: &'static str,
    /// For people.
    pub note: String,
}

/// The news in a verdict for those who have read `old`.
pub fn announcement(verdict: &Verdict, old: Option<&GatewayRouteStatus>) -> Option<Announcement> {
    let told = old.map(|old| old.problems.as_slice()).unwrap_or_default();
    let is_told = |problem: &Problem| {
        let reason = camel_case(problem.slug.as_str());
        told.iter().any(|told| told.path == problem.path && told.reason == reason)
    };
    let harm = || verdict.problems.iter().filter(|problem| problem.effect < Effect::Warning);
    // Those beyond the end of the list were never told by name, and may be old.
    if let Some(new) = harm().take(MAX_LISTED).find(|problem| !is_told(problem)) {
        let more = verdict.problems.len().saturating_sub(1);
        let note = if more == 0 { new.to_string() } else { format!("{new} (of {} problems)", more + 1) };
        return Some(Announcement { kind: "Warning", reason: reason(new.slug), note });
    }
    let was_harmed = told.iter().any(|told| told.effect != "warning");
    (was_harmed && harm().next().is_none()).then(|| Announcement {
        kind: "Normal",
        reason: "Resolved",
        note: format!("generation {} has no problem left", verdict.generation),
    })
}

fn reason(slug: Slug) -> &'static str {
    match slug {
        Slug::DuplicateMatch
        | Slug::HostOwned
        | Slug::HostNotGranted
        | Slug::PathNotGranted
        | Slug::SettingsConflict => "Conflict",
        slug if is_about_references(slug) => "RefsBroken",
        _ => "Invalid",
    }
}

/// Sends what arrives, until shutdown.
pub async fn send(
    client: Client,
    instance: String,
    mut arriving: mpsc::Receiver<Written>,
    metrics: ControlMetrics,
    shutdown: CancellationToken,
) {
    loop {
        let written = tokio::select! {
            () = shutdown.cancelled() => return,
            written = arriving.recv() => match written {
                Some(written) => written,
                None => return,
            },
        };
        let event = event(written, &instance, Timestamp::now());
        let namespace = event.metadata.namespace.clone().unwrap_or_default();
        let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
        let result = match timeout(DEADLINE, api.create(&PostParams::default(), &event)).await {
            Ok(Ok(_)) => "sent",
            Ok(Err(error)) => {
                debug!(%error, "an event was not taken");
                "failed"
            }
            Err(_) => "failed",
        };
        metrics.events.with_label_values(&[result]).inc();
        sleep(GAP).await;
    }
}

fn event(written: Written, instance: &str, now: Timestamp) -> Event {
    let Written { subject, metadata, announcement } = written;
    let name = metadata.name.unwrap_or_default();
    let unique = format!("{}.{:x}", cut(&name, MAX_NAME), now.as_nanosecond());
    Event {
        metadata: ObjectMeta { name: Some(unique), namespace: metadata.namespace.clone(), ..ObjectMeta::default() },
        event_time: Some(MicroTime(now)),
        reporting_controller: Some(CONTROLLER.to_owned()),
        reporting_instance: Some(cut(instance, MAX_INSTANCE).to_owned()),
        action: Some("Serve".to_owned()),
        reason: Some(announcement.reason.to_owned()),
        type_: Some(announcement.kind.to_owned()),
        note: Some(cut(&announcement.note, MAX_NOTE).to_owned()),
        regarding: Some(ObjectReference {
            api_version: Some(format!("{GROUP}/{VERSION}")),
            kind: Some(subject.kind.as_str().to_owned()),
            name: Some(name),
            namespace: metadata.namespace,
            uid: metadata.uid,
            resource_version: metadata.resource_version,
            field_path: None,
        }),
        ..Event::default()
    }
}

/// At most so many bytes of a text, whole characters.
fn cut(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::status;
    use crate::controller::translate::{OwnKind, RuleCounts};
    use crate::controller::world::{ObjectName, Subject};

    fn verdict(problems: Vec<Problem>) -> Verdict {
        Verdict::new(
            (OwnKind::GatewayRoute, &ObjectMeta::default()),
            Vec::new(),
            RuleCounts::default(),
            problems,
            Vec::new(),
        )
    }

    fn told(verdict: &Verdict) -> GatewayRouteStatus {
        status::next(verdict, None, None, None, Timestamp::UNIX_EPOCH).unwrap()
    }

    fn problem(path: &str, slug: Slug) -> Problem {
        Problem::new(path, slug, "x")
    }

    #[test]
    fn a_good_object_makes_no_event() {
        assert_eq!(announcement(&verdict(Vec::new()), None), None);
        let warned = verdict(vec![problem("spec", Slug::UnknownField)]);
        assert_eq!(announcement(&warned, None), None);
    }

    #[test]
    fn what_gets_worse_is_told_once() {
        let bad = verdict(vec![problem("spec.routes[0]", Slug::ServiceMissing)]);
        let first = announcement(&bad, None).unwrap();
        assert_eq!((first.kind, first.reason, first.note.as_str()), ("Warning", "RefsBroken", "spec.routes[0]: x"));
        assert_eq!(announcement(&bad, Some(&told(&bad))), None);
        let worse = verdict(vec![problem("spec.routes[0]", Slug::ServiceMissing), problem("spec", Slug::HostOwned)]);
        assert_eq!(announcement(&worse, Some(&told(&bad))).unwrap().reason, "Conflict");
    }

    #[test]
    fn the_end_of_all_problems_is_told() {
        let bad = told(&verdict(vec![problem("spec", Slug::OneAction), problem("spec.a", Slug::OneAction)]));
        let better = verdict(vec![problem("spec", Slug::OneAction)]);
        assert_eq!(announcement(&better, Some(&bad)), None);
        assert_eq!(announcement(&verdict(Vec::new()), Some(&bad)).unwrap().reason, "Resolved");
    }

    #[test]
    fn an_event_fits_what_the_api_allows() {
        let metadata = ObjectMeta { name: Some("n".repeat(253)), namespace: Some("shop".into()), ..Default::default() };
        let subject = Subject { kind: OwnKind::GatewayPolicy, name: ObjectName::of(&metadata) };
        let note = "é".repeat(2000);
        let announcement = Announcement { kind: "Warning", reason: "Invalid", note };
        let event = event(Written { subject, metadata, announcement }, &"i".repeat(300), Timestamp::now());
        assert!(event.metadata.name.unwrap().len() <= 253);
        assert!(event.note.unwrap().len() <= 1024);
        assert!(event.reporting_instance.unwrap().len() <= 128);
        let regarding = event.regarding.unwrap();
        assert_eq!((regarding.kind.as_deref(), regarding.name.unwrap().len()), (Some("GatewayPolicy"), 253));
    }
}
