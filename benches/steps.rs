//! How long is a step, and how many instructions has it, while state grows to many keys, while a window of as many
//! fills, closes and fires, and while panes that were columns become tables? Beside steps that do a fixed amount of
//! nothing, whose times are the machine's.
//!
//!   cargo bench --bench steps                     times, of a million keys
//!   cargo bench --bench steps -- sliding 100000   of one case and so many keys
//!   scripts/steps                                 instructions
//!
//! No criterion: a step that is long once is what is looked for.

#[path = "common/histogram.rs"]
mod histogram;

use std::hint::black_box;
use std::ops::Range;
use std::time::Duration;

use histogram::Steps;
use slotflow::prelude::*;
use slotflow::runtime::testing::subtask;
use slotflow::runtime::{Arena, Blame, Build, Flow, Timestamp};
use slotflow::testing::{aggregate_windows, keyed_process};
use slotflow::{Aggregate, Merge, StateDescriptors, ValueState};

/// Records of a step: what one may always take in.
const STEP: u64 = 1024;

/// Keys of which every pane is a column, and one is too many.
const MOST_IN_COLUMNS: u64 = 4_096;

/// A step. Named and never inlined, because scripts/steps has to find where each begins and ends.
#[inline(never)]
fn one_step(step: &mut dyn FnMut() -> Flow) -> Flow {
    black_box(step())
}

/// An operator that is stepped by hand.
struct ByHand<O> {
    operator: O,
    steps: Steps,
}

/// Takes what nobody wants.
struct Nowhere;

impl<T: 'static> Output<Owned<T>> for Nowhere {
    fn push<'s>(&mut self, record: T, _: &mut Context<'s>) {
        black_box(record);
    }
}

impl<U: 'static, O: Operator<Owned<u64>, Out = Owned<U>>> ByHand<O> {
    fn new(build: impl Build<Owned<u64>, Out = Owned<U>, Operator = O>) -> Result<Self> {
        Ok(ByHand { operator: build.build(&subtask())?, steps: Steps::default() })
    }

    /// Steps until all is done.
    fn run(&mut self, mut step: impl FnMut(&mut O, &mut Context<'_>) -> Flow) {
        let (arena, blame, place) = (Arena::new(), Blame::default(), subtask());
        let mut flow = Flow::More;
        while flow != Flow::Done {
            let mut ctx = Context::new(&arena, &place, &blame, 1);
            self.steps.time(|| flow = one_step(&mut || step(&mut self.operator, &mut ctx)));
        }
    }

    /// Hands over a record of each of so many keys, at this time; as a subtask does, which calls an operator that is
    /// due before it takes more in.
    fn fill(&mut self, keys: u64, time: Timestamp) {
        self.fill_with(0..keys, time, key);
    }

    fn fill_with(&mut self, keys: Range<u64>, time: Timestamp, key: fn(u64) -> u64) {
        for first in keys.clone().step_by(STEP as usize) {
            self.run(|operator, ctx| {
                ctx.set_timestamp(time);
                (first..keys.end.min(first + STEP)).for_each(|n| operator.process(key(n), ctx, &mut Nowhere));
                Flow::Done
            });
            while self.operator.due_ns() == 0 {
                self.run(|operator, ctx| operator.tick(ctx, &mut Nowhere));
            }
        }
    }

    fn watermark(&mut self, time: Timestamp) {
        self.run(|operator, ctx| operator.watermark(time, ctx, &mut Nowhere));
    }
}

