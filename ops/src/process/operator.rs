//! The operator around a process function.

use slotflow_runtime::pipe::{Pipe, Then};
use slotflow_runtime::{
    Build, Context, FIRING_BUDGET, Family, Flow, Hint, Key, MIN_TIMESTAMP, Measures, Operator, Output, Owned,
    Result, SubtaskContext, Timestamp,
};

use super::context::Emitter;
use super::{KeyedProcessFunction, PerSubtask, ProcessContext, ProcessFunction, Timer, Unkeyed};
use crate::keyed::{Assigner, ByValue, Round};
use crate::state::{
    At, BothTimers, Columns, InMemory, Now, Row, State, StateBackend, StateDescriptors, TimeDomain,
};
use crate::{KeySelector, KeyedStream, Stream};

impl<'env, T, P, S> KeyedStream<'env, P, S>
where
    T: Send + 'static,
    P: Pipe<Out = Owned<T>>,
    S: KeySelector<T, Stored: State>,
{
    /// Hands the records to a [`KeyedProcessFunction`], which `open` makes for each subtask, on its slot, and which
    /// declares its states there.
    ///
    /// ```
    /// # use slotflow::{prelude::*, testing::collect};
    /// use slotflow::{KeyedProcessFunction, StateDescriptors, ValueState};
    ///
    /// /// Gives every second record of a key.
    /// struct EverySecond {
    ///     odd: ValueState<bool>,
    /// }
    ///
    /// impl EverySecond {
    ///     fn open(states: &mut StateDescriptors<'_>) -> EverySecond {
    ///         EverySecond { odd: states.value("odd") }
    ///     }
    /// }
    ///
    /// impl KeyedProcessFunction<char, (char, u32)> for EverySecond {
    ///     type Out = u32;
    ///     fn process(&mut self, record: (char, u32), ctx: &mut ProcessContext<'_, char, u32>) {
    ///         let odd = self.odd.value_or_default(ctx);
    ///         *odd = !*odd;
    ///         if !*odd {
    ///             ctx.push(record.1);
    ///         }
    ///     }
    /// }
    ///
    /// let records = [('a', 1), ('b', 2), ('a', 3), ('a', 4), ('b', 5)];
    /// let second = collect(records, |records| records.key_by(|it| it.0).process(EverySecond::open))?;
    /// assert_eq!(second, [3, 5]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn process<F, M>(self, open: M) -> Stream<'env, Then<P, ProcessPlan<S, M>>>
    where
        F: KeyedProcessFunction<S::Stored, T>,
        M: Fn(&mut StateDescriptors<'_>) -> F + Clone + Send + 'static,
    {
        let plan = ProcessPlan { selector: self.selector.clone(), assigner: self.assigner, open };
        self.then("process", plan)
    }
}

impl<'env, T: 'static, P: Pipe<Out = Owned<T>>> Stream<'env, P> {
    /// Hands the records to a [`ProcessFunction`], which `open` makes for each subtask, on its slot. Its states and
    /// timers are those of the subtask; a job that keeps state and commits offsets says `best_effort`.
    ///
    /// ```
    /// # use slotflow::{prelude::*, testing::collect};
    /// use slotflow::{ListState, ProcessFunction};
    ///
    /// /// Gives records in pairs.
    /// struct Pairs(ListState<u32>);
    ///
    /// impl ProcessFunction<u32> for Pairs {
    ///     type Out = Vec<u32>;
    ///     fn process(&mut self, n: u32, ctx: &mut ProcessContext<'_, (), Vec<u32>>) {
    ///         self.0.add(ctx, n);
    ///         if self.0.values(ctx).len() == 2 {
    ///             let pair = self.0.take(ctx);
    ///             ctx.push(pair);
    ///         }
    ///     }
    /// }
    ///
    /// let pairs = collect(1..=5, |numbers| numbers.process(|states| Pairs(states.list("half"))))?;
    /// assert_eq!(pairs, [[1, 2], [3, 4]]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn process<F, M>(self, open: M) -> Stream<'env, Then<P, PerSubtaskPlan<M>>>
    where
        F: ProcessFunction<T>,
        M: Fn(&mut StateDescriptors<'_>) -> F + Clone + Send + 'static,
    {
        self.then_stateful("process", process(open))
    }

    /// Adds an operator that keeps state.
    pub(crate) fn then_stateful<B: Build<P::Out>>(self, name: &str, build: B) -> Stream<'env, Then<P, B>> {
        let stream = self.then(name, build);
        stream.env.graph(|graph| graph.operator_mut(stream.last).stateful = true);
        stream
    }
}

/// Describes the operator around a process function that `open` makes, without a stream: for a test of its own.
pub fn process<M>(open: M) -> PerSubtaskPlan<M> {
    PerSubtaskPlan(open)
}

