//! Where event time begins anew in the middle of a chain.
//!
//! Watermarks pass a chain's operators by; only here others go on than came in. So it is a link of the chain like a
//! fork, and operators pay nothing for it.
//!
//! 1. Each record is given its event time on the way through.
//! 2. Between records, once a step, the assigner is asked for what it has to say; so a watermark comes behind all the
//!    records that it was made of. What fires at it behind this link may take several steps; nothing else is said, and
//!    nobody called about another time, before that is over.
//! 3. Watermarks that come in are dropped. The last one there is says that the input has truly ended; what operators in
//!    front emit at the end is still given its time, and then time ends here, too.
//! 4. What is behind this link sees the watermark made here, also in its context.

use crate::chain::Guard;
use crate::control::{Barrier, LatencyMark};
use crate::time::{MAX_TIMESTAMP, MIN_TIMESTAMP};
use crate::{
    Consumer, Context, Downstream, Family, Flow, Flush, Leaving, Measures, Output, Result, SubtaskContext,
    Tail, Timestamp,
};

/// What there is to say about event time between two records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeSaid {
    /// It has reached this.
    Watermark(Timestamp),
    /// Nothing comes for now, and nobody shall be held up.
    Idle,
}

/// Gives records their event time, and says how far it has come.
///
/// Called by one subtask on its slot's thread.
pub trait AssignTime<F: Family>: Clone + Send + 'static {
    /// The event time of a record, in milliseconds. Called for each.
    fn assign<'s>(&mut self, record: &F::Of<'s>, ctx: &Context<'s>) -> Timestamp;

    /// The input in front is idle: nothing comes until it goes on.
    fn input_is_idle(&mut self);

    /// What is to be said now and was not said before: watermarks that rise, idleness once, and, when that is over, the
    /// last watermark again. Called once a step when [`due_ns`](AssignTime::due_ns) has come.
    fn said(&mut self, ctx: &Context<'_>) -> Option<TimeSaid>;

    /// When it has something to say, in nanoseconds of the host's clock; 0 for now.
    fn due_ns(&self) -> u64;
}

/// An assigner of event time and the rest of the chain; also the description of them.
#[derive(Clone)]
pub struct Retime<A, B> {
    operator: u32,
    assigner: A,
    rest: B,
    /// The last watermark that all of the rest has seen.
    watermark: Timestamp,
    /// What the rest is being told, perhaps in several steps.
    saying: Option<TimeSaid>,
    /// The input has become idle, and the assigner does not know yet.
    silent: bool,
    /// The input has truly ended.
    ended: bool,
}

impl<A, B> Retime<A, B> {
    /// Event time as `assigner`, the operator of this number, says it, in front of `rest`.
    pub fn new(operator: u32, assigner: A, rest: B) -> Self {
        Retime {
            operator,
            assigner,
            rest,
            watermark: MIN_TIMESTAMP,
            saying: None,
            silent: false,
            ended: false,
        }
    }

    /// Calls the rest, which sees the watermark made here.
    #[inline(always)]
    fn behind<'s, X>(
        &mut self,
        ctx: &mut Context<'s>,
        call: impl FnOnce(&mut B, &mut Context<'s>) -> X,
    ) -> X {
        let rest = &mut self.rest;
        ctx.at_watermark(self.watermark, |ctx| call(rest, ctx))
    }

    /// Asks the assigner whether there is something to say.
    fn ask<F: Family>(&mut self, ctx: &mut Context<'_>)
    where
        A: AssignTime<F>,
    {
        if std::mem::take(&mut self.silent) {
            self.assigner.input_is_idle();
        }
        if self.assigner.due_ns() <= ctx.now_ns() {
            let guard = Guard::new(&self.operator, ctx);
            self.saying = self.assigner.said(ctx);
            guard.clear(ctx);
        }
    }

    /// Says what is being said; an operator behind may need several calls for it.
    fn say<F: Family>(&mut self, ctx: &mut Context<'_>) -> Flow
    where
        B: Consumer<F>,
    {
        let Some(said) = self.saying else { return Flow::Done };
        let flow = self.behind(ctx, |rest, ctx| match said {
            TimeSaid::Watermark(watermark) => rest.watermark(watermark, ctx),
            TimeSaid::Idle => rest.settle(ctx),
        });
        if flow != Flow::Done || ctx.failed() {
            return flow;
        }
        match said {
            TimeSaid::Watermark(watermark) => self.watermark = watermark,
            TimeSaid::Idle => self.rest.forward_idle(),
        }
        self.saying = None;
        Flow::Done
    }
}

impl<F: Family, A: AssignTime<F>, B: Output<F>> Output<F> for Retime<A, B> {
    #[inline(always)]
    fn push<'s>(&mut self, record: F::Of<'s>, ctx: &mut Context<'s>) {
        if ctx.failed() {
            return;
        }
        let guard = Guard::new(&self.operator, ctx);
        let timestamp = self.assigner.assign(&record, ctx);
        guard.clear(ctx);
        ctx.set_timestamp(timestamp);
        self.behind(ctx, |rest, ctx| rest.push(record, ctx));
    }
}

impl<A: 'static, B: Tail> Tail for Retime<A, B> {
    fn room(&mut self) -> usize {
        self.rest.room()
    }
    fn room_behind(&mut self) -> usize {
        self.rest.room_behind()
    }
    fn flush(&mut self, now_ns: u64) -> Result<Flush> {
        self.rest.flush(now_ns)
    }
    fn barrier(&mut self, barrier: Barrier) {
        self.rest.barrier(barrier);
    }
    fn mark(&mut self, mark: LatencyMark, now_ns: u64) {
        self.rest.mark(mark, now_ns);
    }
    fn forward_watermark(&mut self, watermark: Timestamp) {
        self.rest.forward_watermark(watermark);
    }
    /// Not at once: a watermark may have to be said before.
    fn forward_idle(&mut self) {
        self.silent = true;
    }
    fn close(&mut self) {
        self.rest.close();
    }
    fn finished(&mut self) -> bool {
        self.rest.finished()
    }
    fn charge_blocked(&mut self, now_ns: u64) {
        self.rest.charge_blocked(now_ns);
    }
    fn is_polled(&self) -> bool {
        self.rest.is_polled()
    }
}

