//! The operator: makes requests, and lets their answers go on.
//!
//! Watermarks and barriers have to wait for answers, so this is a link of the chain, as a fork is, and not an operator
//! that they pass by. Between records the subtask asks it when it is due (at once if answers have come), and calls it.

use std::fmt::Display;
use std::future::Future;

use slotflow_runtime::plan::OperatorId;
use slotflow_runtime::{
    Barrier, Consumer, Context, Downstream, FIRING_BUDGET, Flow, Flush, Guard, LatencyMark, Leaving,
    MIN_TIMESTAMP, Measures, Output, Owned, Result, SubtaskContext, Tail, Timestamp,
};

use super::answers::{Answer, Answers};
use super::settings::{AsyncIo, Request};
use super::under_way::{Boundary, Due, Next, UnderWay};
use super::{Outcome, Unanswered};

/// Describes the operator and what is behind it.
#[derive(Clone)]
pub struct AsyncPlan<S, F, B> {
    pub(super) operator: OperatorId,
    pub(super) io: AsyncIo<S>,
    pub(super) request: F,
    pub(super) rest: B,
}

/// The operator of one subtask, and the rest of its chain.
pub struct AsyncLink<T, U, S, F, B> {
    caller: Caller<T, U, S, F>,
    rest: B,
    /// The last watermark that all of the rest has seen.
    watermark: Timestamp,
    /// A boundary that is on its way through the rest, perhaps in several steps.
    crossing: Option<Boundary>,
}

/// Who makes requests and knows which are under way.
struct Caller<T, U, S, F> {
    operator: OperatorId,
    io: AsyncIo<S>,
    request: F,
    answers: Answers<U>,
    under_way: UnderWay<T, Outcome<T, U>>,
}

impl<T, U, E, S, F, A> Caller<T, U, S, F>
where
    U: Send + 'static,
    E: Display,
    S: Fn(Request) + Clone + Send + 'static,
    F: FnMut(&T) -> A,
    A: Future<Output = Result<U, E>> + Send + 'static,
{
    /// Makes an attempt for the record at `place`.
    fn call(&mut self, place: usize, now_ns: u64) {
        let expires_ns = now_ns.saturating_add(self.io.timeout_ns());
        let Some((attempt, record)) = self.under_way.begin(place, expires_ns) else { return };
        let (request, reply) = ((self.request)(record), self.answers.reply(place, attempt));
        (self.io.spawn)(Box::pin(async move {
            let outcome = request.await;
            reply.answer(outcome.map_err(|error| error.to_string()));
        }));
    }

    /// Takes the answers that have come. There are no more than attempts that were made.
    fn hear(&mut self, now_ns: u64) {
        while let Some(Answer { place, attempt, outcome }) = self.answers.take() {
            if !self.under_way.counts(place, attempt) {
                continue;
            }
            match outcome {
                Ok(answer) => self.under_way.answer(place, |_| Ok(answer)),
                Err(cause) => self.failed(place, cause, now_ns),
            }
        }
    }

    /// Makes the attempts whose time has come, and gives up those that take too long.
    fn look_at_clock(&mut self, now_ns: u64) {
        while let Some(due) = self.under_way.due(now_ns) {
            match due {
                Due::Again(place) => self.call(place, now_ns),
                Due::TooLate(place) => {
                    let cause = format!("no answer within timeout_ms = {}", self.io.timeout_ms);
                    self.failed(place, cause, now_ns);
                }
            }
        }
    }

    /// Hears answers, and looks which pauses and attempts are over.
    fn listen(&mut self, ctx: &mut Context<'_>) {
        let operator = self.operator;
        let guard = Guard::new(&operator, ctx);
        self.hear(ctx.now_ns());
        self.look_at_clock(ctx.now_ns());
        guard.clear(ctx);
    }

    fn failed(&mut self, place: usize, cause: String, now_ns: u64) {
        let attempts = self.under_way.tries(place);
        if attempts < self.io.attempts {
            return self.under_way.rest(place, now_ns.saturating_add(self.io.backoff_ns(attempts)));
        }
        self.under_way.answer(place, |record| Err(Unanswered { record, attempts, cause }));
    }
}

