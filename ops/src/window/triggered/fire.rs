//! What triggers say, done: windows get records, fire, are purged and go.

use slotflow_runtime::{Context, FIRING_BUDGET, Flow, Output, Owned, Timestamp};

use super::super::evictor::EvictorContext;
use super::super::late::Late;
use super::super::spans::Span;
use super::super::trigger::Now;
use super::operator::{Fired, TriggeredWindows};
use super::{Contents, Timing, Trigger, TriggerResult, WindowAssigner, WindowFiring};
use crate::keyed::KeySelector;
use crate::state::TimeDomain;

impl<T, W, S, G, C, L> TriggeredWindows<T, W, S, G, C, L>
where
    T: Clone + 'static,
    W: WindowAssigner<T, G>,
    S: KeySelector<T, Stored: Clone + Eq>,
    G: Trigger<T>,
    C: Contents<T>,
    L: Late<Fired<T, S, C>, T>,
{
    /// Adds a record to a window, and does what the trigger says.
    pub(super) fn add<'s>(
        &mut self,
        row: u32,
        record: T,
        now: Now,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<L::Out>>,
    ) {
        let TriggeredWindows { trigger, contents, state, .. } = self;
        let Some((window, mut trigger_ctx)) = state.open.context(row, now) else { return };
        let result = trigger.on_record(&record, &mut window.state, &mut trigger_ctx);
        state.open.edit(row, |window| {
            window.latest = window.latest.max(now.timestamp);
            contents.add(window.kept.get_or_insert_with(|| contents.create()), record, now.timestamp);
        });
        self.act(row, result, now, ctx, out);
    }

    /// Does what the trigger says about a window.
    fn act<'s>(
        &mut self,
        row: u32,
        result: TriggerResult,
        now: Now,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<L::Out>>,
    ) {
        if result.fires() {
            self.fire(row, now, ctx, out);
        }
        let TriggeredWindows { trigger, state, .. } = self;
        let open = &mut state.open;
        if result.purges() {
            open.edit(row, |window| window.kept = None);
            if let Some((window, mut ctx)) = open.context(row, now) {
                trigger.on_purge(&mut window.state, &mut ctx);
            }
        }
        // A session that has nothing still says how far the next record's session reaches.
        if W::ON_MERGE.is_none() && open.is_spent(row) {
            open.close(row);
        }
    }

    /// Gives the value of a window, if it has a record. The operators in front may go on with the time there was.
    fn fire<'s>(&mut self, row: u32, now: Now, ctx: &mut Context<'s>, out: &mut impl Output<Owned<L::Out>>) {
        let Now { watermark, processing_time, .. } = now;
        let TriggeredWindows { contents, state, .. } = self;
        let fired = state.open.edit(row, |window| {
            let span = window.span;
            let ctx = EvictorContext { span, watermark, processing_time };
            let value = contents.fire(&mut window.kept, &ctx)?;
            Some((window.key.clone(), span, window.latest, value))
        });
        if let Some((key, span, latest, value)) = fired.flatten() {
            let (Span { start, end }, timing) = (span, self.timing(span, now));
            let own = ctx.timestamp();
            ctx.set_timestamp(if span.is_endless() { latest } else { end - 1 });
            out.push(L::result(WindowFiring { key, start, end, timing, value }), ctx);
            ctx.set_timestamp(own);
        }
    }

    /// How what happens now stands to a window's end.
    fn timing(&self, span: Span, now: Now) -> Timing {
        let over = self.state.open.over(span);
        match (now.timer, W::TIME) {
            (Some((domain, time)), own) if domain == own => Timing::of_timer(time, over),
            (_, TimeDomain::EventTime) => Timing::when(now.watermark, over),
            (_, TimeDomain::ProcessingTime) => Timing::when(now.processing_time, over),
        }
    }

    /// Calls at most a budget of the timers that are due at `until`.
    pub(super) fn call_timers<'s>(
        &mut self,
        domain: TimeDomain,
        until: Timestamp,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<L::Out>>,
    ) -> Flow {
        for _ in 0..FIRING_BUDGET {
            let Some(due) = self.state.open.timers.of(domain).pop(until) else { return Flow::Done };
            self.on_timer(due.row, (domain, due.time), ctx, out);
            if ctx.failed() {
                return Flow::Done;
            }
        }
        Flow::More
    }

    /// A timer of a window is due: the trigger's, or that for its clean-up, or both.
    fn on_timer<'s>(
        &mut self,
        row: u32,
        timer: (TimeDomain, Timestamp),
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<L::Out>>,
    ) {
        let Some(span) = self.state.open.window(row).map(|window| window.span) else { return };
        if self.state.open.take_timer(row, timer) {
            let now = Now { timer: Some(timer), ..self.now(timer.1, ctx) };
            let result = self.ask(row, timer, now);
            self.act(row, result, now, ctx, out);
        }
        if self.state.open.clean_up(span) == Some(timer) {
            self.state.open.close(row);
        }
    }

    /// What the trigger says about its timer.
    fn ask(&mut self, row: u32, (domain, time): (TimeDomain, Timestamp), now: Now) -> TriggerResult {
        let TriggeredWindows { trigger, state, .. } = self;
        let Some((window, mut ctx)) = state.open.context(row, now) else { return TriggerResult::Continue };
        match domain {
            TimeDomain::EventTime => trigger.on_event_time(time, &mut window.state, &mut ctx),
            TimeDomain::ProcessingTime => trigger.on_processing_time(time, &mut window.state, &mut ctx),
        }
    }
}
