//! The gate against a list of who is inside and who waits, and with real threads.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};

use http::StatusCode;
use proptest::prelude::*;

use super::*;

fn limit(max: u32, queue: u32, timeout: Duration) -> Concurrency {
    Concurrency {
        id: LimiterId::new("test"),
        max,
        per: vec![Attribute::ClientAddress],
        queue,
        queue_timeout: timeout,
        status: StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn key(gate: &Gate, number: u8) -> Key {
    let mut builder = gate.key_builder();
    builder.feed(&[number]);
    builder.finish()
}

type Entering = Pin<Box<dyn Future<Output = Result<Guard, Full>>>>;

fn enter(gate: &Arc<Gate>, number: u8) -> Entering {
    let gate = Arc::clone(gate);
    let key = key(&gate, number);
    Box::pin(async move { gate.enter(key).await })
}

fn poll(entering: &mut Entering) -> Poll<Result<Guard, Full>> {
    entering.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn guards_can_go_anywhere() {
    fn is_free<T: Send + 'static>() {}
    is_free::<Guard>();
}

#[test]
fn a_key_is_forgotten_with_its_last_request() {
    let gate = Gate::new(&limit(1, 0, Duration::ZERO));
    let Poll::Ready(Ok(guard)) = poll(&mut enter(&gate, 1)) else { panic!("there is room") };
    assert!(matches!(poll(&mut enter(&gate, 1)), Poll::Ready(Err(Full::NoRoom))));
    assert!(matches!(poll(&mut enter(&gate, 2)), Poll::Ready(Ok(_))), "another key has a room of its own");
    assert_eq!((gate.load(), gate.keys()), ((1, 0), 1));
    drop(guard);
    assert_eq!((gate.load(), gate.keys()), ((0, 0), 0));
}

#[test]
fn a_slot_handed_to_one_who_went_is_not_lost() {
    let gate = Gate::new(&limit(1, 5, Duration::ZERO));
    let Poll::Ready(Ok(guard)) = poll(&mut enter(&gate, 1)) else { panic!("there is room") };
    let (mut first, mut second) = (enter(&gate, 1), enter(&gate, 1));
    assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
    drop(guard);
    // The first was called, and goes without having looked.
    drop(first);
    assert!(matches!(poll(&mut second), Poll::Ready(Ok(_))));
    drop(second);
    assert_eq!((gate.load(), gate.keys()), ((0, 0), 0));
}

#[tokio::test]
async fn who_waits_too_long_is_sent_away_and_leaves_nothing() {
    let gate = Gate::new(&limit(1, 1, Duration::from_millis(10)));
    let key = key(&gate, 1);
    let guard = gate.enter(key).await.expect("there is room");
    assert_eq!(gate.enter(key).await.err(), Some(Full::WaitedTooLong));
    assert_eq!(gate.load(), (1, 0));
    drop(guard);
    assert_eq!(gate.keys(), 0);
}

#[test]
fn never_too_many_inside_whatever_the_threads_do() {
    const THREADS: u32 = 4;
    let gate = Gate::new(&limit(3, 1000, Duration::from_secs(60)));
    let inside = AtomicU32::new(0);
    let done = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (gate, inside, done) = (&gate, &inside, &done);
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
                let key = key(gate, 1);
                runtime.block_on(async {
                    let ask = async |turn: u32| {
                        let entering = gate.enter(key);
                        // Some give up after a while, which may be the very moment they are called.
                        let wait =
                            if (turn + thread).is_multiple_of(3) { Duration::from_micros(50) } else { Duration::MAX };
                        let Ok(entered) = tokio::time::timeout(wait, entering).await else { return };
                        let _guard = entered.expect("the queue is long enough");
                        assert!(inside.fetch_add(1, Ordering::SeqCst) < 3);
                        tokio::task::yield_now().await;
                        inside.fetch_sub(1, Ordering::SeqCst);
                        done.fetch_add(1, Ordering::SeqCst);
                    };
                    for round in 0..50 {
                        futures_util::future::join_all((0..8).map(|turn| ask(turn + round))).await;
                    }
                });
            });
        }
    });
    assert_eq!((gate.load(), gate.keys()), ((0, 0), 0), "no slot is lost");
    assert!(done.load(Ordering::SeqCst) >= THREADS * 50 * 5);
}

