//! For each key what a function makes of all values added.

use super::State;
use super::column::Plain;
use crate::ProcessContext;

/// For each key what a function makes of all values added: Flink's `ReducingState`. Declared by
/// [`StateDescriptors::reducing`](super::StateDescriptors::reducing).
///
/// ```
/// # use slotflow::prelude::*;
/// # use slotflow::ReducingState;
/// fn overdrawn<K, U>(spent: ReducingState<u64>, cents: u64, ctx: &mut ProcessContext<'_, K, U>) -> bool {
///     *spent.add(ctx, cents) > 1_000_00
/// }
/// ```
pub struct ReducingState<T> {
    column: usize,
    reduce: fn(T, T) -> T,
}

impl<T: State> ReducingState<T> {
    pub(super) fn new(column: usize, reduce: fn(T, T) -> T) -> Self {
        ReducingState { column, reduce }
    }

    /// What the values added come to; `None` if there are none.
    pub fn value<'c, K, U>(&self, ctx: &'c mut ProcessContext<'_, K, U>) -> Option<&'c T> {
        let (columns, at) = ctx.states();
        columns.column::<Plain<T>>(self.column).read(at).map(|value| &value.0)
    }

    /// Adds a value and gives what all come to.
    #[inline]
    pub fn add<'c, K, U>(&self, ctx: &'c mut ProcessContext<'_, K, U>, value: T) -> &'c T {
        let (columns, at) = ctx.states();
        let column = columns.column::<Plain<T>>(self.column);
        column.edit(at, |cell| {
            let reduced = match cell.take() {
                Some(before) => (self.reduce)(before.0, value),
                None => value,
            };
            *cell = Some(Plain(reduced));
        });
        column.read(at).map(|value| &value.0).expect("it has just been filled")
    }

    /// Forgets what was added and gives what it came to.
    pub fn take<K, U>(&self, ctx: &mut ProcessContext<'_, K, U>) -> Option<T> {
        let (columns, at) = ctx.states();
        columns.column::<Plain<T>>(self.column).edit(at, Option::take).map(|value| value.0)
    }
}

impl<T> Clone for ReducingState<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for ReducingState<T> {}
