//! What crosses an edge behind a local aggregation: a record, or what several have come to. To the windows behind it
//! is a record whose key, aggregate and lateness are as before.

use slotflow_runtime::{Context, Key, Measures};

use crate::Aggregate;
use crate::keyed::KeySelector;
use crate::window::{Dropped, Late, Merge};

/// A record, or several of one key and pane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Partial<T, K, A> {
    /// One that met no other.
    Record(T),
    /// What several have come to.
    Sum {
        /// Their key.
        key: K,
        /// Their accumulator.
        acc: A,
        /// How many they are.
        records: u64,
    },
}

/// What crosses the edge for an aggregate `A` of records `T`, keyed by `S`.
pub type PartialOf<T, S, A> = Partial<T, <S as KeySelector<T>>::Stored, <A as Aggregate<T>>::Acc>;

/// Finds the key of a [`Partial`].
#[derive(Clone)]
pub struct ByPartial<S>(pub(super) S);

/// The key of a [`Partial`]: found in its record, or kept beside its accumulator.
pub enum PartialKey<Q, K> {
    /// Found.
    Found(Q),
    /// Kept.
    Kept(K),
}

impl<Q: Key, K: Key> Key for PartialKey<Q, &K> {
    #[inline(always)]
    fn hash(&self) -> u64 {
        match self {
            PartialKey::Found(key) => key.hash(),
            PartialKey::Kept(key) => key.hash(),
        }
    }
}

impl<T, A, S> KeySelector<Partial<T, S::Stored, A>> for ByPartial<S>
where
    S: KeySelector<T, Stored: Clone + Eq>,
{
    type Key<'r> = PartialKey<S::Key<'r>, &'r S::Stored>;
    type Stored = S::Stored;

    #[inline(always)]
    fn key<'r>(&mut self, partial: &'r Partial<T, S::Stored, A>) -> Self::Key<'r> {
        match partial {
            Partial::Record(record) => PartialKey::Found(self.0.key(record)),
            Partial::Sum { key, .. } => PartialKey::Kept(key),
        }
    }

    #[inline(always)]
    fn same(stored: &S::Stored, key: &Self::Key<'_>) -> bool {
        match key {
            PartialKey::Found(key) => S::same(stored, key),
            PartialKey::Kept(key) => stored == *key,
        }
    }

    #[inline(always)]
    fn store(key: Self::Key<'_>) -> S::Stored {
        match key {
            PartialKey::Found(key) => S::store(key),
            PartialKey::Kept(key) => key.clone(),
        }
    }
}

/// An aggregate of [`Partial`]s.
#[derive(Clone)]
pub struct OfPartials<A>(pub(super) A);

impl<T: 'static, K: 'static, A: Merge<T>> Aggregate<Partial<T, K, A::Acc>> for OfPartials<A> {
    type Acc = A::Acc;
    type Out = A::Out;

    #[inline(always)]
    fn create(&self) -> A::Acc {
        self.0.create()
    }

    #[inline(always)]
    fn add(&self, acc: &mut A::Acc, partial: Partial<T, K, A::Acc>) {
        match partial {
            Partial::Record(record) => self.0.add(acc, record),
            Partial::Sum { acc: other, .. } => self.0.merge(acc, &other),
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

impl<T: 'static, K: 'static, A: Merge<T>> Merge<Partial<T, K, A::Acc>> for OfPartials<A> {
    #[inline(always)]
    fn merge(&self, into: &mut A::Acc, other: &A::Acc) {
        self.0.merge(into, other);
    }
}

/// Late records are dropped and counted, those in a sum each by itself.
#[derive(Clone, Debug, Default)]
pub struct PartialsDropped(Dropped);

impl<R: 'static, T, K, A> Late<R, Partial<T, K, A>> for PartialsDropped {
    type Out = R;

    #[inline(always)]
    fn result(result: R) -> R {
        result
    }

    #[cold]
    fn late(&mut self, partial: Partial<T, K, A>, ctx: &Context<'_>) -> Option<R> {
        let records = match partial {
            Partial::Record(_) => 1,
            Partial::Sum { records, .. } => records,
        };
        self.0.count(records, ctx);
        None
    }

    fn ended(&mut self, ctx: &Context<'_>) {
        self.0.said_at_the_end(ctx);
    }

    fn measure(&self, measures: &mut Measures<'_>) {
        self.0.tell(measures);
    }
}
