//! What a job and its slots tell about themselves while they run.
//!
//! Every meter has one writer, the thread that owns what it measures, and any number of readers: a
//! count is a relaxed store of the writer's own value, never a read-modify-write.

use std::sync::OnceLock;
use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use crossbeam_utils::CachePadded;

use crate::Clock;
pub use crate::measures::{Dropped, OperatorMeters, OperatorMetrics};

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
    ends: Ends,
}

/// What each end says when it goes. Whoever goes last may have moved since the other has counted, so only both
/// together say what is left.
#[derive(Debug, Default)]
struct Ends {
    /// How many records were sent.
    sent: OnceLock<u64>,
    /// How many records were taken, and how many more lay there.
    taken: OnceLock<(u64, u64)>,
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
            ends: Ends::default(),
        }
    }

    /// The writer goes, and has sent so many records.
    pub fn writer_goes(&self, sent: u64) {
        let _once = self.ends.sent.set(sent);
    }

    /// The reader goes, has taken so many records and leaves so many more in the ring.
    pub fn reader_goes(&self, taken: u64, left: u64) {
        let _once = self.ends.taken.set((taken, left));
    }

    /// How many records its reader did not take. Exact once both ends have gone; while the writer is there, those that
    /// lay there when the reader went; and none while the reader is there, who may take them yet.
    pub fn unread(&self) -> u64 {
        let Some((taken, left)) = self.ends.taken.get() else { return 0 };
        self.ends.sent.get().map_or(*left, |sent| sent.saturating_sub(*taken))
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
    /// What came since an earlier look; `seen_max` stays that of all the time.
    pub fn since(&self, earlier: &RingSnapshot) -> RingSnapshot {
        RingSnapshot {
            fill_ns: std::array::from_fn(|class| self.fill_ns[class].saturating_sub(earlier.fill_ns[class])),
            blocked_ns: self.blocked_ns.saturating_sub(earlier.blocked_ns),
            ..self.clone()
        }
    }

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
    /// Time between a step that took no input, for want of room or because an operator waits, and the next.
    pub blocked_ns: Count,
    /// When the last such step was, if there was none since; 0 otherwise.
    pub blocked_since_ns: Count,
    /// Time in which it had input waiting while its slot stepped others.
    pub waited_ns: Count,
    /// The longest step.
    pub step_max_ns: Count,
    /// Event time at its input.
    pub watermark: Count,
    /// What its operators tell of themselves.
    pub operators: OperatorMeters,
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

    /// What came since an earlier look.
    pub fn since(&self, earlier: &Latencies) -> Latencies {
        let before = earlier.classes.iter().copied().chain(std::iter::repeat(0));
        Latencies { classes: self.classes.iter().zip(before).map(|(now, then)| now - then).collect() }
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

/// What a slot's core did between two rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spent {
    /// A round that made progress.
    Useful,
    /// A round that found nothing to do.
    Spinning,
    /// A round in which some subtask found no room and none made progress.
    Blocked,
    /// A sleep.
    Parked,
}

/// Measures one slot. What is booked, and the time since, add up to the time since it began.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct SlotMeter {
    slot: usize,
    /// By `Spent`.
    booked_ns: [Count; 4],
    /// When it was made; 0 if nobody said.
    began_ns: u64,
    /// How many subtasks it has; without any, all its time is parked.
    subtasks: Count,
    asleep: AtomicBool,
}

impl SlotMeter {
    /// A meter for the pool's slot of this number, whose time begins now.
    pub fn of(slot: usize, began_ns: u64) -> SlotMeter {
        SlotMeter { slot, began_ns, ..SlotMeter::default() }
    }

    /// When its time began, on the pool's clock.
    pub fn began_ns(&self) -> u64 {
        self.began_ns
    }

    /// The slot's number in the pool.
    pub fn slot(&self) -> usize {
        self.slot
    }

    /// Books time, a subtask of the slot or none having run in it. Called by the core.
    #[inline]
    pub fn book(&self, spent: Spent, took_ns: u64) {
        let spent = if self.subtasks.value() == 0 { Spent::Parked } else { spent };
        self.booked_ns[spent as usize].add(took_ns);
    }

