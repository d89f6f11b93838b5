//! What the state of one subtask's operator takes, and may take.

use crate::metrics::Count;
use crate::{Error, Result};

/// Measures the state of one subtask. Written by the operators of its chain, on its slot; read by anybody.
///
/// Made for each subtask by the engine, with the setting `state.budget_bytes`.
///
/// ```
/// use slotflow_runtime::StateMeter;
///
/// let meter = StateMeter::within(Some(1_000));
/// assert!(meter.report((0, 0), (7, 900)).is_ok());
/// assert_eq!((meter.keys(), meter.bytes()), (7, 900));
/// assert!(meter.report((7, 900), (9, 1_100)).is_err());
/// ```
#[derive(Debug, Default)]
pub struct StateMeter {
    budget_bytes: Option<usize>,
    keys: Count,
    bytes: Count,
}

impl StateMeter {
    /// A meter of nothing yet, that may become at most `budget_bytes`; `None` for any amount.
    pub fn within(budget_bytes: Option<usize>) -> StateMeter {
        StateMeter { budget_bytes, ..StateMeter::default() }
    }

    /// Keys that have state.
    pub fn keys(&self) -> usize {
        self.keys.value() as usize
    }

    /// What all of it takes.
    pub fn bytes(&self) -> usize {
        self.bytes.value() as usize
    }

    /// An operator's keys and bytes are no longer `before` but `now`. Called by the subtask.
    ///
    /// # Errors
    /// All together are more than the budget; the operator then fails the job with this.
    pub fn report(&self, before: (usize, usize), now: (usize, usize)) -> Result<()> {
        self.keys.set((self.keys() + now.0 - before.0) as u64);
        self.bytes.set((self.bytes() + now.1 - before.1) as u64);
        let (keys, bytes) = (self.keys(), self.bytes());
        match self.budget_bytes {
            Some(budget) if bytes > budget => Err(Error::world(
                format!(
                    "the state of {keys} keys takes {bytes} bytes, more than state.budget_bytes = {budget} allows"
                ),
                "raise it, give states a time to live, or raise the operator's parallelism",
            )),
            _ => Ok(()),
        }
    }
}
