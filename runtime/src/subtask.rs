//! The subtask: one replica of a chain, stepped by its slot.
//!
//! A step goes through these doors, in this order:
//! 1. What an earlier step staged goes out first; while it does not fit, the subtask is blocked.
//! 2. What an earlier watermark or the end still has to emit comes next, before any new input.
//! 3. Operators whose time has come are called.
//! 4. The head pushes as many records as the budget and the tail's room allow, up to an event.
//! 5. The event goes through the operators and on to the tail, behind the records before it.
//! 6. What was staged is flushed, so nothing waits for a timer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::context::Blame;
use crate::head::{Drive, Event, Head};
use crate::measures::{Asked, measure};
use crate::metrics::SubtaskMeter;
use crate::time::MIN_TIMESTAMP;
use crate::{Arena, Consumer, Context, Error, Flow, Result, SubtaskContext};

/// How soon a sink that waits for the outside is asked again (a guess: well below what a broker's
/// answer takes, and a thousandth of a core).
const POLL_INTERVAL_NS: u64 = 1_000_000;

/// What a step came to.
#[derive(Debug)]
#[must_use]
pub enum Step {
    /// It did something; this many records came in.
    Progress(usize),
    /// There was nothing to do; ask again at this time of the host's clock, or when woken.
    Idle(u64),
    /// There was no room; ask again at this time, or when woken.
    Blocked(u64),
    /// It has ended and everything it sent has arrived.
    Done,
    /// The job must stop.
    Failed(Error),
}

impl Step {
    /// The same step, after something has gone to another subtask: whoever reads it must be woken, and
    /// that is what progress does.
    fn after_a_move(self) -> Step {
        match self {
            Step::Idle(_) | Step::Blocked(_) => Step::Progress(0),
            other => other,
        }
    }
}

/// What the slot grants a step.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// The host's clock.
    pub now_ns: u64,
    /// How many records it may take in.
    pub budget: usize,
}

/// The unit a slot steps; the engine's one dynamic call is here.
pub trait Subtask {
    /// Does a bounded amount and returns; never waits.
    fn step(&mut self, turn: Turn) -> Step;

    /// Whether a step may find something to do, after one that was [`Step::Idle`]: asked again and again in
    /// its stead, until the time that it named.
    fn ready(&self) -> bool {
        true
    }
}

/// How far a subtask is.
enum Phase {
    Running,
    /// An event whose operators still have something to emit.
    Firing(Event),
    Closing,
    Done,
}

/// A chain between its head and its tail.
pub struct ChainSubtask<H, C> {
    head: H,
    /// Out of its place only while it runs: a local variable optimises like hand-written code.
    chain: Option<C>,
    phase: Phase,
    arena: Arena,
    blame: Blame,
    context: SubtaskContext,
    /// The names of the job's operators, by number.
    names: Arc<[Arc<str>]>,
    meter: Arc<SubtaskMeter>,
    asked: Asked,
    /// For how long there was no room, all in all, and since when there is none; 0 when there is.
    blocked_ns: u64,
    blocked_since_ns: u64,
}

/// A chain in a local variable. However the step ends, the chain goes back to its place: were it dropped by a
/// panic, the readers of its rings would report them as broken before the job knows who has failed.
struct Lent<'c, C> {
    chain: Option<C>,
    place: &'c mut Option<C>,
}

impl<C> Drop for Lent<'_, C> {
    #[inline(always)]
    fn drop(&mut self) {
        *self.place = self.chain.take();
    }
}

impl<H: Head, C: Consumer<H::Item>> ChainSubtask<H, C> {
    /// A subtask at its start.
    pub fn new(
        head: H,
        chain: C,
        context: SubtaskContext,
        names: Arc<[Arc<str>]>,
        meter: Arc<SubtaskMeter>,
    ) -> Self {
        meter.watermark.set(MIN_TIMESTAMP as u64);
        ChainSubtask {
            head,
            chain: Some(chain),
            phase: Phase::Running,
            arena: Arena::new(),
            blame: Blame::default(),
            context,
            names,
            meter,
            asked: Asked::default(),
            blocked_ns: 0,
            blocked_since_ns: 0,
        }
    }

