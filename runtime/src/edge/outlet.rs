//! The writing end of an edge at one subtask.

use super::overflow::Overflow;
use super::partition::Route;
use super::ring::Sender;
use crate::control::{Barrier, Control, LatencyMark};
use crate::{Consumer, Context, Error, EventTime, Flow, Flush, Output, Owned, Result, Tail, Time, Timestamp};

/// Routes a subtask's records to the rings of its targets.
pub struct Outlet<T, M: Time, R> {
    targets: Vec<Sender<(T, M::Stamp)>>,
    route: R,
    /// How many records may wait for room behind all the rings together.
    overflow_records: usize,
    overflow: Overflow,
}

impl<T: 'static, M: Time, R: Route<T>> Outlet<T, M, R> {
    /// An outlet towards `targets`; one record may expand to `overflow` beyond the room.
    pub fn new(targets: Vec<Sender<(T, M::Stamp)>>, route: R, overflow: Overflow) -> Self {
        let overflow_records = overflow.records::<(T, M::Stamp)>();
        let targets = targets.into_iter().map(|target| target.with_overflow(overflow_records)).collect();
        Outlet { targets, route, overflow_records, overflow }
    }

    fn control(&mut self, control: Control) {
        self.targets.iter_mut().for_each(|target| target.control(control));
    }

    /// Said at once and not at the next flush: an operator that gives without end would never come to it.
    #[cold]
    pub(super) fn overflows(&self, ctx: &mut Context<'_>) {
        ctx.fail(self.exceeded());
    }

    /// The failure when more waits than may.
    #[cold]
    pub(super) fn exceeded(&self) -> Error {
        self.overflow.exceeded::<(T, M::Stamp)>()
    }

    /// How many records are staged: since the last flush, or for longer where rings are full.
    pub(super) fn staged(&self) -> usize {
        self.targets.iter().map(Sender::staged).sum()
    }

    fn check_overflow(&self) -> Result<()> {
        if self.staged() > self.overflow_records {
            return Err(self.exceeded());
        }
        Ok(())
    }
}

impl<T: 'static, R: Route<T>> Outlet<T, EventTime, R> {
    /// Stages something of this event time between two records; `false` as [`Sender::stage`] is.
    #[inline(always)]
    pub(super) fn stage(&mut self, record: T, time: Timestamp) -> bool {
        self.route.send(record, EventTime::stamp_of(time), &mut self.targets)
    }
}

impl<T: 'static, M: Time, R: Route<T>> Output<Owned<T>> for Outlet<T, M, R> {
    #[inline(always)]
    fn push<'s>(&mut self, record: T, ctx: &mut Context<'s>) {
        if !self.route.send(record, M::stamp(ctx), &mut self.targets) {
            self.overflows(ctx);
        }
    }
}

impl<T: 'static, M: Time, R: Route<T>> Tail for Outlet<T, M, R> {
    fn room(&mut self) -> usize {
        self.targets.iter_mut().map(Sender::room).min().unwrap_or(usize::MAX)
    }

    fn flush(&mut self, now_ns: u64) -> Result<Flush> {
        let flushed =
            self.targets.iter_mut().map(|target| target.flush(now_ns)).fold(Flush::IDLE, Flush::and);
        if !flushed.clear {
            self.check_overflow()?;
        }
        Ok(flushed)
    }

    fn barrier(&mut self, barrier: Barrier) {
        self.control(Control::Barrier(barrier));
    }

    fn mark(&mut self, mark: LatencyMark, _: u64) {
        self.control(Control::Mark(mark));
    }

    fn forward_watermark(&mut self, watermark: Timestamp) {
        self.control(Control::Watermark(watermark));
    }

    fn forward_idle(&mut self) {
        self.control(Control::Idle);
    }

    fn close(&mut self) {
        self.control(Control::End);
    }

    /// What has been flushed is in its rings, and nobody will answer.
    fn finished(&mut self) -> bool {
        true
    }

    fn charge_blocked(&mut self, now_ns: u64) {
        for target in &mut self.targets {
            let full = target.room() == 0;
            target.charge(full, now_ns);
        }
    }

    fn is_polled(&self) -> bool {
        false
    }
}

impl<T: 'static, M: Time, R: Route<T>> Consumer<Owned<T>> for Outlet<T, M, R> {
    fn watermark(&mut self, watermark: Timestamp, _: &mut Context<'_>) -> Flow {
        self.forward_watermark(watermark);
        Flow::Done
    }

    fn end(&mut self, _: &mut Context<'_>) -> Flow {
        Flow::Done
    }
}
