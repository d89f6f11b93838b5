//! What the pool says to a core, and a subtask on its way there.

use std::sync::Arc;

use super::park::Waker;
use crate::Result;
use crate::job::JobControl;
use crate::metrics::SubtaskMeter;
use crate::subtask::Subtask;

/// Makes a subtask on its slot's thread.
pub type BuildSubtask = Box<dyn FnOnce() -> Result<Box<dyn Subtask>> + Send>;

/// A subtask on its way to a slot.
pub struct Deployment {
    /// The job it belongs to.
    pub job: Arc<JobControl>,
    /// Its slot's number in the pool.
    pub slot: usize,
    /// How far downstream it is: deeper ones are stepped first.
    pub depth: usize,
    /// The operator that leads its chain, for the stall detector.
    pub operator: Arc<str>,
    /// Its number within the chain.
    pub index: usize,
    /// Makes it.
    pub build: BuildSubtask,
    /// What it is measured with.
    pub meter: Arc<SubtaskMeter>,
    /// The cores at the other ends of its edges.
    pub neighbours: Vec<Waker>,
}

/// What the pool says to a core.
pub enum Command {
    /// Steps these from now on.
    Deploy(Vec<Deployment>),
    /// Leaves once nothing is left to step.
    Exit,
}