    fn advance(&mut self, turn: Turn) -> Result<Step> {
        if self.blocked_since_ns != 0 {
            self.blocked_ns += turn.now_ns - std::mem::take(&mut self.blocked_since_ns);
        }
        let Some(chain) = &mut self.chain else { return Ok(Step::Done) };
        if matches!(self.phase, Phase::Done) {
            // Nothing is left, or what is left was staged by a step that has failed and must not get out.
            return Ok(Step::Done);
        }
        let flushed = chain.flush(turn.now_ns)?;
        let step = match self.phase {
            _ if !flushed.clear => self.blocked(turn),
            Phase::Running => self.run(turn)?,
            Phase::Firing(_) if chain.room_behind() == 0 => self.blocked(turn),
            Phase::Firing(event) => self.fire(event, turn)?,
            Phase::Closing => self.closing(turn)?,
            Phase::Done => Step::Done,
        };
        Ok(if flushed.moved { step.after_a_move() } else { step })
    }

    fn run(&mut self, turn: Turn) -> Result<Step> {
        let (mut taken, mut said) = (0, false);
        if self.is_due(turn) {
            match self.fire(Event::Tick, turn)? {
                Step::Progress(_) if matches!(self.phase, Phase::Running) => said = true,
                step => return Ok(step),
            }
        }
        loop {
            let room = self.chain.as_mut().map_or(0, |chain| chain.room());
            let budget = (turn.budget - taken).min(room);
            if budget == 0 {
                let nothing = taken == 0 && !said;
                return if nothing && room == 0 { Ok(self.blocked(turn)) } else { self.flushed(taken, turn) };
            }
            let drive = if self.head.ready() { self.drive(budget, turn)? } else { Drive::NOTHING };
            taken += drive.records;
            self.meter.records.add(drive.records as u64);
            match drive.event {
                Some(event) => match self.fire(event, turn)? {
                    Step::Progress(_) if matches!(self.phase, Phase::Running) => said = true,
                    step => return Ok(step),
                },
                None if taken == 0 && !said => return Ok(self.idle(turn)),
                None => return self.flushed(taken, turn),
            }
        }
    }

    /// Whether an operator's time has come, and there is room for what it may emit.
    #[inline]
    fn is_due(&mut self, turn: Turn) -> bool {
        self.chain.as_mut().is_some_and(|chain| chain.due_ns() <= turn.now_ns && chain.room_behind() > 0)
    }

    fn flushed(&mut self, taken: usize, turn: Turn) -> Result<Step> {
        if let Some(chain) = &mut self.chain {
            // What still waits is the next step's first concern.
            let _some = chain.flush(turn.now_ns)?;
        }
        Ok(Step::Progress(taken))
    }

    /// Lets the head push, with the chain in a local variable.
    #[inline(always)]
    fn drive(&mut self, budget: usize, turn: Turn) -> Result<Drive> {
        let mut lent = Lent { chain: self.chain.take(), place: &mut self.chain };
        let Some(chain) = &mut lent.chain else {
            return Err(Error::bug("a subtask was stepped after its chain was lost"));
        };
        let mut ctx = Context::new(&self.arena, &self.context, &self.blame, turn.now_ns);
        ctx.set_blocked_ns(self.blocked_ns);
        ctx.set_watermark(self.meter.watermark.value() as i64);
        let drive = self.head.drive(budget, &mut ctx, chain);
        ctx.into_error().map_or(drive, Err)
    }

    /// Takes an event through the operators, then to the tail.
    fn fire(&mut self, event: Event, turn: Turn) -> Result<Step> {
        let Some(chain) = &mut self.chain else { return Ok(Step::Done) };
        let mut ctx = Context::new(&self.arena, &self.context, &self.blame, turn.now_ns);
        ctx.set_blocked_ns(self.blocked_ns);
        // What is emitted at a watermark goes before it, so to those behind it the old one still holds.
        ctx.set_watermark(self.meter.watermark.value() as i64);
        let flow = match event {
            Event::Watermark(watermark) => chain.watermark(watermark, &mut ctx),
            Event::Tick => chain.tick(&mut ctx),
            Event::End => chain.end(&mut ctx),
            Event::Noted => Flow::Done,
            Event::Idle => {
                chain.forward_idle();
                Flow::Done
            }
            Event::Barrier(barrier) => {
                chain.barrier(barrier);
                Flow::Done
            }
            Event::Mark(mark) => {
                chain.mark(mark, turn.now_ns);
                Flow::Done
            }
        };
        if let Some(error) = ctx.into_error() {
            return Err(error);
        }
        if let (Flow::Done, Event::Watermark(watermark)) = (flow, event) {
            self.meter.watermark.set(watermark as u64);
        }
        self.phase = match (flow, event) {
            (Flow::More, _) => Phase::Firing(event),
            (Flow::Done, Event::End) => {
                chain.close();
                Phase::Closing
            }
            (Flow::Done, _) => Phase::Running,
        };
        if let Event::Mark(_) = event {
            // It goes out together with the records behind it, whose way it measures.
            return Ok(Step::Progress(0));
        }
        self.flushed(0, turn)
    }

