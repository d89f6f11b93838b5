//! Panes: what the records between two neighbouring edges of windows come to, for each key.

use std::collections::VecDeque;

use slotflow_runtime::{Hint, Key, Timestamp};

use super::shape::Shape;
use crate::StateSize;
use crate::keyed::Segments;

/// How many empty panes are kept for the next ones (a guess: disorder seldom spans more).
const SPARE: usize = 4;

/// How many of the newest panes are looked at first (a guess: disorder is mostly around one edge).
const NEAR: usize = 3;

/// An emptied table is used again if an eighth of its slots had keys: visiting it costs as much as it is large.
const SPARSE_TABLE: usize = 8;

/// One pane.
pub(super) struct Pane<K, A> {
    /// Its first time.
    pub(super) start: Timestamp,
    /// What the records of each key have come to.
    pub(super) table: Segments<K, A>,
}

/// The panes that may still get records, and the one that gets them now.
pub(super) struct Panes<K, A> {
    shape: Shape,
    /// The hashes of the subtask's keys.
    hashes: (u64, u64),
    /// The oldest first.
    open: VecDeque<Pane<K, A>>,
    /// Which of them gets the next records, most likely.
    current: usize,
    /// Where it starts and how long it is; 0 if there is none.
    start: Timestamp,
    length: u64,
    spare: Vec<Segments<K, A>>,
    /// Where the pane starts that was current at the last hint.
    hinted: Option<Timestamp>,
}

impl<K: Key, A> Panes<K, A> {
    /// No panes yet.
    pub(super) fn new(shape: Shape, hashes: (u64, u64)) -> Self {
        Panes {
            shape,
            hashes,
            open: VecDeque::new(),
            current: 0,
            start: 0,
            length: 0,
            spare: Vec::new(),
            hinted: None,
        }
    }

    /// Whether this time belongs to the current pane.
    #[inline(always)]
    pub(super) fn is_current(&self, timestamp: Timestamp) -> bool {
        (timestamp.wrapping_sub(self.start) as u64) < self.length
    }

    /// Notes where the keys of these hashes are to be looked for, most likely: in the current pane.
    #[inline(always)]
    pub(super) fn hint(&mut self, hashes: impl Iterator<Item = u64>, first: Hint) {
        self.hinted = (self.length > 0).then_some(self.start);
        if self.hinted.is_some() {
            self.open[self.current].table.hint(hashes, first);
        }
    }

    /// What the current pane has for a key, of which `hint` was given, if it was; there is a pane once
    /// [`turn_to`](Panes::turn_to) has been called.
    #[inline(always)]
    pub(super) fn value<Q: Key>(
        &mut self,
        hint: Option<Hint>,
        key: Q,
        same: impl Fn(&K, &Q) -> bool,
        make: impl FnOnce(Q) -> (K, A),
    ) -> &mut A {
        let hint = hint.filter(|_| self.hinted == Some(self.start));
        &mut self.open[self.current].table.entry(hint, key, same, make).1
    }

    /// Makes the pane of this time the current one, if it is one of the newest. Where records of two panes come in
    /// turn this is asked at every other record, so nothing is divided.
    #[inline(always)]
    pub(super) fn turn_back(&mut self, timestamp: Timestamp) -> bool {
        let length = self.shape.pane as u64;
        let has = |pane: &Pane<K, A>| (timestamp.wrapping_sub(pane.start) as u64) < length;
        let newest = self.open.len().saturating_sub(NEAR);
        let Some(at) = self.open.range(newest..).position(has) else { return false };
        self.current = newest + at;
        (self.start, self.length) = (self.open[self.current].start, length);
        true
    }

    /// Makes the pane that starts here the current one.
    #[inline(never)]
    pub(super) fn turn_to(&mut self, start: Timestamp) {
        self.current = match self.open.binary_search_by_key(&start, |pane| pane.start) {
            Ok(known) => known,
            Err(at) => {
                let table = self.spare.pop().unwrap_or_else(|| Segments::new(self.hashes));
                self.open.insert(at, Pane { start, table });
                at
            }
        };
        (self.start, self.length) = (start, self.shape.pane as u64);
    }

    /// Where the oldest pane starts.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.open.front().map(|pane| pane.start)
    }

    /// The table of the oldest pane.
    pub(super) fn oldest_table(&mut self) -> Option<&mut Segments<K, A>> {
        self.open.front_mut().map(|pane| &mut pane.table)
    }

    /// Takes the oldest pane out. Nothing is current any more.
    pub(super) fn close(&mut self) -> Option<Pane<K, A>> {
        self.length = 0;
        self.open.pop_front()
    }

    /// How many keys all of them have, a key counting for each, and what their tables take.
    pub(super) fn size(&self) -> StateSize {
        let open = self.open.iter().map(|pane| pane.table.size());
        open.chain(self.spare.iter().map(Segments::size)).sum()
    }

    /// Keeps a table that has been emptied, in which there were `keys`, for a pane to come.
    pub(super) fn recycle(&mut self, table: Segments<K, A>, keys: usize) {
        if self.spare.len() < SPARE && keys * SPARSE_TABLE >= table.slots() {
            self.spare.push(table);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use slotflow_runtime::LOOK_AHEAD;

    use super::*;
    use crate::Sliding;

    fn panes() -> Panes<u64, u64> {
        let ten = Duration::from_millis(10);
        Panes::new(Shape::new(Sliding::of(ten, ten)).unwrap(), (0, u64::MAX))
    }

    /// What each pane has for each key.
    fn counted(panes: Panes<u64, u64>) -> BTreeMap<(Timestamp, u64), u64> {
        let entries =
            |pane: Pane<u64, u64>| pane.table.into_iter().map(move |(key, n)| ((pane.start, key), n));
        panes.open.into_iter().flat_map(entries).collect()
    }

    #[test]
    fn a_large_pane_counts_as_a_small_one_does() {
        for keys in [10, 200_000] {
            let (mut panes, mut model) = (panes(), BTreeMap::new());
            let records: Vec<u64> = (0..3 * keys).map(|n| n * 7 % keys).collect();
            for (round, stretch) in records.chunks(LOOK_AHEAD).enumerate() {
                panes.hint(stretch.iter().map(Key::hash), Hint(0));
                for (number, key) in stretch.iter().enumerate() {
                    // Now and then records of another pane come in between.
                    let start = if key % 50 == 0 && round % 3 == 0 { 20 } else { 0 };
                    if !panes.is_current(start) && !panes.turn_back(start) {
                        panes.turn_to(start);
                    }
                    *panes.value(Some(Hint(number)), *key, |known, key| known == key, |key| (key, 0)) += 1;
                    *model.entry((start, *key)).or_insert(0) += 1;
                }
            }
            assert_eq!(counted(panes), model);
        }
    }

    #[test]
    fn of_the_newest_panes_one_is_found_by_its_times() {
        let mut panes = panes();
        [0, 30, 10, 50, 40].into_iter().for_each(|start| panes.turn_to(start));
        let found: Vec<_> = (-5..65).step_by(5).filter(|time| panes.turn_back(*time)).collect();
        assert_eq!(found, [30, 35, 40, 45, 50, 55]);
    }
}
