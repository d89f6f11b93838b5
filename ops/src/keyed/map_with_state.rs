//! Turns each record into another with the help of its key's state.

use std::marker::PhantomData;

use slotflow_runtime::pipe::{Pipe, Then};
use slotflow_runtime::{Cloned, Owned, Place};

use super::{KeySelector, KeyedStream, Rolling, RollingPlan};
use crate::{Made, Stream};

impl<'env, T, P, S> KeyedStream<'env, P, S>
where
    T: Send + 'static,
    P: Pipe<Out = Owned<T>>,
    S: KeySelector<T>,
{
    /// Turns each record into another with the help of its key's state, which begins as its default.
    ///
    /// ```
    /// # use slotflow::{prelude::*, testing::collect};
    /// let numbered = collect(["a", "b", "a"], |words| {
    ///     words.key_by(|word| *word).map_with_state(|seen: &mut u32, word| {
    ///         *seen += 1;
    ///         format!("{word}{seen}")
    ///     })
    /// })?;
    /// assert_eq!(numbered, ["a1", "b1", "a2"]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn map_with_state<V, U, G>(
        self,
        map: G,
    ) -> Stream<'env, Then<P, RollingPlan<S, Cloned<MapWithState<V, G>>>>>
    where
        V: Default + 'static,
        U: 'static,
        G: FnMut(&mut V, T) -> U + Clone + Send + 'static,
    {
        self.rolling("map_with_state", Cloned(MapWithState::new(map)))
    }

    /// As [`map_with_state`](KeyedStream::map_with_state), with a closure that `make` makes for each
    /// subtask, on its slot.
    ///
    /// ```
    /// # use slotflow::{prelude::*, testing::collect};
    /// let placed = collect(["a", "b", "a"], |words| {
    ///     words.key_by(|word| *word).map_with_state_with(|subtask| {
    ///         let index = subtask.index;
    ///         move |seen: &mut u32, word| {
    ///             *seen += 1;
    ///             format!("{word}{seen} at subtask {index}")
    ///         }
    ///     })
    /// })?;
    /// assert_eq!(placed[2], "a2 at subtask 0");
    /// # Ok::<(), Error>(())
    /// ```
    pub fn map_with_state_with<V, U, G, M>(
        self,
        make: M,
    ) -> Stream<'env, Then<P, RollingPlan<S, Made<M, G, MapWithState<V, G>>>>>
    where
        V: Default + 'static,
        U: 'static,
        G: FnMut(&mut V, T) -> U + 'static,
        M: Fn(Place<'_>) -> G + Clone + Send + 'static,
    {
        self.rolling("map_with_state", Made::new(make, MapWithState::new))
    }
}

/// See [`KeyedStream::map_with_state`].
pub struct MapWithState<V, G> {
    map: G,
    state: PhantomData<fn() -> V>,
}

impl<V, G> MapWithState<V, G> {
    pub(super) fn new(map: G) -> Self {
        MapWithState { map, state: PhantomData }
    }
}

impl<V, G: Clone> Clone for MapWithState<V, G> {
    fn clone(&self) -> Self {
        MapWithState::new(self.map.clone())
    }
}

impl<T, V, U, G> Rolling<T> for MapWithState<V, G>
where
    V: Default + 'static,
    U: 'static,
    G: FnMut(&mut V, T) -> U + 'static,
{
    type State = V;
    type Out = U;

    #[inline(always)]
    fn begin(&mut self) -> V {
        V::default()
    }
    #[inline(always)]
    fn step(&mut self, state: &mut V, record: T) -> U {
        (self.map)(state, record)
    }
}
