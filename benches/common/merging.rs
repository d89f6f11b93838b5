//! A subtask with many inputs that say watermarks and barriers, with five operators behind them that have nothing to
//! fire.

use std::hint::black_box;
use std::sync::Arc;

use slotflow::runtime::edge::inlet::Inlet;
use slotflow::runtime::edge::ring::{Sender, ring};
use slotflow::runtime::metrics::RingMeter;
use slotflow::runtime::subtask::{ChainSubtask, Step, Subtask, Turn};
use slotflow::runtime::testing::subtask;
use slotflow::runtime::{
    Barrier, Chain, Consumer, Context, Control, EventTime, Flow, Flush, LatencyMark, Operator, Output, Owned,
    Result, Tail, Timestamp,
};

/// Room for a few watermarks is all that is needed.
const CAPACITY: usize = 8;

/// Has something to fire at a time that never comes.
struct Waiting {
    due: Timestamp,
}

impl Operator<Owned<u64>> for Waiting {
    type Out = Owned<u64>;

    fn process<'s>(&mut self, record: u64, ctx: &mut Context<'s>, out: &mut impl Output<Owned<u64>>) {
        out.push(record, ctx);
    }

    fn watermark<'s>(
        &mut self,
        watermark: Timestamp,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<u64>>,
    ) -> Flow {
        if watermark >= self.due {
            out.push(0, ctx);
        }
        Flow::Done
    }
}

/// The chain's end: remembers how far time has come.
struct End(Timestamp);

impl Output<Owned<u64>> for End {
    fn push<'s>(&mut self, record: u64, _: &mut Context<'s>) {
        black_box(record);
    }
}

impl Tail for End {
    fn room(&mut self) -> usize {
        usize::MAX
    }
    fn flush(&mut self, _: u64) -> Result<Flush> {
        Ok(Flush::IDLE)
    }
    fn barrier(&mut self, _: Barrier) {}
    fn mark(&mut self, _: LatencyMark, _: u64) {}
    fn forward_watermark(&mut self, watermark: Timestamp) {
        self.0 = black_box(watermark);
    }
    fn forward_idle(&mut self) {}
    fn close(&mut self) {}
    fn finished(&mut self) -> bool {
        true
    }
    fn charge_blocked(&mut self, _: u64) {}
}

impl Consumer<Owned<u64>> for End {
    fn watermark(&mut self, watermark: Timestamp, _: &mut Context<'_>) -> Flow {
        self.forward_watermark(watermark);
        Flow::Done
    }
    fn end(&mut self, _: &mut Context<'_>) -> Flow {
        Flow::Done
    }
}

fn link<B>(operator: u32, rest: B) -> Chain<Waiting, B> {
    Chain { operator, head: Waiting { due: Timestamp::MAX - 1 }, rest }
}

/// A subtask whose inputs say one watermark after the other.
pub struct Merging {
    inputs: Vec<Sender<(u64, [u8; 8])>>,
    subtask: Box<dyn Subtask>,
    time: Timestamp,
    barrier: u64,
}

impl Merging {
    pub fn new(inputs: usize) -> Merging {
        let rings = (0..inputs).map(|_| ring(CAPACITY, Arc::new(RingMeter::new(CAPACITY))));
        let (inputs, readers) = rings.unzip();
        let chain = link(0, link(1, link(2, link(3, link(4, End(0))))));
        let inlet = Inlet::<u64, EventTime>::new(readers);
        let names = (0..5).map(|_| "waiting".into()).collect();
        let subtask = Box::new(ChainSubtask::new(inlet, chain, subtask(), names, Arc::default()));
        Merging { inputs, subtask, time: 0, barrier: 0 }
    }

    /// The input that is furthest behind is furthest ahead now.
    pub fn advance(&mut self) {
        let input = self.time as usize % self.inputs.len();
        self.time += 1;
        self.inputs[input].control(Control::Watermark(self.time));
        assert!(self.inputs[input].flush(1).clear, "there is room");
        let step = self.subtask.step(Turn { now_ns: 1, budget: 1024 });
        assert!(matches!(step, Step::Progress(_)), "a watermark has come: {step:?}");
    }

    /// A step that finds nothing at any input, after a glance at all of them.
    pub fn rest(&mut self) {
        assert!(!self.subtask.ready(), "nobody has said anything");
        let step = self.subtask.step(Turn { now_ns: 1, budget: 1024 });
        assert!(matches!(step, Step::Idle(_)), "there is nothing to do: {step:?}");
    }

    /// All inputs come to the next barrier, and it goes on.
    pub fn align(&mut self) {
        self.barrier += 1;
        for input in &mut self.inputs {
            input.control(Control::Barrier(Barrier { id: self.barrier }));
            assert!(input.flush(1).clear, "there is room");
        }
        let step = self.subtask.step(Turn { now_ns: 1, budget: 1024 });
        assert!(matches!(step, Step::Progress(_)), "a barrier has come: {step:?}");
    }
}
