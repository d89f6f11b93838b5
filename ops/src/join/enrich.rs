//! Looks each record up in a table that comes as a second stream.

use std::time::Duration;

use slotflow_runtime::pipe::{Pipe, Then};
use slotflow_runtime::{Build, Context, Key, Measures, Operator, Output, Owned, Result, SubtaskContext};

use crate::keyed::{Assigner, ByValue, Cursor, KeySelector, KeyedStream, Segments};
use crate::state::{CLEAN_EVERY, CLEAN_PIECE};
use crate::{Either, Stream};

impl<'env, A, B, P, S> KeyedStream<'env, P, S>
where
    A: Send + 'static,
    B: Send + 'static,
    P: Pipe<Out = Owned<Either<A, B>>>,
    S: KeySelector<Either<A, B>>,
{
    /// Joins each record of the first of two [connected](Stream::connect) streams with the row of its key in a table:
    /// the last record of the second stream that has come so far. Both streams are spread by key, so each subtask has
    /// its share of the table.
    ///
    /// `join` gets `None` if no row has come yet, and says what comes of it: `row.map(..)` is an inner join, in which
    /// such a record gives nothing; `Some((record, row.cloned()))` is a left one. Which row a record meets is a
    /// matter of when they arrive: nothing waits. Where it must be the row of the record's time, use
    /// [`as_of_join`](KeyedStream::as_of_join). One row is kept for each key, for good, unless
    /// [`retain`](Stream::retain) says for how long.
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
        self.then("enrich", Enrich { selector, assigner, join, retention_ns: u64::MAX })
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
        K: Key + Eq + 'static,
        S: FnMut(&Either<A, B>) -> K + Clone + Send + 'static,
        U: 'static,
        G: FnMut(A, Option<&B>) -> Option<U> + Clone + Send + 'static,
    {
        self.then_stateful(
            "enrich",
            Enrich { selector: ByValue::hashed(key), assigner: None, join, retention_ns: u64::MAX },
        )
    }
}

impl<'env, P, S, G> Stream<'env, Then<P, Enrich<S, G>>> {
    /// For how long a row is good after it came, by the host's clock: later than that a record finds none, and the row
    /// is given back, a few of them with every so many records. By default one row of each key is kept for good: where
    /// keys come and go, say how long they live.
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// # use std::time::Duration;
    /// # let env = Environment::with(Config::default());
    /// # let (orders, products) = (env.source(from_iterator([7])), env.source(from_iterator([8])));
    /// # let named = Collected::new();
    /// # let keyed = orders.connect(products).key_by(|either| match either {
    /// #     Either::First(product) | Either::Second(product) => *product,
    /// # });
    /// let day = Duration::from_secs(24 * 3600);
    /// keyed.enrich(|order, product| Some((order, product.copied()))).retain(day).sink(named.sink());
    /// env.run("named")?;
    /// assert_eq!(named.take(), [(7, None)]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn retain(mut self, rows: Duration) -> Self {
        self.pipe.build.retention_ns = u64::try_from(rows.as_nanos()).unwrap_or(u64::MAX);
        self
    }
}

/// Describes [`KeyedStream::enrich`] and [`Stream::enrich_by`].
#[derive(Clone)]
pub struct Enrich<S, G> {
    selector: S,
    /// Where the keys are that this subtask has; `None` if it has all.
    assigner: Option<Assigner>,
    join: G,
    /// `u64::MAX` for good.
    retention_ns: u64,
}

impl<A, B, U, S, G> Build<Owned<Either<A, B>>> for Enrich<S, G>
where
    A: 'static,
    B: 'static,
    U: 'static,
    S: KeySelector<Either<A, B>>,
    G: FnMut(A, Option<&B>) -> Option<U> + Clone + Send + 'static,
{
    type Out = Owned<U>;
    type Operator = Enriched<B, S::Stored, S, G>;

    fn build(self, subtask: &SubtaskContext) -> Result<Self::Operator> {
        let hashes = self.assigner.map_or((0, u64::MAX), |assigner| assigner.hashes_of(subtask));
        let rows = Segments::new(hashes);
        let rows = Rows { rows, retention_ns: self.retention_ns, cursor: Cursor::default(), since_clean: 0 };
        Ok(Enriched { selector: self.selector, join: self.join, rows: Box::new(rows) })
    }
}

/// The operator of [`Enrich`].
pub struct Enriched<B, K, S, G> {
    selector: S,
    join: G,
    /// Apart, because an operator is moved at each step, and best small.
    rows: Box<Rows<K, B>>,
}

/// The rows of a subtask.
struct Rows<K, B> {
    rows: Segments<K, Row<B>>,
    retention_ns: u64,
    /// Where the next piece of clean-up begins, and how many records have passed since the last one.
    cursor: Cursor,
    since_clean: u32,
}

/// A row, and when it came.
struct Row<B> {
    /// `None` only until it is filled.
    row: Option<B>,
    came_ns: u64,
}

