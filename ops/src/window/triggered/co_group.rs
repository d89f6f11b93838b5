//! Windows of two streams, with a trigger.

use std::marker::PhantomData;

use slotflow_runtime::pipe::{Pipe, Then};
use slotflow_runtime::{Cloned, Context, Operator, Output, Owned};

use super::super::WindowResult;
use super::super::co_group::{Pairs, Sides};
use super::{
    Dropped, Keep, Listing, Trigger, TriggeredPlan, TriggeredStream, WindowAssigner, WindowFiring, Windows,
};
use crate::keyed::KeySelector;
use crate::{Either, Map, Stream};

/// The windows of two streams behind a pipeline.
type Grouped<P, W, S, G, A, B, E> = Then<P, TriggeredPlan<W, S, G, Listing<Sides<A, B>, E>, Dropped>>;

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
    /// As [`co_group`](crate::WindowedStream::co_group), whenever the window fires.
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// let env = Environment::with(Config::default());
    /// let (firsts, seconds) = (env.source(from_iterator([1, 2])), env.source(from_iterator(['a'])));
    /// let (windows, counts) = (firsts.connect(seconds).key_by(|_| 0).window(Global), Collected::new());
    /// let all = windows.trigger(EventTimeTrigger);
    /// all.co_group(|it| (it.value.0.len(), it.value.1.len())).sink(counts.sink());
    /// env.run("counts")?;
    /// assert_eq!(counts.take(), [(2, 1)]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn co_group<U, F>(
        self,
        group: F,
    ) -> Stream<'env, Then<Grouped<P, W, S, G, A, B, E::Evictor>, Cloned<Map<F>>>>
    where
        U: 'static,
        F: FnMut(WindowFiring<S::Stored, (Vec<A>, Vec<B>)>) -> U + Clone + Send + 'static,
    {
        let sides = |keep: E| Listing { aggregate: Sides(PhantomData), evictor: keep.evictor() };
        self.triggered(sides, Dropped::default()).map(group).name("co_group")
    }

    /// As [`join`](crate::WindowedStream::join), whenever the window fires: with a trigger that does not purge, what
    /// was paired before is paired again.
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// let env = Environment::with(Config::default());
    /// let (firsts, seconds) = (env.source(from_iterator([1, 2])), env.source(from_iterator([10])));
    /// let (windows, sums) = (firsts.connect(seconds).key_by(|_| 0).window(Global), Collected::new());
    /// windows.trigger(EventTimeTrigger).join(|a, b| a + b).sink(sums.sink());
    /// env.run("sums")?;
    /// assert_eq!(sums.take(), [11, 12]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn join<U, F>(
        self,
        join: F,
    ) -> Stream<'env, Then<Grouped<P, W, S, G, A, B, E::Evictor>, Cloned<Pairs<F>>>>
    where
        U: 'static,
        F: FnMut(&A, &B) -> U + Clone + Send + 'static,
    {
        let sides = |keep: E| Listing { aggregate: Sides(PhantomData), evictor: keep.evictor() };
        self.triggered(sides, Dropped::default()).then("join", Cloned(Pairs(join)))
    }
}

impl<K, A, B, U, F> Operator<Owned<WindowFiring<K, (Vec<A>, Vec<B>)>>> for Pairs<F>
where
    K: 'static,
    A: 'static,
    B: 'static,
    U: 'static,
    F: FnMut(&A, &B) -> U + 'static,
{
    type Out = Owned<U>;

    fn process<'s>(
        &mut self,
        window: WindowFiring<K, (Vec<A>, Vec<B>)>,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<U>>,
    ) {
        Operator::<Owned<WindowResult<K, _>>>::process(self, window.into_result(), ctx, out);
    }
}
