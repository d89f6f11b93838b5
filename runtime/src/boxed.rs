//! Pipelines without their types.
//!
//! A pipeline's type names everything in it, so two pipelines of different operators cannot stand in one
//! variable. [`Boxed`] forgets all but the records and their time: the pipeline in front is one trait object,
//! and the rest of the chain, which it is installed with, another. Both are made of what [`Pipe`],
//! [`Downstream`] and [`Consumer`] say, for any [`Family`]: lent records pass, too.
//!
//! Where it is fused, each record costs one call through a pointer; the optimiser sees the chain in front
//! of it and the chain behind it, but not both.

use crate::install::Installer;
use crate::pipe::Pipe;
use crate::plan::Graph;
use crate::{
    Barrier, Consumer, Context, Downstream, Family, Flow, Flush, LatencyMark, Leaving, Measures, Output,
    Result, SubtaskContext, Tail, Time, Timestamp,
};

/// A pipeline of which only the records and their time are known.
pub struct Boxed<F, M>(Box<dyn AnyPipe<F, M>>);

impl<F: Family, M: Time> Boxed<F, M> {
    /// Forgets the type of `pipe`.
    pub fn new<P: Pipe<Out = F, Time = M>>(pipe: P) -> Self {
        Boxed(Box::new(pipe))
    }
}

impl<F: Family, M: Time> Pipe for Boxed<F, M> {
    type Out = F;
    type Time = M;

    fn discover(&mut self, graph: &mut Graph) {
        self.0.discover_any(graph)
    }

    fn install<D: Downstream<F>>(self, installer: &mut Installer<'_>, rest: D) -> Result<()> {
        self.0.install_any(installer, Rest(Box::new(rest)))
    }
}

/// [`Pipe`], as far as a trait object can have it.
trait AnyPipe<F: Family, M>: Send {
    fn discover_any(&mut self, graph: &mut Graph);
    fn install_any(self: Box<Self>, installer: &mut Installer<'_>, rest: Rest<F>) -> Result<()>;
}

impl<P: Pipe> AnyPipe<P::Out, P::Time> for P {
    fn discover_any(&mut self, graph: &mut Graph) {
        self.discover(graph)
    }

    fn install_any(self: Box<Self>, installer: &mut Installer<'_>, rest: Rest<P::Out>) -> Result<()> {
        self.install(installer, rest)
    }
}

/// The description of the rest of a chain, whatever it is.
struct Rest<F: Family>(Box<dyn AnyDownstream<F>>);

impl<F: Family> Clone for Rest<F> {
    fn clone(&self) -> Self {
        Rest(self.0.clone_any())
    }
}

impl<F: Family> Downstream<F> for Rest<F> {
    type Consumer = Box<dyn Consumer<F>>;

    fn build(self, subtask: &SubtaskContext) -> Result<Self::Consumer> {
        self.0.build_any(subtask)
    }
}

/// [`Downstream`], as far as a trait object can have it.
trait AnyDownstream<F: Family>: Send {
    fn clone_any(&self) -> Box<dyn AnyDownstream<F>>;
    fn build_any(self: Box<Self>, subtask: &SubtaskContext) -> Result<Box<dyn Consumer<F>>>;
}

impl<F: Family, D: Downstream<F>> AnyDownstream<F> for D {
    fn clone_any(&self) -> Box<dyn AnyDownstream<F>> {
        Box::new(self.clone())
    }

    fn build_any(self: Box<Self>, subtask: &SubtaskContext) -> Result<Box<dyn Consumer<F>>> {
        Ok(Box::new(self.build(subtask)?))
    }
}

impl<F: Family> Output<F> for Box<dyn Consumer<F>> {
    #[inline(always)]
    fn push<'s>(&mut self, record: F::Of<'s>, ctx: &mut Context<'s>) {
        (**self).push(record, ctx);
    }
}

impl<F: Family> Consumer<F> for Box<dyn Consumer<F>> {
    fn watermark(&mut self, watermark: Timestamp, ctx: &mut Context<'_>) -> Flow {
        (**self).watermark(watermark, ctx)
    }
    fn due_ns(&self) -> u64 {
        (**self).due_ns()
    }
    fn tick(&mut self, ctx: &mut Context<'_>) -> Flow {
        (**self).tick(ctx)
    }
    fn settle(&mut self, ctx: &mut Context<'_>) -> Flow {
        (**self).settle(ctx)
    }
    fn end(&mut self, ctx: &mut Context<'_>) -> Flow {
        (**self).end(ctx)
    }
    fn measure(&self, measures: &mut Measures<'_>) {
        (**self).measure(measures);
    }
    fn leave(self: Box<Self>, leaving: &mut Leaving<'_>) {
        (*self).leave(leaving);
    }
}

impl<F: Family> Tail for Box<dyn Consumer<F>> {
    fn room(&mut self) -> usize {
        (**self).room()
    }
    fn room_behind(&mut self) -> usize {
        (**self).room_behind()
    }
    fn flush(&mut self, now_ns: u64) -> Result<Flush> {
        (**self).flush(now_ns)
    }
    fn barrier(&mut self, barrier: Barrier) {
        (**self).barrier(barrier);
    }
    fn mark(&mut self, mark: LatencyMark, now_ns: u64) {
        (**self).mark(mark, now_ns);
    }
    fn forward_watermark(&mut self, watermark: Timestamp) {
        (**self).forward_watermark(watermark);
    }
    fn forward_idle(&mut self) {
        (**self).forward_idle();
    }
    fn close(&mut self) {
        (**self).close();
    }
    fn finished(&mut self) -> bool {
        (**self).finished()
    }
    fn charge_blocked(&mut self, now_ns: u64) {
        (**self).charge_blocked(now_ns);
    }
    fn is_polled(&self) -> bool {
        (**self).is_polled()
    }
}
