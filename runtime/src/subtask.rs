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
use crate::{
    Arena, Consumer, Context, Error, Family, Flow, Flush, LatencyMark, Leaving, Measures, Result,
    SubtaskContext,
};

/// How soon somebody who waits for the outside is asked again, a sink for instance (a guess: well below what a broker's
/// answer takes, and a thousandth of a core).
const POLL_INTERVAL_NS: u64 = 1_000_000;

/// How late somebody may be called whom another hides who is due already and waits (what a lost wake-up of a Kafka
/// source may cost, too; twenty times a second are a ten-thousandth of a core).
const HIDDEN_NS: u64 = 50_000_000;

/// What a step came to.
#[derive(Debug)]
#[must_use]
pub enum Step {
    /// It did something; this many records came in.
    Progress(usize),
    /// There was nothing to do; ask again at this time of the host's clock, or when woken.
    Idle(u64),
    /// There was no room, or an operator waits for somebody outside; ask again at this time, or when woken.
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

    /// It will not be stepped again: counts what its operators have in hand, and drops them.
    ///
    /// # Errors
    /// A destructor has panicked, of the operator that the error names.
    fn leave(&mut self) -> Result<()> {
        Ok(())
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
    /// For how long no input was taken, all in all, and since when none is; 0 when some is.
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
        if matches!(self.phase, Phase::Running) {
            let mut ctx = Context::new(&self.arena, &self.context, &self.blame, turn.now_ns);
            self.head.foresee(&mut ctx, chain);
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
            Event::Idle => settled(chain, &mut ctx, |chain| chain.forward_idle()),
            Event::Barrier(barrier) => settled(chain, &mut ctx, |chain| chain.barrier(barrier)),
            Event::Mark(mark) => marked(chain, &mut ctx, mark),
        };
        if let Some(error) = ctx.into_error() {
            return Err(error);
        }
        if let (Flow::Done, Event::Watermark(watermark)) = (flow, event) {
            self.meter.watermark.set(watermark as u64);
        }
        self.phase = match (flow, event) {
            (Flow::More | Flow::Waits, _) => Phase::Firing(event),
            (Flow::Done, Event::End) => {
                chain.close();
                Phase::Closing
            }
            (Flow::Done, _) => Phase::Running,
        };
        if let (Flow::Done, Event::Mark(_)) = (flow, event) {
            // It goes out together with the records behind it, whose way it measures.
            return Ok(Step::Progress(0));
        }
        if flow == Flow::Waits { self.waiting(turn) } else { self.flushed(0, turn) }
    }

    /// Nothing can go on before something comes from outside. What is due already has been called and said so, and the
    /// head is not asked meanwhile: neither keeps the core awake. But what is due may hide who will be due later, so
    /// all are asked again in a while. Nor is an input silent that is not asked, so the running clock stands still.
    fn waiting(&mut self, turn: Turn) -> Result<Step> {
        self.blocked_since_ns = turn.now_ns;
        // The records that wait may have come in this very step.
        self.asked.freshen();
        let flushed = self.chain.as_mut().map_or(Ok(Flush::IDLE), |chain| chain.flush(turn.now_ns))?;
        let due_ns = self.due_ns();
        let due_ns = if due_ns > turn.now_ns { due_ns } else { turn.now_ns + HIDDEN_NS };
        let step = Step::Blocked(self.poll_ns(turn).min(due_ns));
        Ok(if flushed.moved { step.after_a_move() } else { step })
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
        Step::Idle(self.poll_ns(turn).min(self.due_ns()).min(self.head.due_ns()))
    }

    /// When the tail is asked again, because nobody wakes this core when it has an answer.
    fn poll_ns(&mut self, turn: Turn) -> u64 {
        let waits = self.chain.as_mut().is_some_and(|chain| chain.is_polled() && !chain.finished());
        if waits { turn.now_ns + POLL_INTERVAL_NS } else { u64::MAX }
    }

    /// When the first of the operators wants to be called.
    fn due_ns(&self) -> u64 {
        self.chain.as_ref().map_or(u64::MAX, |chain| chain.due_ns())
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

    /// Not inlined: what is seldom done takes registers from the loop over records.
    #[inline(never)]
    fn measured(&self) -> Result<()> {
        let (meters, budget_bytes) = (&self.meter.operators, self.context.state_budget_bytes);
        measure(self.chain.as_ref(), meters, budget_bytes, &self.blame)
    }

    /// The name of the operator that was running, or of the chain's head.
    fn blamed(&self) -> &str {
        let running = self.blame.operator().and_then(|number| self.names.get(number as usize));
        running.unwrap_or(&self.context.operator)
    }
}

/// Says something behind what operators hold back.
fn settled<F: Family, C: Consumer<F>>(
    chain: &mut C,
    ctx: &mut Context<'_>,
    say: impl FnOnce(&mut C),
) -> Flow {
    let flow = chain.settle(ctx);
    if flow == Flow::Done && !ctx.failed() {
        say(chain);
    }
    flow
}

/// Sends a latency mark on. What waits in front of it came before, and is let go first, or waited for.
fn marked<F: Family, C: Consumer<F>>(chain: &mut C, ctx: &mut Context<'_>, mark: LatencyMark) -> Flow {
    let flow = if chain.due_ns() <= ctx.now_ns() { chain.tick(ctx) } else { Flow::Done };
    if flow == Flow::Done && !ctx.failed() {
        chain.mark(mark, ctx.now_ns());
    }
    flow
}

impl<H: Head, C: Consumer<H::Item>> Subtask for ChainSubtask<H, C> {
    fn step(&mut self, turn: Turn) -> Step {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let step = self.advance(turn)?;
            if self.asked.is_due(&step, turn.now_ns) {
                self.measured()?;
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

    fn leave(&mut self) -> Result<()> {
        let Some(chain) = self.chain.take() else { return Ok(()) };
        let (mut measures, mut leaving) =
            (Measures::of(&self.meter.operators), Leaving::new(&self.names, self.context.index));
        if !matches!(self.phase, Phase::Done) {
            chain.measure(&mut measures);
        }
        Box::new(chain).leave(&mut leaving);
        leaving.outcome()
    }
}

#[cfg(test)]
mod tests;
