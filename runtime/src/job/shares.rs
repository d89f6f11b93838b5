//! A slot's time, split into shares that add up.

use crate::metrics::SlotTimes;

/// One slot's time, split so that the shares add up to the whole.
#[derive(Clone, Debug)]
pub struct SlotMetrics {
    /// The slot's number in the pool.
    pub slot: usize,
    /// Its core thread's number in the pool: slots with the same one take turns.
    pub core: usize,
    /// Its CPU, if it is pinned.
    pub cpu: Option<usize>,
    /// Rounds that made progress.
    pub useful_ns: u64,
    /// Rounds that found nothing to do.
    pub spinning_ns: u64,
    /// Asleep, or without subtasks.
    pub parked_ns: u64,
    /// Rounds that found no room.
    pub blocked_ns: u64,
    /// Ready to run, but the system ran somebody else.
    pub stalled_ns: u64,
    /// As the core booked it, for differences.
    times: SlotTimes,
}

impl SlotMetrics {
    /// Splits what the core booked, taking the time it was kept off its CPU out of the shares in which it
    /// thought it ran.
    pub(crate) fn new(slot: usize, core: usize, cpu: Option<usize>, times: SlotTimes) -> SlotMetrics {
        let SlotTimes { useful_ns, spinning_ns, blocked_ns, parked_ns, preempted_ns } = times;
        let awake = useful_ns + spinning_ns + blocked_ns;
        let stalled = preempted_ns.min(awake);
        let kept =
            |share: u64| share - (u128::from(share) * u128::from(stalled) / u128::from(awake.max(1))) as u64;
        let (useful_ns, spinning_ns, blocked_ns) = (kept(useful_ns), kept(spinning_ns), kept(blocked_ns));
        let stalled_ns = awake - useful_ns - spinning_ns - blocked_ns;
        SlotMetrics { slot, core, cpu, useful_ns, spinning_ns, parked_ns, blocked_ns, stalled_ns, times }
    }

    /// All of it: the time that passed.
    pub fn total_ns(&self) -> u64 {
        self.useful_ns + self.spinning_ns + self.parked_ns + self.blocked_ns + self.stalled_ns
    }

    /// What came since an earlier look at the same slot.
    #[must_use]
    pub fn since(&self, earlier: &SlotMetrics) -> SlotMetrics {
        SlotMetrics::new(self.slot, self.core, self.cpu, self.times.since(&earlier.times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preemption_is_taken_out_of_the_time_awake_and_nothing_is_lost() {
        let times =
            SlotTimes { useful_ns: 701, spinning_ns: 200, blocked_ns: 99, parked_ns: 500, preempted_ns: 333 };
        let slot = SlotMetrics::new(0, 0, None, times);
        assert_eq!(slot.total_ns(), 1_500);
        assert_eq!((slot.useful_ns, slot.parked_ns), (468, 500));
        assert!((330..=336).contains(&slot.stalled_ns), "{slot:?}");
    }

    #[test]
    fn more_preemption_than_the_slot_was_awake_is_no_more_than_that() {
        let times = SlotTimes { useful_ns: 10, parked_ns: 90, preempted_ns: 1_000, ..SlotTimes::default() };
        let slot = SlotMetrics::new(0, 0, None, times);
        assert_eq!((slot.useful_ns, slot.stalled_ns, slot.total_ns()), (0, 10, 100));
    }
}
