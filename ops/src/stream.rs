//! The stream: a description of records still to come.

use slotflow_runtime::edge::partition::AsPlanned;
use slotflow_runtime::pipe::{Begin, Cut, Merge, Pipe, Then, ThenTimed};
use slotflow_runtime::plan::{Chaining, EdgeId, OperatorId, Partitioner, Role};
use slotflow_runtime::{AssignTime, Build, Owned, Source, Time};

use crate::Environment;

/// A typed description of records still to come, as far as the last operator.
///
/// Operators are methods; each has a file of its own. Methods that say something about an operator
/// ([`name`](Stream::name), [`parallelism`](Stream::parallelism), ...) speak of the last one, as in
/// Flink.
#[must_use = "a stream does nothing until it ends in a sink"]
pub struct Stream<'env, P> {
    pub(crate) env: &'env Environment,
    /// The last operator.
    pub(crate) last: OperatorId,
    /// The edge behind it, if a partitioner has begun one.
    pub(crate) open_edge: Option<EdgeId>,
    pub(crate) pipe: P,
}

impl<'env, P: Pipe> Stream<'env, P> {
    pub(crate) fn new(env: &'env Environment, last: OperatorId, pipe: P) -> Self {
        Stream { env, last, open_edge: None, pipe }
    }

    /// Adds an operator, chained to the last one. The base of every operator's method; a user's own
    /// [`Operator`](slotflow_runtime::Operator) comes in here too, as [`Cloned`](slotflow_runtime::Cloned)
    /// or from a factory, [`With`](slotflow_runtime::With).
    pub fn then<B: Build<P::Out>>(self, name: &str, build: B) -> Stream<'env, Then<P, B>> {
        self.then_numbered(name, |_| build)
    }

    /// As [`then`](Stream::then), for an operator that needs its number for its errors.
    pub(crate) fn then_numbered<B: Build<P::Out>>(
        self,
        name: &str,
        build: impl FnOnce(OperatorId) -> B,
    ) -> Stream<'env, Then<P, B>> {
        let Stream { env, last, open_edge, pipe } = self;
        let (operator, edge) = lead_to(env, last, open_edge, name, Role::Operator);
        Stream::new(env, operator, Then { pipe, operator, edge, build: build(operator) })
    }

    /// Names the last operator: in plans, errors, metrics and the configuration.
    pub fn name(self, name: &str) -> Self {
        self.env.graph(|graph| graph.operator_mut(self.last).name = name.into());
        self
    }

    /// Gives the last operator an identity that stays when the job around it changes; what is stored
    /// for an operator is found again by it. Must be unique in the job.
    pub fn uid(self, uid: &str) -> Self {
        self.env.graph(|graph| graph.operator_mut(self.last).uid = Some(uid.into()));
        self
    }

    /// Begins an edge behind the last operator.
    pub(crate) fn cut<T, R>(self, partitioner: Partitioner, route: R) -> Stream<'env, Cut<P, R>>
    where
        P: Pipe<Out = Owned<T>>,
    {
        let Stream { env, last, open_edge, pipe } = self;
        // Behind another partitioner the edge is there already, and the last one counts.
        let (edge, number) = env.graph(|graph| {
            let edge = open_edge.unwrap_or_else(|| graph.connect(last, last));
            graph.edges[edge].partitioner = partitioner;
            (edge, graph.cut(edge))
        });
        Stream { env, last, open_edge: Some(edge), pipe: Cut { pipe, edge, number, route } }
    }
}

impl<'env, P, B> Stream<'env, Then<P, B>> {
    /// The same with the last operator described otherwise.
    pub(crate) fn described<C>(self, otherwise: impl FnOnce(B) -> C) -> Stream<'env, Then<P, C>> {
        let Stream { env, last, open_edge, pipe: Then { pipe, operator, edge, build } } = self;
        let build = otherwise(build);
        Stream { env, last, open_edge, pipe: Then { pipe, operator, edge, build } }
    }
}

/// Adds an operator behind another one.
pub(crate) fn lead_to(
    env: &Environment,
    last: OperatorId,
    open_edge: Option<EdgeId>,
    name: &str,
    role: Role,
) -> (OperatorId, EdgeId) {
    env.graph(|graph| {
        let operator = graph.add(name, role);
        let edge = open_edge.unwrap_or_else(|| graph.connect(last, operator));
        graph.edges[edge].to = operator;
        (operator, edge)
    })
}

