//! Sliding count windows: the last so many records of a key, every so many.
//!
//! Records are counted into panes, as long as the greatest number that divides size and slide; two stacks of panes
//! give the value of each window. So a record changes one accumulator, however many windows it is in.

use slotflow_runtime::pipe::{Pipe, Then};
use slotflow_runtime::{
    Build, Context, Error, Family, Flow, Hint, MAX_TIMESTAMP, Measures, Operator, Output, Owned, Result,
    SubtaskContext, Timestamp,
};

use super::CountWindowed;
use super::merge::{Joining, Merge};
use super::shape::greatest_divisor;
use super::stacks::Stacks;
use super::unfull::Unfull;
use crate::Stream;
use crate::keyed::{Assigner, KeySelector, ValueTable};

impl<'env, P, S> CountWindowed<'env, P, S> {
    /// Gives a window at every `slide`-th record of a key, with as many of the last ones as its size: Flink's
    /// `countWindow(size, slide)`. The first windows of a key have fewer. What comes
    /// behind a key's last window is counted as `unfull` when the input ends. A size or slide of 0, and a slide longer
    /// than the size, which would leave records out, are errors of the start.
    ///
    /// ```
    /// # use slotflow::{prelude::*, testing::collect};
    /// let sums = collect(1..=6, |numbers| {
    ///     numbers.key_by(|_| 'k').count_window(3).every(2).reduce(|a, b| a + b).map(|(_, sum)| sum)
    /// })?;
    /// assert_eq!(sums, [3, 2 + 3 + 4, 4 + 5 + 6]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn every(self, slide: u64) -> SlidingCountWindowed<'env, P, S> {
        SlidingCountWindowed { windows: self, slide }
    }
}

/// A stream whose records are grouped by number, in windows that overlap; see [`CountWindowed::every`].
#[must_use = "a stream does nothing until it ends in a sink"]
pub struct SlidingCountWindowed<'env, P, S> {
    windows: CountWindowed<'env, P, S>,
    slide: u64,
}

impl<'env, T, P, S> SlidingCountWindowed<'env, P, S>
where
    T: Send + 'static,
    P: Pipe<Out = Owned<T>>,
    S: KeySelector<T, Stored: Clone>,
{
    /// Aggregates the records of each window; emits key and result with the window's last record, at its time.
    pub fn aggregate<A>(self, aggregate: A) -> Stream<'env, Then<P, SlidingCountPlan<S, A>>>
    where
        A: Merge<T> + Clone + Send,
    {
        let SlidingCountWindowed { windows, slide } = self;
        let checked = check(windows.size, slide);
        let panes = Panes::of(windows.size, slide);
        windows
            .counted(|selector, assigner| SlidingCountPlan { selector, assigner, panes, aggregate }, checked)
    }

    /// Joins the records of each window two by two; `join` must be associative and commutative.
    pub fn reduce<G>(self, join: G) -> Stream<'env, Then<P, SlidingCountPlan<S, Joining<G>>>>
    where
        T: Clone,
        G: Fn(T, T) -> T + Clone + Send + 'static,
    {
        self.aggregate(Joining::new(join))
    }
}

fn check(size: u64, slide: u64) -> Result<()> {
    let windows = format!("count windows of {size} records every {slide}");
    if size == 0 || slide == 0 {
        return Err(Error::user(format!("{windows}: size and slide must be 1 or more")));
    }
    if slide > size {
        let remedy = format!("leave records out: filter those first, or slide by {size}");
        return Err(Error::user(format!("{windows} {remedy}")));
    }
    Ok(())
}

/// How records are counted into panes, and panes into windows.
#[derive(Clone, Copy)]
struct Panes {
    /// How many records a pane has.
    records: i64,
    /// How many panes a window has.
    size: i64,
    /// How many panes later the next window ends.
    slide: i64,
}

impl Panes {
    fn of(size: u64, slide: u64) -> Panes {
        let [size, slide] = [size, slide].map(|count| i64::try_from(count).unwrap_or(i64::MAX));
        let records = greatest_divisor(size, slide).max(1);
        Panes { records, size: size / records, slide: slide / records }
    }
}

/// Describes sliding count windows.
#[derive(Clone)]
pub struct SlidingCountPlan<S, A> {
    selector: S,
    assigner: Assigner,
    panes: Panes,
    aggregate: A,
}

impl<T, S, A> Build<Owned<T>> for SlidingCountPlan<S, A>
where
    T: 'static,
    S: KeySelector<T, Stored: Clone>,
    A: Merge<T> + Clone + Send,
{
    type Out = Owned<(S::Stored, A::Out)>;
    type Operator = SlidingCountWindows<T, S, A>;

    fn build(self, subtask: &SubtaskContext) -> Result<Self::Operator> {
        let SlidingCountPlan { selector, assigner, panes, aggregate } = self;
        let table = ValueTable::new(subtask, assigner);
        Ok(SlidingCountWindows { selector, table, panes, aggregate, stacked: 0, unfull: Unfull::default() })
    }
}

/// The operator of [`SlidingCountPlan`].
pub struct SlidingCountWindows<T, S: KeySelector<T>, A: Merge<T>> {
    selector: S,
    table: ValueTable<S::Stored, Counted<A::Acc>, S::Assigned>,
    panes: Panes,
    aggregate: A,
    /// How many panes all keys have in their stacks.
    stacked: usize,
    unfull: Unfull<S::Stored, Counted<A::Acc>>,
}

