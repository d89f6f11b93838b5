//! Process functions with rules: a keyed stream, and one of which every subtask sees all.

use std::marker::PhantomData;

use slotflow_runtime::pipe::{Cut, Merge, Pipe, Then};
use slotflow_runtime::plan::Partitioner;
use slotflow_runtime::{
    Build, Context, Family, Flow, Hint, Key, Operator, Output, Owned, Result, SubtaskContext, Timestamp,
};

use super::{KeyedProcess, KeyedProcessFunction, ProcessContext, ProcessPlan, Timer};
use crate::keyed::{Assigner, ByKeyOrAll, ByValue};
use crate::state::State;
use crate::{Either, KeySelector, StateDescriptors, Stream};

/// Handles the records of a keyed stream with the help of what another stream has told every subtask: Flink's
/// `KeyedBroadcastProcessFunction`.
///
/// Records of the first stream see the broadcast state and cannot change it, so that it is the same at all
/// subtasks; only those of the second stream change it. `K` is the key, `A` and `B` are the records of both.
pub trait BroadcastProcessFunction<K, A, B>: 'static {
    /// What it gives; [`Routed`](slotflow_runtime::Routed) if it has a side output.
    type Out: 'static;
    /// The broadcast state, which begins as its default.
    type Broadcast: State + Default;

    /// Handles a record of the keyed stream.
    fn process(&mut self, record: A, broadcast: &Self::Broadcast, ctx: &mut ProcessContext<'_, K, Self::Out>);

    /// Handles a record of the broadcast stream, of which each subtask sees all, each stretch from one subtask in
    /// its order. What it does to the state must depend on nothing else.
    fn process_broadcast(
        &mut self,
        record: B,
        broadcast: &mut Self::Broadcast,
        ctx: &mut BroadcastContext<'_, Self::Out>,
    );

    /// A timer that the key in hand has registered fires. The default does nothing.
    fn on_timer(
        &mut self,
        _timer: Timer,
        _broadcast: &Self::Broadcast,
        _ctx: &mut ProcessContext<'_, K, Self::Out>,
    ) {
    }
}

/// What a function may know and do while it handles a record of the broadcast stream, which has no key.
pub struct BroadcastContext<'a, U> {
    push: &'a mut dyn FnMut(U),
    timestamp: Timestamp,
    subtask: usize,
}

impl<U> BroadcastContext<'_, U> {
    /// Gives a record. Every subtask does so: let one of them, by its [number](BroadcastContext::subtask), speak for
    /// all.
    pub fn push(&mut self, record: U) {
        (self.push)(record);
    }

    /// Event time of the record in hand, in milliseconds.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// This subtask's number, from 0.
    pub fn subtask(&self) -> usize {
        self.subtask
    }
}

impl<'env, A: Send + 'static, P: Pipe<Out = Owned<A>>> Stream<'env, P> {
    /// Groups the records by `key` and hands them to a [`BroadcastProcessFunction`], which `open` makes for each
    /// subtask; and all records of `rules` to each of the subtasks.
    ///
    /// Which rules a record meets is a matter of when they arrive: one that must not be missed waits in a state of
    /// its key. Rules of one source subtask keep their order everywhere.
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// use slotflow::{BroadcastContext, BroadcastProcessFunction};
    ///
    /// /// Passes what is not above the limit.
    /// struct Limited;
    ///
    /// impl BroadcastProcessFunction<u32, u32, u32> for Limited {
    ///     type Out = u32;
    ///     type Broadcast = Option<u32>;
    ///     fn process(&mut self, n: u32, limit: &Option<u32>, ctx: &mut ProcessContext<'_, u32, u32>) {
    ///         if limit.is_none_or(|limit| n <= limit) {
    ///             ctx.push(n);
    ///         }
    ///     }
    ///     fn process_broadcast(&mut self, n: u32, limit: &mut Option<u32>, _: &mut BroadcastContext<'_, u32>) {
    ///         *limit = Some(n);
    ///     }
    /// }
    ///
    /// let env = Environment::with(Config::default());
    /// let (numbers, limits) = (env.source(from_iterator(0..100)), env.source(from_iterator([50])));
    /// let passed = Collected::new();
    /// numbers.broadcast_process(limits, |n| n % 10, |_| Limited).sink(passed.sink());
    /// env.run("limited")?;
    /// assert!((0..=50).all(|n| passed.take().contains(&n) || n > 0));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn broadcast_process<B, Q, K, S, F, M>(
        self,
        rules: Stream<'env, Q>,
        key: S,
        open: M,
    ) -> Stream<'env, Then<Keyed<A, B, P, S>, BroadcastProcessPlan<ByValue<S>, M>>>
    where
        B: Clone + Send + 'static,
        Q: Pipe<Out = Owned<B>, Time = P::Time>,
        K: Key + Eq + State,
        S: FnMut(&A) -> K + Clone + Send + 'static,
        F: BroadcastProcessFunction<K, A, B>,
        M: Fn(&mut StateDescriptors<'_>) -> F + Clone + Send + 'static,
    {
        let (selector, assigner) = (ByValue(key), Assigner::Hash);
        // Through one subtask, or the rules of one source could overtake each other on their ways.
        let both = self.connect(rules.global());
        let keyed = both.cut(Partitioner::Hash, ByKeyOrAll(selector.clone()));
        let plan = BroadcastProcessPlan { selector, assigner, open };
        keyed.then_stateful("broadcast_process", plan)
    }
}

