//! A snapshot that is taken while the state goes on to change: copy on write, key by key.
//!
//! 1. It has the keys and timers that were there when it began. A bit for each row, and for each timer's number, tells
//!    which of them it has not stored yet.
//! 2. Piece by piece it goes round the table, and then through the timers, and stores those.
//! 3. What is about to change, or to go, is stored before. So a key costs its own bytes once, whoever comes first, and
//!    what comes in meanwhile pays for the keys that it touches. A row or number that is given to a new key or timer
//!    counts as stored: it has nothing of the beginning.
//! 4. A segment of the table that splits moves keys from before the round to behind it, and the other way. What is
//!    behind is stored already or in the next round: there is one as long as a key is left.
//! 5. When all are stored, each key group is put together and given away by itself.

use std::collections::BTreeMap;

use slotflow_runtime::{Error, Key, Result, Timestamp, key_group};

use super::memory::Row;
use super::snapshot::{Header, TimersByRow, in_state};
use super::{Columns, Due, InMemory, State, Stored, TimeDomain};
use crate::keyed::{Assigner, Round};

/// How many places of the table, or timers, a piece looks at (a guess: some ten microseconds of small states). Few in
/// tests, so that much comes in between.
const PIECE: usize = if cfg!(test) { 8 } else { 256 };

/// What was there at the beginning and is not stored yet.
pub(super) struct Marks {
    bits: Vec<u64>,
    left: usize,
}

impl Marks {
    /// `left` of the numbers below `end` are there.
    pub(super) fn new(end: usize, left: usize) -> Marks {
        Marks { bits: vec![0; end.div_ceil(64)], left }
    }

    /// Whether this number has not been asked for before, and was there.
    #[inline]
    pub(super) fn first(&mut self, number: u32) -> bool {
        let Some(bits) = self.bits.get_mut(number as usize / 64) else { return false };
        let bit = 1 << (number % 64);
        let first = *bits & bit == 0;
        *bits |= bit;
        first
    }

    /// This number is a new one's, or stored.
    #[inline]
    pub(super) fn pass(&mut self, number: u32) {
        self.first(number);
    }

    pub(super) fn stored(&mut self) {
        self.left -= 1;
    }

    pub(super) fn is_done(&self) -> bool {
        self.left == 0
    }

    fn bytes(&self) -> usize {
        self.bits.len() * size_of::<u64>()
    }
}

/// How a key group is found.
#[derive(Clone, Copy)]
pub(crate) struct Groups {
    pub(super) assigner: Assigner,
    pub(super) count: usize,
}

impl Groups {
    #[inline]
    pub(super) fn of(self, hash: u64, split: u32) -> usize {
        match self.assigner {
            Assigner::Hash => key_group(hash, self.count),
            Assigner::SourcePartition => split as usize % self.count,
        }
    }
}

/// The keys of a group that are stored, one behind the other.
#[derive(Default)]
struct Keys {
    /// Each key's row, and where its bytes end.
    rows: Vec<(u32, usize)>,
    bytes: Vec<u8>,
}

/// A snapshot of the keys that is under way.
pub(super) struct Storing<K> {
    marks: Marks,
    round: Round,
    groups: Groups,
    stored: BTreeMap<usize, Keys>,
    write: fn(&K, &mut Vec<u8>) -> Result<()>,
    /// What a state that could not be written has said.
    failed: Option<Error>,
}

impl<K: Key> Storing<K> {
    /// A row is given to a new key.
    #[inline]
    pub(super) fn pass(&mut self, row: u32) {
        self.marks.pass(row);
    }

    /// Stores a key that is about to change, unless it is.
    #[inline]
    pub(super) fn keep(&mut self, (key, row): &(K, Row), split: u32, columns: &Columns) {
        if self.marks.first(row.row) {
            self.store(key, row.row, split, columns);
        }
    }

    #[cold]
    fn store(&mut self, key: &K, row: u32, split: u32, columns: &Columns) {
        self.marks.stored();
        let Keys { rows, bytes } = self.stored.entry(self.groups.of(key.hash(), split)).or_default();
        let written = (self.write)(key, bytes).and_then(|()| save(columns, row, bytes));
        rows.push((row, bytes.len()));
        self.failed = self.failed.take().or(written.err());
    }

    /// What it takes until it is given away.
    pub(super) fn bytes(&self) -> usize {
        let keys = self.stored.values();
        let stored: usize =
            keys.map(|keys| keys.bytes.capacity() + keys.rows.capacity() * size_of::<(u32, usize)>()).sum();
        stored + self.marks.bytes()
    }
}

/// Writes all states of a row.
pub(super) fn save(columns: &Columns, row: u32, into: &mut Vec<u8>) -> Result<()> {
    let mut states = columns.iter().zip(columns.descriptors());
    states
        .try_for_each(|(column, state)| column.save(row, into).map_err(|error| in_state(&state.name, &error)))
}