impl<T, U, S, F> Caller<T, U, S, F> {
    fn due_ns(&self) -> u64 {
        if self.answers.any() || self.under_way.has_next() { 0 } else { self.under_way.due_ns() }
    }

    fn room(&self) -> usize {
        self.io.capacity.saturating_sub(self.under_way.held())
    }
}

impl<T: 'static, U: 'static, S, F, B: Consumer<Owned<Outcome<T, U>>>> AsyncLink<T, U, S, F, B> {
    /// Calls the rest, which sees the watermark that has come as far as here.
    fn behind<'s, X>(
        &mut self,
        ctx: &mut Context<'s>,
        call: impl FnOnce(&mut B, &mut Context<'s>) -> X,
    ) -> X {
        let rest = &mut self.rest;
        ctx.at_watermark(self.watermark, |ctx| call(rest, ctx))
    }

    /// Whether nothing is under way, a boundary neither.
    fn is_over(&self) -> bool {
        self.caller.under_way.is_empty() && self.crossing.is_none()
    }

    /// Lets those behind fire, then what can go on. Nothing comes in the middle of what fires behind this, be it by the
    /// clock or at a boundary.
    fn go_on(&mut self, ctx: &mut Context<'_>) -> Flow {
        if self.crossing.is_none() && !ctx.failed() {
            let behind = self.behind(ctx, |rest, ctx| rest.tick(ctx));
            if behind != Flow::Done {
                return behind;
            }
        }
        if ctx.failed() { Flow::Done } else { self.pass_on(ctx) }
    }

    /// Lets go on what can, some of it at a time.
    fn pass_on(&mut self, ctx: &mut Context<'_>) -> Flow {
        for _ in 0..FIRING_BUDGET {
            if let Some(boundary) = self.crossing {
                match self.cross(boundary, ctx) {
                    Flow::Done if !ctx.failed() => continue,
                    flow => return flow,
                }
            }
            match self.caller.under_way.next() {
                Next::Record(outcome, timestamp) => {
                    ctx.set_timestamp(timestamp);
                    self.behind(ctx, |rest, ctx| rest.push(outcome, ctx));
                }
                Next::Mark(mark) => self.rest.mark(mark, ctx.now_ns()),
                Next::Boundary(boundary) => self.crossing = Some(boundary),
                Next::Nothing => return Flow::Done,
            }
            if ctx.failed() {
                return Flow::Done;
            }
        }
        Flow::More
    }

    fn cross(&mut self, boundary: Boundary, ctx: &mut Context<'_>) -> Flow {
        let flow = self.behind(ctx, |rest, ctx| match boundary {
            Boundary::Watermark(watermark) => rest.watermark(watermark, ctx),
            Boundary::Idle | Boundary::Barrier(_) => rest.settle(ctx),
        });
        if flow != Flow::Done || ctx.failed() {
            return flow;
        }
        match boundary {
            Boundary::Watermark(watermark) => self.watermark = watermark,
            Boundary::Idle => self.rest.forward_idle(),
            Boundary::Barrier(barrier) => self.rest.barrier(barrier),
        }
        self.crossing = None;
        Flow::Done
    }
}

impl<T, U, E, S, F, A, B> Output<Owned<T>> for AsyncLink<T, U, S, F, B>
where
    T: 'static,
    U: Send + 'static,
    E: Display,
    S: Fn(Request) + Clone + Send + 'static,
    F: FnMut(&T) -> A,
    A: Future<Output = Result<U, E>> + Send + 'static,
{
    fn push<'s>(&mut self, record: T, ctx: &mut Context<'s>) {
        if ctx.failed() {
            return;
        }
        let operator = self.caller.operator;
        let guard = Guard::new(&operator, ctx);
        let place = self.caller.under_way.admit(record, ctx.timestamp());
        self.caller.call(place, ctx.now_ns());
        guard.clear(ctx);
    }
}

