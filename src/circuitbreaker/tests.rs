//! The breaker against a table of states, and under threads.

use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;
use std::thread;

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn settings() -> CircuitBreaker {
    CircuitBreaker { min_requests: 4, half_open_requests: 2, ..CircuitBreaker::default() }
}

fn settle(breaker: &Arc<Breaker>, outcome: Outcome, count: usize, now: Instant) {
    for _ in 0..count {
        breaker.admit(&settings(), now).expect("closed").settle(outcome, &settings(), now);
    }
}

/// Opened at `now`, for 10 s.
fn opened(now: Instant) -> Arc<Breaker> {
    let breaker = Arc::new(Breaker::new());
    settle(&breaker, Outcome::Failure, 4, now);
    assert_eq!(breaker.state(now), State::Open);
    breaker
}

/// Through two good trials.
fn close(breaker: &Arc<Breaker>, now: Instant) {
    settle(breaker, Outcome::Success, 2, now);
    assert_eq!(breaker.state(now), State::Closed);
}

#[test]
fn it_opens_at_the_share_and_not_before_there_are_enough() {
    let (breaker, now) = (Arc::new(Breaker::new()), Instant::now());
    settle(&breaker, Outcome::Success, 4, now);
    settle(&breaker, Outcome::Failure, 3, now);
    settle(&breaker, Outcome::Success, 1, now + 9 * SECOND);
    assert_eq!(breaker.state(now + 9 * SECOND), State::Closed, "3 of 8");
    assert_eq!(breaker.retry_after(now), None);
    let later = now + 10 * SECOND;
    settle(&breaker, Outcome::Failure, 2, later);
    assert_eq!(breaker.state(later), State::Closed, "2 of 3, which tell nothing");
    let last = breaker.admit(&settings(), later).expect("closed");
    assert_eq!(last.settle(Outcome::Failure, &settings(), later), Some(State::Open), "3 of the 4 that are left");
    assert!(!breaker.permits(&settings(), later));
    assert!(breaker.admit(&settings(), later).is_none());
    assert_eq!(breaker.retry_after(later + SECOND), Some(9 * SECOND));
}

#[test]
fn a_success_can_be_the_result_that_makes_enough() {
    let (breaker, now) = (Arc::new(Breaker::new()), Instant::now());
    settle(&breaker, Outcome::Failure, 3, now);
    settle(&breaker, Outcome::Success, 1, now);
    assert_eq!(breaker.state(now), State::Open);
}

#[test]
fn good_trials_close_it_and_the_old_failures_are_forgotten() {
    let start = Instant::now();
    let breaker = opened(start);
    let now = start + 10 * SECOND;
    assert_eq!(breaker.state(now), State::HalfOpen);
    let (first, second) = (breaker.admit(&settings(), now), breaker.admit(&settings(), now));
    assert!(breaker.admit(&settings(), now).is_none(), "two trials are wanted");
    assert!(!breaker.permits(&settings(), now));
    assert_eq!(breaker.retry_after(now), Some(Duration::ZERO));
    assert_eq!(first.expect("a trial").settle(Outcome::Success, &settings(), now), None);
    assert!(breaker.admit(&settings(), now).is_none(), "one is good, one is under way");
    assert_eq!(second.expect("a trial").settle(Outcome::Success, &settings(), now), Some(State::Closed));
    settle(&breaker, Outcome::Failure, 3, now);
    assert_eq!(breaker.state(now), State::Closed);
}

#[test]
fn openings_in_a_row_double_up_to_the_bound() {
    let mut now = Instant::now();
    let breaker = opened(now);
    for wanted in [10, 20, 40, 80, 120, 120] {
        assert_eq!(breaker.retry_after(now), Some(wanted * SECOND));
        now += wanted * SECOND;
        settle(&breaker, Outcome::Failure, 1, now);
    }
}

#[test]
fn falling_over_soon_after_closing_goes_on_with_the_row_and_staying_closed_ends_it() {
    let start = Instant::now();
    let breaker = opened(start);
    let mut now = start + 10 * SECOND;
    close(&breaker, now);
    now += 9 * SECOND;
    settle(&breaker, Outcome::Failure, 4, now);
    assert_eq!(breaker.retry_after(now), Some(20 * SECOND), "9 s are less than the 10 s it was open");
    now += 20 * SECOND;
    close(&breaker, now);
    now += 20 * SECOND;
    settle(&breaker, Outcome::Failure, 4, now);
    assert_eq!(breaker.retry_after(now), Some(10 * SECOND), "it has stayed closed for 20 s");
}

