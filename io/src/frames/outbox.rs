//! From a slot that may not wait to a thread that writes.
//!
//! # The way of a record
//!
//! 1. The slot appends the record's frame to what is staged. At the end of the step that goes to the thread, in front
//!    of which a bounded queue lies; where the queue is full it stays staged, and what comes is appended to it.
//! 2. A barrier goes through the same queue, behind the records in front of it.
//! 3. The thread notes how many blocks have arrived for good, and which barrier, and wakes the slot: there is room now,
//!    or something to acknowledge.
//! 4. More than a block that is staged is backpressure. What an operator expands beyond that is bounded by
//!    [`Overflow`].

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use slotflow_runtime::{
    Acknowledged, Barrier, Context, Error, Family, Measures, Result, SinkWriter, SubtaskContext, Waker,
};

use super::{BLOCK_BYTES, Framing};
use crate::overflow::Overflow;

/// How many blocks may wait in front of the thread (a guess: one that is written and some that follow).
const BLOCKS: usize = 4;

/// How many records are let in at once while there is room (a guess: a block of records of 64 bytes).
const RECORDS: usize = 1024;

/// What a writing thread is told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Order<B = Vec<u8>> {
    /// Write this block of records.
    Write(B),
    /// Everything before this has to arrive before the barrier of this number has.
    Barrier(u64),
    /// Nothing more is meant to come: wait no longer for anything.
    Close,
}

/// What a writing thread says.
pub(crate) struct Progress {
    /// How many blocks have arrived for good.
    arrived: AtomicU64,
    /// The last barrier that has.
    barrier: AtomicU64,
    failed: AtomicBool,
    failure: Mutex<Option<Error>>,
    waker: Waker,
}

impl Progress {
    /// The slot has something to look at: perhaps only room.
    pub fn wake(&self) {
        self.waker.wake();
    }

    /// All before this barrier has arrived, and so many blocks from the first.
    pub fn arrive(&self, blocks: u64, barrier: u64) {
        self.barrier.store(barrier, Ordering::Release);
        self.arrived.store(blocks, Ordering::Release);
        self.wake();
    }

    /// How many blocks have arrived for good, and the last barrier that has.
    pub fn arrived(&self) -> (u64, u64) {
        (self.arrived.load(Ordering::Acquire), self.barrier.load(Ordering::Acquire))
    }

    /// Nothing more can be written.
    pub fn fail(&self, error: Error) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        self.failed.store(true, Ordering::Release);
        self.wake();
    }

    /// What it failed with; told once.
    fn failure(&self) -> Option<Error> {
        let failed = self.failed.load(Ordering::Acquire);
        failed.then(|| self.failure.lock().unwrap_or_else(PoisonError::into_inner).take())?
    }
}

/// The slot's end of the way to a thread: blocks and barriers, in order.
pub(crate) struct Outbox<B> {
    to: SyncSender<Order<B>>,
    /// Orders that found the queue full.
    waiting: VecDeque<Order<B>>,
    /// How many blocks have been ordered.
    ordered: u64,
    /// How many records each block has that has not arrived.
    under_way: VecDeque<usize>,
    progress: Arc<Progress>,
}

impl<B> Outbox<B> {
    /// An outbox, and both of the thread's ends.
    pub fn new(subtask: &SubtaskContext) -> (Outbox<B>, Receiver<Order<B>>, Arc<Progress>) {
        let (to, orders) = sync_channel(BLOCKS);
        let progress = Arc::new(Progress {
            arrived: AtomicU64::new(0),
            barrier: AtomicU64::new(0),
            failed: AtomicBool::new(false),
            failure: Mutex::default(),
            waker: subtask.waker.clone(),
        });
        let (waiting, under_way) = (VecDeque::new(), VecDeque::new());
        let outbox = Outbox { to, waiting, ordered: 0, under_way, progress: progress.clone() };
        (outbox, orders, progress)
    }

