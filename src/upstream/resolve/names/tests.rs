//! The table of names, step by step and under random use.

use proptest::prelude::*;

use super::*;

fn ip(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

fn v6(last: u16) -> IpAddr {
    IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, last])
}

fn used(found: Found) -> Option<Vec<IpAddr>> {
    if let Found::Use(addresses) = found { Some(addresses.to_vec()) } else { None }
}

const NAME: &str = "users.shop.svc";

#[test]
fn a_name_is_looked_up_once_however_many_wait_and_then_known_for_five_seconds() {
    let (mut names, now) = (Names::default(), Instant::now());
    for _ in 0..100 {
        assert!(matches!(names.find(NAME, now), Found::Wait(_, None)));
    }
    assert_eq!(names.next().as_deref(), Some(NAME));
    assert_eq!(names.next(), None, "one look-up for all");
    names.settle(NAME, Ok(vec![ip(1), ip(2)]), now);
    assert_eq!(used(names.find(NAME, now + FRESH - Duration::from_millis(1))), Some(vec![ip(1), ip(2)]));
    assert_eq!(names.next(), None);
    assert_eq!(used(names.find(NAME, now + FRESH)), Some(vec![ip(1), ip(2)]), "used while it is looked up anew");
    assert_eq!(names.next().as_deref(), Some(NAME));
    names.settle(NAME, Ok(vec![ip(3)]), now + FRESH);
    assert_eq!(used(names.find(NAME, now + FRESH)), Some(vec![ip(3)]));
}

#[test]
fn h107_the_last_good_answer_is_kept_while_look_ups_fail_but_not_for_ever() {
    let (mut names, began) = (Names::default(), Instant::now());
    let _ = names.find(NAME, began);
    let _ = names.next();
    names.settle(NAME, Ok(vec![ip(1)]), began);
    let (mut now, mut asked) = (began + FRESH, 0);
    while now < began + KEPT {
        assert_eq!(used(names.find(NAME, now)), Some(vec![ip(1)]), "{:?}", now - began);
        if names.next().is_some() {
            asked += 1;
            names.settle(NAME, Err(io::ErrorKind::TimedOut.into()), now);
        }
        now += Duration::from_millis(250);
    }
    assert!((590..=600).contains(&asked), "once a second: {asked}");
    assert!(used(names.find(NAME, began + KEPT)).is_none());
}

#[test]
fn h107_an_old_answer_is_waited_for_only_if_a_newer_one_may_come() {
    let (mut names, began) = (Names::default(), Instant::now());
    let _ = names.find(NAME, began);
    let _ = names.next();
    names.settle(NAME, Ok(vec![ip(1)]), began);
    let later = began + STALE;
    let Found::Wait(_, Some(old)) = names.find(NAME, later) else { panic!("it is waited for") };
    assert_eq!(old.as_ref(), [ip(1)], "for those who cannot wait");
    let _ = names.next();
    names.settle(NAME, Err(io::ErrorKind::TimedOut.into()), later);
    assert_eq!(used(names.find(NAME, later)), Some(vec![ip(1)]), "nobody waits for a server that is away");
}

#[test]
fn h107_no_such_name_is_asked_once_a_second() {
    let (mut names, now) = (Names::default(), Instant::now());
    let _ = names.find(NAME, now);
    let _ = names.next();
    names.settle(NAME, Ok(Vec::new()), now);
    assert!(matches!(names.find(NAME, now), Found::Failed(_)));
    assert_eq!(names.next(), None);
    assert!(matches!(names.find(NAME, now + FAILED), Found::Wait(_, None)));
    assert_eq!(names.next().as_deref(), Some(NAME));
}

#[test]
fn no_more_than_64_look_ups_run_and_no_more_than_4096_names_are_known() {
    let (mut names, now) = (Names::default(), Instant::now());
    for number in 0..MAX_NAMES {
        let _ = names.find(&number.to_string(), now);
    }
    assert!(matches!(names.find("one more", now), Found::Failed(_)), "all the others are being looked up");
    let running: Vec<String> = std::iter::from_fn(|| names.next()).collect();
    assert_eq!(running.len(), MAX_RUNNING);
    for name in &running {
        names.settle(name, Ok(vec![ip(1)]), now);
    }
    let _ = names.find("0", now);
    assert!(matches!(names.find("one more", now), Found::Wait(..)));
    assert!(names.known.contains_key("0") && !names.known.contains_key("1"), "the one used longest ago gives way");
    assert_eq!(names.known.len(), MAX_NAMES);
}

