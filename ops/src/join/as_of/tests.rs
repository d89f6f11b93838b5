//! Tests of the as-of join, by marbles and against a naive model.

use proptest::prelude::*;
use slotflow_runtime::testing::{Harness, check, subtask};
use slotflow_runtime::{Arena, Blame, FIRING_BUDGET, MAX_TIMESTAMP, MIN_TIMESTAMP};

use super::*;
use crate::keyed::ByValue;

type Record = Either<u64, u64>;

type Joined = AsOfJoin<ByValue<fn(&Record) -> u64>, fn(u64, Option<&u64>) -> Option<(u64, u64)>>;

/// The key is the tens.
fn tens(record: &Record) -> u64 {
    match record {
        Either::First(n) | Either::Second(n) => n / 10 % 100,
    }
}

/// A left join, in which 0 stands for no version.
fn left() -> Joined {
    let join = |record, version: Option<&u64>| Some((record, version.map_or(0, |version| *version)));
    AsOfJoin {
        selector: ByValue::hashed(tens),
        assigner: Assigner::Hash,
        join,
        retention: None,
        late: Dropped::new(&LATE),
    }
}

fn inner() -> Joined {
    let join = |record, version: Option<&u64>| version.map(|version| (record, *version));
    AsOfJoin {
        selector: ByValue::hashed(tens),
        assigner: Assigner::Hash,
        join,
        retention: None,
        late: Dropped::new(&LATE),
    }
}

#[test]
fn a_record_meets_the_version_of_its_time_whichever_came_first() {
    check(left(), "2:12@5 2:13@9 1:11@7 2:22@6 |8 1:14@9 2:15@10 |9", "11:12@7 |8 14:13@9 |9");
    check(left(), "1:11@7 2:13@9 2:12@5 |7 1:14@12 |12", "11:12@7 |7 14:13@12 |12");
}

#[test]
fn a_record_waits_for_the_watermark_of_its_time() {
    check(left(), "2:12@5 1:11@7 |6 2:13@7 |7", "|6 11:13@7 |7");
}

#[test]
fn of_versions_of_one_time_the_last_to_come_is_valid() {
    check(left(), "2:12@5 2:13@5 1:11@5 |5 1:14@6 |6", "11:13@5 |5 14:13@6 |6");
}

#[test]
fn the_closure_says_what_comes_of_a_record_without_a_version() {
    check(left(), "1:11@4 2:12@5 |5", "11:0@4 |5");
    check(inner(), "1:11@4 2:12@5 1:13@6 |6", "13:12@6 |6");
}

#[test]
fn late_records_are_dropped_and_late_versions_serve_what_still_waits() {
    check(left(), "2:12@1 |9 1:11@9 1:13@10 |10", "|9 13:12@10 |10");
    check(left(), "2:12@1 |9 2:13@8 2:14@7 1:11@10 |10", "|9 11:13@10 |10");
}

#[test]
fn what_waits_is_joined_at_the_end_of_time() {
    check(left(), "2:12@1 1:11@9 |8 #", "|8 11:12@9 #");
    check(left(), "2:12@9 1:11@9 #", "11:12@9 #");
    let last = MAX_TIMESTAMP - 1;
    check(left(), &format!("2:12@{last} 1:11@{last} |{last}"), &format!("11:12@{last} |{last}"));
}

fn retaining(retention: Timestamp) -> Joined {
    AsOfJoin { retention: (retention < MAX_TIMESTAMP).then_some(retention), ..left() }
}

#[test]
fn a_version_is_valid_for_as_long_as_it_is_retained() {
    let line = "2:12@5 1:11@15 1:13@16 |4 |16 1:14@17 2:15@17 1:16@27 1:17@28 |28";
    check(retaining(10), line, "|4 11:12@15 13:0@16 |16 14:15@17 16:15@27 17:0@28 |28");
    check(retaining(0), "2:12@5 1:11@5 1:13@6 |6", "11:12@5 13:0@6 |6");
    check(retaining(MAX_TIMESTAMP), "2:12@-9 1:11@9223372036854775807 #", "11:12@9223372036854775807 #");
}

#[test]
fn keys_that_get_no_versions_any_more_are_forgotten_and_their_bytes_with_them() {
    let mut harness = Harness::new(retaining(10)).unwrap();
    for n in 0..1000u64 {
        harness.push_at(Either::Second(n * 10 % 1000), n as i64).unwrap();
    }
    let full = harness.measured();
    assert_eq!(full.state_keys, 100);
    harness.watermark(1008).unwrap();
    let last = harness.measured();
    assert_eq!(last.state_keys, 1, "the version of 999 is valid until 1009");
    assert!(last.state_bytes < full.state_bytes);
    harness.watermark(1009).unwrap();
    assert_eq!(harness.measured().state_keys, 0);
}

#[test]
fn late_records_and_versions_are_counted_by_reason() {
    let mut harness = Harness::new(left()).unwrap();
    harness.watermark(9).unwrap();
    harness.push_at(Either::First(11), 9).unwrap();
    [7, 8].into_iter().for_each(|time| harness.push_at(Either::Second(12), time).unwrap());
    let told = harness.measured();
    assert_eq!([told.dropped("late"), told.dropped("late version")], [1, 2]);
}