impl<B> Row<B> {
    fn is_over(&self, retention_ns: u64, now_ns: u64) -> bool {
        now_ns.saturating_sub(self.came_ns) > retention_ns
    }
}

impl<K: Key, B> Rows<K, B> {
    /// Gives back some of the rows whose time is over.
    #[cold]
    fn clean(&mut self, now_ns: u64) {
        let Rows { rows, retention_ns, cursor, since_clean } = self;
        *since_clean = 0;
        if !rows.sweep(cursor, CLEAN_PIECE, |(_, row)| !row.is_over(*retention_ns, now_ns)) {
            *cursor = Cursor::default();
        }
    }

    #[inline(always)]
    fn count_record(&mut self, now_ns: u64) {
        if self.retention_ns < u64::MAX {
            self.since_clean += 1;
        }
        if self.since_clean >= CLEAN_EVERY {
            self.clean(now_ns);
        }
    }
}

impl<A, B, U, S, G> Operator<Owned<Either<A, B>>> for Enriched<B, S::Stored, S, G>
where
    A: 'static,
    B: 'static,
    U: 'static,
    S: KeySelector<Either<A, B>>,
    G: FnMut(A, Option<&B>) -> Option<U> + 'static,
{
    type Out = Owned<U>;

    #[inline(always)]
    fn process<'s>(&mut self, record: Either<A, B>, ctx: &mut Context<'s>, out: &mut impl Output<Owned<U>>) {
        let (now_ns, Enriched { selector, join, rows }) = (ctx.now_ns(), self);
        let row = row_of(&record, selector, &mut rows.rows);
        match record {
            Either::First(record) => {
                let row = row.filter(|row| !row.is_over(rows.retention_ns, now_ns));
                let joined = join(record, row.and_then(|row| row.row.as_ref()));
                joined.into_iter().for_each(|joined| out.push(joined, ctx));
            }
            Either::Second(new) => {
                if let Some(row) = row {
                    *row = Row { row: Some(new), came_ns: now_ns };
                }
            }
        }
        rows.count_record(now_ns);
    }

    fn measure(&self, measures: &mut Measures<'_>) {
        self.rows.rows.size().tell(measures);
    }
}

/// The place of the row of a record's key. A record of the first stream makes none: a key is kept with its row only.
#[inline(always)]
fn row_of<'r, A, B, S: KeySelector<Either<A, B>>>(
    record: &Either<A, B>,
    selector: &mut S,
    rows: &'r mut Segments<S::Stored, Row<B>>,
) -> Option<&'r mut Row<B>> {
    let key = selector.key(record);
    match record {
        Either::First(_) => {
            let known = rows.find_by(key.hash(), |(known, _)| S::same(known, &key));
            known.map(|(_, row)| row)
        }
        Either::Second(_) => {
            Some(rows.value(key, S::same, |key| (S::store(key), Row { row: None, came_ns: 0 })))
        }
    }
}

#[cfg(test)]
mod tests {
    use slotflow_runtime::testing::{Harness, check};

    use super::*;

    type Record = Either<u64, u64>;

    fn retaining(retention_ns: u64) -> impl Build<Owned<Record>, Out = Owned<(u64, u64)>> {
        let selector = ByValue::hashed(|record: &Record| match record {
            Either::First(n) | Either::Second(n) => *n,
        });
        let join = |record, row: Option<&u64>| Some((record, row.copied().unwrap_or(0)));
        Enrich { selector, assigner: Some(Assigner::Hash), join, retention_ns }
    }

    #[test]
    fn a_row_is_good_for_as_long_as_it_is_retained() {
        check(retaining(10_000_000), "2:7 ~10 1:7 ~11 1:7 2:7 ~21 1:7", "~10 7:7 ~11 7:0 ~21 7:7");
    }

    #[test]
    fn rows_that_nobody_asks_for_are_given_back_a_few_with_every_so_many_records() {
        let mut harness = Harness::new(retaining(10_000_000)).unwrap();
        (0..1000).for_each(|n| harness.push(Either::Second(n)).unwrap());
        assert_eq!(harness.measured().state_keys, 1000);
        harness.processing_time(12).unwrap();
        (0..u64::from(CLEAN_EVERY)).for_each(|n| harness.push(Either::First(n)).unwrap());
        let some = harness.measured().state_keys;
        assert!((1000 - CLEAN_PIECE..1000).contains(&some), "{some} are left");
        (0..4096).for_each(|n| harness.push(Either::First(n)).unwrap());
        assert_eq!(harness.measured().state_keys, 0);
    }

    fn enriched(assigner: Option<Assigner>) -> impl Build<Owned<Record>, Out = Owned<(u64, u64)>> {
        let selector = ByValue::hashed(|record: &Record| match record {
            Either::First(n) | Either::Second(n) => n / 10,
        });
        let join = |record, row: Option<&u64>| {
            if record % 10 == 9 {
                row.map(|row| (record, *row))
            } else {
                Some((record, row.map_or(0, |row| *row)))
            }
        };
        Enrich { selector, assigner, join, retention_ns: u64::MAX }
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
