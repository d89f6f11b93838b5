//! Where a chain begins: a source's reader, or an inlet.

use std::sync::Arc;

use crate::control::{Barrier, LatencyMark};
use crate::job::JobControl;
use crate::time::{MAX_TIMESTAMP, MIN_TIMESTAMP};
use crate::{Context, Family, Output, Polled, Result, SourceReader, Timestamp};

/// How often a source sends a latency mark while records flow (a guess: a thousand samples a second
/// cost nothing and fill a histogram).
const MARK_INTERVAL_NS: u64 = 1_000_000;

/// What a head found between records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Event time has reached this; [`MAX_TIMESTAMP`] when all inputs have truly ended.
    Watermark(Timestamp),
    /// The time has come at which an operator of the chain wanted to be called; the subtask's own.
    Tick,
    /// No input counts for event time at present.
    Idle,
    /// A barrier of all inputs.
    Barrier(Barrier),
    /// A latency mark.
    Mark(LatencyMark),
    /// One of several inputs has said something that means nothing yet: there is room for its writer,
    /// and nothing to pass on.
    Noted,
    /// Nothing more will come, because the inputs have ended or because the job is drained.
    End,
}

/// The outcome of driving a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drive {
    /// How many records were pushed.
    pub records: usize,
    /// What comes after them.
    pub event: Option<Event>,
}

impl Drive {
    /// There was nothing.
    pub const NOTHING: Drive = Drive { records: 0, event: None };
}

/// Pushes a bounded number of records into a chain.
pub trait Head: 'static {
    /// The records.
    type Item: Family;

    /// Pushes at most `budget` records, up to the first event.
    fn drive<'s>(
        &'s mut self,
        budget: usize,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Self::Item>,
    ) -> Result<Drive>;

    /// Whether [`drive`](Head::drive) may have something to do; asking costs less than driving for nothing.
    fn ready(&self) -> bool {
        true
    }

    /// Shows `out` the record that comes next, if one is there, so that what it needs is fetched while the step begins.
    /// Changes nothing that anybody can see.
    fn foresee(&mut self, _ctx: &mut Context<'_>, _out: &mut impl Output<Self::Item>) {}

    /// When it wants to be asked again although nobody wakes it, in nanoseconds of the host's clock;
    /// `u64::MAX` for never.
    fn due_ns(&self) -> u64 {
        u64::MAX
    }
}

/// The head of a source's chain: its reader, and what the job asks of it.
pub struct SourceHead<R> {
    reader: R,
    /// The source subtask's number in the job, under which it reports offsets.
    number: usize,
    control: Arc<JobControl>,
    watermark: Timestamp,
    idle: bool,
    injected: u64,
    marked_ns: u64,
    due_ns: u64,
    flowing: bool,
    exhausted: bool,
}

impl<R: SourceReader> SourceHead<R> {
    /// A head over `reader`.
    pub fn new(reader: R, number: usize, control: Arc<JobControl>) -> Self {
        SourceHead {
            reader,
            number,
            control,
            watermark: MIN_TIMESTAMP,
            idle: false,
            injected: 0,
            marked_ns: 0,
            due_ns: u64::MAX,
            flowing: false,
            exhausted: false,
        }
    }

    /// What is to be said before the next records, if anything.
    fn event(&mut self, now_ns: u64) -> Option<Event> {
        let requested = self.control.requested_barrier();
        if requested > self.injected {
            // One after the other, none left out: inlets align the n-th of each origin.
            self.injected += 1;
            self.control.report_offsets(self.number, self.injected, self.reader.offsets());
            return Some(Event::Barrier(Barrier { id: self.injected }));
        }
        if self.exhausted && self.watermark != MAX_TIMESTAMP {
            // Said by nobody else: an input that pauses, or a job that is drained, goes on some day.
            self.watermark = MAX_TIMESTAMP;
            return Some(Event::Watermark(MAX_TIMESTAMP));
        }
        if self.exhausted || self.control.is_draining() {
            return Some(self.ended());
        }
        self.time().or_else(|| self.mark(now_ns))
    }

    fn time(&mut self) -> Option<Event> {
        let reached = self.reader.watermark().unwrap_or(MIN_TIMESTAMP);
        if reached > self.watermark && reached != MAX_TIMESTAMP {
            // It also says that this input counts, so an idle one says that it is idle behind it.
            (self.watermark, self.idle) = (reached, false);
            return Some(Event::Watermark(reached));
        }
        if self.reader.idle() == self.idle {
            return None;
        }
        self.idle = !self.idle;
        // Repeated, a watermark says that this input counts again.
        Some(if self.idle { Event::Idle } else { Event::Watermark(self.watermark) })
    }

    fn mark(&mut self, now_ns: u64) -> Option<Event> {
        if !self.flowing || now_ns < self.marked_ns + MARK_INTERVAL_NS {
            return None;
        }
        self.marked_ns = now_ns;
        Some(Event::Mark(LatencyMark { sent_ns: now_ns }))
    }

    fn ended(&mut self) -> Event {
        self.control.report_end(self.number, self.reader.offsets());
        Event::End
    }
}

impl<R: SourceReader> Head for SourceHead<R> {
    type Item = R::Item;

    #[inline(always)]
    fn drive<'s>(
        &'s mut self,
        budget: usize,
        ctx: &mut Context<'s>,
        out: &mut impl Output<R::Item>,
    ) -> Result<Drive> {
        if let Some(event) = self.event(ctx.now_ns()) {
            return Ok(Drive { records: 0, event: Some(event) });
        }
        self.due_ns = u64::MAX;
        match self.reader.poll(budget, ctx, out)? {
            Polled::Records(records) => {
                self.flowing = records > 0;
                Ok(Drive { records, event: None })
            }
            Polled::Idle => {
                self.flowing = false;
                Ok(Drive { records: 0, event: None })
            }
            Polled::Until(due_ns) => {
                self.flowing = false;
                self.due_ns = due_ns;
                Ok(Drive { records: 0, event: None })
            }
            Polled::End => {
                // The reader is lent until the step is over: its last offsets are read at the next.
                self.exhausted = true;
                self.due_ns = 0;
                Ok(Drive { records: 0, event: None })
            }
        }
    }

    fn due_ns(&self) -> u64 {
        self.due_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Phase;
    use crate::{Owned, Untimed};

    /// Has nothing, and never ends by itself.
    struct Silent;

    impl SourceReader for Silent {
        type Item = Owned<u64>;
        type Time = Untimed;

        fn poll<'s>(
            &'s mut self,
            _: usize,
            _: &mut Context<'s>,
            _: &mut impl Output<Owned<u64>>,
        ) -> Result<Polled> {
            Ok(Polled::Idle)
        }
    }

    #[test]
    fn a_drain_ends_a_source_and_a_stop_does_not_whoever_hears_of_it_first() {
        let (control, _reports) = JobControl::new("j", 1);
        let mut head = SourceHead::new(Silent, 0, control.clone());
        assert_eq!(head.event(0), None);
        control.advance(Phase::Draining);
        assert_eq!(head.event(0), Some(Event::End));
        // The subtask may ask once more before its core has seen that it is to be dropped.
        control.advance(Phase::Stopping);
        assert_eq!(head.event(0), None);
    }
}
