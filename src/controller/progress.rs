//! From verdict to status: each verdict waits until the data plane serves what it is about.
//!
//! A verdict is bound to the first offer that had it. As soon as the data plane has applied that offer or a
//! later one it goes to the board as "in effect". If that takes over two seconds it goes there as "not in
//! effect yet", once, and goes on waiting.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use prometheus::Histogram;
use tokio::time::Instant;

use super::status::InEffect;
use super::status_writer::Board;
use super::translate::Verdict;
use super::world::{Subject, World};

/// Longer than any swap takes; whoever waits for a status may then know that it takes longer.
const LATE_AFTER: Duration = Duration::from_secs(2);

/// What waits for being in effect, and what was judged before.
#[derive(Debug)]
pub struct Progress {
    judged: BTreeMap<Subject, Arc<Verdict>>,
    waiting: BTreeMap<Subject, Waiting>,
    /// The generation that a watch (not a list) has shown, and when.
    arrivals: BTreeMap<Subject, (i64, Instant)>,
    applied: u64,
    serving_seconds: Histogram,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    verdict: Arc<Verdict>,
    /// None: it has been told that it is late.
    late_at: Option<Instant>,
}

impl Progress {
    /// Nothing was judged yet. How soon things are in effect is counted.
    pub fn new(serving_seconds: Histogram) -> Self {
        let (judged, waiting, arrivals) = Default::default();
        Self { judged, waiting, arrivals, applied: 0, serving_seconds }
    }

    /// A watch has shown this generation of an object.
    pub fn arrived(&mut self, subject: Subject, generation: i64, at: Instant) {
        self.arrivals.insert(subject, (generation, at));
    }

    /// A translation has come to these verdicts, and offer `number` has what they are about.
    pub fn judged<'v, V>(&mut self, verdicts: V, number: u64, world: &World, board: &Board)
    where
        V: Iterator<Item = &'v Arc<Verdict>> + Clone,
    {
        let now = Instant::now();
        let mut count = 0;
        for verdict in verdicts.clone() {
            count += 1;
            let subject = verdict.subject();
            if self.judged.get(&subject).is_some_and(|known| Arc::ptr_eq(known, verdict)) {
                continue;
            }
            let late_at = Some(now + LATE_AFTER);
            let waiting = Waiting { number, verdict: Arc::clone(verdict), late_at };
            self.waiting.insert(subject.clone(), waiting);
            self.judged.insert(subject, Arc::clone(verdict));
        }
        if self.judged.len() > count {
            let known: BTreeSet<Subject> = verdicts.map(|verdict| verdict.subject()).collect();
            self.judged.retain(|subject, _| known.contains(subject));
            self.waiting.retain(|subject, _| known.contains(subject));
            board.keep(|subject| known.contains(subject));
        }
        // What is held back gets its verdict later; anything else without one is none of ours.
        let waiting = &self.waiting;
        self.arrivals.retain(|subject, _| waiting.contains_key(subject) || world.held.contains(&subject.name));
    }

    /// The data plane decides by offer `number` or a later one.
    pub fn applied(&mut self, number: u64, world: &World, board: &Board) {
        self.applied = self.applied.max(number);
        self.catch_up(world, board);
    }

    /// Tells what is in effect by now.
    pub fn catch_up(&mut self, world: &World, board: &Board) {
        let now = Instant::now();
        let at = Timestamp::now();
        let applied = self.applied;
        let done = self.waiting.extract_if(.., |_, waiting| waiting.number <= applied && applied > 0);
        for (subject, Waiting { verdict, .. }) in done {
            let arrival = self.arrivals.remove(&subject).filter(|(generation, _)| *generation == verdict.generation);
            if let Some((_, since)) = arrival {
                self.serving_seconds.observe(now.duration_since(since).as_secs_f64());
            }
            let in_effect = InEffect { at, after: arrival.map(|(_, since)| now.duration_since(since)) };
            if let Some(object) = world.own_object(&subject) {
                board.post(object, verdict, Some(in_effect), now);
            }
        }
    }

    /// When to tell next that something is late.
    pub fn deadline(&self) -> Option<Instant> {
        self.waiting.values().filter_map(|waiting| waiting.late_at).min()
    }

    /// Tells what should be in effect by now and is not.
    pub fn tell_late(&mut self, world: &World, board: &Board) {
        let now = Instant::now();
        for (subject, waiting) in &mut self.waiting {
            if waiting.late_at.is_some_and(|late_at| late_at <= now) {
                waiting.late_at = None;
                if let Some(object) = world.own_object(subject) {
                    board.post(object, Arc::clone(&waiting.verdict), None, now);
                }
            }
        }
    }
}
