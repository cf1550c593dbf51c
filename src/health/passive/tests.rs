//! Ejection against lists of everything that happened, and two workers against the last two endpoints.

use std::thread;

use proptest::prelude::*;

use super::*;
use crate::config::UpstreamSettings;
use crate::config::upstream::{ActiveHealth, Probe};

const SECOND: Duration = Duration::from_secs(1);

fn settings() -> PassiveHealth {
    UpstreamSettings::default().passive_health.expect("on by default")
}

fn plenty() -> Rest {
    Rest { others: 9, ejected: 0, usable: 9 }
}

fn fail(passive: &Passive, times: usize, now: Instant) -> Option<Duration> {
    (0..times).filter_map(|_| passive.record_failure(&settings(), now, &Ejections::default(), plenty)).last()
}

#[test]
fn h102_failures_in_a_row_eject_and_any_success_ends_the_row() {
    let (passive, now) = (Passive::default(), Instant::now());
    assert_eq!(fail(&passive, 4, now), None);
    passive.record_success();
    assert_eq!(fail(&passive, 4, now), None);
    assert!(!passive.is_ejected(now));
    assert_eq!(fail(&passive, 1, now), Some(10 * SECOND));
    assert_eq!(passive.status(now + 9 * SECOND), Status::Unhealthy);
    assert_eq!(passive.status(now + 10 * SECOND), Status::Healthy);
}

#[test]
fn ejections_in_a_row_double_and_are_forgotten_step_by_step() {
    let (passive, mut now) = (Passive::default(), Instant::now());
    for wanted in [10, 20, 40, 80, 160, 300, 300] {
        assert_eq!(fail(&passive, 5, now), Some(wanted * SECOND));
        assert_eq!(fail(&passive, 50, now), None, "what fails while ejected is not heard");
        now += wanted * SECOND;
    }
    assert_eq!(fail(&passive, 5, now + 4 * 300 * SECOND), Some(80 * SECOND), "the fourth, after 7 - 4");
}

#[test]
fn the_last_one_and_more_than_the_share_are_never_taken() {
    let (passive, now) = (Passive::default(), Instant::now());
    let mut asked = 0;
    let mut fail = |times: usize, rest: Rest| {
        let ejected = (0..times).filter_map(|_| {
            passive.record_failure(&settings(), now, &Ejections::default(), || {
                asked += 1;
                rest
            })
        });
        ejected.last()
    };
    assert_eq!(fail(5, Rest::default()), None, "it is alone");
    assert_eq!(fail(5, Rest { others: 1, ejected: 0, usable: 0 }), None, "the other is down");
    assert_eq!(fail(5, Rest { others: 2, ejected: 1, usable: 1 }), None, "two of three are more than half");
    assert_eq!(fail(4, plenty()), None, "a decision ends the row");
    assert_eq!(fail(1, Rest { others: 3, ejected: 1, usable: 1 }), Some(10 * SECOND));
    assert_eq!(asked, 4, "nobody looks at the set for each failure");
}

#[test]
fn two_workers_never_take_the_last_two() {
    for _ in 0..300 {
        let (endpoints, ejections, now) = ([Health::new(), Health::new()], Ejections::default(), Instant::now());
        let all = PassiveHealth { max_eject_percent: 100, failures: 1, ..settings() };
        thread::scope(|scope| {
            for worker in 0..4 {
                let (endpoints, ejections, all) = (&endpoints, &ejections, &all);
                scope.spawn(move || {
                    let other = &endpoints[1 - worker % 2];
                    endpoints[worker % 2].passive().record_failure(all, now, ejections, || Rest::of([other], now));
                });
            }
        });
        let left = endpoints.iter().filter(|health| health.is_usable(now)).count();
        assert_eq!(left, 1);
    }
}

#[test]
fn a_row_that_several_workers_fill_ejects_once() {
    for _ in 0..100 {
        let (passive, ejections, now) = (Passive::default(), Ejections::default(), Instant::now());
        let ejected: usize = thread::scope(|scope| {
            let work = || usize::from(passive.record_failure(&settings(), now, &ejections, plenty).is_some());
            let workers: Vec<_> = (0..16).map(|_| scope.spawn(work)).collect();
            workers.into_iter().map(|worker| worker.join().expect("no panic")).sum()
        });
        assert_eq!(ejected, 1);
        assert_eq!(fail(&passive, 5, now + 10 * SECOND), Some(20 * SECOND), "it was one ejection");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Success(usize),
    Failures(usize, usize),
    Probe(usize, bool),
    Wait(u32),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => (0_usize..5).prop_map(Step::Success),
        5 => (0_usize..5, 1_usize..4).prop_map(|(who, times)| Step::Failures(who, times)),
        1 => (0_usize..5, any::<bool>()).prop_map(|(who, is_good)| Step::Probe(who, is_good)),
        2 => (0_u32..40).prop_map(Step::Wait),
    ]
}

