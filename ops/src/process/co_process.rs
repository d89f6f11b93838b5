//! Process functions over two connected streams.

use slotflow_runtime::pipe::{Pipe, Then};
use slotflow_runtime::{Build, Owned, Result, SubtaskContext};

use super::{KeyedProcess, KeyedProcessFunction, ProcessContext, ProcessPlan, Timer, Unkeyed};
use crate::keyed::{Assigner, ByValue};
use crate::state::State;
use crate::{Either, KeySelector, KeyedStream, StateDescriptors, Stream};

/// Handles the records of two [connected](Stream::connect) streams, with the same states and timers: Flink's
/// `KeyedCoProcessFunction`, and with `()` for the key its `CoProcessFunction`.
pub trait CoProcessFunction<K, A, B>: 'static {
    /// What it gives; [`Routed`](slotflow_runtime::Routed) if it has a side output.
    type Out: 'static;

    /// Handles a record of the stream that `connect` was called on.
    fn process_first(&mut self, record: A, ctx: &mut ProcessContext<'_, K, Self::Out>);

    /// Handles a record of the stream that it was called with.
    fn process_second(&mut self, record: B, ctx: &mut ProcessContext<'_, K, Self::Out>);

    /// A timer that the key in hand has registered fires. The default does nothing.
    fn on_timer(&mut self, _timer: Timer, _ctx: &mut ProcessContext<'_, K, Self::Out>) {}
}

/// A function of two streams as one of a stream of both.
pub struct CoProcess<F>(F);

impl<K, A, B, F: CoProcessFunction<K, A, B>> KeyedProcessFunction<K, Either<A, B>> for CoProcess<F> {
    type Out = F::Out;

    #[inline(always)]
    fn process(&mut self, record: Either<A, B>, ctx: &mut ProcessContext<'_, K, F::Out>) {
        match record {
            Either::First(record) => self.0.process_first(record, ctx),
            Either::Second(record) => self.0.process_second(record, ctx),
        }
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut ProcessContext<'_, K, F::Out>) {
        self.0.on_timer(timer, ctx);
    }
}

impl<'env, A, B, P, S> KeyedStream<'env, P, S>
where
    A: Send + 'static,
    B: Send + 'static,
    P: Pipe<Out = Owned<Either<A, B>>>,
    S: KeySelector<Either<A, B>, Stored: State>,
{
    /// Hands the records of two connected streams to a [`CoProcessFunction`], which `open` makes for each subtask.
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// use slotflow::{CoProcessFunction, ValueState};
    ///
    /// /// Converts amounts, as soon as a rate is known.
    /// struct Convert(ValueState<u64>);
    ///
    /// impl CoProcessFunction<char, (char, u64), (char, u64)> for Convert {
    ///     type Out = u64;
    ///     fn process_first(&mut self, (_, amount): (char, u64), ctx: &mut ProcessContext<'_, char, u64>) {
    ///         if let Some(rate) = self.0.value(ctx).copied() {
    ///             ctx.push(amount * rate);
    ///         }
    ///     }
    ///     fn process_second(&mut self, (_, rate): (char, u64), ctx: &mut ProcessContext<'_, char, u64>) {
    ///         self.0.set(ctx, rate);
    ///     }
    /// }
    ///
    /// let env = Environment::with(Config::default());
    /// let amounts = env.source(from_iterator([('a', 5)]));
    /// let rates = env.source(from_iterator([('a', 3), ('b', 4)]));
    /// let converted = Collected::new();
    /// let keyed = amounts.connect(rates).key_by(|either| match either {
    ///     Either::First((currency, _)) | Either::Second((currency, _)) => *currency,
    /// });
    /// keyed.co_process(|states| Convert(states.value("rate"))).sink(converted.sink());
    /// env.run("convert")?;
    /// assert!(converted.take().iter().all(|amount| *amount == 15)); // or there is none: the rate may come second
    /// # Ok::<(), Error>(())
    /// ```
    pub fn co_process<F, M>(self, open: M) -> Stream<'env, Then<P, CoProcessPlan<S, M>>>
    where
        F: CoProcessFunction<S::Stored, A, B>,
        M: Fn(&mut StateDescriptors<'_>) -> F + Clone + Send + 'static,
    {
        let (selector, assigner) = (self.selector.clone(), self.assigner);
        self.then("co_process", CoProcessPlan(ProcessPlan { selector, assigner, open }))
    }
}

impl<'env, A: 'static, B: 'static, P: Pipe<Out = Owned<Either<A, B>>>> Stream<'env, P> {
    /// Hands the records of two connected streams without keys to a [`CoProcessFunction`], which `open` makes for
    /// each subtask; its states and timers are those of the subtask.
    pub fn co_process<F, M>(self, open: M) -> Stream<'env, Then<P, CoProcessPlan<Unkeyed, M>>>
    where
        F: CoProcessFunction<(), A, B>,
        M: Fn(&mut StateDescriptors<'_>) -> F + Clone + Send + 'static,
    {
        let plan = ProcessPlan { selector: Unkeyed, assigner: Assigner::Hash, open };
        self.then_stateful("co_process", CoProcessPlan(plan))
    }
}

/// Describes the operator around a function of two streams that `open` makes, without a stream: for a test of its own,
/// where `key` finds the key of a record of either.
///
/// ```
/// use slotflow::prelude::*;
/// use slotflow::testing::{Harness, co_process};
/// use slotflow::{CoProcessFunction, ValueState};
///
/// /// Converts amounts, as soon as a rate is known.
/// struct Convert(ValueState<u64>);
/// impl CoProcessFunction<(), u64, u64> for Convert {
///     type Out = u64;
///     fn process_first(&mut self, amount: u64, ctx: &mut ProcessContext<'_, (), u64>) {
///         if let Some(rate) = self.0.value(ctx).copied() {
///             ctx.push(amount * rate);
///         }
///     }
///     fn process_second(&mut self, rate: u64, ctx: &mut ProcessContext<'_, (), u64>) {
///         self.0.set(ctx, rate);
///     }
/// }
///
/// let open = |states: &mut StateDescriptors<'_>| Convert(states.value("rate"));
/// let mut harness = Harness::new(co_process(|_: &Either<u64, u64>| (), open))?;
/// harness.push(Either::First(5))?;
/// harness.push(Either::Second(3))?;
/// harness.push(Either::First(5))?;
/// assert_eq!(harness.take(), [15]);
/// # Ok::<(), Error>(())
/// ```
pub fn co_process<A, B, K, S, M>(key: S, open: M) -> CoProcessPlan<ByValue<S>, M>
where
    S: FnMut(&Either<A, B>) -> K + Clone + Send + 'static,
{
    CoProcessPlan(ProcessPlan { selector: ByValue::hashed(key), assigner: Assigner::Hash, open })
}

/// Describes the operator of a [`CoProcessFunction`].
#[derive(Clone)]
pub struct CoProcessPlan<S, M>(ProcessPlan<S, M>);

impl<A, B, S, F, M> Build<Owned<Either<A, B>>> for CoProcessPlan<S, M>
where
    A: 'static,
    B: 'static,
    S: KeySelector<Either<A, B>>,
    F: CoProcessFunction<S::Stored, A, B>,
    M: Fn(&mut StateDescriptors<'_>) -> F + Clone + Send + 'static,
{
    type Out = Owned<F::Out>;
    type Operator = KeyedProcess<Either<A, B>, S, CoProcess<F>>;

    fn build(self, subtask: &SubtaskContext) -> Result<Self::Operator> {
        let ProcessPlan { selector, assigner, open } = self.0;
        let open = move |states: &mut StateDescriptors<'_>| CoProcess(open(states));
        ProcessPlan { selector, assigner, open }.build(subtask)
    }
}