#[test]
fn the_address_that_worked_comes_first_then_both_families_in_turn() {
    let found = [v6(1), v6(2), v6(3), ip(1), ip(2), v6(1)];
    assert_eq!(in_order(&found, None).as_ref(), [v6(1), ip(1), v6(2), ip(2), v6(3)]);
    assert_eq!(in_order(&found, Some(ip(2))).as_ref(), [ip(2), v6(1), ip(1), v6(2), v6(3)]);
    assert_eq!(in_order(&found, Some(ip(9))).as_ref(), in_order(&found, None).as_ref(), "no longer in the answer");
    let many: Vec<IpAddr> = (0..20).map(v6).chain([ip(1)]).collect();
    assert_eq!(in_order(&many, None).len(), MAX_ADDRESSES);
    assert!(in_order(&many, None).contains(&ip(1)), "the other family is not crowded out");
}

#[test]
fn the_preferred_address_stays_first_across_answers() {
    let (mut names, now) = (Names::default(), Instant::now());
    let _ = names.find(NAME, now);
    let _ = names.next();
    names.settle(NAME, Ok(vec![ip(1), ip(2)]), now);
    names.prefer(NAME, ip(2));
    assert_eq!(used(names.find(NAME, now)), Some(vec![ip(2), ip(1)]));
    let _ = names.find(NAME, now + FRESH);
    let _ = names.next();
    names.settle(NAME, Ok(vec![ip(1), ip(2), ip(3)]), now + FRESH);
    assert_eq!(used(names.find(NAME, now + FRESH)), Some(vec![ip(2), ip(1), ip(3)]));
}

#[derive(Clone, Debug)]
enum Event {
    Find(u8),
    Begin,
    Answer(u8, bool),
    Pass(u64),
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0_u8..5).prop_map(Event::Find),
        3 => Just(Event::Begin),
        3 => (any::<u8>(), any::<bool>()).prop_map(|(which, is_good)| Event::Answer(which, is_good)),
        2 => prop_oneof![0_u64..3, 3_u64..40, 500_u64..700].prop_map(Event::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The model: the last good answer of each name with its time. What is used is always that, and never older
    /// than ten minutes; who waits has a look-up running or in the queue, and only one.
    #[test]
    fn what_is_used_is_the_last_good_answer(events in proptest::collection::vec(any_event(), 1..200)) {
        let mut names = Names::default();
        let mut now = Instant::now();
        let mut model: HashMap<String, (IpAddr, Instant)> = HashMap::new();
        let mut running: Vec<String> = Vec::new();
        let mut answers = 0_u8;
        for event in events {
            match event {
                Event::Pass(seconds) => now += Duration::from_secs(seconds),
                Event::Begin => running.extend(names.next()),
                Event::Answer(which, is_good) => {
                    if running.is_empty() {
                        continue;
                    }
                    let name = running.remove(which as usize % running.len());
                    answers = answers.wrapping_add(1);
                    if is_good {
                        model.insert(name.clone(), (ip(answers), now));
                    }
                    let answer = if is_good { Ok(vec![ip(answers)]) } else { Err(io::ErrorKind::NotFound.into()) };
                    names.settle(&name, answer, now);
                }
                Event::Find(which) => {
                    let name = which.to_string();
                    let known = model.get(&name).filter(|(_, since)| now - *since < KEPT).map(|(address, _)| *address);
                    let is_fresh = model.get(&name).is_some_and(|(_, since)| now - *since < FRESH);
                    match names.find(&name, now) {
                        Found::Use(addresses) => prop_assert_eq!(addresses.first().copied(), known),
                        Found::Wait(_, old) => {
                            prop_assert_eq!(old.and_then(|old| old.first().copied()), known);
                            prop_assert!(!is_fresh);
                            let asked = running.iter().chain(&names.waiting).filter(|asked| **asked == name);
                            prop_assert_eq!(asked.count(), 1);
                        }
                        Found::Failed(_) => prop_assert_eq!(known, None),
                    }
                }
            }
            prop_assert_eq!(names.running, running.len());
        }
    }
}
