//! Process functions with rules: a keyed stream, and one of which every subtask sees all.

mod operator;

use slotflow_runtime::pipe::{Cut, Merge, Pipe, Then};
use slotflow_runtime::plan::Partitioner;
use slotflow_runtime::{Arena, Build, Error, Key, Owned, Result, Routed, SubtaskContext, Timestamp};

pub use operator::{BroadcastProcess, BroadcastState};

use operator::Informed;

use super::context::Emit;
use super::{ProcessContext, ProcessPlan, Timer};
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

    /// Visits a key that has states or timers, because [`BroadcastContext::apply_to_keyed_state`] has asked for it. The
    /// default does nothing.
    fn on_each_key(&mut self, _broadcast: &Self::Broadcast, _ctx: &mut ProcessContext<'_, K, Self::Out>) {}

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
///
/// Every subtask handles the record: let one of them, by its [number](BroadcastContext::subtask), speak for all.
///
/// ```
/// # use slotflow::{prelude::*, BroadcastContext, BroadcastProcessFunction};
/// # struct Limited;
/// impl BroadcastProcessFunction<u64, u64, u64> for Limited {
///     /// Numbers, and what became of rules on the side.
///     type Out = Routed<u64, String>;
///     type Broadcast = u64;
///     fn process(&mut self, n: u64, limit: &u64, ctx: &mut ProcessContext<'_, u64, Self::Out>) {
///         ctx.main(n.min(*limit));
///     }
///     fn process_broadcast(&mut self, rule: u64, limit: &mut u64, ctx: &mut BroadcastContext<'_, Self::Out>) {
///         if rule == 0 {
///             return ctx.fail(Error::user("a limit of 0 lets nothing through"));
///         }
///         if ctx.subtask() == 0 {
///             let told = ctx.arena().copy_str("since ");
///             ctx.side(format!("{told}{}: {rule}", ctx.watermark().max(ctx.timestamp())));
///         }
///         *limit = rule;
///     }
/// }
/// ```
pub struct BroadcastContext<'a, U> {
    emit: &'a mut (dyn Emit<U> + 'a),
    timestamp: Timestamp,
    applies: bool,
}

impl<'a, U> BroadcastContext<'a, U> {
    fn new(emit: &'a mut (dyn Emit<U> + 'a)) -> Self {
        let timestamp = emit.known().timestamp();
        BroadcastContext { emit, timestamp, applies: false }
    }

    /// Gives a record, with the event time of the record in hand.
    pub fn push(&mut self, record: U) {
        self.emit.push(record, self.timestamp);
    }

    /// Gives a record of another event time. One that the watermark has passed is late for those behind.
    pub fn push_at(&mut self, record: U, timestamp: Timestamp) {
        self.emit.push(record, timestamp);
    }

    /// Has [`on_each_key`](BroadcastProcessFunction::on_each_key) called for each key of the subtask that has states or
    /// timers, in no particular order: Flink's `applyToKeyedState`. A thousand keys or so are visited in a step, so a
    /// large state holds nobody else up; what comes behind this record, records, timers and watermarks, waits until
    /// all have been. What the visits give has the time of the record in hand.
    ///
    /// ```
    /// # use slotflow::{prelude::*, BroadcastContext, BroadcastProcessFunction, ValueState};
    /// # struct Sums(ValueState<u64>);
    /// impl BroadcastProcessFunction<u64, u64, ()> for Sums {
    ///     type Out = (u64, u64);
    ///     type Broadcast = ();
    ///     fn process(&mut self, n: u64, _: &(), ctx: &mut ProcessContext<'_, u64, (u64, u64)>) {
    ///         *self.0.value_or_default(ctx) += n;
    ///     }
    ///     fn process_broadcast(&mut self, _: (), _: &mut (), ctx: &mut BroadcastContext<'_, (u64, u64)>) {
    ///         ctx.apply_to_keyed_state();
    ///     }
    ///     fn on_each_key(&mut self, _: &(), ctx: &mut ProcessContext<'_, u64, (u64, u64)>) {
    ///         let sum = self.0.clear(ctx).unwrap_or(0);
    ///         ctx.push((*ctx.key(), sum));
    ///     }
    /// }
    /// ```
    pub fn apply_to_keyed_state(&mut self) {
        self.applies = true;
    }

    /// Event time of the record in hand, in milliseconds.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// How far event time has come: another time at each subtask, so it is for what is given and never for the state.
    pub fn watermark(&self) -> Timestamp {
        self.emit.known().watermark()
    }

    /// Processing time: milliseconds since the Unix epoch when the step began. It is another one at each subtask, so it
    /// is for what is given and never for the state.
    pub fn processing_time(&self) -> Timestamp {
        self.emit.known().processing_time()
    }

    /// Scratch memory until the end of the step.
    pub fn arena(&self) -> &Arena {
        self.emit.known().arena()
    }

    /// Fails the job; see [`Context::fail`](slotflow_runtime::Context::fail). Give nothing more.
    #[cold]
    pub fn fail(&mut self, error: Error) {
        self.emit.fail(error);
    }

    /// This subtask's number, from 0: for what is given, never for the state, which must be the same everywhere.
    pub fn subtask(&self) -> usize {
        self.emit.known().subtask().index
    }
}

