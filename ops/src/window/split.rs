//! Windows whose late records are a second stream.

use std::marker::PhantomData;

use slotflow_runtime::pipe::Pipe;
use slotflow_runtime::{Build, Cloned, Context, Operator, Output, Owned, Routed};

use super::co_group::{Pairs, Sides};
use super::{All, Aside, DefaultTrigger, Fired, Joining, WindowPlan, WindowResult, WindowedStream, Windows};
use crate::keyed::KeySelector;
use crate::{Either, Map, Split};

/// The two outputs of windows.
pub(super) const OUTPUTS: [&str; 2] = ["main", "late"];

impl<'env, T, P, S, W> WindowedStream<'env, P, S, W>
where
    T: Clone + Send + 'static,
    P: Pipe<Out = Owned<T>>,
    S: KeySelector<T, Stored: Clone + Eq>,
    W: Windows<P::Time> + DefaultTrigger,
{
    /// As [`reduce`](WindowedStream::reduce) in one phase, with the late records as a second stream; see
    /// [`aggregate_split`](WindowedStream::aggregate_split).
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// # use std::time::Duration;
    /// # let env = Environment::with(Config::default());
    /// # let timed = env.source(from_iterator([1, 5, 12])).with_timestamps(|it| *it, Watermarks::monotonous());
    /// let windows = timed.key_by(|_| 'k').window(Tumbling::of(Duration::from_millis(10)));
    /// let (sums, late) = windows.reduce_split(|a, b| a + b);
    /// # let (seen, rest) = (Collected::new(), Collected::new());
    /// # sums.map(|window| window.value).sink(seen.sink());
    /// # late.sink(rest.sink());
    /// # env.run("sums")?;
    /// # assert_eq!((seen.take(), rest.take()), (vec![6, 12], vec![]));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn reduce_split<G>(self, join: G) -> Split<'env, Fired<T, S, Joining<G>>, T, P::Time>
    where
        S: KeySelector<T, Stored: Send>,
        G: Fn(T, T) -> T + Clone + Send + 'static,
        WindowPlan<W, S, Joining<G>, Aside>: Build<Owned<T>, Out = Owned<Routed<Fired<T, S, Joining<G>>, T>>>,
    {
        self.aggregate_split(Joining::new(join))
    }

    /// As [`process`](WindowedStream::process), with the late records as a second stream; see
    /// [`aggregate_split`](WindowedStream::aggregate_split).
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// # use std::time::Duration;
    /// # let env = Environment::with(Config::default());
    /// # let timed = env.source(from_iterator([1, 5, 12])).with_timestamps(|it| *it, Watermarks::monotonous());
    /// let windows = timed.key_by(|_| 'k').window(Tumbling::of(Duration::from_millis(10)));
    /// let (counts, late) = windows.process_split(|window| (window.start, window.value.len()));
    /// # let (seen, rest) = (Collected::new(), Collected::new());
    /// # counts.sink(seen.sink());
    /// # late.sink(rest.sink());
    /// # env.run("counts")?;
    /// # assert_eq!((seen.take(), rest.take()), (vec![(0, 2), (10, 1)], vec![]));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn process_split<U, G>(self, process: G) -> Split<'env, U, T, P::Time>
    where
        U: Send + 'static,
        G: FnMut(WindowResult<S::Stored, Vec<T>>) -> U + Clone + Send + 'static,
        WindowPlan<W, S, All<T>, Aside>: Build<Owned<T>, Out = Owned<Routed<Fired<T, S, All<T>>, T>>>,
    {
        let windows = self.windowed(All::new(), Aside);
        windows.then("process", Cloned(Beside(Map(process)))).fork_routed(OUTPUTS)
    }
}