impl<F: Family, A: AssignTime<F>, B: Consumer<F>> Consumer<F> for Retime<A, B> {
    fn watermark(&mut self, watermark: Timestamp, _: &mut Context<'_>) -> Flow {
        self.ended = watermark == MAX_TIMESTAMP;
        Flow::Done
    }

    fn due_ns(&self) -> u64 {
        if self.silent || self.saying.is_some() {
            return 0;
        }
        self.assigner.due_ns().min(self.rest.due_ns())
    }

    fn tick(&mut self, ctx: &mut Context<'_>) -> Flow {
        if self.saying.is_none() {
            let behind = self.behind(ctx, |rest, ctx| rest.tick(ctx));
            if behind != Flow::Done || ctx.failed() {
                return behind;
            }
            self.ask(ctx);
        }
        self.say(ctx)
    }

    fn settle(&mut self, ctx: &mut Context<'_>) -> Flow {
        self.behind(ctx, |rest, ctx| rest.settle(ctx))
    }

    fn end(&mut self, ctx: &mut Context<'_>) -> Flow {
        if self.ended && self.watermark != MAX_TIMESTAMP {
            self.saying = Some(TimeSaid::Watermark(MAX_TIMESTAMP));
            let flow = self.say(ctx);
            if flow != Flow::Done || ctx.failed() {
                return flow;
            }
        }
        self.behind(ctx, |rest, ctx| rest.end(ctx))
    }

    fn measure(&self, measures: &mut Measures<'_>) {
        self.rest.measure(measures);
    }

    fn leave(self: Box<Self>, leaving: &mut Leaving<'_>) {
        let Retime { operator, assigner, rest, .. } = *self;
        leaving.part(operator, assigner);
        Box::new(rest).leave(leaving);
    }
}

