//! How a record's key is found, for routing and for state alike.

use std::borrow::Borrow;
use std::marker::PhantomData;

use slotflow_runtime::edge::partition::{BuildRoute, Route, RoutePlan};
use slotflow_runtime::edge::ring::Sender;
use slotflow_runtime::{Key, KeyGroups, Result, SubtaskContext};

use super::table::{AsAssigned, Assigned, ByHash};
use crate::Either;

/// Finds the key of a record.
///
/// Made of closures by [`Stream::key_by`](crate::Stream::key_by) and
/// [`Stream::key_by_ref`](crate::Stream::key_by_ref).
pub trait KeySelector<T>: Clone + Send + 'static {
    /// The key, which may be borrowed from the record.
    type Key<'r>: Key;
    /// The key as it is kept with state; has the hash and the number of the borrowed one.
    type Stored: Key + 'static;
    /// What assigns its keys to key groups.
    type Assigned: Assigned;
    /// Finds the key.
    fn key<'r>(&mut self, record: &'r T) -> Self::Key<'r>;
    /// Whether a kept key is this one.
    fn same(stored: &Self::Stored, key: &Self::Key<'_>) -> bool;
    /// Keeps a key.
    fn store(key: Self::Key<'_>) -> Self::Stored;
}

/// A closure that gives the key itself; `A` is what assigns its keys to key groups, by default their hash.
pub struct ByValue<F, A = ByHash> {
    find: F,
    assigned: PhantomData<fn() -> A>,
}

/// A closure that gives the key itself, of records that are already where they belong.
pub type InPlace<F> = ByValue<F, AsAssigned>;

impl<F> ByValue<F> {
    pub(crate) fn hashed(find: F) -> Self {
        ByValue { find, assigned: PhantomData }
    }
}

impl<F> InPlace<F> {
    pub(crate) fn in_place(find: F) -> Self {
        ByValue { find, assigned: PhantomData }
    }
}

impl<F: Clone, A> Clone for ByValue<F, A> {
    fn clone(&self) -> Self {
        ByValue { find: self.find.clone(), assigned: PhantomData }
    }
}

impl<T, K, F, A> KeySelector<T> for ByValue<F, A>
where
    K: Key + Eq + 'static,
    F: FnMut(&T) -> K + Clone + Send + 'static,
    A: Assigned,
{
    type Key<'r> = K;
    type Stored = K;
    type Assigned = A;

    #[inline(always)]
    fn key(&mut self, record: &T) -> K {
        (self.find)(record)
    }
    #[inline(always)]
    fn same(stored: &K, key: &K) -> bool {
        stored == key
    }
    #[inline(always)]
    fn store(key: K) -> K {
        key
    }
}

/// A closure that gives a reference to the key in the record.
pub struct ByReference<Q: ?Sized, F> {
    find: F,
    key: PhantomData<fn() -> Box<Q>>,
}

impl<Q: ?Sized, F> ByReference<Q, F> {
    pub(super) fn new(find: F) -> Self {
        ByReference { find, key: PhantomData }
    }
}

impl<Q: ?Sized, F: Clone> Clone for ByReference<Q, F> {
    fn clone(&self) -> Self {
        ByReference::new(self.find.clone())
    }
}

impl<T, Q, F> KeySelector<T> for ByReference<Q, F>
where
    Q: Key + Eq + ToOwned<Owned: Key> + ?Sized + 'static,
    F: for<'r> FnMut(&'r T) -> &'r Q + Clone + Send + 'static,
{
    type Key<'r> = &'r Q;
    type Stored = Q::Owned;
    type Assigned = ByHash;

    #[inline(always)]
    fn key<'r>(&mut self, record: &'r T) -> &'r Q {
        (self.find)(record)
    }
    #[inline(always)]
    fn same(stored: &Q::Owned, key: &&Q) -> bool {
        stored.borrow() == *key
    }
    #[inline(always)]
    fn store(key: &Q) -> Q::Owned {
        key.to_owned()
    }
}

/// The hash partitioner: all the records of a key meet at one target, in order.
#[derive(Clone)]
pub struct ByKey<S>(pub(crate) S);

impl<T: 'static, S: KeySelector<T>> BuildRoute<T> for ByKey<S> {
    type Route = Hash<S>;
    fn build(self, _: &SubtaskContext, plan: &RoutePlan, _: usize) -> Result<Hash<S>> {
        Ok(Hash { selector: self.0, groups: KeyGroups::new(plan.groups, plan.readers) })
    }
}

/// The hash partitioner of one subtask.
pub struct Hash<S> {
    selector: S,
    groups: KeyGroups,
}

impl<T: 'static, S: KeySelector<T>> Route<T> for Hash<S> {
    #[inline(always)]
    fn send<X: Copy>(&mut self, record: T, stamp: X, targets: &mut [Sender<(T, X)>]) -> bool {
        let target = self.groups.subtask_of(self.selector.key(&record).hash());
        targets[target].stage((record, stamp))
    }
}

/// The hash partitioner for the first of two connected streams; a record of the second goes to all targets.
#[derive(Clone)]
pub struct ByKeyOrAll<S>(pub(crate) S);

impl<A: 'static, B: Clone + 'static, S: KeySelector<A>> BuildRoute<Either<A, B>> for ByKeyOrAll<S> {
    type Route = HashOrAll<S>;
    fn build(self, _: &SubtaskContext, plan: &RoutePlan, _: usize) -> Result<HashOrAll<S>> {
        Ok(HashOrAll(Hash { selector: self.0, groups: KeyGroups::new(plan.groups, plan.readers) }))
    }
}

/// The partitioner of [`ByKeyOrAll`] of one subtask.
pub struct HashOrAll<S>(Hash<S>);

impl<A: 'static, B: Clone + 'static, S: KeySelector<A>> Route<Either<A, B>> for HashOrAll<S> {
    #[inline(always)]
    fn send<X: Copy>(
        &mut self,
        record: Either<A, B>,
        stamp: X,
        targets: &mut [Sender<(Either<A, B>, X)>],
    ) -> bool {
        match record {
            Either::First(record) => {
                let target = self.0.groups.subtask_of(self.0.selector.key(&record).hash());
                targets[target].stage((Either::First(record), stamp))
            }
            Either::Second(record) => {
                let stage = |to: &mut Sender<_>| to.stage((Either::Second(record.clone()), stamp));
                targets.iter_mut().all(stage)
            }
        }
    }
}
