//! The typed description of a pipeline: from a source or an inlet through operators and possible cuts.
//!
//! A [`Pipe`] is built front to back by the typed API and installed back to front: each piece takes
//! the description of everything behind it and passes a longer one on, until the head is reached and
//! the subtasks can be made. Where a cut is possible, both forms are compiled: fused, the description
//! passes through; cut, it becomes a chain of its own behind an edge. So `n` possible cuts cost
//! `n * n` pieces of code, not two to the power of `n`.

use std::marker::PhantomData;

use crate::edge::combine::{BuildCombine, CombiningPlan};
use crate::edge::inlet::Inlet;
use crate::edge::outlet::Outlet;
use crate::edge::overflow::Overflow;
use crate::edge::partition::{BuildRoute, RoutePlan};
use crate::edge::ring::Sender;
use crate::head::SourceHead;
use crate::install::{Installer, Seats};
use crate::plan::{EdgeId, Graph, OperatorId};
use crate::{
    AssignTime, Build, Chain, Downstream, Error, EventTime, Family, Owned, Result, Retime, Source,
    SourceReader, SubtaskContext, Time,
};

/// A pipeline up to some operator.
pub trait Pipe: Sized + Send + 'static {
    /// The records at its end.
    type Out: Family;
    /// Whether they carry event time.
    type Time: Time;

    /// Asks the sources at its front how they are divided, and notes in the graph what they say, or what speaks
    /// against a start.
    fn discover(&mut self, graph: &mut Graph);

    /// Makes the subtasks of the pipeline, with `rest` behind it.
    fn install<D: Downstream<Self::Out>>(self, installer: &mut Installer<'_>, rest: D) -> Result<()>;
}

/// A pipeline that begins with a source.
pub struct Begin<S> {
    /// The source's number in the graph.
    pub operator: OperatorId,
    /// The source.
    pub source: S,
}

impl<S: Source> Pipe for Begin<S> {
    type Out = <S::Reader as SourceReader>::Item;
    type Time = <S::Reader as SourceReader>::Time;

    fn discover(&mut self, graph: &mut Graph) {
        if graph.operator(self.operator).splits.is_some() {
            return;
        }
        match Error::caught(|| self.source.splits()) {
            Ok(splits) => graph.operator_mut(self.operator).splits = Some(splits),
            Err(error) => graph.refuse(self.operator, error),
        }
    }

    fn install<D: Downstream<Self::Out>>(mut self, installer: &mut Installer<'_>, rest: D) -> Result<()> {
        for index in 0..installer.parallelism(self.operator) {
            let context = installer.context(self.operator, index);
            let splits = installer.plan().splits(self.operator, index);
            let (reader, committer) = Error::caught(|| {
                let mut reader = self.source.open(&context, &splits)?;
                let committer = reader.committer();
                Ok((reader, committer))
            })
            .map_err(|error| installer.locate(error, &context))?;
            let number = installer.source(committer);
            let head = SourceHead::new(reader, number, installer.control().clone());
            installer.spawn(self.operator, context, head, rest.clone());
        }
        Ok(())
    }
}

/// A pipeline that begins at edges from other pipelines.
pub struct Merge<T, M> {
    operator: OperatorId,
    edges: Vec<EdgeId>,
    records: PhantomData<fn() -> (T, M)>,
}

impl<T, M> Merge<T, M> {
    /// Begins with what comes over `edges`, all of which lead to `operator`.
    pub fn new(operator: OperatorId, edges: Vec<EdgeId>) -> Self {
        Merge { operator, edges, records: PhantomData }
    }
}

impl<T: Send + 'static, M: Time> Pipe for Merge<T, M> {
    type Out = Owned<T>;
    type Time = M;

    fn discover(&mut self, graph: &mut Graph) {
        self.edges.iter().for_each(|edge| graph.carries::<(T, M::Stamp)>(*edge));
    }

    fn install<D: Downstream<Owned<T>>>(self, installer: &mut Installer<'_>, rest: D) -> Result<()> {
        let mut rings: Vec<Vec<_>> = Vec::new();
        for edge in &self.edges {
            let readers = installer.readers::<(T, M::Stamp)>(*edge)?;
            rings.resize_with(readers.len(), Vec::new);
            rings.iter_mut().zip(readers).for_each(|(all, some)| all.extend(some));
        }
        for (index, rings) in rings.into_iter().enumerate() {
            let context = installer.context(self.operator, index);
            installer.spawn(self.operator, context, Inlet::<T, M>::new(rings), rest.clone());
        }
        Ok(())
    }
}

