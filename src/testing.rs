//! For tests of a user's own: a whole job in one line, and one operator on a leash.
//!
//! [`collect`] runs a real job. A [`Harness`] holds one operator, with a watermark and a clock that the test moves;
//! [`process`](self::process()), [`keyed_process`], [`co_process`] and [`broadcast_process`] describe it for a process
//! function, and [`aggregate_windows`] for an aggregate:
//!
//! ```
//! use slotflow::prelude::*;
//! use slotflow::testing::{Harness, keyed_process};
//! use slotflow::{Timer, ValueState};
//!
//! /// Gives the last reading of a sensor that has been silent for 10 ms.
//! struct Silent {
//!     last: ValueState<(u32, i64)>,
//! }
//!
//! impl KeyedProcessFunction<char, (char, u32)> for Silent {
//!     type Out = u32;
//!     fn process(&mut self, (_, reading): (char, u32), ctx: &mut ProcessContext<'_, char, u32>) {
//!         let due = ctx.timestamp() + 10;
//!         if let Some((_, due)) = self.last.set(ctx, (reading, due)) {
//!             ctx.delete_event_time_timer(due);
//!         }
//!         ctx.register_event_time_timer(due);
//!     }
//!     fn on_timer(&mut self, _: Timer, ctx: &mut ProcessContext<'_, char, u32>) {
//!         if let Some((reading, _)) = self.last.clear(ctx) {
//!             ctx.push(reading);
//!         }
//!     }
//! }
//!
//! let open = |states: &mut StateDescriptors<'_>| Silent { last: states.value("last") };
//! let mut harness = Harness::new(keyed_process(|it: &(char, u32)| it.0, open))?;
//! harness.push_at(('a', 1), 5)?;
//! harness.push_at(('a', 2), 9)?;
//! harness.push_at(('b', 3), 6)?;
//! harness.watermark(18)?;
//! assert_eq!(harness.take_timed(), [(3, 16)]);
//! harness.watermark(19)?;
//! assert_eq!(harness.take(), [2]);
//! # Ok::<(), Error>(())
//! ```
//!
//! Where nothing may be allocated once it is warm, a test counts, of what it does itself or from within an operator:
//!
//! ```
//! use slotflow::prelude::*;
//! use slotflow::testing::{CountingAllocator, Harness, assert_no_alloc, keyed_process};
//! use slotflow::ValueState;
//!
//! #[global_allocator]
//! static ALLOCATOR: CountingAllocator = CountingAllocator;
//!
//! struct Count(ValueState<u32>);
//!
//! impl KeyedProcessFunction<char, char> for Count {
//!     type Out = ();
//!     fn process(&mut self, _: char, ctx: &mut ProcessContext<'_, char, ()>) {
//!         *self.0.value_or_default(ctx) += 1;
//!     }
//! }
//!
//! let open = |states: &mut StateDescriptors<'_>| Count(states.value("count"));
//! let mut harness = Harness::new(keyed_process(|it: &char| *it, open))?;
//! harness.push('a')?;
//! assert_no_alloc(|| harness.push('a'))?;
//! # Ok::<(), Error>(())
//! ```
//!
//! An [`Operator`](crate::Operator) of one's own is checked with lines of marbles, a [`Marble`] a record, and in a job
//! with a [`WatermarkChecker`] behind it:
//!
//! ```
//! use slotflow::prelude::*;
//! use slotflow::runtime::{Cloned, Flow};
//! use slotflow::testing::{WatermarkChecker, check, collect_simulated};
//!
//! /// Gives the sum of what has come when event time goes on.
//! #[derive(Clone, Default)]
//! struct Sum(u64);
//!
//! impl Operator<Owned<u64>> for Sum {
//!     type Out = Owned<u64>;
//!     fn process<'s>(&mut self, n: u64, _: &mut Context<'s>, _: &mut impl Output<Owned<u64>>) {
//!         self.0 += n;
//!     }
//!     fn watermark<'s>(&mut self, at: i64, ctx: &mut Context<'s>, out: &mut impl Output<Owned<u64>>) -> Flow {
//!         ctx.set_timestamp(at);
//!         out.push(std::mem::take(&mut self.0), ctx);
//!         Flow::Done
//!     }
//! }
//!
//! check(Cloned(Sum::default()), "1@1 2@2 |2 4@3 |9", "3@2 |2 4@9 |9");
//!
//! let sums = collect_simulated(7, 1..=10, |numbers| {
//!     let timed = numbers.with_timestamps(|n| *n as i64, Watermarks::monotonous());
//!     timed.then("sum", Cloned(Sum::default())).then("checker", Cloned(WatermarkChecker::default()))
//! })?;
//! assert_eq!(sums.iter().sum::<u64>(), 55);
//! # Ok::<(), Error>(())
//! ```
//!
//! A whole job runs on one thread with [`Environment::simulate`]: a seed replays a run exactly, and a [`Simulation`]
//! may drain, stop or abort it on the way.
//!
//! ```
//! use slotflow::prelude::*;
//! use slotflow::testing::Simulation;
//!
//! for seed in 0..20 {
//!     let env = Environment::with(Config::default()).parallelism(3);
//!     let counts = Collected::new();
//!     let numbers = env.source(generate(u64::MAX, |n| n)).key_by(|n| n % 5);
//!     numbers.fold_at_end(0u64, |count, _| *count += 1).sink(counts.sink());
//!     let report = env.simulate("counts", Simulation::seed(seed).drain_at(100))?;
//!     let counted: u64 = counts.take().into_iter().map(|(_, count)| count).sum();
//!     assert_eq!(counted, report.job.records);
//! }
//! # Ok::<(), Error>(())
//! ```