/// A snapshot of timers that is under way.
pub(super) struct StoringTimers {
    pub(super) marks: Marks,
    /// The next number to be looked at, and the first that was not there.
    pub(super) next: u32,
    pub(super) end: u32,
    groups: Groups,
    stored: BTreeMap<usize, Vec<(Due, Timestamp)>>,
}

impl StoringTimers {
    pub(super) fn new(groups: Groups, end: usize, left: usize) -> StoringTimers {
        let (marks, end) = (Marks::new(end, left), end as u32);
        StoringTimers { marks, next: 0, end, groups, stored: BTreeMap::new() }
    }

    /// Stores a timer that is there, and when it is due.
    pub(super) fn store(&mut self, due: Due, when: Timestamp) {
        self.marks.stored();
        self.stored.entry(self.groups.of(due.hash, due.split)).or_default().push((due, when));
    }

    /// Those of a key group, by row.
    fn take(&mut self, group: usize) -> TimersByRow {
        let mut by_row = TimersByRow::new();
        for (due, when) in self.stored.remove(&group).unwrap_or_default() {
            by_row.entry(due.row).or_default().push((due.time, when));
        }
        by_row
    }

    fn bytes(&self) -> usize {
        let stored: usize = self.stored.values().map(|timers| timers.capacity()).sum();
        stored * size_of::<(Due, Timestamp)>() + self.marks.bytes()
    }
}

impl<K: Key> InMemory<K> {
    /// What a snapshot that is under way takes.
    pub(super) fn storing_bytes(&self) -> usize {
        let timers = [&self.timers.event, &self.timers.processing].into_iter();
        let timers: usize = timers.filter_map(|timers| timers.storing.as_ref()).map(|it| it.bytes()).sum();
        timers + self.storing.as_ref().map_or(0, |storing| storing.bytes())
    }
}

impl<K: Key + State> InMemory<K> {
    pub(super) fn begin(&mut self) -> Result<()> {
        if self.storing.is_some() {
            return Err(Error::bug("a snapshot was begun while another one is under way; abandon that one"));
        }
        let groups = Groups { assigner: self.assigner, count: self.groups };
        let write = |key: &K, into: &mut Vec<u8>| super::write(key, into);
        let (marks, round) = (Marks::new(self.columns.rows(), self.keys), Round::default());
        self.storing =
            Some(Box::new(Storing { marks, round, groups, stored: BTreeMap::new(), write, failed: None }));
        self.timers.event.begin_storing(groups);
        self.timers.processing.begin_storing(groups);
        Ok(())
    }

    pub(super) fn abandon(&mut self) {
        self.storing = None;
        (self.timers.event.storing, self.timers.processing.storing) = (None, None);
    }

    pub(super) fn go_on(&mut self) -> Result<Stored> {
        let InMemory { storing, timers, table, columns, .. } = self;
        let Some(under_way) = storing else { return Ok(Stored::Done) };
        if let Some(error) = under_way.failed.take() {
            self.abandon();
            return Err(error);
        }
        if !under_way.marks.is_done() {
            let (mut round, split) = (under_way.round, under_way.round.split());
            table.sweep(&mut round, PIECE, |entry| {
                under_way.keep(entry, split, columns);
                true
            });
            under_way.round = round;
            return Ok(Stored::More);
        }
        if timers.event.store_more(PIECE) || timers.processing.store_more(PIECE) {
            return Ok(Stored::More);
        }
        let Some((group, keys)) = under_way.stored.pop_first() else {
            self.abandon();
            return Ok(Stored::Done);
        };
        let put_together = self.put_together(group, &keys);
        if put_together.is_err() {
            self.abandon();
        }
        put_together.map(|bytes| Stored::Group(group, bytes))
    }

    /// A key group as [`restore`](super::StateBackend::restore) takes it.
    fn put_together(&mut self, group: usize, keys: &Keys) -> Result<Vec<u8>> {
        self.check_home(group, keys.rows.len())?;
        let timers = [TimeDomain::EventTime, TimeDomain::ProcessingTime]
            .map(|time| self.timers.of(time).storing.as_mut().map(|it| it.take(group)).unwrap_or_default());
        let mut into = Vec::with_capacity(keys.bytes.len() + keys.bytes.len() / 8);
        super::write(&Header::of(&self.columns, keys.rows.len()), &mut into)?;
        let mut begin = 0;
        for (row, end) in &keys.rows {
            into.extend_from_slice(&keys.bytes[begin..*end]);
            timers.iter().try_for_each(|timers| super::write(&timers.get(row), &mut into))?;
            begin = *end;
        }
        Ok(into)
    }
}

#[cfg(test)]
mod tests;