impl<'env, A, B, P, S, W> WindowedStream<'env, P, S, W>
where
    A: Clone + Send + 'static,
    B: Clone + Send + 'static,
    P: Pipe<Out = Owned<Either<A, B>>>,
    S: KeySelector<Either<A, B>, Stored: Clone + Eq>,
    W: Windows<P::Time> + DefaultTrigger,
    WindowPlan<W, S, Sides<A, B>, Aside>:
        Build<Owned<Either<A, B>>, Out = Owned<Routed<Fired<Either<A, B>, S, Sides<A, B>>, Either<A, B>>>>,
{
    /// As [`co_group`](WindowedStream::co_group), with the late records of both streams as a second one; see
    /// [`aggregate_split`](WindowedStream::aggregate_split).
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// # use std::time::Duration;
    /// # let env = Environment::with(Config::default());
    /// # let side = || env.source(from_iterator([1, 5])).with_timestamps(|it| *it, Watermarks::monotonous());
    /// let windows = side().connect(side()).key_by(|_| 'k').window(Tumbling::of(Duration::from_millis(10)));
    /// let (counts, late) = windows.co_group_split(|window| (window.value.0.len(), window.value.1.len()));
    /// # let (seen, rest) = (Collected::new(), Collected::new());
    /// # counts.sink(seen.sink());
    /// # late.sink(rest.sink());
    /// # env.run("counts")?;
    /// # assert_eq!((seen.take(), rest.take()), (vec![(2, 2)], vec![]));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn co_group_split<U, G>(self, group: G) -> Split<'env, U, Either<A, B>, P::Time>
    where
        U: Send + 'static,
        G: FnMut(WindowResult<S::Stored, (Vec<A>, Vec<B>)>) -> U + Clone + Send + 'static,
    {
        let windows = self.windowed(Sides(PhantomData), Aside);
        windows.then("co_group", Cloned(Beside(Map(group)))).fork_routed(OUTPUTS)
    }

    /// As [`join`](WindowedStream::join), with the late records of both streams as a second one; see
    /// [`aggregate_split`](WindowedStream::aggregate_split).
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// # use std::time::Duration;
    /// # let env = Environment::with(Config::default());
    /// # let side = || env.source(from_iterator([1, 5])).with_timestamps(|it| *it, Watermarks::monotonous());
    /// let windows = side().connect(side()).key_by(|it| match it {
    ///     Either::First(it) | Either::Second(it) => *it,
    /// });
    /// let (sums, late) = windows.window(Tumbling::of(Duration::from_millis(10))).join_split(|a, b| a + b);
    /// # let (seen, rest) = (Collected::new(), Collected::new());
    /// # sums.sink(seen.sink());
    /// # late.sink(rest.sink());
    /// # env.run("sums")?;
    /// # let mut seen = seen.take();
    /// # seen.sort();
    /// # assert_eq!((seen, rest.take()), (vec![2, 10], vec![]));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn join_split<U, G>(self, join: G) -> Split<'env, U, Either<A, B>, P::Time>
    where
        U: Send + 'static,
        G: FnMut(&A, &B) -> U + Clone + Send + 'static,
    {
        let windows = self.windowed(Sides(PhantomData), Aside);
        windows.then("join", Cloned(Beside(Pairs(join)))).fork_routed(OUTPUTS)
    }
}

/// Hands the results of windows to an operator that keeps nothing, and late records past it.
#[derive(Clone)]
pub(super) struct Beside<O>(pub(super) O);

impl<R, T, U, O> Operator<Owned<Routed<R, T>>> for Beside<O>
where
    R: 'static,
    T: 'static,
    U: 'static,
    O: Operator<Owned<R>, Out = Owned<U>>,
{
    type Out = Owned<Routed<U, T>>;

    fn process<'s>(&mut self, record: Routed<R, T>, ctx: &mut Context<'s>, out: &mut impl Output<Self::Out>) {
        match record {
            Routed::Main(result) => self.0.process(result, ctx, &mut Main(out, PhantomData)),
            Routed::Side(late) => out.push(Routed::Side(late), ctx),
        }
    }
}

/// The main one of two outputs.
struct Main<'a, T, O>(&'a mut O, PhantomData<fn(T)>);

impl<U: 'static, T: 'static, O: Output<Owned<Routed<U, T>>>> Output<Owned<U>> for Main<'_, T, O> {
    fn push<'s>(&mut self, record: U, ctx: &mut Context<'s>) {
        self.0.push(Routed::Main(record), ctx);
    }
}
