//! What does a watermark cost that moves event time at a subtask with many inputs, and what a barrier that comes by
//! all of them? Claims nothing about what fires, nor about what is stored at a barrier.
//!
//! Each input is ahead of the one before. The one that is furthest behind says that it is furthest ahead now; so event
//! time moves at every step, and goes through five operators that have nothing to fire. Sending it is in the time.

mod common;

use std::hint::black_box;
use std::sync::Arc;

use criterion::BenchmarkId;
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
struct Merging {
    inputs: Vec<Sender<(u64, [u8; 8])>>,
    subtask: Box<dyn Subtask>,
    time: Timestamp,
    barrier: u64,
}

impl Merging {
    fn new(inputs: usize) -> Merging {
        let rings = (0..inputs).map(|_| ring(CAPACITY, Arc::new(RingMeter::new(CAPACITY))));
        let (inputs, readers) = rings.unzip();
        let chain = link(0, link(1, link(2, link(3, link(4, End(0))))));
        let inlet = Inlet::<u64, EventTime>::new(readers);
        let names = (0..5).map(|_| "waiting".into()).collect();
        let subtask = Box::new(ChainSubtask::new(inlet, chain, subtask(), names, Arc::default()));
        Merging { inputs, subtask, time: 0, barrier: 0 }
    }

    /// The input that is furthest behind is furthest ahead now.
    fn advance(&mut self) {
        let input = self.time as usize % self.inputs.len();
        self.time += 1;
        self.inputs[input].control(Control::Watermark(self.time));
        assert!(self.inputs[input].flush(1).clear, "there is room");
        let step = self.subtask.step(Turn { now_ns: 1, budget: 1024 });
        assert!(matches!(step, Step::Progress(_)), "a watermark has come: {step:?}");
    }

    /// All inputs come to the next barrier, and it goes on.
    fn align(&mut self) {
        self.barrier += 1;
        for input in &mut self.inputs {
            input.control(Control::Barrier(Barrier { id: self.barrier }));
            assert!(input.flush(1).clear, "there is room");
        }
        let step = self.subtask.step(Turn { now_ns: 1, budget: 1024 });
        assert!(matches!(step, Step::Progress(_)), "a barrier has come: {step:?}");
    }
}

fn main() {
    let mut criterion = common::criterion();
    let mut group = criterion.benchmark_group("watermark");
    for inputs in [1, 64, 512] {
        let mut merging = Merging::new(inputs);
        (0..inputs).for_each(|_| merging.advance());
        group.bench_function(BenchmarkId::new("inputs", inputs), |bencher| {
            bencher.iter(|| merging.advance());
        });
    }
    group.finish();
    let mut group = criterion.benchmark_group("barrier");
    for inputs in [1, 64, 512] {
        let mut merging = Merging::new(inputs);
        group.bench_function(BenchmarkId::new("inputs", inputs), |bencher| {
            bencher.iter(|| merging.align());
        });
    }
    group.finish();
    criterion.final_summary();
}
