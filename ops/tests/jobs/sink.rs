//! A sink whose acknowledgements come late and in any order, and which has no room now and then.

use std::sync::Arc;

use slotflow_runtime::{
    Acknowledged, Barrier, Context, Guarantee, InFlight, Owned, Result, Sink, SinkWriter, SubtaskContext,
};

use super::stage::Order;
use super::{Ledger, Random, Rec, Setup};

pub fn late(setup: &Arc<Setup>, ledger: &Arc<Ledger>) -> Late {
    Late { setup: setup.clone(), ledger: ledger.clone() }
}

pub struct Late {
    setup: Arc<Setup>,
    ledger: Arc<Ledger>,
}

impl Sink<Owned<Rec>> for Late {
    type Writer = LateWriter;

    fn describe(&self) -> String {
        "late".into()
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::AtLeastOnce
    }

    fn open(&mut self, subtask: &SubtaskContext) -> Result<LateWriter> {
        Ok(LateWriter {
            slow: self.setup.slow,
            ledger: self.ledger.clone(),
            random: Random(!self.setup.seed ^ (subtask.index as u64) << 32),
            order: Order::default(),
            pending: Vec::new(),
            in_flight: InFlight::default(),
        })
    }
}

pub struct LateWriter {
    slow: bool,
    ledger: Arc<Ledger>,
    random: Random,
    order: Order,
    pending: Vec<(u64, Rec)>,
    in_flight: InFlight,
}

impl SinkWriter<Owned<Rec>> for LateWriter {
    fn write<'s>(&mut self, rec: Rec, ctx: &mut Context<'s>) {
        if ctx.failed() {
            self.ledger.violation(format!("written after a failure: {rec:?}"));
        }
        self.order.check(&rec, &self.ledger);
        self.ledger.written(&rec);
        self.pending.push((self.in_flight.sent(), rec));
    }

    fn room(&mut self) -> usize {
        if self.slow { self.random.below(6) as usize } else { usize::MAX }
    }

    fn flush(&mut self) -> Result<()> {
        let most = match self.slow {
            false => u64::MAX,
            // Mostly no answer, so that much is under way when the input ends.
            true if !self.random.one_in(4) => 0,
            true => 1 + self.random.below(4),
        };
        for _ in 0..most.min(self.pending.len() as u64) {
            let at = self.random.below(self.pending.len() as u64) as usize;
            let (epoch, rec) = self.pending.swap_remove(at);
            self.ledger.arrived(&rec);
            self.in_flight.acknowledged_one(epoch);
        }
        Ok(())
    }

    fn barrier(&mut self, barrier: Barrier) {
        self.in_flight.barrier(barrier);
    }

    fn acknowledged(&mut self) -> Acknowledged {
        self.in_flight.acknowledged()
    }
}
