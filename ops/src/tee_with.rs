//! Gives every record to two branches within one chain.

use std::marker::PhantomData;

use slotflow_runtime::install::Installer;
use slotflow_runtime::pipe::{Pipe, Then, ThenTimed};
use slotflow_runtime::plan::{Graph, OperatorId};
use slotflow_runtime::{
    AssignTime, Build, Chain, Cloning, Downstream, Error, Family, Fork, Result, Retime, Sink, Time,
};

use crate::environment::Pipeline;
use crate::sink::SinkPlan;
use crate::{Stream, Sunk};

/// The beginning of a branch: the stream in front of the tee, as seen from within.
pub struct Root<F, M>(PhantomData<fn() -> (F, M)>);

impl<F: Family, M: Time> Pipe for Root<F, M> {
    type Out = F;
    type Time = M;

    fn discover(&mut self, _: &mut Graph) {}

    fn install<D: Downstream<F>>(self, _: &mut Installer<'_>, _: D) -> Result<()> {
        Err(Error::bug("a branch of a tee was installed without what is in front of it"))
    }
}

/// A branch of [`Stream::tee_with`]: operators that stay in one chain, down to a sink.
#[diagnostic::on_unimplemented(
    message = "this branch of `tee_with` would leave the chain",
    note = "a branch with a partitioner, `key_by`, a parallelism, a slot sharing group, a chain of its own or \
            `boxed` needs an edge in front of it: use `let (a, b) = stream.tee()`"
)]
pub trait Branch<F: Family>: Pipe {
    /// The branch with `D` behind it.
    type Down<D: Downstream<Self::Out>>: Downstream<F>;
    /// Puts `rest` behind the branch.
    fn compose<D: Downstream<Self::Out>>(self, rest: D) -> Self::Down<D>;
}

impl<F: Family, M: Time> Branch<F> for Root<F, M> {
    type Down<D: Downstream<F>> = D;
    fn compose<D: Downstream<F>>(self, rest: D) -> D {
        rest
    }
}

impl<F: Family, P: Branch<F>, B: Build<P::Out>> Branch<F> for Then<P, B> {
    type Down<D: Downstream<B::Out>> = P::Down<Chain<B, D>>;
    fn compose<D: Downstream<B::Out>>(self, rest: D) -> Self::Down<D> {
        self.pipe.compose(Chain { operator: self.operator, head: self.build, rest })
    }
}

impl<F: Family, P: Branch<F>, A: AssignTime<P::Out>> Branch<F> for ThenTimed<P, A> {
    type Down<D: Downstream<P::Out>> = P::Down<Retime<A, D>>;
    fn compose<D: Downstream<P::Out>>(self, rest: D) -> Self::Down<D> {
        self.pipe.compose(Retime::new(self.operator, self.assigner, rest))
    }
}

/// The stream that a branch begins with.
pub type BranchStream<'env, P> = Stream<'env, Root<<P as Pipe>::Out, <P as Pipe>::Time>>;

impl<'env, P: Pipe> Stream<'env, P>
where
    for<'s> <P::Out as Family>::Of<'s>: Clone,
{
    /// Gives every record to two branches, each down to a sink of its own, in the same chain: no edge,
    /// no hand-over. The record is cloned for the first branch. Branches that belong to other slots
    /// need [`tee`](Stream::tee).
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// let env = Environment::with(Config::default());
    /// let (tenfold, sums) = (Collected::new(), Collected::new());
    /// env.source(from_iterator([1, 2])).tee_with(
    ///     |numbers| numbers.map(|n| n * 10).sink(tenfold.sink()),
    ///     |numbers| numbers.fold_at_end(0, |sum, n| *sum += n).sink(sums.sink()),
    /// );
    /// env.run("tee")?;
    /// assert_eq!((tenfold.take(), sums.take()), (vec![10, 20], vec![3]));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// ```compile_fail
    /// # use slotflow::prelude::*;
    /// # let env = Environment::with(Config::default());
    /// # let (left, right) = (Collected::new(), Collected::new());
    /// env.source(from_iterator([1, 2])).tee_with(
    ///     |numbers| numbers.rebalance().map(|n| n * 10).sink(left.sink()), // leaves the chain
    ///     |numbers| numbers.sink(right.sink()),
    /// );
    /// ```
    pub fn tee_with<A, K, B, L>(
        self,
        first: impl FnOnce(BranchStream<'env, P>) -> Sunk<'env, A, K>,
        second: impl FnOnce(BranchStream<'env, P>) -> Sunk<'env, B, L>,
    ) where
        A: Branch<P::Out>,
        K: Sink<A::Out>,
        B: Branch<P::Out>,
        L: Sink<B::Out>,
    {
        let (env, last, pipe) = self.closed();
        let (first, second) = (
            first(Stream::new(env, last, Root(PhantomData))).into_end(),
            second(Stream::new(env, last, Root(PhantomData))).into_end(),
        );
        // A sink always has its end until it joins the job.
        if let (Some(first), Some(second)) = (first, second) {
            env.add_pipeline(TeeEnd { pipe, first, second });
        }
    }
}

/// A branch and its sink.
pub(crate) struct BranchEnd<P, K> {
    pub(crate) pipe: P,
    pub(crate) operator: OperatorId,
    pub(crate) sink: K,
}

impl<P, K> BranchEnd<P, K> {
    fn downstream<F>(self, installer: &mut Installer<'_>) -> Result<impl Downstream<F> + use<F, P, K>>
    where
        F: Family,
        P: Branch<F>,
        K: Sink<P::Out>,
    {
        let tails = installer.sink::<P::Out, K>(self.operator, self.sink)?;
        Ok(self.pipe.compose(SinkPlan::<P::Out, K::Writer>(tails)))
    }
}

/// A pipeline that ends in two branches.
struct TeeEnd<P, A, K, B, L> {
    pipe: P,
    first: BranchEnd<A, K>,
    second: BranchEnd<B, L>,
}

impl<P, A, K, B, L> Pipeline for TeeEnd<P, A, K, B, L>
where
    P: Pipe,
    for<'s> <P::Out as Family>::Of<'s>: Clone,
    A: Branch<P::Out>,
    K: Sink<A::Out>,
    B: Branch<P::Out>,
    L: Sink<B::Out>,
{
    fn discover(&mut self, graph: &mut Graph) {
        let TeeEnd { pipe, first, second } = self;
        let (first, second) = ((first.operator, &mut first.sink), (second.operator, &mut second.sink));
        let rest = |graph: &mut Graph| graph.check(first.0, || first.1.check(), |graph| pipe.discover(graph));
        graph.check(second.0, || second.1.check(), rest);
    }

    fn install(self: Box<Self>, installer: &mut Installer<'_>) -> Result<()> {
        let TeeEnd { pipe, first, second } = *self;
        let first = first.downstream::<P::Out>(installer)?;
        let second = second.downstream::<P::Out>(installer)?;
        pipe.install(installer, Fork::<_, _, Cloning>::new(first, second))
    }
}
