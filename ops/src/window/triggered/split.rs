//! Windows with a trigger whose late records are a second stream.

use std::marker::PhantomData;

use slotflow_runtime::pipe::Pipe;
use slotflow_runtime::{Build, Cloned, Owned, Routed};

use super::super::co_group::{Pairs, Sides};
use super::super::split::{Beside, OUTPUTS};
use super::{
    All, Aside, Contents, Fired, Joining, Keep, Listing, Trigger, TriggeredPlan, TriggeredStream,
    WindowAssigner, WindowFiring, Windows,
};
use crate::keyed::KeySelector;
use crate::{Either, Map, Split};

impl<'env, T, P, S, W, G, E> TriggeredStream<'env, P, S, W, G, E>
where
    T: Clone + Send + 'static,
    P: Pipe<Out = Owned<T>>,
    S: KeySelector<T, Stored: Clone + Eq>,
    W: Windows<P::Time> + WindowAssigner<T, G>,
    G: Trigger<T>,
{
    /// As [`reduce`](TriggeredStream::reduce), with the late records as a second stream; see
    /// [`aggregate_split`](TriggeredStream::aggregate_split).
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// # use std::time::Duration;
    /// # let env = Environment::with(Config::default());
    /// # let timed = env.source(from_iterator([1, 5, 12])).with_timestamps(|it| *it, Watermarks::monotonous());
    /// let windows = timed.key_by(|_| 'k').window(Tumbling::of(Duration::from_millis(10)));
    /// let (sums, late) = windows.early(Duration::from_secs(60)).reduce_split(|a, b| a + b);
    /// # let (seen, rest) = (Collected::new(), Collected::new());
    /// # sums.map(|window| window.value).sink(seen.sink());
    /// # late.sink(rest.sink());
    /// # env.run("sums")?;
    /// # assert_eq!((seen.take(), rest.take()), (vec![6, 12], vec![]));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn reduce_split<F>(self, join: F) -> Split<'env, Fired<T, S, E::Contents>, T, P::Time>
    where
        F: Fn(T, T) -> T + Clone + Send + 'static,
        E: Keep<T, Joining<F>, Contents: Contents<T, Out: Send>>,
        S: KeySelector<T, Stored: Send>,
        TriggeredPlan<W, S, G, E::Contents, Aside>:
            Build<Owned<T>, Out = Owned<Routed<Fired<T, S, E::Contents>, T>>>,
    {
        self.aggregate_split(Joining::new(join))
    }

    /// As [`process`](TriggeredStream::process), with the late records as a second stream; see
    /// [`aggregate_split`](TriggeredStream::aggregate_split).
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// # use std::time::Duration;
    /// # let env = Environment::with(Config::default());
    /// # let timed = env.source(from_iterator([1, 5, 2])).with_timestamps(|it| *it, Watermarks::monotonous());
    /// let windows = timed.key_by(|_| 'k').window(Tumbling::of(Duration::from_millis(10)));
    /// let (pairs, late) = windows.trigger(CountTrigger::of(2)).process_split(|it| it.value.len());
    /// # let (seen, rest) = (Collected::new(), Collected::new());
    /// # pairs.sink(seen.sink());
    /// # late.sink(rest.sink());
    /// # env.run("pairs")?;
    /// # assert_eq!((seen.take(), rest.take()), (vec![2], vec![]));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn process_split<U, F>(self, process: F) -> Split<'env, U, T, P::Time>
    where
        U: Send + 'static,
        F: FnMut(WindowFiring<S::Stored, Vec<T>>) -> U + Clone + Send + 'static,
        E: Keep<T, All<T>>,
    {
        let all = |keep: E| Listing { aggregate: All::new(), evictor: keep.evictor() };
        let windows = self.triggered(all, Aside);
        windows.then("process", Cloned(Beside(Map(process)))).fork_routed(OUTPUTS)
    }
}

impl<'env, A, B, P, S, W, G, E> TriggeredStream<'env, P, S, W, G, E>
where
    A: Clone + Send + 'static,
    B: Clone + Send + 'static,
    P: Pipe<Out = Owned<Either<A, B>>>,
    S: KeySelector<Either<A, B>, Stored: Clone + Eq>,
    W: Windows<P::Time> + WindowAssigner<Either<A, B>, G>,
    G: Trigger<Either<A, B>>,
    E: Keep<Either<A, B>, Sides<A, B>>,
{
    /// As [`co_group`](TriggeredStream::co_group), with the late records of both streams as a second one; see
    /// [`aggregate_split`](TriggeredStream::aggregate_split).
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// # let env = Environment::with(Config::default());
    /// # let (firsts, seconds) = (env.source(from_iterator([1, 2])), env.source(from_iterator(['a'])));
    /// let windows = firsts.connect(seconds).key_by(|_| 0).window(Global).trigger(EventTimeTrigger);
    /// let (counts, late) = windows.co_group_split(|it| (it.value.0.len(), it.value.1.len()));
    /// # let (seen, rest) = (Collected::new(), Collected::new());
    /// # counts.sink(seen.sink());
    /// # late.sink(rest.sink());
    /// # env.run("counts")?;
    /// # assert_eq!((seen.take(), rest.take().len()), (vec![(2, 1)], 0));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn co_group_split<U, F>(self, group: F) -> Split<'env, U, Either<A, B>, P::Time>
    where
        U: Send + 'static,
        F: FnMut(WindowFiring<S::Stored, (Vec<A>, Vec<B>)>) -> U + Clone + Send + 'static,
    {
        let sides = |keep: E| Listing { aggregate: Sides(PhantomData), evictor: keep.evictor() };
        let windows = self.triggered(sides, Aside);
        windows.then("co_group", Cloned(Beside(Map(group)))).fork_routed(OUTPUTS)
    }

    /// As [`join`](TriggeredStream::join), with the late records of both streams as a second one; see
    /// [`aggregate_split`](TriggeredStream::aggregate_split).
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// # let env = Environment::with(Config::default());
    /// # let (firsts, seconds) = (env.source(from_iterator([1, 2])), env.source(from_iterator([10])));
    /// let windows = firsts.connect(seconds).key_by(|_| 0).window(Global).trigger(EventTimeTrigger);
    /// let (sums, late) = windows.join_split(|a, b| a + b);
    /// # let (seen, rest) = (Collected::new(), Collected::new());
    /// # sums.sink(seen.sink());
    /// # late.sink(rest.sink());
    /// # env.run("sums")?;
    /// # assert_eq!((seen.take(), rest.take().len()), (vec![11, 12], 0));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn join_split<U, F>(self, join: F) -> Split<'env, U, Either<A, B>, P::Time>
    where
        U: Send + 'static,
        F: FnMut(&A, &B) -> U + Clone + Send + 'static,
    {
        let sides = |keep: E| Listing { aggregate: Sides(PhantomData), evictor: keep.evictor() };
        let windows = self.triggered(sides, Aside);
        windows.then("join", Cloned(Beside(Pairs(join)))).fork_routed(OUTPUTS)
    }
}
