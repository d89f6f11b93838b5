//! The bounded queues of tokio.
//!
//! Its receiver wakes whoever has polled it, and so it can wake a slot: no thread stands between.

use std::sync::Arc;
use std::task::{Context as Polling, Poll, Wake, Waker as Woken};

use slotflow_runtime::{
    Context, Error, Output, Owned, Polled, Result, Source, SourceReader, SplitId, Splits, SubtaskContext,
    Untimed, Waker,
};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender};

use super::sender::{Queue, SenderSink};
use crate::Refused;
use crate::frames::{Taken, drain};

/// The records of a receiver of tokio, in order, read by one subtask on its slot; the source ends when all senders are
/// dropped, or the receiver was closed. A job that does not keep up holds the senders back.
///
/// ```
/// # use slotflow::prelude::*;
/// use slotflow::io::bridges::{from_tokio, to_tokio};
/// use tokio::sync::mpsc;
///
/// let ((to, records), (results, mut from)) = (mpsc::channel(16), mpsc::channel(16));
/// let env = Environment::with(Config::default());
/// env.source(from_tokio(records)).map(|n: u32| n * 2).sink(to_tokio(results));
/// let job = env.start("doubled")?;
/// let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// let doubled = runtime.block_on(async {
///     to.send(21).await.expect("the job runs");
///     drop(to);
///     from.recv().await
/// });
/// assert_eq!(doubled, Some(42));
/// job.wait()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn from_tokio<T: Send + 'static>(receiver: Receiver<T>) -> TokioSource<T> {
    TokioSource { receiver: Some(receiver) }
}

/// A sink that puts records into a bounded queue of tokio; each subtask has a clone of the sender. A full queue holds
/// the job up. A record has arrived when it is in the queue, whose receiver must not be dropped before the job has
/// ended.
///
/// See [`from_tokio`] for an example.
pub fn to_tokio<T: Send + 'static>(sender: Sender<T>) -> SenderSink<Sender<T>> {
    SenderSink::of("tokio sender", sender)
}

impl<T: Send + 'static> Queue<T> for Sender<T> {
    fn try_push(&mut self, record: T) -> Result<(), Refused<T>> {
        self.try_send(record).map_err(|refused| match refused {
            TrySendError::Full(record) => Refused::Full(record),
            TrySendError::Closed(record) => Refused::Closed(record),
        })
    }

    /// A queue that is closed has room: who writes then is told.
    fn room(&self) -> usize {
        if self.is_closed() { 1 } else { self.capacity() }
    }
}

/// See [`from_tokio`].
pub struct TokioSource<T> {
    receiver: Option<Receiver<T>>,
}

impl<T: Send + 'static> Source for TokioSource<T> {
    type Reader = TokioReader<T>;

    fn describe(&self) -> String {
        "tokio receiver".into()
    }

    fn splits(&mut self) -> Result<Splits> {
        Ok(Splits::Single)
    }

    fn open(&mut self, subtask: &SubtaskContext, _: &[SplitId]) -> Result<TokioReader<T>> {
        let receiver = self.receiver.take();
        let receiver = receiver.ok_or_else(|| Error::bug("a receiver was opened by two subtasks"))?;
        Ok(TokioReader { receiver, slot: Arc::new(SlotWaker(subtask.waker.clone())).into() })
    }
}

/// Wakes a slot in place of an executor.
struct SlotWaker(Waker);

impl Wake for SlotWaker {
    fn wake(self: Arc<Self>) {
        self.0.wake();
    }
}

/// Reads a receiver of tokio.
pub struct TokioReader<T> {
    receiver: Receiver<T>,
    slot: Woken,
}

impl<T: Send + 'static> SourceReader for TokioReader<T> {
    type Item = Owned<T>;
    type Time = Untimed;

    fn poll<'s>(
        &'s mut self,
        budget: usize,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<T>>,
    ) -> Result<Polled> {
        let TokioReader { receiver, slot } = self;
        let mut polling = Polling::from_waker(slot);
        let take = || match receiver.poll_recv(&mut polling) {
            Poll::Ready(Some(record)) => Taken::One(record),
            Poll::Ready(None) => Taken::Closed,
            Poll::Pending => Taken::Nothing,
        };
        Ok(drain(take, budget, ctx, out))
    }
}
