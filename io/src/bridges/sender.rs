//! Bounded queues that take a job's records.

use std::collections::VecDeque;
use std::sync::mpsc::{SyncSender, TrySendError};

use slotflow_runtime::{
    Acknowledged, Barrier, Context, Error, Measures, Owned, Result, Sink, SinkWriter, SubtaskContext,
};

use crate::Refused;
use crate::overflow::Overflow;

/// How many records are let in at once where the queue does not tell its room (a guess: what it has no room for waits
/// in the sink).
const RECORDS: usize = 64;

/// A bounded queue's sending end.
pub trait Queue<T>: Clone + Send + 'static {
    /// Puts a record in, or gives it back. Never waits.
    fn try_push(&mut self, record: T) -> Result<(), Refused<T>>;

    /// How many records fit, as far as is known.
    fn room(&self) -> usize {
        RECORDS
    }
}

impl<T: Send + 'static> Queue<T> for SyncSender<T> {
    fn try_push(&mut self, record: T) -> Result<(), Refused<T>> {
        self.try_send(record).map_err(|refused| match refused {
            TrySendError::Full(record) => Refused::Full(record),
            TrySendError::Disconnected(record) => Refused::Closed(record),
        })
    }
}

/// A sink that puts records into a bounded queue of the standard library; each subtask has a clone of the sender. A
/// full queue holds the job up. A record has arrived when it is in the queue, whose receiver must not be dropped before
/// the job has ended.
///
/// See [`from_receiver`](super::from_receiver) for an example.
pub fn to_sender<T: Send + 'static>(sender: SyncSender<T>) -> SenderSink<SyncSender<T>> {
    SenderSink::of("sender", sender)
}

/// See [`to_sender`].
pub struct SenderSink<Q> {
    name: &'static str,
    queue: Q,
}

impl<Q> SenderSink<Q> {
    pub(super) fn of(name: &'static str, queue: Q) -> SenderSink<Q> {
        SenderSink { name, queue }
    }
}

impl<T: Send + 'static, Q: Queue<T>> Sink<Owned<T>> for SenderSink<Q> {
    type Writer = SenderWriter<T, Q>;

    fn describe(&self) -> String {
        self.name.into()
    }

    fn open(&mut self, subtask: &SubtaskContext) -> Result<SenderWriter<T, Q>> {
        let (queue, overflow) = (self.queue.clone(), Overflow::new(subtask.overflow_bytes));
        Ok(SenderWriter { queue, waiting: VecDeque::new(), overflow, arrived: 0 })
    }
}

/// Writes one subtask's records.
pub struct SenderWriter<T, Q> {
    queue: Q,
    /// What found the queue full; holds up the next step.
    waiting: VecDeque<T>,
    overflow: Overflow,
    /// The last barrier in front of which nothing waits.
    arrived: u64,
}

impl<T: Send + 'static, Q: Queue<T>> SenderWriter<T, Q> {
    fn put(&mut self, record: T) -> Result<()> {
        let refused =
            if self.waiting.is_empty() { self.queue.try_push(record) } else { Err(Refused::Full(record)) };
        match refused {
            Ok(()) => Ok(()),
            Err(Refused::Full(record)) => {
                self.overflow.wait(size_of::<T>().max(1))?;
                self.waiting.push_back(record);
                Ok(())
            }
            Err(Refused::Closed(_)) => Err(closed()),
        }
    }
}

fn closed() -> Error {
    let remedy = "keep it until the job has ended, or stop the job before dropping it";
    Error::user(format!("the receiver of a sink was dropped: {remedy}"))
}

impl<T: Send + 'static, Q: Queue<T>> SinkWriter<Owned<T>> for SenderWriter<T, Q> {
    fn write<'s>(&mut self, record: T, ctx: &mut Context<'s>) {
        self.overflow.count();
        if let Err(error) = self.put(record) {
            ctx.fail(error);
        }
    }

    fn room(&mut self) -> usize {
        self.overflow.promise(if self.waiting.is_empty() { self.queue.room() } else { 0 })
    }

    fn flush(&mut self) -> Result<()> {
        while let Some(record) = self.waiting.pop_front() {
            match self.queue.try_push(record) {
                Ok(()) => {}
                Err(Refused::Full(record)) => {
                    self.waiting.push_front(record);
                    break;
                }
                Err(Refused::Closed(_)) => return Err(closed()),
            }
        }
        Ok(())
    }

    fn barrier(&mut self, barrier: Barrier) {
        if self.waiting.is_empty() {
            self.arrived = barrier.id;
        }
    }

    fn acknowledged(&mut self) -> Acknowledged {
        if self.waiting.is_empty() { Acknowledged::Everything } else { Acknowledged::UpTo(self.arrived) }
    }

    fn measure(&self, measures: &mut Measures<'_>) {
        measures.waiting(self.waiting.len(), || "its receiver".into());
    }
}
