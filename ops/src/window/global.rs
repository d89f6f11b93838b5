//! Global windows: all records of a key, for as long as there are any.

use slotflow_runtime::{Result, Time};

use super::Windows;

/// One window for all records of a key, which never ends: Flink's `GlobalWindows`.
///
/// Nothing but a [`Trigger`](super::Trigger) says when it fires, so it demands one. It keeps what it has until that
/// trigger purges it; one that never does keeps the last value of each key for good. The stream needs no event
/// time. Its results have the latest event time of the records that it has had, and `MIN_TIMESTAMP` and
/// `MAX_TIMESTAMP` as edges.
///
/// ```
/// # use slotflow::{prelude::*, testing::collect};
/// let sums = collect(1..=7, |numbers| {
///     let pairs = numbers.key_by(|n| n % 2).window(Global).trigger(PurgingTrigger::of(CountTrigger::of(2)));
///     pairs.reduce(|a, b| a + b).map(|window| window.value)
/// })?;
/// assert_eq!(sums, [4, 6, 12]);
/// # Ok::<(), Error>(())
/// ```
///
/// Without a trigger it does not compile:
///
/// ```compile_fail
/// # use slotflow::prelude::*;
/// # let (env, sums) = (Environment::with(Config::default()), Collected::new());
/// let numbers = env.source(from_iterator([1, 2])).key_by(|n| n % 2);
/// numbers.window(Global).reduce(|a, b| a + b).sink(sums.sink());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Global;

impl<M: Time> Windows<M> for Global {
    fn check(&self) -> Result<()> {
        Ok(())
    }
}
