//! Folds the records of a key into a value and emits it at the end.

use slotflow_runtime::pipe::{Pipe, Then};
use slotflow_runtime::{
    Build, Context, FIRING_BUDGET, Family, Flow, Hint, MAX_TIMESTAMP, Measures, Operator, Output, Owned,
    Result, SubtaskContext, Timestamp,
};

use super::table::Drain;
use super::{Assigner, KeySelector, KeyedStream, ValueTable};
use crate::Stream;

impl<'env, T, P, S> KeyedStream<'env, P, S>
where
    T: Send + 'static,
    P: Pipe<Out = Owned<T>>,
    S: KeySelector<T>,
{
    /// Folds the records of each key into a value that begins as `init`, and emits key and value when
    /// the input has ended or the job is drained, in no particular order. Their event time is the last there is, and
    /// they come in front of the last watermark: windows behind still take them.
    ///
    /// ```
    /// # use slotflow::{prelude::*, testing::collect};
    /// let mut counts = collect(["a", "b", "a"], |words| {
    ///     words.key_by(|word| *word).fold_at_end(0, |count, _| *count += 1)
    /// })?;
    /// counts.sort();
    /// assert_eq!(counts, [("a", 2), ("b", 1)]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn fold_at_end<A, G>(self, init: A, fold: G) -> Stream<'env, Then<P, KeyedFoldAtEnd<S, A, G>>>
    where
        A: Clone + Send + 'static,
        G: FnMut(&mut A, T) + Clone + Send + 'static,
    {
        let (selector, assigner) = (self.selector.clone(), self.assigner);
        self.then("fold_at_end", KeyedFoldAtEnd { selector, assigner, init, fold })
    }
}

/// Describes [`KeyedStream::fold_at_end`].
#[derive(Clone)]
pub struct KeyedFoldAtEnd<S, A, G> {
    selector: S,
    assigner: Assigner,
    init: A,
    fold: G,
}

impl<T, S, A, G> Build<Owned<T>> for KeyedFoldAtEnd<S, A, G>
where
    T: 'static,
    S: KeySelector<T>,
    A: Clone + Send + 'static,
    G: FnMut(&mut A, T) + Clone + Send + 'static,
{
    type Out = Owned<(S::Stored, A)>;
    type Operator = KeyedFold<T, S, A, G>;

    fn build(self, subtask: &SubtaskContext) -> Result<Self::Operator> {
        let KeyedFoldAtEnd { selector, assigner, init, fold } = self;
        let table = ValueTable::new(subtask, assigner);
        Ok(KeyedFold { selector, table, leaving: None, init, fold })
    }
}

/// The operator of [`KeyedFoldAtEnd`].
pub struct KeyedFold<T, S: KeySelector<T>, A, G> {
    selector: S,
    table: ValueTable<S::Stored, A, S::Assigned>,
    /// What is left to emit, once the end has come.
    leaving: Option<Drain<S::Stored, A>>,
    init: A,
    fold: G,
}

impl<T, S, A, G> Operator<Owned<T>> for KeyedFold<T, S, A, G>
where
    T: 'static,
    S: KeySelector<T>,
    A: Clone + 'static,
    G: FnMut(&mut A, T) + 'static,
{
    type Out = Owned<(S::Stored, A)>;

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
        _: &mut impl Output<Self::Out>,
    ) {
        let KeyedFold { selector, table, init, .. } = self;
        let make = |key| (S::store(key), init.clone());
        let (_, value) = table.entry(hint, selector.key(&record), || ctx.split(), S::same, make);
        (self.fold)(value, record);
    }

    fn measure(&self, measures: &mut Measures<'_>) {
        self.table.size().tell(measures);
    }

    /// In front of the last watermark, so that what is emitted is not late for those behind.
    fn watermark<'s>(
        &mut self,
        watermark: Timestamp,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Self::Out>,
    ) -> Flow {
        if watermark == MAX_TIMESTAMP { self.end(ctx, out) } else { Flow::Done }
    }

    fn end<'s>(&mut self, ctx: &mut Context<'s>, out: &mut impl Output<Self::Out>) -> Flow {
        let leaving = self.leaving.get_or_insert_with(|| self.table.drain());
        let mut emitted = 0;
        for entry in leaving.take(FIRING_BUDGET) {
            // An operator behind may have given its records another time.
            ctx.set_timestamp(MAX_TIMESTAMP);
            out.push(entry, ctx);
            emitted += 1;
        }
        if emitted == FIRING_BUDGET { Flow::More } else { Flow::Done }
    }
}

#[cfg(test)]
mod tests {
    use slotflow_runtime::testing::{check, subtask};
    use slotflow_runtime::{Arena, Blame};

    use super::*;
    use crate::keyed::selector::ByValue;

    fn counting<F: FnMut(&u64) -> u64>(
        key: F,
    ) -> KeyedFoldAtEnd<ByValue<F>, u64, impl FnMut(&mut u64, u64) + Clone + Send> {
        let fold = |count: &mut u64, _: u64| *count += 1;
        KeyedFoldAtEnd { selector: ByValue::hashed(key), assigner: Assigner::Hash, init: 0, fold }
    }

    #[derive(Default)]
    struct Emitted(Vec<(u64, u64)>);

    impl Output<Owned<(u64, u64)>> for Emitted {
        fn push<'s>(&mut self, record: (u64, u64), _: &mut Context<'s>) {
            self.0.push(record);
        }
    }

    #[test]
    fn nothing_comes_before_the_end() {
        check(counting(|_| 7), "1@1 2@2 |2 3 #", "|2 7:3@9223372036854775807 #");
        check(counting(|_| 7), "1@1 2@2 |2 3 #drain", "|2 7:3@9223372036854775807 #drain");
    }

    #[test]
    fn the_end_is_emitted_in_portions_and_once() {
        let mut operator = counting(|n| *n).build(&subtask()).unwrap();
        let (arena, blame, place) = (Arena::new(), Blame::default(), subtask());
        let mut ctx = Context::new(&arena, &place, &blame, 1);
        let (keys, mut emitted) = (3 * FIRING_BUDGET as u64 - 1, Emitted::default());
        (0..keys).for_each(|n| operator.process(n, &mut ctx, &mut emitted));
        for portion in 1..=2 {
            assert_eq!(operator.end(&mut ctx, &mut emitted), Flow::More);
            assert_eq!(emitted.0.len(), portion * FIRING_BUDGET);
        }
        assert_eq!(operator.end(&mut ctx, &mut emitted), Flow::Done);
        assert_eq!(operator.end(&mut ctx, &mut emitted), Flow::Done);
        emitted.0.sort_unstable();
        assert_eq!(emitted.0, (0..keys).map(|n| (n, 1)).collect::<Vec<_>>());
    }
}
