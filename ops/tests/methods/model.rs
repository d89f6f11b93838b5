//! What a job should give: records as a list, and where they are as far as that is certain.

use std::collections::BTreeMap;

use slotflow_runtime::plan::Partitioner;

use super::step::{KEYS, RECORDS, Record, numbered};

/// The records of a stream, and the subtasks they are at.
pub struct Model {
    pub records: Vec<Record>,
    /// Those that were sent aside.
    pub aside: Vec<Record>,
    /// That of the last operator.
    pub parallelism: usize,
    /// Whether a key by source partition must have been refused, or may have been.
    pub refusable: bool,
    /// The partitioner behind the last operator, if there is one.
    open: Option<Partitioner>,
    /// Whether all records are where their source read them: key `k` at subtask `k % sources`.
    at_home: bool,
    sources: usize,
    job: usize,
}

/// Where the records must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Place {
    /// Where the source read them.
    Home,
    /// At the first subtask.
    First,
    /// Where the closure sent them.
    Chosen,
    /// At all subtasks.
    Everywhere,
    /// Wherever.
    Anywhere,
}

impl Place {
    /// Whether these records, each with its subtask, are where they must be.
    pub fn holds(self, arrived: &[(usize, Record)], model: &Model) -> bool {
        let (subtasks, sources) = (model.parallelism, model.sources);
        let is_at = |wanted: fn(u64, usize) -> usize, of: usize| {
            arrived.iter().all(|(subtask, record)| *subtask == wanted(record.0, of))
        };
        match self {
            Place::Home => is_at(|key, sources| key as usize % sources, sources),
            Place::First => is_at(|_, _| 0, 0),
            Place::Chosen => is_at(|key, subtasks| (key as usize / 2) % subtasks, subtasks),
            Place::Everywhere => (0..subtasks).all(|subtask| arrived.iter().any(|it| it.0 == subtask)),
            Place::Anywhere => arrived.iter().all(|(subtask, _)| *subtask < subtasks),
        }
    }
}

/// So many records that a partitioner which spreads them reaches each subtask.
const MANY: usize = 60;

fn source() -> impl Iterator<Item = Record> {
    (0..RECORDS).map(|i| (i % KEYS, 0))
}

impl Model {
    pub fn new(sources: usize, job: usize) -> Model {
        Model {
            records: source().collect(),
            aside: Vec::new(),
            parallelism: sources,
            refusable: false,
            open: None,
            at_home: true,
            sources,
            job,
        }
    }

    pub fn nothing(&mut self) {}

    /// A partitioner: behind another one it is the one that counts.
    pub fn partition(&mut self, partitioner: Partitioner) {
        self.open = Some(partitioner);
    }

    /// An operator that turns each record into some.
    pub fn each(&mut self, each: impl FnMut(Record) -> Vec<Record>) {
        self.operator(None);
        self.records = self.records.drain(..).flat_map(each).collect();
    }

    /// An operator with a parallelism of its own that passes records on.
    pub fn spread_to(&mut self, parallelism: usize) {
        self.operator(Some(parallelism));
    }

    pub fn unchained(&mut self) {
        self.operator(None);
        self.open = Some(Partitioner::Forward);
    }

    /// An operator that makes of the `n`-th of some equal records what `rolled` says.
    pub fn keyed(&mut self, rolled: fn(Record, u64) -> Record) {
        self.open = Some(Partitioner::Hash);
        self.operator(None);
        self.roll(rolled);
    }

    pub fn keyed_at_end(&mut self) {
        self.open = Some(Partitioner::Hash);
        self.operator(None);
        self.records = self.groups().map(|(record, count)| numbered(record, count)).collect();
    }

    /// As [`keyed`](Model::keyed), but refused where something has moved the records.
    pub fn by_source_partition(&mut self) {
        self.open = Some(Partitioner::Forward);
        self.operator(None);
        self.refusable |= !self.at_home;
        self.roll(numbered);
    }

    /// One record that says how many there were.
    pub fn count(&mut self) {
        self.operator(None);
        self.open = Some(Partitioner::Global);
        let count = self.records.len() as u64;
        self.records = vec![(0, count)];
        self.operator(Some(1));
    }

    /// With another source's.
    pub fn union(&mut self) {
        self.close();
        let same = self.parallelism == self.sources;
        self.at_home &= same;
        self.parallelism = if same { self.parallelism } else { self.job };
        self.records.extend(source());
    }

    /// Sends the records aside that are not `main`.
    pub fn split(&mut self, main: fn(&Record) -> bool) {
        self.operator(None);
        let (main, side): (Vec<_>, Vec<_>) = self.records.drain(..).partition(main);
        self.aside.extend(side);
        self.records = main;
    }

    pub fn tee(&mut self) {
        self.close();
        self.aside.extend(&self.records);
    }

    /// Two ways, one of which adds 5, and both together again.
    pub fn diamond(&mut self) {
        self.close();
        let other: Vec<_> = self.records.iter().map(|(key, n)| (*key, n + 5)).collect();
        self.records.extend(other);
    }

    /// The last operator: where its records must be.
    pub fn end(&mut self) -> Place {
        let open = self.open.unwrap_or(Partitioner::Forward);
        self.operator(None);
        match open {
            Partitioner::Global => Place::First,
            Partitioner::Custom => Place::Chosen,
            Partitioner::Rebalance | Partitioner::Shuffle if self.records.len() >= MANY => Place::Everywhere,
            _ if self.at_home => Place::Home,
            _ => Place::Anywhere,
        }
    }

    fn roll(&mut self, rolled: fn(Record, u64) -> Record) {
        self.records =
            self.groups().flat_map(|(record, count)| (1..=count).map(move |n| rolled(record, n))).collect();
    }

    /// The records that differ, and how many there are of each.
    fn groups(&self) -> impl Iterator<Item = (Record, u64)> + use<> {
        let mut groups = BTreeMap::new();
        self.records.iter().for_each(|record| *groups.entry(*record).or_insert(0) += 1);
        groups.into_iter()
    }

    /// A partitioner in front of several edges gets an operator.
    fn close(&mut self) {
        if self.open.is_some() {
            self.operator(None);
        }
    }

    /// Puts an operator behind what is open, with the given parallelism, or with what it inherits.
    fn operator(&mut self, own: Option<usize>) {
        let open = self.open.take().unwrap_or(Partitioner::Forward);
        let stays = open == Partitioner::Forward;
        let parallelism = own.unwrap_or(if stays { self.parallelism } else { self.job });
        if open == Partitioner::Broadcast {
            self.records = self.records.repeat(parallelism);
        }
        self.at_home &= stays && parallelism == self.parallelism;
        self.parallelism = parallelism;
    }
}
