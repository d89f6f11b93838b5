//! Joins streams of one record type into one.

use slotflow_runtime::edge::partition::AsPlanned;
use slotflow_runtime::install::Installer;
use slotflow_runtime::pipe::{Merge, OutletPlan, Pipe};
use slotflow_runtime::plan::{EdgeId, Graph, OperatorId, Role};
use slotflow_runtime::{Owned, Problem, Result, Time};

use crate::environment::Pipeline;
use crate::{Environment, Stream};

impl<'env, T: Send + 'static, P: Pipe<Out = Owned<T>>> Stream<'env, P> {
    /// Joins this stream with another, or with up to four in a tuple: every record of each, in any
    /// order between streams and in their own within each.
    ///
    /// Always an edge, since several chains lead to it. Its event time is that of the slowest stream,
    /// and it ends when all have ended. It has its inputs' parallelism if that is the same for all,
    /// and the job's otherwise.
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// let env = Environment::with(Config::default());
    /// let numbers = Collected::new();
    /// let (small, large) = (env.source(from_iterator([1, 2])), env.source(from_iterator([10, 20])));
    /// small.union((large, env.source(from_iterator([100])))).sink(numbers.sink());
    /// env.run("union")?;
    /// let mut numbers = numbers.take();
    /// numbers.sort();
    /// assert_eq!(numbers, [1, 2, 10, 20, 100]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn union(self, others: impl Streams<'env, T, P::Time>) -> Stream<'env, Merge<T, P::Time>> {
        let (env, mut inputs) = (self.env, Vec::new());
        self.leave(&mut inputs);
        others.leave(&mut inputs);
        // Only now: an operator has a higher number than its inputs.
        let union = env.graph(|graph| graph.add("union", Role::Operator));
        let edges = inputs.into_iter().filter_map(|input| input.lead_to(env, union)).collect();
        Stream::new(env, union, Merge::new(union, edges))
    }
}

impl<'env, P: Pipe> Stream<'env, P> {
    /// Ends the stream in front of a partitioner's edge that has no operator behind it yet by putting
    /// one there: the edge itself cannot lead two ways, or share a reader.
    pub(crate) fn closed(self) -> (&'env Environment, OperatorId, P) {
        let Stream { env, last, open_edge, pipe } = self;
        let Some(edge) = open_edge else { return (env, last, pipe) };
        let last = env.graph(|graph| {
            let operator = graph.add(graph.edges[edge].partitioner.name(), Role::Operator);
            graph.edges[edge].to = operator;
            operator
        });
        (env, last, pipe)
    }
}

/// What a stream can be joined with: another, or up to four in a tuple.
#[diagnostic::on_unimplemented(
    message = "these streams cannot be joined",
    note = "all streams of a union have one record type, and event time either all or none; `map` turns records \
            into a common type"
)]
pub trait Streams<'env, T, M> {
    /// Ends these streams at the union.
    #[doc(hidden)]
    fn leave(self, inputs: &mut Vec<Input<'env>>);
}

impl<'env, T: Send + 'static, P: Pipe<Out = Owned<T>>> Streams<'env, T, P::Time> for Stream<'env, P> {
    fn leave(self, inputs: &mut Vec<Input<'env>>) {
        let (env, last, pipe) = self.closed();
        let join = move |edge| env.add_pipeline(UnionEnd { pipe, edge });
        inputs.push(Input { env, last, join: Box::new(join) });
    }
}

macro_rules! tuples_of_streams {
    ($($stream:ident)*) => {
        impl<'env, T, M, $($stream: Streams<'env, T, M>),*> Streams<'env, T, M> for ($($stream,)*) {
            #[allow(non_snake_case)]
            fn leave(self, inputs: &mut Vec<Input<'env>>) {
                let ($($stream,)*) = self;
                $($stream.leave(inputs);)*
            }
        }
    };
}
tuples_of_streams!(A B);
tuples_of_streams!(A B C);
tuples_of_streams!(A B C D);

/// A stream on its way into a union.
pub struct Input<'env> {
    env: &'env Environment,
    last: OperatorId,
    /// Joins the job, once the edge is known.
    join: Box<dyn FnOnce(EdgeId) + 'env>,
}

impl Input<'_> {
    /// A stream of another environment has an operator number that means something else here: it is left out and
    /// told at the start, of both environments.
    fn lead_to(self, env: &Environment, union: OperatorId) -> Option<EdgeId> {
        if !std::ptr::eq(self.env, env) {
            env.graph(|graph| graph.mistakes.push(foreign()));
            return None;
        }
        let edge = connect_apart(env, self.last, union);
        (self.join)(edge);
        Some(edge)
    }
}

fn foreign() -> Problem {
    let what = "joins a stream of another environment";
    Problem::new("union", what, "begin all streams of a job with .source(..) of one environment")
}

/// An edge between pipelines that are separate from the start.
pub(crate) fn connect_apart(env: &Environment, from: OperatorId, to: OperatorId) -> EdgeId {
    env.graph(|graph| {
        let edge = graph.connect(from, to);
        graph.edges[edge].must_cut = true;
        edge
    })
}

/// A pipeline that ends at an edge to a union.
struct UnionEnd<P> {
    pipe: P,
    edge: EdgeId,
}

impl<T, M, P> Pipeline for UnionEnd<P>
where
    T: Send + 'static,
    M: Time,
    P: Pipe<Out = Owned<T>, Time = M>,
{
    fn discover(&mut self, graph: &mut Graph) {
        self.pipe.discover(graph);
    }

    fn install(self: Box<Self>, installer: &mut Installer<'_>) -> Result<()> {
        let outlet = OutletPlan::<T, M, AsPlanned>::new(installer, self.edge, AsPlanned)?;
        self.pipe.install(installer, outlet)
    }
}
