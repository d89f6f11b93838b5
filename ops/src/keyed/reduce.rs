//! Joins the records of a key into one, record by record.

use slotflow_runtime::pipe::{Pipe, Then};
use slotflow_runtime::{Cloned, Owned};

use super::{KeySelector, KeyedStream, Rolling, RollingPlan};
use crate::Stream;

impl<'env, T, P, S> KeyedStream<'env, P, S>
where
    T: Clone + Send + 'static,
    P: Pipe<Out = Owned<T>>,
    S: KeySelector<T>,
{
    /// Joins the records of each key into one and emits it after every record, as in Flink: the first
    /// record of a key as it is, then `join(what was emitted last, record)`.
    ///
    /// ```
    /// # use slotflow::{prelude::*, testing::collect};
    /// let sums = collect([("a", 1), ("b", 5), ("a", 2)], |pairs| {
    ///     pairs.key_by(|pair| pair.0).reduce(|sum, pair| (sum.0, sum.1 + pair.1))
    /// })?;
    /// assert_eq!(sums, [("a", 1), ("b", 5), ("a", 3)]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn reduce<G>(self, join: G) -> Stream<'env, Then<P, RollingPlan<S, Cloned<Reduce<G>>>>>
    where
        G: FnMut(T, T) -> T + Clone + Send + 'static,
    {
        self.rolling("reduce", Cloned(Reduce::new(join)))
    }
}

/// See [`KeyedStream::reduce`].
#[derive(Clone)]
pub struct Reduce<G>(G);

impl<G> Reduce<G> {
    pub(super) fn new(join: G) -> Self {
        Reduce(join)
    }
}

impl<T: Clone + 'static, G: FnMut(T, T) -> T + 'static> Rolling<T> for Reduce<G> {
    type State = Option<T>;
    type Out = T;

    #[inline(always)]
    fn begin(&mut self) -> Option<T> {
        None
    }

    #[inline(always)]
    fn step(&mut self, state: &mut Option<T>, record: T) -> T {
        let joined = match state.take() {
            Some(so_far) => (self.0)(so_far, record),
            None => record,
        };
        state.insert(joined).clone()
    }
}
