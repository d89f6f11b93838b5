//! A snapshot has what was there when it began, whatever happens while it is taken.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use slotflow_runtime::testing::{Harness, subtask};
use slotflow_runtime::{MAX_TIMESTAMP, SubtaskContext};

use super::*;
use crate::{
    KeyedProcessFunction, ListState, ProcessContext, StateBackend, StateDescriptor, StateDescriptors, Timer,
    Ttl, ValueState, keyed_process,
};

/// What a record does to the state of its key.
#[derive(Clone, Copy, Debug)]
enum Do {
    Set(u64),
    Add(u64),
    SetBrief(u64),
    Clear,
    Register(i64),
    Delete(i64),
    /// Gives everything that the key has.
    Tell,
}

/// What a key has, or which of its timers has fired.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    Has(u64, Option<u64>, Vec<u64>, Option<u64>),
    Fired(u64, i64),
}

struct Keeps {
    value: ValueState<u64>,
    list: ListState<u64>,
    brief: ValueState<u64>,
}

impl Keeps {
    fn open(states: &mut StateDescriptors<'_>) -> Keeps {
        let brief = StateDescriptor::new("brief").ttl(Ttl::event_time(Duration::from_millis(5)));
        Keeps { value: states.value("value"), list: states.list("list"), brief: states.value(brief) }
    }
}

impl KeyedProcessFunction<u64, (u64, Do)> for Keeps {
    type Out = Told;

    fn process(&mut self, (key, what): (u64, Do), ctx: &mut ProcessContext<'_, u64, Told>) {
        match what {
            Do::Set(n) => drop(self.value.set(ctx, n)),
            Do::Add(n) => self.list.add(ctx, n),
            Do::SetBrief(n) => drop(self.brief.set(ctx, n)),
            Do::Clear => drop((self.value.clear(ctx), self.list.take(ctx))),
            Do::Register(time) => drop(ctx.register_event_time_timer(time)),
            Do::Delete(time) => drop(ctx.delete_event_time_timer(time)),
            Do::Tell => {
                let (value, list) = (self.value.value(ctx).copied(), self.list.values(ctx).to_vec());
                let told = Told::Has(key, value, list, self.brief.value(ctx).copied());
                ctx.push(told);
            }
        }
    }

    /// Changes what is there, and waits again now and then.
    fn on_timer(&mut self, timer: Timer, ctx: &mut ProcessContext<'_, u64, Told>) {
        let fired = Told::Fired(*ctx.key(), timer.time);
        ctx.push(fired);
        self.list.add(ctx, 1_000);
        if timer.time % 3 == 0 {
            ctx.register_event_time_timer(timer.time + 7);
            ctx.register_processing_time_timer(timer.time);
        }
    }
}

macro_rules! keeps {
    () => {
        Harness::new(keyed_process(|record: &(u64, Do)| record.0, Keeps::open)).unwrap()
    };
}

/// What a restored operator tells of its keys, and then of its timers.
fn told(groups: &BTreeMap<usize, Vec<u8>>, keys: u64) -> Vec<Told> {
    let mut harness = keeps!();
    for (group, bytes) in groups {
        harness.operator().state().restore(*group, bytes).unwrap();
    }
    (0..keys).for_each(|key| harness.push_at((key, Do::Tell), -1_000).unwrap());
    harness.watermark(MAX_TIMESTAMP - 1).unwrap();
    let mut told = harness.take();
    told.sort();
    told
}

/// All groups as they are now.
fn at_once(state: &impl StateBackend) -> BTreeMap<usize, Vec<u8>> {
    let group = |group| {
        let mut bytes = Vec::new();
        state.snapshot(group, &mut bytes).unwrap();
        (group, bytes)
    };
    (0..subtask().max_parallelism).map(group).collect()
}

/// One piece of the snapshot; `false` when it is over.
fn piece(state: &mut impl StateBackend, groups: &mut BTreeMap<usize, Vec<u8>>) -> bool {
    match state.continue_snapshot().unwrap() {
        Stored::More => true,
        Stored::Group(group, bytes) => groups.insert(group, bytes).is_none() || panic!("{group} came twice"),
        Stored::Done => false,
    }
}