impl<A, B> BroadcastContext<'_, Routed<A, B>> {
    /// Gives a record to the main output, of a function that has a side output
    /// ([`side_output`](Stream::side_output)).
    pub fn main(&mut self, record: A) {
        self.push(Routed::Main(record));
    }

    /// Gives a record to the side output.
    pub fn side(&mut self, record: B) {
        self.push(Routed::Side(record));
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
        let (selector, assigner) = (ByValue::hashed(key), Assigner::Hash);
        // Through one subtask, or the rules of one source could overtake each other on their ways.
        let both = self.connect(rules.global());
        let keyed = both.cut(Partitioner::Hash, ByKeyOrAll(selector.clone()));
        let plan = BroadcastProcessPlan { selector, assigner, open };
        keyed.then_stateful("broadcast_process", plan)
    }
}

/// Two connected streams, the first one by key and the second one to all.
pub type Keyed<A, B, P, S> = Cut<Merge<Either<A, B>, <P as Pipe>::Time>, ByKeyOrAll<ByValue<S>>>;

/// Describes the operator around a function with rules that `open` makes, without a stream: for a test of its own,
/// where `key` finds the key of a record.
///
/// ```
/// use slotflow::prelude::*;
/// use slotflow::testing::{Harness, broadcast_process};
/// use slotflow::{BroadcastContext, BroadcastProcessFunction};
///
/// /// Adds what the last rule says.
/// struct Raised;
/// impl BroadcastProcessFunction<char, char, u32> for Raised {
///     type Out = (char, u32);
///     type Broadcast = u32;
///     fn process(&mut self, it: char, by: &u32, ctx: &mut ProcessContext<'_, char, (char, u32)>) {
///         ctx.push((it, *by));
///     }
///     fn process_broadcast(&mut self, rule: u32, by: &mut u32, _: &mut BroadcastContext<'_, (char, u32)>) {
///         *by = rule;
///     }
/// }
///
/// let mut harness = Harness::new(broadcast_process(|it: &char| *it, |_: &mut StateDescriptors<'_>| Raised))?;
/// harness.push(Either::First('a'))?;
/// harness.push(Either::Second(7))?;
/// harness.push(Either::First('b'))?;
/// assert_eq!(harness.take(), [('a', 0), ('b', 7)]);
/// # Ok::<(), Error>(())
/// ```
pub fn broadcast_process<A, K, S, M>(key: S, open: M) -> BroadcastProcessPlan<ByValue<S>, M>
where
    S: FnMut(&A) -> K + Clone + Send + 'static,
{
    BroadcastProcessPlan { selector: ByValue::hashed(key), assigner: Assigner::Hash, open }
}

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
        let open = move |states: &mut StateDescriptors<'_>| Informed::new(open(states));
        Ok(BroadcastProcess::new(ProcessPlan { selector, assigner, open }.build(subtask)?))
    }
}