#[test]
fn late_results_of_an_earlier_phase_do_not_count() {
    let start = Instant::now();
    let breaker = Arc::new(Breaker::new());
    let late: Vec<_> = (0..20).map(|_| breaker.admit(&settings(), start).expect("closed")).collect();
    settle(&breaker, Outcome::Failure, 4, start);
    let now = start + 10 * SECOND;
    let trial = breaker.admit(&settings(), now).expect("a trial");
    let mut late = late.into_iter();
    for outcome in [Outcome::Success, Outcome::Failure, Outcome::Success] {
        assert_eq!(late.next().expect("one").settle(outcome, &settings(), now), None);
    }
    assert_eq!(breaker.state(now), State::HalfOpen);
    trial.settle(Outcome::Success, &settings(), now);
    close_last(&breaker, now);
    for permit in late {
        permit.settle(Outcome::Failure, &settings(), now);
    }
    assert_eq!(breaker.state(now), State::Closed, "nor when it has closed");
}

fn close_last(breaker: &Arc<Breaker>, now: Instant) {
    settle(breaker, Outcome::Success, 1, now);
    assert_eq!(breaker.state(now), State::Closed);
}

#[test]
fn h084_a_cancelled_trial_gives_its_place_back_once() {
    let start = Instant::now();
    let breaker = opened(start);
    let now = start + 10 * SECOND;
    let trials = [breaker.admit(&settings(), now), breaker.admit(&settings(), now)];
    drop(trials);
    let again = [breaker.admit(&settings(), now), breaker.admit(&settings(), now)];
    assert!(again.iter().all(Option::is_some));
    assert!(breaker.admit(&settings(), now).is_none(), "not twice");
    let [first, second] = again.map(|permit| permit.expect("a trial"));
    first.settle(Outcome::Failure, &settings(), now);
    drop(second);
    assert_eq!(breaker.state(now), State::Open, "a trial of an earlier time has nothing to give back");
    let now = now + 20 * SECOND;
    let trials = [breaker.admit(&settings(), now), breaker.admit(&settings(), now)];
    assert!(trials.iter().all(Option::is_some) && breaker.admit(&settings(), now).is_none());
}

#[test]
fn edited_settings_judge_what_is_there() {
    let (breaker, start) = (Arc::new(Breaker::new()), Instant::now());
    settle(&breaker, Outcome::Failure, 3, start);
    let strict = CircuitBreaker { min_requests: 2, half_open_requests: 5, ..settings() };
    breaker.admit(&strict, start).expect("closed").settle(Outcome::Success, &strict, start);
    assert_eq!(breaker.state(start), State::Open);
    let now = start + 10 * SECOND;
    for _ in 0..2 {
        breaker.admit(&strict, now).expect("a trial").settle(Outcome::Success, &strict, now);
    }
    assert_eq!(breaker.state(now), State::HalfOpen, "five are wanted");
    assert!(breaker.permits(&settings(), now), "two are wanted now: it must not wait for a third");
    breaker.admit(&settings(), now).expect("closed").settle(Outcome::Failure, &settings(), now);
    assert_eq!(breaker.state(now), State::Closed, "and this was no trial");
}

#[test]
fn slow_answers_and_bad_statuses_are_failures() {
    let settings = CircuitBreaker { slower_than: Some(SECOND), ..CircuitBreaker::default() };
    assert_eq!(Outcome::of_answer(&settings, StatusCode::OK, SECOND), Outcome::Success);
    assert_eq!(Outcome::of_answer(&settings, StatusCode::OK, 2 * SECOND), Outcome::Failure);
    assert_eq!(Outcome::of_answer(&settings, StatusCode::BAD_GATEWAY, SECOND), Outcome::Failure);
    assert_eq!(Outcome::of_answer(&settings, StatusCode::NOT_FOUND, SECOND), Outcome::Success);
}