/// Two connected streams, the first one by key and the second one to all.
pub type Keyed<A, B, P, S> = Cut<Merge<Either<A, B>, <P as Pipe>::Time>, ByKeyOrAll<ByValue<S>>>;

/// Describes [`BroadcastProcess`].
#[derive(Clone)]
pub struct BroadcastProcessPlan<S, M> {
    selector: S,
    assigner: Assigner,
    open: M,
}

impl<A, B, S, F, M> Build<Owned<Either<A, B>>> for BroadcastProcessPlan<S, M>
where
    A: 'static,
    B: 'static,
    S: KeySelector<A>,
    F: BroadcastProcessFunction<S::Stored, A, B>,
    M: Fn(&mut StateDescriptors<'_>) -> F + Clone + Send + 'static,
{
    type Out = Owned<F::Out>;
    type Operator = BroadcastProcess<A, B, S, F, F::Broadcast>;

    fn build(self, subtask: &SubtaskContext) -> Result<Self::Operator> {
        let BroadcastProcessPlan { selector, assigner, open } = self;
        let open = move |states: &mut StateDescriptors<'_>| Informed {
            function: open(states),
            broadcast: F::Broadcast::default(),
            records: PhantomData,
        };
        Ok(BroadcastProcess(ProcessPlan { selector, assigner, open }.build(subtask)?))
    }
}

/// A function and what the broadcast stream has told it.
struct Informed<F, B, R> {
    function: F,
    broadcast: R,
    records: PhantomData<fn(B)>,
}

impl<K, A, B, R, F> KeyedProcessFunction<K, A> for Informed<F, B, R>
where
    B: 'static,
    R: 'static,
    F: BroadcastProcessFunction<K, A, B, Broadcast = R>,
{
    type Out = F::Out;

    #[inline(always)]
    fn process(&mut self, record: A, ctx: &mut ProcessContext<'_, K, F::Out>) {
        self.function.process(record, &self.broadcast, ctx);
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut ProcessContext<'_, K, F::Out>) {
        self.function.on_timer(timer, &self.broadcast, ctx);
    }
}

/// The operator of [`Stream::broadcast_process`].
pub struct BroadcastProcess<A, B, S: KeySelector<A>, F, R>(KeyedProcess<A, S, Informed<F, B, R>>);

impl<A, B, S, F, R> Operator<Owned<Either<A, B>>> for BroadcastProcess<A, B, S, F, R>
where
    R: 'static,
    A: 'static,
    B: 'static,
    S: KeySelector<A>,
    F: BroadcastProcessFunction<S::Stored, A, B, Broadcast = R>,
{
    type Out = Owned<F::Out>;

    #[inline(always)]
    fn process<'s>(
        &mut self,
        record: Either<A, B>,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<F::Out>>,
    ) {
        self.process_hinted(record, None, ctx, out);
    }

    #[inline(always)]
    fn hint<'s, 'r>(
        &mut self,
        records: impl Iterator<Item = &'r Either<A, B>>,
        hints: &mut [Hint],
        ctx: &mut Context<'s>,
    ) where
        <Owned<Either<A, B>> as Family>::Of<'s>: 'r,
    {
        let first = |either: &'r Either<A, B>| match either {
            Either::First(record) => Some(record),
            Either::Second(_) => None,
        };
        self.0.hint_at(records.map(first), hints, ctx);
    }

    #[inline(always)]
    fn process_hinted<'s>(
        &mut self,
        record: Either<A, B>,
        hint: Option<Hint>,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<F::Out>>,
    ) {
        match record {
            Either::First(record) => self.0.process_hinted(record, hint, ctx, out),
            Either::Second(record) => {
                let (timestamp, subtask) = (ctx.timestamp(), ctx.subtask().index);
                let mut push = |record| out.push(record, ctx);
                let mut ctx = BroadcastContext { push: &mut push, timestamp, subtask };
                let Informed { function, broadcast, .. } = self.0.function();
                function.process_broadcast(record, broadcast, &mut ctx);
            }
        }
    }

    fn watermark<'s>(
        &mut self,
        watermark: Timestamp,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<F::Out>>,
    ) -> Flow {
        self.0.watermark(watermark, ctx, out)
    }

    fn due_ns(&self) -> u64 {
        self.0.due_ns()
    }

    fn tick<'s>(&mut self, ctx: &mut Context<'s>, out: &mut impl Output<Owned<F::Out>>) -> Flow {
        self.0.tick(ctx, out)
    }
}
