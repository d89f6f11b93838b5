//! For tests of a user's own: a whole job in one line.
//!
//! A single operator is tested with less around it by
//! [`slotflow_runtime::testing`](crate::runtime::testing).

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
