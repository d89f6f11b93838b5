//! A subtask in its seat on a core, and the books that are kept about it.

use std::sync::Arc;

use super::pace::Pace;
use super::park::Waker;
use super::pulse::Pulse;
use super::watch::Watch;
use crate::job::JobControl;
use crate::metrics::SubtaskMeter;
use crate::subtask::{Step, Subtask, Turn};

/// A subtask in its seat.
pub(super) struct Seated {
    pub(super) job: Arc<JobControl>,
    /// Its slot's number in the pool.
    pub(super) slot: usize,
    pub(super) depth: usize,
    pub(super) subtask: Box<dyn Subtask>,
    pub(super) meter: Arc<SubtaskMeter>,
    pub(super) pace: Pace,
    pub(super) neighbours: Vec<Waker>,
    /// The number under which the stall detector knows it.
    pub(super) label: usize,
    /// The operator that leads its chain.
    pub(super) operator: Arc<str>,
    /// Its number within the chain.
    pub(super) index: usize,
    /// When its last step ended, if that step made progress; 0 otherwise.
    pub(super) ready_since_ns: u64,
}

impl Seated {
    /// What it is doing, for somebody who waits for the job in vain.
    pub(super) fn describe(&self, pulse: &Pulse) -> String {
        let state = match (self.meter.blocked_since_ns.value(), self.ready_since_ns) {
            (0, 0) => "idle",
            (0, _) => "ready",
            _ => "blocked",
        };
        format!("{} is {state} after {} records", pulse.label(self.label), self.meter.records.value())
    }

    /// Steps the subtask and books the time; `now_ns` moves on if the step did something.
    pub(super) fn step(&mut self, now_ns: &mut u64, watch: &mut Watch) -> Step {
        let began_ns = *now_ns;
        let blocked_since_ns = self.meter.blocked_since_ns.value();
        if blocked_since_ns != 0 {
            self.meter.blocked_since_ns.set(0);
            self.meter.blocked_ns.add(began_ns - blocked_since_ns);
        }
        let step = self.subtask.step(Turn { now_ns: began_ns, budget: self.pace.budget() });
        match step {
            Step::Progress(records) => {
                *now_ns = watch.now_ns();
                let took_ns = *now_ns - began_ns;
                if self.ready_since_ns != 0 && records > 0 {
                    self.meter.waited_ns.add(began_ns - self.ready_since_ns);
                }
                self.ready_since_ns = *now_ns;
                self.meter.busy_ns.add(took_ns);
                self.meter.step_max_ns.raise(took_ns);
                self.pace.learn(records, took_ns);
            }
            Step::Blocked(_) => {
                self.meter.blocked_since_ns.set(began_ns);
                self.ready_since_ns = 0;
            }
            _ => self.ready_since_ns = 0,
        }
        step
    }
}