/// Pipelines whose last operator can lead a chain: where a cut in front of it can be compiled.
#[diagnostic::on_unimplemented(
    message = "the last operator cannot lead a chain of its own",
    note = "only records that own what they hold can cross to another slot: `map` the borrowed record into an \
            owned one before the operator that gets its own parallelism, slot sharing group or chain; what is said \
            about the operator in front of `boxed` is said before `boxed`"
)]
pub trait CutBefore: Pipe {
    /// The pipeline with the cut.
    type Cut: Pipe<Out = Self::Out, Time = Self::Time>;
    /// Makes the cut possible; `number` gives the number of a cut of this edge.
    fn cut_before(self, number: &mut dyn FnMut(EdgeId) -> u32) -> Self::Cut;
}

impl<S: Source> CutBefore for Begin<S> {
    type Cut = Self;
    fn cut_before(self, _: &mut dyn FnMut(EdgeId) -> u32) -> Self {
        self
    }
}

impl<T: Send + 'static, M: Time> CutBefore for Merge<T, M> {
    type Cut = Self;
    fn cut_before(self, _: &mut dyn FnMut(EdgeId) -> u32) -> Self {
        self
    }
}

impl<T: Send + 'static, P: Pipe<Out = Owned<T>>, B: Build<Owned<T>>> CutBefore for Then<P, B> {
    type Cut = Then<Cut<P, AsPlanned>, B>;
    fn cut_before(self, number: &mut dyn FnMut(EdgeId) -> u32) -> Self::Cut {
        let Then { pipe, operator, edge, build } = self;
        let number = number(edge);
        Then { pipe: Cut { pipe, edge, number, route: AsPlanned }, operator, edge, build }
    }
}

impl<T, P, A> CutBefore for ThenTimed<P, A>
where
    T: Send + 'static,
    P: Pipe<Out = Owned<T>>,
    A: AssignTime<Owned<T>>,
{
    type Cut = ThenTimed<Cut<P, AsPlanned>, A>;
    fn cut_before(self, number: &mut dyn FnMut(EdgeId) -> u32) -> Self::Cut {
        let ThenTimed { pipe, operator, edge, assigner } = self;
        let number = number(edge);
        ThenTimed { pipe: Cut { pipe, edge, number, route: AsPlanned }, operator, edge, assigner }
    }
}

impl<'env, P: CutBefore> Stream<'env, P> {
    /// Gives the last operator, and what is chained to it, a parallelism of its own.
    ///
    /// Where it differs from that in front, records are rebalanced, unless a partitioner says
    /// otherwise. Operators behind it keep this parallelism until the next partitioner: nothing is
    /// spread anew without being asked for.
    pub fn parallelism(self, parallelism: usize) -> Stream<'env, P::Cut> {
        self.env.graph(|graph| graph.operator_mut(self.last).parallelism = Some(parallelism));
        self.lead()
    }

    /// Puts the last operator, and those behind it, into a slot sharing group: only operators of one
    /// group share slots.
    pub fn slot_sharing_group(self, group: &str) -> Stream<'env, P::Cut> {
        self.env.graph(|graph| graph.operator_mut(self.last).group = Some(group.into()));
        self.lead()
    }

    /// Keeps the last operator from being chained to what is in front of it.
    pub fn start_new_chain(self) -> Stream<'env, P::Cut> {
        self.env.graph(|graph| graph.operator_mut(self.last).chaining = Chaining::Head);
        self.lead()
    }

    /// Keeps the last operator from being chained at all.
    pub fn disable_chaining<T: Send + 'static>(self) -> Stream<'env, Cut<P::Cut, AsPlanned>>
    where
        P: Pipe<Out = Owned<T>>,
    {
        self.env.graph(|graph| graph.operator_mut(self.last).chaining = Chaining::Never);
        self.lead().cut(Partitioner::Forward, AsPlanned)
    }

    fn lead(self) -> Stream<'env, P::Cut> {
        let Stream { env, last, open_edge, pipe } = self;
        let mut number = |edge: EdgeId| env.graph(|graph| graph.cut_once(edge));
        Stream { env, last, open_edge, pipe: pipe.cut_before(&mut number) }
    }
}
