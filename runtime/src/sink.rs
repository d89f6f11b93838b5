//! Where records go.

use std::collections::VecDeque;

use crate::control::{Barrier, LatencyMark};
use crate::{Context, Family, Measures, Result, SubtaskContext};

/// What a sink promises about records that were read before a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guarantee {
    /// Every record arrives, some perhaps twice.
    AtLeastOnce,
    /// A record can be lost after it was acknowledged.
    BestEffort,
    /// Records handed to the sink live in this process and end with it.
    InProcess,
}

/// What a sink knows to have arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledged {
    /// All there was.
    Everything,
    /// All that came before this barrier.
    UpTo(u64),
}

/// Describes an output; checked once, on a thread of its own while the sources are asked, and then opened once for each
/// subtask, on the thread that starts the job.
pub trait Sink<F: Family>: Send + 'static {
    /// What writes one subtask's records.
    type Writer: SinkWriter<F>;

    /// A word for plans and errors, such as `kafka(WORDS)`.
    fn describe(&self) -> String;

    /// What it promises.
    fn guarantee(&self) -> Guarantee {
        Guarantee::InProcess
    }

    /// What it is set to, a line each, for `explain`; asked when the stream is described. Nothing secret. By default
    /// there is nothing to tell.
    fn settings(&self) -> Vec<String> {
        Vec::new()
    }

    /// Looks whether the output can be written, before anything starts: what is wrong (a setting, an unreachable
    /// broker, an unknown topic) is told together with everything else that speaks against a start. May wait, for a
    /// bounded time. The default finds nothing wrong.
    fn check(&mut self) -> Result<()> {
        Ok(())
    }

    /// Opens the output for one subtask.
    fn open(&mut self, subtask: &SubtaskContext) -> Result<Self::Writer>;
}

/// Writes one subtask's records.
///
/// Called by one subtask on its slot's thread, in this order in each step: [`room`], any number of
/// [`write`], [`flush`]. Nothing here may block: a writer that waits for the outside says so by
/// [`room`] and [`acknowledged`].
///
/// [`room`]: SinkWriter::room
/// [`write`]: SinkWriter::write
/// [`flush`]: SinkWriter::flush
/// [`acknowledged`]: SinkWriter::acknowledged
pub trait SinkWriter<F: Family>: Send + 'static {
    /// Takes one record. A failure goes to [`Context::fail`].
    fn write<'s>(&mut self, record: F::Of<'s>, ctx: &mut Context<'s>);

    /// How many records it can take now; 0 is backpressure. The default is never full.
    fn room(&mut self) -> usize {
        usize::MAX
    }

    /// The end of a step: hand over what is buffered and look for answers. Also called when
    /// the subtask is idle or blocked.
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    /// When it wants to be [`flush`](SinkWriter::flush)ed next although nothing comes, on the host's clock, such as to
    /// look whether somebody is still there; `u64::MAX` for never, which is the default. Asked in each step, so that
    /// flush must have moved it on when it has come.
    fn due_ns(&self) -> u64 {
        u64::MAX
    }

    /// A barrier has come through. The default has nothing to remember.
    fn barrier(&mut self, _barrier: Barrier) {}

    /// A latency mark has come through, `now_ns` on the host's clock.
    fn mark(&mut self, _mark: LatencyMark, _now_ns: u64) {}

    /// Nothing more is meant to come, at the end of the input or because the job is drained: what waits for company,
    /// such as a file that is not full, has to arrive now. Called before the last [`flush`](SinkWriter::flush)es. The
    /// default waits for nobody.
    fn close(&mut self) {}

    /// What has arrived for good. The default is a sink whose `write` is final.
    fn acknowledged(&mut self) -> Acknowledged {
        Acknowledged::Everything
    }

    /// Tells how many records have not been acknowledged, and by whom ([`Measures::waiting`]); asked as
    /// [`Operator::measure`](crate::Operator::measure) is. The default has nothing to tell.
    fn measure(&self, _measures: &mut Measures<'_>) {}
}

/// Counts what is under way between barriers, for writers whose acknowledgements come later and in
/// any order.
///
/// ```
/// use slotflow_runtime::{Acknowledged, Barrier, InFlight};
///
/// let mut in_flight = InFlight::default();
/// let first = in_flight.sent();
/// in_flight.barrier(Barrier { id: 1 });
/// let second = in_flight.sent();
/// in_flight.acknowledged_one(second);
/// assert_eq!(in_flight.acknowledged(), Acknowledged::UpTo(0));
/// let third = in_flight.sent();
/// in_flight.acknowledged_one(first);
/// assert_eq!(in_flight.acknowledged(), Acknowledged::UpTo(1));
/// in_flight.acknowledged_one(third);
/// assert_eq!(in_flight.acknowledged(), Acknowledged::Everything);
/// ```
#[derive(Debug)]
pub struct InFlight {
    /// Records under way since each barrier, oldest first; the last entry is open.
    epochs: VecDeque<Epoch>,
    /// The number of the oldest epoch.
    first: u64,
    total: usize,
}

#[derive(Debug)]
struct Epoch {
    after: u64,
    under_way: usize,
}

impl Default for InFlight {
    fn default() -> Self {
        InFlight { epochs: VecDeque::from([Epoch { after: 0, under_way: 0 }]), first: 0, total: 0 }
    }
}

impl InFlight {
    /// Counts a record; give the number back to [`acknowledged_one`](InFlight::acknowledged_one).
    pub fn sent(&mut self) -> u64 {
        let last = self.epochs.len() - 1;
        self.epochs[last].under_way += 1;
        self.total += 1;
        self.first + last as u64
    }

    /// One record of that number has arrived.
    pub fn acknowledged_one(&mut self, epoch: u64) {
        let index = epoch.wrapping_sub(self.first) as usize;
        if let Some(epoch) = self.epochs.get_mut(index) {
            epoch.under_way -= 1;
            self.total -= 1;
        }
        while self.epochs.len() > 1 && self.epochs[0].under_way == 0 {
            self.epochs.pop_front();
            self.first += 1;
        }
    }

    /// A barrier closes the open epoch.
    pub fn barrier(&mut self, barrier: Barrier) {
        let open_is_empty = self.epochs.back().is_some_and(|epoch| epoch.under_way == 0);
        if open_is_empty {
            self.epochs.pop_back();
        }
        self.epochs.push_back(Epoch { after: barrier.id, under_way: 0 });
        // An empty epoch that was replaced keeps its number: nobody holds it.
    }

    /// How many records are under way.
    pub fn total(&self) -> usize {
        self.total
    }

    /// What has arrived.
    pub fn acknowledged(&self) -> Acknowledged {
        match self.epochs.front() {
            Some(oldest) if self.total > 0 => Acknowledged::UpTo(oldest.after),
            _ => Acknowledged::Everything,
        }
    }
}
