//! One operator on a test's leash: records, watermarks and processing time by hand.

use std::marker::PhantomData;

use super::subtask;
use crate::metrics::{OperatorMeters, OperatorMetrics};
use crate::time::{MAX_TIMESTAMP, MIN_TIMESTAMP};
use crate::{
    Arena, Blame, Build, Context, Flow, Measures, Operator, Output, Owned, Result, SubtaskContext, Timestamp,
};

/// One operator without a job around it, with a clock and a watermark that a test moves by hand: Flink's test
/// harness. Described as for `Stream::then`; it stands where [`subtask`](super::subtask) says.
///
/// ```
/// use slotflow_runtime::testing::Harness;
/// use slotflow_runtime::{Cloned, Context, Operator, Output, Owned};
///
/// /// Gives each record together with processing time.
/// #[derive(Clone)]
/// struct Clocked;
///
/// impl Operator<Owned<char>> for Clocked {
///     type Out = Owned<(char, i64)>;
///     fn process<'s>(&mut self, it: char, ctx: &mut Context<'s>, out: &mut impl Output<Self::Out>) {
///         out.push((it, ctx.processing_time()), ctx);
///     }
/// }
///
/// let mut harness = Harness::new(Cloned(Clocked))?;
/// harness.push_at('a', 5)?;
/// harness.processing_time(20)?;
/// harness.push('b')?;
/// assert_eq!(harness.take_timed(), [(('a', 0), 5), (('b', 20), i64::MIN)]);
/// # Ok::<(), slotflow_runtime::Error>(())
/// ```
pub struct Harness<T, U, O> {
    operator: O,
    records: PhantomData<fn(T)>,
    given: Given<U>,
    place: SubtaskContext,
    watermark: Timestamp,
    now_ns: u64,
}

/// What was given, with its event times.
struct Given<U>(Vec<(U, Timestamp)>);

impl<U: 'static> Output<Owned<U>> for Given<U> {
    fn push<'s>(&mut self, record: U, ctx: &mut Context<'s>) {
        self.0.push((record, ctx.timestamp()));
    }
}

impl<T: 'static, U: 'static, O: Operator<Owned<T>, Out = Owned<U>>> Harness<T, U, O> {
    /// Builds the operator. Its watermark is before all time, and processing time is 0.
    ///
    /// # Errors
    /// What building it says.
    pub fn new<B>(build: B) -> Result<Self>
    where
        B: Build<Owned<T>, Out = Owned<U>, Operator = O>,
    {
        Harness::at(build, subtask())
    }

    /// Builds the operator as [`new`](Harness::new) does, for a subtask that is one of several, or has other settings.
    ///
    /// # Errors
    /// What building it says.
    pub fn at<B>(build: B, place: SubtaskContext) -> Result<Self>
    where
        B: Build<Owned<T>, Out = Owned<U>, Operator = O>,
    {
        let operator = build.build(&place)?;
        let given = Given(Vec::new());
        Ok(Harness { operator, records: PhantomData, given, place, watermark: MIN_TIMESTAMP, now_ns: 1 })
    }

    /// Hands a record without event time to the operator.
    ///
    /// # Errors
    /// What the operator failed with, here and in all other calls.
    pub fn push(&mut self, record: T) -> Result<()> {
        self.push_at(record, MIN_TIMESTAMP)
    }

    /// Hands a record of this event time to the operator.
    ///
    /// # Errors
    /// What the operator failed with.
    pub fn push_at(&mut self, record: T, timestamp: Timestamp) -> Result<()> {
        self.push_from(0, record, timestamp)
    }

    /// Hands a record of this event time to the operator that a source has read from this split: for state by source
    /// partition. Other calls read from split 0.
    ///
    /// # Errors
    /// What the operator failed with.
    pub fn push_from(&mut self, split: u32, record: T, timestamp: Timestamp) -> Result<()> {
        let mut record = Some(record);
        let _done = self.step(|operator, ctx, given| {
            ctx.set_timestamp(timestamp);
            ctx.set_split(split);
            record.take().into_iter().for_each(|record| operator.process(record, ctx, given));
            Flow::Done
        })?;
        self.tick_until(self.now_ns)
    }

    /// Moves event time on; one that does not reach further says nothing, as in a job.
    ///
    /// # Errors
    /// What the operator failed with.
    pub fn watermark(&mut self, watermark: Timestamp) -> Result<()> {
        if watermark > self.watermark {
            let _done_or_waits =
                self.step(|operator, ctx, given| operator.watermark(watermark, ctx, given))?;
            self.watermark = watermark;
        }
        Ok(())
    }

    /// Moves processing time on to `time`, in milliseconds, and calls the operator when it is due on the way.
    ///
    /// # Errors
    /// What the operator failed with.
    pub fn processing_time(&mut self, time: Timestamp) -> Result<()> {
        self.tick_until(self.place.clock.reads_at(time).max(self.now_ns))
    }

    /// Says where time stands, without a call: for an operator that has just been restored.
    pub fn stand_at(&mut self, watermark: Timestamp, processing_time: Timestamp) {
        self.watermark = watermark;
        self.now_ns = self.place.clock.reads_at(processing_time).max(self.now_ns);
    }

    /// Ends the input truly: with the last watermark there is.
    ///
    /// # Errors
    /// What the operator failed with.
    pub fn end(&mut self) -> Result<()> {
        self.watermark(MAX_TIMESTAMP)?;
        self.drain()
    }

    /// Ends the input as a drained job does, without a last watermark.
    ///
    /// # Errors
    /// What the operator failed with.
    pub fn drain(&mut self) -> Result<()> {
        self.step(|operator, ctx, given| operator.end(ctx, given)).map(drop)
    }

    /// Takes what was given so far.
    pub fn take(&mut self) -> Vec<U> {
        self.given.0.drain(..).map(|(record, _)| record).collect()
    }

    /// Takes what was given so far, with its event times.
    pub fn take_timed(&mut self) -> Vec<(U, Timestamp)> {
        std::mem::take(&mut self.given.0)
    }

    /// What the operator tells of itself: its state, and what it has left out.
    pub fn measured(&self) -> OperatorMetrics {
        let meters = OperatorMeters::default();
        self.operator.measure(&mut Measures::of(&meters));
        meters.snapshot(|_| self.place.operator.to_string()).pop().unwrap_or_default()
    }

    /// The operator itself.
    pub fn operator(&mut self) -> &mut O {
        &mut self.operator
    }

    /// Calls the operator whenever it is due, until it waits for something that a test cannot move.
    fn tick_until(&mut self, until_ns: u64) -> Result<()> {
        let mut flow = Flow::Done;
        while self.operator.due_ns() <= until_ns && flow != Flow::Waits {
            self.now_ns = self.operator.due_ns().max(self.now_ns);
            flow = self.step(|operator, ctx, given| operator.tick(ctx, given))?;
        }
        self.now_ns = until_ns;
        Ok(())
    }

    /// Calls the operator, as steps would, until it is done or waits.
    fn step(
        &mut self,
        mut call: impl FnMut(&mut O, &mut Context<'_>, &mut Given<U>) -> Flow,
    ) -> Result<Flow> {
        let (arena, blame) = (Arena::new(), Blame::default());
        loop {
            let mut ctx = Context::new(&arena, &self.place, &blame, self.now_ns);
            ctx.set_watermark(self.watermark);
            let flow = call(&mut self.operator, &mut ctx, &mut self.given);
            if let Some(error) = ctx.into_error() {
                return Err(error.at(&self.place.operator, self.place.index));
            }
            if flow != Flow::More {
                return Ok(flow);
            }
        }
    }
}
