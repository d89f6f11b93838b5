//! A core's watch: the clock, and in between the core's own counter of cycles, which is asked in a third of the time.
//!
//! 1. The watch is set by the clock: that is looked at, and right behind it the counter. For [`GOOD_NS`] from there on
//!    the watch adds what the counter has counted since, then it is set anew. So should the counter jump, a time is not
//!    further off than that.
//! 2. How long a cycle takes is measured between two settings, [`PACE_NS`] apart or more. It is known once two measures
//!    agree, and until then, and whenever they do not, the watch says what the clock says.
//! 3. The watch is slow rather than fast: a cycle counts for a little less than it takes ([`SLOWER`]). So it is not
//!    ahead of the clock while that goes evenly, and behind by no more than a look at it takes. Two cores' watches may
//!    differ by as much, at most a fraction of a microsecond: who compares their times must expect that.
//! 4. Who is interrupted between a look at the clock and one at the counter has not set the watch: the clock's word
//!    counts this once.
//! 5. It never goes back, whatever the clock and the counter say.

use crate::Clock;
use crate::machine::{cycles, cycles_are_even};

/// For how long a setting is good: by then the watch is six nanoseconds behind, and to set it costs 0.03 % of that
/// time (both by [`SLOWER`] and what a look at the clock takes; 30 ns, PERF.md).
const GOOD_NS: u64 = 100_000;

/// Over how long a cycle's length is measured at least: a look is some 30 ns uncertain, three millionths of this, and
/// at worst as many cycles as `INTERRUPTED`, fifty millionths at a gigahertz.
const PACE_NS: u64 = 10_000_000;

/// And at most: in between a machine may have slept, and the counter with it or not.
const PACE_NS_MOST: u64 = 10 * PACE_NS;

/// A cycle counts for so much less than it takes, as a power of two: 61 millionths, more than what is uncertain.
const SLOWER: u32 = 14;

/// Who needs more cycles than this to look at the clock was interrupted (a guess: it takes a hundred).
const INTERRUPTED: u64 = 500;

/// Two measures agree that differ by no more than this part, as a power of two: a thousandth, far more than what is
/// uncertain. Who trusts a wrong one is off by a tenth of a microsecond.
const ALIKE: u32 = 10;

/// A cycle's length is told in this part of a nanosecond, as a power of two.
const FINE: u32 = 32;

/// A setting of the watch.
#[derive(Clone, Copy, Debug, Default)]
struct Setting {
    ns: u64,
    cycles: u64,
}

/// The time as one core knows it.
#[derive(Debug)]
pub(super) struct Watch {
    clock: Clock,
    /// Whether there is a counter that is of use.
    counts: bool,
    set: Setting,
    /// For how many cycles the setting is good; 0 while a cycle's length is not known.
    good_for: u64,
    /// What is added for a cycle, in nanoseconds shifted by `FINE`.
    cycle: u64,
    /// How long one took when it was measured last.
    measured: u64,
    /// Where the measure of a cycle began, if it did.
    paced: Option<Setting>,
    told_ns: u64,
}

impl Watch {
    /// A watch that says what `clock` says. One that is moved by hand is asked each time.
    pub(super) fn new(clock: Clock) -> Watch {
        let counts = matches!(clock, Clock::System { .. }) && cycles_are_even();
        let set = Setting::default();
        Watch { clock, counts, set, good_for: 0, cycle: 0, measured: 0, paced: None, told_ns: 0 }
    }

    /// Nanoseconds on the clock.
    #[inline]
    pub(super) fn now_ns(&mut self) -> u64 {
        // Where the counter is of no use it is not asked: whoever forbids it lets a clock be that is moved by hand.
        match self.counts.then(cycles).flatten() {
            Some(now) => self.at(now, |clock| Some(Setting { ns: clock.now_ns(), cycles: cycles()? })),
            None => self.clock.now_ns(),
        }
    }

    /// The time when the counter says `now`; where that is not enough it is set by a `look` at the clock.
    #[inline(always)]
    fn at(&mut self, now: u64, look: impl FnOnce(&Clock) -> Option<Setting>) -> u64 {
        let passed = now.wrapping_sub(self.set.cycles);
        let ns = if passed < self.good_for {
            self.set.ns + ((passed * self.cycle) >> FINE)
        } else {
            look(&self.clock).map_or(self.told_ns, |seen| self.set(now, seen))
        };
        self.told_ns = self.told_ns.max(ns);
        self.told_ns
    }

    #[cold]
    #[inline(never)]
    fn set(&mut self, before: u64, seen: Setting) -> u64 {
        if seen.cycles.wrapping_sub(before) > INTERRUPTED {
            return seen.ns;
        }
        self.measure(seen);
        self.set = seen;
        seen.ns
    }