/// A pipeline and an operator behind it, always in one chain.
pub struct Then<P, B> {
    /// The pipeline.
    pub pipe: P,
    /// The operator's number in the graph.
    pub operator: OperatorId,
    /// The edge between the two, in case a cut is wanted later.
    pub edge: EdgeId,
    /// The operator.
    pub build: B,
}

impl<P: Pipe, B: Build<P::Out>> Pipe for Then<P, B> {
    type Out = B::Out;
    type Time = P::Time;

    fn discover(&mut self, graph: &mut Graph) {
        self.pipe.discover(graph);
    }

    fn install<D: Downstream<B::Out>>(self, installer: &mut Installer<'_>, rest: D) -> Result<()> {
        self.pipe.install(installer, Chain { operator: self.operator, head: self.build, rest })
    }
}

/// A pipeline and an operator behind it that makes event time, always in one chain.
pub struct ThenTimed<P, A> {
    /// The pipeline.
    pub pipe: P,
    /// The operator's number in the graph.
    pub operator: OperatorId,
    /// The edge between the two, in case a cut is wanted later.
    pub edge: EdgeId,
    /// What says how far event time has come.
    pub assigner: A,
}

impl<P: Pipe, A: AssignTime<P::Out>> Pipe for ThenTimed<P, A> {
    type Out = P::Out;
    type Time = EventTime;

    fn discover(&mut self, graph: &mut Graph) {
        self.pipe.discover(graph);
    }

    fn install<D: Downstream<P::Out>>(self, installer: &mut Installer<'_>, rest: D) -> Result<()> {
        self.pipe.install(installer, Retime::new(self.operator, self.assigner, rest))
    }
}

/// A pipeline that may end here, and another begin behind an edge.
pub struct Cut<P, R> {
    /// The pipeline in front.
    pub pipe: P,
    /// The edge that may be cut here.
    pub edge: EdgeId,
    /// Which of the edge's cuts this is, from [`Graph::cut`].
    pub number: u32,
    /// The partitioner, if it is cut.
    pub route: R,
}

impl<T, P, R> Pipe for Cut<P, R>
where
    T: Send + 'static,
    P: Pipe<Out = Owned<T>>,
    R: BuildRoute<T>,
{
    type Out = Owned<T>;
    type Time = P::Time;

    fn discover(&mut self, graph: &mut Graph) {
        self.pipe.discover(graph);
        graph.carries::<(T, <P::Time as Time>::Stamp)>(self.edge);
    }

    fn install<D: Downstream<Owned<T>>>(self, installer: &mut Installer<'_>, rest: D) -> Result<()> {
        if !self.is_made(installer) {
            return self.pipe.install(installer, rest);
        }
        let Cut { pipe, edge, route, .. } = self;
        let outlet = cut::<T, P::Time, R>(installer, (edge, route), rest)?;
        pipe.install(installer, outlet)
    }
}

impl<P, R> Cut<P, R> {
    /// Whether this is the cut that is made, of those that its edge may have.
    fn is_made(&self, installer: &Installer<'_>) -> bool {
        let plan = installer.plan();
        !plan.edges[self.edge].fused && plan.graph.edges[self.edge].cuts == self.number
    }
}

/// Begins a pipeline behind an edge, and gives the edge's outlets.
fn cut<T: Send + 'static, M: Time, R: BuildRoute<T>>(
    installer: &mut Installer<'_>,
    (edge, route): (EdgeId, R),
    rest: impl Downstream<Owned<T>>,
) -> Result<OutletPlan<T, M, R>> {
    let operator = installer.plan().graph.edges[edge].to;
    Merge::<T, M>::new(operator, vec![edge]).install(installer, rest)?;
    OutletPlan::new(installer, edge, route)
}

/// A possible cut: if it is made, the records of a step are combined in front of it, into fewer of the same kind. So
/// the pipeline behind it is the same whether it is made or not.
pub struct Combined<P, R, C> {
    /// The cut.
    pub cut: Cut<P, R>,
    /// What combines.
    pub combine: C,
}

