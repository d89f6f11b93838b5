//! Records of another process, read on the slot itself.

use std::path::PathBuf;
use std::time::Duration;

use slotflow_runtime::{
    Context, Error, Output, Polled, Result, Source, SourceReader, SplitId, Splits, SubtaskContext, Untimed,
};

use super::file::check;
use super::{BYTES, LOOK_EVERY_NS, RingReader, numbered};
use crate::frames::{Frame, Frames};

/// How soon an empty ring is looked at again unless it is said otherwise (a guess: as for datagrams, a fraction of a
/// percent of a core).
const POLL_EVERY: Duration = Duration::from_micros(100);

/// Reads records that another process writes into memory: those of a [`SharedMemorySink`](super::SharedMemorySink) or
/// of a [`RingWriter`](super::RingWriter), each a [`Frame`] whose offset is its place in the ring since that was made.
/// A format makes records of them (see [`formats`](crate::formats)). See the sink for an example.
///
/// Each ring is a split. The slot copies what lies in one, gives its room back, and makes no system call. No process
/// wakes another: an empty ring is looked at again every 100 us, or in every round. A job that does not keep up holds
/// the writer back.
///
/// The source ends when all writers have said that there is nothing more. A writer that was there and is gone without
/// that fails the job, behind its last record; for one that has not come it waits.
///
/// Best effort: what was taken out of a ring and not yet written by the job's sinks is lost when the job fails.
#[derive(Clone, Debug)]
pub struct SharedMemorySource {
    path: PathBuf,
    count: u32,
    bytes: usize,
    poll_every: Duration,
}

impl SharedMemorySource {
    /// The ring of a job with one writing subtask, in the file `PATH-0`.
    pub fn at(path: impl Into<PathBuf>) -> SharedMemorySource {
        SharedMemorySource { path: path.into(), count: 1, bytes: BYTES, poll_every: POLL_EVERY }
    }

    /// The rings of a job with so many writing subtasks, in the files from `PATH-0` on (default 1, at least 1).
    #[must_use]
    pub fn rings(mut self, count: u32) -> Self {
        self.count = count.max(1);
        self
    }

    /// How large a ring is that is not there yet (default 1 MiB; rounded up to a power of two, at least 128 bytes and
    /// at most a TiB).
    #[must_use]
    pub fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// How soon an empty ring is looked at again (default 100 us).
    #[must_use]
    pub fn poll_every(mut self, period: Duration) -> Self {
        self.poll_every = period;
        self
    }

    /// Looks at the rings in every round: its slot's core never sleeps, whatever `slots.idle` says.
    #[must_use]
    pub fn busy_poll(self) -> Self {
        self.poll_every(Duration::ZERO)
    }

    fn line(&self, split: SplitId) -> Result<Line> {
        let path = numbered(&self.path, split as usize);
        let ring = RingReader::open(&path, self.bytes)?;
        Ok(Line { split, ring, origin: path.to_string_lossy().into(), look_ns: 0 })
    }
}

impl Source for SharedMemorySource {
    type Reader = SharedMemoryReader;

    fn describe(&self) -> String {
        format!("shared memory({})", self.path.display())
    }

    fn splits(&mut self) -> Result<Splits> {
        (0..self.count).try_for_each(|split| check(&numbered(&self.path, split as usize), self.bytes))?;
        Ok(Splits::Count(self.count))
    }

    fn open(&mut self, _: &SubtaskContext, splits: &[SplitId]) -> Result<SharedMemoryReader> {
        let lines = splits.iter().map(|split| self.line(*split)).collect::<Result<_>>()?;
        Ok(SharedMemoryReader {
            lines,
            turn: 0,
            records: Vec::new(),
            bytes: Vec::new(),
            // A year is for ever, and can be added to a clock.
            poll_every_ns: self.poll_every.as_nanos().min(365 * 24 * 3_600 * 1_000_000_000) as u64,
        })
    }
}

/// One ring.
struct Line {
    split: SplitId,
    ring: RingReader,
    origin: String,
    /// When to look for its writer again.
    look_ns: u64,
}

impl Line {
    /// Whether there will be nothing more.
    fn has_ended(&mut self, now_ns: u64) -> Result<bool> {
        if self.ring.has_ended()? {
            return Ok(true);
        }
        let is_due = now_ns >= self.look_ns;
        if is_due {
            self.look_ns = now_ns + LOOK_EVERY_NS;
        }
        if is_due && self.ring.writer_is_gone()? {
            let what = format!("the writer of the ring {} is gone without an end", self.origin);
            return Err(Error::world(what, "look why, and start both again"));
        }
        Ok(false)
    }
}

/// Reads the rings of one subtask.
pub struct SharedMemoryReader {
    /// Those that have not ended.
    lines: Vec<Line>,
    /// The one to read next, so that none starves.
    turn: usize,
    /// The records of one poll: where each begins and ends in `bytes`, and where it began in the ring.
    records: Vec<(usize, usize, u64)>,
    bytes: Vec<u8>,
    poll_every_ns: u64,
}

impl SharedMemoryReader {
    /// Copies at most `budget` records of the next ring that has any.
    fn fill(&mut self, budget: usize) -> Result<()> {
        self.records.clear();
        self.bytes.clear();
        for _ in 0..self.lines.len() {
            self.turn = if self.turn + 1 < self.lines.len() { self.turn + 1 } else { 0 };
            let ring = &mut self.lines[self.turn].ring;
            while self.records.len() < budget {
                let (begin, offset) = (self.bytes.len(), ring.position());
                let Some(length) = ring.try_pop(&mut self.bytes)? else { break };
                self.records.push((begin, begin + length, offset));
            }
            if !self.records.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Lets go of rings that have ended.
    fn look(&mut self, now_ns: u64) -> Result<()> {
        for at in (0..self.lines.len()).rev() {
            if self.lines[at].has_ended(now_ns)? {
                self.lines.swap_remove(at);
            }
        }
        Ok(())
    }
}

impl SourceReader for SharedMemoryReader {
    type Item = Frames;
    type Time = Untimed;

    fn poll<'s>(
        &'s mut self,
        budget: usize,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Frames>,
    ) -> Result<Polled> {
        self.fill(budget)?;
        if self.records.is_empty() {
            self.look(ctx.now_ns())?;
            let next_ns = ctx.now_ns() + self.poll_every_ns;
            return Ok(if self.lines.is_empty() { Polled::End } else { Polled::Until(next_ns) });
        }
        let SharedMemoryReader { lines, turn, records, bytes, .. } = self;
        let (line, bytes): (&'s Line, &'s [u8]) = (&lines[*turn], bytes);
        ctx.set_split(line.split);
        for (begin, end, offset) in records.iter() {
            out.push(Frame::new(&bytes[*begin..*end], &line.origin, *offset), ctx);
        }
        Ok(Polled::Records(records.len()))
    }

    fn idle(&self) -> bool {
        self.lines.is_empty()
    }
}
