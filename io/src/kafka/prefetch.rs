//! How much a source fetches ahead: one budget, divided over its partitions.
//!
//! librdkafka counts the payloads that wait in a subtask's queue, and asks for more while they are below its bound. It
//! does not count what a message takes besides, nor what is under way when the bound is reached. So the share of a
//! subtask is divided, and all of it together stays within the share:
//!
//! | part of the share | for |
//! |---|---|
//! | 3/8 | what each message takes besides, which bounds their number |
//! | 1/8 | the answer that is under way |
//! | the rest: half, or more where 100,000 messages or 1 MiB a partition are less than the above | payloads that wait |
//!
//! Small records use up the first, large ones the last.

use std::fmt;

/// The least that a partition gets: less, and each fetch is a few records.
const LEAST_BYTES: usize = 64 << 10;

/// What a message takes in librdkafka besides its payload: an operation in a queue (measured; see PERF.md).
const MESSAGE_BYTES: usize = 384;

/// The most messages that may wait: librdkafka's own default.
const MOST_MESSAGES: usize = 100_000;

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
    pub fn settings(self) -> [(&'static str, usize); 4] {
        let Share { partition, subtask } = self;
        let messages = (subtask / 8 * 3 / MESSAGE_BYTES).min(MOST_MESSAGES);
        let fetch = (partition / 8).min(MOST_FETCH_BYTES);
        let payloads = subtask - messages * MESSAGE_BYTES - subtask / partition * fetch;
        [
            ("queued.max.messages.kbytes", (payloads >> 10).min(MOST_QUEUE_KBYTES)),
            ("queued.min.messages", messages),
            ("fetch.message.max.bytes", fetch),
            ("fetch.max.bytes", (subtask / 8).min(MOST_ANSWER_BYTES)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(bytes: usize, own: usize, all: usize) -> [usize; 4] {
        Prefetch { bytes }.share(own, all).settings().map(|(_, value)| value)
    }

    #[test]
    fn subtasks_share_by_their_partitions() {
        assert_eq!(settings(64 << 20, 2, 8), [8 << 10, 16 << 10, 1 << 20, 2 << 20]);
        assert_eq!(settings(8 << 20, 1, 32), [128, 256, 32 << 10, 32 << 10]);
    }

    #[test]
    fn what_waits_what_it_takes_besides_and_what_is_under_way_are_a_share_together() {
        for (bytes, own, all) in [(1 << 20, 1, 1), (16 << 20, 4, 4), (64 << 20, 1, 3), (1 << 30, 5, 10)] {
            let [kbytes, messages, fetch, _] = settings(bytes, own, all);
            let together = (kbytes << 10) + messages * MESSAGE_BYTES + own * fetch;
            let share = bytes / all * own;
            assert!((share * 9 / 10..=share).contains(&together), "{together} of {share}");
        }
    }

    #[test]
    fn a_partition_has_at_least_its_least_and_librdkafka_no_more_than_it_takes() {
        assert_eq!(settings(0, 4, 1_000), [128, 256, 8 << 10, 32 << 10]);
        let most = [MOST_QUEUE_KBYTES, MOST_MESSAGES, 1 << 20, MOST_ANSWER_BYTES];
        assert_eq!(settings(usize::MAX >> 3, 1, 1), most);
        assert_eq!(settings(64 << 20, 0, 0), [39 << 10, 64 << 10, 1 << 20, 8 << 20]);
    }
}
