//! How much a source fetches ahead: one budget, divided over its partitions.

use std::fmt;

/// The least that a partition gets: less, and each fetch is a few records.
const LEAST_BYTES: usize = 64 << 10;

/// The most that one fetch asks of a partition: librdkafka's own default.
const MOST_FETCH_BYTES: usize = 1 << 20;

/// The most that one fetch asks of a broker, and the most that a queue may hold: librdkafka's own default and bound.
const MOST_ANSWER_BYTES: usize = 50 << 20;
const MOST_QUEUE_KBYTES: usize = 2_097_151;

/// What a source may fetch ahead, over all its partitions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prefetch {
    pub bytes: usize,
}

impl Default for Prefetch {
    /// A guess: 0.1 s of what four subtasks read at 160 MB/s each.
    fn default() -> Prefetch {
        Prefetch { bytes: 64 << 20 }
    }
}

impl fmt::Display for Prefetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "prefetch: {} KiB over all partitions", self.bytes >> 10)
    }
}

impl Prefetch {
    /// The share of a subtask that has so many of all the partitions.
    pub fn share(self, own: usize, all: usize) -> Share {
        let partition = (self.bytes / all.max(1)).max(LEAST_BYTES);
        Share { partition, subtask: partition * own.max(1) }
    }
}

/// The share of one subtask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    /// The bytes of each of its partitions.
    partition: usize,
    /// The bytes of all of them.
    subtask: usize,
}

impl Share {
    /// It, in librdkafka's settings.
    pub fn settings(self) -> [(&'static str, usize); 3] {
        [
            ("queued.max.messages.kbytes", (self.subtask >> 10).clamp(1, MOST_QUEUE_KBYTES)),
            ("fetch.message.max.bytes", self.partition.min(MOST_FETCH_BYTES)),
            ("fetch.max.bytes", self.subtask.min(MOST_ANSWER_BYTES)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(bytes: usize, own: usize, all: usize) -> [usize; 3] {
        Prefetch { bytes }.share(own, all).settings().map(|(_, value)| value)
    }

    #[test]
    fn subtasks_share_by_their_partitions() {
        assert_eq!(settings(64 << 20, 2, 8), [16 << 10, 1 << 20, 16 << 20]);
        assert_eq!(settings(8 << 20, 1, 32), [256, 256 << 10, 256 << 10]);
    }

    #[test]
    fn a_partition_has_at_least_its_least_and_librdkafka_no_more_than_it_takes() {
        assert_eq!(settings(0, 4, 1_000), [256, 64 << 10, 256 << 10]);
        assert_eq!(settings(usize::MAX >> 1, 1, 1), [MOST_QUEUE_KBYTES, 1 << 20, MOST_ANSWER_BYTES]);
        assert_eq!(settings(64 << 20, 0, 0), [64 << 10, 1 << 20, MOST_ANSWER_BYTES]);
    }
}
