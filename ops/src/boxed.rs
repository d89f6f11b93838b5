//! Forgets a stream's type, for jobs that are put together while the program runs.

use slotflow_runtime::pipe::Pipe;
use slotflow_runtime::{Owned, Untimed, boxed};

use crate::Stream;

/// A stream of records of type `T`, whatever is in front: what [`Stream::boxed`] gives for records that own
/// what they hold. It can be named: in a variable, a `Vec`, a function's signature.
///
/// ```
/// # use slotflow::{prelude::*, testing::collect};
/// fn checked<'env>(numbers: BoxedStream<'env, u64>, strict: bool) -> BoxedStream<'env, u64> {
///     if strict { numbers.filter(|n| n % 2 == 0).boxed() } else { numbers }
/// }
/// assert_eq!(collect(1..5, |numbers| checked(numbers.boxed(), true))?, [2, 4]);
/// assert_eq!(collect(1..5, |numbers| checked(numbers.boxed(), false))?, [1, 2, 3, 4]);
/// # Ok::<(), Error>(())
/// ```
pub type BoxedStream<'env, T, M = Untimed> = Stream<'env, boxed::Boxed<Owned<T>, M>>;

impl<'env, P: Pipe> Stream<'env, P> {
    /// Forgets all of the stream's type but its records, so that streams of different operators have one:
    /// jobs can then be put together from a configuration, in loops, by functions.
    ///
    /// It is no operator and no edge: operators on both sides stay in one chain and partitioners count as
    /// without it. Where it is in a chain, each record costs one call through a pointer,
    /// and the compiler optimises what is in front and what is behind apart. A long pipeline compiles
    /// faster with one. `explain` shows where it is.
    ///
    /// [`parallelism`](Stream::parallelism), [`slot_sharing_group`](Stream::slot_sharing_group) and
    /// chaining of the operator in front are said before it, since they compile a cut there. A branch
    /// of [`tee_with`](Stream::tee_with) cannot have one.
    ///
    /// ```
    /// # use slotflow::{prelude::*, testing::collect};
    /// let steps = ["double", "increment", "double"];
    /// let numbers = collect([1, 2], |numbers| {
    ///     steps.iter().fold(numbers.boxed(), |numbers, step| match *step {
    ///         "double" => numbers.map(|n| n * 2).boxed(),
    ///         _ => numbers.map(|n| n + 1).boxed(),
    ///     })
    /// })?;
    /// assert_eq!(numbers, [6, 10]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn boxed(self) -> Stream<'env, boxed::Boxed<P::Out, P::Time>> {
        let Stream { env, last, open_edge, pipe } = self;
        env.graph(|graph| graph.operator_mut(last).boxed = true);
        Stream { env, last, open_edge, pipe: boxed::Boxed::new(pipe) }
    }
}
