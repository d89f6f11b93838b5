//! Divides a stream into two that go on apart.

use std::marker::PhantomData;

use slotflow_runtime::edge::partition::AsPlanned;
use slotflow_runtime::install::Installer;
use slotflow_runtime::pipe::{Merge, OutletPlan, Pipe};
use slotflow_runtime::plan::{EdgeId, Graph, Role};
use slotflow_runtime::{Cloning, Downstream, Family, Fork, Owned, Result, Routed, Routing};

use crate::environment::Pipeline;
use crate::union::connect_apart;
use crate::{Environment, Stream};

/// Two streams behind one: the main output and the side output.
pub type Split<'env, A, B, M> = (Stream<'env, Merge<A, M>>, Stream<'env, Merge<B, M>>);

impl<'env, P: Pipe> Stream<'env, P> {
    /// Divides the stream by what `route` makes of each record: the main output and the side output.
    /// They are streams of their own, each behind an edge; both must end in a sink.
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// let env = Environment::with(Config::default());
    /// let (numbers, words) = env.source(from_iterator(["1", "x", "3"])).split_by(|word| {
    ///     match word.parse::<u32>() {
    ///         Ok(number) => Routed::Main(number),
    ///         Err(_) => Routed::Side(word),
    ///     }
    /// });
    /// let (seen, rest) = (Collected::new(), Collected::new());
    /// numbers.sink(seen.sink());
    /// words.sink(rest.sink());
    /// env.run("numbers")?;
    /// assert_eq!((seen.take(), rest.take()), (vec![1, 3], vec!["x"]));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn split_by<A, B, F>(self, route: F) -> Split<'env, A, B, P::Time>
    where
        A: Send + 'static,
        B: Send + 'static,
        F: for<'s> FnMut(<P::Out as Family>::Of<'s>) -> Routed<A, B> + Clone + Send + 'static,
    {
        self.map(route).name("split").fork::<A, B, Routing>(["main", "side"])
    }

    /// Turns each record into another; one that fails goes to the second stream as its error, the
    /// dead letter.
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// let env = Environment::with(Config::default());
    /// let words = env.source(from_iterator(["1", "x"]));
    /// let (numbers, bad) = words.try_map_split(|word| word.parse::<u32>().map_err(|_| format!("bad: {word}")));
    /// let (good, dead) = (Collected::new(), Collected::new());
    /// numbers.sink(good.sink());
    /// bad.sink(dead.sink());
    /// env.run("parse")?;
    /// assert_eq!((good.take(), dead.take()), (vec![1], vec!["bad: x".to_owned()]));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn try_map_split<U, E, F>(self, mut map: F) -> Split<'env, U, E, P::Time>
    where
        U: Send + 'static,
        E: Send + 'static,
        F: for<'s> FnMut(<P::Out as Family>::Of<'s>) -> Result<U, E> + Clone + Send + 'static,
    {
        let route = move |record: <P::Out as Family>::Of<'_>| match map(record) {
            Ok(record) => Routed::Main(record),
            Err(error) => Routed::Side(error),
        };
        self.map(route).name("try_map").fork::<U, E, Routing>(["main", "dead letter"])
    }
}

impl<'env, T: Send + 'static, P: Pipe<Out = Owned<T>>> Stream<'env, P> {
    /// Divides the stream: records for which `main` is true go to the first, the others to the second.
    /// They are streams of their own, each behind an edge; both must end in a sink.
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// let env = Environment::with(Config::default());
    /// let (even, odd) = env.source(from_iterator(1..=4)).split(|n| n % 2 == 0);
    /// let (evens, odds) = (Collected::new(), Collected::new());
    /// even.sink(evens.sink());
    /// odd.sink(odds.sink());
    /// env.run("split")?;
    /// assert_eq!((evens.take(), odds.take()), (vec![2, 4], vec![1, 3]));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn split<F>(self, mut main: F) -> Split<'env, T, T, P::Time>
    where
        F: FnMut(&T) -> bool + Clone + Send + 'static,
    {
        self.split_by(move |record| if main(&record) { Routed::Main(record) } else { Routed::Side(record) })
    }

    /// Gives every record to two streams, each behind an edge of its own: for branches that belong to
    /// other slots. [`tee_with`](Stream::tee_with) keeps both in the chain.
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// let env = Environment::with(Config::default());
    /// let (left, right) = env.source(from_iterator([1, 2])).tee();
    /// let numbers = Collected::new();
    /// left.map(|n| n * 10).union(right).sink(numbers.sink());
    /// env.run("tee")?;
    /// let mut numbers = numbers.take();
    /// numbers.sort();
    /// assert_eq!(numbers, [1, 2, 10, 20]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn tee(self) -> Split<'env, T, T, P::Time>
    where
        T: Clone,
    {
        self.fork::<T, T, Cloning>(["left", "right"])
    }
}

impl<'env, A: Send + 'static, B: Send + 'static, P: Pipe<Out = Owned<Routed<A, B>>>> Stream<'env, P> {
    /// Sends each record the way it says, for an operator with a side output.
    pub(crate) fn fork_routed(self, names: [&str; 2]) -> Split<'env, A, B, P::Time> {
        self.fork::<A, B, Routing>(names)
    }
}

/// The outlets of both branches.
type Outlets<A, B, T, M> = Fork<OutletPlan<A, T, AsPlanned>, OutletPlan<B, T, AsPlanned>, M>;

impl<'env, P: Pipe> Stream<'env, P> {
    /// Ends this stream at two edges and begins one behind each.
    pub(crate) fn fork<A, B, M>(self, names: [&str; 2]) -> Split<'env, A, B, P::Time>
    where
        A: Send + 'static,
        B: Send + 'static,
        M: 'static,
        Outlets<A, B, P::Time, M>: Downstream<P::Out>,
    {
        let (env, last, pipe) = self.closed();
        let (first, second) = (branch(env, last, names[0]), branch(env, last, names[1]));
        let edges = (first.1, second.1);
        env.add_pipeline(ForkEnd::<P, A, B, M> { pipe, edges, records: PhantomData });
        let behind = |(operator, edge)| (operator, vec![edge]);
        let ((left, left_edges), (right, right_edges)) = (behind(first), behind(second));
        let left = Stream::new(env, left, Merge::new(left, left_edges));
        (left, Stream::new(env, right, Merge::new(right, right_edges)))
    }
}

/// Puts the operator that leads a branch behind `last`.
fn branch(env: &Environment, last: u32, name: &str) -> (u32, EdgeId) {
    let operator = env.graph(|graph| graph.add(name, Role::Operator));
    (operator, connect_apart(env, last, operator))
}

/// A pipeline that ends at the edges of two branches.
struct ForkEnd<P, A, B, M> {
    pipe: P,
    edges: (EdgeId, EdgeId),
    records: PhantomData<fn() -> (A, B, M)>,
}

impl<P, A, B, M> Pipeline for ForkEnd<P, A, B, M>
where
    P: Pipe,
    A: Send + 'static,
    B: Send + 'static,
    Outlets<A, B, P::Time, M>: Downstream<P::Out>,
{
    fn discover(&mut self, graph: &mut Graph) {
        self.pipe.discover(graph);
    }

    fn install(self: Box<Self>, installer: &mut Installer<'_>) -> Result<()> {
        let first = OutletPlan::new(installer, self.edges.0, AsPlanned)?;
        let second = OutletPlan::new(installer, self.edges.1, AsPlanned)?;
        self.pipe.install(installer, Outlets::<A, B, P::Time, M>::new(first, second))
    }
}
