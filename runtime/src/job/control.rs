//! What a job's subtasks, its own thread and its handle share.

use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::slot::Waker;
use crate::{Error, Offsets};

/// How a job goes on. Later ones win.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// Sources read.
    Running = 0,
    /// Sources have stopped; what is in flight goes through.
    Draining = 1,
    /// What is acknowledged is committed, the rest discarded.
    Stopping = 2,
    /// Everything is discarded.
    Aborting = 3,
}

impl Phase {
    fn from_u8(value: u8) -> Phase {
        match value {
            0 => Phase::Running,
            1 => Phase::Draining,
            2 => Phase::Stopping,
            _ => Phase::Aborting,
        }
    }
}

/// A source subtask's word about its positions.
#[derive(Debug)]
pub struct Report {
    /// The source subtask's number in the job.
    pub source: usize,
    /// The barrier they belong to; `None` at the source's end.
    pub barrier: Option<u64>,
    /// Where to read on.
    pub offsets: Offsets,
}

/// The last barrier whose records have all arrived at one sink subtask.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Arrivals(AtomicU64);

impl Arrivals {
    /// Called by the sink's subtask, after it has seen the acknowledgements.
    pub fn set(&self, barrier: u64) {
        if self.0.load(Ordering::Relaxed) != barrier {
            self.0.store(barrier, Ordering::Release);
        }
    }

    /// Called by the job's own thread.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// The shared state of a job. Nothing in it makes a slot wait: a slot reads and writes atomics, and
/// takes the lock only when it fails or when a subtask is done.
pub struct JobControl {
    /// The job's name.
    pub name: String,
    phase: AtomicU8,
    barrier: AtomicU64,
    /// Subtasks that are not done yet.
    remaining: AtomicUsize,
    reports: Sender<Report>,
    outcome: Mutex<Outcome>,
    changed: Condvar,
    wakers: Mutex<Vec<Waker>>,
}

#[derive(Default)]
struct Outcome {
    failure: Option<Error>,
    /// Set when the job's own thread has committed what there was to commit.
    closed: bool,
}

impl JobControl {
    /// The state of a job with `subtasks`, and where its sources' reports arrive.
    pub fn new(name: &str, subtasks: usize) -> (Arc<JobControl>, Receiver<Report>) {
        let (reports, inbox) = channel();
        let control = JobControl {
            name: name.into(),
            phase: AtomicU8::new(Phase::Running as u8),
            barrier: AtomicU64::new(0),
            remaining: AtomicUsize::new(subtasks),
            reports,
            outcome: Mutex::default(),
            changed: Condvar::new(),
            wakers: Mutex::default(),
        };
        (Arc::new(control), inbox)
    }

    /// Where the job is.
    #[inline]
    pub fn phase(&self) -> Phase {
        Phase::from_u8(self.phase.load(Ordering::Acquire))
    }

    /// Moves the job on and wakes its slots; going back is not possible.
    pub fn advance(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::AcqRel);
        self.wake();
    }

    /// Whether sources should end. A job that is stopped or has failed does not end its sources: what was in flight
    /// is discarded, and an end would let operators and sinks finish what is not whole.
    #[inline]
    pub fn is_draining(&self) -> bool {
        self.phase() == Phase::Draining
    }

    /// Whether subtasks should be dropped.
    #[inline]
    pub fn is_over(&self) -> bool {
        self.phase() >= Phase::Stopping
    }

    /// The barrier that sources should have injected.
    #[inline]
    pub fn requested_barrier(&self) -> u64 {
        self.barrier.load(Ordering::Acquire)
    }

    /// Asks the sources for barrier `id`.
    pub fn request_barrier(&self, id: u64) {
        self.barrier.store(id, Ordering::Release);
        self.wake();
    }

    /// A source injected `barrier` behind these offsets.
    pub fn report_offsets(&self, source: usize, barrier: u64, offsets: Offsets) {
        self.report(Report { source, barrier: Some(barrier), offsets });
    }

    /// A source ended at these offsets.
    pub fn report_end(&self, source: usize, offsets: Offsets) {
        self.report(Report { source, barrier: None, offsets });
    }

    fn report(&self, report: Report) {
        // The receiver is gone only when the job is over, and then nobody commits any more.
        let _over = self.reports.send(report);
    }

    /// Stops the job because of `error`; the first one counts.
    pub fn fail(&self, error: Error) {
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        outcome.failure.get_or_insert(error);
        drop(outcome);
        self.advance(Phase::Stopping);
        self.changed.notify_all();
    }

    /// Whether an error has been noted.
    pub fn has_failed(&self) -> bool {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).failure.is_some()
    }

    /// Takes the error, for the one who reports it.
    pub fn take_failure(&self) -> Option<Error> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).failure.take()
    }

    /// A subtask is done or dropped.
    pub fn subtask_gone(&self) {
        if self.remaining.fetch_sub(1, Ordering::AcqRel) == 1 {
            let _guard = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
            self.changed.notify_all();
        }
    }

    /// How many subtasks are not gone yet.
    pub fn remaining(&self) -> usize {
        self.remaining.load(Ordering::Acquire)
    }

    /// The job's own thread has finished its work.
    pub fn close(&self) {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.changed.notify_all();
    }

    /// Whether [`close`](JobControl::close) was called.
    pub fn is_closed(&self) -> bool {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).closed
    }

    /// Waits until a subtask is gone or the job fails, at most `timeout`.
    pub fn wait(&self, timeout: Duration) {
        let outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        if self.remaining() > 0 {
            drop(self.changed.wait_timeout(outcome, timeout));
        }
    }

    /// Waits until the job's own thread has finished, at most `timeout`.
    pub fn wait_closed(&self, timeout: Duration) {
        let outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        if !outcome.closed {
            drop(self.changed.wait_timeout(outcome, timeout));
        }
    }

    /// Which cores to wake when the job is asked something.
    pub fn set_wakers(&self, wakers: Vec<Waker>) {
        *self.wakers.lock().unwrap_or_else(PoisonError::into_inner) = wakers;
    }

    fn wake(&self) {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(Waker::wake);
    }
}
