//! What a job had in hand when it ended.

use std::fmt;

use super::handle::Ending;
use super::snapshot::{JobMetrics, SubtaskMetrics};

/// What one subtask's operator, or what is in front of a subtask, had in hand when the job ended, and lost with it.
///
/// A job that is drained in time has none but state: event time does not end there, so windows and timers that wait for
/// it never fire. One that is cut off, at a drain's deadline or by a stop, also loses the records that were on their
/// way. Where the source commits offsets, they are read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// The operator's name; that of the whole chain for what lay in front of it.
    pub operator: String,
    /// The subtask's number.
    pub subtask: usize,
    /// Records that were sent to it and that it did not take, in the rings in front of it or on their way there; or
    /// that it held because it waited for somebody outside. All of them, also such as another core has sent after it
    /// had gone. At the least only where subtasks are still there, which
    /// [`unfinished`](super::JobReport::unfinished) names: nothing lies in front of one that may take it yet, and
    /// behind one that may send more only what had arrived before the reader went.
    pub records: u64,
    /// Keys that had state; a key of windows counts once for each stretch of time that had something of it. 0 at the
    /// true end of all inputs, when nothing waits for time any more.
    pub state_keys: usize,
}

impl Left {
    /// All there is, of a job that has ended.
    pub(super) fn all(metrics: &JobMetrics, ending: Ending) -> Vec<Left> {
        let mut all: Vec<Left> = metrics.subtasks.iter().flat_map(Left::of).collect();
        if ending == Ending::Finished {
            all.iter_mut().for_each(|left| left.state_keys = 0);
        }
        all.retain(|left| left.records > 0 || left.state_keys > 0);
        all
    }

    fn of(subtask: &SubtaskMetrics) -> impl Iterator<Item = Left> {
        let left = |operator: &str, records, state_keys| Left {
            operator: operator.into(),
            subtask: subtask.index,
            records,
            state_keys,
        };
        let held =
            subtask.operators.iter().map(move |it| left(&it.operator, it.waiting_records, it.state_keys));
        std::iter::once(left(&subtask.chain, subtask.unread_records, 0)).chain(held)
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Left { operator, subtask, records, state_keys } = self;
        write!(f, "left in \"{operator}\" subtask {subtask}:")?;
        match (records, state_keys) {
            (records, 0) => write!(f, " {records} records"),
            (0, keys) => write!(f, " the state of {keys} keys"),
            (records, keys) => write!(f, " {records} records, the state of {keys} keys"),
        }
    }
}
