//! Count windows: so many records of a key, whatever their time.

use slotflow_runtime::pipe::{Pipe, Then};
use slotflow_runtime::{
    Build, Context, Error, Family, Flow, Hint, MAX_TIMESTAMP, Measures, Operator, Output, Owned, Result,
    SubtaskContext, Timestamp,
};

use super::merge::Joining;
use super::refuse;
use super::unfull::Unfull;
use crate::keyed::{Assigner, KeySelector, KeyedStream, ValueTable};
use crate::{Aggregate, Stream};

impl<'env, T, P, S> KeyedStream<'env, P, S>
where
    T: Send + 'static,
    P: Pipe<Out = Owned<T>>,
    S: KeySelector<T>,
{
    /// Groups the records of each key by so many in a row: Flink's `countWindow`. Needs no event time. A window that
    /// is not full when the input ends is not emitted: its records are counted as `unfull` in the job's metrics, with a
    /// warning. A size of 0 is an error of the start.
    ///
    /// A key that has had records is kept for good, as its window may still be filled: keys are in the job's metrics
    /// (`state_keys`) and within `state.budget_bytes`. Where they come and go, say how long a window may wait for its
    /// records: it then gives what it has, and its key is forgotten. What such windows have when the input ends is
    /// emitted, too, as the 5 here:
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// # use slotflow::ProcessingTimeoutTrigger;
    /// # use std::time::Duration;
    /// # let (env, sums) = (Environment::with(Config::default()), Collected::new());
    /// let numbers = env.source(from_iterator(1..=5)).key_by(|n| n % 2);
    /// let pairs = ProcessingTimeoutTrigger::of(Duration::from_secs(60), CountTrigger::of(2));
    /// let windows = numbers.window(Global).trigger(PurgingTrigger::of(pairs));
    /// windows.reduce(|a, b| a + b).map(|window| window.value).sink(sums.sink());
    /// env.run("pairs")?;
    /// assert_eq!(sums.take(), [1 + 3, 2 + 4, 5]);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// ```
    /// # use slotflow::{prelude::*, testing::collect};
    /// let sums = collect(1..=9, |numbers| {
    ///     numbers.key_by(|n| n % 2).count_window(2).reduce(|a, b| a + b)
    /// })?;
    /// assert_eq!(sums, [(1, 4), (0, 6), (1, 12), (0, 14)]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn count_window(self, size: u64) -> CountWindowed<'env, P, S> {
        CountWindowed { keyed: self, size, parallelism: None }
    }
}

/// A keyed stream whose records are grouped by number; see [`KeyedStream::count_window`].
#[must_use = "a stream does nothing until it ends in a sink"]
pub struct CountWindowed<'env, P, S> {
    pub(super) keyed: KeyedStream<'env, P, S>,
    pub(super) size: u64,
    /// `None` for the job's.
    pub(super) parallelism: Option<usize>,
}

impl<'env, T, P, S> CountWindowed<'env, P, S>
where
    T: Send + 'static,
    P: Pipe<Out = Owned<T>>,
    S: KeySelector<T, Stored: Clone>,
{
    /// Aggregates the records of each window; emits key and result with the record that fills it, at its time.
    pub fn aggregate<A>(self, aggregate: A) -> Stream<'env, Then<P, CountPlan<S, A>>>
    where
        A: Aggregate<T> + Clone + Send,
    {
        let size = self.size;
        let checked = if size > 0 {
            Ok(())
        } else {
            Err(Error::user("a count window of 0 records is never full: the size must be 1 or more"))
        };
        self.counted(|selector, assigner| CountPlan { selector, assigner, size, aggregate }, checked)
    }

    /// Joins the records of each window two by two.
    pub fn reduce<G>(self, join: G) -> Stream<'env, Then<P, CountPlan<S, Joining<G>>>>
    where
        T: Clone,
        G: Fn(T, T) -> T + Clone + Send + 'static,
    {
        self.aggregate(Joining::new(join))
    }

    /// Adds the operator, and notes what speaks against it.
    pub(super) fn counted<B>(
        self,
        plan: impl FnOnce(S, Assigner) -> B,
        checked: Result<()>,
    ) -> Stream<'env, Then<P, B>>
    where
        B: Build<Owned<T>>,
    {
        let CountWindowed { keyed, parallelism, .. } = self;
        let plan = plan(keyed.selector.clone(), keyed.assigner);
        let stream = keyed.then("count_window", plan);
        stream.env.graph(|graph| graph.operator_mut(stream.last).parallelism = parallelism);
        refuse(&stream, checked);
        stream
    }
}

/// Describes count windows.
#[derive(Clone)]
pub struct CountPlan<S, A> {
    selector: S,
    assigner: Assigner,
    size: u64,
    aggregate: A,
}

impl<T, S, A> Build<Owned<T>> for CountPlan<S, A>
where
    T: 'static,
    S: KeySelector<T, Stored: Clone>,
    A: Aggregate<T> + Clone + Send,
{
    type Out = Owned<(S::Stored, A::Out)>;
    type Operator = CountWindows<T, S, A>;

    fn build(self, subtask: &SubtaskContext) -> Result<Self::Operator> {
        let CountPlan { selector, assigner, size, aggregate } = self;
        Ok(CountWindows {
            selector,
            table: ValueTable::new(subtask, assigner),
            size,
            aggregate,
            unfull: Unfull::default(),
        })
    }
}

/// The operator of [`CountPlan`].
pub struct CountWindows<T, S: KeySelector<T>, A: Aggregate<T>> {
    selector: S,
    /// How many records each key's window has, and what they have come to.
    table: ValueTable<S::Stored, (u64, A::Acc), S::Assigned>,
    size: u64,
    aggregate: A,
    unfull: Unfull<S::Stored, (u64, A::Acc)>,
}

