//! State in memory: a table of keys, a column for each state, and timers in both domains.

use slotflow_runtime::{Context, FIRING_BUDGET, Hint, Key, SubtaskContext, Timestamp};

use super::storing::Storing;
use super::{At, Columns, Due, Now, StateSize, TimeDomain, Timers};
use crate::keyed::{Assigner, Round, Segments, Table};

/// How many records pass between two pieces of clean-up.
pub(crate) const CLEAN_EVERY: u32 = 64;

/// How many places of the table a piece looks at: with twice as many as there are records in between, a round over
/// all keys takes half as many records as there are places.
pub(crate) const CLEAN_PIECE: usize = 128;

/// What the table knows of a key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// Where its cells are.
    pub(crate) row: u32,
    /// How many cells and timers it has.
    pub(crate) live: u32,
}

/// Keys, states and timers of one subtask.
pub(crate) struct InMemory<K> {
    pub(crate) table: Table<Segments<K, Row>>,
    pub(crate) columns: Columns,
    pub(crate) timers: BothTimers,
    /// Rows that keys have left.
    free: Vec<u32>,
    pub(super) keys: usize,
    /// The snapshot that is under way; told of each key before it changes.
    pub(super) storing: Option<Box<Storing<K>>>,
    round: Round,
    since_clean: u32,
    has_ttl: bool,
    pub(super) assigner: Assigner,
    pub(super) groups: usize,
    /// Its subtask's number, and how many there are.
    pub(super) subtask: (usize, usize),
}

/// Timers by their domain.
#[derive(Default)]
pub(crate) struct BothTimers {
    pub(crate) event: Timers,
    pub(crate) processing: Timers,
}

impl BothTimers {
    pub(crate) fn of(&mut self, time: TimeDomain) -> &mut Timers {
        match time {
            TimeDomain::EventTime => &mut self.event,
            TimeDomain::ProcessingTime => &mut self.processing,
        }
    }

    /// All of a domain and when they are due, in no order.
    pub(super) fn all(&self, time: TimeDomain) -> impl Iterator<Item = (Due, Timestamp)> {
        match time {
            TimeDomain::EventTime => self.event.iter(),
            TimeDomain::ProcessingTime => self.processing.iter(),
        }
    }
}

impl<K: Key> InMemory<K> {
    /// The state of `subtask`, all of it empty.
    pub(crate) fn new(subtask: &SubtaskContext, assigner: Assigner, columns: Columns) -> Self {
        let has_ttl = columns.iter().any(|column| column.has_ttl());
        InMemory {
            table: Table::new(subtask, assigner),
            has_ttl,
            columns,
            timers: BothTimers::default(),
            free: Vec::new(),
            keys: 0,
            storing: None,
            round: Round::default(),
            since_clean: 0,
            assigner,
            groups: subtask.max_parallelism,
            subtask: (subtask.index, subtask.parallelism),
        }
    }

    /// The entry of `key`, of which `hint` was given, if it was, and which is `same` as a known one or is stored by
    /// `store`, and what its states need.
    #[inline(always)]
    pub(crate) fn enter<Q: Key>(
        &mut self,
        hint: Option<Hint>,
        key: Q,
        split: u32,
        same: impl Fn(&K, &Q) -> bool,
        store: impl FnOnce(Q) -> K,
    ) -> (&mut (K, Row), &mut Columns, &mut BothTimers) {
        let InMemory { table, columns, timers, free, keys, storing, .. } = self;
        let entry = table.entry(
            hint,
            key,
            || split,
            same,
            |key| {
                *keys += 1;
                let row = free.pop().unwrap_or_else(|| columns.add_row());
                storing.iter_mut().for_each(|storing| storing.pass(row));
                (store(key), Row { row, live: 0 })
            },
        );
        storing.iter_mut().for_each(|storing| storing.keep(entry, split, columns));
        (entry, columns, timers)
    }

    /// The entry of a timer's key, and what its states need.
    pub(crate) fn enter_due(&mut self, due: Due) -> Option<(&mut (K, Row), &mut Columns, &mut BothTimers)> {
        let InMemory { table, columns, timers, storing, .. } = self;
        let entry = table.find(due.hash, due.split, |(_, row)| row.row == due.row)?;
        storing.iter_mut().for_each(|storing| storing.keep(entry, due.split, columns));
        Some((entry, columns, timers))
    }

    /// Forgets a key that has neither states nor timers.
    pub(crate) fn forget(&mut self, hash: u64, split: u32, row: u32) {
        if self.table.remove(hash, split, |(_, known)| known.row == row).is_some() {
            self.free.push(row);
            self.keys -= 1;
        }
    }

    /// Counts a record. Says whether it is time to [`clean`](InMemory::clean).
    #[inline(always)]
    pub(crate) fn is_cleaned_now(&mut self) -> bool {
        if self.has_ttl {
            self.since_clean += 1;
        }
        self.since_clean >= CLEAN_EVERY
    }

    /// Gives back what some of the keys have had for too long.
    #[cold]
    pub(crate) fn clean(&mut self, ctx: &Context<'_>) {
        self.since_clean = 0;
        if self.has_ttl {
            self.clean_piece(ctx);
        }
    }

    fn clean_piece(&mut self, ctx: &Context<'_>) {
        let (now, InMemory { table, columns, round, free, keys, storing, .. }) =
            (Now::of_watermark(ctx), self);
        let split = round.split();
        table.sweep(round, CLEAN_PIECE, |entry| {
            storing.iter_mut().for_each(|storing| storing.keep(entry, split, columns));
            let (_, row) = entry;
            let mut at = At { row: row.row, live: row.live, now };
            columns.iter_mut().filter(|column| column.has_ttl()).for_each(|column| column.clean(&mut at));
            row.live = at.live;
            if row.live == 0 {
                free.push(row.row);
                *keys -= 1;
            }
            row.live > 0
        });
    }

    /// Looks at some of the places of the table, visits the keys there, and forgets those that have nothing left.
    /// `false` once all have been visited.
    pub(crate) fn visit(
        &mut self,
        round: &mut Round,
        mut visit: impl FnMut((&mut (K, Row), &mut Columns, &mut BothTimers)),
    ) -> bool {
        let InMemory { table, columns, timers, free, keys, storing, .. } = self;
        let split = round.split();
        table.sweep(round, FIRING_BUDGET, |entry| {
            storing.iter_mut().for_each(|storing| storing.keep(entry, split, columns));
            visit((entry, columns, timers));
            if entry.1.live == 0 {
                free.push(entry.1.row);
                *keys -= 1;
            }
            entry.1.live > 0
        })
    }

    /// How much there is now.
    pub(crate) fn size(&self) -> StateSize {
        let table = self.table.size().bytes;
        let columns: usize = self.columns.iter().map(|column| column.bytes()).sum();
        let timers = self.timers.event.bytes() + self.timers.processing.bytes();
        StateSize { keys: self.keys, bytes: table + columns + timers + self.storing_bytes() }
    }
}
