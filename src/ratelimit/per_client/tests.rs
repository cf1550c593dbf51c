//! The table against cells of one's own, and its bound.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::config::units::Rate;
use crate::ratelimit::Seeds;
use crate::ratelimit::sliding_window::SlidingWindow;
use crate::ratelimit::token_bucket::TokenBucket;

const SECOND: u64 = 1_000_000_000;

fn rate(count: u32) -> Rate {
    Rate { count, period: Duration::from_secs(1) }
}

fn key(seeds: &Seeds, number: u32) -> Key {
    let mut builder = seeds.builder();
    builder.feed(&number.to_le_bytes());
    builder.finish()
}

/// `keys` and `places` are one thing seen from two sides.
fn assert_whole<T: Terms>(table: &PerClient<T>) {
    for shard in &table.shards {
        let shard = lock(shard);
        assert_eq!(shard.keys.len(), shard.places.len());
        assert!(shard.keys.len() <= table.max_shard_keys);
        for (position, key) in shard.keys.iter().enumerate() {
            assert_eq!(shard.places.get(key).map(|kept| kept.position), Some(position));
        }
    }
}

#[test]
fn h060_a_flood_of_keys_is_bounded_and_does_not_push_out_who_has_used_most() {
    let seeds = Seeds::default();
    let table = PerClient::new(TokenBucket::new(rate(1), 10), 10_000);
    let heavy = key(&seeds, u32::MAX);
    assert_eq!((0..10).filter(|_| table.check(heavy, 0).is_allowed).count(), 10);
    for number in 0..50_000 {
        assert!(table.check(key(&seeds, number), 0).is_allowed);
    }
    assert!(table.len() <= 10_000);
    assert!(table.len() > 9_900);
    assert!(!table.check(heavy, 0).is_allowed, "it has used ten, the others one each");
    assert_whole(&table);
}

#[test]
fn keys_that_are_as_new_are_forgotten_shard_by_shard() {
    let seeds = Seeds::default();
    let table = PerClient::new(TokenBucket::new(rate(1), 10), 20_000);
    assert_eq!(table.shards.len(), 8);
    for number in 0..1000 {
        table.check(key(&seeds, number), 0);
    }
    let late = key(&seeds, 7);
    table.check(late, SECOND - 1);
    let swept: usize = (0..8).map(|_| table.collect(SECOND - 1)).sum();
    assert_eq!(swept, 0, "a second is not over");
    let swept: usize = (0..8).map(|_| table.collect(SECOND)).sum();
    assert_eq!((swept, table.len()), (999, 1));
    assert_whole(&table);
    assert_eq!(table.check(late, SECOND).remaining, 8);
}

#[test]
fn h125_time_stands_still_where_it_would_go_back() {
    let seeds = Seeds::default();
    let table = PerClient::new(TokenBucket::new(rate(1000), 2), 100);
    let one = key(&seeds, 1);
    assert!(table.check(one, SECOND).is_allowed);
    assert!(table.check(one, SECOND / 2).is_allowed, "a worker's clock is behind: two may come all the same");
    assert!(!table.check(one, SECOND / 2).is_allowed);
    assert!(table.check(one, SECOND + SECOND / 1000).is_allowed);
}

#[test]
fn other_terms_reach_every_key_and_keep_what_is_used() {
    let seeds = Seeds::default();
    let table = PerClient::new(TokenBucket::new(rate(1), 10), 100);
    for number in 0..50 {
        for _ in 0..5 {
            table.check(key(&seeds, number), 0);
        }
    }
    table.update(TokenBucket::new(rate(2), 20), 0);
    for number in 0..50 {
        assert_eq!(table.check(key(&seeds, number), 0).remaining, 14);
    }
    assert_eq!(table.check(key(&seeds, 60), 0).remaining, 19);
}

#[test]
fn many_threads_pass_exactly_what_one_would_for_each_key() {
    let seeds = Seeds::default();
    let table = PerClient::new(SlidingWindow::new(rate(100)), 100_000);
    let passed: usize = std::thread::scope(|scope| {
        let ask = || {
            let keys = (0..1000_u32).flat_map(|_| 0..10);
            keys.filter(|number| table.check(key(&seeds, *number), 5).is_allowed).count()
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread")).sum()
    });
    assert_eq!(passed, 10 * 100);
}

#[derive(Clone, Debug)]
enum Act {
    Check(u32, u64),
    GiveBack(u32),
    Collect,
    Update(u32, u32),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        8 => (0_u32..12, 0_u64..SECOND / 2).prop_map(|(key, step)| Act::Check(key, step)),
        1 => (0_u32..12).prop_map(Act::GiveBack),
        2 => Just(Act::Collect),
        1 => (1_u32..5, 1_u32..8).prop_map(|(count, burst)| Act::Update(count, burst)),
    ];
    proptest::collection::vec(act, 1..200)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn as_long_as_it_is_not_full_it_equals_cells_of_ones_own(acts in acts()) {
        let seeds = Seeds::default();
        let mut terms = TokenBucket::new(rate(2), 3);
        let table = PerClient::new(terms, 10_000);
        let mut cells = [0_u64; 12];
        let mut now = 0;
        for act in acts {
            match act {
                Act::Check(number, step) => {
                    now += step;
                    let cell = &mut cells[number as usize];
                    let (next, verdict) = terms.take(*cell, now);
                    *cell = next;
                    prop_assert_eq!(table.check(key(&seeds, number), now), verdict);
                }
                Act::GiveBack(number) => {
                    let cell = &mut cells[number as usize];
                    *cell = terms.give_back(*cell, now);
                    table.give_back(key(&seeds, number), now);
                }
                Act::Collect => {
                    table.collect(now);
                }
                Act::Update(count, burst) => {
                    let newer = TokenBucket::new(rate(count), burst);
                    cells.iter_mut().for_each(|cell| *cell = newer.carry(&terms, *cell, now));
                    table.update(newer, now);
                    terms = newer;
                }
            }
        }
        assert_whole(&table);
    }

    #[test]
    fn it_never_keeps_more_keys_than_it_may(max in 0_usize..40, numbers in proptest::collection::vec(0_u32..200, 1..300)) {
        let seeds = Seeds::default();
        let table = PerClient::new(SlidingWindow::new(rate(3)), max);
        for (step, number) in numbers.into_iter().enumerate() {
            table.check(key(&seeds, number), step as u64 * SECOND / 10);
            if step.is_multiple_of(16) {
                table.collect(step as u64 * SECOND / 10);
            }
            prop_assert!(table.len() <= max.max(1));
        }
        assert_whole(&table);
    }
}
