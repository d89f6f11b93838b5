//! Keeps the books of a run: what was read, what has arrived, what was committed.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use slotflow_runtime::{Committer, Offsets, Result};

use super::{Rec, Setup};

/// Shared by the sources, the stages and the sinks of one run.
pub struct Ledger {
    setup: Arc<Setup>,
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    violations: Vec<String>,
    read: HashMap<u32, u64>,
    arrived: HashMap<(u32, u64), u64>,
    seen: HashSet<(u32, u64, u64)>,
    committed: HashMap<u32, u64>,
    commits: u64,
    failed_at: Vec<(String, usize)>,
    /// Stages that ended before event time did.
    early: Vec<String>,
}

impl Ledger {
    pub fn new(setup: &Arc<Setup>) -> Arc<Ledger> {
        Arc::new(Ledger { setup: setup.clone(), books: Mutex::default() })
    }

    fn books(&self) -> std::sync::MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something must not have happened.
    pub fn violation(&self, what: String) {
        self.books().violations.push(what);
    }

    pub fn violations(&self) -> Result<(), String> {
        self.books().violations.first().map_or(Ok(()), |first| Err(first.clone()))
    }

    /// A stage is about to fail as planned.
    pub fn fails(&self, operator: &str, subtask: usize) {
        self.books().failed_at.push((operator.into(), subtask));
    }

    /// Where stages have failed: several can before the first one has stopped the job.
    pub fn failed_at(&self) -> Vec<(String, usize)> {
        self.books().failed_at.clone()
    }

    /// A source has read a split so far.
    pub fn read(&self, split: u32, next: u64) {
        self.books().read.insert(split, next);
    }

    /// A stage ended although event time had not.
    pub fn ended_early(&self, stage: String) {
        self.books().early.push(stage);
    }

    /// After a true end: it was the end of time everywhere.
    pub fn time_has_ended(&self) -> Result<(), String> {
        let early = self.books().early.first().cloned();
        early.map_or(Ok(()), |stage| Err(format!("{stage} ended before event time did")))
    }

    /// Event time has ended where all these splits arrive; a source that stays has not.
    pub fn time_ends(&self, place: &str, splits: impl Iterator<Item = u32>) {
        let read = |split| self.books().read.get(&split).copied().unwrap_or(0);
        let open = splits.into_iter().find(|split| read(*split) < self.setup.records);
        if let Some(split) = open {
            self.violation(format!("{place}: event time has ended, but not split {split}"));
        }
    }

    /// A sink was handed a record.
    pub fn written(&self, rec: &Rec) {
        if !self.books().seen.insert((rec.split, rec.seq, rec.path)) {
            self.violation(format!("doubled: {rec:?}"));
        }
    }

    /// The outside has acknowledged a record.
    pub fn arrived(&self, rec: &Rec) {
        *self.books().arrived.entry((rec.split, rec.seq)).or_default() += 1;
    }

    /// How many commits there were.
    pub fn commits(&self) -> u64 {
        self.books().commits
    }

    /// How many records have arrived.
    pub fn arrivals(&self) -> u64 {
        self.books().arrived.values().sum()
    }

    /// Is another one whenever something was read, has arrived or was committed, and the same once all of it is.
    pub fn progress(&self) -> u64 {
        let books = self.books();
        let sum = |offsets: &HashMap<u32, u64>| offsets.values().sum::<u64>();
        sum(&books.read) + books.arrived.values().sum::<u64>() + sum(&books.committed)
    }

    /// Everything that was read has arrived and is committed; of bounded input, all of it.
    pub fn complete(&self, records: Option<u64>) -> Result<(), String> {
        let books = self.books();
        for split in 0..self.setup.splits {
            let read = books.read.get(&split).copied().unwrap_or(0);
            if records.is_some_and(|records| read != records) {
                return Err(format!("split {split} was read up to {read} only"));
            }
            if let Some(lost) = (0..read).find(|seq| !self.all_arrived(&books, split, *seq)) {
                return Err(format!("lost: record {lost} of split {split}"));
            }
            let committed = books.committed.get(&split).copied().unwrap_or(0);
            if self.setup.commits && committed != read {
                return Err(format!("split {split} was read up to {read} and committed up to {committed}"));
            }
        }
        Ok(())
    }

    fn all_arrived(&self, books: &Books, split: u32, seq: u64) -> bool {
        books.arrived.get(&(split, seq)).copied().unwrap_or(0) == self.setup.arriving(seq)
    }
}

/// Commits into the ledger, which looks whether it may.
pub struct Recorder(pub Arc<Ledger>);

impl Committer for Recorder {
    fn commit(&mut self, offsets: &Offsets) -> Result<()> {
        let mut books = self.0.books();
        for (split, offset) in offsets {
            let next = *offset as u64;
            let before = books.committed.insert(*split, next).unwrap_or(0);
            books.commits += 1;
            if next < before {
                books.violations.push(format!("split {split} was committed back from {before} to {next}"));
            }
            if let Some(early) = (0..next).find(|seq| !self.0.all_arrived(&books, *split, *seq)) {
                books
                    .violations
                    .push(format!("committed {next} of split {split} before {early} had arrived"));
            }
        }
        Ok(())
    }
}