    /// Measures a cycle, if it is time to.
    fn measure(&mut self, seen: Setting) {
        let Some(since) = self.paced else {
            self.paced = Some(seen);
            return;
        };
        let (ns, cycles) = (seen.ns.saturating_sub(since.ns), seen.cycles.wrapping_sub(since.cycles));
        if ns < PACE_NS {
            return;
        }
        self.paced = Some(seen);
        if ns > PACE_NS_MOST || cycles == 0 {
            return;
        }
        let measured = (ns << FINE) / cycles;
        let agrees = measured.abs_diff(self.measured) <= measured >> ALIKE && measured > 0;
        self.measured = measured;
        self.cycle = measured - (measured >> SLOWER);
        self.good_for = if agrees { (GOOD_NS << FINE) / self.cycle } else { 0 };
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    /// A machine whose counter counts `mhz`, and a watch on it.
    struct Machine {
        ns: u64,
        mhz: u64,
        watch: Watch,
    }

    impl Machine {
        fn new(mhz: u64) -> Machine {
            let mut watch = Watch::new(Clock::system());
            watch.counts = true;
            Machine { ns: 1, mhz, watch }
        }

        fn cycles(&self) -> u64 {
            self.ns * self.mhz / 1_000
        }

        /// What the watch says after so long, and how far that is behind the clock. A look at the clock takes
        /// `look_ns`, and sees it after a part of that, in hundredths.
        fn after(&mut self, ns: u64, look_ns: u64, part: u64) -> (u64, i64) {
            self.ns += ns;
            let (before, seen) = (self.cycles(), self.ns + look_ns * part / 100);
            let (mut now, mut until) = (self.ns, self.ns);
            let behind = (self.ns + look_ns) * self.mhz / 1_000;
            let told = self.watch.at(before, |_| {
                (now, until) = (seen, now + look_ns);
                Some(Setting { ns: seen, cycles: behind })
            });
            self.ns = until;
            (told, now as i64 - told as i64)
        }
    }

    #[test]
    fn it_is_set_now_and_then_and_counts_in_between() {
        let mut machine = Machine::new(2_445);
        let mut looks = 0;
        for _ in 0..100_000 {
            let before = machine.ns;
            machine.after(1_000, 30, 50);
            looks += u64::from(machine.ns > before + 1_000);
        }
        // Twenty thousand while it measures a cycle twice, then one in a hundred.
        assert!((20_000..21_500).contains(&looks), "{looks} looks in 100 ms");
    }

    #[test]
    fn the_system_s_clock_says_the_same() {
        let (clock, mut last) = (Clock::system(), 0);
        let mut watch = Watch::new(clock.clone());
        while last < Duration::from_millis(50).as_nanos() as u64 {
            let told = watch.now_ns();
            assert!(told >= last && told <= clock.now_ns(), "{last} {told}");
            last = told;
        }
    }

    #[test]
    fn a_clock_that_is_moved_by_hand_is_asked_each_time() {
        let clock = Clock::manual();
        let mut watch = Watch::new(clock.clone());
        let mut told = vec![watch.now_ns()];
        for _ in 0..3 {
            clock.advance(5);
            told.push(watch.now_ns());
        }
        assert_eq!(told, [1, 6, 11, 16]);
    }

    #[test]
    fn it_is_slow_also_where_a_cycle_was_measured_too_long() {
        let mut machine = Machine::new(1_000);
        // The clock was seen at once, and the last time only when the counter was: 400 ns too many.
        for part in [0, 0, 100] {
            machine.after(PACE_NS, 400, part);
        }
        let (_, behind) = machine.after(GOOD_NS - 1_000, 400, 0);
        assert!((0..10).contains(&behind), "{behind} ns behind");
    }

    #[test]
    fn it_does_not_go_back_with_the_clock() {
        let mut watch = Watch::new(Clock::system());
        let told: Vec<u64> =
            [100, 50, 101].into_iter().map(|ns| watch.at(7, |_| Some(Setting { ns, cycles: 8 }))).collect();
        assert_eq!(told, [100, 100, 101]);
    }

    proptest! {
        /// Interruptions, sleeps, a counter that starts anew: it never goes back, nor ahead of the clock.
        #[test]
        fn it_is_never_ahead_and_never_far_behind(
            mhz in 1_000u64..6_000,
            turns in prop::collection::vec(
                (
                    prop_oneof![10u64..200, 1_000u64..3_000_000, Just(3_000_000_000u64)],
                    prop_oneof![20 => 30u64..500, 1 => Just(5_000_000u64)],
                    0u64..=100,
                ),
                1..1_000,
            ),
        ) {
            let (mut machine, mut last) = (Machine::new(mhz), 0);
            for (ns, look_ns, part) in turns {
                let (told, behind) = machine.after(ns, look_ns, part);
                prop_assert!(told >= last);
                // As far as the clock was from the counter, and as the watch is slower; a nanosecond is cut.
                prop_assert!((-1..=520).contains(&behind), "{behind} ns behind");
                last = told;
            }
        }

        /// A counter that lies: the watch is off by no more than a setting is good for, and never goes back.
        #[test]
        fn a_counter_that_jumps_does_no_harm(
            turns in prop::collection::vec(
                (10u64..200_000, prop::option::weighted(0.1, 1u64 << 40..u64::MAX)),
                1..1_000,
            ),
        ) {
            let (mut machine, mut jump, mut last) = (Machine::new(2_445), 0u64, 0);
            for (ns, jumps) in turns {
                machine.ns += ns;
                jump = jumps.unwrap_or(jump);
                let (now, cycles) = (machine.ns, machine.cycles().wrapping_add(jump));
                let told = machine.watch.at(cycles, |_| Some(Setting { ns: now, cycles: cycles.wrapping_add(70) }));
                prop_assert!(told >= last);
                prop_assert!(told.abs_diff(now) <= 2 * GOOD_NS, "{told} at {now}");
                last = told;
            }
        }
    }
}
