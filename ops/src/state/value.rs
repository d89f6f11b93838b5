//! One value for each key.

use std::marker::PhantomData;

use super::State;
use super::column::Plain;
use crate::ProcessContext;

/// One value for each key: Flink's `ValueState`. Declared by
/// [`StateDescriptors::value`](super::StateDescriptors::value); every call is about the key in hand.
///
/// ```
/// # use slotflow::prelude::*;
/// # use slotflow::ValueState;
/// fn count<K, U>(seen: ValueState<u64>, ctx: &mut ProcessContext<'_, K, U>) -> u64 {
///     let seen = seen.value_or_default(ctx);
///     *seen += 1;
///     *seen
/// }
/// ```
pub struct ValueState<T> {
    column: usize,
    value: PhantomData<fn() -> T>,
}

impl<T: State> ValueState<T> {
    pub(super) fn new(column: usize) -> Self {
        ValueState { column, value: PhantomData }
    }

    /// The value; `None` if it was never set, has been cleared, or its time is over.
    #[inline]
    pub fn value<'c, K, U>(&self, ctx: &'c mut ProcessContext<'_, K, U>) -> Option<&'c T> {
        let (columns, at) = ctx.states();
        columns.column::<Plain<T>>(self.column).read(at).map(|value| &value.0)
    }

    /// Sets the value and gives the one before.
    #[inline]
    pub fn set<K, U>(&self, ctx: &mut ProcessContext<'_, K, U>, value: T) -> Option<T> {
        let (columns, at) = ctx.states();
        let column = columns.column::<Plain<T>>(self.column);
        column.edit(at, |cell| cell.replace(Plain(value))).map(|before| before.0)
    }

    /// The value, to be changed where it lies, which counts as writing it; made by `make` if there is none.
    #[inline]
    pub fn value_or<'c, K, U>(
        &self,
        ctx: &'c mut ProcessContext<'_, K, U>,
        make: impl FnOnce() -> T,
    ) -> &'c mut T {
        let (columns, at) = ctx.states();
        &mut columns.column::<Plain<T>>(self.column).edit_in_place(at, || Plain(make())).0
    }

    /// As [`value_or`](ValueState::value_or), with the default of its type.
    #[inline]
    pub fn value_or_default<'c, K, U>(&self, ctx: &'c mut ProcessContext<'_, K, U>) -> &'c mut T
    where
        T: Default,
    {
        self.value_or(ctx, T::default)
    }

    /// Forgets the value and gives it.
    pub fn clear<K, U>(&self, ctx: &mut ProcessContext<'_, K, U>) -> Option<T> {
        let (columns, at) = ctx.states();
        columns.column::<Plain<T>>(self.column).edit(at, Option::take).map(|value| value.0)
    }
}

impl<T> Clone for ValueState<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for ValueState<T> {}
