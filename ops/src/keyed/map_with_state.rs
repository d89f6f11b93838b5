//! Turns each record into another with the help of its key's state.

use std::marker::PhantomData;

use slotflow_runtime::pipe::{Pipe, Then};
use slotflow_runtime::{Build, Context, Key, Operator, Output, Owned, Result, SubtaskContext};

use super::{Assigner, KeyedStream, Table};
use crate::Stream;

impl<'env, T, K, P, F> KeyedStream<'env, P, F>
where
    T: Send + 'static,
    K: Key + Eq + 'static,
    P: Pipe<Out = Owned<T>>,
    F: FnMut(&T) -> K + Clone + Send + 'static,
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
    pub fn map_with_state<S, U, G>(self, map: G) -> Stream<'env, Then<P, MapWithState<S, F, G>>>
    where
        S: Default + 'static,
        U: 'static,
        G: FnMut(&mut S, T) -> U + Clone + Send + 'static,
    {
        let (key, assigner) = (self.key.clone(), self.assigner);
        self.then("map_with_state", MapWithState { key, assigner, map, state: PhantomData })
    }
}

/// Describes [`KeyedStream::map_with_state`].
pub struct MapWithState<S, F, G> {
    key: F,
    assigner: Assigner,
    map: G,
    state: PhantomData<fn() -> S>,
}

impl<S, F: Clone, G: Clone> Clone for MapWithState<S, F, G> {
    fn clone(&self) -> Self {
        MapWithState {
            key: self.key.clone(),
            assigner: self.assigner,
            map: self.map.clone(),
            state: PhantomData,
        }
    }
}

impl<T, K, S, U, F, G> Build<Owned<T>> for MapWithState<S, F, G>
where
    T: 'static,
    K: Key + Eq + 'static,
    S: Default + 'static,
    U: 'static,
    F: FnMut(&T) -> K + Clone + Send + 'static,
    G: FnMut(&mut S, T) -> U + Clone + Send + 'static,
{
    type Out = Owned<U>;
    type Operator = Stateful<K, S, F, G>;

    fn build(self, subtask: &SubtaskContext) -> Result<Self::Operator> {
        let table = Table::new(subtask.max_parallelism, self.assigner);
        Ok(Stateful { key: self.key, table, map: self.map })
    }
}

/// The operator of [`MapWithState`].
pub struct Stateful<K, S, F, G> {
    key: F,
    table: Table<K, S>,
    map: G,
}

impl<T, K, S, U, F, G> Operator<Owned<T>> for Stateful<K, S, F, G>
where
    T: 'static,
    K: Key + Eq + 'static,
    S: Default + 'static,
    U: 'static,
    F: FnMut(&T) -> K + 'static,
    G: FnMut(&mut S, T) -> U + 'static,
{
    type Out = Owned<U>;

    #[inline(always)]
    fn process<'s>(&mut self, record: T, ctx: &mut Context<'s>, out: &mut impl Output<Owned<U>>) {
        let key = (self.key)(&record);
        let state = self.table.value(key, ctx.split(), |_| S::default());
        let record = (self.map)(state, record);
        out.push(record, ctx);
    }
}
