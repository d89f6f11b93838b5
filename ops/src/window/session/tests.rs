//! Tests of sessions, by marbles and against a naive model.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use proptest::prelude::*;
use slotflow_runtime::testing::check;
use slotflow_runtime::{MAX_TIMESTAMP, Routed};

use super::super::tests::{Pair, Selector, Step, Sum, built, drive, ms, selector, steps};
use super::super::{Aside, Dropped, WindowResult};
use super::*;
use crate::Aggregate;
use crate::keyed::Assigner;

fn sessions<L>(gap: u64, lateness_ms: Timestamp, late: L) -> WindowPlan<Session, Selector, Sum, L> {
    let (selector, windows) = (selector(), Session::with_gap(ms(gap)));
    WindowPlan { selector, assigner: Assigner::Hash, windows, lateness_ms, aggregate: Sum, late }
}

#[test]
fn a_session_ends_when_nothing_came_for_a_gap() {
    let plan = sessions(5, 0, Dropped::default());
    let fired = "|6 a:3[0,8)@7 |7 b:7[6,11)@10 |10 |11 a:4[20,25)@24 |24";
    check(plan, "a:1@0 a:2@3 b:7@6 a:4@20 |6 |7 |10 |11 |24", fired);
}

#[test]
fn a_record_between_two_sessions_makes_them_one() {
    let plan = sessions(5, 0, Dropped::default());
    check(plan, "a:1@0 a:2@9 a:4@5 |30", "a:7[0,14)@13 |30");
}

#[test]
fn a_late_record_that_reaches_into_an_open_session_is_not_late() {
    let plan = sessions(5, 0, Dropped::default());
    check(plan, "a:1@0 a:2@10 |6 a:4@6 a:8@0 |30", "a:1[0,5)@4 |6 a:6[6,15)@14 |30");
}

#[test]
fn a_session_that_may_be_late_fires_again() {
    let plan = sessions(5, 5, Dropped::default());
    let fired = "a:1[0,5)@4 |6 a:3[0,7)@6 a:11[0,9)@8 |9 |30";
    check(plan, "a:1@0 |6 a:2@2 a:8@4 |9 |30", fired);
}

#[test]
fn a_record_in_front_of_an_open_session_moves_its_start() {
    let plan = sessions(5, 0, Dropped::default());
    check(plan, "a:1@20 a:2@9 a:4@5 a:8@16 |30", "a:6[5,14)@13 a:9[16,25)@24 |30");
}

/// Sums, and counts how often it merges.
#[derive(Clone, Default)]
struct Merges(Arc<AtomicUsize>);

impl Aggregate<Pair> for Merges {
    type Acc = u64;
    type Out = u64;
    fn create(&self) -> u64 {
        0
    }
    fn add(&self, sum: &mut u64, (_, n): Pair) {
        *sum += n;
    }
    fn result(&self, sum: &u64) -> u64 {
        *sum
    }
}

impl Merge<Pair> for Merges {
    fn merge(&self, into: &mut u64, other: &u64) {
        self.0.fetch_add(1, Relaxed);
        *into += other;
    }
}

#[test]
fn a_record_costs_no_merge_however_many_sessions_its_key_has() {
    let (selector, windows, aggregate) = (selector(), Session::with_gap(ms(10)), Merges::default());
    let (assigner, merges, late) = (Assigner::Hash, aggregate.0.clone(), Aside);
    let mut operator = built(WindowPlan { selector, assigner, windows, lateness_ms: 0, aggregate, late });
    let places = (0..50).map(|n| n % 10);
    let records = places.flat_map(|place| [5, 9, 2].map(|at| Step::Record('a', 1, place * 100 + at)));
    let (mut values, end) = (Vec::new(), Step::Watermark(MAX_TIMESTAMP));
    drive(&mut operator, records.chain([end]), |routed, _| values.push(routed));
    assert!(values.len() == 10 && values.iter().all(|it| matches!(it, Routed::Main(it) if it.value == 15)));
    assert_eq!(merges.load(Relaxed), 0);
}