pub use slotflow_ops::{aggregate_windows, broadcast_process, co_process, keyed_process, process};
pub use slotflow_runtime::testing::simulation::{SimReport, Simulation};
pub use slotflow_runtime::testing::{
    CountingAllocator, Harness, Marble, WatermarkChecker, allocations, assert_no_alloc, check, subtask,
};

use slotflow_io::{Collected, FromIterator, from_iterator};
use slotflow_ops::{Environment, Stream};
use slotflow_runtime::pipe::{Begin, Pipe};
use slotflow_runtime::{Config, Owned, Result};

/// Runs `records` through the stream that `describe` makes of them, as a real job on one slot with
/// the default settings, and gives what comes out. Waits for the job's end.
///
/// ```
/// use slotflow::testing::collect;
///
/// assert_eq!(collect(1..4, |numbers| numbers.map(|n| n * n))?, [1, 4, 9]);
/// # Ok::<(), slotflow::Error>(())
/// ```
///
/// # Errors
/// Those of [`Environment::run`].
pub fn collect<I, P, T>(
    records: I,
    describe: impl for<'env> FnOnce(Stream<'env, Begin<FromIterator<I::IntoIter>>>) -> Stream<'env, P>,
) -> Result<Vec<T>>
where
    I: IntoIterator<Item: 'static>,
    I::IntoIter: Send + 'static,
    P: Pipe<Out = Owned<T>>,
    T: Send + 'static,
{
    collect_by(|env| env.run("test").map(drop), records, describe)
}

/// As [`collect`], on this thread: in an order, and with a clock, that are drawn from `seed`. A run with the same seed
/// is the same run. It cannot run what waits for other threads; see [`Environment::simulate`].
///
/// ```
/// use slotflow::testing::collect_simulated;
///
/// let squares = |seed| collect_simulated(seed, 1..4, |numbers| numbers.rebalance().map(|n| n * n));
/// assert_eq!(squares(7)?, [1, 4, 9]);
/// # Ok::<(), slotflow::Error>(())
/// ```
///
/// # Errors
/// Those of [`Environment::simulate`].
pub fn collect_simulated<I, P, T>(
    seed: u64,
    records: I,
    describe: impl for<'env> FnOnce(Stream<'env, Begin<FromIterator<I::IntoIter>>>) -> Stream<'env, P>,
) -> Result<Vec<T>>
where
    I: IntoIterator<Item: 'static>,
    I::IntoIter: Send + 'static,
    P: Pipe<Out = Owned<T>>,
    T: Send + 'static,
{
    collect_by(|env| env.simulate("test", seed).map(drop), records, describe)
}

/// Runs the job of [`collect`] as is said.
fn collect_by<I, P, T>(
    run: impl FnOnce(Environment) -> Result<()>,
    records: I,
    describe: impl for<'env> FnOnce(Stream<'env, Begin<FromIterator<I::IntoIter>>>) -> Stream<'env, P>,
) -> Result<Vec<T>>
where
    I: IntoIterator<Item: 'static>,
    I::IntoIter: Send + 'static,
    P: Pipe<Out = Owned<T>>,
    T: Send + 'static,
{
    let (env, collected) = (Environment::with(Config::default()), Collected::new());
    describe(env.source(from_iterator(records))).sink(collected.sink());
    run(env)?;
    Ok(collected.take())
}
