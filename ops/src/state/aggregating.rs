//! For each key the accumulator of an aggregate.

use std::marker::PhantomData;

use super::State;
use super::column::Plain;
use crate::{Aggregate, ProcessContext};

/// For each key the accumulator of an [`Aggregate`]: Flink's `AggregatingState`. Declared by
/// [`StateDescriptors::aggregating`](super::StateDescriptors::aggregating).
///
/// ```
/// # use slotflow::prelude::*;
/// # use slotflow::AggregatingState;
/// fn mean<K, U, A>(prices: &AggregatingState<f64, A>, price: f64, ctx: &mut ProcessContext<'_, K, U>) -> f64
/// where
///     A: Aggregate<f64, Acc: slotflow::State, Out = f64>,
/// {
///     prices.add(ctx, price);
///     prices.value(ctx).unwrap_or(price)
/// }
/// ```
pub struct AggregatingState<T, A> {
    column: usize,
    aggregate: A,
    record: PhantomData<fn(T)>,
}

impl<T, A: Aggregate<T, Acc: State>> AggregatingState<T, A> {
    pub(super) fn new(column: usize, aggregate: A) -> Self {
        AggregatingState { column, aggregate, record: PhantomData }
    }

    /// The result of what was added; `None` if nothing was.
    pub fn value<K, U>(&self, ctx: &mut ProcessContext<'_, K, U>) -> Option<A::Out> {
        let (columns, at) = ctx.states();
        let acc = columns.column::<Plain<A::Acc>>(self.column).read(at)?;
        Some(self.aggregate.result(&acc.0))
    }

    /// Adds a record.
    #[inline]
    pub fn add<K, U>(&self, ctx: &mut ProcessContext<'_, K, U>, record: T) {
        let (columns, at) = ctx.states();
        let column = columns.column::<Plain<A::Acc>>(self.column);
        let acc = column.edit_in_place(at, || Plain(self.aggregate.create()));
        self.aggregate.add(&mut acc.0, record);
    }

    /// Forgets what was added.
    pub fn clear<K, U>(&self, ctx: &mut ProcessContext<'_, K, U>) {
        let (columns, at) = ctx.states();
        columns.column::<Plain<A::Acc>>(self.column).edit(at, |cell| *cell = None);
    }
}