    fn closing(&mut self, turn: Turn) -> Result<Step> {
        let finished = self.chain.as_mut().is_none_or(|chain| chain.finished());
        if !finished {
            return Ok(Step::Idle(turn.now_ns + POLL_INTERVAL_NS));
        }
        self.phase = Phase::Done;
        Ok(Step::Done)
    }

    fn idle(&mut self, turn: Turn) -> Step {
        let waits = self.chain.as_mut().is_some_and(|chain| chain.is_polled() && !chain.finished());
        let poll_ns = if waits { turn.now_ns + POLL_INTERVAL_NS } else { u64::MAX };
        let due_ns = self.chain.as_ref().map_or(u64::MAX, |chain| chain.due_ns());
        Step::Idle(poll_ns.min(due_ns).min(self.head.due_ns()))
    }

    fn blocked(&mut self, turn: Turn) -> Step {
        let Some(chain) = &mut self.chain else { return Step::Done };
        chain.charge_blocked(turn.now_ns);
        self.blocked_since_ns = turn.now_ns;
        let poll_ns = if chain.is_polled() { turn.now_ns + POLL_INTERVAL_NS } else { u64::MAX };
        // A link that has no room for more may have something to let go.
        let due_ns = if chain.room_behind() > 0 { chain.due_ns() } else { u64::MAX };
        Step::Blocked(poll_ns.min(due_ns))
    }

    /// The name of the operator that was running, or of the chain's head.
    fn blamed(&self) -> &str {
        let running = self.blame.operator().and_then(|number| self.names.get(number as usize));
        running.unwrap_or(&self.context.operator)
    }
}