/// Describes the operator of [`Stream::process`].
#[derive(Clone)]
pub struct PerSubtaskPlan<M>(M);

impl<T, F, M> Build<Owned<T>> for PerSubtaskPlan<M>
where
    T: 'static,
    F: ProcessFunction<T>,
    M: Fn(&mut StateDescriptors<'_>) -> F + Clone + Send + 'static,
{
    type Out = Owned<F::Out>;
    type Operator = KeyedProcess<T, Unkeyed, PerSubtask<F>>;

    fn build(self, subtask: &SubtaskContext) -> Result<Self::Operator> {
        let open = move |states: &mut StateDescriptors<'_>| PerSubtask((self.0)(states));
        ProcessPlan { selector: Unkeyed, assigner: Assigner::Hash, open }.build(subtask)
    }
}

/// Describes the operator around a keyed process function that `open` makes, without a stream: for a test of its
/// own, where `key` finds the key of a record.
pub fn keyed_process<T, K, S, M>(key: S, open: M) -> ProcessPlan<ByValue<S>, M>
where
    S: FnMut(&T) -> K + Clone + Send + 'static,
{
    ProcessPlan { selector: ByValue::hashed(key), assigner: Assigner::Hash, open }
}

/// Describes [`KeyedProcess`].
#[derive(Clone)]
pub struct ProcessPlan<S, M> {
    pub(super) selector: S,
    pub(super) assigner: Assigner,
    pub(super) open: M,
}

impl<S, M> ProcessPlan<S, M> {
    /// With state by source partition, as behind `key_by_source_partition`: give records by `Harness::push_from`.
    #[must_use]
    pub fn by_source_partition(self) -> Self {
        ProcessPlan { assigner: Assigner::SourcePartition, ..self }
    }
}

impl<T, S, F, M> Build<Owned<T>> for ProcessPlan<S, M>
where
    T: 'static,
    S: KeySelector<T>,
    F: KeyedProcessFunction<S::Stored, T>,
    M: Fn(&mut StateDescriptors<'_>) -> F + Clone + Send + 'static,
{
    type Out = Owned<F::Out>;
    type Operator = KeyedProcess<T, S, F>;

    fn build(self, subtask: &SubtaskContext) -> Result<Self::Operator> {
        let mut columns = Columns::default();
        let mut states = StateDescriptors::new(&mut columns, subtask.place());
        let function = (self.open)(&mut states);
        states.check()?;
        let state = Box::new(InMemory::new(subtask, self.assigner, columns));
        Ok(KeyedProcess { selector: self.selector, state, function, due: None, due_ns: u64::MAX })
    }
}

/// A process function, and the state of one subtask's keys.
pub struct KeyedProcess<T, S: KeySelector<T>, F> {
    selector: S,
    /// Apart, because an operator is moved at each step, and best small.
    state: Box<InMemory<S::Stored>>,
    function: F,
    /// When the first timer in processing time is due.
    due: Option<Timestamp>,
    /// The same, in nanoseconds of the host's clock.
    due_ns: u64,
}

impl<T, S, F> KeyedProcess<T, S, F>
where
    S: KeySelector<T>,
    F: KeyedProcessFunction<S::Stored, T>,
{
    /// The state of its keys, for whoever stores it.
    pub fn state(&mut self) -> &mut impl StateBackend
    where
        S::Stored: State,
    {
        // What is restored may be due; the next step looks.
        self.due_ns = 0;
        &mut *self.state
    }

    /// As [`Operator::hint`], where some of the records are not its own: a hint at these means nothing.
    #[inline(always)]
    pub(super) fn hint_at<'r>(
        &mut self,
        records: impl Iterator<Item = Option<&'r T>>,
        first: Hint,
        ctx: &Context<'_>,
    ) where
        T: 'r,
    {
        let hashes = records.map(|record| record.map_or(0, |record| self.selector.key(record).hash()));
        self.state.table.hint_hashes(hashes, first, || ctx.split());
    }

    pub(super) fn function(&mut self) -> &mut F {
        &mut self.function
    }

    /// Both, for a function that has something to be stored besides the states of its keys.
    pub(super) fn state_and_function(&mut self) -> (&mut impl StateBackend, &mut F)
    where
        S::Stored: State,
    {
        self.due_ns = 0;
        (&mut *self.state, &mut self.function)
    }

    /// Calls the function for some of the keys, and goes on where `round` is. `false` once all have been visited.
    pub(super) fn visit<'s>(
        &mut self,
        round: &mut Round,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<F::Out>>,
        mut call: impl FnMut(&mut F, &mut ProcessContext<'_, S::Stored, F::Out>),
    ) -> bool {
        let KeyedProcess { state, function, .. } = self;
        let more = state.visit(round, |found| {
            enter(found, ctx, out, |ctx| call(function, ctx));
        });
        self.note_due(ctx);
        more
    }

    /// Lets at most a budget of the timers fire that are due at `until`.
    fn fire<'s>(
        &mut self,
        domain: TimeDomain,
        until: Timestamp,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<F::Out>>,
    ) -> Flow {
        for _ in 0..FIRING_BUDGET {
            let Some(due) = self.state.timers.of(domain).pop(until) else { return Flow::Done };
            let event = domain == TimeDomain::EventTime;
            ctx.set_timestamp(if event { due.time } else { MIN_TIMESTAMP });
            ctx.set_split(due.split);
            let Some(found) = self.state.enter_due(due) else { continue };
            // A timer that fires is one that its key no longer has.
            found.0.1.live -= 1;
            let (function, timer) = (&mut self.function, Timer { time: due.time, domain });
            if let Some((hash, row)) = enter(found, ctx, out, |ctx| function.on_timer(timer, ctx)) {
                self.state.forget(hash, due.split, row);
            }
            if ctx.failed() {
                return Flow::Done;
            }
        }
        Flow::More
    }

    fn note_due(&mut self, ctx: &Context<'_>) {
        self.due = self.state.timers.processing.next();
        self.due_ns = self.due.map_or(u64::MAX, |time| ctx.ns_at(time));
    }
}

