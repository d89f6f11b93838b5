//! Records that the host pushes in from a thread of its own.
//!
//! # The protocol
//!
//! One ring for each handle, with the handle as its only writer and one source subtask as its only
//! reader.
//! 1. The handle pushes into the ring, then wakes the subtask's core. A core that falls asleep looks
//!    at its sources once more after it has said so, so a record is never slept over.
//! 2. A handle that is dropped stores how it ended, behind its last record, and wakes the core.
//! 3. The subtask reads how the handle ended before it reads the ring: an end that it sees is behind
//!    all the records.
//! 4. A reader that is dropped says so, and the handle refuses from then on.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

use rtrb::{Consumer, Producer, PushError, RingBuffer};
use slotflow_runtime::{
    Context, Error, Output, Owned, Polled, Result, Source, SourceReader, SplitId, Splits, SubtaskContext,
    Untimed, Waker,
};

/// A way in for the host's own records: a handle to push with and the source that gives them, in
/// order. At most `capacity` records (at least 1) wait between the two.
///
/// The handle belongs to one thread. Dropping it ends the source; dropping it during a panic fails
/// the job, since what should have come is then lost.
///
/// ```
/// # use slotflow::{io::ingress, prelude::*};
/// let env = Environment::with(Config::default());
/// let (mut ingress, source) = ingress(1024);
/// let doubled = Collected::new();
/// env.source(source).map(|n: u32| n * 2).sink(doubled.sink());
/// let job = env.start("doubled")?;
/// for n in 1..=3 {
///     assert!(ingress.try_push(n).is_ok(), "three records fit");
/// }
/// drop(ingress);
/// job.wait()?;
/// assert_eq!(doubled.take(), [2, 4, 6]);
/// # Ok::<(), Error>(())
/// ```
pub fn ingress<T: Send + 'static>(capacity: usize) -> (Ingress<T>, IngressSource<T>) {
    let (handle, line) = line(capacity);
    (handle, IngressSource { lines: vec![Some(line)] })
}

/// As [`ingress`], with `handles` handles for as many threads. Their rings are the splits of one
/// source, spread over its subtasks; the source ends when all handles are dropped.
pub fn ingress_n<T: Send + 'static>(handles: usize, capacity: usize) -> (Vec<Ingress<T>>, IngressSource<T>) {
    let (handles, lines) =
        (0..handles).map(|_| line(capacity)).map(|(handle, line)| (handle, Some(line))).unzip();
    (handles, IngressSource { lines })
}

fn line<T>(capacity: usize) -> (Ingress<T>, Line<T>) {
    let (records, waiting) = RingBuffer::new(capacity.max(1));
    let shared = Arc::new(Shared::default());
    (Ingress { records, shared: shared.clone() }, Line { split: 0, records: waiting, shared })
}

const OPEN: u8 = 0;
const ENDED: u8 = 1;
const PANICKED: u8 = 2;

/// What the two ends of a ring know of each other.
#[derive(Default)]
struct Shared {
    /// [`OPEN`], [`ENDED`] or [`PANICKED`]; written by the handle.
    end: AtomicU8,
    /// Whether nobody will read any more; written by the reader.
    gone: AtomicBool,
    /// Known once the source is open; before that there is nobody to wake.
    waker: OnceLock<Waker>,
}

impl Shared {
    fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake();
        }
    }
}

/// Pushes the host's records into a job; see [`ingress`]. Never blocks.
pub struct Ingress<T> {
    records: Producer<T>,
    shared: Arc<Shared>,
}

/// A record that could not be pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused<T> {
    /// The job does not keep up: try again later, or do without.
    Full(T),
    /// The job has ended and will never take it.
    Closed(T),
}

impl<T> Refused<T> {
    /// The record.
    pub fn into_record(self) -> T {
        match self {
            Refused::Full(record) | Refused::Closed(record) => record,
        }
    }
}

