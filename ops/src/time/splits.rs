//! The event time of a subtask's splits: a watermark for each, the least of those that are not idle.

use slotflow_runtime::{Context, Family, MAX_TIMESTAMP, MIN_TIMESTAMP, Minimum, Timestamp};

use super::{WatermarkGenerator, Watermarks};

/// Event time of some splits.
///
/// Silence is measured by a clock that stands still while the subtask has no room, or has to wait for other sources:
/// whoever is slow behind it, or beside it, would make its splits idle.
#[derive(Clone)]
pub(super) struct SplitTimes<G> {
    /// What a new split begins with.
    generator: G,
    splits: Vec<SplitTime<G>>,
    /// Of the splits that are not idle.
    least: Minimum,
    idle: usize,
    /// How far event time has come.
    reached: Timestamp,
    /// The greatest watermark of a split.
    most: Timestamp,
    /// How many splits have ended, as far as it has been told.
    ended: usize,
    idle_after_ns: u64,
    /// When the first split may have become idle, by the running clock.
    silent_ns: u64,
    interval_ns: u64,
    /// For how long all of it was paused, and since when it is; 0 when it is not.
    paused_ns: u64,
    paused_since_ns: u64,
    /// When the generators want to be asked again, by the host's clock.
    periodic_ns: u64,
}

#[derive(Clone)]
struct SplitTime<G> {
    generator: G,
    watermark: Timestamp,
    /// When it last gave something, by the running clock; 0 before anybody has asked.
    active_ns: u64,
    idle: bool,
    /// Somebody else reads it now.
    gone: bool,
}

impl<G: Clone> SplitTime<G> {
    fn new(generator: &G) -> SplitTime<G> {
        let generator = generator.clone();
        SplitTime { generator, watermark: MIN_TIMESTAMP, active_ns: 0, idle: false, gone: false }
    }
}

impl<G> SplitTimes<G> {
    pub(super) fn new<F: Family>(watermarks: &Watermarks<G>, count: usize) -> Self
    where
        G: WatermarkGenerator<F>,
    {
        let generator = watermarks.generator.clone();
        let interval = generator.interval().map(|interval| interval.as_nanos() as u64);
        SplitTimes {
            splits: (0..count).map(|_| SplitTime::new(&generator)).collect(),
            generator,
            least: Minimum::new(count, MIN_TIMESTAMP),
            idle: 0,
            reached: MIN_TIMESTAMP,
            most: MIN_TIMESTAMP,
            ended: 0,
            idle_after_ns: watermarks.idle_after_ns(),
            silent_ns: 0,
            paused_ns: 0,
            paused_since_ns: 0,
            interval_ns: interval.unwrap_or(u64::MAX),
            periodic_ns: if interval.is_some() { 0 } else { u64::MAX },
        }
    }

    /// One more split: event time waits for it until it has given something or is idle, and never goes back for it.
    pub(super) fn add(&mut self)
    where
        G: Clone,
    {
        self.splits.push(SplitTime::new(&self.generator));
        self.least = Minimum::new(self.splits.len(), MAX_TIMESTAMP);
        let counting = self.splits.iter().enumerate().filter(|(_, split)| !split.idle);
        counting.for_each(|(place, split)| self.least.set(place, split.watermark));
        self.silent_ns = 0;
    }

    /// A split is not read here any more, or is again.
    pub(super) fn set_here(&mut self, split: usize, here: bool) {
        let it = &mut self.splits[split];
        if it.gone != here {
            return;
        }
        it.gone = !here;
        if here {
            (it.active_ns, self.silent_ns) = (0, 0);
            self.idle -= usize::from(std::mem::replace(&mut it.idle, false));
            self.least.set(split, it.watermark);
        } else {
            self.set_idle(split);
            self.rise();
        }
    }

    /// How far event time has come: it never goes back.
    pub(super) fn reached(&self) -> Timestamp {
        self.reached
    }

    /// The greatest watermark of a split, idle or not.
    pub(super) fn most(&self) -> Timestamp {
        self.most
    }

    /// How far event time has come in one split.
    pub(super) fn watermark_of(&self, split: usize) -> Timestamp {
        self.splits[split].watermark
    }

    /// So many splits have ended; `has_ended` says which. Those hold nobody up from now on.
    pub(super) fn end(&mut self, count: usize, has_ended: impl Fn(usize) -> bool) {
        if count != self.ended {
            self.ended = count;
            (0..self.splits.len()).filter(|split| has_ended(*split)).for_each(|split| self.set_idle(split));
            self.rise();
        }
    }

    /// Whether no split counts, so that nobody must wait for this subtask. Without splits that is so at once.
    pub(super) fn is_idle(&self) -> bool {
        self.idle == self.splits.len()
    }

