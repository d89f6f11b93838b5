//! What a job and its slots tell about themselves while they run.
//!
//! Every meter has one writer, the thread that owns what it measures, and any number of readers: a
//! count is a relaxed store of the writer's own value, never a read-modify-write.

use crossbeam_utils::CachePadded;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Classes of a ring's fill, each an eighth of its capacity; the last one is the full ring.
pub const FILL_CLASSES: usize = 9;

/// A count with one writer.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds; only the writing thread may call this.
    #[inline]
    pub fn add(&self, amount: u64) {
        self.0.store(self.0.load(Relaxed) + amount, Relaxed);
    }

    /// Raises the value to at least `value`; only the writing thread may call this.
    #[inline]
    pub fn raise(&self, value: u64) {
        if value > self.0.load(Relaxed) {
            self.0.store(value, Relaxed);
        }
    }

    /// Sets the value; only the writing thread may call this.
    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// The value.
    #[inline]
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Measures one ring: its writer's waiting, and how full it was for how long.
///
/// What the two sides write is kept on different cache lines, or counting would cost more than what
/// is counted.
#[derive(Debug)]
pub struct RingMeter {
    capacity: usize,
    writer: CachePadded<WriterSide>,
    /// Written by the reader: the most it found before it took any.
    seen_max: CachePadded<Count>,
}

#[derive(Debug, Default)]
struct WriterSide {
    fill_ns: [Count; FILL_CLASSES],
    blocked_ns: Count,
}

impl RingMeter {
    /// A meter for a ring of `capacity` records.
    pub fn new(capacity: usize) -> RingMeter {
        RingMeter {
            capacity: capacity.max(1),
            writer: CachePadded::default(),
            seen_max: CachePadded::default(),
        }
    }

    /// The ring held `fill` records for `time_ns`. Called by the writer.
    pub fn add_fill(&self, fill: usize, time_ns: u64) {
        self.writer.fill_ns[fill * (FILL_CLASSES - 1) / self.capacity].add(time_ns);
    }

    /// The ring kept its writer waiting. Called by the writer.
    pub fn add_blocked(&self, time_ns: u64) {
        self.writer.blocked_ns.add(time_ns);
    }

    /// The reader found `fill` records. Called by the reader.
    #[inline]
    pub fn note_seen(&self, fill: usize) {
        self.seen_max.raise(fill as u64);
    }

    /// The values so far.
    pub fn snapshot(&self) -> RingSnapshot {
        RingSnapshot {
            capacity: self.capacity,
            fill_ns: std::array::from_fn(|class| self.writer.fill_ns[class].value()),
            blocked_ns: self.writer.blocked_ns.value(),
            seen_max: self.seen_max.value() as usize,
        }
    }
}

/// One ring's values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingSnapshot {
    /// In records.
    pub capacity: usize,
    /// For how long the ring was how full, by eighths of its capacity; the last class is "full".
    pub fill_ns: [u64; FILL_CLASSES],
    /// For how long the ring kept its writer waiting.
    pub blocked_ns: u64,
    /// The most records its reader ever found waiting.
    pub seen_max: usize,
}

impl RingSnapshot {
    /// The time-weighted mean fill, from 0 to 1.
    pub fn mean_fill(&self) -> f64 {
        let total: u64 = self.fill_ns.iter().sum();
        let weighted: f64 =
            self.fill_ns.iter().enumerate().map(|(class, ns)| class as f64 * *ns as f64).sum();
        if total == 0 { 0.0 } else { weighted / total as f64 / (FILL_CLASSES - 1) as f64 }
    }
}

/// Measures one subtask. On lines of its own: its neighbour in memory may belong to another core.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct SubtaskMeter {
    /// Records its head pushed in.
    pub records: Count,
    /// Time in steps that made progress.
    pub busy_ns: Count,
    /// Time between a step that found no room and the next.
    pub blocked_ns: Count,
    /// Time in which it had input waiting while its slot stepped others.
    pub waited_ns: Count,
    /// The longest step.
    pub step_max_ns: Count,
    /// Event time at its input.
    pub watermark: Count,
}

/// The way of latency marks to one sink subtask.
#[derive(Debug)]
#[repr(align(128))]
pub struct LatencyMeter {
    /// Marks by the power of two of their nanoseconds, four classes for each.
    classes: [Count; LatencyMeter::CLASSES],
}

impl Default for LatencyMeter {
    fn default() -> Self {
        LatencyMeter { classes: std::array::from_fn(|_| Count::default()) }
    }
}

impl LatencyMeter {
    const CLASSES: usize = 4 * 64;

    /// Counts a mark that took `latency_ns`. Called by the sink's subtask.
    pub fn add(&self, latency_ns: u64) {
        let latency_ns = latency_ns.max(4);
        let power = latency_ns.ilog2() as usize;
        let quarter = (latency_ns >> (power - 2)) as usize & 3;
        self.classes[power * 4 + quarter].add(1);
    }

    /// The counts, to be merged with others.
    pub fn snapshot(&self) -> Latencies {
        Latencies { classes: self.classes.iter().map(Count::value).collect() }
    }
}

/// A latency histogram with an error below 25 %.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latencies {
    classes: Vec<u64>,
}

impl Latencies {
    /// Adds the counts of another.
    pub fn merge(&mut self, other: &Latencies) {
        self.classes.resize(LatencyMeter::CLASSES, 0);
        self.classes.iter_mut().zip(&other.classes).for_each(|(sum, count)| *sum += count);
    }

    /// How many marks arrived.
    pub fn count(&self) -> u64 {
        self.classes.iter().sum()
    }

    /// The upper bound of the class that holds quantile `q` (0 to 1), in nanoseconds.
    pub fn quantile_ns(&self, q: f64) -> u64 {
        let rank = (self.count() as f64 * q).ceil() as u64;
        let mut seen = 0;
        for (class, count) in self.classes.iter().enumerate() {
            seen += count;
            if seen >= rank && seen > 0 {
                let (power, quarter) = (class / 4, class as u64 % 4);
                return (5 + quarter) << power.saturating_sub(2);
            }
        }
        0
    }
}

/// Measures one slot; its shares add up to the time since it began.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct SlotMeter {
    /// Rounds that made progress.
    pub useful_ns: Count,
    /// Rounds that found nothing to do.
    pub spinning_ns: Count,
    /// Asleep.
    pub parked_ns: Count,
    /// Rounds in which some subtask found no room and none made progress.
    pub blocked_ns: Count,
    /// Time the system gave to somebody else.
    pub stalled_ns: Count,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_within_a_quarter() {
        let meter = LatencyMeter::default();
        for latency in 1..=10_000u64 {
            meter.add(latency);
        }
        let latencies = meter.snapshot();
        for (q, exact) in [(0.5, 5_000.0), (0.99, 9_900.0), (1.0, 10_000.0)] {
            let found = latencies.quantile_ns(q) as f64;
            assert!(found >= exact * 0.99 && found <= exact * 1.26, "{q}: {found}");
        }
        assert_eq!(latencies.count(), 10_000);
    }

    #[test]
    fn fill_is_weighted_by_time() {
        let meter = RingMeter::new(8);
        meter.add_fill(8, 300);
        meter.add_fill(0, 100);
        assert_eq!(meter.snapshot().mean_fill(), 0.75);
    }
}
