//! State in memory as bytes, key group by key group.

use std::collections::BTreeMap;

use slotflow_runtime::{Error, Key, MIN_TIMESTAMP, Result, Timestamp, key_group};

use super::bytes::{read, write};
use super::storing::{Groups, save};
use super::{At, Columns, Due, InMemory, Now, State, StateBackend, StateSize, Stored, TimeDomain};
use crate::keyed::Assigner;

/// The format of this file: states by name and version, then keys.
const FORMAT: u32 = 1;

/// What each timer of a row was registered for, and when it is due.
pub(super) type TimersByRow = BTreeMap<u32, Vec<(Timestamp, Timestamp)>>;

/// What stands in front of the keys.
#[derive(serde::Serialize, serde::Deserialize)]
pub(super) struct Header {
    format: u32,
    /// Name and version of each state, in the order in which each key has them.
    states: Vec<(String, u32)>,
    keys: usize,
}

impl Header {
    /// Of so many keys that have these states.
    pub(super) fn of(columns: &Columns, keys: usize) -> Header {
        let described = columns.descriptors().iter();
        let states = described.map(|state| (state.name.clone(), state.version)).collect();
        Header { format: FORMAT, states, keys }
    }
}

impl<K: Key + State> StateBackend for InMemory<K> {
    fn snapshot(&self, group: usize, into: &mut Vec<u8>) -> Result<()> {
        self.check(group)?;
        let keys = self.table.group(group, self.groups).count();
        self.check_home(group, keys)?;
        write(&Header::of(&self.columns, keys), into)?;
        let timers =
            [TimeDomain::EventTime, TimeDomain::ProcessingTime].map(|time| self.timers_of(group, time));
        for (key, row) in self.table.group(group, self.groups) {
            write(key, into)?;
            save(&self.columns, row.row, into)?;
            timers.iter().try_for_each(|timers| write(&timers.get(&row.row), into))?;
        }
        Ok(())
    }

    fn begin_snapshot(&mut self) -> Result<()> {
        self.begin()
    }

    fn continue_snapshot(&mut self) -> Result<Stored> {
        self.go_on()
    }

    fn abandon_snapshot(&mut self) {
        self.abandon();
    }

    fn restore(&mut self, group: usize, mut from: &[u8]) -> Result<()> {
        self.check(group)?;
        let Header { format, states, keys } = read(&mut from)?;
        if format != FORMAT {
            let what = format!("stored state has format {format}, and this version reads {FORMAT}");
            return Err(Error::world(what, "read it with the version that wrote it"));
        }
        self.check_home(group, keys)?;
        let columns = states.iter().map(|state| self.column_of(state)).collect::<Result<Vec<_>>>()?;
        (0..keys).try_for_each(|_| self.restore_key(group, &columns, &mut from))
    }

    fn size(&self) -> StateSize {
        InMemory::size(self)
    }
}

/// What is wrong with a state, by its name.
pub(super) fn in_state(name: &str, error: &Error) -> Error {
    Error::user(format!("state \"{name}\": {error}"))
}

impl<K: Key + State> InMemory<K> {
    fn check(&self, group: usize) -> Result<()> {
        if group < self.groups {
            return Ok(());
        }
        let what = format!("key group {group} is not one of the job's {}", self.groups);
        Err(Error::world(what, "start with the `max_parallelism` that the state was stored with"))
    }

    /// Keys of a group that are somewhere else than where the group is looked for would not be found again. By source
    /// partition they can be, where partitions that share a group are read by several subtasks.
    pub(super) fn check_home(&self, group: usize, keys: usize) -> Result<()> {
        let (index, parallelism) = self.subtask;
        let home = group % parallelism;
        if keys == 0 || self.assigner == Assigner::Hash || home == index {
            return Ok(());
        }
        Err(Error::world(
            format!(
                "key group {group} by source partition belongs to subtask {home} of {parallelism}, and not to \
                 subtask {index}"
            ),
            "where there are more partitions than key groups, give a `max_parallelism` that the parallelism \
             divides, or one of at least as many as there are partitions; of several topics, use key_by",
        ))
    }

    /// The timers of a key group by row: what each was registered for, and when it is due.
    fn timers_of(&self, group: usize, time: TimeDomain) -> TimersByRow {
        let groups = Groups { assigner: self.assigner, count: self.groups };
        let (mut by_row, here) =
            (TimersByRow::new(), |(due, _): &(Due, _)| groups.of(due.hash, due.split) == group);
        for (due, when) in self.timers.all(time).filter(here) {
            by_row.entry(due.row).or_default().push((due.time, when));
        }
        by_row
    }

    /// Where a stored state is kept now.
    fn column_of(&self, (name, version): &(String, u32)) -> Result<usize> {
        let declared = self.columns.descriptors().iter().position(|state| state.name == *name);
        let Some(column) = declared else {
            let what = format!("there is stored state \"{name}\", and no such state is declared");
            return Err(Error::world(what, "declare it, if only to clear it"));
        };
        let known = self.columns.descriptors()[column].version;
        if known != *version {
            let what =
                format!("stored state \"{name}\" has version {version}, and version {known} is declared");
            return Err(Error::world(what, "declare the version that was stored"));
        }
        Ok(column)
    }

    fn restore_key(&mut self, group: usize, columns: &[usize], from: &mut &[u8]) -> Result<()> {
        let (key, split, now) = (read::<K>(from)?, group as u32, Now::NEVER);
        let hash = key.hash();
        let home = key_group(hash, self.groups);
        if self.assigner == Assigner::Hash && home != group {
            let what = format!("a key of group {home} was stored in group {group}");
            return Err(Error::world(
                what,
                "start with the `max_parallelism` that the state was stored with",
            ));
        }
        let (entry, states, timers) = self.enter(None, key, split, |_, _| false, |key| key);
        let mut at = At { row: entry.1.row, live: 0, now };
        for column in columns {
            let loaded = states.any(*column).load(&mut at, from);
            loaded.map_err(|error| in_state(&states.descriptors()[*column].name, &error))?;
        }
        for domain in [TimeDomain::EventTime, TimeDomain::ProcessingTime] {
            let times: Option<Vec<(Timestamp, Timestamp)>> = read(from)?;
            for (time, when) in times.unwrap_or_default() {
                let due = Due { time, row: at.row, hash, split };
                at.live += u32::from(timers.of(domain).restore(due, when));
            }
        }
        entry.1.live = at.live;
        Ok(())
    }
}

impl Now {
    /// Before all time: nothing is over yet.
    const NEVER: Now = Now { event: MIN_TIMESTAMP, processing: MIN_TIMESTAMP };
}
