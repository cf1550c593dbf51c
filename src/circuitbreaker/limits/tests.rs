//! Room against plain counters, the queue against a list, both under threads.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Wake};
use std::thread;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn limits(requests: Option<u32>, per_endpoint_requests: Option<u32>, pending: u32) -> Limits {
    Limits { requests, per_endpoint_requests, pending, ..Limits::default() }
}

fn rooms(count: usize) -> (Arc<Room>, Vec<Arc<EndpointRoom>>) {
    let room = Arc::new(Room::new());
    let endpoints = (0..count).map(|_| Arc::new(EndpointRoom::new(&room))).collect();
    (room, endpoints)
}

/// Whether it was woken since last asked.
#[derive(Default)]
struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn has_turn(waiting: &mut Waiting) -> bool {
    waiting.poll_turn(&Context::from_waker(Waker::noop())).is_ready()
}

/// In the queue, and its first turn used up.
fn asleep(room: &Arc<Room>, limits: &Limits) -> Waiting {
    let mut waiting = room.wait(limits, Instant::now()).expect("room to wait");
    assert!(has_turn(&mut waiting), "the first look is free");
    assert!(!has_turn(&mut waiting));
    waiting
}

#[test]
fn requests_are_bounded_at_one_endpoint_and_at_all() {
    let limits = limits(Some(3), Some(2), 0);
    let (room, endpoints) = rooms(2);
    let first = endpoints[0].try_enter(&limits).expect("room");
    let second = endpoints[0].try_enter(&limits).expect("room");
    assert!(!endpoints[0].has_room(&limits) && endpoints[1].has_room(&limits));
    assert_eq!(endpoints[0].try_enter(&limits).err(), Some(Full));
    let third = endpoints[1].try_enter(&limits).expect("room");
    assert!(endpoints[1].has_room(&limits) && !room.has_room(&limits));
    assert_eq!(endpoints[1].try_enter(&limits).err(), Some(Full));
    drop(second);
    assert!(endpoints[1].try_enter(&limits).is_ok());
    assert!(room.wait(&limits, Instant::now()).is_err(), "no waiting room");
    drop((first, third));
    assert_eq!(room.requests(), 0);
}

#[test]
fn connections_are_counted_beside_requests() {
    let limits = Limits { connections: Some(2), per_endpoint_connections: Some(1), ..Limits::default() };
    let (room, endpoints) = rooms(3);
    let first = endpoints[0].try_connect(&limits).expect("room");
    assert!(endpoints[0].try_connect(&limits).is_err());
    let _second = endpoints[1].try_connect(&limits).expect("room");
    assert!(endpoints[2].try_connect(&limits).is_err());
    assert!(endpoints[0].try_enter(&limits).is_ok());
    drop(first);
    assert!(endpoints[2].try_connect(&limits).is_ok());
    assert_eq!((room.connections(), room.requests()), (1, 0));
}

#[test]
fn the_first_who_waits_gets_the_place_and_no_newcomer() {
    let limits = limits(Some(1), None, 2);
    let (room, endpoints) = rooms(1);
    let place = endpoints[0].try_enter(&limits).expect("room");
    let (mut first, mut second) = (asleep(&room, &limits), asleep(&room, &limits));
    assert!(room.wait(&limits, Instant::now()).is_err(), "two may wait");
    drop(place);
    assert!(endpoints[0].try_enter(&limits).is_err(), "it is kept for the first");
    assert!(!has_turn(&mut second));
    assert!(has_turn(&mut first));
    let place = endpoints[0].try_enter(&limits).expect("room");
    first.leave();
    assert!(!has_turn(&mut second));
    drop(place);
    assert!(has_turn(&mut second));
    drop(second);
    assert_eq!((room.requests(), room.waiting()), (0, 0));
    assert!(endpoints[0].try_enter(&limits).is_ok());
}

#[test]
fn h084_who_leaves_while_being_called_leaves_the_place_to_the_next() {
    let limits = limits(Some(1), None, 3);
    let (room, endpoints) = rooms(1);
    let place = endpoints[0].try_enter(&limits).expect("room");
    let (first, mut second, third) = (asleep(&room, &limits), asleep(&room, &limits), asleep(&room, &limits));
    drop(third);
    drop(place);
    drop(first);
    assert!(endpoints[0].try_enter(&limits).is_err(), "it is kept for the second");
    assert!(has_turn(&mut second));
    drop(second);
    assert_eq!((room.requests(), room.waiting()), (0, 0));
}

#[test]
fn a_turn_that_cannot_be_used_goes_on_and_ends() {
    let limits = limits(None, Some(1), 9);
    let (room, endpoints) = rooms(2);
    let mut places: Vec<_> = endpoints.iter().map(|endpoint| endpoint.try_enter(&limits).expect("room")).collect();
    let mut waiting: Vec<_> = (0..3).map(|_| asleep(&room, &limits)).collect();
    drop(places.remove(0));
    for who in 0..3 {
        let turns: Vec<bool> = waiting.iter_mut().map(has_turn).collect();
        let wanted: Vec<bool> = (0..3).map(|other| other == who).collect();
        // Asking again says that it was of no use.
        assert_eq!(turns, wanted, "turn {who}");
    }
    assert!(!waiting.iter_mut().any(has_turn), "all have looked");
}

