//! The timers of one subtask in one domain of time.
//!
//! A binary heap orders them by when they are due; each knows its position, so that a deleted one leaves at once;
//! and a table finds them by key and time, so that a timer registered twice is one. A watermark looks at what is due
//! and at nothing else, however many keys are open.

use slotflow_runtime::{Key, Timestamp};

use super::storing::{Groups, StoringTimers};
use crate::keyed::Segments;

/// A timer of the key that lives at `row`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// What it was registered for.
    pub(crate) time: Timestamp,
    /// Its key's row.
    pub(crate) row: u32,
    /// Its key's hash.
    pub(crate) hash: u64,
    /// Its key's source partition.
    pub(crate) split: u32,
}

/// What makes a timer the same as another.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Identity(Timestamp, u32);

impl Key for Identity {
    #[inline]
    fn hash(&self) -> u64 {
        (self.0 as u64).wrapping_add(u64::from(self.1) << 40 | u64::from(self.1)).hash()
    }
}

#[derive(Clone, Copy)]
struct Timer {
    due: Due,
    position: u32,
}

/// See the module.
pub(crate) struct Timers {
    /// When each is due and which it is; the parent of `i` is at `(i - 1) / 2`.
    heap: Vec<(Timestamp, u32)>,
    timers: Vec<Timer>,
    free: Vec<u32>,
    known: Segments<Identity, u32>,
    firing: Option<Firing>,
    /// The snapshot that is under way; told of each timer before it goes.
    pub(super) storing: Option<Box<StoringTimers>>,
}

/// Time has reached `until`, and those up to `at` have fired.
#[derive(Clone, Copy)]
struct Firing {
    until: Timestamp,
    at: Timestamp,
}

impl Default for Timers {
    fn default() -> Self {
        let known = Segments::new((0, u64::MAX));
        Timers { heap: Vec::new(), timers: Vec::new(), free: Vec::new(), known, firing: None, storing: None }
    }
}

impl Timers {
    /// Registers a timer, unless there is the same. Says whether it is new.
    ///
    /// While timers fire, one that is registered for a time that has fired already waits for the next watermark,
    /// as one in the past always does; otherwise a timer that registers itself would never let time go on. When
    /// they fire because the input has ended, there is no next one, and no timer that is registered then would.
    pub(crate) fn register(&mut self, due: Due) -> bool {
        let when = match self.firing {
            Some(Firing { until: Timestamp::MAX, .. }) => return false,
            Some(Firing { until, at }) if due.time <= at => until + 1,
            _ => due.time,
        };
        self.restore(due, when)
    }

    /// Registers a timer that is due at `when`, whatever fires, unless there is the same. Says whether it is new.
    pub(crate) fn restore(&mut self, due: Due, when: Timestamp) -> bool {
        let (identity, next) = (Identity(due.time, due.row), self.free.last().copied());
        let id = next.unwrap_or(self.timers.len() as u32);
        let known = self.known.value(identity, |known, asked| known == asked, |identity| (identity, id));
        if *known != id {
            return false;
        }
        self.insert(id, due);
        self.push(when, id);
        true
    }

    fn insert(&mut self, id: u32, due: Due) {
        self.storing.iter_mut().for_each(|storing| storing.marks.pass(id));
        let timer = Timer { due, position: 0 };
        match self.free.pop() {
            Some(_) => self.timers[id as usize] = timer,
            None => self.timers.push(timer),
        }
    }

    /// Deletes a timer. Says whether there was one.
    pub(crate) fn delete(&mut self, time: Timestamp, row: u32) -> bool {
        let identity = Identity(time, row);
        let Some((_, id)) = self.known.remove_by(identity.hash(), |known| known.0 == identity) else {
            return false;
        };
        self.take(self.timers[id as usize].position as usize);
        true
    }

    /// The first timer that is due at `until`, taken out: in order of time, and of registration's rows in ties.
    pub(crate) fn pop(&mut self, until: Timestamp) -> Option<Due> {
        let Some((when, id)) = self.heap.first().copied().filter(|(when, _)| *when <= until) else {
            self.firing = None;
            return None;
        };
        let due = self.timers[id as usize].due;
        self.firing = Some(Firing { until, at: when });
        self.delete(due.time, due.row);
        Some(due)
    }

    /// When the first one is due, if there is one.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.heap.first().map(|(when, _)| *when)
    }

    /// All timers and when they are due, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Due, Timestamp)> {
        self.heap.iter().map(|(when, id)| (self.timers[*id as usize].due, *when))
    }

    /// Begins to store those that there are now.
    pub(super) fn begin_storing(&mut self, groups: Groups) {
        self.storing = Some(Box::new(StoringTimers::new(groups, self.timers.len(), self.heap.len())));
    }

    /// Stores some more of them. `false` once there are no more.
    pub(super) fn store_more(&mut self, piece: usize) -> bool {
        let Timers { heap, timers, storing, .. } = self;
        let Some(storing) = storing else { return false };
        let piece = storing.next..storing.end.min(storing.next + piece as u32);
        storing.next = piece.end;
        for id in piece {
            let Timer { due, position } = timers[id as usize];
            // The number of a timer that is gone has a position that is another's, or nobody's.
            let when = heap.get(position as usize).filter(|(_, at)| *at == id).map(|(when, _)| *when);
            if let Some(when) = when.filter(|_| storing.marks.first(id)) {
                storing.store(due, when);
            }
        }
        storing.next < storing.end
    }

    /// What they take.
    pub(crate) fn bytes(&self) -> usize {
        self.timers.capacity() * size_of::<Timer>()
            + self.heap.capacity() * size_of::<(Timestamp, u32)>()
            + self.heap.len() * size_of::<(Identity, u32)>() * 3 / 2
    }

    fn push(&mut self, when: Timestamp, id: u32) {
        self.heap.push((when, id));
        self.rise(self.heap.len() - 1);
    }

    /// Takes the timer at a position out of the heap.
    fn take(&mut self, position: usize) {
        let (when, id) = self.heap.swap_remove(position);
        if let Some(storing) = &mut self.storing
            && storing.marks.first(id)
        {
            storing.store(self.timers[id as usize].due, when);
        }
        self.free.push(id);
        if position < self.heap.len() {
            self.sink(position);
            self.rise(position);
        }
    }

    /// What comes first: by when it is due, then by what it was registered for, then by row.
    fn order(&self, position: usize) -> (Timestamp, Timestamp, u32) {
        let (when, id) = self.heap[position];
        let due = self.timers[id as usize].due;
        (when, due.time, due.row)
    }

    fn rise(&mut self, mut position: usize) {
        while position > 0 && self.order(position) < self.order((position - 1) / 2) {
            self.swap(position, (position - 1) / 2);
            position = (position - 1) / 2;
        }
        self.note(position);
    }

    fn sink(&mut self, mut position: usize) {
        loop {
            let children = 2 * position + 1..(2 * position + 3).min(self.heap.len());
            let Some(least) = children.min_by_key(|child| self.order(*child)) else { break };
            if self.order(position) <= self.order(least) {
                break;
            }
            self.swap(position, least);
            position = least;
        }
        self.note(position);
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.heap.swap(one, other);
        self.note(one);
        self.note(other);
    }

    fn note(&mut self, position: usize) {
        let (_, id) = self.heap[position];
        self.timers[id as usize].position = position as u32;
    }
}
