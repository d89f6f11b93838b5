//! What a source has got over, in numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a Kafka source has got over while it runs: nothing is lost by any of it, but each is worth a look.
///
/// ```no_run
/// # use slotflow_io::kafka::KafkaSource;
/// let source = KafkaSource::new("127.0.0.1:9092").topic("words").group("upper");
/// let counts = source.counts();
/// // Later, while the job runs:
/// println!("{} consumers renewed", counts.consumers_renewed());
/// ```
#[derive(Clone, Debug, Default)]
pub struct SourceCounts(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    renewed: AtomicU64,
    not_assigned: AtomicU64,
}

impl SourceCounts {
    /// How often a consumer stood still and was made anew; see [`renew_after`](super::KafkaSource::renew_after).
    pub fn consumers_renewed(&self) -> u64 {
        self.0.renewed.load(Ordering::Relaxed)
    }

    /// How often a partition could not be assigned to its consumer, which is tried again.
    pub fn assignments_failed(&self) -> u64 {
        self.0.not_assigned.load(Ordering::Relaxed)
    }

    // Numbers by themselves: nothing is read because of them that would have to be there.
    pub(super) fn renewed(&self) {
        self.0.renewed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn not_assigned(&self) {
        self.0.not_assigned.fetch_add(1, Ordering::Relaxed);
    }
}