/// What the gate should be: for each key who is inside and who waits, by name.
#[derive(Default)]
struct Model {
    max: usize,
    queue: usize,
    inside: HashMap<u8, Vec<u32>>,
    waiting: HashMap<u8, VecDeque<u32>>,
}

#[derive(Debug, PartialEq)]
enum Wanted {
    Inside,
    Waiting,
    NoRoom,
}

impl Model {
    fn arrive(&mut self, key: u8, name: u32) -> Wanted {
        let inside = self.inside.entry(key).or_default();
        let waiting = self.waiting.entry(key).or_default();
        if inside.len() < self.max {
            inside.push(name);
            Wanted::Inside
        } else if waiting.len() < self.queue {
            waiting.push_back(name);
            Wanted::Waiting
        } else {
            Wanted::NoRoom
        }
    }

    fn let_in(&mut self) {
        for (key, waiting) in &mut self.waiting {
            let inside = self.inside.entry(*key).or_default();
            while inside.len() < self.max
                && let Some(name) = waiting.pop_front()
            {
                inside.push(name);
            }
        }
    }

    fn go(&mut self, key: u8, name: u32) {
        self.inside.entry(key).or_default().retain(|other| *other != name);
        self.waiting.entry(key).or_default().retain(|other| *other != name);
        self.let_in();
    }
}

#[derive(Clone, Debug)]
enum Act {
    Arrive(u8),
    Go(usize),
    /// Looks whether its turn has come.
    Look(usize),
    Update(u32, u32),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        5 => (0_u8..3).prop_map(Act::Arrive),
        4 => any::<usize>().prop_map(Act::Go),
        3 => any::<usize>().prop_map(Act::Look),
        1 => (1_u32..4, 0_u32..4).prop_map(|(max, queue)| Act::Update(max, queue)),
    ];
    proptest::collection::vec(act, 1..120)
}

enum Body {
    Guard(#[expect(dead_code, reason = "it is dropped")] Guard),
    Entering(Entering),
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_does_what_a_list_of_names_does(max in 1_u32..4, queue in 0_u32..4, acts in acts()) {
        let gate = Gate::new(&limit(max, queue, Duration::ZERO));
        let mut model = Model { max: max as usize, queue: queue as usize, ..Model::default() };
        let mut alive: Vec<(u8, u32, Body)> = Vec::new();
        for (name, act) in (0_u32..).zip(acts) {
            match act {
                Act::Arrive(number) => {
                    let mut entering = enter(&gate, number);
                    let seen = match poll(&mut entering) {
                        Poll::Ready(Ok(guard)) => { alive.push((number, name, Body::Guard(guard))); Wanted::Inside }
                        Poll::Ready(Err(_)) => Wanted::NoRoom,
                        Poll::Pending => { alive.push((number, name, Body::Entering(entering))); Wanted::Waiting }
                    };
                    prop_assert_eq!(seen, model.arrive(number, name));
                }
                Act::Go(index) if !alive.is_empty() => {
                    let (number, name, body) = alive.swap_remove(index % alive.len());
                    drop(body);
                    model.go(number, name);
                }
                Act::Look(index) if !alive.is_empty() => {
                    let index = index % alive.len();
                    let (number, name, body) = &mut alive[index];
                    if let Body::Entering(entering) = body {
                        let is_in = model.inside.get(number).is_some_and(|inside| inside.contains(name));
                        match poll(entering) {
                            Poll::Ready(Ok(guard)) => { prop_assert!(is_in); *body = Body::Guard(guard); }
                            Poll::Ready(Err(error)) => prop_assert!(false, "{}", error),
                            Poll::Pending => prop_assert!(!is_in),
                        }
                    }
                }
                Act::Update(max, queue) => {
                    gate.update(&limit(max, queue, Duration::ZERO));
                    model.max = max as usize;
                    model.queue = queue as usize;
                    model.let_in();
                }
                Act::Go(_) | Act::Look(_) => {}
            }
            let inside: usize = model.inside.values().map(Vec::len).sum();
            let waiting: usize = model.waiting.values().map(VecDeque::len).sum();
            prop_assert_eq!(gate.load(), (inside, waiting));
            prop_assert_eq!(gate.keys(), model.inside.values().filter(|inside| !inside.is_empty()).count());
        }
        alive.clear();
        prop_assert_eq!((gate.load(), gate.keys()), ((0, 0), 0));
    }
}
