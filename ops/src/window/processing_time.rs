//! Windows by the host's clock: those of event time, told how far time has come by another clock.
//!
//! A record belongs to the windows of the time at which it is processed, and a window fires once the clock has
//! reached its end. Panes, stacks, sessions and firing are the operators' of event time: this one hands them the
//! clock as each record's time, and as their watermark.

use slotflow_runtime::{
    Build, Context, EventTime, Family, Flow, Hint, MAX_TIMESTAMP, Measures, Operator, Output, Owned, Result,
    SubtaskContext, Time, Timestamp,
};

use super::{DynamicSession, Session, Sliding, WindowPlan, Windows};

/// Windows in processing time; made by [`Sliding::in_processing_time`], [`Session::in_processing_time`] and
/// [`DynamicSession::in_processing_time`].
#[derive(Clone, Copy, Debug)]
pub struct InProcessingTime<W>(W);

impl Sliding {
    /// The same windows in processing time, the host's clock: Flink's `TumblingProcessingTimeWindows` and
    /// `SlidingProcessingTimeWindows`. The stream needs no event time.
    ///
    /// A record is in the windows of the time at which it is processed, so none is ever late, and two runs differ.
    /// A window fires once the clock has reached its end, a step later when its subtask is busy, and all that are
    /// open fire when the input truly ends; a drain fires none. Results have the window's last time as their event
    /// time.
    ///
    /// ```
    /// # use slotflow::{prelude::*, testing::collect};
    /// use std::time::Duration;
    ///
    /// let windows = Tumbling::of(Duration::from_secs(3600)).in_processing_time();
    /// let sums = collect(1..=4u64, |numbers| {
    ///     numbers.key_by(|_| 0).window(windows).reduce(|a, b| a + b).map(|window| window.value)
    /// })?;
    /// assert_eq!(sums.iter().sum::<u64>(), 10);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn in_processing_time(self) -> InProcessingTime<Sliding> {
        InProcessingTime(self)
    }
}

impl Session {
    /// The same sessions in processing time, the host's clock: Flink's `ProcessingTimeSessionWindows`. They fire
    /// as [those of fixed size](Sliding::in_processing_time) do.
    ///
    /// ```
    /// # use slotflow::{prelude::*, testing::collect};
    /// # use std::time::Duration;
    /// let sessions = Session::with_gap(Duration::from_secs(3600)).in_processing_time();
    /// let counts = collect(0..4u64, |numbers| {
    ///     numbers.key_by(|n| n % 2).window(sessions).process(|session| session.value.len())
    /// })?;
    /// assert_eq!(counts, [2, 2]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn in_processing_time(self) -> InProcessingTime<Session> {
        InProcessingTime(self)
    }
}

impl<G> DynamicSession<G> {
    /// The same sessions in processing time, the host's clock: Flink's `DynamicProcessingTimeSessionWindows`. They fire
    /// as [those of fixed size](Sliding::in_processing_time) do.
    pub fn in_processing_time(self) -> InProcessingTime<DynamicSession<G>> {
        InProcessingTime(self)
    }
}

impl<W> InProcessingTime<W> {
    /// The same windows in event time.
    pub(super) fn windows(&self) -> &W {
        &self.0
    }
}

impl<M: Time, W: Windows<EventTime>> Windows<M> for InProcessingTime<W> {
    fn check(&self) -> Result<()> {
        self.0.check()
    }
}

/// An operator of windows that says when it next has something to do about time.
pub trait Due {
    /// The time that its watermark must have passed, less one: the end of the first window that is open. `None` if
    /// no window is.
    fn due(&self) -> Option<Timestamp>;

    /// Whether a record that is later than all others may make it earlier, and not only something if it was `None`.
    fn may_come_earlier(&self) -> bool {
        false
    }
}

impl<T, W, S, A, L> Build<Owned<T>> for WindowPlan<InProcessingTime<W>, S, A, L>
where
    T: 'static,
    WindowPlan<W, S, A, L>: Build<Owned<T>, Operator: Due>,
    WindowPlan<InProcessingTime<W>, S, A, L>: Clone + Send + 'static,
{
    type Out = <WindowPlan<W, S, A, L> as Build<Owned<T>>>::Out;
    type Operator = ByClock<<WindowPlan<W, S, A, L> as Build<Owned<T>>>::Operator>;

    fn build(self, subtask: &SubtaskContext) -> Result<Self::Operator> {
        let WindowPlan { selector, assigner, windows: InProcessingTime(windows), aggregate, late, .. } = self;
        // Nothing is late by the clock that it is timed by, so nothing is kept for it.
        let plan = WindowPlan { selector, assigner, windows, lateness_ms: 0, aggregate, late };
        Ok(ByClock { windows: plan.build(subtask)?, due_ns: u64::MAX })
    }
}

/// The operator of [`InProcessingTime`].
pub struct ByClock<O> {
    windows: O,
    /// When the first window ends.
    due_ns: u64,
}

