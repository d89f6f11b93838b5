//! Records for another process, written on the slot itself.

use std::collections::VecDeque;
use std::path::PathBuf;

use slotflow_runtime::{
    Acknowledged, Barrier, Clock, Context, Error, Family, Guarantee, Result, Sink, SinkWriter, SubtaskContext,
};

use super::file::check;
use super::{BYTES, LOOK_EVERY_NS, RingWriter, numbered};
use crate::overflow::Overflow;

/// How many records are let in at once while none waits (a guess: what finds no room waits in the sink).
const RECORDS: usize = 64;

/// Writes records that are bytes into memory that another process reads: a ring for each subtask, in the file
/// `PATH-SUBTASK`. A format makes bytes of others (see [`encode`](crate::formats::encode)).
///
/// The slot writes a record with no system call and one copy. A full ring holds the job up. Before the reader has come
/// for the first time, the ring fills and waits; a reader that was there and is gone fails the job, within some 10 ms
/// and also while nothing is written. What lies in the ring then is the next reader's.
///
/// Best effort: a record has arrived when it is in the ring, whose memory outlives both processes and not the machine;
/// what a reader had taken when it failed is nobody's any more. The end of the job, or its drain, is the end for the
/// reader; a job that is stopped or fails is gone.
///
/// ```
/// # let folder = std::env::temp_dir().join(format!("slotflow-shared-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let path = folder.join("ring");
/// # use slotflow::prelude::*;
/// use slotflow::io::frames::Frame;
/// use slotflow::io::shared_memory::{SharedMemorySink, SharedMemorySource};
///
/// // In one process:
/// let env = Environment::with(Config::default());
/// env.source(from_iterator(["tick", "tock"])).sink(SharedMemorySink::at(&path));
/// env.run("to the other process")?;
///
/// // In the other one:
/// let (env, ticks) = (Environment::with(Config::default()), Collected::new());
/// env.source(SharedMemorySource::at(&path))
///     .try_map(|tick: Frame<'_>| tick.text().map(str::to_owned))
///     .sink(ticks.sink());
/// env.run("from the other process")?;
/// assert_eq!(ticks.take(), ["tick", "tock"]);
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SharedMemorySink {
    path: PathBuf,
    bytes: usize,
}

impl SharedMemorySink {
    /// Rings whose files are called so, with the number of the subtask behind a hyphen: best in a folder that lies in
    /// memory, such as `/dev/shm`.
    pub fn at(path: impl Into<PathBuf>) -> SharedMemorySink {
        SharedMemorySink { path: path.into(), bytes: BYTES }
    }

    /// How large a ring is that is not there yet (default 1 MiB; rounded up to a power of two, at least 128 bytes and
    /// at most a TiB).
    #[must_use]
    pub fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }
}

impl<F: Family> Sink<F> for SharedMemorySink
where
    for<'s> F::Of<'s>: AsRef<[u8]>,
{
    type Writer = SharedMemoryWriter;

    fn describe(&self) -> String {
        format!("shared memory({})", self.path.display())
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::BestEffort
    }

    fn check(&mut self) -> Result<()> {
        check(&numbered(&self.path, 0), self.bytes)
    }

    fn open(&mut self, subtask: &SubtaskContext) -> Result<SharedMemoryWriter> {
        Ok(SharedMemoryWriter {
            ring: RingWriter::open(numbered(&self.path, subtask.index), self.bytes)?,
            to: numbered(&self.path, subtask.index),
            waiting: VecDeque::new(),
            overflow: Overflow::new(subtask.overflow_bytes),
            arrived: 0,
            stage: Stage::Open,
            clock: subtask.clock.clone(),
            look_ns: 0,
        })
    }
}

/// How far a writer is from its end.
#[derive(PartialEq)]
enum Stage {
    Open,
    /// Nothing more is meant to come.
    Closing,
    /// The reader has been told so.
    Ended,
}

/// Writes one subtask's records.
pub struct SharedMemoryWriter {
    ring: RingWriter,
    to: PathBuf,
    /// What found the ring full; holds up the next step.
    waiting: VecDeque<Box<[u8]>>,
    overflow: Overflow,
    /// The last barrier in front of which nothing waits.
    arrived: u64,
    stage: Stage,
    clock: Clock,
    /// When to look for the reader again.
    look_ns: u64,
}

impl SharedMemoryWriter {
    fn put(&mut self, record: &[u8]) -> Result<()> {
        self.overflow.count();
        if self.waiting.is_empty() && self.ring.try_push(record)? {
            return Ok(());
        }
        self.overflow.wait(record.len())?;
        self.waiting.push_back(record.into());
        Ok(())
    }

    /// Moves what fits of the records that wait.
    fn settle(&mut self) -> Result<()> {
        while let Some(record) = self.waiting.front() {
            if !self.ring.try_push(record)? {
                break;
            }
            self.waiting.pop_front();
        }
        Ok(())
    }

