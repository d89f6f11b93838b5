//! An operator that looks at everything that can be looked at from inside a stream.

use std::collections::HashMap;
use std::sync::Arc;

use slotflow_runtime::{
    Build, Context, Error, Flow, MIN_TIMESTAMP, Operator, Output, Owned, Result, SubtaskContext, Timestamp,
};

use super::{Ledger, Rec, Setup, Shape};

/// How many records are let go at a time, few enough to come back for the rest.
const FIRED_AT_ONCE: usize = 2;

/// Added to the numbers of the subtasks on the other way.
const BESIDE: u32 = 100;

pub fn stage(number: usize, setup: &Arc<Setup>, ledger: &Arc<Ledger>) -> Stage {
    let name = ["first", "second", "third"][number];
    Stage { number, name, setup: setup.clone(), ledger: ledger.clone() }
}

#[derive(Clone)]
pub struct Stage {
    number: usize,
    name: &'static str,
    setup: Arc<Setup>,
    ledger: Arc<Ledger>,
}

impl Stage {
    /// The same stage on another way through the job.
    pub fn beside(self) -> Stage {
        Stage { name: "beside", ..self }
    }
}

impl Build<Owned<Rec>> for Stage {
    type Out = Owned<Rec>;
    type Operator = StageOperator;

    fn build(self, subtask: &SubtaskContext) -> Result<StageOperator> {
        Ok(StageOperator {
            index: subtask.index,
            from: subtask.index as u32 + if self.name == "beside" { BESIDE } else { 0 },
            hop: 0,
            order: Order::default(),
            watermark: MIN_TIMESTAMP,
            held: Vec::new(),
            ended: false,
            stage: self,
        })
    }
}

/// The order of the records from each subtask.
#[derive(Default)]
pub struct Order(HashMap<u32, u64>);

impl Order {
    pub fn check(&mut self, rec: &Rec, ledger: &Ledger) {
        let last = self.0.insert(rec.from, rec.hop).unwrap_or(0);
        if rec.hop <= last {
            ledger.violation(format!("reordered: {rec:?} came after hop {last}"));
        }
    }
}

pub struct StageOperator {
    stage: Stage,
    index: usize,
    /// Its number among all that send to the next stage.
    from: u32,
    hop: u64,
    order: Order,
    watermark: Timestamp,
    held: Vec<(Timestamp, Rec)>,
    ended: bool,
}

impl StageOperator {
    fn violation(&self, what: &str, rec: &Rec) {
        let place = format!("stage {}, subtask {}", self.stage.number, self.index);
        self.stage.ledger.violation(format!("{place}: {what}: {rec:?}"));
    }

    /// Time ends where everything that may still come has come.
    fn check_the_end_of_time(&self) {
        let Stage { number, setup, ledger, .. } = &self.stage;
        let place = format!("stage {number}, subtask {}", self.index);
        if *number == 0 {
            let own = (self.index as u32..setup.splits).step_by(setup.parallelism[0]);
            ledger.time_ends(&place, own);
        } else if setup.shape == Shape::Exchange {
            ledger.time_ends(&place, 0..setup.splits);
            if setup.lingers {
                ledger.violation(format!("{place}: event time has ended, but a source has not"));
            }
        }
    }

    /// Whether it failed.
    fn fails(&self, rec: &Rec, ctx: &mut Context<'_>) -> bool {
        let Some(failure) = self.stage.setup.failure else { return false };
        if (failure.stage, failure.seq) != (self.stage.number, rec.seq) {
            return false;
        }
        self.stage.ledger.fails(self.stage.name, self.index);
        assert!(!failure.panics, "planned failure");
        ctx.fail(Error::user("planned failure"));
        true
    }

    fn depart<'s>(
        &mut self,
        mut rec: Rec,
        copy: u64,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<Rec>>,
    ) {
        self.hop += 1;
        (rec.path, rec.from, rec.hop) = (rec.path * 10 + copy, self.from, self.hop);
        out.push(rec, ctx);
    }

    /// Lets go what a watermark has reached, a few at a time.
    fn let_go<'s>(
        &mut self,
        upto: Timestamp,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<Rec>>,
    ) -> Flow {
        for _ in 0..FIRED_AT_ONCE {
            let Some(at) = self.held.iter().position(|(timestamp, _)| *timestamp <= upto) else {
                return Flow::Done;
            };
            let (timestamp, rec) = self.held.remove(at);
            ctx.set_timestamp(timestamp);
            self.depart(rec, 0, ctx, out);
        }
        Flow::More
    }
}

impl Operator<Owned<Rec>> for StageOperator {
    type Out = Owned<Rec>;

    fn process<'s>(&mut self, rec: Rec, ctx: &mut Context<'s>, out: &mut impl Output<Owned<Rec>>) {
        if ctx.failed() {
            self.violation("a record after a failure", &rec);
        }
        if self.fails(&rec, ctx) {
            return;
        }
        self.order.check(&rec, &self.stage.ledger);
        if self.ended {
            self.violation("a record after the end", &rec);
        }
        if ctx.timestamp() <= ctx.watermark() || ctx.timestamp() <= self.watermark {
            self.violation("late", &rec);
        }
        let (number, setup) = (self.stage.number, self.stage.setup.clone());
        let copies = setup.copies(number, rec.seq);
        if setup.holds && number == 1 && copies == 1 && rec.seq.is_multiple_of(2) {
            self.held.push((ctx.timestamp(), rec));
            return;
        }
        (0..copies).for_each(|copy| self.depart(rec.clone(), copy, ctx, out));
    }

    fn watermark<'s>(
        &mut self,
        watermark: Timestamp,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<Rec>>,
    ) -> Flow {
        if watermark < self.watermark {
            self.stage.ledger.violation(format!("watermark {watermark} after {}", self.watermark));
        }
        self.watermark = watermark;
        if watermark == Timestamp::MAX {
            self.check_the_end_of_time();
        }
        self.let_go(watermark, ctx, out)
    }

    fn end<'s>(&mut self, ctx: &mut Context<'s>, out: &mut impl Output<Owned<Rec>>) -> Flow {
        if self.watermark != Timestamp::MAX {
            self.stage.ledger.ended_early(format!("stage {}, subtask {}", self.stage.number, self.index));
        }
        let flow = self.let_go(Timestamp::MAX, ctx, out);
        // Asked again it says so again, while an operator behind it has more to say.
        self.ended = flow == Flow::Done;
        flow
    }
}
