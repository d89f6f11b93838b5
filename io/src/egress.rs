//! Records that the host takes out on a thread of its own.
//!
//! # The protocol
//!
//! One ring for each sink subtask, which is its only writer; the handle is the only reader of all.
//! 1. A writer pushes into its ring and, at the end of its step, rings the bell the host waits at.
//! 2. A writer that is dropped counts itself out of `open`, behind its last record, and rings.
//! 3. The handle reads `open` before it reads the rings: 0 means that what they hold is all.
//! 4. A writer without room says so; the handle that makes some wakes its core. The two can miss each
//!    other here, which costs no more than the millisecond after which a blocked subtask looks again.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rtrb::{Consumer, Producer, PushError, RingBuffer};
use slotflow_runtime::{
    Acknowledged, Barrier, Context, Error, Measures, Owned, Result, Sink, SinkWriter, SubtaskContext, Waker,
};

use crate::doorbell::Doorbell;
use crate::overflow::Overflow;

/// A way out to the host: a handle to take records with and the sink that gives them. At most
/// `capacity` records (at least 1) of each sink subtask wait between the two; a host that takes none
/// holds the job up. What an operator that gives many records for one gives beyond that waits in the
/// sink, up to `edges.overflow_bytes`; more fails the job.
///
/// The handle belongs to one thread. Dropping it while the job still gives records fails the job.
///
/// ```
/// # use slotflow::{io::egress, prelude::*};
/// let env = Environment::with(Config::default());
/// let (egress, sink) = egress(64);
/// env.source(generate(1_000, |i| i)).sink(sink);
/// let job = env.start("numbers")?;
/// assert_eq!(egress.sum::<u64>(), 499_500);
/// job.wait()?;
/// # Ok::<(), Error>(())
/// ```
pub fn egress<T: Send + 'static>(capacity: usize) -> (Egress<T>, EgressSink<T>) {
    let shared = Arc::new(Shared {
        fresh: AtomicBool::new(false),
        rings: Mutex::default(),
        open: AtomicUsize::new(1),
        gone: AtomicBool::new(false),
        bell: Doorbell::default(),
    });
    let sink = EgressSink { capacity: capacity.max(1), shared: shared.clone() };
    (Egress { shared, rings: Vec::new(), turn: 0 }, sink)
}

/// What the handle and the writers know of each other.
struct Shared<T> {
    /// Whether `rings` holds any, so that the handle need not lock it each time.
    fresh: AtomicBool,
    /// The rings the handle has not seen yet.
    rings: Mutex<Vec<Ring<T>>>,
    /// How many may still push: the writers, and the sink that may open more.
    open: AtomicUsize,
    /// Whether the handle was dropped, so that nobody takes anything any more.
    gone: AtomicBool,
    bell: Doorbell,
}

impl<T> Shared<T> {
    fn close_one(&self) {
        self.open.fetch_sub(1, Ordering::AcqRel);
        self.bell.ring();
    }
}

/// The reading end of one writer's ring.
struct Ring<T> {
    records: Consumer<T>,
    /// Whether the writer waits for room.
    full: Arc<AtomicBool>,
    waker: Waker,
}

/// Why there is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nothing {
    /// None has come yet.
    Yet,
    /// None will come any more: the job has ended, or failed (its handle knows).
    More,
}

/// Takes a job's records out; see [`egress`]. Records of one sink subtask keep their order.
///
/// As an iterator it waits for each record, until none will come any more.
pub struct Egress<T> {
    shared: Arc<Shared<T>>,
    rings: Vec<Ring<T>>,
    /// The one to read first, so that none starves.
    turn: usize,
}

impl<T> Egress<T> {
    /// Takes a record if there is one. Never blocks.
    ///
    /// # Errors
    /// Whether to ask again when there is none.
    pub fn try_pop(&mut self) -> Result<T, Nothing> {
        let open = self.shared.open.load(Ordering::Acquire);
        if self.shared.fresh.load(Ordering::Relaxed) && self.shared.fresh.swap(false, Ordering::AcqRel) {
            self.rings.append(&mut self.shared.rings.lock().unwrap_or_else(PoisonError::into_inner));
        }
        for _ in 0..self.rings.len() {
            self.turn = if self.turn + 1 < self.rings.len() { self.turn + 1 } else { 0 };
            if let Some(record) = self.rings[self.turn].pop() {
                return Ok(record);
            }
        }
        Err(if open == 0 { Nothing::More } else { Nothing::Yet })
    }