impl<H: Head, C: Consumer<H::Item>> Subtask for ChainSubtask<H, C> {
    fn step(&mut self, turn: Turn) -> Step {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let step = self.advance(turn)?;
            if self.asked.is_due(&step, turn.now_ns) {
                let (meters, budget_bytes) = (&self.meter.operators, self.context.state_budget_bytes);
                measure(self.chain.as_ref(), meters, budget_bytes, &self.blame)?;
            }
            Ok(step)
        }));
        self.arena.reset();
        let error = match outcome {
            Ok(Ok(step)) => return step,
            Ok(Err(error)) => error,
            Err(panic) => Error::panicked(panic),
        };
        self.phase = Phase::Done;
        Step::Failed(error.at(self.blamed(), self.context.index))
    }

    #[inline]
    fn ready(&self) -> bool {
        // A head that waits for a time is asked when it has come.
        !matches!(self.phase, Phase::Running) || (self.head.due_ns() == u64::MAX && self.head.ready())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::Flush;
    use crate::testing::subtask;
    use crate::{Barrier, Chain, LatencyMark, Operator, Output, Owned, Tail, Timestamp};

    /// An input that has ended.
    struct Ended;

    impl Head for Ended {
        type Item = Owned<u64>;
        fn drive<'s>(
            &'s mut self,
            _: usize,
            _: &mut Context<'s>,
            _: &mut impl Output<Owned<u64>>,
        ) -> Result<Drive> {
            Ok(Drive { records: 0, event: Some(Event::End) })
        }
        fn fill(&self) -> usize {
            0
        }
    }

    /// An input of which the first record is one too many.
    struct Failing;

    impl Head for Failing {
        type Item = Owned<u64>;
        fn drive<'s>(
            &'s mut self,
            _: usize,
            ctx: &mut Context<'s>,
            out: &mut impl Output<Owned<u64>>,
        ) -> Result<Drive> {
            out.push(1, ctx);
            ctx.fail(Error::user("one too many"));
            Ok(Drive { records: 1, event: None })
        }
        fn fill(&self) -> usize {
            0
        }
    }

    /// Has two portions to emit at the end, and the room it is given.
    struct Portions {
        left: usize,
        room: Arc<AtomicUsize>,
        staged: usize,
        sent: Arc<AtomicUsize>,
    }

    impl Portions {
        fn new(room: &Arc<AtomicUsize>) -> Portions {
            Portions { left: 2, room: room.clone(), staged: 0, sent: Arc::default() }
        }
    }

    impl Output<Owned<u64>> for Portions {
        fn push<'s>(&mut self, _: u64, _: &mut Context<'s>) {
            self.staged += 1;
        }
    }

    impl Tail for Portions {
        fn room(&mut self) -> usize {
            self.room.load(Ordering::Relaxed)
        }
        fn flush(&mut self, _: u64) -> Result<Flush> {
            self.sent.fetch_add(std::mem::take(&mut self.staged), Ordering::Relaxed);
            Ok(Flush::IDLE)
        }
        fn barrier(&mut self, _: Barrier) {}
        fn mark(&mut self, _: LatencyMark, _: u64) {}
        fn forward_watermark(&mut self, _: Timestamp) {}
        fn forward_idle(&mut self) {}
        fn close(&mut self) {}
        fn finished(&mut self) -> bool {
            true
        }
        fn charge_blocked(&mut self, _: u64) {}
    }

    impl Consumer<Owned<u64>> for Portions {
        fn watermark(&mut self, _: Timestamp, _: &mut Context<'_>) -> Flow {
            Flow::Done
        }
        fn end(&mut self, _: &mut Context<'_>) -> Flow {
            self.left -= 1;
            if self.left > 0 { Flow::More } else { Flow::Done }
        }
    }

    #[test]
    fn firing_waits_for_room() {
        let room = Arc::new(AtomicUsize::new(1));
        let chain = Portions::new(&room);
        let mut subtask = ChainSubtask::new(Ended, chain, subtask(), Arc::new([]), Arc::default());
        let mut step = || subtask.step(Turn { now_ns: 1, budget: 1 });
        assert!(matches!(step(), Step::Progress(_)));
        room.store(0, Ordering::Relaxed);
        assert!(matches!(step(), Step::Blocked(_)));
        room.store(1, Ordering::Relaxed);
        assert!(matches!(step(), Step::Progress(_)));
        assert!(matches!(step(), Step::Done));
    }

    /// Nothing comes, and nothing ends.
    struct Silent;

    impl Head for Silent {
        type Item = Owned<u64>;
        fn drive<'s>(
            &'s mut self,
            _: usize,
            _: &mut Context<'s>,
            _: &mut impl Output<Owned<u64>>,
        ) -> Result<Drive> {
            Ok(Drive::NOTHING)
        }
        fn ready(&self) -> bool {
            false
        }
        fn fill(&self) -> usize {
            0
        }
    }

    /// Wants to be called at 50, has two portions to emit then, and wants nothing more.
    struct Alarm {
        due_ns: u64,
        portions: u64,
        /// For how long the subtask could run until then.
        ran_ns: Arc<AtomicUsize>,
    }

    impl Operator<Owned<u64>> for Alarm {
        type Out = Owned<u64>;
        fn process<'s>(&mut self, _: u64, _: &mut Context<'s>, _: &mut impl Output<Owned<u64>>) {}
        fn due_ns(&self) -> u64 {
            self.due_ns
        }
        fn tick<'s>(&mut self, ctx: &mut Context<'s>, out: &mut impl Output<Owned<u64>>) -> Flow {
            out.push(self.portions, ctx);
            self.ran_ns.store(ctx.running_ns() as usize, Ordering::Relaxed);
            self.portions -= 1;
            if self.portions > 0 {
                return Flow::More;
            }
            self.due_ns = u64::MAX;
            Flow::Done
        }
    }

    #[test]
    fn an_operator_is_called_when_its_time_has_come_although_nothing_comes() {
        let (room, ran_ns) = (Arc::new(AtomicUsize::new(0)), Arc::<AtomicUsize>::default());
        let head = Alarm { due_ns: 50, portions: 2, ran_ns: ran_ns.clone() };
        let rest = Portions::new(&room);
        let sent = rest.sent.clone();
        let chain = Chain { operator: 0, head, rest };
        let mut subtask = ChainSubtask::new(Silent, chain, subtask(), Arc::new([]), Arc::default());
        let mut step = |now_ns| subtask.step(Turn { now_ns, budget: 1 });
        room.store(1, Ordering::Relaxed);
        assert!(matches!(step(49), Step::Idle(50)));
        room.store(0, Ordering::Relaxed);
        assert!(matches!(step(50), Step::Blocked(_)));
        assert!(matches!(step(70), Step::Blocked(_)));
        room.store(1, Ordering::Relaxed);
        assert!(matches!(step(90), Step::Progress(0)));
        let done = || (sent.load(Ordering::Relaxed), ran_ns.load(Ordering::Relaxed));
        assert_eq!(done(), (1, 50), "the running clock stood still without room");
        assert!(matches!(step(92), Step::Progress(0)));
        assert_eq!(done(), (2, 52));
        assert!(matches!(step(93), Step::Idle(u64::MAX)));
    }

    #[test]
    fn what_a_failed_step_has_staged_is_never_sent() {
        let chain = Portions::new(&Arc::new(AtomicUsize::new(1)));
        let sent = chain.sent.clone();
        let mut subtask = ChainSubtask::new(Failing, chain, subtask(), Arc::new([]), Arc::default());
        let mut step = || subtask.step(Turn { now_ns: 1, budget: 1 });
        assert!(matches!(step(), Step::Failed(_)));
        assert!(matches!(step(), Step::Done));
        drop(subtask);
        assert_eq!(sent.load(Ordering::Relaxed), 0);
    }

    /// Gives a mark, then one record.
    struct Marked(usize);

    impl Head for Marked {
        type Item = Owned<u64>;
        fn drive<'s>(
            &'s mut self,
            _: usize,
            ctx: &mut Context<'s>,
            out: &mut impl Output<Owned<u64>>,
        ) -> Result<Drive> {
            self.0 += 1;
            match self.0 {
                1 => Ok(Drive { records: 0, event: Some(Event::Mark(LatencyMark { sent_ns: 1 })) }),
                _ => {
                    out.push(7, ctx);
                    Ok(Drive { records: 1, event: None })
                }
            }
        }
        fn fill(&self) -> usize {
            0
        }
    }

    /// Notes what is done with it.
    #[derive(Clone, Default)]
    struct Noted(Arc<Mutex<Vec<&'static str>>>);

    impl Noted {
        fn note(&self, what: &'static str) {
            self.0.lock().unwrap().push(what);
        }
    }

    impl Output<Owned<u64>> for Noted {
        fn push<'s>(&mut self, _: u64, _: &mut Context<'s>) {
            self.note("record");
        }
    }

    impl Tail for Noted {
        fn room(&mut self) -> usize {
            1
        }
        fn flush(&mut self, _: u64) -> Result<Flush> {
            self.note("flush");
            Ok(Flush::IDLE)
        }
        fn barrier(&mut self, _: Barrier) {}
        fn mark(&mut self, _: LatencyMark, _: u64) {
            self.note("mark");
        }
        fn forward_watermark(&mut self, _: Timestamp) {}
        fn forward_idle(&mut self) {}
        fn close(&mut self) {}
        fn finished(&mut self) -> bool {
            true
        }
        fn charge_blocked(&mut self, _: u64) {}
    }

    impl Consumer<Owned<u64>> for Noted {
        fn watermark(&mut self, _: Timestamp, _: &mut Context<'_>) -> Flow {
            Flow::Done
        }
        fn end(&mut self, _: &mut Context<'_>) -> Flow {
            Flow::Done
        }
    }

    #[test]
    fn a_latency_mark_goes_out_with_the_record_behind_it() {
        let noted = Noted::default();
        let mut subtask =
            ChainSubtask::new(Marked(0), noted.clone(), subtask(), Arc::new([]), Arc::default());
        assert!(matches!(subtask.step(Turn { now_ns: 1, budget: 1 }), Step::Progress(1)));
        assert_eq!(*noted.0.lock().unwrap(), ["flush", "mark", "record", "flush"]);
    }
}
