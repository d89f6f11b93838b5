//! The greatest records of each key.

use slotflow_runtime::Owned;
use slotflow_runtime::pipe::{Pipe, Then};

use crate::{
    KeySelector, KeyedProcessFunction, KeyedStream, ListState, Open, ProcessContext, ProcessPlan, State,
    StateDescriptors, Stream,
};

impl<'env, T, P, S> KeyedStream<'env, P, S>
where
    T: State + Clone + Send,
    P: Pipe<Out = Owned<T>>,
    S: KeySelector<T, Stored: State>,
{
    /// Keeps the `n` records of each key that are greatest by `rank`, and gives all of them, greatest first,
    /// whenever they change. Of two of the same rank the earlier one comes first.
    ///
    /// ```
    /// # use slotflow::{prelude::*, testing::collect};
    /// let scores = [("ann", 3), ("ann", 7), ("bob", 1), ("ann", 2), ("ann", 5)];
    /// let best = collect(scores.map(|(name, score)| (name.to_owned(), score)), |scores| {
    ///     scores.key_by_ref(|score| score.0.as_str()).top(2, |score| score.1).map(|best| (best[0].1, best.len()))
    /// })?;
    /// assert_eq!(best, [(3, 1), (7, 2), (1, 1), (7, 2)]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn top<O, R>(
        self,
        n: usize,
        rank: R,
    ) -> Stream<'env, Then<P, ProcessPlan<S, impl Open<Top<T, R>> + use<T, P, S, O, R>>>>
    where
        O: Ord,
        R: Fn(&T) -> O + Clone + Send + 'static,
    {
        let open =
            move |states: &mut StateDescriptors<'_>| Top { n, rank: rank.clone(), best: states.list("best") };
        self.process(open).name("top")
    }
}

/// See [`KeyedStream::top`].
pub struct Top<T, R> {
    n: usize,
    rank: R,
    best: ListState<T>,
}

impl<K, T, O, R> KeyedProcessFunction<K, T> for Top<T, R>
where
    T: State + Clone,
    O: Ord,
    R: Fn(&T) -> O + 'static,
{
    type Out = Vec<T>;

    fn process(&mut self, record: T, ctx: &mut ProcessContext<'_, K, Vec<T>>) {
        let rank = (self.rank)(&record);
        let place = self.best.values(ctx).partition_point(|best| (self.rank)(best) >= rank);
        if place == self.n {
            return;
        }
        let mut best = self.best.take(ctx);
        best.insert(place, record);
        best.truncate(self.n);
        self.best.set(ctx, best.clone());
        ctx.push(best);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use slotflow_runtime::testing::Harness;

    use super::*;
    use crate::keyed_process;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_best_are_those_of_all_records_sorted(
            n in 0..5usize, records in prop::collection::vec((0..3u8, 0..10u8, any::<u16>()), 0..60),
        ) {
            type Record = (u8, u8, u16);
            let open = move |states: &mut StateDescriptors<'_>| Top {
                n,
                rank: |it: &Record| it.1,
                best: states.list("best"),
            };
            let mut harness = Harness::new(keyed_process(|it: &Record| it.0, open)).unwrap();
            let (mut all, mut before) = (Vec::<Record>::new(), [vec![], vec![], vec![]]);
            for record in records {
                all.push(record);
                let mut best: Vec<_> = all.iter().filter(|it| it.0 == record.0).copied().collect();
                best.sort_by_key(|it| std::cmp::Reverse(it.1));
                best.truncate(n);
                harness.push(record).unwrap();
                let given = harness.take();
                let known = &mut before[usize::from(record.0)];
                prop_assert!(given == [best.clone()] || (given.is_empty() && best == *known), "{given:?}");
                *known = best;
            }
        }
    }
}