impl<T, S, A> Operator<Owned<T>> for CountWindows<T, S, A>
where
    T: 'static,
    S: KeySelector<T, Stored: Clone>,
    A: Aggregate<T>,
{
    type Out = Owned<(S::Stored, A::Out)>;

    #[inline(always)]
    fn process<'s>(&mut self, record: T, ctx: &mut Context<'s>, out: &mut impl Output<Self::Out>) {
        self.process_hinted(record, None, ctx, out);
    }

    #[inline(always)]
    fn hint<'s, 'r>(&mut self, records: impl Iterator<Item = &'r T>, first: Hint, ctx: &mut Context<'s>)
    where
        <Owned<T> as Family>::Of<'s>: 'r,
    {
        let keys = records.map(|record| self.selector.key(record));
        self.table.hint(keys, first, || ctx.split());
    }

    #[inline(always)]
    fn process_hinted<'s>(
        &mut self,
        record: T,
        hint: Option<Hint>,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Self::Out>,
    ) {
        let CountWindows { selector, table, size, aggregate, .. } = self;
        let make = |key: S::Key<'_>| (S::store(key), (0, aggregate.create()));
        let (_, window) = table.entry(hint, selector.key(&record), || ctx.split(), S::same, make);
        window.0 += 1;
        if window.0 < *size {
            aggregate.add(&mut window.1, record);
            return;
        }
        let key = S::store(selector.key(&record));
        let (_, mut full) = std::mem::replace(window, (0, aggregate.create()));
        aggregate.add(&mut full, record);
        out.push((key, aggregate.result(&full)), ctx);
    }

    fn watermark<'s>(
        &mut self,
        watermark: Timestamp,
        ctx: &mut Context<'s>,
        _: &mut impl Output<Self::Out>,
    ) -> Flow {
        if watermark < MAX_TIMESTAMP {
            return Flow::Done;
        }
        self.unfull.ended(&mut self.table, |window| window.0, ctx)
    }

    fn measure(&self, measures: &mut Measures<'_>) {
        self.table.size().tell(measures);
        self.unfull.tell(measures);
    }
}

#[cfg(test)]
mod tests {
    use slotflow_runtime::FIRING_BUDGET;
    use slotflow_runtime::testing::{Harness, check};

    use super::super::tests::{Sum, ms};
    use super::super::triggered::tests::plan;
    use super::super::{
        CountTrigger, Dropped, Global, Keep, ProcessingTimeoutTrigger, PurgingTrigger, Unevicted,
    };
    use super::*;
    use crate::keyed::ByValue;

    #[test]
    fn a_key_is_kept_for_good_and_with_a_timeout_until_its_window_has_given_what_it_has() {
        let selector = ByValue::hashed(|pair: &(char, u64)| pair.0);
        let plan_of_two = CountPlan { selector, assigner: Assigner::Hash, size: 2, aggregate: Sum };
        let mut for_good = Harness::new(plan_of_two).unwrap();
        let trigger = PurgingTrigger::of(ProcessingTimeoutTrigger::of(ms(10), CountTrigger::of(2)));
        let contents = Keep::<(char, u64), Sum>::contents(Unevicted, Sum);
        let mut bounded = Harness::new(plan(Global, trigger, contents, 0, Dropped::default())).unwrap();
        for key in ['a', 'b', 'c', 'a'] {
            for_good.push((key, 1)).unwrap();
            bounded.push((key, 1)).unwrap();
        }
        for_good.processing_time(100).unwrap();
        bounded.processing_time(100).unwrap();
        assert_eq!((for_good.take(), for_good.measured().state_keys), (vec![('a', 2)], 3));
        let mut sums: Vec<_> = bounded.take().into_iter().map(|it| (it.key, it.value)).collect();
        sums.sort_unstable();
        assert_eq!((sums, bounded.measured().state_keys), (vec![('a', 2), ('b', 1), ('c', 1)], 0));
    }

    #[test]
    fn what_fills_no_window_is_counted_at_the_end_and_is_state_at_a_drain() {
        let selector = ByValue::hashed(|pair: &(char, u64)| pair.0);
        let plan = CountPlan { selector, assigner: Assigner::Hash, size: 3, aggregate: Sum };
        let mut harness = Harness::new(plan).unwrap();
        let keys = || ('\0'..).take(3 * FIRING_BUDGET);
        keys().chain(keys()).chain(['a']).for_each(|key| harness.push((key, 1)).unwrap());
        harness.watermark(1_000).unwrap();
        harness.drain().unwrap();
        let drained = harness.measured();
        assert_eq!((drained.dropped("unfull"), drained.state_keys), (0, 3 * FIRING_BUDGET));
        harness.end().unwrap();
        assert_eq!(harness.measured().dropped("unfull"), 6 * FIRING_BUDGET as u64 - 2);
        assert_eq!(harness.take(), [('a', 3)]);
    }

    #[test]
    fn a_full_window_fires_with_its_last_record() {
        let joining = Joining::new(|a: (char, u64), b: (char, u64)| (a.0, a.1 + b.1));
        let selector = ByValue::hashed(|pair: &(char, u64)| pair.0);
        let plan = CountPlan { selector, assigner: Assigner::Hash, size: 2, aggregate: joining.clone() };
        check::<_, (char, (char, u64))>(
            plan,
            "a:1@1 b:9@2 a:2@3 a:4@4 |4 a:8@5 b:1@6 a:1@7 #",
            "a:a:3@3 |4 a:a:12@5 b:b:10@6 #",
        );
    }
}
