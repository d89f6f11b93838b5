//! Where a source begins and where it ends, as its user says it.

use slotflow_runtime::{Offset, SplitId};

/// Where a Kafka source begins to read.
///
/// A named offset that is not there (any more) fails the start, or the job at its first fetch; nothing is passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// At the oldest record that is still there, whatever the group has committed.
    Earliest,
    /// Behind the newest record, whatever the group has committed.
    Latest,
    /// Where the group has committed; a partition for which it has not fails the start.
    Group,
    /// Where the group has committed, else at the oldest record.
    #[default]
    GroupOrEarliest,
    /// Where the group has committed, else behind the newest record; that place is committed before anything is read,
    /// so that no restart leaves out what comes behind it. A partition that is made while the job runs begins at its
    /// oldest record, if a process reads it that was there before it was.
    GroupOrLatest,
    /// At the first record of each partition with this time or a later one, in milliseconds since the Unix epoch;
    /// behind the newest record where there is none.
    Timestamp(i64),
    /// At these offsets; partitions that are not among them at the oldest record. One of a partition that is not read
    /// is an error of the start.
    Offsets(Vec<PartitionOffset>),
}

impl Start {
    pub(super) fn asks_group(&self) -> bool {
        matches!(self, Start::Group | Start::GroupOrEarliest | Start::GroupOrLatest)
    }

    pub(super) fn is_latest(&self) -> bool {
        matches!(self, Start::Latest | Start::GroupOrLatest)
    }

    /// The offsets it names.
    pub(super) fn named(&self) -> &[PartitionOffset] {
        match self {
            Start::Offsets(offsets) => offsets,
            _ => &[],
        }
    }
}

/// Where a bounded Kafka source ends: in front of this, in each partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// What is the end of the partition when the job starts.
    Latest,
    /// The first record with this time or a later one that is there when the job starts, in milliseconds since the
    /// Unix epoch; what is the end then where there is none.
    Timestamp(i64),
    /// These offsets, which need not be there yet; of partitions that are not among them, what is the end when the
    /// job starts. One of a partition that is not read is an error of the start.
    Offsets(Vec<PartitionOffset>),
}

impl Stop {
    /// The offsets it names.
    pub(super) fn named(&self) -> &[PartitionOffset] {
        match self {
            Stop::Offsets(offsets) => offsets,
            _ => &[],
        }
    }
}

/// An offset in a partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionOffset {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: SplitId,
    /// The offset of the record there, from 0.
    pub offset: Offset,
}

impl PartitionOffset {
    /// The offset of that partition.
    ///
    /// ```
    /// use slotflow_io::kafka::{PartitionOffset, Start};
    ///
    /// let start = Start::Offsets(vec![PartitionOffset::new("words", 0, 17)]);
    /// ```
    pub fn new(topic: impl Into<String>, partition: SplitId, offset: Offset) -> PartitionOffset {
        PartitionOffset { topic: topic.into(), partition, offset }
    }

    pub(super) fn find(all: &[PartitionOffset], topic: &str, partition: SplitId) -> Option<Offset> {
        let found = all.iter().find(|it| it.topic == topic && it.partition == partition);
        found.map(|it| it.offset)
    }
}