fn step() -> impl Strategy<Value = (u64, Do, i64)> {
    let what = prop_oneof![
        (0..100u64).prop_map(Do::Set),
        (0..100u64).prop_map(Do::Add),
        (0..100u64).prop_map(Do::SetBrief),
        Just(Do::Clear),
        (0..60i64).prop_map(Do::Register),
        (0..60i64).prop_map(Do::Delete),
    ];
    (0..40u64, what, -20..60i64)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_has_what_was_there_when_it_began(
        before in prop::collection::vec(step(), 0..150),
        during in prop::collection::vec((step(), any::<bool>()), 0..150),
    ) {
        let mut harness = keeps!();
        let mut watermark = -20;
        let mut act = |harness: &mut Harness<(u64, Do), Told, _>, (key, what, time): (u64, Do, i64)| {
            // Some of them move time on, so that timers fire and what is brief is cleaned up.
            if time > watermark && key % 5 == 0 {
                watermark = time;
                harness.watermark(time).unwrap();
            }
            harness.push_at((key, what), time).unwrap();
        };
        before.into_iter().for_each(|step| act(&mut harness, step));
        let expected = told(&at_once(harness.operator().state()), 40);
        harness.operator().state().begin_snapshot().unwrap();
        let mut groups = BTreeMap::new();
        for (step, goes_on) in during {
            act(&mut harness, step);
            if goes_on {
                piece(harness.operator().state(), &mut groups);
            }
        }
        while piece(harness.operator().state(), &mut groups) {}
        prop_assert_eq!(told(&groups, 40), expected);
    }
}

/// So many keys have their own number as a value, and a timer each.
macro_rules! filled {
    ($keys:expr) => {{
        let mut harness = keeps!();
        for key in 0..$keys {
            harness.push_at((key, Do::Set(key)), 0).unwrap();
            harness.push_at((key, Do::Register(5)), 0).unwrap();
        }
        harness
    }};
}

#[test]
fn it_is_complete_although_segments_split_while_it_is_taken() {
    let (mut harness, mut groups, keys) = (filled!(4_000), BTreeMap::new(), 4_000);
    harness.operator().state().begin_snapshot().unwrap();
    let mut new = keys..40_000;
    while piece(harness.operator().state(), &mut groups) {
        new.by_ref().take(50).for_each(|key| harness.push_at((key, Do::Set(key)), 0).unwrap());
    }
    let told = told(&groups, 40_000);
    assert_eq!(told.iter().filter(|it| matches!(it, Told::Has(_, Some(_), ..))).count(), 4_000);
    assert_eq!(told.iter().filter(|it| matches!(it, Told::Fired(_, 5))).count(), 4_000);
}

#[test]
fn there_is_one_at_a_time_and_what_it_holds_counts_as_state() {
    let mut harness = filled!(2_000);
    let state = harness.operator().state();
    let before = state.size();
    state.begin_snapshot().unwrap();
    assert!(state.begin_snapshot().unwrap_err().to_string().contains("abandon that one"));
    (0..200).for_each(|_| assert_eq!(state.continue_snapshot().unwrap(), Stored::More));
    assert!(state.size().bytes > before.bytes + 200 * 8 && state.size().keys == before.keys);
    state.abandon_snapshot();
    assert_eq!((state.size(), state.continue_snapshot().unwrap()), (before, Stored::Done));
    state.begin_snapshot().unwrap();
}

/// What is told by subtasks, restored at this parallelism, of a value and a timer for each of 200 keys that were stored
/// at another one, while they changed; and how many keys each of them has. Partition `n` is read by subtask
/// `n % parallelism`, as sources spread them, and each key is in one partition.
fn told_at_another_parallelism(partitions: u64, from: usize, to: usize) -> (Vec<Told>, Vec<usize>) {
    let plan = keyed_process(|record: &(u64, Do)| record.0, Keeps::open).by_source_partition();
    let made = |parallelism| -> Vec<_> {
        let place = |index| SubtaskContext { index, parallelism, ..subtask() };
        (0..parallelism).map(|index| Harness::at(plan.clone(), place(index)).unwrap()).collect()
    };
    let (mut stored, mut restored) = (made(from), made(to));
    let all = |subtasks: &mut Vec<Harness<_, _, _>>, what: &dyn Fn(u64) -> Do| {
        for key in 0..200 {
            let partition = key % partitions;
            let subtask = partition as usize % subtasks.len();
            subtasks[subtask].push_from(partition as u32, (key, what(key)), 0).unwrap();
        }
    };
    all(&mut stored, &Do::Set);
    all(&mut stored, &|_| Do::Register(5));
    stored.iter_mut().for_each(|it| it.operator().state().begin_snapshot().unwrap());
    let mut groups = BTreeMap::new();
    for round in 0.. {
        let mut goes_on = false;
        stored.iter_mut().for_each(|it| goes_on |= piece(it.operator().state(), &mut groups));
        match round {
            3 => all(&mut stored, &|key| Do::Set(key + 1_000)),
            6 => all(&mut stored, &|_| Do::Delete(5)),
            _ if !goes_on => break,
            _ => {}
        }
    }
    for (group, bytes) in groups {
        restored[group % to].operator().state().restore(group, &bytes).unwrap();
    }
    all(&mut restored, &|_| Do::Tell);
    restored.iter_mut().for_each(|it| it.watermark(5).unwrap());
    let mut told: Vec<_> = restored.iter_mut().flat_map(Harness::take).collect();
    told.sort();
    (told, restored.iter_mut().map(|it| it.operator().state().size().keys).collect())
}

