//! What crosses an edge behind a local aggregation: a record, and what others of its key and pane have come to. To the
//! windows behind it is a record whose key is as before.

use slotflow_runtime::{Context, Measures};

use crate::Aggregate;
use crate::keyed::KeySelector;
use crate::window::{Dropped, Late, Merge};

/// A record, and what has met it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partial<T, A> {
    /// The first of its key and pane.
    pub record: T,
    /// What others have come to, if there were any.
    pub others: Option<Others<A>>,
}

/// What records besides the first have come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Others<A> {
    /// Their accumulator.
    pub acc: A,
    /// How many they are.
    pub records: u32,
}

impl<T, A> Partial<T, A> {
    /// How many records it stands for.
    fn records(&self) -> u64 {
        1 + self.others.as_ref().map_or(0, |others| u64::from(others.records))
    }
}

/// What crosses the edge for an aggregate `A` of records `T`.
pub type PartialOf<T, A> = Partial<T, <A as Aggregate<T>>::Acc>;

/// Finds the key of a [`Partial`], which is its record's.
#[derive(Clone)]
pub struct ByPartial<S>(pub(super) S);

impl<T, A, S: KeySelector<T>> KeySelector<Partial<T, A>> for ByPartial<S> {
    type Key<'r> = S::Key<'r>;
    type Stored = S::Stored;
    type Assigned = S::Assigned;

    #[inline(always)]
    fn key<'r>(&mut self, partial: &'r Partial<T, A>) -> S::Key<'r> {
        self.0.key(&partial.record)
    }

    #[inline(always)]
    fn same(stored: &S::Stored, key: &S::Key<'_>) -> bool {
        S::same(stored, key)
    }

    #[inline(always)]
    fn store(key: S::Key<'_>) -> S::Stored {
        S::store(key)
    }
}

/// An aggregate of [`Partial`]s.
#[derive(Clone)]
pub struct OfPartials<A>(pub(super) A);

impl<T: 'static, A: Merge<T>> Aggregate<Partial<T, A::Acc>> for OfPartials<A> {
    type Acc = A::Acc;
    type Out = A::Out;

    #[inline(always)]
    fn create(&self) -> A::Acc {
        self.0.create()
    }

    #[inline(always)]
    fn add(&self, acc: &mut A::Acc, partial: Partial<T, A::Acc>) {
        self.0.add(acc, partial.record);
        if let Some(others) = partial.others {
            self.0.merge(acc, &others.acc);
        }
    }

    #[inline(always)]
    fn result(&self, acc: &A::Acc) -> A::Out {
        self.0.result(acc)
    }

    #[inline(always)]
    fn heap_bytes(&self, acc: &A::Acc) -> usize {
        self.0.heap_bytes(acc)
    }
}

impl<T: 'static, A: Merge<T>> Merge<Partial<T, A::Acc>> for OfPartials<A> {
    #[inline(always)]
    fn merge(&self, into: &mut A::Acc, other: &A::Acc) {
        self.0.merge(into, other);
    }
}

/// Late records are dropped and counted, each of a [`Partial`] by itself.
#[derive(Clone, Debug, Default)]
pub struct PartialsDropped(Dropped);

impl<R: 'static, T, A> Late<R, Partial<T, A>> for PartialsDropped {
    type Out = R;

    #[inline(always)]
    fn result(result: R) -> R {
        result
    }

    #[cold]
    fn late(&mut self, partial: Partial<T, A>, ctx: &Context<'_>) -> Option<R> {
        self.0.count(partial.records(), ctx);
        None
    }

    fn ended(&mut self, ctx: &Context<'_>) {
        self.0.said_at_the_end(ctx);
    }

    fn measure(&self, measures: &mut Measures<'_>) {
        self.0.tell(measures);
    }
}