    /// The slot has one subtask more, or one less. Called by the core.
    pub fn seat(&self, arrived: bool) {
        let seated = self.subtasks.value();
        self.subtasks.set(if arrived { seated + 1 } else { seated.saturating_sub(1) });
    }

    /// The core goes to sleep, or has booked its sleep.
    pub fn set_asleep(&self, asleep: bool) {
        self.asleep.store(asleep, Release);
    }

    /// The values so far. What is not booked yet counts as what the core is in the middle of; the clock is
    /// read after the values, so it is never behind them.
    pub fn snapshot(&self, clock: &Clock) -> SlotTimes {
        let parked = self.asleep.load(Acquire) || self.subtasks.value() == 0;
        let [useful_ns, spinning_ns, blocked_ns, parked_ns] =
            std::array::from_fn(|spent| self.booked_ns[spent].value());
        let mut times = SlotTimes { useful_ns, spinning_ns, blocked_ns, parked_ns, preempted_ns: 0 };
        if self.began_ns != 0 {
            let booked_ns = useful_ns + spinning_ns + blocked_ns + parked_ns;
            let open_ns = (clock.now_ns() - self.began_ns).saturating_sub(booked_ns);
            *(if parked { &mut times.parked_ns } else { &mut times.useful_ns }) += open_ns;
        }
        times
    }
}

/// One slot's time as its core booked it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotTimes {
    /// Rounds that made progress.
    pub useful_ns: u64,
    /// Rounds that found nothing to do.
    pub spinning_ns: u64,
    /// Rounds that found no room.
    pub blocked_ns: u64,
    /// Asleep, or without subtasks.
    pub parked_ns: u64,
    /// For how long the system ran somebody else although the core was ready; part of the others.
    pub preempted_ns: u64,
}

impl SlotTimes {
    /// What came since an earlier look. The shares add up to the time between the two looks, although what
    /// was the middle of a round then may have been booked under another name since.
    pub fn since(&self, earlier: &SlotTimes) -> SlotTimes {
        let (now, then) = (self.shares(), earlier.shares());
        let mut shares: [u64; 4] = std::array::from_fn(|share| now[share].saturating_sub(then[share]));
        let passed = now.iter().sum::<u64>().saturating_sub(then.iter().sum());
        let mut over = shares.iter().sum::<u64>().saturating_sub(passed);
        for share in &mut shares {
            let taken = over.min(*share);
            (*share, over) = (*share - taken, over - taken);
        }
        let [useful_ns, spinning_ns, blocked_ns, parked_ns] = shares;
        let preempted_ns = self.preempted_ns.saturating_sub(earlier.preempted_ns);
        SlotTimes { useful_ns, spinning_ns, blocked_ns, parked_ns, preempted_ns }
    }

    fn shares(&self) -> [u64; 4] {
        [self.useful_ns, self.spinning_ns, self.blocked_ns, self.parked_ns]
    }
}

/// A subtask that did not return from its step within `slots.stall_ms`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stall {
    /// Its slot, operator and number.
    pub who: String,
    /// How often that happened.
    pub count: u64,
    /// For how long it has been in its step now; 0 if it has returned.
    pub running_ns: u64,
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
    fn an_open_round_is_booked_under_another_name_and_nothing_is_lost() {
        let (clock, meter) = (Clock::manual(), SlotMeter::of(0, 1));
        meter.seat(true);
        clock.advance(100);
        let then = meter.snapshot(&clock);
        assert_eq!((then.useful_ns, then.spinning_ns), (100, 0), "the core is in the middle of something");
        meter.book(Spent::Spinning, 100);
        clock.advance(50);
        let now = meter.snapshot(&clock);
        assert_eq!(now.shares(), [50, 100, 0, 0]);
        assert_eq!(now.since(&then).shares().iter().sum::<u64>(), 50);
    }

    #[test]
    fn a_slot_without_subtasks_is_parked() {
        let (clock, meter) = (Clock::manual(), SlotMeter::of(3, 1));
        clock.advance(70);
        meter.book(Spent::Useful, 30);
        assert_eq!(meter.snapshot(&clock).shares(), [0, 0, 0, 70]);
    }

    #[test]
    fn fill_is_weighted_by_time() {
        let meter = RingMeter::new(8);
        meter.add_fill(8, 300);
        meter.add_fill(0, 100);
        assert_eq!(meter.snapshot().mean_fill(), 0.75);
    }
}
