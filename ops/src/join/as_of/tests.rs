//! Tests of the as-of join, by marbles and against a naive model.

use proptest::prelude::*;
use slotflow_runtime::testing::{check, subtask};
use slotflow_runtime::{Arena, Blame, MAX_TIMESTAMP};

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
    AsOfJoin { selector: ByValue(tens), assigner: Assigner::Hash, join }
}

fn inner() -> Joined {
    let join = |record, version: Option<&u64>| version.map(|version| (record, *version));
    AsOfJoin { selector: ByValue(tens), assigner: Assigner::Hash, join }
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

/// The last of the versions of a record's key that are not later than it, the last to come of a time.
fn valid(versions: &[(i64, u64)], (time, record): (i64, u64)) -> u64 {
    let same = |(since, version): &&(i64, u64)| version / 10 % 100 == record / 10 % 100 && *since <= time;
    versions.iter().filter(same).max_by_key(|(since, _)| *since).map_or(0, |(_, version)| *version)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    /// Each record that was not late meets what had come of its time's version when the watermark reached it; and no
    /// more is kept than a version a key and what is later than the watermark.
    #[test]
    fn records_meet_the_versions_of_the_naive_model(
        steps in prop::collection::vec((any::<bool>(), 0..3u64, -8..1i64, 0..3i64, 0..5u8), 0..120),
    ) {
        let (arena, blame, place) = (Arena::new(), Blame::default(), subtask());
        let mut ctx = Context::new(&arena, &place, &blame, 1);
        let (mut operator, mut given) = (left().build(&subtask()).unwrap(), Given(Vec::new()));
        let (mut now, mut watermark, mut late) = (0, MIN_TIMESTAMP, 0);
        let (mut waiting, mut versions, mut expected) = (Vec::<(i64, u64)>::new(), Vec::new(), Vec::new());
        let end = (true, 0, 0, 100, 0);
        for (number, (is_record, key, behind, gap, kind)) in (1..).zip(steps.into_iter().chain([end])) {
            now += gap;
            if kind == 0 {
                watermark = watermark.max(now - 5);
                while operator.watermark(watermark, &mut ctx, &mut given) == Flow::More {}
                let reached = waiting.extract_if(.., |record| record.0 <= watermark);
                expected.extend(reached.map(|record| (record.1, valid(&versions, record))));
                let kept = (0..3).filter_map(|key| operator.state.keys.find(&key)).flat_map(|known| &known.versions);
                prop_assert!(kept.filter(|(since, _)| *since <= watermark).count() <= 3);
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
        prop_assert!(operator.state.alarms.is_empty());
    }
}
