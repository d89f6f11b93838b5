//! What the records of a key and pane become until they cross: a partial result beside the first of them, or where
//! they are reduced a record that stands for all.

use super::partial::{Others, Partial, PartialOf};
use crate::window::Merge;

/// How records of one key and pane become one thing that crosses the edge.
pub trait Gather<T>: Clone + Send + 'static {
    /// What crosses.
    type Out: Send + 'static;
    /// Whether that tells how many records it stands for.
    const COUNTS: bool;

    /// What crosses for a record by itself.
    fn alone(record: T) -> Self::Out;

    /// A record that has the key.
    fn record(gathered: &Self::Out) -> &T;

    /// Adds another record of the key; `same` says whether two have one key. Gives the record back, and leaves what
    /// there is as it was, if what they come to would be of another key.
    fn join(&self, gathered: &mut Self::Out, record: T, same: impl FnMut(&T, &T) -> bool) -> Option<T>;
}

/// By an aggregate, whose accumulators cross beside the first record: so the key is neither cloned nor sent.
#[derive(Clone)]
pub struct Partials<A>(pub(super) A);

impl<T, A> Gather<T> for Partials<A>
where
    T: Send + 'static,
    A: Merge<T, Acc: Send> + Clone + Send,
{
    type Out = PartialOf<T, A>;
    const COUNTS: bool = true;

    #[inline(always)]
    fn alone(record: T) -> Self::Out {
        Partial { record, others: None }
    }

    #[inline(always)]
    fn record(partial: &Self::Out) -> &T {
        &partial.record
    }

    #[inline(always)]
    fn join(&self, partial: &mut Self::Out, record: T, _: impl FnMut(&T, &T) -> bool) -> Option<T> {
        let Partials(aggregate) = self;
        let others = partial.others.get_or_insert_with(|| Others { acc: aggregate.create(), records: 0 });
        aggregate.add(&mut others.acc, record);
        others.records += 1;
        None
    }
}

/// By a closure that joins two records: what crosses is a record as any other.
#[derive(Clone)]
pub struct Joined<G>(pub(super) G);

impl<T, G> Gather<T> for Joined<G>
where
    T: Clone + Send + 'static,
    G: Fn(T, T) -> T + Clone + Send + 'static,
{
    type Out = T;
    const COUNTS: bool = false;

    #[inline(always)]
    fn alone(record: T) -> T {
        record
    }

    #[inline(always)]
    fn record(record: &T) -> &T {
        record
    }

    /// A closure may give a record of another key: in one phase nobody looks at that key.
    #[inline(always)]
    fn join(&self, so_far: &mut T, record: T, mut same: impl FnMut(&T, &T) -> bool) -> Option<T> {
        let joined = (self.0)(so_far.clone(), record.clone());
        if !same(&joined, &record) {
            return Some(record);
        }
        *so_far = joined;
        None
    }
}
