//! The handle of a running job.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::control::{JobControl, Phase};
use super::left::Left;
use super::shares::SlotMetrics;
use super::snapshot::JobMetrics;
use super::view::View;
use crate::install::Installed;
use crate::plan::Plan;
use crate::slot::Slots;
use crate::{Clock, Result};

/// The longest single wait for a job's end; a longer one is made of several.
const LOOK: Duration = Duration::from_secs(60);

/// What belongs to a running job besides its control.
pub(super) struct Parts {
    pub plan: Arc<Plan>,
    pub installed: Installed,
    pub slots: Slots,
    /// The pool's number of each of the job's slots.
    pub lease: Vec<usize>,
    /// How long to wait for steps that are under way.
    pub leave_timeout: Duration,
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All its sources ended by themselves.
    Finished,
    /// It was drained: everything read has been processed, flushed and committed.
    Drained,
    /// It was stopped: what was acknowledged is committed, the rest discarded.
    Stopped,
    /// It was aborted: nothing more was committed.
    Aborted,
}

/// What a job says when it has ended.
#[derive(Clone, Debug)]
pub struct JobReport {
    /// The job's name.
    pub job: String,
    /// How it ended.
    pub ending: Ending,
    /// From its start to its end.
    pub took: Duration,
    /// Records that came into the job from its sources.
    pub records: u64,
    /// Subtasks that were not done when the job was cut off, with their slot; or a commit that had no answer yet, and
    /// goes on without the handle.
    pub unfinished: Vec<String>,
    /// What was still in hand when the job ended; see [`Left`].
    pub left: Vec<Left>,
}

impl fmt::Display for JobReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let JobReport { job, ending, took, records, unfinished, left } = self;
        let ending = format!("{ending:?}").to_lowercase();
        write!(f, "job \"{job}\" {ending} after {:.3} s with {records} records", took.as_secs_f64())?;
        if !unfinished.is_empty() {
            write!(f, "; not done: {}", unfinished.join(", "))?;
        }
        left.iter().try_for_each(|left| write!(f, "; {left}"))
    }
}

/// A running job. Dropping the handle stops the job.
///
/// The methods are for the host's threads; they wait, so never call them from an operator.
pub struct Job {
    control: Arc<JobControl>,
    parts: Parts,
    clock: Clock,
    started: Instant,
    started_ns: u64,
    /// Its slots as they were when it started: what came before is not the job's.
    slots_before: Vec<SlotMetrics>,
    /// Whether it was waited for already: what did not leave then is left.
    waited: Cell<bool>,
}

impl Job {
    pub(super) fn new(control: Arc<JobControl>, parts: Parts, clock: Clock) -> Job {
        let started_ns = clock.now_ns();
        let slots_before = parts.lease.iter().map(|slot| parts.slots.slot_metrics(*slot)).collect();
        let (started, waited) = (Instant::now(), Cell::new(false));
        Job { control, parts, clock, started, started_ns, slots_before, waited }
    }

    /// The job's name.
    pub fn name(&self) -> &str {
        &self.control.name
    }

    /// How the job runs.
    pub fn plan(&self) -> &Plan {
        &self.parts.plan
    }

    /// Whether the job has ended, in whatever way.
    pub fn has_ended(&self) -> bool {
        self.control.is_closed()
    }

    /// What the job has measured so far.
    pub fn metrics(&self) -> JobMetrics {
        let Parts { plan, installed, slots, lease, .. } = &self.parts;
        let now_ns = self.clock.now_ns();
        let mut metrics = JobMetrics::new(plan, installed, slots, lease, self.started_ns, now_ns);
        metrics.slots.iter_mut().zip(&self.slots_before).for_each(|(now, then)| *now = now.since(then));
        metrics
    }

    /// Waits until the job has ended, in whatever way, but at most `timeout`; says whether it has.
    pub fn ends_within(&self, timeout: Duration) -> bool {
        self.leave_within(timeout);
        self.control.is_closed()
    }

    /// A live view of the job: what it did since the last look, in words and numbers.
    pub fn view(&self) -> View<'_> {
        View::new(self)
    }

    /// Waits until the job ends by itself.
    ///
    /// # Errors
    /// What made it fail: the operator, the subtask and the cause.
    pub fn wait(self) -> Result<JobReport> {
        while !self.control.is_closed() {
            self.control.wait_closed(Duration::from_secs(1));
        }
        self.report(Ending::Finished)
    }

    /// Ends the sources, lets everything in flight go through, be flushed and committed. What is not
    /// done by the deadline is stopped, and the report names it.
    ///
    /// # Errors
    /// What made the job fail before or while it was drained.
    pub fn drain(self, deadline: Duration) -> Result<JobReport> {
        self.control.advance(Phase::Draining);
        self.leave_within(deadline);
        if self.control.is_closed() {
            return self.report(Ending::Drained);
        }
        let unfinished = self.unfinished();
        let mut report = self.stop()?;
        report.unfinished = unfinished;
        Ok(report)
    }

    /// Stops at once: what is acknowledged is committed, what is in flight is discarded and will be
    /// read again. Waits `job.leave_timeout_ms` for steps and commits that are under way; the report names those that
    /// took longer.
    ///
    /// # Errors
    /// What made the job fail before it was stopped.
    pub fn stop(self) -> Result<JobReport> {
        self.leave(Phase::Stopping, Ending::Stopped)
    }

    /// Stops at once and commits nothing more.
    ///
    /// # Errors
    /// What made the job fail before it was aborted.
    pub fn abort(self) -> Result<JobReport> {
        self.leave(Phase::Aborting, Ending::Aborted)
    }

    /// Why the job is slow, in words: an operator, a neighbour in its slot, or the machine.
    pub fn why_slow(&self) -> String {
        self.metrics().why_slow()
    }

    fn leave(self, phase: Phase, ending: Ending) -> Result<JobReport> {
        self.control.advance(phase);
        self.wait_once();
        self.report(ending)
    }

    /// Waits for steps that are under way, once in the handle's life.
    fn wait_once(&self) {
        if !self.waited.replace(true) {
            self.leave_within(self.parts.leave_timeout);
        }
    }

    /// Waits for the job's end, at most this long; however long that is.
    fn leave_within(&self, timeout: Duration) {
        let began = Instant::now();
        while !self.control.is_closed() {
            let left = timeout.saturating_sub(began.elapsed());
            if left.is_zero() {
                return;
            }
            self.control.wait_closed(left.min(LOOK));
        }
    }

    fn report(self, ending: Ending) -> Result<JobReport> {
        if let Some(error) = self.control.take_failure() {
            return Err(error);
        }
        // Looked at first: what has ended meanwhile is not named.
        let unfinished = self.unfinished();
        let unfinished = if self.control.is_closed() { Vec::new() } else { unfinished };
        let metrics = self.metrics();
        Ok(JobReport {
            job: self.control.name.clone(),
            ending,
            took: self.started.elapsed(),
            records: metrics.records_in(),
            unfinished,
            left: Left::all(&metrics, ending),
        })
    }

    /// What the job's slots are busy with, or its own thread.
    fn unfinished(&self) -> Vec<String> {
        let Parts { slots, lease, .. } = &self.parts;
        let mut running = slots.running(lease);
        if running.is_empty() {
            running.push(match self.control.remaining() {
                0 => "a commit that is still under way".into(),
                subtasks => format!("{subtasks} subtasks that wait for others"),
            });
        }
        running
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if !self.control.is_closed() {
            self.control.advance(Phase::Stopping);
            self.wait_once();
        }
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("name", &self.control.name).field("phase", &self.control.phase()).finish()
    }
}