#[test]
fn raised_limits_are_seen_by_all_who_wait() {
    let tight = limits(Some(1), None, 9);
    let (room, endpoints) = rooms(1);
    let _place = endpoints[0].try_enter(&tight).expect("room");
    let mut waiting: Vec<_> = (0..3).map(|_| asleep(&room, &tight)).collect();
    room.look_again();
    assert!(waiting.iter_mut().all(has_turn));
}

#[test]
fn a_place_that_is_brought_and_not_used_is_the_next_ones() {
    let tight = limits(None, Some(1), 9);
    let (room, endpoints) = rooms(2);
    let mut places: Vec<_> = endpoints.iter().map(|at| at.try_enter(&tight).expect("room")).collect();
    let mut picky = room.wait(&tight, Instant::now()).expect("room to wait");
    let mut any = asleep(&room, &tight);
    // The second server's place is brought to `any`; then the first one's comes free, while nobody sleeps.
    drop(places.pop());
    drop(places.pop());
    // `picky` wants the second, finds it counted, and sleeps.
    assert!(has_turn(&mut picky) && endpoints[1].try_enter(&tight).is_err());
    assert!(!has_turn(&mut picky));
    assert!(has_turn(&mut any));
    let _elsewhere = endpoints[0].try_enter(&tight).expect("free");
    any.leave();
    assert!(has_turn(&mut picky), "the second server is free");
    assert!(endpoints[1].try_enter(&tight).is_ok());
}