impl<T: 'static, U: Send + 'static, S: 'static, F: 'static, B: Tail> Tail for AsyncLink<T, U, S, F, B> {
    /// As many as may be under way besides those that are.
    fn room(&mut self) -> usize {
        self.caller.room().min(self.rest.room())
    }
    fn room_behind(&mut self) -> usize {
        self.rest.room_behind()
    }
    fn flush(&mut self, now_ns: u64) -> Result<Flush> {
        self.rest.flush(now_ns)
    }
    fn barrier(&mut self, barrier: Barrier) {
        self.caller.under_way.close(Boundary::Barrier(barrier));
    }
    /// Goes the way of the record in front of it, if that is still here.
    fn mark(&mut self, mark: LatencyMark, now_ns: u64) {
        if !self.caller.under_way.mark(mark) {
            self.rest.mark(mark, now_ns);
        }
    }
    fn forward_watermark(&mut self, watermark: Timestamp) {
        self.caller.under_way.close(Boundary::Watermark(watermark));
    }
    fn forward_idle(&mut self) {
        self.caller.under_way.close(Boundary::Idle);
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

impl<T, U, E, S, F, A, B> Consumer<Owned<T>> for AsyncLink<T, U, S, F, B>
where
    T: 'static,
    U: Send + 'static,
    E: Display,
    S: Fn(Request) + Clone + Send + 'static,
    F: FnMut(&T) -> A + 'static,
    A: Future<Output = Result<U, E>> + Send + 'static,
    B: Consumer<Owned<Outcome<T, U>>>,
{
    /// Takes its place behind the records that are under way.
    fn watermark(&mut self, watermark: Timestamp, _: &mut Context<'_>) -> Flow {
        self.forward_watermark(watermark);
        Flow::Done
    }

    fn due_ns(&self) -> u64 {
        let own_ns = if self.crossing.is_some() { 0 } else { self.caller.due_ns() };
        own_ns.min(self.rest.due_ns())
    }

    fn tick(&mut self, ctx: &mut Context<'_>) -> Flow {
        self.caller.listen(ctx);
        self.go_on(ctx)
    }

    /// The end comes behind the last answer, and nothing fires by the clock behind it. Whoever is over listens still:
    /// times and answers that have outlived their records would be due for ever, and hide when others are.
    fn end(&mut self, ctx: &mut Context<'_>) -> Flow {
        self.caller.listen(ctx);
        if !self.is_over() {
            let flow = self.go_on(ctx);
            if flow != Flow::Done || ctx.failed() {
                return flow;
            }
        }
        if self.is_over() { self.behind(ctx, |rest, ctx| rest.end(ctx)) } else { Flow::Waits }
    }

    fn measure(&self, measures: &mut Measures<'_>) {
        let held = self.caller.under_way.held();
        measures.by(self.caller.operator, |measures| {
            measures.waiting(held, || "answers to its requests".into());
        });
        self.rest.measure(measures);
    }

    fn leave(self: Box<Self>, leaving: &mut Leaving<'_>) {
        let AsyncLink { caller, rest, .. } = *self;
        leaving.part(caller.operator, caller);
        Box::new(rest).leave(leaving);
    }
}

impl<T, U, E, S, F, A, B> Downstream<Owned<T>> for AsyncPlan<S, F, B>
where
    T: 'static,
    U: Send + 'static,
    E: Display,
    S: Fn(Request) + Clone + Send + 'static,
    F: FnMut(&T) -> A + Clone + Send + 'static,
    A: Future<Output = Result<U, E>> + Send + 'static,
    B: Downstream<Owned<Outcome<T, U>>>,
{
    type Consumer = AsyncLink<T, U, S, F, B::Consumer>;

    fn build(self, subtask: &SubtaskContext) -> Result<Self::Consumer> {
        let AsyncPlan { operator, io, request, rest } = self;
        let answers = Answers::new(subtask.waker.clone());
        let under_way = UnderWay::new(io.order);
        let caller = Caller { operator, io, request, answers, under_way };
        Ok(AsyncLink { caller, rest: rest.build(subtask)?, watermark: MIN_TIMESTAMP, crossing: None })
    }
}

#[cfg(test)]
mod tests;
