//! Partitioners: how records are spread over the subtasks of the next operator.

use slotflow_runtime::Owned;
use slotflow_runtime::edge::partition::{AsPlanned, Broadcast, Custom};
use slotflow_runtime::pipe::{Cut, Pipe};
use slotflow_runtime::plan::Partitioner;

use crate::Stream;

impl<'env, T: Send + 'static, P: Pipe<Out = Owned<T>>> Stream<'env, P> {
    /// To all subtasks in turn. The operator behind has the job's parallelism, as behind every
    /// partitioner but [`forward`](Stream::forward).
    ///
    /// Records that cross to other slots must own what they hold:
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// # let (env, lengths) = (Environment::with(Config::default()), Collected::new());
    /// let words = env.source(from_iterator(["a", "bc"])).map_in(|word, arena| arena.copy_str(word));
    /// words.map(|word| word.to_owned()).rebalance().map(|word| word.len()).sink(lengths.sink());
    /// ```
    ///
    /// One that is borrowed from the step's arena cannot leave the step:
    ///
    /// ```compile_fail
    /// # use slotflow::prelude::*;
    /// # let (env, lengths) = (Environment::with(Config::default()), Collected::new());
    /// let words = env.source(from_iterator(["a", "bc"])).map_in(|word, arena| arena.copy_str(word));
    /// words.rebalance().map(|word| word.len()).sink(lengths.sink());
    /// ```
    ///
    /// And one that is not `Send` cannot leave its slot:
    ///
    /// ```compile_fail
    /// # use slotflow::prelude::*;
    /// # let (env, lengths) = (Environment::with(Config::default()), Collected::new());
    /// let words = env.source(from_iterator(["a", "bc"])).map(|word| std::rc::Rc::new(word));
    /// words.rebalance().map(|word| word.len()).sink(lengths.sink());
    /// ```
    pub fn rebalance(self) -> Stream<'env, Cut<P, AsPlanned>> {
        self.cut(Partitioner::Rebalance, AsPlanned)
    }

    /// To the subtasks of the own share in turn: two to six are three each. Fewer rings than
    /// [`rebalance`](Stream::rebalance), and less balance.
    pub fn rescale(self) -> Stream<'env, Cut<P, AsPlanned>> {
        self.cut(Partitioner::Rescale, AsPlanned)
    }

    /// To a subtask at random, the same in every run.
    pub fn shuffle(self) -> Stream<'env, Cut<P, AsPlanned>> {
        self.cut(Partitioner::Shuffle, AsPlanned)
    }

    /// To the first subtask.
    pub fn global(self) -> Stream<'env, Cut<P, AsPlanned>> {
        self.cut(Partitioner::Global, AsPlanned)
    }

    /// To the subtask with the same number. What operators do by themselves; said aloud it makes a
    /// place where the configuration can cut the chain.
    pub fn forward(self) -> Stream<'env, Cut<P, AsPlanned>> {
        self.cut(Partitioner::Forward, AsPlanned)
    }

    /// To all subtasks; the only partitioner that needs `Clone`.
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// # #[derive(Clone)]
    /// struct Rate(f64);
    /// # let (env, rates) = (Environment::with(Config::default()), Collected::new());
    /// env.source(from_iterator([1.0])).map(Rate).broadcast().map(|rate| rate.0).sink(rates.sink());
    /// ```
    ///
    /// ```compile_fail
    /// # use slotflow::prelude::*;
    /// struct Rate(f64); // not Clone
    /// # let (env, rates) = (Environment::with(Config::default()), Collected::new());
    /// env.source(from_iterator([1.0])).map(Rate).broadcast().map(|rate| rate.0).sink(rates.sink());
    /// ```
    pub fn broadcast(self) -> Stream<'env, Cut<P, Broadcast>>
    where
        T: Clone,
    {
        self.cut(Partitioner::Broadcast, Broadcast)
    }

    /// To the subtask that `choose(record, subtasks)` names, modulo their number.
    pub fn partition_custom<F>(self, choose: F) -> Stream<'env, Cut<P, Custom<F>>>
    where
        F: FnMut(&T, usize) -> usize + Clone + Send + 'static,
    {
        self.cut(Partitioner::Custom, Custom(choose))
    }
}
