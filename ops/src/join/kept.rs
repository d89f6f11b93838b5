//! What a join keeps of each key, and when it looks at a key again.
//!
//! 1. A key has one alarm that counts, for the first thing to be done about it. So a watermark costs as much as there
//!    is to do, and a key that gets no records any more is looked at, too.
//! 2. What comes may have to be looked at sooner: then the key gets another alarm, and the one before means nothing
//!    when its time comes.

use std::collections::BinaryHeap;

use slotflow_runtime::{FIRING_BUDGET, Flow, Key, MIN_TIMESTAMP, Timestamp};

use crate::StateSize;
use crate::alarm::Alarm;
use crate::keyed::Segments;

/// What is kept of one key.
pub(super) trait Keeps: Default {
    /// What it owns on the heap.
    fn heap_bytes(&self) -> usize;
    /// Whether there is nothing; the key is forgotten then.
    fn is_empty(&self) -> bool;
}

/// Something kept of a key, and its alarm.
struct Entry<V> {
    value: V,
    alarm: Option<Timestamp>,
}

/// What is kept of all keys of a subtask, and how far event time has come.
pub(super) struct Kept<K, V> {
    keys: Segments<K, Entry<V>>,
    alarms: BinaryHeap<Alarm>,
    pub(super) watermark: Timestamp,
    /// What all values own on the heap.
    heap_bytes: usize,
}

impl<K: Key, V: Keeps> Kept<K, V> {
    /// Nothing yet, of keys of these hashes.
    pub(super) fn new(hashes: (u64, u64)) -> Self {
        Kept {
            keys: Segments::new(hashes),
            alarms: BinaryHeap::new(),
            watermark: MIN_TIMESTAMP,
            heap_bytes: 0,
        }
    }

    /// What is kept of `key`, which is `same` as a known one or is stored by `store`.
    pub(super) fn enter<Q: Key>(
        &mut self,
        key: Q,
        same: impl Fn(&K, &Q) -> bool,
        store: impl FnOnce(Q) -> K,
    ) -> Entered<'_, V> {
        let hash = key.hash();
        let make = |key| (store(key), Entry { value: V::default(), alarm: None });
        let entry = self.keys.value(key, same, make);
        let before = entry.value.heap_bytes();
        Entered { entry, hash, before, alarms: &mut self.alarms, heap_bytes: &mut self.heap_bytes }
    }

    /// Event time has reached `watermark`: looks at the keys whose time has come, as far as a budget of records goes.
    /// `look` takes from it what it does, and says when the key is to be looked at next: which may be now.
    pub(super) fn reach(
        &mut self,
        watermark: Timestamp,
        mut look: impl FnMut(&mut V, &mut usize) -> Option<Timestamp>,
    ) -> Flow {
        self.watermark = watermark;
        let mut budget = FIRING_BUDGET;
        while self.alarms.peek().is_some_and(|alarm| alarm.due <= watermark) {
            if budget == 0 {
                return Flow::More;
            }
            // An alarm that another has replaced costs a look, too.
            budget -= 1;
            let alarm = self.alarms.pop();
            alarm.into_iter().for_each(|alarm| self.look(alarm, |value| look(value, &mut budget)));
        }
        Flow::Done
    }

    fn look(&mut self, Alarm { due, hash }: Alarm, look: impl FnOnce(&mut V) -> Option<Timestamp>) {
        let Some((_, entry)) = self.keys.find_by(hash, |(_, entry)| entry.alarm == Some(due)) else { return };
        let before = entry.value.heap_bytes();
        entry.alarm = look(&mut entry.value);
        self.heap_bytes = self.heap_bytes + entry.value.heap_bytes() - before;
        if let Some(due) = entry.alarm {
            self.alarms.push(Alarm { due, hash });
        } else if entry.value.is_empty() {
            self.heap_bytes -= entry.value.heap_bytes();
            self.keys.remove_by(hash, |(_, entry)| entry.alarm.is_none() && entry.value.is_empty());
        }
    }

    /// What is kept of a key.
    #[cfg(test)]
    pub(super) fn find(&self, key: &K) -> Option<&V>
    where
        K: Eq,
    {
        self.keys.find(key).map(|entry| &entry.value)
    }

    /// Whether nothing is to be done about any key.
    #[cfg(test)]
    pub(super) fn is_settled(&self) -> bool {
        self.alarms.is_empty()
    }

    /// How much there is.
    pub(super) fn size(&self) -> StateSize {
        self.keys.size().and_bytes(self.alarms.capacity() * size_of::<Alarm>() + self.heap_bytes)
    }
}

/// What is kept of the key of a record that has come.
pub(super) struct Entered<'k, V> {
    entry: &'k mut Entry<V>,
    hash: u64,
    before: usize,
    alarms: &'k mut BinaryHeap<Alarm>,
    heap_bytes: &'k mut usize,
}

impl<V: Keeps> Entered<'_, V> {
    /// To be looked at and changed.
    pub(super) fn value(&mut self) -> &mut V {
        &mut self.entry.value
    }

    /// It has been changed, and is to be looked at when the watermark has reached `due`, if not sooner.
    pub(super) fn due(self, due: Option<Timestamp>) {
        *self.heap_bytes = *self.heap_bytes + self.entry.value.heap_bytes() - self.before;
        if let Some(due) = due.filter(|due| self.entry.alarm.is_none_or(|alarm| *due < alarm)) {
            self.entry.alarm = Some(due);
            self.alarms.push(Alarm { due, hash: self.hash });
        }
    }
}