    /// Takes a record, waiting for it for at most `timeout`.
    ///
    /// # Errors
    /// [`Nothing::Yet`] after the timeout, [`Nothing::More`] once none will come any more.
    pub fn recv(&mut self, timeout: Duration) -> Result<T, Nothing> {
        let shared = self.shared.clone();
        let popped = shared.bell.wait(timeout, || match self.try_pop() {
            Err(Nothing::Yet) => None,
            popped => Some(popped),
        });
        popped.unwrap_or(Err(Nothing::Yet))
    }
}

impl<T> Drop for Egress<T> {
    fn drop(&mut self) {
        self.shared.gone.store(true, Ordering::Relaxed);
    }
}

impl<T> Iterator for Egress<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.recv(Duration::MAX).ok()
    }
}

impl<T> Ring<T> {
    fn pop(&mut self) -> Option<T> {
        let record = self.records.pop().ok()?;
        if self.full.load(Ordering::Relaxed) && self.full.swap(false, Ordering::AcqRel) {
            self.waker.wake();
        }
        Some(record)
    }
}

/// The sink of an [`egress`].
pub struct EgressSink<T> {
    capacity: usize,
    shared: Arc<Shared<T>>,
}

impl<T> Drop for EgressSink<T> {
    fn drop(&mut self) {
        self.shared.close_one();
    }
}

impl<T: Send + 'static> Sink<Owned<T>> for EgressSink<T> {
    type Writer = EgressWriter<T>;

    fn describe(&self) -> String {
        "egress".into()
    }

    fn open(&mut self, subtask: &SubtaskContext) -> Result<EgressWriter<T>> {
        let (records, waiting) = RingBuffer::new(self.capacity);
        let full = Arc::new(AtomicBool::new(false));
        let ring = Ring { records: waiting, full: full.clone(), waker: subtask.waker.clone() };
        self.shared.open.fetch_add(1, Ordering::AcqRel);
        self.shared.rings.lock().unwrap_or_else(PoisonError::into_inner).push(ring);
        self.shared.fresh.store(true, Ordering::Release);
        Ok(EgressWriter {
            records,
            waiting: VecDeque::new(),
            overflow: Overflow::new(subtask.overflow_bytes),
            full,
            arrived: 0,
            pushed: false,
            shared: self.shared.clone(),
        })
    }
}

/// Writes one subtask's records.
pub struct EgressWriter<T> {
    records: Producer<T>,
    /// What one step gave beyond the room; holds up the next step.
    waiting: VecDeque<T>,
    overflow: Overflow,
    full: Arc<AtomicBool>,
    /// The last barrier in front of which nothing waits.
    arrived: u64,
    /// Whether the bell has to be rung.
    pushed: bool,
    shared: Arc<Shared<T>>,
}

impl<T> EgressWriter<T> {
    /// Moves what fits of the records that wait.
    fn settle(&mut self) {
        while let Some(record) = self.waiting.pop_front() {
            if let Err(PushError::Full(record)) = self.records.push(record) {
                return self.waiting.push_front(record);
            }
            self.pushed = true;
        }
    }

    /// Keeps a record for which there is no room.
    #[cold]
    fn keep(&mut self, record: T) -> Result<()> {
        self.overflow.wait(size_of::<T>().max(1))?;
        self.waiting.push_back(record);
        Ok(())
    }
}

impl<T: Send + 'static> SinkWriter<Owned<T>> for EgressWriter<T> {
    fn write<'s>(&mut self, record: T, ctx: &mut Context<'s>) {
        self.pushed = true;
        self.overflow.count();
        let full =
            if self.waiting.is_empty() { self.records.push(record) } else { Err(PushError::Full(record)) };
        if let Err(PushError::Full(record)) = full
            && let Err(error) = self.keep(record)
        {
            ctx.fail(error);
        }
    }

    fn room(&mut self) -> usize {
        let room = if self.waiting.is_empty() { self.records.slots() } else { 0 };
        if room == 0 {
            self.full.store(true, Ordering::Release);
        }
        self.overflow.promise(room)
    }

    fn flush(&mut self) -> Result<()> {
        self.settle();
        if std::mem::take(&mut self.pushed) {
            self.shared.bell.ring();
        }
        if self.shared.gone.load(Ordering::Relaxed) {
            let remedy = "keep the Egress until it gives no more, or stop the job before dropping it";
            return Err(Error::user(format!("the egress handle was dropped: {remedy}")));
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
        measures.waiting(self.waiting.len(), || "whoever takes from its egress".into());
    }
}

impl<T> Drop for EgressWriter<T> {
    fn drop(&mut self) {
        self.shared.close_one();
    }
}
