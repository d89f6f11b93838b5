//! The operator: takes records, pushes records.

use crate::{Context, Family, Hint, Measures, Place, Result, SubtaskContext, Timestamp};

/// Receives records.
///
/// `push` never refuses: a subtask takes input only while its outlets have room, so operators are
/// straight-line code (ARCHITECTURE.md, the story of backpressure).
pub trait Output<F: Family> {
    /// Takes one record.
    fn push<'s>(&mut self, record: F::Of<'s>, ctx: &mut Context<'s>);

    /// Shows records that will be pushed next: see [`Operator::hint`].
    #[inline(always)]
    fn hint<'s, 'r>(
        &mut self,
        _records: impl Iterator<Item = &'r F::Of<'s>>,
        _first: Hint,
        _ctx: &mut Context<'s>,
    ) where
        Self: Sized,
        F::Of<'s>: 'r,
    {
    }

    /// Takes a record that was shown.
    #[inline(always)]
    fn push_hinted<'s>(&mut self, record: F::Of<'s>, _hint: Hint, ctx: &mut Context<'s>) {
        self.push(record, ctx);
    }
}

/// Whether an operator has said everything it has to say at a watermark or at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Flow {
    /// There is nothing left to emit; saying so again is harmless.
    Done,
    /// There is more: the engine comes back with the same call once there is room.
    More,
    /// There is more, and nothing to be done about it before something comes from outside: the engine comes back with
    /// the same call when the subtask is woken, or, if no operator is [due](Operator::due_ns) already, when the first
    /// of them is. Until then the subtask takes no input, and its other operators may be late for their times. Said by
    /// whoever waits for answers, and has them wake the subtask ([`SubtaskContext::waker`]).
    Waits,
}

/// How many records one call of [`Operator::watermark`], [`Operator::tick`] or [`Operator::end`] should emit at
/// most before it returns [`Flow::More`] (a guess: a quarter of a ring).
pub const FIRING_BUDGET: usize = 1024;

/// How many records an inlet shows its first operator ([`Operator::hint`]) before it hands them over:
/// as many as a core can wait for at once, and some more (16, 32 and 128 were slower; PERF.md, keyed).
pub const LOOK_AHEAD: usize = 64;

