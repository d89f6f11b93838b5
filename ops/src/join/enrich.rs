//! Looks each record up in a table that comes as a second stream.

use slotflow_runtime::pipe::{Pipe, Then};
use slotflow_runtime::{Build, Context, Key, Operator, Output, Owned, Result, SubtaskContext};

use crate::keyed::{Assigner, ByValue, KeySelector, KeyedStream, Segments};
use crate::{Either, Stream};

impl<'env, A, B, P, S> KeyedStream<'env, P, S>
where
    A: Send + 'static,
    B: Send + 'static,
    P: Pipe<Out = Owned<Either<A, B>>>,
    S: KeySelector<Either<A, B>, Stored: Clone + Eq>,
{
    /// Joins each record of the first of two [connected](Stream::connect) streams with the row of its key in a table:
    /// the last record of the second stream that has come so far. Both streams are spread by key, so each subtask has
    /// its share of the table.
    ///
    /// `join` gets `None` if no row has come yet, and says what comes of it: `row.map(..)` is an inner join, in which
    /// such a record gives nothing; `Some((record, row.cloned()))` is a left one. Which row a record meets is a
    /// matter of when they arrive: nothing waits. Where it must be the row of the record's time, use
    /// [`as_of_join`](KeyedStream::as_of_join). One row is kept for each key, for good.
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// let env = Environment::with(Config::default());
    /// let orders = env.source(from_iterator([(7, 3), (8, 1)]));
    /// let products = env.source(from_iterator([(7, "pears")]));
    /// let named = Collected::new();
    /// orders
    ///     .connect(products)
    ///     .key_by(|either| match either {
    ///         Either::First((product, _)) | Either::Second((product, _)) => *product,
    ///     })
    ///     .enrich(|order, product| Some((order.1, product.map_or("unknown", |product| product.1))))
    ///     .sink(named.sink());
    /// env.run("named")?;
    /// let named = named.take();
    /// assert!(named.contains(&(1, "unknown")) && named.len() == 2);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn enrich<U, G>(self, join: G) -> Stream<'env, Then<P, Enrich<S, G>>>
    where
        U: 'static,
        G: FnMut(A, Option<&B>) -> Option<U> + Clone + Send + 'static,
    {
        let (selector, assigner) = (self.selector.clone(), Some(self.assigner));
        self.then("enrich", Enrich { selector, assigner, join })
    }
}

impl<'env, A, B, P> Stream<'env, P>
where
    A: Send + 'static,
    B: Send + 'static,
    P: Pipe<Out = Owned<Either<A, B>>>,
{
    /// As [`KeyedStream::enrich`], with the whole table at each subtask, so that the first stream's records stay where
    /// they are: for tables that are small beside the stream. The table is to be
    /// [broadcast](Stream::broadcast), or each subtask has another part of it.
    ///
    /// Where several of its subtasks write the same key, `rows.global().broadcast()` makes all agree which was last.
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// let env = Environment::with(Config::default());
    /// let orders = env.source(from_iterator([(7, 3), (8, 1)]));
    /// let products = env.source(from_iterator([(7, "pears")]));
    /// let named = Collected::new();
    /// orders
    ///     .connect(products.broadcast())
    ///     .enrich_by(
    ///         |either| match either {
    ///             Either::First((product, _)) | Either::Second((product, _)) => *product,
    ///         },
    ///         |order, product| Some((order.1, product.map_or("unknown", |product| product.1))),
    ///     )
    ///     .sink(named.sink());
    /// env.run("named")?;
    /// let named = named.take();
    /// assert!(named.contains(&(1, "unknown")) && named.len() == 2);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn enrich_by<K, S, U, G>(self, key: S, join: G) -> Stream<'env, Then<P, Enrich<ByValue<S>, G>>>
    where
        K: Key + Clone + Eq + 'static,
        S: FnMut(&Either<A, B>) -> K + Clone + Send + 'static,
        U: 'static,
        G: FnMut(A, Option<&B>) -> Option<U> + Clone + Send + 'static,
    {
        self.then_stateful("enrich", Enrich { selector: ByValue(key), assigner: None, join })
    }
}

