//! Where records come from.

use crate::{Context, Family, Output, Result, SubtaskContext, Time, Timestamp};

/// The number of a split: a part of the input that one subtask reads in order (a Kafka partition, a
/// file).
pub type SplitId = u32;

/// A position in a split that can be stored: where to read on.
pub type Offset = i64;

/// The positions of one subtask at a barrier.
pub type Offsets = Vec<(SplitId, Offset)>;

/// How an input is divided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Splits {
    /// Each subtask makes its own share, whatever the parallelism (a generator).
    PerSubtask,
    /// Only one subtask can read it (an iterator, an ingress handle); the others are idle.
    Single,
    /// These splits, numbered from 0; split `i` is read by subtask `i % parallelism`.
    Count(u32),
    /// As many splits as there are numbers here, numbered from 0; split `i` is read by subtask
    /// `numbers[i] % parallelism`, so those with equal numbers meet (the equal partitions of two topics).
    /// None at all where somebody else gives subtasks their splits while the job runs.
    Spread(Vec<u32>),
}

impl Splits {
    /// How many splits are to be spread over the subtasks, if any are.
    pub fn count(&self) -> Option<usize> {
        match self {
            Splits::PerSubtask | Splits::Single => None,
            Splits::Count(count) => Some(*count as usize),
            Splits::Spread(numbers) => Some(numbers.len()),
        }
    }
}

/// Describes an input; opened once for each subtask.
///
/// Everything here runs before any slot is touched, on the thread that starts the job or, while that
/// waits, on one of the I/O cores: an unreachable broker or an unknown topic is an error of `run`, not of
/// a running job.
pub trait Source: Send + 'static {
    /// What reads one subtask's share.
    type Reader: SourceReader;

    /// A word for plans and errors, such as `kafka(words)`.
    fn describe(&self) -> String;

    /// Whether its readers commit offsets to somewhere outside the job.
    fn commits(&self) -> bool {
        false
    }

    /// What it is set to, a line each, for `explain`; asked when the stream is described. Nothing secret. By default
    /// there is nothing to tell.
    fn settings(&self) -> Vec<String> {
        Vec::new()
    }

    /// Finds out how the input is divided, before anything starts. What is wrong (a setting, an unreachable broker,
    /// an unknown topic) is told together with everything else that speaks against a start. May wait, for a bounded
    /// time. Runs on the I/O cores.
    fn splits(&mut self) -> Result<Splits>;

    /// Opens the share of one subtask: the splits with these numbers, perhaps none.
    fn open(&mut self, subtask: &SubtaskContext, splits: &[SplitId]) -> Result<Self::Reader>;
}

/// What a poll found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polled {
    /// This many records were pushed and there may be more.
    Records(usize),
    /// There is nothing now; the subtask's waker is called when there is.
    Idle,
    /// There is nothing before this time, in nanoseconds of the host's clock; ask again then, or
    /// when the waker is called.
    Until(u64),
    /// There will be nothing more.
    End,
}

/// Reads one subtask's share of an input.
///
/// Called by one subtask on its slot's thread. Nothing here may block.
pub trait SourceReader: Send + 'static {
    /// The records it gives; they may borrow from the reader until the step ends.
    type Item: Family;
    /// Whether the records carry event time.
    type Time: Time;

    /// Pushes at most `budget` records (at least 1) and returns.
    fn poll<'s>(
        &'s mut self,
        budget: usize,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Self::Item>,
    ) -> Result<Polled>;

    /// Where to read on, split by split, as of the last poll. Asked at a barrier; a position is
    /// committed once everything read before it has arrived. The default has nothing to commit.
    fn offsets(&self) -> Offsets {
        Offsets::new()
    }

    /// How far event time has come, if this source says so by itself.
    fn watermark(&self) -> Option<Timestamp> {
        None
    }

    /// Whether this reader has nothing to read for now and must not hold up event time, such as a
    /// subtask without splits.
    fn idle(&self) -> bool {
        false
    }

    /// Whether this split has records, as far as the reader knows, that it has not given yet: then its silence is an
    /// outage or a pause of this reader's, and no idleness. Asked at times for a split that was silent. By default
    /// nobody knows, and silence alone counts.
    fn is_behind(&self, _split: SplitId) -> bool {
        false
    }

    /// How many of its splits have given all they ever will, while others go on: they hold event time up no longer.
    /// Asked once a step; which they are is asked when there are more. By default only all of them end, at once.
    fn ended_splits(&self) -> usize {
        0
    }

    /// Whether this split is one of them.
    fn has_ended(&self, _split: SplitId) -> bool {
        false
    }

    /// Asks it to give nothing of this split until it is [resumed](SourceReader::resume), because its event time is
    /// ahead of others'; what is on its way may still come. `false`, the default, if it cannot leave out one split:
    /// then it is not polled at all while all of its splits are ahead.
    fn pause(&mut self, _split: SplitId) -> bool {
        false
    }

    /// Goes on with a split that was paused.
    fn resume(&mut self, _split: SplitId) {}

    /// Its splits and the number of this state of them, where they have changed since the state of number `state`;
    /// those it was opened with are state 0. A reader whose splits come and go pushes no record of a new one before
    /// this was asked again: it is, before each poll, where event time is kept split by split. By default they never
    /// change.
    fn splits_since(&self, _state: u64) -> Option<(u64, Vec<SplitId>)> {
        None
    }

    /// What makes offsets durable, taken once at the start. The default commits nowhere.
    fn committer(&mut self) -> Option<Box<dyn Committer>> {
        None
    }
}

/// Makes offsets durable. Runs on the job's own thread, never on a slot, so it may wait.
///
/// A closure is one:
///
/// ```
/// use slotflow_runtime::{Committer, Offsets};
///
/// let (stored, store) = std::sync::mpsc::channel();
/// let mut committer: Box<dyn Committer> = Box::new(move |offsets: &Offsets| {
///     drop(stored.send(offsets.clone()));
///     Ok(())
/// });
/// committer.commit(&vec![(0, 17)])?;
/// assert_eq!(store.recv(), Ok(vec![(0, 17)]));
/// # Ok::<(), slotflow_runtime::Error>(())
/// ```
pub trait Committer: Send {
    /// Stores where to read on after a restart. A store that is away for a while is no failure: the
    /// next offsets replace these, and [`finish`](Committer::finish) has the last word.
    fn commit(&mut self, offsets: &Offsets) -> Result<()>;

    /// Whether somebody waits until where the source has come is stored: then the next barrier comes at once, and not
    /// after `commit_interval_ms`. Asked every few milliseconds. By default nobody does.
    fn is_awaited(&self) -> bool {
        false
    }

    /// The job is over, `commit` was called for the last time: reports what could not be stored. By
    /// default nothing is left to store.
    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

impl<C> Committer for C
where
    C: FnMut(&Offsets) -> Result<()> + Send,
{
    fn commit(&mut self, offsets: &Offsets) -> Result<()> {
        self(offsets)
    }
}