impl<T, P, R, C> Pipe for Combined<P, R, C>
where
    T: Send + 'static,
    P: Pipe<Out = Owned<T>, Time = EventTime>,
    R: BuildRoute<T>,
    C: BuildCombine<T, Out = T>,
{
    type Out = Owned<T>;
    type Time = EventTime;

    fn discover(&mut self, graph: &mut Graph) {
        self.cut.discover(graph);
    }

    fn install<D: Downstream<Owned<T>>>(self, installer: &mut Installer<'_>, rest: D) -> Result<()> {
        if !self.cut.is_made(installer) {
            return self.cut.pipe.install(installer, rest);
        }
        let Combined { cut: Cut { pipe, edge, route, .. }, combine } = self;
        let operator = installer.plan().graph.edges[edge].to;
        let outlet = cut(installer, (edge, route), rest)?;
        pipe.install(installer, CombiningPlan { operator, combine, outlet })
    }
}

/// A pipeline and an operator behind it, with an edge between the two: if it is cut, the records of a step are
/// combined before they cross it, and another form of the operator takes what they have become.
pub struct ThenCombined<P, R, C, A, B> {
    /// The pipeline in front.
    pub pipe: P,
    /// The operator's number in the graph.
    pub operator: OperatorId,
    /// The edge between the two.
    pub edge: EdgeId,
    /// The partitioner, if it is cut.
    pub route: R,
    /// What combines, if it is cut.
    pub combine: C,
    /// The operator, if it is not.
    pub fused: A,
    /// The operator, if it is.
    pub behind: B,
}

impl<T, P, R, C, A, B> Pipe for ThenCombined<P, R, C, A, B>
where
    T: Send + 'static,
    P: Pipe<Out = Owned<T>, Time = EventTime>,
    C: BuildCombine<T>,
    R: BuildRoute<C::Out>,
    A: Build<Owned<T>>,
    B: Build<Owned<C::Out>, Out = A::Out>,
{
    type Out = A::Out;
    type Time = EventTime;

    fn discover(&mut self, graph: &mut Graph) {
        self.pipe.discover(graph);
        // Behind it: another partitioner in front has the same edge, and thinks that records cross.
        graph.carries::<(C::Out, <EventTime as Time>::Stamp)>(self.edge);
    }

    fn install<D: Downstream<A::Out>>(self, installer: &mut Installer<'_>, rest: D) -> Result<()> {
        let ThenCombined { pipe, operator, edge, route, combine, fused, behind } = self;
        if installer.plan().edges[edge].fused {
            return pipe.install(installer, Chain { operator, head: fused, rest });
        }
        let outlet = cut(installer, (edge, route), Chain { operator, head: behind, rest })?;
        pipe.install(installer, CombiningPlan { operator, combine, outlet })
    }
}

/// The writing ends of one subtask's rings, to records with their stamps.
type Targets<T, M> = Vec<Sender<(T, <M as Time>::Stamp)>>;

/// The outlets of one edge, one for each writing subtask.
pub struct OutletPlan<T, M: Time, R> {
    writers: Seats<Targets<T, M>>,
    route: R,
    plan: RoutePlan,
    overflow: Overflow,
}

impl<T: Send + 'static, M: Time, R: BuildRoute<T>> OutletPlan<T, M, R> {
    /// Takes the writing ends of `edge`.
    pub fn new(installer: &mut Installer<'_>, edge: EdgeId, route: R) -> Result<Self> {
        let writers = Seats::new(installer.writers::<(T, M::Stamp)>(edge)?);
        let (plan, overflow) = (installer.route(edge), installer.overflow(edge));
        Ok(OutletPlan { writers, route, plan, overflow })
    }
}

impl<T, M: Time, R: Clone> Clone for OutletPlan<T, M, R> {
    fn clone(&self) -> Self {
        OutletPlan {
            writers: self.writers.clone(),
            route: self.route.clone(),
            plan: self.plan.clone(),
            overflow: self.overflow.clone(),
        }
    }
}

impl<T: Send + 'static, M: Time, R: BuildRoute<T>> Downstream<Owned<T>> for OutletPlan<T, M, R> {
    type Consumer = Outlet<T, M, R::Route>;

    fn build(self, subtask: &SubtaskContext) -> Result<Self::Consumer> {
        let targets = self.writers.take(subtask.index)?;
        let route = self.route.build(subtask, &self.plan, targets.len())?;
        Ok(Outlet::new(targets, route, self.overflow.at(subtask)))
    }
}