/// Describes [`KeyedStream::enrich`] and [`Stream::enrich_by`].
#[derive(Clone)]
pub struct Enrich<S, G> {
    selector: S,
    /// Where the keys are that this subtask has; `None` if it has all.
    assigner: Option<Assigner>,
    join: G,
}

impl<A, B, U, S, G> Build<Owned<Either<A, B>>> for Enrich<S, G>
where
    A: 'static,
    B: 'static,
    U: 'static,
    S: KeySelector<Either<A, B>, Stored: Clone + Eq>,
    G: FnMut(A, Option<&B>) -> Option<U> + Clone + Send + 'static,
{
    type Out = Owned<U>;
    type Operator = Enriched<B, S::Stored, S, G>;

    fn build(self, subtask: &SubtaskContext) -> Result<Self::Operator> {
        let hashes = self.assigner.map_or((0, u64::MAX), |assigner| assigner.hashes_of(subtask));
        Ok(Enriched { selector: self.selector, join: self.join, rows: Box::new(Segments::new(hashes)) })
    }
}

/// The operator of [`Enrich`].
pub struct Enriched<B, K, S, G> {
    selector: S,
    join: G,
    /// Apart, because an operator is moved at each step, and best small.
    rows: Box<Segments<K, Option<B>>>,
}

impl<A, B, U, S, G> Operator<Owned<Either<A, B>>> for Enriched<B, S::Stored, S, G>
where
    A: 'static,
    B: 'static,
    U: 'static,
    S: KeySelector<Either<A, B>, Stored: Clone + Eq>,
    G: FnMut(A, Option<&B>) -> Option<U> + 'static,
{
    type Out = Owned<U>;

    #[inline(always)]
    fn process<'s>(&mut self, record: Either<A, B>, ctx: &mut Context<'s>, out: &mut impl Output<Owned<U>>) {
        let Enriched { selector, join, rows } = self;
        let row = row_of(&record, selector, rows);
        match record {
            Either::First(record) => {
                let joined = join(record, row.and_then(|row| row.as_ref()));
                joined.into_iter().for_each(|joined| out.push(joined, ctx));
            }
            Either::Second(new) => {
                if let Some(row) = row {
                    *row = Some(new);
                }
            }
        }
    }
}

/// The place of the row of a record's key. A record of the first stream makes none: a key is kept with its row only.
#[inline(always)]
fn row_of<'r, A, B, S: KeySelector<Either<A, B>>>(
    record: &Either<A, B>,
    selector: &mut S,
    rows: &'r mut Segments<S::Stored, Option<B>>,
) -> Option<&'r mut Option<B>> {
    let key = selector.key(record);
    match record {
        Either::First(_) => {
            let known = rows.find_by(key.hash(), |(known, _)| S::same(known, &key));
            known.map(|(_, row)| row)
        }
        Either::Second(_) => Some(rows.value(key, S::same, |key| (S::store(key), None))),
    }
}

#[cfg(test)]
mod tests {
    use slotflow_runtime::testing::check;

    use super::*;

    type Record = Either<u64, u64>;

    fn enriched(assigner: Option<Assigner>) -> impl Build<Owned<Record>, Out = Owned<(u64, u64)>> {
        let selector = ByValue(|record: &Record| match record {
            Either::First(n) | Either::Second(n) => n / 10,
        });
        let join = |record, row: Option<&u64>| {
            if record % 10 == 9 {
                row.map(|row| (record, *row))
            } else {
                Some((record, row.map_or(0, |row| *row)))
            }
        };
        Enrich { selector, assigner, join }
    }

    #[test]
    fn a_record_meets_the_last_row_of_its_key_that_has_come() {
        let given = "1:11@1 2:12@9 1:13@2 |2 1:21@3 2:15@4 1:14@5 2:22@6 1:21@7 #";
        let expected = "11:0@1 13:12@2 |2 21:0@3 14:15@5 21:22@7 #";
        check(enriched(Some(Assigner::Hash)), given, expected);
        check(enriched(None), given, expected);
    }

    #[test]
    fn the_closure_says_what_comes_of_a_record_without_a_row() {
        check(enriched(None), "1:19 1:11 2:12 1:19 #", "11:0 19:12 #");
    }
}