impl<F: Family, A: AssignTime<F>, B: Downstream<F>> Downstream<F> for Retime<A, B> {
    type Consumer = Retime<A, B::Consumer>;
    fn build(self, subtask: &SubtaskContext) -> Result<Self::Consumer> {
        Ok(Retime::new(self.operator, self.assigner, self.rest.build(subtask)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::subtask;
    use crate::{Arena, Blame, Owned};

    /// A record is its time; says the greatest of them, and idleness behind it.
    #[derive(Clone, Default)]
    struct Greatest {
        news: Option<Timestamp>,
        idle: bool,
    }

    impl AssignTime<Owned<i64>> for Greatest {
        fn assign<'s>(&mut self, record: &i64, _: &Context<'s>) -> Timestamp {
            self.news = Some(self.news.unwrap_or(MIN_TIMESTAMP).max(*record));
            *record
        }
        fn input_is_idle(&mut self) {
            self.idle = true;
        }
        fn said(&mut self, _: &Context<'_>) -> Option<TimeSaid> {
            let watermark = self.news.take().map(TimeSaid::Watermark);
            watermark.or_else(|| std::mem::take(&mut self.idle).then_some(TimeSaid::Idle))
        }
        fn due_ns(&self) -> u64 {
            if self.news.is_some() || self.idle { 0 } else { u64::MAX }
        }
    }

    /// Notes what comes, with the watermark in force; has to be called twice for each watermark.
    #[derive(Default)]
    struct Noted {
        notes: Vec<String>,
        halfway: bool,
        /// Something is held back.
        holds: bool,
        /// How many parts are still to fire by the clock.
        parts: usize,
    }

    impl Output<Owned<i64>> for Noted {
        fn push<'s>(&mut self, record: i64, ctx: &mut Context<'s>) {
            self.notes.push(format!("{record}@{}>{}", ctx.timestamp(), ctx.watermark()));
        }
    }

    impl Tail for Noted {
        fn room(&mut self) -> usize {
            1
        }
        fn flush(&mut self, _: u64) -> Result<Flush> {
            Ok(Flush::IDLE)
        }
        fn barrier(&mut self, _: Barrier) {}
        fn mark(&mut self, _: LatencyMark, _: u64) {}
        fn forward_watermark(&mut self, _: Timestamp) {}
        fn forward_idle(&mut self) {
            self.notes.push("idle".into());
        }
        fn close(&mut self) {}
        fn finished(&mut self) -> bool {
            true
        }
        fn charge_blocked(&mut self, _: u64) {}
    }

    impl Consumer<Owned<i64>> for Noted {
        fn watermark(&mut self, watermark: Timestamp, ctx: &mut Context<'_>) -> Flow {
            self.halfway = !self.halfway;
            if self.halfway {
                return Flow::More;
            }
            self.notes.push(format!("|{watermark}>{}", ctx.watermark()));
            Flow::Done
        }
        fn due_ns(&self) -> u64 {
            if self.parts > 0 { 0 } else { u64::MAX }
        }
        fn tick(&mut self, _: &mut Context<'_>) -> Flow {
            if self.parts == 0 {
                return Flow::Done;
            }
            self.notes.push("part".into());
            self.parts -= 1;
            if self.parts > 0 { Flow::More } else { Flow::Done }
        }
        fn settle(&mut self, _: &mut Context<'_>) -> Flow {
            if !std::mem::take(&mut self.holds) {
                return Flow::Done;
            }
            self.notes.push("held".into());
            Flow::More
        }
        fn end(&mut self, ctx: &mut Context<'_>) -> Flow {
            self.notes.push(format!("#>{}", ctx.watermark()));
            Flow::Done
        }
    }

    fn with_context(call: impl FnOnce(&mut Retime<Greatest, Noted>, &mut Context<'_>)) -> Vec<String> {
        let (arena, blame, place) = (Arena::new(), Blame::default(), subtask());
        let mut ctx = Context::new(&arena, &place, &blame, 1);
        ctx.set_watermark(100);
        let mut link = Retime::new(0, Greatest::default(), Noted::default());
        call(&mut link, &mut ctx);
        assert_eq!(ctx.watermark(), 100, "in front of the link its own still holds");
        link.rest.notes
    }

    fn until_done(link: &mut Retime<Greatest, Noted>, ctx: &mut Context<'_>) {
        while Consumer::<Owned<i64>>::due_ns(link) <= ctx.now_ns() {
            let _again = Consumer::<Owned<i64>>::tick(link, ctx);
        }
    }

    #[test]
    fn what_is_behind_sees_the_time_that_is_made_here() {
        let notes = with_context(|link, ctx| {
            link.push(5, ctx);
            until_done(link, ctx);
            link.push(7, ctx);
            assert_eq!(Consumer::<Owned<i64>>::end(link, ctx), Flow::Done);
        });
        assert_eq!(notes, ["5@5>-9223372036854775808", "|5>-9223372036854775808", "7@7>5", "#>5"]);
    }

    #[test]
    fn idleness_passes_nothing_that_is_held_back() {
        let notes = with_context(|link, ctx| {
            link.rest.holds = true;
            link.forward_idle();
            // Said to the assigner, which says it in turn.
            let _said = Consumer::<Owned<i64>>::tick(link, ctx);
            until_done(link, ctx);
        });
        assert_eq!(notes, ["held", "idle"]);
    }

    #[test]
    fn what_comes_in_is_dropped_and_time_ends_behind_what_is_emitted_at_the_end() {
        let notes = with_context(|link, ctx| {
            link.push(5, ctx);
            until_done(link, ctx);
            for watermark in [50, MAX_TIMESTAMP] {
                assert_eq!(Consumer::<Owned<i64>>::watermark(link, watermark, ctx), Flow::Done);
            }
            link.push(7, ctx);
            let mut end = || Consumer::<Owned<i64>>::end(link, ctx);
            assert_eq!([end(), end()], [Flow::More, Flow::Done]);
        });
        assert_eq!(notes[2..], ["7@7>5", "|9223372036854775807>5", "#>9223372036854775807"]);
    }

    #[test]
    fn neither_time_is_told_in_the_middle_of_what_fires_by_the_other() {
        let notes = with_context(|link, ctx| {
            link.push(5, ctx);
            link.rest.parts = 2;
            until_done(link, ctx);
            link.push(7, ctx);
            assert_eq!(Consumer::<Owned<i64>>::tick(link, ctx), Flow::More, "half of it is said");
            link.rest.parts = 1;
            until_done(link, ctx);
        });
        assert_eq!(notes[1..], ["part", "part", "|5>-9223372036854775808", "7@7>5", "|7>5", "part"]);
    }

    #[test]
    fn a_watermark_is_said_before_the_idleness_behind_it() {
        let notes = with_context(|link, ctx| {
            link.push(5, ctx);
            link.forward_idle();
            until_done(link, ctx);
        });
        assert_eq!(notes[1..], ["|5>-9223372036854775808", "idle"]);
    }
}