/// What happened to one endpoint, in order.
#[derive(Clone, Debug, Default)]
struct Story {
    /// Of what was heard: failures, and `false` for what ended a row.
    heard: Vec<bool>,
    /// From, until, and how many before it counted.
    ejections: Vec<(Instant, Instant, u32)>,
    is_down: bool,
}

impl Story {
    fn is_ejected(&self, now: Instant) -> bool {
        self.ejections.iter().any(|(from, until, _)| (*from..*until).contains(&now))
    }

    fn is_usable(&self, now: Instant) -> bool {
        !self.is_down && !self.is_ejected(now)
    }

    fn row(&self) -> usize {
        self.heard.iter().rev().take_while(|is_failure| **is_failure).count()
    }

    /// Doublings for the next one: one more than the last had, less the stretches that are over.
    fn doublings(&self, now: Instant) -> u32 {
        let Some((from, until, doublings)) = self.ejections.last() else { return 0 };
        let mut left = doublings + 1;
        let mut back = *until;
        while left > 0 && now - back >= *until - *from {
            back += *until - *from;
            left -= 1;
        }
        left
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn it_does_what_the_lists_say(
        steps in proptest::collection::vec(any_step(), 1..150),
        count in 1_usize..5,
        failures in 1_u32..4,
        eject_for in 1_u32..20,
        max_eject_for in 20_u32..100,
        max_eject_percent in 0_u32..=100,
    ) {
        let settings = PassiveHealth {
            failures,
            eject_for: eject_for * SECOND,
            max_eject_for: max_eject_for * SECOND,
            max_eject_percent,
            ..settings()
        };
        let probes = ActiveHealth {
            probe: Probe::Tcp,
            port: None,
            interval: SECOND,
            timeout: SECOND,
            healthy_after: 1,
            unhealthy_after: 1,
        };
        let (ejections, mut now) = (Ejections::default(), Instant::now());
        let endpoints: Vec<Health> = (0..count).map(|_| Health::new()).collect();
        let mut stories = vec![Story::default(); count];
        for step in steps {
            match step {
                Step::Success(who) => {
                    endpoints[who % count].passive().record_success();
                    stories[who % count].heard.push(false);
                }
                Step::Probe(who, is_good) => {
                    endpoints[who % count].active().record(is_good, &probes);
                    stories[who % count].is_down = !is_good;
                }
                Step::Wait(seconds) => now += seconds * SECOND,
                Step::Failures(who, times) => for _ in 0..times {
                    let who = who % count;
                    let others = || endpoints.iter().enumerate().filter(|(other, _)| *other != who);
                    let look = || Rest::of(others().map(|(_, health)| health), now);
                    let ejected = endpoints[who].passive().record_failure(&settings, now, &ejections, look);
                    let wanted = naive_failure(&mut stories, who, &settings, now);
                    prop_assert_eq!(ejected, wanted);
                },
            }
            for (health, story) in endpoints.iter().zip(&stories) {
                prop_assert_eq!(health.is_usable(now), story.is_usable(now));
                prop_assert_eq!(health.passive().is_ejected(now), story.is_ejected(now));
            }
        }
    }
}

fn naive_failure(stories: &mut [Story], who: usize, settings: &PassiveHealth, now: Instant) -> Option<Duration> {
    if stories[who].is_ejected(now) {
        return None;
    }
    stories[who].heard.push(true);
    if stories[who].row() < settings.failures as usize {
        return None;
    }
    stories[who].heard.push(false);
    let has_other = (0..stories.len()).any(|other| other != who && stories[other].is_usable(now));
    let would_be_out = stories.iter().filter(|story| story.is_ejected(now)).count() + 1;
    if !has_other || would_be_out * 100 > stories.len() * settings.max_eject_percent as usize {
        return None;
    }
    let doublings = stories[who].doublings(now);
    let length = (0..doublings).fold(settings.eject_for, |length, _| length * 2).min(settings.max_eject_for);
    stories[who].ejections.push((now, now + length, doublings));
    Some(length)
}
