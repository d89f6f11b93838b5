//! What whoever stores state may ask of it.

use slotflow_runtime::Result;

/// How much state there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateSize {
    /// Keys that have a state or a timer.
    pub keys: usize,
    /// What all of it takes: table, states and timers, with lists and maps, but without what single values own on
    /// the heap, which only they know.
    pub bytes: usize,
}

/// The state of one operator's subtask, as far as it can be stored and found again: key group by key group.
///
/// A key group is stored by itself, so that a job of another parallelism can give it to another subtask. Stored
/// state names the states, with their versions, and is read by name: a state that was added since begins empty,
/// one that is no longer declared is refused.
///
/// Called on the slot's thread, between records. The only backend so far keeps state in memory.
pub trait StateBackend {
    /// Appends keys, states and timers of a key group.
    ///
    /// # Errors
    /// What the `Serialize` of a state's type says.
    fn snapshot(&self, group: usize, into: &mut Vec<u8>) -> Result<()>;

    /// Takes in what [`snapshot`](StateBackend::snapshot) gave. The key group must be empty.
    ///
    /// # Errors
    /// Bytes that are no snapshot, another format, a state of another version or not declared, each named. What was
    /// read before stays: the operator must not be used.
    fn restore(&mut self, group: usize, from: &[u8]) -> Result<()>;

    /// How much there is now.
    fn size(&self) -> StateSize;
}