#[test]
fn a_gap_of_nothing_is_refused_with_the_remedy() {
    let refused = Session::with_gap(Duration::ZERO).check().unwrap_err().to_string();
    assert!(refused.contains("the gap must be a millisecond or more"), "{refused}");
}

#[test]
fn the_ends_of_time_are_in_sessions() {
    let steps = [Timestamp::MIN, 0, Timestamp::MAX].map(|time| Step::Record('a', 1, time));
    let (mut values, end) = (Vec::new(), Step::Watermark(MAX_TIMESTAMP));
    drive(&mut built(sessions(5, 0, Dropped::default())), steps.into_iter().chain([end]), |result, _| {
        values.push(result.value);
    });
    assert_eq!(values, [1, 1, 1]);
}

/// Sessions of all records in order of time.
pub(in super::super) fn model(gap: impl Fn(u64) -> i64, steps: &[Step]) -> BTreeMap<(char, i64, i64), u64> {
    let mut records: Vec<_> = steps
        .iter()
        .filter_map(|step| match *step {
            Step::Record(key, n, time) => Some((key, time, n)),
            Step::Watermark(_) => None,
        })
        .collect();
    records.sort_unstable();
    let mut sessions: Vec<(char, i64, i64, u64)> = Vec::new();
    for (key, time, n) in records {
        match sessions.last_mut() {
            Some(last) if last.0 == key && time <= last.2 => {
                (last.2, last.3) = (last.2.max(time + gap(n)), last.3 + n);
            }
            _ => sessions.push((key, time, time + gap(n), n)),
        }
    }
    sessions.into_iter().map(|(key, start, end, sum)| ((key, start, end), sum)).collect()
}

/// The sessions that have fired last, if nothing is late.
pub(in super::super) fn last(
    operator: &mut impl Operator<Owned<Pair>, Out = Owned<Routed<WindowResult<char, u64>, Pair>>>,
    steps: &[Step],
) -> BTreeMap<(char, i64, i64), u64> {
    let mut results = BTreeMap::new();
    drive(operator, steps.to_vec(), |routed, time| match routed {
        Routed::Main(WindowResult { key, start, end, value }) => {
            // A session that has fired too early is part of the one that fires for it.
            results.retain(|(known, first, last), _| *known != key || *last < start || end < *first);
            results.insert((key, start, end), value);
            assert_eq!(time, end - 1);
        }
        Routed::Side((_, n)) => panic!("{n} was not late"),
    });
    results
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// With time enough for all that is late, what has fired last are the sessions of all records, whatever
    /// their order.
    #[test]
    fn sessions_are_those_of_the_naive_model(gap in 1..8i64, steps in steps()) {
        let results = last(&mut built(sessions(gap as u64, 1000, Aside)), &steps);
        prop_assert_eq!(results, model(|_| gap, &steps));
    }

    /// Each record is in one session or late, and late only if its own session would be over.
    #[test]
    fn no_record_is_lost_between_sessions(gap in 1..8i64, steps in steps()) {
        let (mut fired, mut late) = (0, Vec::new());
        drive(&mut built(sessions(gap as u64, 0, Aside)), steps.clone(), |routed, _| match routed {
            Routed::Main(result) => fired += result.value,
            Routed::Side((_, n)) => late.push(n),
        });
        let (mut watermark, mut sum, mut may_be_late) = (Timestamp::MIN, 0, Vec::new());
        for step in &steps {
            match *step {
                Step::Watermark(at) => watermark = at,
                Step::Record(_, n, time) => {
                    sum += n;
                    may_be_late.extend((time + gap - 1 <= watermark).then_some(n));
                }
            }
        }
        prop_assert_eq!(fired + late.iter().sum::<u64>(), sum);
        prop_assert!(late.iter().all(|n| may_be_late.contains(n)));
    }
}
