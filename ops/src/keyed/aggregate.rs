//! Aggregates the records of a key, record by record.

use slotflow_runtime::pipe::{Pipe, Then};
use slotflow_runtime::{Cloned, Owned};

use super::{KeySelector, KeyedStream, Rolling, RollingPlan};
use crate::Stream;

/// An aggregate whose running form differs from its result; the counterpart of Flink's
/// `AggregateFunction`.
///
/// ```
/// use slotflow::{Aggregate, prelude::*, testing::collect};
///
/// #[derive(Clone)]
/// struct Mean;
/// impl Aggregate<(char, f64)> for Mean {
///     type Acc = (f64, u32);
///     type Out = f64;
///     fn create(&self) -> (f64, u32) {
///         (0.0, 0)
///     }
///     fn add(&self, (sum, count): &mut (f64, u32), (_, value): (char, f64)) {
///         *sum += value;
///         *count += 1;
///     }
///     fn result(&self, (sum, count): &(f64, u32)) -> f64 {
///         sum / f64::from(*count)
///     }
/// }
///
/// let readings = [('a', 1.0), ('a', 2.0), ('b', 7.0)];
/// let means = collect(readings, |readings| readings.key_by(|reading| reading.0).aggregate(Mean))?;
/// assert_eq!(means, [1.0, 1.5, 7.0]);
/// # Ok::<(), Error>(())
/// ```
pub trait Aggregate<T>: 'static {
    /// What is kept for each key.
    type Acc: 'static;
    /// What is emitted.
    type Out: 'static;
    /// The accumulator of a new key.
    fn create(&self) -> Self::Acc;
    /// Adds one record.
    fn add(&self, acc: &mut Self::Acc, record: T);
    /// The result so far.
    fn result(&self, acc: &Self::Acc) -> Self::Out;
    /// What an accumulator owns on the heap, in bytes, so that windows count it as their state: asked before and after
    /// each change, so it has to be quick. The default, 0, is for those that own nothing there, and for those of which
    /// it is not known.
    #[inline(always)]
    fn heap_bytes(&self, _acc: &Self::Acc) -> usize {
        0
    }
}

impl<'env, T, P, S> KeyedStream<'env, P, S>
where
    T: Send + 'static,
    P: Pipe<Out = Owned<T>>,
    S: KeySelector<T>,
{
    /// Aggregates the records of each key and emits the result so far after every record; see
    /// [`Aggregate`] for an example.
    pub fn aggregate<A>(self, aggregate: A) -> Stream<'env, Then<P, RollingPlan<S, Cloned<Aggregated<A>>>>>
    where
        A: Aggregate<T> + Clone + Send,
    {
        self.rolling("aggregate", Cloned(Aggregated(aggregate)))
    }
}

/// See [`KeyedStream::aggregate`].
#[derive(Clone)]
pub struct Aggregated<A>(A);

impl<T, A: Aggregate<T>> Rolling<T> for Aggregated<A> {
    type State = A::Acc;
    type Out = A::Out;

    #[inline(always)]
    fn begin(&mut self) -> A::Acc {
        self.0.create()
    }

    #[inline(always)]
    fn step(&mut self, state: &mut A::Acc, record: T) -> A::Out {
        self.0.add(state, record);
        self.0.result(state)
    }
}
