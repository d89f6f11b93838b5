//! Tests of the interval join, by marbles and against all pairs.

use proptest::prelude::*;
use slotflow_runtime::testing::{Harness, check, subtask};
use slotflow_runtime::{Arena, Blame, FIRING_BUDGET, MAX_TIMESTAMP};

use super::*;
use crate::keyed::ByValue;

type Record = Either<u64, u64>;

/// The key is the tens.
fn tens(record: &Record) -> u64 {
    match record {
        Either::First(n) | Either::Second(n) => n / 10 % 100,
    }
}

fn joined(
    between: RangeInclusive<Timestamp>,
) -> IntervalJoin<ByValue<fn(&Record) -> u64>, fn(&u64, &u64) -> (u64, u64)> {
    let selector = ByValue::hashed(tens as fn(&Record) -> u64);
    IntervalJoin {
        selector,
        assigner: Assigner::Hash,
        between,
        join: |first, second| (*first, *second),
        late: Dropped::new(&LATE),
    }
}

#[test]
fn each_meets_those_of_its_key_within_the_bounds() {
    check(joined(0..=5), "1:11@10 2:12@15 2:13@16 2:14@9 2:22@10 1:15@11", "11:12@15 15:12@15 15:13@16");
    check(joined(-5..=-1), "1:11@10 2:12@5 2:13@10 2:14@4 2:15@9", "11:12@10 11:15@10");
}

#[test]
fn a_record_is_kept_as_long_as_one_may_come_for_it() {
    check(joined(0..=5), "1:11@10 |14 2:12@15 |15 2:13@16", "|14 11:12@15 |15");
    check(joined(-5..=0), "2:11@10 |14 1:12@15 |15", "|14 12:11@15 |15");
}

#[test]
fn late_records_meet_nobody() {
    check(joined(0..=5), "1:11@10 |12 2:12@12 2:13@13", "|12 11:13@13");
}

#[test]
fn the_ends_of_time_and_of_bounds_can_be_added() {
    let (first, last) = (Timestamp::MIN + 1, Timestamp::MAX - 1);
    let line = format!("1:11@{first} 2:12@{last}");
    check(joined(Timestamp::MIN..=Timestamp::MAX), &line, "");
    check(joined(Timestamp::MIN..=Timestamp::MAX), "1:11@5 2:12@-7", "11:12@5");
}

#[test]
fn what_it_keeps_is_measured_and_given_back() {
    let mut harness = Harness::new(joined(0..=5)).unwrap();
    for n in 0..100 {
        harness.push_at(Either::First(n * 10), 7).unwrap();
        harness.push_at(Either::Second(n * 10 + 1000), 7).unwrap();
    }
    let full = harness.measured();
    assert_eq!(full.state_keys, 100);
    assert!(full.state_bytes > 200 * size_of::<(Timestamp, u64)>());
    harness.watermark(12).unwrap();
    let empty = harness.measured();
    assert_eq!(empty.state_keys, 0);
    assert!(empty.state_bytes <= full.state_bytes - 200 * size_of::<(Timestamp, u64)>());
    harness.push_at(Either::First(10), 12).unwrap();
    assert_eq!(harness.measured().dropped("late"), 1);
}

#[test]
fn a_key_of_many_records_is_forgotten_a_budget_at_a_time() {
    let (arena, blame, place) = (Arena::new(), Blame::default(), subtask());
    let mut ctx = Context::new(&arena, &place, &blame, 1);
    let (mut operator, mut given) = (joined(0..=5).build(&subtask()).unwrap(), Given(Vec::new()));
    let (records, mut calls) = (3 * FIRING_BUDGET as u64, 0);
    ctx.set_timestamp(1);
    (0..records).for_each(|n| operator.process(Either::First(n * 1000), &mut ctx, &mut given));
    while operator.watermark(MAX_TIMESTAMP, &mut ctx, &mut given) == Flow::More {
        calls += 1;
    }
    assert!(calls >= 3 && operator.state.kept.size().keys == 0, "{calls}");
}

struct Given(Vec<(u64, u64)>);

impl Output<Owned<(u64, u64)>> for Given {
    fn push<'s>(&mut self, pair: (u64, u64), _: &mut Context<'s>) {
        self.0.push(pair);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// All pairs of records that were not late, each once; and nothing is kept in the end.
    #[test]
    fn pairs_are_those_of_the_naive_model(
        (lower, length) in (-6..6i64, 0..6i64),
        steps in prop::collection::vec((any::<bool>(), 0..3u64, -8..1i64, 0..3i64, 0..5u8), 0..100),
    ) {
        let upper = lower + length;
        let (arena, blame, place) = (Arena::new(), Blame::default(), subtask());
        let mut ctx = Context::new(&arena, &place, &blame, 1);
        let (mut operator, mut given) = (joined(lower..=upper).build(&subtask()).unwrap(), Given(Vec::new()));
        let (mut now, mut watermark, mut firsts, mut seconds) = (0, Timestamp::MIN, Vec::new(), Vec::new());
        let mut records = 0;
        for (number, (is_first, key, behind, gap, kind)) in (0..).zip(steps) {
            now += gap;
            if kind == 0 {
                watermark = watermark.max(now - 5);
                while operator.watermark(watermark, &mut ctx, &mut given) == Flow::More {}
                continue;
            }
            // Its key is in the tens, its number above the hundreds.
            let (time, n) = (now + behind, key * 10 + number % 10 + 1000 * number);
            ctx.set_timestamp(time);
            records += 1;
            let record = if is_first { Either::First(n) } else { Either::Second(n) };
            let side = if is_first { &mut firsts } else { &mut seconds };
            side.extend((time > watermark).then_some((time, n)));
            operator.process(record, &mut ctx, &mut given);
        }
        let in_time = (firsts.len() + seconds.len()) as u64;
        prop_assert_eq!(operator.state.late.counted(), records - in_time, "what is dropped is counted");
        let meets = |(time, first): (i64, u64), (other, second): (i64, u64)| {
            first / 10 % 100 == second / 10 % 100 && (time + lower..=time + upper).contains(&other)
        };
        let all = firsts.iter().flat_map(|first| seconds.iter().map(move |second| (*first, *second)));
        let mut expected: Vec<_> = all.filter(|pair| meets(pair.0, pair.1)).map(|pair| (pair.0.1, pair.1.1)).collect();
        expected.sort_unstable();
        given.0.sort_unstable();
        prop_assert_eq!(&given.0, &expected);
        while operator.watermark(MAX_TIMESTAMP, &mut ctx, &mut given) == Flow::More {}
        let size = operator.state.kept.size();
        prop_assert!(size.keys == 0 && operator.state.kept.is_settled());
    }
}