impl<O: Due> ByClock<O> {
    /// Sees when the windows want the next call.
    #[inline(never)]
    fn look_ahead(&mut self, ctx: &Context<'_>) {
        self.due_ns = self.windows.due().map_or(u64::MAX, |due| ctx.ns_at(due));
    }
}

impl<T: 'static, O: Operator<Owned<T>> + Due> Operator<Owned<T>> for ByClock<O> {
    type Out = O::Out;

    #[inline(always)]
    fn process<'s>(&mut self, record: T, ctx: &mut Context<'s>, out: &mut impl Output<O::Out>) {
        self.process_hinted(record, None, ctx, out);
    }

    #[inline(always)]
    fn hint<'s, 'r>(&mut self, records: impl Iterator<Item = &'r T>, first: Hint, ctx: &mut Context<'s>)
    where
        <Owned<T> as Family>::Of<'s>: 'r,
    {
        self.windows.hint(records, first, ctx);
    }

    #[inline(always)]
    fn process_hinted<'s>(
        &mut self,
        record: T,
        hint: Option<Hint>,
        ctx: &mut Context<'s>,
        out: &mut impl Output<O::Out>,
    ) {
        // The operators in front have no other time to go by, where the stream has none of its own.
        let own = ctx.timestamp();
        ctx.set_timestamp(ctx.processing_time());
        self.windows.process_hinted(record, hint, ctx, out);
        ctx.set_timestamp(own);
        if self.due_ns == u64::MAX || self.windows.may_come_earlier() {
            self.look_ahead(ctx);
        }
    }

    /// Event time says nothing here, but that it is over: then no clock will be waited for.
    fn watermark<'s>(
        &mut self,
        watermark: Timestamp,
        ctx: &mut Context<'s>,
        out: &mut impl Output<O::Out>,
    ) -> Flow {
        if watermark < MAX_TIMESTAMP {
            return Flow::Done;
        }
        self.due_ns = u64::MAX;
        self.windows.watermark(watermark, ctx, out)
    }

    /// The windows may want to be called for a reason of their own, too, which a call about time serves as well.
    #[inline(always)]
    fn due_ns(&self) -> u64 {
        self.due_ns.min(self.windows.due_ns())
    }

    fn settle<'s>(&mut self, ctx: &mut Context<'s>, out: &mut impl Output<O::Out>) -> Flow {
        self.windows.settle(ctx, out)
    }

    /// The clock goes on between the calls of one firing, and with it the watermark: what is next to fire is the
    /// same. Once all is done nothing is due that the clock has reached.
    fn tick<'s>(&mut self, ctx: &mut Context<'s>, out: &mut impl Output<O::Out>) -> Flow {
        let own = ctx.timestamp();
        let flow = self.windows.watermark(ctx.processing_time() - 1, ctx, out);
        ctx.set_timestamp(own);
        if flow == Flow::Done {
            self.look_ahead(ctx);
        }
        flow
    }

    fn end<'s>(&mut self, ctx: &mut Context<'s>, out: &mut impl Output<O::Out>) -> Flow {
        self.windows.end(ctx, out)
    }

    fn measure(&self, measures: &mut Measures<'_>) {
        self.windows.measure(measures);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use slotflow_runtime::testing::{Harness, check, subtask};
    use slotflow_runtime::{Arena, Blame, FIRING_BUDGET};

    use super::super::tests::{Given, Pair, Selector, Step, Sum, built, drive, ms, selector};
    use super::super::{Dropped, Tumbling, WindowResult};
    use super::*;
    use crate::keyed::Assigner;

    type Plan<W> = WindowPlan<W, Selector, Sum, Dropped>;
    type Fired = WindowResult<char, u64>;
    /// Key, value and time.
    type Timed = (char, u64, Timestamp);

    fn sums<W>(windows: W) -> Plan<W> {
        let (selector, late) = (selector(), Dropped::default());
        WindowPlan { selector, assigner: Assigner::Hash, windows, lateness_ms: 0, aggregate: Sum, late }
    }

    #[test]
    fn a_window_fires_once_the_clock_has_reached_its_end() {
        let plan = sums(Tumbling::of(ms(10)).in_processing_time());
        check(
            plan,
            "a:1 ~4 a:2 b:8 ~9 ~10 a:4 ~35 ~40",
            "~4 ~9 a:3[0,10)@9 b:8[0,10)@9 ~10 a:4[10,20)@19 ~35 ~40",
        );
    }

    #[test]
    fn windows_slide_by_the_clock_and_their_offset() {
        let plan = sums(Sliding::of(ms(10), ms(5)).offset_ms(1).in_processing_time());
        let fired = "~2 ~5 a:1[-4,6)@5 ~6 a:3[1,11)@10 a:2[6,16)@15 ~20";
        check(plan, "~2 a:1 ~5 ~6 a:2 ~20", fired);
    }

    #[test]
    fn a_session_ends_when_the_clock_says_that_nothing_came_for_a_gap() {
        let plan = sums(Session::with_gap(ms(5)).in_processing_time());
        check(plan, "a:1 ~3 a:2 ~6 b:4 ~8 a:8 ~30", "~3 ~6 a:3[0,8)@7 ~8 b:4[6,11)@10 a:8[8,13)@12 ~30");
    }

    #[test]
    fn event_time_is_no_matter() {
        let plan = sums(Tumbling::of(ms(10)).in_processing_time());
        check(plan, "a:1@99 |500 a:2@3 ~10", "|500 a:3[0,10)@9 ~10");
    }

    #[test]
    fn a_drain_fires_nothing_and_the_true_end_what_is_open() {
        let plan = || sums(Tumbling::of(ms(10)).in_processing_time());
        check(plan(), "~4 a:1 #drain", "~4 #drain");
        check(plan(), "~4 a:1 #", "~4 a:1[0,10)@9 #");
    }

    #[test]
    fn the_record_s_own_time_is_left_as_it_was() {
        let (mut operator, mut given) =
            (built(sums(Tumbling::of(ms(10)).in_processing_time())), Given(Vec::new()));
        let (arena, blame, place) = (Arena::new(), Blame::default(), subtask());
        let mut ctx = Context::new(&arena, &place, &blame, 12_000_000);
        ctx.set_timestamp(7);
        operator.process(('a', 1), &mut ctx, &mut given);
        assert_eq!((ctx.timestamp(), operator.due_ns()), (7, 20_000_000));
    }

    /// While one window fires, the end of the next may come.
    #[test]
    fn a_window_fires_in_portions_while_the_clock_goes_on() {
        let mut operator = built(sums(Tumbling::of(ms(10)).in_processing_time()));
        let (arena, blame, place) = (Arena::new(), Blame::default(), subtask());
        let at = |now: u64| Context::new(&arena, &place, &blame, now * 1_000_000);
        let mut given = Given(Vec::new());
        let keys = 2 * FIRING_BUDGET as u32;
        for now in [5, 15] {
            (0..keys).for_each(|n| {
                operator.process((char::from_u32(0x1_0000 + n).unwrap(), 1), &mut at(now), &mut given);
            });
        }
        let (mut now, mut calls) = (17, 0);
        while operator.due_ns() <= now * 1_000_000 {
            let _ = operator.tick(&mut at(now), &mut given);
            calls += 1;
            assert!(given.0.len() <= calls * FIRING_BUDGET);
            now += 1;
        }
        let fired: BTreeSet<_> = given.0.iter().map(|(result, _)| (result.start, result.key)).collect();
        assert_eq!((fired.len(), given.0.len()), (2 * keys as usize, 2 * keys as usize));
        assert_eq!(operator.due_ns(), u64::MAX);
    }

    /// What a clock that stands at each record's time makes of the records.
    fn by_clock(plan: impl Build<Owned<Pair>, Out = Owned<Fired>>, records: &[Timed]) -> Vec<Fired> {
        let mut harness = Harness::new(plan).unwrap();
        for (key, n, time) in records {
            harness.processing_time(*time).unwrap();
            harness.push((*key, *n)).unwrap();
        }
        harness.end().unwrap();
        sorted(harness.take())
    }

    /// What windows in event time make of the same, when event time is as far as each record's at any moment.
    fn by_event_time(plan: impl Build<Owned<Pair>, Out = Owned<Fired>>, records: &[Timed]) -> Vec<Fired> {
        let mut given = Vec::new();
        let step = |(key, n, time): &Timed| [Step::Watermark(*time - 1), Step::Record(*key, *n, *time)];
        let steps = records.iter().flat_map(step).chain([Step::Watermark(MAX_TIMESTAMP)]);
        drive(&mut built(plan), steps, |result, _| given.push(result));
        sorted(given)
    }

    fn sorted(mut results: Vec<Fired>) -> Vec<Fired> {
        results.sort_unstable();
        results
    }

    fn records() -> impl Strategy<Value = Vec<Timed>> {
        let record = (prop::sample::select(vec!['a', 'b', 'c']), 0..9u64, 0..9i64);
        prop::collection::vec(record, 0..80).prop_map(|records| {
            let mut now = 0;
            let at = |(key, n, gap): (char, u64, i64)| {
                now += (gap - 4).max(0);
                (key, n, now)
            };
            records.into_iter().map(at).collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_clock_makes_the_windows_that_event_time_makes(
            shape in prop::sample::select(vec![(10, 10, 0), (10, 10, 3), (10, 5, 2), (9, 6, 1), (12, 1, 0)]),
            gap in 1..8u64,
            records in records(),
        ) {
            let windows = Sliding::of(ms(shape.0), ms(shape.1)).offset_ms(shape.2);
            let clocked = by_clock(sums(windows.in_processing_time()), &records);
            prop_assert_eq!(clocked, by_event_time(sums(windows), &records));
            let sessions = Session::with_gap(ms(gap));
            let clocked = by_clock(sums(sessions.in_processing_time()), &records);
            prop_assert_eq!(clocked, by_event_time(sums(sessions), &records));
        }
    }
}