/// The records of a key.
struct Counted<A> {
    /// How many the pane has that is not full, and what they have come to.
    records: i64,
    acc: A,
    /// How many panes are full, and what those have come to that a window may still need, by their numbers.
    full: Timestamp,
    stacks: Stacks<A>,
}

impl<A: Clone> Counted<A> {
    fn new<T>(aggregate: &impl Merge<T, Acc = A>) -> Self {
        Counted { records: 0, acc: aggregate.create(), full: 0, stacks: Stacks::default() }
    }

    /// Adds a record; the value of the window whose last one it is.
    #[inline(always)]
    fn add<T, M: Merge<T, Acc = A>>(
        &mut self,
        record: T,
        panes: Panes,
        aggregate: &M,
        stacked: &mut usize,
    ) -> Option<M::Out> {
        aggregate.add(&mut self.acc, record);
        self.records += 1;
        if self.records < panes.records {
            return None;
        }
        let before = self.stacks.len();
        let value = self.fill(panes, aggregate);
        *stacked = *stacked + self.stacks.len() - before;
        value
    }

    /// A pane is full.
    fn fill<T, M: Merge<T, Acc = A>>(&mut self, panes: Panes, aggregate: &M) -> Option<M::Out> {
        self.stacks.push(self.full, &self.acc, aggregate);
        (self.records, self.acc) = (0, aggregate.create());
        self.full += 1;
        if self.full % panes.slide != 0 {
            return None;
        }
        self.stacks.evict(self.full - panes.size, aggregate);
        self.stacks.value(aggregate)
    }

    /// How many records have come since the last window.
    fn waiting(&self, panes: Panes) -> u64 {
        (self.full % panes.slide * panes.records + self.records) as u64
    }
}

impl<T, S, A> Operator<Owned<T>> for SlidingCountWindows<T, S, A>
where
    T: 'static,
    S: KeySelector<T, Stored: Clone>,
    A: Merge<T>,
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
        let SlidingCountWindows { selector, table, panes, aggregate, stacked, .. } = self;
        let make = |key: S::Key<'_>| (S::store(key), Counted::new(aggregate));
        let (key, counted) = table.entry(hint, selector.key(&record), || ctx.split(), S::same, make);
        if let Some(value) = counted.add(record, *panes, aggregate, stacked) {
            out.push((key.clone(), value), ctx);
        }
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
        let panes = self.panes;
        self.unfull.ended(&mut self.table, |counted| counted.waiting(panes), ctx)
    }

    fn measure(&self, measures: &mut Measures<'_>) {
        let panes = self.stacked * size_of::<(Timestamp, A::Acc)>();
        self.table.size().and_bytes(panes).tell(measures);
        self.unfull.tell(measures);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use slotflow_runtime::testing::{Harness, check};

    use super::super::tests::{Pair, Selector, Sum, selector};
    use super::*;

    fn sums(size: u64, slide: u64) -> SlidingCountPlan<Selector, Sum> {
        let panes = Panes::of(size, slide);
        SlidingCountPlan { selector: selector(), assigner: Assigner::Hash, panes, aggregate: Sum }
    }

    #[test]
    fn a_window_of_the_last_records_fires_at_each_slide() {
        let (records, sums) = ("a:1@1 a:2@2 b:9@3 a:4@4 |4 a:8@5 b:7@6 a:1@7 a:2@8 #", sums(3, 2));
        check::<Pair, Pair>(sums, records, "a:3@2 |4 a:14@5 b:16@6 a:11@8 #");
    }

    #[test]
    fn sliding_by_the_size_is_not_to_overlap() {
        check::<Pair, Pair>(sums(2, 2), "a:1 a:2 a:4 a:8 a:1 #", "a:3 a:12 #");
        check::<Pair, Pair>(sums(1, 1), "a:1 a:2 #", "a:1 a:2 #");
    }

    #[test]
    fn what_came_behind_the_last_window_is_counted_at_the_end() {
        let mut harness = Harness::new(sums(6, 4)).unwrap();
        "aaaaaaab".chars().for_each(|key| harness.push((key, 1)).unwrap());
        harness.end().unwrap();
        assert_eq!((harness.take(), harness.measured().dropped("unfull")), (vec![('a', 4)], 3 + 1));
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_remedy() {
        let refused = |size, slide| super::check(size, slide).unwrap_err().to_string();
        assert!(refused(0, 1).contains("1 or more") && refused(1, 0).contains("1 or more"));
        assert!(refused(2, 3).contains("slide by 2"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn windows_are_those_of_the_naive_model(
            size in 1..12u64,
            slide in 1..12u64,
            records in prop::collection::vec((prop::sample::select(vec!['a', 'b', 'c']), 0..1_000u64), 0..120),
        ) {
            let slide = slide.min(size);
            let mut harness = Harness::new(sums(size, slide)).unwrap();
            let (mut seen, mut model) = (BTreeMap::<char, Vec<u64>>::new(), Vec::new());
            for (key, n) in records {
                harness.push((key, n)).unwrap();
                let all = seen.entry(key).or_default();
                all.push(n);
                if (all.len() as u64).is_multiple_of(slide) {
                    model.push((key, all.iter().rev().take(size as usize).sum()));
                }
            }
            prop_assert_eq!(harness.take(), model);
        }
    }
}
