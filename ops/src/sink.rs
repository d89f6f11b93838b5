//! Sinks: where a stream ends.

use slotflow_runtime::edge::partition::AsPlanned;
use slotflow_runtime::install::{Installer, Seats};
use slotflow_runtime::pipe::{Cut, Pipe};
use slotflow_runtime::plan::{Chaining, EdgeId, Graph, OperatorId, Role};
use slotflow_runtime::{Downstream, Family, Owned, Result, Sink, SinkTail, SinkWriter, SubtaskContext};

use crate::environment::Pipeline;
use crate::stream::lead_to;
use crate::tee_with::BranchEnd;
use crate::{Environment, Stream};

impl<'env, P: Pipe> Stream<'env, P> {
    /// Ends the stream in a sink. The sink joins the job when the value that this returns is dropped,
    /// so the methods that describe it come right behind; a job is not started while somebody holds it.
    pub fn sink<K: Sink<P::Out>>(self, sink: K) -> Sunk<'env, P, K> {
        let Stream { env, last, open_edge, pipe } = self;
        let (operator, edge) = lead_to(env, last, open_edge, &sink.describe(), Role::Sink);
        env.graph(|graph| {
            let spec = graph.operator_mut(operator);
            (spec.guarantee, spec.settings) = (Some(sink.guarantee()), sink.settings());
        });
        env.hold(operator);
        Sunk { env, operator, edge, end: Some((pipe, sink)) }
    }
}

/// A sink at the end of a stream, to be described further.
pub struct Sunk<'env, P: Pipe, K: Sink<P::Out>> {
    env: &'env Environment,
    operator: OperatorId,
    edge: EdgeId,
    /// There until it has joined the job.
    end: Option<(P, K)>,
}

impl<'env, P: Pipe, K: Sink<P::Out>> Sunk<'env, P, K> {
    /// Names the sink.
    pub fn name(self, name: &str) -> Self {
        self.env.graph(|graph| graph.operator_mut(self.operator).name = name.into());
        self
    }

    /// Takes it back, for a branch that joins the job with what is in front of it.
    pub(crate) fn into_end(mut self) -> Option<BranchEnd<P, K>> {
        let operator = self.operator;
        self.env.let_go(operator);
        self.end.take().map(|(pipe, sink)| BranchEnd { pipe, operator, sink })
    }

    /// Gives the sink an identity that stays when the job around it changes.
    pub fn uid(self, uid: &str) -> Self {
        self.env.graph(|graph| graph.operator_mut(self.operator).uid = Some(uid.into()));
        self
    }
}

impl<'env, T, P, K> Sunk<'env, P, K>
where
    T: Send + 'static,
    P: Pipe<Out = Owned<T>>,
    K: Sink<Owned<T>>,
{
    /// Gives the sink a parallelism of its own; where it differs from that in front, records are
    /// rebalanced, unless a partitioner says otherwise.
    pub fn parallelism(self, parallelism: usize) -> Sunk<'env, Cut<P, AsPlanned>, K> {
        self.env.graph(|graph| graph.operator_mut(self.operator).parallelism = Some(parallelism));
        self.lead()
    }

    /// Puts the sink into a slot sharing group.
    pub fn slot_sharing_group(self, group: &str) -> Sunk<'env, Cut<P, AsPlanned>, K> {
        self.env.graph(|graph| graph.operator_mut(self.operator).group = Some(group.into()));
        self.lead()
    }

    /// Keeps the sink from being chained.
    pub fn disable_chaining(self) -> Sunk<'env, Cut<P, AsPlanned>, K> {
        self.env.graph(|graph| graph.operator_mut(self.operator).chaining = Chaining::Never);
        self.lead()
    }

    fn lead(mut self) -> Sunk<'env, Cut<P, AsPlanned>, K> {
        let (env, operator, edge) = (self.env, self.operator, self.edge);
        let number = env.graph(|graph| graph.cut_once(edge));
        let end = self.end.take().map(|(pipe, sink)| (Cut { pipe, edge, number, route: AsPlanned }, sink));
        Sunk { env, operator, edge, end }
    }
}

impl<P: Pipe, K: Sink<P::Out>> Drop for Sunk<'_, P, K> {
    fn drop(&mut self) {
        if let Some((pipe, sink)) = self.end.take() {
            self.env.let_go(self.operator);
            self.env.add_pipeline(SinkEnd { pipe, operator: self.operator, sink });
        }
    }
}

/// A pipeline that ends in a sink.
struct SinkEnd<P, K> {
    pipe: P,
    operator: OperatorId,
    sink: K,
}

impl<P: Pipe, K: Sink<P::Out>> Pipeline for SinkEnd<P, K> {
    fn discover(&mut self, graph: &mut Graph) {
        let SinkEnd { pipe, operator, sink } = self;
        graph.check(*operator, || sink.check(), |graph| pipe.discover(graph));
    }

    fn install(self: Box<Self>, installer: &mut Installer<'_>) -> Result<()> {
        let tails = installer.sink::<P::Out, K>(self.operator, self.sink)?;
        self.pipe.install(installer, SinkPlan::<P::Out, K::Writer>(tails))
    }
}

/// The tails of a sink, one for each subtask.
pub(crate) struct SinkPlan<F: Family, W>(pub(crate) Seats<SinkTail<F, W>>);

impl<F: Family, W> Clone for SinkPlan<F, W> {
    fn clone(&self) -> Self {
        SinkPlan(self.0.clone())
    }
}

impl<F: Family, W: SinkWriter<F>> Downstream<F> for SinkPlan<F, W> {
    type Consumer = SinkTail<F, W>;
    fn build(self, subtask: &SubtaskContext) -> Result<Self::Consumer> {
        self.0.take(subtask.index)
    }
}
