//! The tail of a chain that ends in a sink.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::chain::Guard;
use crate::control::{Barrier, LatencyMark};
use crate::job::Arrivals;
use crate::metrics::LatencyMeter;
use crate::{
    Acknowledged, Consumer, Context, Error, Family, Flow, Flush, Leaving, Measures, Output, Result,
    SinkWriter, SubtaskContext, Tail, Timestamp,
};

/// A sink's writer, and its word to the job about what has arrived.
pub struct SinkTail<F, W> {
    writer: W,
    /// The sink's number in the job, for blame.
    operator: u32,
    context: SubtaskContext,
    /// The last barrier that came through.
    barrier: u64,
    closed: bool,
    arrivals: Arc<Arrivals>,
    latency: Arc<LatencyMeter>,
    records: PhantomData<fn(F)>,
}

impl<F: Family, W: SinkWriter<F>> SinkTail<F, W> {
    /// A tail around `writer` of the sink of this number, at the place that `context` names.
    pub fn new(
        writer: W,
        operator: u32,
        context: SubtaskContext,
        arrivals: Arc<Arrivals>,
        latency: Arc<LatencyMeter>,
    ) -> Self {
        let (barrier, closed) = (0, false);
        SinkTail { writer, operator, context, barrier, closed, arrivals, latency, records: PhantomData }
    }

    /// Calls the writer outside a record's way, where no guard knows whom to blame for a panic.
    #[inline(always)]
    fn call<X>(&mut self, call: impl FnOnce(&mut W) -> X) -> X {
        Error::named(&self.context.operator, self.context.index, || call(&mut self.writer))
    }

    /// Tells the job which barrier's records have all arrived.
    fn report(&mut self) {
        let arrived = match self.call(W::acknowledged) {
            // No barrier will come any more, so none must wait for this sink.
            Acknowledged::Everything if self.closed => u64::MAX,
            Acknowledged::Everything => self.barrier,
            Acknowledged::UpTo(barrier) => barrier,
        };
        self.arrivals.set(arrived);
    }
}

impl<F: Family, W: SinkWriter<F>> Output<F> for SinkTail<F, W> {
    #[inline(always)]
    fn push<'s>(&mut self, record: F::Of<'s>, ctx: &mut Context<'s>) {
        // What comes in a step that has failed must not get out: it will be read again.
        if ctx.failed() {
            return;
        }
        let guard = Guard::new(&self.operator, ctx);
        self.writer.write(record, ctx);
        guard.clear(ctx);
    }
}

impl<F: Family, W: SinkWriter<F>> Tail for SinkTail<F, W> {
    fn room(&mut self) -> usize {
        self.call(W::room)
    }

    fn flush(&mut self, _: u64) -> Result<Flush> {
        self.call(W::flush).map_err(|error| error.at(&self.context.operator, self.context.index))?;
        self.report();
        Ok(Flush::IDLE)
    }

    fn barrier(&mut self, barrier: Barrier) {
        self.call(|writer| writer.barrier(barrier));
        self.barrier = barrier.id;
    }

    fn mark(&mut self, mark: LatencyMark, now_ns: u64) {
        self.latency.add(now_ns.saturating_sub(mark.sent_ns));
        self.call(|writer| writer.mark(mark, now_ns));
    }

    fn forward_watermark(&mut self, _: Timestamp) {}

    fn forward_idle(&mut self) {}

    fn close(&mut self) {
        self.closed = true;
        self.call(W::close);
    }

    fn finished(&mut self) -> bool {
        self.report();
        self.call(W::acknowledged) == Acknowledged::Everything
    }

    fn charge_blocked(&mut self, _: u64) {}
}

impl<F: Family, W: SinkWriter<F>> Consumer<F> for SinkTail<F, W> {
    fn watermark(&mut self, _: Timestamp, _: &mut Context<'_>) -> Flow {
        Flow::Done
    }

    /// Each step flushes, so there is nothing to do at that time but to make one.
    fn due_ns(&self) -> u64 {
        Error::named(&self.context.operator, self.context.index, || self.writer.due_ns())
    }

    fn end(&mut self, _: &mut Context<'_>) -> Flow {
        Flow::Done
    }

    fn measure(&self, measures: &mut Measures<'_>) {
        measures.by(self.operator, |measures| self.writer.measure(measures));
    }

    fn leave(self: Box<Self>, leaving: &mut Leaving<'_>) {
        leaving.part(self.operator, self.writer);
    }
}