/// Calls a function with the context of an entry's key. Gives the hash and the row of a key that has nothing left.
#[inline(always)]
fn enter<K: Key, U: 'static, O: Output<Owned<U>>>(
    (entry, columns, timers): (&mut (K, Row), &mut Columns, &mut BothTimers),
    ctx: &mut Context<'_>,
    out: &mut O,
    call: impl FnOnce(&mut ProcessContext<'_, K, U>),
) -> Option<(u64, u32)> {
    let at = At { row: entry.1.row, live: entry.1.live, now: Now::of_record(ctx) };
    let (split, timestamp) = (ctx.split(), ctx.timestamp());
    let (key, emit) = (&entry.0, &mut Emitter { ctx, out });
    let mut context = ProcessContext { key, columns, at, timers, split, timestamp, emit };
    call(&mut context);
    entry.1.live = context.at.live;
    (entry.1.live == 0).then(|| (entry.0.hash(), entry.1.row))
}

impl<T, S, F> Operator<Owned<T>> for KeyedProcess<T, S, F>
where
    T: 'static,
    S: KeySelector<T>,
    F: KeyedProcessFunction<S::Stored, T>,
{
    type Out = Owned<F::Out>;

    #[inline(always)]
    fn process<'s>(&mut self, record: T, ctx: &mut Context<'s>, out: &mut impl Output<Owned<F::Out>>) {
        self.process_hinted(record, None, ctx, out);
    }

    #[inline(always)]
    fn hint<'s, 'r>(&mut self, records: impl Iterator<Item = &'r T>, first: Hint, ctx: &mut Context<'s>)
    where
        <Owned<T> as Family>::Of<'s>: 'r,
    {
        self.hint_at(records.map(Some), first, ctx);
    }

    #[inline(always)]
    fn process_hinted<'s>(
        &mut self,
        record: T,
        hint: Option<Hint>,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<F::Out>>,
    ) {
        let KeyedProcess { selector, state, function, .. } = self;
        let (key, split) = (selector.key(&record), ctx.split());
        let found = state.enter(hint, key, split, S::same, S::store);
        let left = enter(found, ctx, out, |ctx| function.process(record, ctx));
        if let Some((hash, row)) = left {
            self.state.forget(hash, split, row);
        }
        if self.state.timers.processing.next() != self.due {
            self.note_due(ctx);
        }
        if self.state.is_cleaned_now() {
            self.state.clean(ctx);
        }
    }

    fn watermark<'s>(
        &mut self,
        watermark: Timestamp,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<F::Out>>,
    ) -> Flow {
        let flow = self.fire(TimeDomain::EventTime, watermark, ctx, out);
        self.state.clean(ctx);
        self.note_due(ctx);
        flow
    }

    fn due_ns(&self) -> u64 {
        self.due_ns
    }

    fn tick<'s>(&mut self, ctx: &mut Context<'s>, out: &mut impl Output<Owned<F::Out>>) -> Flow {
        let flow = self.fire(TimeDomain::ProcessingTime, ctx.processing_time(), ctx, out);
        self.note_due(ctx);
        flow
    }

    fn measure(&self, measures: &mut Measures<'_>) {
        self.state.size().tell(measures);
    }
}