impl<T> Ingress<T> {
    /// Pushes a record and wakes the job, for some 50 ns if it is awake.
    ///
    /// # Errors
    /// The record, if it does not fit or if the job has ended.
    pub fn try_push(&mut self, record: T) -> Result<(), Refused<T>> {
        if self.shared.gone.load(Ordering::Acquire) {
            return Err(Refused::Closed(record));
        }
        self.records.push(record).map_err(|PushError::Full(record)| Refused::Full(record))?;
        self.shared.wake();
        Ok(())
    }

    /// How many records certainly fit now.
    pub fn room(&self) -> usize {
        self.records.slots()
    }
}

impl<T> Drop for Ingress<T> {
    fn drop(&mut self) {
        let end = if std::thread::panicking() { PANICKED } else { ENDED };
        self.shared.end.store(end, Ordering::Release);
        self.shared.wake();
    }
}

/// The source of an [`ingress`].
pub struct IngressSource<T> {
    /// By split; taken when it is opened.
    lines: Vec<Option<Line<T>>>,
}

/// The reading end of one ring.
struct Line<T> {
    split: SplitId,
    records: Consumer<T>,
    shared: Arc<Shared>,
}

impl<T> Drop for Line<T> {
    fn drop(&mut self) {
        self.shared.gone.store(true, Ordering::Release);
    }
}

impl<T: Send + 'static> Source for IngressSource<T> {
    type Reader = IngressReader<T>;

    fn describe(&self) -> String {
        "ingress".into()
    }

    fn splits(&mut self) -> Result<Splits> {
        Ok(if self.lines.len() == 1 { Splits::Single } else { Splits::Count(self.lines.len() as u32) })
    }

    fn open(&mut self, subtask: &SubtaskContext, splits: &[SplitId]) -> Result<IngressReader<T>> {
        let mut lines = Vec::new();
        for &split in splits {
            let line = self.lines.get_mut(split as usize).and_then(Option::take);
            let mut line = line.ok_or_else(|| Error::bug("an ingress ring was opened twice"))?;
            line.split = split;
            // Empty until now: a ring is opened once.
            line.shared.waker.get_or_init(|| subtask.waker.clone());
            lines.push(line);
        }
        Ok(IngressReader { lines, turn: 0 })
    }
}

/// Reads the rings of one subtask.
pub struct IngressReader<T> {
    /// Those that have not ended.
    lines: Vec<Line<T>>,
    /// The one to read first, so that none starves.
    turn: usize,
}

impl<T: Send + 'static> Line<T> {
    /// Pushes at most `budget` records and says how many, or that the ring has ended.
    fn read<'s>(
        &mut self,
        budget: usize,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<T>>,
    ) -> Result<Option<usize>> {
        let end = self.shared.end.load(Ordering::Acquire);
        if end == PANICKED {
            return Err(Error::user(
                "the thread that pushes into the ingress panicked: what it had to push is lost",
            ));
        }
        let available = self.records.slots().min(budget);
        if available == 0 {
            return Ok((end == OPEN).then_some(0));
        }
        ctx.set_split(self.split);
        if let Ok(records) = self.records.read_chunk(available) {
            records.into_iter().for_each(|record| out.push(record, ctx));
        }
        Ok(Some(available))
    }
}

impl<T: Send + 'static> SourceReader for IngressReader<T> {
    type Item = Owned<T>;
    type Time = Untimed;

    fn poll<'s>(
        &'s mut self,
        budget: usize,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<T>>,
    ) -> Result<Polled> {
        let mut count = 0;
        for _ in 0..self.lines.len() {
            self.turn = if self.turn + 1 < self.lines.len() { self.turn + 1 } else { 0 };
            match self.lines[self.turn].read(budget - count, ctx, out)? {
                Some(records) => count += records,
                None => drop(self.lines.swap_remove(self.turn)),
            }
            if count == budget {
                break;
            }
        }
        Ok(match count {
            0 if self.lines.is_empty() => Polled::End,
            0 => Polled::Idle,
            count => Polled::Records(count),
        })
    }
}
