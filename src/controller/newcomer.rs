//! New objects are held back for a moment, until what they refer to has been seen.
//!
//! An object is often created together with its Service, and the three watches (object, Service, slices)
//! tell of that in any order. Served at once, it would begin with 503, or with 500 and a status that says
//! the Service is missing. So a newcomer waits until its Services have slices, at most [`SLICES`], and for a
//! Service, a policy or a ReferenceGrant that is not there at most [`SERVICE`]. Until then its requests are answered as before it came.
//!
//! Only objects that appear while we run wait; what was there at the start was listed with everything else.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::translate::{Readiness, readiness};
use super::world::{ObjectName, World};

/// The cluster makes the first slice of a Service, even an empty one, within this unless it is in trouble.
pub const SLICES: Duration = Duration::from_secs(1);
/// Two watches tell of one moment within this; what is still missing then is missing.
pub const SERVICE: Duration = Duration::from_millis(100);

/// The objects that are held back, each with its first sight.
#[derive(Debug, Default)]
pub struct Newcomers {
    seen: BTreeMap<ObjectName, Instant>,
    next: Option<Instant>,
}

impl Newcomers {
    /// An object has appeared.
    pub fn add(&mut self, name: ObjectName, now: Instant) {
        self.seen.insert(name, now);
    }

    /// Lets those go that need not wait any longer; returns the others.
    pub fn settle(&mut self, world: &World, now: Instant) -> BTreeSet<ObjectName> {
        self.next = None;
        let mut until: BTreeMap<ObjectName, Instant> = BTreeMap::new();
        for (name, since) in &self.seen {
            let Some(object) = world.route(name) else { continue };
            let end = match readiness(object, world) {
                Readiness::Ready => continue,
                Readiness::SlicesUnknown => *since + SLICES,
                Readiness::Unknown => *since + SERVICE,
            };
            if end > now {
                until.insert(name.clone(), end);
            }
        }
        self.seen.retain(|name, _| until.contains_key(name));
        self.next = until.values().min().copied();
        until.into_keys().collect()
    }

    /// When to settle again at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::manifest::read_world;
    use crate::controller::world::ClassSettings;

    const ROUTE: &str = r#"
kind: GatewayRoute
metadata: {name: a, namespace: shop, uid: u1}
spec: {routes: [{hosts: [a.example.com], backends: [{service: {name: web, port: 80}}]}]}
"#;
    const SERVICE_OBJECT: &str = r#"
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{port: 80}]}
"#;
    const SLICE: &str = r#"
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: []
"#;

    fn world(parts: &[&str]) -> World {
        read_world(&parts.join("\n---\n"), ClassSettings::default()).unwrap()
    }

    fn held(parts: &[&str], after: Duration) -> bool {
        let start = Instant::now();
        let mut newcomers = Newcomers::default();
        newcomers.add(ObjectName::new("shop", "a"), start);
        !newcomers.settle(&world(parts), start + after).is_empty()
    }

    #[test]
    fn waits_for_the_first_slice_of_an_existing_service() {
        assert!(held(&[ROUTE, SERVICE_OBJECT], Duration::from_millis(999)));
        assert!(!held(&[ROUTE, SERVICE_OBJECT], SLICES));
        assert!(!held(&[ROUTE, SERVICE_OBJECT, SLICE], Duration::ZERO));
    }

    #[test]
    fn waits_a_blink_for_a_service_that_another_watch_has_not_told_yet() {
        assert!(held(&[ROUTE], Duration::from_millis(99)));
        assert!(!held(&[ROUTE], SERVICE));
    }
}