    /// Whether the queue has taken all orders.
    pub fn is_settled(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The end of a step: hands over what the queue takes, and what is staged, with how many records
    /// there are in it, when there is nothing in front of it.
    pub fn flush(&mut self, staged: impl FnOnce() -> Option<(B, usize)>) -> Result<()> {
        self.settle()?;
        if self.is_settled() {
            self.order(staged());
            self.settle()?;
        }
        Ok(())
    }

    /// A barrier comes, behind what is staged.
    pub fn barrier(&mut self, barrier: Barrier, staged: Option<(B, usize)>) {
        self.order(staged);
        self.waiting.push_back(Order::Barrier(barrier.id));
    }

    /// Nothing more is meant to come behind what is staged.
    pub fn close(&mut self, staged: Option<(B, usize)>) {
        self.order(staged);
        self.waiting.push_back(Order::Close);
    }

    fn order(&mut self, block: Option<(B, usize)>) {
        let Some((block, records)) = block else { return };
        self.ordered += 1;
        self.under_way.push_back(records);
        self.waiting.push_back(Order::Write(block));
    }

    /// Hands over what the queue takes, and looks whether the thread has failed.
    fn settle(&mut self) -> Result<()> {
        if let Some(error) = self.progress.failure() {
            return Err(error);
        }
        while let Some(order) = self.waiting.pop_front() {
            match self.to.try_send(order) {
                Ok(()) => {}
                Err(TrySendError::Full(order)) => {
                    self.waiting.push_front(order);
                    return Ok(());
                }
                Err(TrySendError::Disconnected(_)) => return Err(self.ended()),
            }
        }
        Ok(())
    }

    fn ended(&self) -> Error {
        let gone = || Error::bug("the thread that writes for a sink has ended without a word");
        self.progress.failure().unwrap_or_else(gone)
    }

    /// What has arrived for good, where so much has no order yet.
    pub fn acknowledged(&mut self, staged: usize) -> Acknowledged {
        let (blocks, barrier) = self.progress.arrived();
        self.under_way.drain(..self.under_way.len() - (self.ordered - blocks) as usize);
        if staged == 0 && self.is_settled() && self.under_way.is_empty() {
            Acknowledged::Everything
        } else {
            Acknowledged::UpTo(barrier)
        }
    }

    /// Tells how many records wait: these, which are staged, and those of blocks that have not arrived.
    pub fn measure(&self, staged: usize, measures: &mut Measures<'_>) {
        let records = staged + self.under_way.iter().sum::<usize>();
        measures.waiting(records, || "the thread that writes, or the other side".into());
    }
}

/// Writes one subtask's records through a thread of its own.
pub struct FrameWriter {
    framing: Framing,
    /// Frames that no order holds yet.
    staged: Vec<u8>,
    /// How many records they are of.
    records: usize,
    outbox: Outbox<Vec<u8>>,
    overflow: Overflow,
    /// What ends the thread, beside a queue that nobody fills, when it goes.
    _ends: Option<Box<dyn Send>>,
}

impl FrameWriter {
    /// A writer, and both of the thread's ends.
    pub(crate) fn new(
        framing: Framing,
        subtask: &SubtaskContext,
    ) -> (FrameWriter, Receiver<Order>, Arc<Progress>) {
        let (outbox, orders, progress) = Outbox::new(subtask);
        let (staged, overflow) = (Vec::new(), Overflow::new(subtask.overflow_bytes));
        (FrameWriter { framing, staged, records: 0, outbox, overflow, _ends: None }, orders, progress)
    }

    /// Drops `ends` with itself.
    pub(crate) fn ending(self, ends: impl Send + 'static) -> FrameWriter {
        FrameWriter { _ends: Some(Box::new(ends)), ..self }
    }

    fn stage(&mut self, frame: &[u8]) -> Result<()> {
        self.overflow.count();
        self.framing.write(frame, &mut self.staged).map_err(Error::user)?;
        self.records += 1;
        if self.staged.len() > BLOCK_BYTES { self.overflow.wait(frame.len()) } else { Ok(()) }
    }
}

/// The frames that are staged, if any are, and of how many records.
fn taken(staged: &mut Vec<u8>, records: &mut usize) -> Option<(Vec<u8>, usize)> {
    (!staged.is_empty()).then(|| (std::mem::take(staged), std::mem::take(records)))
}

impl<F: Family> SinkWriter<F> for FrameWriter
where
    for<'s> F::Of<'s>: AsRef<[u8]>,
{
    fn write<'s>(&mut self, record: F::Of<'s>, ctx: &mut Context<'s>) {
        if let Err(error) = self.stage(record.as_ref()) {
            ctx.fail(error);
        }
    }

