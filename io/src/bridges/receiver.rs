//! What a receiver of the standard library gives.
//!
//! Nobody can be woken by such a receiver but a thread that waits at it. So one does, on the I/O cores, and hands on
//! what comes; it looks now and then whether anybody still wants it.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Weak};
use std::time::Duration;

use slotflow_runtime::{
    Context, Error, Output, Owned, Polled, Result, Source, SourceReader, SplitId, Splits, SubtaskContext,
    Untimed,
};

use crate::frames::{Fed, Feeder, drain, feed};

/// How many records wait for the slot (a guess: a step's worth; the queue itself is the host's to bound).
const RECORDS: usize = 1024;

/// After so long without a record the thread looks whether the job is there still.
const LOOK: Duration = Duration::from_millis(500);

/// The records of a receiver, in order, read by one subtask; the source ends when all senders are dropped. Where the
/// queue is bounded, a job that does not keep up holds the senders back.
///
/// ```
/// # use slotflow::prelude::*;
/// use std::sync::mpsc::sync_channel;
/// use slotflow::io::bridges::{from_receiver, to_sender};
///
/// let ((to, records), (results, from)) = (sync_channel(16), sync_channel(16));
/// let env = Environment::with(Config::default());
/// env.source(from_receiver(records)).map(|n: u32| n * 2).sink(to_sender(results));
/// let job = env.start("doubled")?;
/// (1..=3).for_each(|n| to.send(n).expect("the job runs"));
/// drop(to);
/// assert_eq!(from.iter().collect::<Vec<u32>>(), [2, 4, 6]);
/// job.wait()?;
/// # Ok::<(), Error>(())
/// ```
pub fn from_receiver<T: Send + 'static>(receiver: Receiver<T>) -> ReceiverSource<T> {
    ReceiverSource { receiver: Some(receiver) }
}

/// See [`from_receiver`].
pub struct ReceiverSource<T> {
    receiver: Option<Receiver<T>>,
}

impl<T: Send + 'static> Source for ReceiverSource<T> {
    type Reader = ReceiverReader<T>;

    fn describe(&self) -> String {
        "receiver".into()
    }

    fn splits(&mut self) -> Result<Splits> {
        Ok(Splits::Single)
    }

    fn open(&mut self, subtask: &SubtaskContext, _: &[SplitId]) -> Result<ReceiverReader<T>> {
        let receiver = self.receiver.take();
        let receiver = receiver.ok_or_else(|| Error::bug("a receiver was opened by two subtasks"))?;
        let (to, fed) = feed(RECORDS, subtask.waker.clone());
        let wanted = Arc::new(());
        let by = Arc::downgrade(&wanted);
        subtask.io.spawn("slotflow-receiver", move || hand_on(&receiver, &to, &by))?;
        Ok(ReceiverReader { fed, _wanted: wanted })
    }
}

/// Hands records on until there are no more, or nobody who wants them.
fn hand_on<T>(receiver: &Receiver<T>, to: &Feeder<T>, by: &Weak<()>) {
    loop {
        let wanted = match receiver.recv_timeout(LOOK) {
            Ok(record) => to.give(record).is_ok(),
            Err(RecvTimeoutError::Timeout) => by.strong_count() > 0,
            // The reader learns of it when this end is dropped.
            Err(RecvTimeoutError::Disconnected) => false,
        };
        if !wanted {
            return;
        }
    }
}

/// Reads what was handed on.
pub struct ReceiverReader<T> {
    fed: Fed<T>,
    _wanted: Arc<()>,
}

impl<T: Send + 'static> SourceReader for ReceiverReader<T> {
    type Item = Owned<T>;
    type Time = Untimed;

    fn poll<'s>(
        &'s mut self,
        budget: usize,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<T>>,
    ) -> Result<Polled> {
        Ok(drain(|| self.fed.take(), budget, ctx, out))
    }
}