struct Given(Vec<(u64, u64)>);

impl Output<Owned<(u64, u64)>> for Given {
    fn push<'s>(&mut self, pair: (u64, u64), _: &mut Context<'s>) {
        self.0.push(pair);
    }
}

#[test]
fn a_key_of_many_records_is_joined_a_budget_at_a_time_and_each_once() {
    let (arena, blame, place) = (Arena::new(), Blame::default(), subtask());
    let mut ctx = Context::new(&arena, &place, &blame, 1);
    let (mut operator, mut given) = (left().build(&subtask()).unwrap(), Given(Vec::new()));
    let records = 3 * FIRING_BUDGET as u64;
    for n in 0..records {
        ctx.set_timestamp(n as i64);
        operator.process(Either::First(n * 1000), &mut ctx, &mut given);
        operator.process(Either::Second(n * 1000 + 1), &mut ctx, &mut given);
    }
    let mut before = 0;
    while operator.watermark(MAX_TIMESTAMP, &mut ctx, &mut given) == Flow::More {
        assert!(given.0.len() - before <= FIRING_BUDGET, "one call emits more than the budget");
        before = given.0.len();
    }
    assert!(before > FIRING_BUDGET, "it is called again");
    let expected: Vec<_> = (0..records).map(|n| (n * 1000, n * 1000 + 1)).collect();
    assert_eq!(given.0, expected);
}

#[test]
fn what_waits_at_a_drain_is_given_up() {
    let (arena, blame, place) = (Arena::new(), Blame::default(), subtask());
    let mut ctx = Context::new(&arena, &place, &blame, 1);
    let (mut operator, mut given) = (left().build(&subtask()).unwrap(), Given(Vec::new()));
    ctx.set_timestamp(9);
    operator.process(Either::First(11), &mut ctx, &mut given);
    assert_eq!(operator.watermark(8, &mut ctx, &mut given), Flow::Done);
    assert_eq!(operator.end(&mut ctx, &mut given), Flow::Done);
    assert_eq!(given.0, [], "event time has not ended");
}

/// The last of the versions of a record's key that are not later than it, the last to come of a time, unless it is
/// over.
fn valid(versions: &[(i64, u64)], (time, record): (i64, u64), retention: i64) -> u64 {
    let same = |(since, version): &&(i64, u64)| version / 10 % 100 == record / 10 % 100 && *since <= time;
    let last = versions.iter().filter(same).max_by_key(|(since, _)| *since);
    last.filter(|(since, _)| time - since <= retention).map_or(0, |(_, version)| *version)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Each record that was not late meets what had come of its time's version when the watermark reached it; and no
    /// more is kept than a version a key and what is later than the watermark.
    #[test]
    fn records_meet_the_versions_of_the_naive_model(
        retention in prop_oneof![Just(Timestamp::MAX), 0..20i64],
        steps in prop::collection::vec((any::<bool>(), 0..3u64, -8..1i64, 0..3i64, 0..5u8), 0..120),
    ) {
        let (arena, blame, place) = (Arena::new(), Blame::default(), subtask());
        let mut ctx = Context::new(&arena, &place, &blame, 1);
        let (mut operator, mut given) = (retaining(retention).build(&subtask()).unwrap(), Given(Vec::new()));
        let (mut now, mut watermark, mut late) = (0, MIN_TIMESTAMP, 0);
        let (mut waiting, mut versions, mut expected) = (Vec::<(i64, u64)>::new(), Vec::new(), Vec::new());
        let end = (true, 0, 0, 100, 0);
        for (number, (is_record, key, behind, gap, kind)) in (1..).zip(steps.into_iter().chain([end])) {
            now += gap;
            if kind == 0 {
                watermark = watermark.max(now - 5);
                while operator.watermark(watermark, &mut ctx, &mut given) == Flow::More {}
                let reached = waiting.extract_if(.., |record| record.0 <= watermark);
                expected.extend(reached.map(|record| (record.1, valid(&versions, record, retention))));
                let kept = (0..3).filter_map(|key| operator.state.kept.find(&key)).flat_map(|known| &known.versions);
                let kept: Vec<_> = kept.map(|(since, _)| *since).filter(|since| *since <= watermark).collect();
                prop_assert!(kept.len() <= 3 && kept.iter().all(|since| watermark - since < retention));
                continue;
            }
            // Its key is in the tens, its number above the hundreds.
            let (time, n) = (now + behind, key * 10 + 1000 * number);
            ctx.set_timestamp(time);
            if is_record {
                late += u64::from(time <= watermark);
                waiting.extend((time > watermark).then_some((time, n)));
                operator.process(Either::First(n), &mut ctx, &mut given);
            } else {
                versions.push((time, n));
                operator.process(Either::Second(n), &mut ctx, &mut given);
            }
        }
        given.0.sort_unstable();
        expected.sort_unstable();
        prop_assert_eq!(&given.0, &expected);
        prop_assert_eq!(operator.state.late.counted(), late);
        prop_assert!(operator.state.kept.is_settled());
    }
}
