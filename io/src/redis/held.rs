//! The entries that the slot has been given and nobody has acknowledged.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use slotflow_runtime::{Offset, SplitId};

use super::entry::EntryId;
use crate::net::Open;

/// How often a thread that waits for room looks whether anybody still reads.
const LOOK: Duration = Duration::from_millis(500);

/// What one subtask holds: its thread adds, and the job's own thread takes away.
#[derive(Debug)]
pub(super) struct Held {
    state: Mutex<State>,
    fewer: Condvar,
    most: usize,
}

#[derive(Debug, Default)]
struct State {
    splits: BTreeMap<SplitId, Given>,
    total: usize,
}

/// What was given of one split, in that order.
#[derive(Debug, Default)]
struct Given {
    /// How many there were, the first of `ids` being number `count - ids.len()`.
    count: usize,
    ids: VecDeque<EntryId>,
}

impl Given {
    /// How many of `ids` are in front of this number.
    fn before(&self, offset: Offset) -> usize {
        (offset.max(0) as usize).saturating_sub(self.count - self.ids.len()).min(self.ids.len())
    }
}

impl Held {
    /// At most about so many are held.
    pub fn new(most: usize) -> Held {
        Held { state: Mutex::default(), fewer: Condvar::new(), most }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes entries before they are given, and says the number of the first.
    pub fn add(&self, split: SplitId, ids: impl ExactSizeIterator<Item = EntryId>) -> Offset {
        let mut state = self.state();
        state.total += ids.len();
        let given = state.splits.entry(split).or_default();
        let first = given.count;
        given.count += ids.len();
        given.ids.extend(ids);
        first as Offset
    }

    /// All that are held of a split.
    pub fn of(&self, split: SplitId) -> HashSet<EntryId> {
        self.state().splits.get(&split).map(|given| given.ids.iter().copied().collect()).unwrap_or_default()
    }

    /// The first of those in front of this number, at most so many.
    pub fn before(&self, split: SplitId, offset: Offset, most: usize) -> Vec<EntryId> {
        let state = self.state();
        let Some(given) = state.splits.get(&split) else { return Vec::new() };
        given.ids.range(..given.before(offset).min(most)).copied().collect()
    }

    /// Forgets the first so many.
    pub fn forget(&self, split: SplitId, count: usize) {
        let mut state = self.state();
        let Some(given) = state.splits.get_mut(&split) else { return };
        given.ids.drain(..count);
        state.total -= count;
        self.fewer.notify_all();
    }

    /// Whether no more may be held.
    pub fn is_full(&self) -> bool {
        self.state().total >= self.most
    }

    /// Waits until one more may be held; `false` if the end has begun.
    pub fn wait_for_room(&self, open: &Open) -> bool {
        let mut state = self.state();
        while state.total >= self.most && !open.has_ended() {
            state = self.fewer.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
        !open.has_ended()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn ids(numbers: std::ops::Range<u64>) -> Vec<EntryId> {
        numbers.map(|ms| EntryId { ms, seq: 0 }).collect()
    }

    #[test]
    fn numbers_go_on_and_those_in_front_of_one_are_acknowledged_once() {
        let held = Held::new(9);
        assert_eq!(held.add(7, ids(0..3).into_iter()), 0);
        assert_eq!((held.before(7, 2, 9), held.before(7, 2, 1)), (ids(0..2), ids(0..1)));
        held.forget(7, 2);
        assert_eq!(held.add(7, ids(3..5).into_iter()), 3);
        assert_eq!(
            (held.before(7, 2, 9), held.before(7, 4, 9), held.before(7, 99, 9)),
            (vec![], ids(2..4), ids(2..5))
        );
        assert_eq!(held.of(7), ids(2..5).into_iter().collect());
        assert!(held.of(8).is_empty() && held.before(8, 1, 9).is_empty());
    }

    #[test]
    fn a_thread_waits_until_fewer_are_held_or_the_end_has_begun() {
        let (held, open) = (Held::new(2), Open::default());
        held.add(0, ids(0..2).into_iter());
        thread::scope(|scope| {
            let waiting = scope.spawn(|| held.wait_for_room(&open));
            assert!(!waiting.is_finished());
            held.forget(0, 1);
            assert!(waiting.join().unwrap());
            held.add(0, ids(2..3).into_iter());
            let waiting = scope.spawn(|| held.wait_for_room(&open));
            open.end();
            assert!(!waiting.join().unwrap());
        });
    }
}
