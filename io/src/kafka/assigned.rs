//! The partitions of one source subtask, as those see them who commit their offsets and give them away.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use slotflow_runtime::{Offset, Offsets, SplitId};

use super::subscription::TopicPartition;

/// The partitions of one subtask; they are added before they are read, and removed when they were let go.
#[derive(Clone, Default)]
pub(super) struct Assigned(Arc<Inner>);

#[derive(Default)]
struct Inner {
    all: Mutex<All>,
    /// Offsets are stored, or will not be.
    stored: Condvar,
}

#[derive(Default)]
struct All {
    partitions: HashMap<SplitId, Entry>,
    /// How often the group has given or taken partitions.
    round: u64,
    /// The last round in which the group knew this member no more.
    evicted_in: Option<u64>,
    /// Somebody waits until offsets are stored.
    awaited: bool,
}

struct Entry {
    of: TopicPartition,
    /// How far its offset is stored, where that matters to somebody: nothing before it is stored any more.
    stored: Option<Offset>,
}

impl Assigned {
    pub fn new(partitions: Vec<TopicPartition>) -> Assigned {
        let assigned = Assigned::default();
        partitions.into_iter().for_each(|of| assigned.add(of, None));
        assigned
    }

    /// The group gives or takes partitions.
    pub fn begin_round(&self) {
        self.locked(|all| all.round += 1);
    }

    /// How often it has.
    pub fn round(&self) -> u64 {
        self.locked(|all| all.round)
    }

    /// What was sent in this round was refused, as the group has gone on without this member: nothing more is stored
    /// before it has joined again, and so before it has let go.
    pub fn note_evicted(&self, round: u64) {
        self.locked(|all| all.evicted_in = Some(round));
        self.0.stored.notify_all();
    }

    /// Whether that was noted in this round.
    pub fn is_evicted(&self) -> bool {
        self.locked(|all| all.is_evicted())
    }

    /// One more; `stored` says where it is read from in a group.
    pub fn add(&self, of: TopicPartition, stored: Option<Offset>) {
        self.locked(|all| all.partitions.insert(of.split, Entry { of, stored }));
    }

    pub fn remove(&self, split: SplitId) {
        self.locked(|all| all.partitions.remove(&split));
    }

    /// The partition, if this offset of it is to be stored: not where somebody else reads it now, or has read on.
    pub fn to_store(&self, split: SplitId, offset: Offset) -> Option<TopicPartition> {
        let behind = |entry: &&Entry| entry.stored.is_none_or(|stored| offset >= stored);
        self.locked(|all| all.partitions.get(&split).filter(behind).map(|entry| entry.of.clone()))
    }

    /// Any of the topics, for failures that are of none in particular.
    pub fn topic(&self) -> Arc<str> {
        let topic = |entry: &Entry| entry.of.topic.clone();
        self.locked(|all| all.partitions.values().next().map_or_else(|| "".into(), topic))
    }

    /// All of them.
    pub fn topics(&self) -> BTreeSet<Arc<str>> {
        self.locked(|all| all.partitions.values().map(|entry| entry.of.topic.clone()).collect())
    }

    /// These offsets are stored.
    pub fn note_stored(&self, offsets: &Offsets) {
        self.locked(|all| {
            for (split, offset) in offsets {
                if let Some(Entry { stored: Some(stored), .. }) = all.partitions.get_mut(split) {
                    *stored = (*stored).max(*offset);
                }
            }
        });
        self.0.stored.notify_all();
    }

    /// Waits until these offsets are stored; `false` when that takes too long or cannot be any more.
    pub fn wait_stored(&self, offsets: &Offsets, until: Instant) -> bool {
        let left = until.saturating_duration_since(Instant::now());
        let all = self.0.all.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = |all: &mut All| {
            all.awaited = !all.is_stored(offsets) && !all.is_evicted();
            all.awaited
        };
        let waited = self.0.stored.wait_timeout_while(all, left, waits);
        let mut all = waited.unwrap_or_else(PoisonError::into_inner).0;
        all.awaited = false;
        all.is_stored(offsets)
    }

    /// Whether somebody waits for that.
    pub fn is_awaited(&self) -> bool {
        self.locked(|all| all.awaited)
    }

    fn locked<X>(&self, with: impl FnOnce(&mut All) -> X) -> X {
        with(&mut self.0.all.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl All {
    fn is_evicted(&self) -> bool {
        self.evicted_in == Some(self.round)
    }

    fn is_stored(&self, offsets: &Offsets) -> bool {
        let stored = |split| self.partitions.get(split).and_then(|entry| entry.stored);
        offsets.iter().all(|(split, offset)| stored(split).is_none_or(|stored| stored >= *offset))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn partition(split: SplitId) -> TopicPartition {
        TopicPartition { split, topic: "words".into(), partition: split }
    }

    #[test]
    fn nothing_is_stored_of_what_is_gone_or_was_read_on_elsewhere() {
        let assigned = Assigned::new(vec![partition(0)]);
        assigned.add(partition(1), Some(10));
        let stores = |split, offset| assigned.to_store(split, offset).is_some();
        assert_eq!([stores(0, 3), stores(0, 1), stores(1, 9), stores(1, 10)], [true, true, false, true]);
        assigned.note_stored(&vec![(1, 12), (0, 7)]);
        assert_eq!([stores(1, 11), stores(0, 1)], [false, true], "only in a group do offsets never go back");
        assigned.remove(1);
        assert!(!stores(1, 20) && !stores(2, 0));
    }

    #[test]
    fn who_lets_go_waits_until_all_is_stored_but_not_for_ever() {
        let assigned = Assigned::default();
        assigned.add(partition(1), Some(10));
        let now = Instant::now();
        assert!(assigned.wait_stored(&vec![(1, 10), (5, 9)], now), "it is, and what is not here is nobody's");
        assert!(!assigned.wait_stored(&vec![(1, 11)], now));
        assert!(!assigned.is_awaited());
        let other = assigned.clone();
        let storing = std::thread::spawn(move || {
            while !other.is_awaited() && now.elapsed() < Duration::from_secs(30) {
                std::thread::yield_now();
            }
            let awaited = other.is_awaited();
            other.note_stored(&vec![(1, 11)]);
            awaited
        });
        assert!(assigned.wait_stored(&vec![(1, 11)], now + Duration::from_secs(60)));
        assert!(storing.join().unwrap(), "nobody hears that it is waited for");
        assert!(!assigned.is_awaited(), "what was waited for is there");
    }

    #[test]
    fn who_was_evicted_while_he_lets_go_waits_no_longer() {
        let assigned = Assigned::default();
        assigned.add(partition(1), Some(10));
        let (now, stays) = (Instant::now(), vec![(1, 11)]);
        assigned.note_evicted(assigned.round());
        assigned.begin_round();
        assert!(!assigned.wait_stored(&stays, now + Duration::from_millis(1)), "what was before is over");
        let other = assigned.clone();
        let refused = std::thread::spawn(move || other.note_evicted(other.round()));
        assert!(!assigned.wait_stored(&stays, now + Duration::from_secs(3_600)));
        refused.join().unwrap();
    }
}
