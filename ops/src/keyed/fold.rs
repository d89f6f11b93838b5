//! Folds the records of a key into a value, record by record.

use slotflow_runtime::pipe::{Pipe, Then};
use slotflow_runtime::{Cloned, Owned};

use super::{KeySelector, KeyedStream, Rolling, RollingPlan};
use crate::Stream;

impl<'env, T, P, S> KeyedStream<'env, P, S>
where
    T: Send + 'static,
    P: Pipe<Out = Owned<T>>,
    S: KeySelector<T>,
{
    /// Folds the records of each key into a value that begins as `init`, and emits it after every
    /// record. [`fold_at_end`](KeyedStream::fold_at_end) emits it once.
    ///
    /// ```
    /// # use slotflow::{prelude::*, testing::collect};
    /// let lengths = collect(["a", "bb", "ac"], |words| {
    ///     words.key_by(|word| word.as_bytes()[0]).fold(0, |length, word| *length += word.len())
    /// });
    /// assert_eq!(lengths?, [1, 2, 3]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn fold<A, G>(self, init: A, fold: G) -> Stream<'env, Then<P, RollingPlan<S, Cloned<Fold<A, G>>>>>
    where
        A: Clone + Send + 'static,
        G: FnMut(&mut A, T) + Clone + Send + 'static,
    {
        self.rolling("fold", Cloned(Fold::new(init, fold)))
    }
}

/// See [`KeyedStream::fold`].
#[derive(Clone)]
pub struct Fold<A, G> {
    init: A,
    fold: G,
}

impl<A, G> Fold<A, G> {
    pub(super) fn new(init: A, fold: G) -> Self {
        Fold { init, fold }
    }
}

impl<T, A: Clone + 'static, G: FnMut(&mut A, T) + 'static> Rolling<T> for Fold<A, G> {
    type State = A;
    type Out = A;

    #[inline(always)]
    fn begin(&mut self) -> A {
        self.init.clone()
    }

    #[inline(always)]
    fn step(&mut self, state: &mut A, record: T) -> A {
        (self.fold)(state, record);
        state.clone()
    }
}
