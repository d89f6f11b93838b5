//! What a window with a trigger keeps of its records, and what it makes of them when it fires.

use std::marker::PhantomData;

use slotflow_runtime::{Result, Timestamp};

use super::super::evictor::{Evictor, EvictorContext, WindowRecord};
use super::super::merge::Merge;

/// What windows keep, and what they give.
pub trait Contents<T>: Clone + Send + 'static {
    /// What a window of a key keeps; it has had a record.
    type Kept: 'static;
    /// What it gives.
    type Out: 'static;

    /// What a window keeps before its first record.
    fn create(&self) -> Self::Kept;
    /// A record of this event time comes in.
    fn add(&self, kept: &mut Self::Kept, record: T, timestamp: Timestamp);
    /// What another window has kept comes in.
    fn merge(&self, kept: &mut Self::Kept, other: Self::Kept);
    /// The value so far. Takes out what is not kept beyond this firing; `None` if there was nothing to fire with.
    fn fire(&mut self, kept: &mut Option<Self::Kept>, ctx: &EvictorContext) -> Option<Self::Out>;
    /// What it has on the heap, as far as its type tells.
    fn heap_bytes(&self, kept: &Self::Kept) -> usize;
}

/// Chooses what is kept, by whether there is an evictor.
pub trait Keep<T, A>: Clone + Send + 'static {
    /// That.
    type Contents: Contents<T>;
    /// What takes records out.
    type Evictor: Evictor<T>;
    /// Puts the aggregate to it.
    fn contents(self, aggregate: A) -> Self::Contents;
    /// Takes it for windows that keep all records.
    fn evictor(self) -> Self::Evictor;
    /// Whether it can be.
    ///
    /// # Errors
    /// Those of the start.
    fn check(&self) -> Result<()>;
}

/// No evictor: an aggregate is enough.
#[derive(Clone, Copy, Debug)]
pub struct Unevicted;

impl<T> Evictor<T> for Unevicted {}

impl<T: 'static, A: Merge<T> + Clone + Send> Keep<T, A> for Unevicted {
    type Contents = Aggregating<A>;
    type Evictor = Unevicted;

    fn contents(self, aggregate: A) -> Aggregating<A> {
        Aggregating(aggregate)
    }
    fn evictor(self) -> Unevicted {
        self
    }
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

/// Keeps the accumulator of an aggregate.
#[derive(Clone)]
pub struct Aggregating<A>(A);

impl<T: 'static, A: Merge<T> + Clone + Send> Contents<T> for Aggregating<A> {
    type Kept = A::Acc;
    type Out = A::Out;

    #[inline]
    fn create(&self) -> A::Acc {
        self.0.create()
    }
    #[inline]
    fn add(&self, acc: &mut A::Acc, record: T, _: Timestamp) {
        self.0.add(acc, record);
    }
    fn merge(&self, acc: &mut A::Acc, other: A::Acc) {
        self.0.merge(acc, &other);
    }
    fn fire(&mut self, acc: &mut Option<A::Acc>, _: &EvictorContext) -> Option<A::Out> {
        acc.as_ref().map(|acc| self.0.result(acc))
    }
    fn heap_bytes(&self, acc: &A::Acc) -> usize {
        self.0.heap_bytes(acc)
    }
}

/// An evictor: all records are kept, and aggregated anew at each firing.
#[derive(Clone)]
pub struct Evicted<T, E> {
    evictor: E,
    records: PhantomData<fn(T)>,
}

impl<T, E> Evicted<T, E> {
    pub(in super::super) fn by(evictor: E) -> Self {
        Evicted { evictor, records: PhantomData }
    }
}

impl<T: Clone + 'static, A: Merge<T> + Clone + Send, E: Evictor<T>> Keep<T, A> for Evicted<T, E> {
    type Contents = Listing<A, E>;
    type Evictor = E;

    fn contents(self, aggregate: A) -> Listing<A, E> {
        Listing { aggregate, evictor: self.evictor }
    }
    fn evictor(self) -> E {
        self.evictor
    }
    fn check(&self) -> Result<()> {
        self.evictor.check()
    }
}

/// Keeps all records.
#[derive(Clone)]
pub struct Listing<A, E> {
    pub(super) aggregate: A,
    pub(super) evictor: E,
}

impl<T, A, E> Contents<T> for Listing<A, E>
where
    T: Clone + 'static,
    A: Merge<T> + Clone + Send,
    E: Evictor<T>,
{
    type Kept = Vec<WindowRecord<T>>;
    type Out = A::Out;

    fn create(&self) -> Self::Kept {
        Vec::new()
    }
    #[inline]
    fn add(&self, records: &mut Self::Kept, value: T, timestamp: Timestamp) {
        records.push(WindowRecord { timestamp, value });
    }
    fn merge(&self, records: &mut Self::Kept, mut other: Self::Kept) {
        records.append(&mut other);
    }

    fn fire(&mut self, kept: &mut Option<Self::Kept>, ctx: &EvictorContext) -> Option<A::Out> {
        let Listing { aggregate, evictor } = self;
        let records = kept.as_mut()?;
        evictor.evict_before(records, ctx);
        let value = (!records.is_empty()).then(|| {
            let mut acc = aggregate.create();
            records.iter().for_each(|record| aggregate.add(&mut acc, record.value.clone()));
            aggregate.result(&acc)
        });
        evictor.evict_after(records, ctx);
        kept.take_if(|records| records.is_empty());
        value
    }

    fn heap_bytes(&self, records: &Self::Kept) -> usize {
        records.capacity() * size_of::<WindowRecord<T>>()
    }
}
