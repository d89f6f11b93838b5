//! For tests of a user's own: a whole job in one line, and one operator on a leash.
//!
//! [`collect`] runs a real job. A [`Harness`] holds one operator, with a watermark and a clock that the test moves;
//! [`process`](self::process()) and [`keyed_process`] describe it for a process function:
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
//! An operator of the engine's own kind is checked with lines of marbles by
//! [`slotflow_runtime::testing`](crate::runtime::testing).

pub use slotflow_ops::{aggregate_windows, keyed_process, process};
pub use slotflow_runtime::testing::{CountingAllocator, Harness, allocations, assert_no_alloc};

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
    let env = Environment::with(Config::default());
    let collected = Collected::new();
    describe(env.source(from_iterator(records))).sink(collected.sink());
    env.run("test")?;
    Ok(collected.take())
}
