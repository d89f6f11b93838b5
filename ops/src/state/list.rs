//! A list for each key.

use std::marker::PhantomData;

use super::State;
use crate::ProcessContext;

/// A list for each key, in the order of adding: Flink's `ListState`. Declared by
/// [`StateDescriptors::list`](super::StateDescriptors::list).
///
/// ```
/// # use slotflow::prelude::*;
/// # use slotflow::ListState;
/// fn keep<K, U>(lines: ListState<String>, ctx: &mut ProcessContext<'_, K, U>) -> Vec<String> {
///     lines.add(ctx, "next".into());
///     if lines.values(ctx).len() < 10 { Vec::new() } else { lines.take(ctx) }
/// }
/// ```
pub struct ListState<T> {
    column: usize,
    value: PhantomData<fn() -> T>,
}

impl<T: State> ListState<T> {
    pub(super) fn new(column: usize) -> Self {
        ListState { column, value: PhantomData }
    }

    /// What was added.
    pub fn values<'c, K, U>(&self, ctx: &'c mut ProcessContext<'_, K, U>) -> &'c [T] {
        let (columns, at) = ctx.states();
        columns.column::<Vec<T>>(self.column).read(at).map_or(&[], Vec::as_slice)
    }

    /// Adds a value at the end.
    #[inline]
    pub fn add<K, U>(&self, ctx: &mut ProcessContext<'_, K, U>, value: T) {
        let (columns, at) = ctx.states();
        columns.column::<Vec<T>>(self.column).edit(at, |cell| cell.get_or_insert_default().push(value));
    }

    /// Sets the whole list; an empty one takes no room.
    pub fn set<K, U>(&self, ctx: &mut ProcessContext<'_, K, U>, values: Vec<T>) {
        let (columns, at) = ctx.states();
        let values = Some(values).filter(|values| !values.is_empty());
        columns.column::<Vec<T>>(self.column).edit(at, |cell| *cell = values);
    }

    /// Empties the list and gives it.
    pub fn take<K, U>(&self, ctx: &mut ProcessContext<'_, K, U>) -> Vec<T> {
        let (columns, at) = ctx.states();
        columns.column::<Vec<T>>(self.column).edit(at, Option::take).unwrap_or_default()
    }
}

impl<T> Clone for ListState<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for ListState<T> {}
