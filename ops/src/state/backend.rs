//! What whoever stores state may ask of it.

use slotflow_runtime::{Result, StateSize};

/// What a piece of a snapshot has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Stored {
    /// There is more to be done.
    More,
    /// A key group, as [`restore`](StateBackend::restore) takes it.
    Group(usize, Vec<u8>),
    /// All have been given; the snapshot is over.
    Done,
}

/// The state of one operator's subtask, as far as it can be stored and found again: key group by key group.
///
/// A key group is stored by itself, so that a job of another parallelism can give it to another subtask. Stored
/// state names the states, with their versions, and is read by name: a state that was added since begins empty,
/// one that is no longer declared is refused.
///
/// Called on the slot's thread, between records. The only backend so far keeps state in memory; a job can be given no
/// other one, and stores nothing by itself. A test of a process function, and a host that steps operators of its own,
/// may have its state:
///
/// ```
/// use slotflow::prelude::*;
/// use slotflow::testing::{Harness, keyed_process};
/// use slotflow::{StateBackend, ValueState};
///
/// struct Count(ValueState<u64>);
///
/// impl KeyedProcessFunction<char, char> for Count {
///     type Out = (char, u64);
///     fn process(&mut self, letter: char, ctx: &mut ProcessContext<'_, char, Self::Out>) {
///         let count = *self.0.value_or_default(ctx) + 1;
///         self.0.set(ctx, count);
///         ctx.push((letter, count));
///     }
/// }
///
/// let open = |states: &mut StateDescriptors<'_>| Count(states.value("count"));
/// let harness = || Harness::new(keyed_process(|letter: &char| *letter, open));
/// let (mut before, mut after) = (harness()?, harness()?);
/// "abba".chars().try_for_each(|letter| before.push(letter))?;
/// // A harness has 16 key groups.
/// for group in 0..16 {
///     let mut stored = Vec::new();
///     before.operator().state().snapshot(group, &mut stored)?;
///     after.operator().state().restore(group, &stored)?;
/// }
/// assert_eq!(after.operator().state().size().keys, 2);
/// after.push('b')?;
/// assert_eq!(after.take(), [('b', 3)]);
/// # Ok::<(), Error>(())
/// ```
pub trait StateBackend {
    /// Appends keys, states and timers of a key group.
    ///
    /// # Errors
    /// What the `Serialize` of a state's type says; by source partition, that the group belongs to another subtask.
    fn snapshot(&self, group: usize, into: &mut Vec<u8>) -> Result<()>;

    /// Begins a snapshot of all key groups as they are now, which may go on to change at once: what changes is stored
    /// before. Costs a bit for each key and timer. What is stored counts as state, in its size and its budget, until
    /// it is given away.
    ///
    /// Broadcast state, of which there is little, is stored at the same moment by
    /// [`snapshot_broadcast`](StateBackend::snapshot_broadcast).
    ///
    /// # Errors
    /// Another one is under way.
    fn begin_snapshot(&mut self) -> Result<()>;

    /// Does some more of the snapshot that is under way: as little as can be told from a step, or one key group.
    /// Key groups that had no key are not given.
    ///
    /// # Errors
    /// As [`snapshot`](StateBackend::snapshot); the one that is under way is abandoned then.
    fn continue_snapshot(&mut self) -> Result<Stored>;

    /// Gives up the snapshot that is under way, if there is one.
    fn abandon_snapshot(&mut self);

    /// Takes in what [`snapshot`](StateBackend::snapshot) gave. The key group must be empty.
    ///
    /// # Errors
    /// Bytes that are no snapshot, another format, a state of another version or not declared, a group of another
    /// subtask, each named. What was read before stays: the operator must not be used.
    fn restore(&mut self, group: usize, from: &[u8]) -> Result<()>;

    /// Appends what is the same at every subtask, broadcast state: stored of one of them, and restored at each. By
    /// default there is none.
    ///
    /// # Errors
    /// What the `Serialize` of its type says.
    fn snapshot_broadcast(&self, _into: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }

    /// Takes in what [`snapshot_broadcast`](StateBackend::snapshot_broadcast) gave, in the place of what is there.
    ///
    /// # Errors
    /// Bytes that are not of its type; what is there stays.
    fn restore_broadcast(&mut self, _from: &[u8]) -> Result<()> {
        Ok(())
    }

    /// How much there is now.
    fn size(&self) -> StateSize;
}