    #[inline(always)]
    pub(super) fn on_record<'s, F: Family>(&mut self, split: usize, record: &F::Of<'s>, timestamp: Timestamp)
    where
        G: WatermarkGenerator<F>,
    {
        self.splits[split].generator.on_record(record, timestamp);
    }

    /// A split has given records: it is not idle, and its watermark may have risen.
    pub(super) fn settle<F: Family>(&mut self, split: usize, ctx: &Context<'_>)
    where
        G: WatermarkGenerator<F>,
    {
        let running_ns = self.running_ns(ctx);
        let it = &mut self.splits[split];
        self.idle -= usize::from(std::mem::replace(&mut it.idle, false));
        it.active_ns = running_ns;
        self.silent_ns = self.silent_ns.min(it.active_ns.saturating_add(self.idle_after_ns));
        self.ask(split, ctx.processing_time());
        self.rise();
    }

    /// Looks whether time goes on although nothing comes. `is_behind` says whether a split has something to give that
    /// has not come yet. Not inlined: what is done once a step takes registers from the loop over records.
    #[inline(never)]
    pub(super) fn look<F: Family>(&mut self, ctx: &Context<'_>, is_behind: impl Fn(usize) -> bool)
    where
        G: WatermarkGenerator<F>,
    {
        if self.periodic_ns <= ctx.now_ns() {
            self.periodic_ns = ctx.now_ns().saturating_add(self.interval_ns);
            (0..self.splits.len()).for_each(|split| self.ask(split, ctx.processing_time()));
            self.rise();
        }
        let running_ns = self.running_ns(ctx);
        if self.silent_ns <= running_ns {
            self.find_idle(running_ns, is_behind);
            self.rise();
        }
    }

    /// Nothing is asked for records from here on, so silence means nothing.
    pub(super) fn pause(&mut self, ctx: &Context<'_>) {
        if self.paused_since_ns == 0 {
            self.paused_since_ns = ctx.running_ns();
        }
    }

    /// What was paused goes on.
    #[inline]
    pub(super) fn resume(&mut self, ctx: &Context<'_>) {
        if self.paused_since_ns != 0 {
            self.paused_ns += ctx.running_ns() - std::mem::take(&mut self.paused_since_ns);
        }
    }

    /// The clock by which silence is measured.
    fn running_ns(&self, ctx: &Context<'_>) -> u64 {
        ctx.running_ns() - self.paused_ns
    }

    /// When to look again, by the host's clock; should there be no room meanwhile, that is too early, and harmless.
    pub(super) fn due_ns(&self, ctx: &Context<'_>) -> u64 {
        let silence_ns = self.silent_ns.saturating_sub(self.running_ns(ctx));
        self.periodic_ns.min(ctx.now_ns().saturating_add(silence_ns))
    }

    /// Nothing comes, whoever says so knows it: every split is idle until it gives something.
    pub(super) fn all_idle(&mut self) {
        for split in 0..self.splits.len() {
            self.set_idle(split);
        }
    }

    fn ask<F: Family>(&mut self, split: usize, processing_time: Timestamp)
    where
        G: WatermarkGenerator<F>,
    {
        let it = &mut self.splits[split];
        // The greatest watermark is that of the true end.
        let watermark = it.generator.periodic(processing_time).min(MAX_TIMESTAMP - 1);
        it.watermark = it.watermark.max(watermark);
        self.most = self.most.max(it.watermark);
        if !it.idle {
            self.least.set(split, it.watermark);
        }
    }

    /// The running time goes round all splits, but only once the one that was silent for longest may be idle.
    fn find_idle(&mut self, running_ns: u64, is_behind: impl Fn(usize) -> bool) {
        self.silent_ns = u64::MAX;
        for split in 0..self.splits.len() {
            let it = &mut self.splits[split];
            let silent = it.active_ns.saturating_add(self.idle_after_ns) <= running_ns;
            if it.active_ns == 0 || (silent && !it.idle && is_behind(split)) {
                it.active_ns = running_ns;
            }
            let idle_ns = it.active_ns.saturating_add(self.idle_after_ns);
            if idle_ns <= running_ns {
                self.set_idle(split);
            } else if !it.idle {
                self.silent_ns = self.silent_ns.min(idle_ns);
            }
        }
    }

    fn set_idle(&mut self, split: usize) {
        self.idle += usize::from(!std::mem::replace(&mut self.splits[split].idle, true));
        self.least.set(split, MAX_TIMESTAMP);
    }

    fn rise(&mut self) {
        if !self.is_idle() {
            self.reached = self.reached.max(self.least.value());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use slotflow_runtime::testing::subtask;
    use slotflow_runtime::{Arena, Blame, Owned};

    use super::*;
    use crate::{BoundedOutOfOrderness, WatermarkGenerator};

    type Bounded = SplitTimes<BoundedOutOfOrderness>;

    /// Splits whose records may be late by 2 ms, and which are idle after 10 ns.
    fn of(count: usize) -> Bounded {
        let watermarks = Watermarks::bounded_out_of_orderness(Duration::from_millis(2));
        SplitTimes::new::<Owned<i64>>(&watermarks.idle_after(Duration::from_nanos(10)), count)
    }

    fn at<X>(now_ns: u64, call: impl FnOnce(&Context<'_>) -> X) -> X {
        let (arena, blame, place) = (Arena::new(), Blame::default(), subtask());
        call(&Context::new(&arena, &place, &blame, now_ns))
    }

    /// Records of one split, as a poll at this time gives them.
    fn give(times: &mut Bounded, now_ns: u64, split: usize, records: &[i64]) {
        records.iter().for_each(|time| times.on_record::<Owned<i64>>(split, time, *time));
        at(now_ns, |ctx| times.settle::<Owned<i64>>(split, ctx));
    }

    fn look(times: &mut Bounded, now_ns: u64, is_behind: impl Fn(usize) -> bool) {
        at(now_ns, |ctx| times.look::<Owned<i64>>(ctx, is_behind));
    }

    #[test]
    fn a_new_split_holds_time_until_it_gives_something_and_never_turns_it_back() {
        let mut times = of(1);
        give(&mut times, 1, 0, &[50]);
        assert_eq!(times.reached(), 47);
        times.add();
        give(&mut times, 2, 0, &[90]);
        assert_eq!(times.reached(), 47, "the new split may have something earlier");
        give(&mut times, 3, 1, &[30]);
        assert_eq!(times.reached(), 47);
        give(&mut times, 4, 1, &[70]);
        assert_eq!(times.reached(), 67);
    }

    #[test]
    fn a_new_split_that_stays_silent_is_idle_in_the_end() {
        let mut times = of(1);
        give(&mut times, 1, 0, &[50]);
        times.add();
        look(&mut times, 2, |_| false);
        give(&mut times, 11, 0, &[90]);
        look(&mut times, 12, |_| false);
        assert_eq!(times.reached(), 87);
    }

    #[test]
    fn a_split_that_goes_holds_nobody_and_counts_again_when_it_is_back() {
        let mut times = of(2);
        give(&mut times, 1, 0, &[50]);
        give(&mut times, 1, 1, &[20]);
        assert_eq!(times.reached(), 17);
        times.set_here(1, false);
        assert_eq!(times.reached(), 47);
        times.set_here(0, false);
        assert!(times.is_idle());
        times.set_here(1, true);
        assert!(!times.is_idle());
        give(&mut times, 2, 1, &[60]);
        assert_eq!(times.reached(), 57);
    }

    #[test]
    fn time_is_that_of_the_slowest_split() {
        let mut times = of(2);
        give(&mut times, 1, 0, &[10, 20, 15]);
        assert_eq!(times.reached(), MIN_TIMESTAMP);
        give(&mut times, 1, 1, &[8]);
        assert_eq!(times.reached(), 5);
        give(&mut times, 1, 1, &[30]);
        assert_eq!(times.reached(), 17);
    }

    #[test]
    fn a_split_that_was_silent_for_long_holds_nobody_up_until_it_gives_again() {
        let mut times = of(2);
        look(&mut times, 1, |_| false);
        give(&mut times, 5, 0, &[20]);
        look(&mut times, 10, |_| false);
        assert_eq!(times.reached(), MIN_TIMESTAMP);
        look(&mut times, 11, |_| false);
        assert_eq!((times.reached(), times.is_idle()), (17, false));
        give(&mut times, 12, 1, &[9]);
        give(&mut times, 12, 0, &[40]);
        assert_eq!(times.reached(), 17, "it goes on from the slower one, and never back");
        give(&mut times, 12, 1, &[30]);
        assert_eq!(times.reached(), 27);
    }

    #[test]
    fn a_split_that_has_something_to_give_is_not_idle() {
        let mut times = of(2);
        look(&mut times, 1, |_| false);
        give(&mut times, 1, 0, &[20]);
        for now_ns in [11, 30, 100] {
            give(&mut times, now_ns, 0, &[20]);
            look(&mut times, now_ns, |split| split == 1);
        }
        assert_eq!(times.reached(), MIN_TIMESTAMP);
        give(&mut times, 109, 0, &[20]);
        look(&mut times, 110, |_| false);
        assert_eq!(times.reached(), 17);
    }

    #[test]
    fn when_all_are_idle_time_stands_still() {
        let mut times = of(3);
        look(&mut times, 1, |_| false);
        give(&mut times, 2, 1, &[20]);
        look(&mut times, 50, |_| false);
        assert!(times.is_idle() && times.reached() < 20, "{}", times.reached());
        assert_eq!(at(50, |ctx| times.due_ns(ctx)), u64::MAX);
    }

    #[test]
    fn without_splits_it_is_idle_at_once() {
        assert!(of(0).is_idle());
    }

    #[test]
    fn it_says_when_to_look_again() {
        let mut times = of(2);
        assert_eq!(at(5, |ctx| times.due_ns(ctx)), 5);
        look(&mut times, 5, |_| false);
        assert_eq!(at(7, |ctx| times.due_ns(ctx)), 15);
        give(&mut times, 9, 0, &[1]);
        look(&mut times, 15, |_| false);
        assert_eq!(at(15, |ctx| times.due_ns(ctx)), 19);
    }

    /// Says that time has ended.
    #[derive(Clone)]
    struct Ends;

    impl WatermarkGenerator<Owned<i64>> for Ends {
        fn on_record(&mut self, _: &i64, _: Timestamp) {}
        fn periodic(&mut self, _: Timestamp) -> Timestamp {
            MAX_TIMESTAMP
        }
    }

    #[test]
    fn no_generator_ends_time() {
        let mut times = SplitTimes::new::<Owned<i64>>(&Watermarks::custom(Ends), 1);
        at(1, |ctx| times.settle::<Owned<i64>>(0, ctx));
        assert_eq!(times.reached(), MAX_TIMESTAMP - 1);
    }

    #[test]
    fn time_at_its_bounds_does_not_turn_round() {
        let mut times = of(1);
        give(&mut times, 1, 0, &[MIN_TIMESTAMP]);
        assert_eq!(times.reached(), MIN_TIMESTAMP);
        give(&mut times, 1, 0, &[MAX_TIMESTAMP, MIN_TIMESTAMP]);
        assert_eq!(times.reached(), MAX_TIMESTAMP - 3);
    }

    mod against_a_naive_model {
        use proptest::prelude::*;

        use super::*;

        /// What happens next, after some nanoseconds.
        #[derive(Clone, Debug)]
        enum Next {
            Records(usize, Vec<i64>),
            Look(Vec<bool>),
        }

        fn next(splits: usize) -> impl Strategy<Value = (u64, Next)> {
            let records = (0..splits, prop::collection::vec(-50..50i64, 1..4));
            let step = prop_oneof![
                records.prop_map(|(split, times)| Next::Records(split, times)),
                prop::collection::vec(prop::bool::weighted(0.2), splits).prop_map(Next::Look),
            ];
            (0..8u64, step)
        }

        /// A split of the model: its greatest time, when it was active, whether it is idle.
        #[derive(Clone)]
        struct Naive(Option<i64>, u64, bool);

        proptest! {
            #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

            #[test]
            fn time_is_the_least_of_the_splits_that_count(
                (splits, steps) in (1..6usize).prop_flat_map(|splits| {
                    (Just(splits), prop::collection::vec(next(splits), 0..60))
                }),
            ) {
                let (mut times, mut naive) = (of(splits), vec![Naive(None, 1, false); splits]);
                let (mut now_ns, mut reached) = (1, MIN_TIMESTAMP);
                look(&mut times, now_ns, |_| false);
                for (after_ns, next) in steps {
                    now_ns += after_ns;
                    match next {
                        Next::Records(split, records) => {
                            give(&mut times, now_ns, split, &records);
                            let greatest = records.into_iter().chain(naive[split].0).max();
                            naive[split] = Naive(greatest, now_ns, false);
                        }
                        Next::Look(behind) => {
                            look(&mut times, now_ns, |split| behind[split]);
                            let silent = naive.iter_mut().zip(behind).filter(|(it, _)| !it.2 && it.1 + 10 <= now_ns);
                            for (it, behind) in silent {
                                *it = Naive(it.0, if behind { now_ns } else { it.1 }, !behind);
                            }
                        }
                    }
                    let counting = naive.iter().filter(|it| !it.2);
                    let least = counting.map(|it| it.0.map_or(MIN_TIMESTAMP, |time| time - 3)).min();
                    reached = reached.max(least.unwrap_or(MIN_TIMESTAMP));
                    prop_assert_eq!(times.reached(), reached);
                    prop_assert_eq!(times.is_idle(), least.is_none());
                }
            }
        }
    }
}
