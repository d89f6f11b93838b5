//! Sessions whose gap each record says for itself.

use std::time::Duration;

use slotflow_runtime::{Build, EventTime, Owned, Result, SubtaskContext, Timestamp};

use super::late::Late;
use super::session::Gap;
use super::shape::milliseconds;
use super::{DefaultTrigger, EventTimeTrigger, Fired, Merge, Session, SessionWindows, WindowPlan, Windows};
use crate::keyed::KeySelector;

/// Windows that begin with a record and end when there was none of the key for as long as the record said that came
/// last, or an earlier one, if that is later: Flink's `DynamicEventTimeSessionWindows`. Made by
/// [`Session::with_dynamic_gap`].
#[derive(Clone, Copy, Debug)]
pub struct DynamicSession<G> {
    gap: G,
}

impl Session {
    /// Sessions whose gap is what a closure says about each record, in whole milliseconds; less than one counts as one.
    /// A session's end is the latest of its records' times and gaps. It is called once for each record, on the slot.
    /// There are no triggers for them.
    ///
    /// ```
    /// # use slotflow::{prelude::*, testing::collect};
    /// # use std::time::Duration;
    /// // Who reads a long page may be silent for longer.
    /// let pages = [(0, 5), (4, 30), (20, 5), (40, 5)];
    /// let reading = Session::with_dynamic_gap(|page: &(i64, u64)| Duration::from_millis(page.1));
    /// let visits = collect(pages, |pages| {
    ///     let timed = pages.with_timestamps(|page| page.0, Watermarks::monotonous());
    ///     timed.key_by(|_| "reader").window(reading).process(|visit| (visit.start, visit.end, visit.value.len()))
    /// })?;
    /// assert_eq!(visits, [(0, 34, 3), (40, 45, 1)]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn with_dynamic_gap<T, G: FnMut(&T) -> Duration>(gap: G) -> DynamicSession<G> {
        DynamicSession { gap }
    }
}

impl<G: Clone + Send + 'static> Windows<EventTime> for DynamicSession<G> {
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

impl<G> DefaultTrigger for DynamicSession<G> {
    type Trigger = EventTimeTrigger;
}

/// What a closure says.
pub struct DynamicGap<G>(G);

impl<T, G: FnMut(&T) -> Duration + 'static> Gap<T> for DynamicGap<G> {
    const DIFFERS: bool = true;

    #[inline(always)]
    fn behind(&mut self, record: &T) -> Timestamp {
        milliseconds((self.0)(record)).max(1)
    }
}

impl<T, S, A, L, G> Build<Owned<T>> for WindowPlan<DynamicSession<G>, S, A, L>
where
    T: 'static,
    S: KeySelector<T, Stored: Clone + Eq>,
    A: Merge<T> + Clone + Send,
    L: Late<Fired<T, S, A>, T>,
    G: FnMut(&T) -> Duration + Clone + Send + 'static,
{
    type Out = Owned<L::Out>;
    type Operator = SessionWindows<T, S, A, L, DynamicGap<G>>;

    fn build(self, subtask: &SubtaskContext) -> Result<Self::Operator> {
        let gap = DynamicGap(self.windows.gap.clone());
        self.sessions(gap, subtask)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use slotflow_runtime::testing::check;

    use super::super::session::tests::{last, model};
    use super::super::tests::{Pair, Sum, built, ms, selector, steps};
    use super::super::{Aside, Dropped};
    use super::*;
    use crate::keyed::Assigner;

    /// Sessions whose gap is what a record's number leaves when it is divided.
    macro_rules! sessions {
        ($by:expr, $lateness_ms:expr, $late:expr) => {{
            let by = $by;
            let windows = Session::with_dynamic_gap(move |pair: &Pair| ms(pair.1 % by));
            let (selector, assigner, lateness_ms) = (selector(), Assigner::Hash, $lateness_ms);
            WindowPlan { selector, assigner, windows, lateness_ms, aggregate: Sum, late: $late }
        }};
    }

    #[test]
    fn a_session_ends_when_the_longest_gap_is_over() {
        let fired = "a:14[0,9)@8 |8 a:3[9,12)@11 |11";
        check(sessions!(10, 0, Dropped::default()), "a:9@0 a:2@1 a:3@4 |8 a:3@9 |11", fired);
    }

    #[test]
    fn a_record_reaches_as_far_as_its_gap_and_makes_all_sessions_there_one() {
        let plan = sessions!(100, 0, Dropped::default());
        check(plan, "a:1@10 a:2@20 a:3@30 a:25@6 |40", "a:31[6,33)@32 |40");
    }

    #[test]
    fn by_the_clock_a_short_gap_behind_a_long_one_is_over_first() {
        let windows = Session::with_dynamic_gap(|pair: &Pair| ms(pair.1)).in_processing_time();
        let (selector, assigner, late) = (selector(), Assigner::Hash, Dropped::default());
        let plan = WindowPlan { selector, assigner, windows, lateness_ms: 0, aggregate: Sum, late };
        check(plan, "a:100 b:5 ~7 ~200", "b:5[0,5)@4 ~7 a:100[0,100)@99 ~200");
    }

    #[test]
    fn no_gap_at_all_is_a_millisecond() {
        check(sessions!(1, 0, Dropped::default()), "a:1@0 a:2@1 a:4@3 |9", "a:3[0,2)@1 a:4[3,4)@3 |9");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn sessions_of_any_gaps_are_those_of_the_naive_model(by in 1..12u64, steps in steps()) {
            let results = last(&mut built(sessions!(by, 1000, Aside)), &steps);
            prop_assert_eq!(results, model(|n| (n % by).max(1) as i64, &steps));
        }
    }
}
