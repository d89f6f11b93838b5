//! The connections that are open, and how all of them are ended.
//!
//! Threads wait in system calls. What waits is noted here, so that it can be shut down from the slot, which must not
//! wait itself: what is shut down after the end has begun is shut down by whoever notes it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use slotflow_runtime::SplitId;

use super::connection::{Connection, Listener};

/// What is open, shared by the threads of a subtask, or of all that listen together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Open(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    ended: bool,
    /// By the number of their split; a number is used again.
    connections: Vec<Option<Connection>>,
    listener: Option<Listener>,
}

impl State {
    fn count(&self) -> usize {
        self.connections.iter().flatten().count()
    }

    fn end(&mut self) {
        self.ended = true;
        self.connections.iter().flatten().for_each(Connection::shutdown);
        self.listener.take().into_iter().for_each(Listener::shutdown);
    }
}

impl Open {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what listens.
    pub(super) fn listen(&self, listener: Listener) {
        let mut state = self.state();
        state.listener = Some(listener);
        if state.ended {
            state.end();
        }
    }

    /// Notes a connection under the lowest number that is free; none if the end has begun.
    pub(super) fn add(&self, connection: Connection) -> Option<SplitId> {
        let mut state = self.state();
        if state.ended {
            return None;
        }
        let free = state.connections.iter().position(Option::is_none);
        let split = free.unwrap_or(state.connections.len());
        if split == state.connections.len() {
            state.connections.push(None);
        }
        state.connections[split] = Some(connection);
        Some(split as SplitId)
    }

    /// It is closed, and `true` says that it was the last.
    pub fn remove(&self, split: SplitId) -> bool {
        let mut state = self.state();
        state.connections[split as usize] = None;
        self.0.changed.notify_all();
        state.count() == 0
    }

    /// Waits until fewer than `most` are open; `false` if the end has begun.
    pub fn wait_for_room(&self, most: usize) -> bool {
        let state = self.state();
        let full = |state: &mut State| !state.ended && state.count() >= most;
        let state = self.0.changed.wait_while(state, full).unwrap_or_else(PoisonError::into_inner);
        !state.ended
    }

    /// Waits for so long; `false` if the end has begun.
    pub fn pause(&self, time: Duration) -> bool {
        let waited = self.0.changed.wait_timeout_while(self.state(), time, |state| !state.ended);
        !waited.unwrap_or_else(PoisonError::into_inner).0.ended
    }

    pub fn has_ended(&self) -> bool {
        self.state().ended
    }

    /// Ends everything that waits.
    pub fn end(&self) {
        self.state().end();
        self.0.changed.notify_all();
    }
}

/// Ends everything when it is dropped, with the reader or the writer.
pub(crate) struct EndWith(pub Open);

impl Drop for EndWith {
    fn drop(&mut self) {
        self.0.end();
    }
}