#[test]
fn whoever_has_a_turn_is_woken() {
    let limits = limits(Some(1), None, 1);
    let (room, endpoints) = rooms(1);
    let place = endpoints[0].try_enter(&limits).expect("room");
    let bell = Arc::new(Bell::default());
    let mut waiting = asleep(&room, &limits);
    let waker = Waker::from(Arc::clone(&bell));
    let mut turn = pin!(waiting.turn());
    assert!(turn.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    drop(place);
    assert!(bell.0.load(Ordering::SeqCst));
    assert!(turn.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
}

/// Somebody in the model: which endpoint they want, none for any.
struct Guest {
    wants: Option<usize>,
    waiting: Waiting,
    bell: Arc<Bell>,
}

impl Guest {
    fn enter(&self, endpoints: &[Arc<EndpointRoom>], limits: &Limits) -> Option<(usize, Place)> {
        let wanted = (0..endpoints.len()).filter(|index| self.wants.is_none_or(|wants| wants == *index));
        wanted.filter_map(|index| endpoints[index].try_enter(limits).ok().map(|place| (index, place))).next()
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// Comes, wants one endpoint or any.
    Come(Option<usize>),
    /// One of those who are in ends.
    End(usize),
    /// One of those who wait goes away.
    GiveUp(usize),
    /// The first so many who were woken run.
    Run(usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => proptest::option::of(0_usize..3).prop_map(Step::Come),
        3 => (0_usize..9).prop_map(Step::End),
        1 => (0_usize..9).prop_map(Step::GiveUp),
        3 => (0_usize..4).prop_map(Step::Run),
    ]
}

/// Lets those who were woken look, in any order the executor likes; gives who entered.
fn run(guests: &mut Vec<Guest>, inside: &mut Vec<(usize, Place)>, endpoints: &[Arc<EndpointRoom>], limits: &Limits) {
    let mut index = 0;
    while index < guests.len() {
        let guest = &mut guests[index];
        if !guest.bell.0.swap(false, Ordering::SeqCst) {
            index += 1;
            continue;
        }
        let waker = Waker::from(Arc::clone(&guest.bell));
        let mut has_entered = false;
        while guest.waiting.poll_turn(&Context::from_waker(&waker)).is_ready() {
            if let Some(place) = guest.enter(endpoints, limits) {
                inside.push(place);
                has_entered = true;
                break;
            }
        }
        if has_entered {
            guests.remove(index).waiting.leave();
        } else {
            index += 1;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() })]

    /// Whatever happens, counts are those of who is in, no limit is passed, and once everybody who was woken has
    /// looked, nobody waits for a place that is free.
    #[test]
    fn counts_are_right_and_no_turn_is_lost(
        steps in proptest::collection::vec(any_step(), 1..120),
        requests in proptest::option::of(1_u32..6),
        per_endpoint in proptest::option::of(1_u32..3),
        pending in 0_u32..6,
    ) {
        let limits = limits(requests, per_endpoint, pending);
        let (room, endpoints) = rooms(3);
        let mut inside: Vec<(usize, Place)> = Vec::new();
        let mut guests: Vec<Guest> = Vec::new();
        for step in steps {
            match step {
                Step::Come(wants) => {
                    if let Ok(waiting) = room.wait(&limits, Instant::now()) {
                        prop_assert!(guests.len() < pending as usize);
                        // The first turn is there without a call.
                        let bell = Arc::new(Bell(AtomicBool::new(true)));
                        guests.push(Guest { wants, waiting, bell });
                    } else {
                        prop_assert_eq!(guests.len(), pending as usize);
                    }
                }
                Step::End(which) if !inside.is_empty() => drop(inside.remove(which % inside.len())),
                Step::GiveUp(which) if !guests.is_empty() => drop(guests.remove(which % guests.len())),
                Step::End(_) | Step::GiveUp(_) => {}
                Step::Run(many) => {
                    let rest = guests.split_off(many.min(guests.len()));
                    run(&mut guests, &mut inside, &endpoints, &limits);
                    guests.extend(rest);
                }
            }
            let at = |index: usize| inside.iter().filter(|(endpoint, _)| *endpoint == index).count() as u32;
            prop_assert!(inside.len() as u32 <= requests.unwrap_or(u32::MAX));
            prop_assert!((0..3).all(|index| at(index) <= per_endpoint.unwrap_or(u32::MAX)));
            prop_assert!(room.requests() >= inside.len() as u32, "places kept for somebody count");
            prop_assert_eq!(room.waiting(), guests.len());
        }
        while guests.iter().any(|guest| guest.bell.0.load(Ordering::SeqCst)) {
            run(&mut guests, &mut inside, &endpoints, &limits);
        }
        prop_assert_eq!(room.requests(), inside.len() as u32);
        for guest in &guests {
            prop_assert!(guest.enter(&endpoints, &limits).is_none(), "waits for {:?}, which is free", guest.wants);
        }
        drop(guests);
        drop(inside);
        prop_assert_eq!((room.requests(), room.waiting()), (0, 0));
        prop_assert!(endpoints.iter().all(|endpoint| endpoint.counts.requests.load(Ordering::SeqCst) == 0));
    }

    #[test]
    fn who_comes_first_is_served_first(ends in proptest::collection::vec(1_usize..4, 1..20), places in 1_u32..4) {
        let limits = limits(Some(places), None, 100);
        let (room, endpoints) = rooms(1);
        let mut inside: Vec<Place> = (0..places).map(|_| endpoints[0].try_enter(&limits).expect("room")).collect();
        let mut waiting: Vec<(usize, Waiting)> = (0..40).map(|number| (number, asleep(&room, &limits))).collect();
        let mut served = Vec::new();
        for many in ends {
            inside.truncate(inside.len().saturating_sub(many));
            // The last ones look first: it must not help them.
            for index in (0..waiting.len()).rev() {
                if has_turn(&mut waiting[index].1) {
                    inside.push(endpoints[0].try_enter(&limits).expect("a turn is a place here"));
                    let (number, done) = waiting.remove(index);
                    done.leave();
                    served.push(number);
                }
            }
        }
        served.sort_unstable();
        prop_assert_eq!(&served, &(0..served.len()).collect::<Vec<_>>());
    }
}

#[test]
fn workers_with_runtimes_of_their_own_share_one_room() {
    const WORKERS: usize = 4;
    const REQUESTS: usize = 400;
    let limits = limits(Some(3), Some(2), 10_000);
    let (room, endpoints) = rooms(2);
    let inside = AtomicUsize::new(0);
    let work = |worker: usize| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let tasks = tokio::task::LocalSet::new();
        let one = |turn: usize| {
            let (room, endpoints, limits, inside) = (&room, &endpoints, &limits, &inside);
            async move {
                let wants = (!turn.is_multiple_of(3)).then_some((turn + worker) % 2);
                let enter = || {
                    (0..2).filter(|i| wants.is_none_or(|w| w == *i)).find_map(|i| endpoints[i].try_enter(limits).ok())
                };
                let place = match enter() {
                    Some(place) => place,
                    None => {
                        let mut waiting = room.wait(limits, Instant::now()).expect("room to wait");
                        let place = loop {
                            waiting.turn().await;
                            if let Some(place) = enter() {
                                break place;
                            }
                        };
                        waiting.leave();
                        place
                    }
                };
                assert!(inside.fetch_add(1, Ordering::SeqCst) < 3);
                tokio::task::yield_now().await;
                inside.fetch_sub(1, Ordering::SeqCst);
                drop(place);
            }
        };
        let all = futures_util::future::join_all((0..REQUESTS).map(one));
        let in_time =
            async { tokio::time::timeout(Duration::from_secs(60), all).await.expect("nobody waits for ever") };
        runtime.block_on(tasks.run_until(in_time));
    };
    thread::scope(|scope| {
        for worker in 0..WORKERS {
            let work = &work;
            scope.spawn(move || work(worker));
        }
    });
    assert_eq!((room.requests(), room.waiting()), (0, 0));
}
