//! Keyed streams: records grouped by a key, and state for each key.

mod aggregate;
mod fold;
mod fold_at_end;
mod map_with_state;
mod reduce;
mod rolling;
mod selector;
mod table;

use slotflow_runtime::edge::partition::AsPlanned;
use slotflow_runtime::pipe::{Cut, Pipe, Then};
use slotflow_runtime::plan::Partitioner;
use slotflow_runtime::{Build, Key, Owned};

pub use aggregate::{Aggregate, Aggregated};
pub use fold::Fold;
pub use fold_at_end::{KeyedFold, KeyedFoldAtEnd};
pub use map_with_state::MapWithState;
pub use reduce::Reduce;
pub use rolling::{Rolled, Rolling, RollingPlan};
pub use selector::{ByKey, ByKeyOrAll, ByReference, ByValue, Hash, HashOrAll, InPlace, KeySelector};
pub(crate) use slotflow_runtime::segments::{Cursor, Segments, Visited};
pub use table::{AsAssigned, Assigned, ByHash};
pub(crate) use table::{Assigner, Drain, Round, Table, ValueTable};

use crate::Stream;

/// A stream whose records are grouped by a key: all those of a key meet at one subtask, in the order
/// in which each source subtask sent them.
#[must_use = "a stream does nothing until it ends in a sink"]
pub struct KeyedStream<'env, P, S> {
    pub(crate) stream: Stream<'env, P>,
    pub(crate) selector: S,
    pub(crate) assigner: Assigner,
}

impl<'env, T: Send + 'static, P: Pipe<Out = Owned<T>>> Stream<'env, P> {
    /// Groups the records by what `key` finds in them: Flink's `keyBy`. They are spread over the
    /// subtasks by key group.
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// # let (env, counts) = (Environment::with(Config::default()), Collected::new());
    /// let words = env.source(from_iterator(["a", "bc"])).map_in(|word, arena| arena.copy_str(word));
    /// let owned = words.map(|word| word.to_owned());
    /// owned.key_by(|word| word.len() as u64).fold(0, |count, _| *count += 1).sink(counts.sink());
    /// ```
    ///
    /// A record that is borrowed from the step's arena cannot cross to the subtask of its key:
    ///
    /// ```compile_fail
    /// # use slotflow::prelude::*;
    /// # let (env, counts) = (Environment::with(Config::default()), Collected::new());
    /// let words = env.source(from_iterator(["a", "bc"])).map_in(|word, arena| arena.copy_str(word));
    /// words.key_by(|word| word.len() as u64).fold(0, |count, _| *count += 1).sink(counts.sink());
    /// ```
    pub fn key_by<K, F>(self, key: F) -> KeyedStream<'env, Cut<P, ByKey<ByValue<F>>>, ByValue<F>>
    where
        K: Key + Eq + 'static,
        F: FnMut(&T) -> K + Clone + Send + 'static,
    {
        self.key_by_selector(ByValue::hashed(key))
    }

    /// As [`key_by`](Stream::key_by), with a key that stays in the record: it is cloned once, when it
    /// is seen for the first time, and not for every record.
    ///
    /// ```
    /// # use slotflow::{prelude::*, testing::collect};
    /// let words = ["a", "b", "a"].map(String::from);
    /// let counts = collect(words, |words| {
    ///     words.key_by_ref(|word| word.as_str()).fold(0, |count, _| *count += 1)
    /// })?;
    /// assert_eq!(counts, [1, 1, 2]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn key_by_ref<Q, F>(self, key: F) -> KeyedByReference<'env, P, Q, F>
    where
        Q: Key + Eq + ToOwned<Owned: Key> + ?Sized + 'static,
        F: for<'r> FnMut(&'r T) -> &'r Q + Clone + Send + 'static,
    {
        self.key_by_selector(ByReference::new(key))
    }

    /// Groups records that are already where they belong: each key is in one source partition only.
    /// No exchange; the source partition is the key group, modulo `max_parallelism`.
    ///
    /// State can be stored, and found again at another parallelism, where partition `n` is read by subtask
    /// `n % parallelism`, as of one topic, and there are no more partitions than key groups, or both parallelisms
    /// divide `max_parallelism`. Anywhere else the keys of a group may be at several subtasks, of which none could have
    /// them all: to store or restore such a group is refused.
    pub fn key_by_source_partition<K, F>(self, key: F) -> KeyedStream<'env, Cut<P, AsPlanned>, InPlace<F>>
    where
        K: Key + Eq + 'static,
        F: FnMut(&T) -> K + Clone + Send + 'static,
    {
        let (stream, selector) = (self.forward(), ByValue::in_place(key));
        KeyedStream { stream, selector, assigner: Assigner::SourcePartition }
    }

    fn key_by_selector<S: KeySelector<T>>(self, selector: S) -> KeyedStream<'env, Cut<P, ByKey<S>>, S> {
        let stream = self.cut(Partitioner::Hash, ByKey(selector.clone()));
        KeyedStream { stream, selector, assigner: Assigner::Hash }
    }
}