#[test]
fn trials_are_never_more_than_wanted_whoever_asks() {
    for _ in 0..50 {
        let start = Instant::now();
        let breaker = opened(start);
        let now = start + 10 * SECOND;
        let running = AtomicUsize::new(0);
        thread::scope(|scope| {
            for worker in 0..8 {
                let (breaker, running) = (&breaker, &running);
                scope.spawn(move || {
                    for turn in 0..50 {
                        let Some(permit) = breaker.admit(&settings(), now) else { continue };
                        assert!(running.fetch_add(1, Ordering::SeqCst) < 2);
                        running.fetch_sub(1, Ordering::SeqCst);
                        // All are cancelled, so that it stays half-open.
                        drop(permit);
                        assert_eq!(breaker.state(now), State::HalfOpen, "worker {worker} turn {turn}");
                    }
                });
            }
        });
        let trials = [breaker.admit(&settings(), now), breaker.admit(&settings(), now)];
        assert!(trials.iter().all(Option::is_some), "every place was given back");
        assert!(breaker.admit(&settings(), now).is_none(), "once");
    }
}

#[test]
fn however_many_workers_report_it_opens_once() {
    for _ in 0..50 {
        let (breaker, now) = (Arc::new(Breaker::new()), Instant::now());
        let openings = AtomicUsize::new(0);
        let permits: Vec<_> = (0..64).map(|_| breaker.admit(&settings(), now).expect("closed")).collect();
        thread::scope(|scope| {
            for permit in permits {
                scope.spawn(|| {
                    if permit.settle(Outcome::Failure, &settings(), now) == Some(State::Open) {
                        openings.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(openings.load(Ordering::Relaxed), 1);
        assert_eq!(breaker.retry_after(now), Some(10 * SECOND), "and it is the first in its row");
    }
}

/// The table of states: a list of phases, each with everything that was reported to it.
struct Model {
    phases: Vec<ModelPhase>,
}

struct ModelPhase {
    began: Instant,
    kind: State,
    /// When an open one ends.
    ends: Instant,
    /// Of an open one: the how many-th in its row.
    row: u32,
    /// Permits given by it, by number, with their results.
    permits: HashMap<usize, Report>,
}

#[derive(Clone, Copy, PartialEq)]
enum Report {
    Running,
    Cancelled,
    Ended(Instant, Outcome),
}

impl ModelPhase {
    fn count(&self, is_counted: impl Fn(&Report) -> bool) -> usize {
        self.permits.values().filter(|report| is_counted(report)).count()
    }

    fn results(&self, since: Option<Instant>) -> (usize, usize) {
        let is_young = |at: Instant| since.is_none_or(|since| at > since);
        let bad = |report: &Report| matches!(report, Report::Ended(at, Outcome::Failure) if is_young(*at));
        let all = |report: &Report| matches!(report, Report::Ended(at, _) if is_young(*at));
        (self.count(bad), self.count(all))
    }
}

impl Model {
    fn new(now: Instant) -> Self {
        let mut model = Self { phases: Vec::new() };
        model.begin(State::Closed, now, now);
        model
    }

    fn begin(&mut self, kind: State, began: Instant, ends: Instant) {
        self.phases.push(ModelPhase { began, kind, ends, row: 0, permits: HashMap::new() });
    }

    fn now(&self) -> &ModelPhase {
        self.phases.last().expect("one")
    }

    fn permits(&self, settings: &CircuitBreaker, now: Instant) -> bool {
        let phase = self.now();
        let (bad, all) = phase.results(None);
        let good = all - bad;
        let running = phase.count(|report| *report == Report::Running);
        let wanted = settings.half_open_requests as usize;
        match phase.kind {
            State::Closed => true,
            State::Open => now >= phase.ends,
            State::HalfOpen => good >= wanted || good + running < wanted,
        }
    }

    fn admit(&mut self, number: usize, settings: &CircuitBreaker, now: Instant) -> bool {
        if !self.permits(settings, now) {
            return false;
        }
        if self.now().kind == State::Open {
            self.begin(State::HalfOpen, now, now);
        }
        let (_, all) = self.now().results(None);
        if self.now().kind == State::HalfOpen && all >= settings.half_open_requests as usize {
            self.begin(State::Closed, now, now);
        }
        self.phases.last_mut().expect("one").permits.insert(number, Report::Running);
        true
    }

    fn report(&mut self, number: usize, report: Report, settings: &CircuitBreaker, now: Instant) {
        for phase in &mut self.phases {
            if let Some(known) = phase.permits.get_mut(&number) {
                *known = report;
            }
        }
        let phase = self.now();
        if !phase.permits.contains_key(&number) || report == Report::Cancelled {
            return;
        }
        match phase.kind {
            State::Closed => {
                let (bad, all) = phase.results(now.checked_sub(settings.window));
                if all >= settings.min_requests as usize && bad * 100 >= all * settings.failure_percent as usize {
                    self.open(settings, now);
                }
            }
            State::HalfOpen => match phase.results(None) {
                (0, all) if all >= settings.half_open_requests as usize => self.begin(State::Closed, now, now),
                (0, _) => {}
                _ => self.open(settings, now),
            },
            State::Open => {}
        }
    }

    fn open(&mut self, settings: &CircuitBreaker, now: Instant) {
        let last = self.phases.iter().rev().find(|phase| phase.kind == State::Open);
        let row = last.map_or(1, |last| {
            let closed_for = now - self.now().began;
            let is_long = closed_for >= settings.window && closed_for >= last.ends - last.began;
            if self.now().kind == State::Closed && is_long { 1 } else { last.row + 1 }
        });
        let length = (1..row).fold(settings.open_for, |length, _| length * 2).min(settings.max_open_for);
        self.begin(State::Open, now, now + length);
        self.phases.last_mut().expect("one").row = row;
    }
}

#[derive(Clone, Debug)]
enum Step {
    Admit,
    /// One of the permits that are out, by number modulo how many there are.
    Settle(usize, Outcome),
    Cancel(usize),
    Wait(u32),
    Edit(usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Admit),
        3 => (0_usize..8).prop_map(|which| Step::Settle(which, Outcome::Success)),
        4 => (0_usize..8).prop_map(|which| Step::Settle(which, Outcome::Failure)),
        1 => (0_usize..8).prop_map(Step::Cancel),
        2 => (0_u32..30).prop_map(Step::Wait),
        1 => (0_usize..3).prop_map(Step::Edit),
    ]
}

/// Windows of which a slot is as long as the tests' unit of time, or half as long: then no result shares a slot with
/// one of another time, and the window is exact.
fn any_settings() -> impl Strategy<Value = CircuitBreaker> {
    (1_u32..=100, 1_u32..6, 1_u32..=2, 0_u32..8, 1_u32..40, 1_u32..4).prop_map(
        |(failure_percent, min_requests, window, open_for, max_open_for, half_open_requests)| CircuitBreaker {
            failure_percent,
            min_requests,
            window: window * SECOND,
            open_for: UNIT * open_for,
            max_open_for: UNIT * max_open_for,
            half_open_requests,
            ..CircuitBreaker::default()
        },
    )
}

const UNIT: Duration = Duration::from_millis(200);

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn it_does_what_the_table_of_states_says(
        written in proptest::collection::vec(any_settings(), 3),
        steps in proptest::collection::vec(any_step(), 1..300),
    ) {
        let start = Instant::now();
        let (breaker, mut model) = (Arc::new(Breaker::new()), Model::new(start));
        let (mut now, mut settings, mut out) = (start, &written[0], Vec::new());
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Admit => {
                    let permit = breaker.admit(settings, now);
                    prop_assert_eq!(permit.is_some(), model.admit(number, settings, now));
                    out.extend(permit.map(|permit| (number, permit)));
                }
                Step::Settle(which, outcome) if !out.is_empty() => {
                    let (number, permit) = out.remove(which % out.len());
                    let before = model.phases.len();
                    let entered = permit.settle(outcome, settings, now);
                    model.report(number, Report::Ended(now, outcome), settings, now);
                    prop_assert_eq!(entered, (model.phases.len() > before).then(|| model.now().kind));
                }
                Step::Cancel(which) if !out.is_empty() => {
                    let (number, permit) = out.remove(which % out.len());
                    drop(permit);
                    model.report(number, Report::Cancelled, settings, now);
                }
                Step::Settle(..) | Step::Cancel(_) => {}
                Step::Wait(units) => now += UNIT * units,
                Step::Edit(which) => settings = &written[which],
            }
            prop_assert_eq!(breaker.permits(settings, now), model.permits(settings, now));
            let phase = model.now();
            let is_over = phase.kind == State::Open && now >= phase.ends;
            prop_assert_eq!(breaker.state(now), if is_over { State::HalfOpen } else { phase.kind });
            let wait = match phase.kind {
                State::Closed => None,
                State::HalfOpen => Some(Duration::ZERO),
                State::Open => Some(phase.ends.saturating_duration_since(now)),
            };
            prop_assert_eq!(breaker.retry_after(now), wait);
        }
    }
}
