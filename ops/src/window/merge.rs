//! Aggregates of windows: those whose accumulators can be merged.

use std::marker::PhantomData;

use crate::Aggregate;

/// An aggregate whose accumulators can be merged; the `merge` of Flink's `AggregateFunction`.
///
/// Windows share their records by panes, so a window's value is merged from the accumulators of its panes, in
/// any order: merging must be associative and commutative, as the order of records in event time is.
///
/// ```
/// use slotflow::{Aggregate, Merge};
///
/// #[derive(Clone)]
/// struct Largest;
/// impl Aggregate<(u32, u64)> for Largest {
///     type Acc = u64;
///     type Out = u64;
///     fn create(&self) -> u64 {
///         0
///     }
///     fn add(&self, largest: &mut u64, (_, value): (u32, u64)) {
///         *largest = value.max(*largest);
///     }
///     fn result(&self, largest: &u64) -> u64 {
///         *largest
///     }
/// }
/// impl Merge<(u32, u64)> for Largest {
///     fn merge(&self, into: &mut u64, other: &u64) {
///         *into = *other.max(into);
///     }
/// }
/// ```
pub trait Merge<T>: Aggregate<T, Acc: Clone> {
    /// Adds everything that `other` has to `into`. Called on the slot, while a window fires or a late record is
    /// added.
    fn merge(&self, into: &mut Self::Acc, other: &Self::Acc);
}

/// What the accumulators of an operator own on the heap, as far as their aggregate tells; of no cost where it tells
/// nothing. Counts round, so that an aggregate which contradicts itself spoils a number and nothing else.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Heap(usize);

impl Heap {
    /// Changes an accumulator.
    #[inline(always)]
    pub(super) fn change<T, A: Aggregate<T>>(
        &mut self,
        aggregate: &A,
        acc: &mut A::Acc,
        change: impl FnOnce(&mut A::Acc),
    ) {
        let before = aggregate.heap_bytes(acc);
        change(acc);
        self.0 = self.0.wrapping_add(aggregate.heap_bytes(acc)).wrapping_sub(before);
    }

    /// An accumulator has come.
    pub(super) fn add<T, A: Aggregate<T>>(&mut self, aggregate: &A, acc: &A::Acc) {
        self.0 = self.0.wrapping_add(aggregate.heap_bytes(acc));
    }

    /// An accumulator goes.
    pub(super) fn remove<T, A: Aggregate<T>>(&mut self, aggregate: &A, acc: &A::Acc) {
        self.0 = self.0.wrapping_sub(aggregate.heap_bytes(acc));
    }

    pub(super) fn bytes(self) -> usize {
        self.0
    }
}

/// Joins records two by two, as an aggregate: what [`reduce`](super::WindowedStream::reduce) is made of.
#[derive(Clone)]
pub struct Joining<G>(G);

impl<G> Joining<G> {
    /// Joins by this closure, which must be associative and commutative.
    pub fn new(join: G) -> Self {
        Joining(join)
    }
}

impl<T: Clone + 'static, G: Fn(T, T) -> T + 'static> Aggregate<T> for Joining<G> {
    type Acc = Option<T>;
    type Out = T;

    #[inline(always)]
    fn create(&self) -> Option<T> {
        None
    }

    #[inline(always)]
    fn add(&self, acc: &mut Option<T>, record: T) {
        *acc = Some(match acc.take() {
            Some(so_far) => (self.0)(so_far, record),
            None => record,
        });
    }

    fn result(&self, acc: &Option<T>) -> T {
        acc.clone().expect("a window that fires has a record")
    }
}

impl<T: Clone + 'static, G: Fn(T, T) -> T + 'static> Merge<T> for Joining<G> {
    fn merge(&self, into: &mut Option<T>, other: &Option<T>) {
        other.iter().for_each(|other| self.add(into, other.clone()));
    }
}

/// Keeps all records, as an aggregate: what [`process`](super::WindowedStream::process) is made of.
pub struct All<T>(PhantomData<fn() -> T>);

impl<T> All<T> {
    pub(super) fn new() -> Self {
        All(PhantomData)
    }
}

impl<T> Clone for All<T> {
    fn clone(&self) -> Self {
        All::new()
    }
}

impl<T: Clone + 'static> Aggregate<T> for All<T> {
    type Acc = Vec<T>;
    type Out = Vec<T>;

    fn create(&self) -> Vec<T> {
        Vec::new()
    }
    fn add(&self, acc: &mut Vec<T>, record: T) {
        acc.push(record);
    }
    fn result(&self, acc: &Vec<T>) -> Vec<T> {
        acc.clone()
    }
    fn heap_bytes(&self, acc: &Vec<T>) -> usize {
        acc.capacity() * size_of::<T>()
    }
}

impl<T: Clone + 'static> Merge<T> for All<T> {
    fn merge(&self, into: &mut Vec<T>, other: &Vec<T>) {
        into.extend_from_slice(other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_is_adding_what_the_other_was_made_of() {
        let joining = Joining::new(|a: u64, b: u64| a + b);
        let (mut into, mut other) = (joining.create(), joining.create());
        joining.merge(&mut into, &other);
        assert_eq!(into, None);
        [1, 2].iter().for_each(|n| joining.add(&mut other, *n));
        joining.merge(&mut into, &other);
        joining.merge(&mut into, &other);
        assert_eq!(joining.result(&into), 6);
    }
}
