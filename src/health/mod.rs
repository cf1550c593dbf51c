//! Which endpoints are well enough to be used.
//!
//! Two sources, for one endpoint both in its [`Health`]: [`active`], what probes find, and [`passive`], what its
//! answers to requests show. An endpoint is used unless one of them speaks against it. What nobody has judged yet is
//! *unknown*, and used: after a start, everything would else wait for the first round of probes.
//!
//! Health belongs to the endpoint and not to a rule, so that a failing server is seen by all who use it, and is probed
//! once however many do. It is shared by all workers: to look is two loads, without a lock.
//!
//! When fewer than `panicPercent` of the endpoints are usable, their health is not believed any more and all of them
//! are tried ([`is_panic`]): with the default, 1, when none is left. Mostly it is then the probes that are wrong.
//!
//! [`schedule`] says when which endpoint is probed; who does it is `upstream::probe`. What this module has no say in:
//! breakers, which protect servers and are obeyed also in a panic.

pub mod active;
pub mod passive;
pub mod schedule;

use std::time::Instant;

use crate::config::UpstreamSettings;

pub use active::Active;
pub use passive::{Ejections, Passive, Rest};
pub use schedule::Schedule;

/// What is known about the health of an endpoint. The numbers are those of the gateway that this one descends from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// Nothing yet. It is used.
    #[default]
    Unknown = 0,
    /// It answers.
    Healthy = 1,
    /// It gets no requests.
    Unhealthy = 2,
}

/// The health of one endpoint.
#[derive(Debug, Default)]
pub struct Health {
    active: Active,
    passive: Passive,
}

impl Health {
    /// Of an endpoint that nobody has seen yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What probes find.
    pub fn active(&self) -> &Active {
        &self.active
    }

    /// What its answers show.
    pub fn passive(&self) -> &Passive {
        &self.passive
    }

    /// Whether it may get requests.
    pub fn is_usable(&self, now: Instant) -> bool {
        self.active.status() != Status::Unhealthy && !self.passive.is_ejected(now)
    }

    /// Both together: unhealthy if one says so, else healthy if one says so.
    pub fn status(&self, now: Instant) -> Status {
        match (self.active.status(), self.passive.status(now)) {
            (Status::Unhealthy, _) | (_, Status::Unhealthy) => Status::Unhealthy,
            (Status::Healthy, _) | (_, Status::Healthy) => Status::Healthy,
            (Status::Unknown, Status::Unknown) => Status::Unknown,
        }
    }

    /// Forgets what these settings do not ask for any more: an endpoint that is out because of a probe that nobody
    /// sends any more would stay out for ever. To be called with each new description.
    pub fn adopt(&self, settings: &UpstreamSettings) {
        if settings.active_health.is_none() {
            self.active.forget();
        }
        if settings.passive_health.is_none() {
            self.passive.forget();
        }
    }
}

/// Whether health is to be ignored, as too few endpoints are left by it. A share of 0 is never fallen below.
pub fn is_panic(usable: usize, total: usize, panic_percent: u32) -> bool {
    let (usable, total) = (usable as u128, total as u128);
    usable * 100 < total * u128::from(panic_percent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h103_all_are_tried_when_none_is_usable_and_never_if_told_so() {
        assert!(is_panic(0, 3, 1));
        assert!(!is_panic(1, 3, 1));
        assert!(!is_panic(0, 3, 0));
        assert!(!is_panic(0, 0, 100), "nobody is there to be tried");
        assert!(is_panic(1, 3, 50) && !is_panic(2, 4, 50));
        assert!(is_panic(9, 1000, 1) && !is_panic(10, 1000, 1));
    }

    #[test]
    fn one_that_speaks_against_it_is_enough() {
        let (health, now) = (Health::new(), Instant::now());
        let settings = UpstreamSettings::default();
        let passive = settings.passive_health.clone().expect("on by default");
        let active = active::tests::settings(1, 1);
        assert_eq!(health.status(now), Status::Unknown);
        assert!(health.is_usable(now));
        health.passive().record_success();
        assert_eq!(health.status(now), Status::Healthy);
        health.active().record(false, &active);
        assert_eq!(health.status(now), Status::Unhealthy);
        assert!(!health.is_usable(now));
        health.active().record(true, &active);
        assert!(health.is_usable(now));
        let rest = || Rest { others: 1, ejected: 0, usable: 1 };
        let ejections = Ejections::default();
        for _ in 0..5 {
            health.passive().record_failure(&passive, now, &ejections, rest);
        }
        assert_eq!(health.status(now), Status::Unhealthy);
        assert!(!health.is_usable(now));
    }

    #[test]
    fn what_is_not_asked_for_any_more_is_forgotten() {
        let (health, now) = (Health::new(), Instant::now());
        health.active().record(false, &active::tests::settings(1, 1));
        assert!(!health.is_usable(now));
        health.adopt(&UpstreamSettings::default());
        assert_eq!(health.status(now), Status::Unknown);
    }
}