/// Key `n`, as good as random: a bijection, so no key comes twice (Steele, Lea, Flood: splitmix64).
fn key(n: u64) -> u64 {
    let mixed = n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// Counts the records of each key, as state.
struct Count(ValueState<u64>);

impl KeyedProcessFunction<u64, u64> for Count {
    type Out = u64;
    fn process(&mut self, _: u64, ctx: &mut ProcessContext<'_, u64, u64>) {
        *self.0.value_or_default(ctx) += 1;
    }
}

/// Counts the records of a window.
#[derive(Clone)]
struct Counted;

impl Aggregate<u64> for Counted {
    type Acc = u64;
    type Out = u64;
    fn create(&self) -> u64 {
        0
    }
    fn add(&self, count: &mut u64, _: u64) {
        *count += 1;
    }
    fn result(&self, count: &u64) -> u64 {
        *count
    }
}

impl Merge<u64> for Counted {
    fn merge(&self, into: &mut u64, other: &u64) {
        *into += other;
    }
}

fn ms(length: i64) -> Duration {
    Duration::from_millis(length as u64)
}

/// Nothing but a loop, of as many instructions as a step has that changes state.
fn nothing(keys: u64) -> Result<Steps> {
    let mut steps = Steps::default();
    for first in (0..keys).step_by(STEP as usize) {
        let mut work = || {
            for n in first..first + 64 * STEP {
                black_box(n);
            }
            Flow::Done
        };
        steps.time(|| {
            let _done = one_step(&mut work);
        });
    }
    Ok(steps)
}

fn state(keys: u64) -> Result<Steps> {
    let open = |states: &mut StateDescriptors<'_>| Count(states.value("count"));
    let mut counts = ByHand::new(keyed_process(|key: &u64| *key, open))?;
    counts.fill(keys, 0);
    Ok(counts.steps)
}

/// Keys in sequence, whose hashes are so even that all segments of the state split at the same time.
fn sequence(keys: u64) -> Result<Steps> {
    let open = |states: &mut StateDescriptors<'_>| Count(states.value("count"));
    let mut counts = ByHand::new(keyed_process(|key: &u64| *key, open))?;
    counts.fill_with(0..keys, 0, |n| n);
    Ok(counts.steps)
}

/// Windows of so many panes of 10 ms.
fn windows(panes: i64) -> Result<ByHand<impl Operator<Owned<u64>, Out = Owned<impl Sized + 'static>>>> {
    ByHand::new(aggregate_windows(|key: &u64| *key, Sliding::of(ms(10 * panes), ms(10)), Counted))
}

/// Two windows one after the other, so that tables are used again.
fn tumbling(keys: u64) -> Result<Steps> {
    let mut windows = windows(1)?;
    for pane in 0..2 {
        windows.fill(keys, 10 * pane);
        windows.watermark(10 * pane + 9);
    }
    Ok(windows.steps)
}

fn sliding(keys: u64) -> Result<Steps> {
    let mut windows = windows(4)?;
    for pane in 0..4 {
        windows.fill(keys, 10 * pane);
        windows.watermark(10 * pane + 9);
    }
    windows.watermark(100);
    Ok(windows.steps)
}

/// As many panes as columns may have, closed and open, and then a key too many.
fn columns(keys: u64) -> Result<Steps> {
    let mut windows = windows(128)?;
    for pane in 0..160 {
        windows.fill(keys.min(MOST_IN_COLUMNS), 10 * pane);
        windows.watermark(10 * (pane - 32) + 9);
    }
    windows.fill(keys.min(MOST_IN_COLUMNS) + 1, 1_600);
    windows.watermark(1_609);
    Ok(windows.steps)
}

/// Keys that come and go, few at any time, in sliding windows and in tumbling ones: numbers are given to others.
fn drifting(keys: u64) -> Result<Steps> {
    let mut steps = Steps::default();
    for panes in [1, 16, 100] {
        let mut windows = ByHand { steps, ..windows(panes)? };
        for pane in 0..keys.min(100_000) as i64 / 1_000 {
            let first = 1_000 * pane as u64 / panes as u64;
            windows.fill_with(first..first + 1_000, 10 * pane, key);
            windows.watermark(10 * pane + 9);
        }
        steps = windows.steps;
    }
    Ok(steps)
}

type Case = (&'static str, fn(u64) -> Result<Steps>);

const CASES: [Case; 7] = [
    ("nothing", nothing),
    ("state", state),
    ("sequence", sequence),
    ("tumbling", tumbling),
    ("sliding", sliding),
    ("columns", columns),
    ("drifting", drifting),
];

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let is_test = words.iter().any(|word| word == "--test");
    let number = words.iter().find_map(|word| word.parse().ok());
    let keys = number.unwrap_or(if is_test { 10_000 } else { 1_000_000 });
    let named = |name: &str| words.iter().any(|word| word == name);
    let any = CASES.iter().any(|(name, _)| named(name));
    for (name, case) in CASES.iter().filter(|(name, _)| !any || named(name)) {
        case(keys)?.show(name);
    }
    Ok(())
}