    fn room(&mut self) -> usize {
        let has_room = self.outbox.is_settled() && self.staged.len() < BLOCK_BYTES;
        self.overflow.promise(if has_room { RECORDS } else { 0 })
    }

    fn flush(&mut self) -> Result<()> {
        self.outbox.flush(|| taken(&mut self.staged, &mut self.records))
    }

    fn barrier(&mut self, barrier: Barrier) {
        self.outbox.barrier(barrier, taken(&mut self.staged, &mut self.records));
    }

    fn close(&mut self) {
        self.outbox.close(taken(&mut self.staged, &mut self.records));
    }

    fn acknowledged(&mut self) -> Acknowledged {
        self.outbox.acknowledged(self.staged.len())
    }

    fn measure(&self, measures: &mut Measures<'_>) {
        self.outbox.measure(self.records, measures);
    }
}

#[cfg(test)]
mod tests {
    use slotflow_runtime::testing::subtask;
    use slotflow_runtime::{Arena, Blame, Borrowed};

    use super::*;

    type Lines = Borrowed<[u8]>;

    fn write(writer: &mut FrameWriter, lines: usize) -> Option<Error> {
        let (arena, blame, place) = (Arena::new(), Blame::default(), subtask());
        let mut ctx = Context::new(&arena, &place, &blame, 1);
        (0..lines).for_each(|_| SinkWriter::<Lines>::write(writer, &[b'x'; 99], &mut ctx));
        ctx.into_error()
    }

    fn acknowledged(writer: &mut FrameWriter) -> Acknowledged {
        SinkWriter::<Lines>::flush(writer).unwrap();
        SinkWriter::<Lines>::acknowledged(writer)
    }

    #[test]
    fn a_barrier_has_arrived_when_the_thread_says_so_and_never_before_its_records() {
        let (mut writer, orders, progress) = FrameWriter::new(Framing::lines(), &subtask());
        assert_eq!(acknowledged(&mut writer), Acknowledged::Everything);
        assert!(write(&mut writer, 1).is_none());
        SinkWriter::<Lines>::barrier(&mut writer, Barrier { id: 7 });
        assert!(write(&mut writer, 1).is_none());
        assert_eq!(acknowledged(&mut writer), Acknowledged::UpTo(0));
        let got: Vec<Order> = orders.try_iter().collect();
        assert!(matches!(&got[..], [Order::Write(_), Order::Barrier(7), Order::Write(_)]), "{got:?}");
        progress.arrive(1, 7);
        assert_eq!(acknowledged(&mut writer), Acknowledged::UpTo(7));
        progress.arrive(2, 7);
        assert_eq!(acknowledged(&mut writer), Acknowledged::Everything);
    }

    #[test]
    fn a_thread_that_does_not_keep_up_holds_records_back_and_what_expands_is_bounded() {
        let place = SubtaskContext { overflow_bytes: 10_000, ..subtask() };
        let (mut writer, orders, _progress) = FrameWriter::new(Framing::lines(), &place);
        let mut lines = 0;
        loop {
            let room = SinkWriter::<Lines>::room(&mut writer);
            if room == 0 {
                break;
            }
            assert!(write(&mut writer, room).is_none());
            SinkWriter::<Lines>::flush(&mut writer).unwrap();
            lines += room;
        }
        let most = (BLOCKS + 1) * (BLOCK_BYTES + RECORDS * 100) / 100;
        assert!(lines <= most, "{lines} are more than the queue, and what is staged");
        let error = write(&mut writer, 1_000).unwrap().to_string();
        assert!(error.contains("more than edges.overflow_bytes = 10000"), "{error}");
        drop(orders);
        let ended = SinkWriter::<Lines>::flush(&mut writer).unwrap_err().to_string();
        assert!(ended.contains("has ended without a word"), "{ended}");
    }
}