    /// Looks now and then whether the reader is still there.
    fn look(&mut self) -> Result<()> {
        let now_ns = self.clock.now_ns();
        if now_ns < self.look_ns {
            return Ok(());
        }
        self.look_ns = now_ns + LOOK_EVERY_NS;
        if self.ring.reader_is_gone()? { Err(self.gone()) } else { Ok(()) }
    }

    fn gone(&self) -> Error {
        let what = format!("the reader of the ring {} is gone", self.to.display());
        Error::world(what, "start it again, then this job: what lies in the ring is read then")
    }
}

impl<F: Family> SinkWriter<F> for SharedMemoryWriter
where
    for<'s> F::Of<'s>: AsRef<[u8]>,
{
    fn write<'s>(&mut self, record: F::Of<'s>, ctx: &mut Context<'s>) {
        if let Err(error) = self.put(record.as_ref()) {
            ctx.fail(error);
        }
    }

    fn room(&mut self) -> usize {
        self.overflow.promise(if self.waiting.is_empty() { RECORDS } else { 0 })
    }

    fn flush(&mut self) -> Result<()> {
        self.settle()?;
        if self.stage == Stage::Closing && self.waiting.is_empty() {
            self.ring.end();
            self.stage = Stage::Ended;
        }
        // A reader that has seen the end may go.
        if self.stage == Stage::Ended { Ok(()) } else { self.look() }
    }

    fn due_ns(&self) -> u64 {
        if self.stage == Stage::Ended { u64::MAX } else { self.look_ns }
    }

    fn barrier(&mut self, barrier: Barrier) {
        if self.waiting.is_empty() {
            self.arrived = barrier.id;
        }
    }

    fn close(&mut self) {
        self.stage = Stage::Closing;
    }

    fn acknowledged(&mut self) -> Acknowledged {
        if self.waiting.is_empty() { Acknowledged::Everything } else { Acknowledged::UpTo(self.arrived) }
    }
}

#[cfg(test)]
mod tests {
    use slotflow_runtime::testing::subtask;
    use slotflow_runtime::{Arena, Blame, Borrowed};

    use super::super::RingReader;
    use super::*;

    type Bytes = Borrowed<[u8]>;

    #[test]
    fn a_look_before_the_start_is_no_end_that_comes_and_goes() {
        let folder = std::env::temp_dir().join(format!("slotflow-look-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("ring");
        let ring = numbered(&path, 0);
        let (mut writer, mut reader) =
            (RingWriter::open(&ring, 0).unwrap(), RingReader::open(&ring, 0).unwrap());
        writer.end();
        let mut sink = SharedMemorySink::at(&path);
        Sink::<Bytes>::check(&mut sink).unwrap();
        slotflow_runtime::Source::splits(&mut super::super::SharedMemorySource::at(&path)).unwrap();
        assert!(reader.has_ended().unwrap(), "the end stands");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_waits_is_in_front_of_the_end_and_has_not_arrived() {
        let folder = std::env::temp_dir().join(format!("slotflow-waits-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("ring");
        let mut sink = SharedMemorySink::at(&path).bytes(0);
        let mut writer = Sink::<Bytes>::open(&mut sink, &subtask()).unwrap();
        let (arena, blame, place) = (Arena::new(), Blame::default(), subtask());
        let mut ctx = Context::new(&arena, &place, &blame, 1);
        (0..3).for_each(|_| SinkWriter::<Bytes>::write(&mut writer, &[7; 60], &mut ctx));
        assert!(ctx.into_error().is_none());
        let room = [SinkWriter::<Bytes>::room(&mut writer), writer.waiting.len()];
        assert_eq!(room, [0, 2], "128 bytes take one of them");
        SinkWriter::<Bytes>::barrier(&mut writer, Barrier { id: 5 });
        SinkWriter::<Bytes>::close(&mut writer);
        let (mut reader, mut bytes) = (RingReader::open(numbered(&path, 0), 0).unwrap(), Vec::new());
        for waiting in (0..3).rev() {
            SinkWriter::<Bytes>::flush(&mut writer).unwrap();
            assert_eq!(reader.try_pop(&mut bytes).unwrap(), Some(60));
            let all = waiting == 0;
            assert_eq!(reader.has_ended().unwrap(), all, "{waiting} records wait");
            let expected = if all { Acknowledged::Everything } else { Acknowledged::UpTo(0) };
            assert_eq!(SinkWriter::<Bytes>::acknowledged(&mut writer), expected);
        }
        assert_eq!(bytes, [7; 180]);
        drop((reader, SinkWriter::<Bytes>::flush(&mut writer).unwrap()));
        let mut next = RingReader::open(numbered(&path, 0), 0).unwrap();
        assert!(!next.has_ended().unwrap(), "it is said once");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