/// Turns records into records.
///
/// Called by one subtask on its slot's thread, in this order: any number of [`process`], [`watermark`],
/// [`tick`] and [`settle`], then [`end`] once nothing more will come. A call must not block, and must not
/// panic on bad input: a fallible operator calls [`Context::fail`] and emits nothing more. State
/// lives in the operator's fields and needs neither `Send` nor `Clone` when the operator is made by
/// a factory.
///
/// The input is the trait's parameter so that one operator can serve many record types, and named
/// by [`Family`] so that records may borrow from the step.
///
/// ```
/// use slotflow_runtime::{Context, Operator, Output, Owned};
///
/// /// Passes every second record.
/// #[derive(Clone, Default)]
/// struct EverySecond { odd: bool }
///
/// impl<T: 'static> Operator<Owned<T>> for EverySecond {
///     type Out = Owned<T>;
///     fn process<'s>(&mut self, record: T, ctx: &mut Context<'s>, out: &mut impl Output<Owned<T>>) {
///         self.odd = !self.odd;
///         if !self.odd {
///             out.push(record, ctx);
///         }
///     }
/// }
/// ```
///
/// [`process`]: Operator::process
/// [`watermark`]: Operator::watermark
/// [`tick`]: Operator::tick
/// [`settle`]: Operator::settle
/// [`end`]: Operator::end
pub trait Operator<F: Family>: 'static {
    /// The records it gives.
    type Out: Family;

    /// Handles one record.
    fn process<'s>(&mut self, record: F::Of<'s>, ctx: &mut Context<'s>, out: &mut impl Output<Self::Out>);

    /// These records will be processed next, in this order; the number of the first is `first`. Whoever has state notes
    /// where that of each is, and lets the core fetch it from memory meanwhile. An inlet shows its first operator up to
    /// [`LOOK_AHEAD`] records, in one call or in two, before it hands them over to
    /// [`process_hinted`](Operator::process_hinted); other operators are shown none. It must change nothing that
    /// anybody can see. By default nothing is noted.
    ///
    /// Under [`Hint::NONE`] it shows the one that comes next when a step begins, so that what it needs is on its way:
    /// nothing is noted of that one, which may come alone, under this number, or as the first of many.
    #[inline(always)]
    fn hint<'s, 'r>(
        &mut self,
        _records: impl Iterator<Item = &'r F::Of<'s>>,
        _first: Hint,
        _ctx: &mut Context<'s>,
    ) where
        F::Of<'s>: 'r,
    {
    }

    /// Handles a record, which was shown to [`hint`](Operator::hint) under this number, if it was. The same as
    /// [`process`](Operator::process), which is the default, only faster.
    #[inline(always)]
    fn process_hinted<'s>(
        &mut self,
        record: F::Of<'s>,
        _hint: Option<Hint>,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Self::Out>,
    ) {
        self.process(record, ctx, out);
    }

    /// Event time has reached `watermark`; [`MAX_TIMESTAMP`](crate::MAX_TIMESTAMP) when the input has truly ended,
    /// and only then: what waits for event time fires there, and not when a job is drained. The chain forwards the
    /// watermark itself, once this is [`Flow::Done`], and calls again with the same watermark while an operator
    /// behind has more: after its own `Done` an operator has nothing more to emit for it. The default emits nothing.
    fn watermark<'s>(
        &mut self,
        _watermark: Timestamp,
        _ctx: &mut Context<'s>,
        _out: &mut impl Output<Self::Out>,
    ) -> Flow {
        Flow::Done
    }

    /// When it wants to be called although no record comes, in nanoseconds of the host's clock
    /// ([`Context::now_ns`], [`Context::ns_at`]); `u64::MAX`, the default, for never. Asked once a step, between two
    /// records, so it should be a field that is read.
    #[inline(always)]
    fn due_ns(&self) -> u64 {
        u64::MAX
    }

    /// The time that [`due_ns`](Operator::due_ns) named has come: [`Context::now_ns`] has reached it. Called again
    /// as long as this is [`Flow::More`], with room in between and no record, from an operator in front neither, and as
    /// long as it is [`Flow::Waits`] and [`due_ns`](Operator::due_ns) stays in the past; after [`Flow::Done`] its next
    /// time must lie in the future. The operators of a chain are called last to first. A subtask without room, or with
    /// something left to emit, is late for it. The default emits nothing.
    fn tick<'s>(&mut self, _ctx: &mut Context<'s>, _out: &mut impl Output<Self::Out>) -> Flow {
        Flow::Done
    }

    /// A barrier is about to pass, or word that the input is idle: emit what is held back although it belongs in front
    /// of it. Whoever commits what came before the barrier would lose it, and time would go on without it. State is not
    /// held back: it is kept by whoever stores it. Called again, as [`tick`](Operator::tick) is, with no record in
    /// between. The default holds nothing.
    fn settle<'s>(&mut self, _ctx: &mut Context<'s>, _out: &mut impl Output<Self::Out>) -> Flow {
        Flow::Done
    }

    /// Nothing more will come: the input has ended (a watermark of [`MAX_TIMESTAMP`](crate::MAX_TIMESTAMP) came
    /// before), or the job is drained (none came). Emit what is left. Called again, as
    /// [`watermark`](Operator::watermark) is, so an operator must know what it has emitted. The default emits
    /// nothing.
    fn end<'s>(&mut self, _ctx: &mut Context<'s>, _out: &mut impl Output<Self::Out>) -> Flow {
        Flow::Done
    }

    /// Tells how much state it keeps and what it has left out, all in all: the metrics of a job, and what
    /// `state.budget_bytes` bounds. Asked between two steps, now and then: after some thousand records, and before
    /// the subtask idles. The default has nothing to tell.
    fn measure(&self, _measures: &mut Measures<'_>) {}
}

/// How the operator of one subtask comes to be; called once for each subtask.
///
/// The description is cloned on the host's thread and sent to the slot, where `build` runs: state
/// is made where it is used.
pub trait Build<F: Family>: Clone + Send + 'static {
    /// The records the operator gives.
    type Out: Family;
    /// The operator.
    type Operator: Operator<F, Out = Self::Out>;
    /// Makes the operator on its slot.
    fn build(self, subtask: &SubtaskContext) -> Result<Self::Operator>;
}

/// Describes an operator that is cloned for each subtask.
#[derive(Clone)]
pub struct Cloned<O>(pub O);

impl<F: Family, O: Operator<F> + Clone + Send> Build<F> for Cloned<O> {
    type Out = O::Out;
    type Operator = O;
    fn build(self, _: &SubtaskContext) -> Result<O> {
        Ok(self.0)
    }
}

/// Describes an operator that a factory makes on the slot, so it need be neither `Clone` nor `Send`.
#[derive(Clone)]
pub struct With<M>(pub M);

impl<F: Family, O: Operator<F>, M: Fn(Place<'_>) -> Result<O> + Clone + Send + 'static> Build<F> for With<M> {
    type Out = O::Out;
    type Operator = O;
    fn build(self, subtask: &SubtaskContext) -> Result<O> {
        (self.0)(subtask.place())
    }
}