#[test]
fn state_by_source_partition_goes_to_whoever_reads_the_partition_at_any_parallelism() {
    let has = |key| Told::Has(key, Some(key), Vec::new(), None);
    let expected: Vec<_> = (0..200).map(has).chain((0..200).map(|key| Told::Fired(key, 5))).collect();
    // More partitions than the 16 key groups share some, which meet where the parallelism divides that number.
    for (partitions, from, to, keys) in [
        (1, 1, 1, vec![200]),
        (12, 1, 3, vec![67, 67, 66]),
        (12, 3, 2, vec![100, 100]),
        (20, 2, 4, vec![50; 4]),
    ] {
        let (told, sizes) = told_at_another_parallelism(partitions, from, to);
        assert_eq!(sizes, keys, "{partitions} partitions, from {from} to {to}");
        assert!(told == expected, "{partitions} partitions, from {from} to {to}: {told:?}");
    }
}

#[test]
fn a_group_by_source_partition_that_several_subtasks_have_is_neither_stored_nor_restored() {
    let plan = keyed_process(|record: &(u64, Do)| record.0, Keeps::open).by_source_partition();
    let second = SubtaskContext { index: 1, parallelism: 3, ..subtask() };
    let mut harness = Harness::at(plan.clone(), second.clone()).unwrap();
    harness.push_from(1, (1, Do::Set(1)), 0).unwrap();
    let mut own = Vec::new();
    harness.operator().state().snapshot(1, &mut own).unwrap();
    // Of 16 groups partition 16 shares the first one with partition 0, which is another subtask's.
    harness.push_from(16, (2, Do::Set(2)), 0).unwrap();
    let told = "key group 0 by source partition belongs to subtask 0 of 3, and not to subtask 1; where there are more \
                partitions than key groups, give a `max_parallelism` that the parallelism divides";
    let state = harness.operator().state();
    let refused = |said: Error| assert!(said.to_string().starts_with(told), "{said}");
    refused(state.snapshot(0, &mut Vec::new()).unwrap_err());
    state.begin_snapshot().unwrap();
    let mut stored = Ok(Stored::More);
    while matches!(stored, Ok(Stored::More)) {
        stored = state.continue_snapshot();
    }
    refused(stored.unwrap_err());
    assert_eq!(state.continue_snapshot().unwrap(), Stored::Done, "it is abandoned");
    refused(Harness::at(plan, second).unwrap().operator().state().restore(0, &own).unwrap_err());
}

#[test]
fn what_was_stored_without_a_time_to_live_begins_one_when_it_is_looked_at() {
    let open = |states: &mut StateDescriptors<'_>| Keeps {
        value: states.value("value"),
        list: states.list("list"),
        brief: states.value("brief"),
    };
    let mut before = Harness::new(keyed_process(|record: &(u64, Do)| record.0, open)).unwrap();
    before.push_at((1, Do::SetBrief(7)), 0).unwrap();
    let mut after = keeps!();
    for (group, bytes) in at_once(before.operator().state()) {
        after.operator().state().restore(group, &bytes).unwrap();
    }
    [1_000, 1_004, 1_005].into_iter().for_each(|time| after.push_at((1, Do::Tell), time).unwrap());
    let brief: Vec<_> = after
        .take()
        .into_iter()
        .map(|told| match told {
            Told::Has(_, _, _, brief) => brief,
            Told::Fired(..) => None,
        })
        .collect();
    assert_eq!(brief, [Some(7), Some(7), None]);
}