/// What [`Stream::key_by_ref`] gives.
pub type KeyedByReference<'env, P, Q, F> =
    KeyedStream<'env, Cut<P, ByKey<ByReference<Q, F>>>, ByReference<Q, F>>;

impl<'env, T: 'static, P: Pipe<Out = Owned<T>>, S> KeyedStream<'env, P, S> {
    /// Adds an operator with state for each key.
    pub(crate) fn then<B: Build<Owned<T>>>(self, name: &str, build: B) -> Stream<'env, Then<P, B>> {
        let stream = self.stream.then(name, build);
        keeps_state(&stream, self.assigner);
        stream
    }

    /// Adds a rolling operator.
    pub(crate) fn rolling<R>(self, name: &str, rule: R) -> Stream<'env, Then<P, RollingPlan<S, R>>>
    where
        S: Clone,
        RollingPlan<S, R>: Build<Owned<T>>,
    {
        let plan = RollingPlan { selector: self.selector.clone(), assigner: self.assigner, rule };
        self.then(name, plan)
    }
}

/// Notes that the last operator has state for each key.
pub(crate) fn keeps_state<P>(stream: &Stream<'_, P>, assigner: Assigner) {
    stream.env.graph(|graph| {
        let operator = graph.operator_mut(stream.last);
        operator.stateful = true;
        operator.by_source_partition = assigner == Assigner::SourcePartition;
    });
}

#[cfg(test)]
mod tests {
    use slotflow_runtime::Cloned;
    use slotflow_runtime::testing::check;

    use super::*;

    fn rolling<R>(rule: R) -> RollingPlan<ByValue<impl FnMut(&(char, u64)) -> char + Clone + Send>, R> {
        let selector = ByValue::hashed(|pair: &(char, u64)| pair.0);
        RollingPlan { selector, assigner: Assigner::Hash, rule }
    }

    #[test]
    fn reduce_emits_the_first_as_it_is_and_then_what_is_joined() {
        let join = |sum: (char, u64), pair: (char, u64)| (pair.0, 10 * sum.1 + pair.1);
        check(rolling(Cloned(Reduce::new(join))), "a:1@1 b:5 |1 a:2@2 a:3 #", "a:1@1 b:5 |1 a:12@2 a:123 #");
    }

    #[test]
    fn fold_begins_anew_for_each_key() {
        let fold = Fold::new(100, |sum: &mut u64, pair: (char, u64)| *sum += pair.1);
        check(rolling(Cloned(fold)), "a:1@1 b:5 |1 a:2@2 #", "101@1 105 |1 103@2 #");
    }

    #[test]
    fn state_follows_the_key() {
        let number = |seen: &mut u64, pair: (char, u64)| {
            *seen += 1;
            (pair.1, *seen)
        };
        check(rolling(Cloned(MapWithState::new(number))), "a:7@1 b:8 |1 a:9@2 #", "7:1@1 8:1 |1 9:2@2 #");
    }

    #[test]
    fn a_borrowed_key_is_the_same_as_a_kept_one() {
        fn name(pair: &(String, u64)) -> &str {
            &pair.0
        }
        let selector = ByReference::new(name);
        let rule = Cloned(Fold::new(0, |sum: &mut u64, pair: (String, u64)| *sum += pair.1));
        let plan = RollingPlan { selector, assigner: Assigner::Hash, rule };
        check(plan, "a:1 b:2 a:3 b:4 #", "1 2 4 6 #");
    }
}
