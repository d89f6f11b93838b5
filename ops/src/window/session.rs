//! Session windows: as long as records of a key follow each other within a gap.
//!
//! Each session waits in a heap for its end, once. A record moves the end and leaves the heap alone: when the old end
//! comes up, the session goes back into the heap with its new one. So a record costs a look-up, and a session as
//! many turns in the heap as it is gaps long.

use std::collections::BinaryHeap;
use std::time::Duration;

use slotflow_runtime::{
    Build, Context, Error, EventTime, FIRING_BUDGET, Flow, Key, MIN_TIMESTAMP, Operator, Output, Owned,
    Result, SubtaskContext, Timestamp,
};

use super::late::Late;
use super::processing_time::Due;
use super::shape::{FARTHEST, milliseconds};
use super::{Fired, Merge, WindowPlan, Windows, emit};
use crate::alarm::Alarm;
use crate::keyed::{KeySelector, Segments};

/// Windows that begin with a record and end when there was none of the key for a gap: Flink's
/// `EventTimeSessionWindows`. A session's end is its last record's time and the gap.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    gap_ms: Timestamp,
}

impl Session {
    /// Sessions that end after this gap, in whole milliseconds; one of 0 is an error of the start.
    pub fn with_gap(gap: Duration) -> Session {
        Session { gap_ms: milliseconds(gap) }
    }
}

impl Windows<EventTime> for Session {
    fn check(&self) -> Result<()> {
        if self.gap_ms > 0 {
            return Ok(());
        }
        Err(Error::user(
            "a session with a gap of 0 ms ends before it begins: the gap must be a millisecond or more",
        ))
    }
}

impl<T, S, A, L> Build<Owned<T>> for WindowPlan<Session, S, A, L>
where
    T: 'static,
    S: KeySelector<T, Stored: Clone + Eq>,
    A: Merge<T> + Clone + Send,
    L: Late<Fired<T, S, A>, T>,
{
    type Out = Owned<L::Out>;
    type Operator = SessionWindows<T, S, A, L>;

    fn build(self, subtask: &SubtaskContext) -> Result<Self::Operator> {
        let sessions = Segments::new(self.assigner.hashes_of(subtask));
        Ok(SessionWindows {
            selector: self.selector,
            gap: self.windows.gap_ms,
            lateness: self.lateness_ms,
            aggregate: self.aggregate,
            late: self.late,
            state: Box::new(State { sessions, alarms: BinaryHeap::new(), watermark: MIN_TIMESTAMP }),
        })
    }
}

/// The operator of [`Session`].
pub struct SessionWindows<T, S: KeySelector<T>, A: Merge<T>, L> {
    selector: S,
    gap: Timestamp,
    lateness: Timestamp,
    aggregate: A,
    late: L,
    /// Apart, because an operator is moved at each step, and best small.
    state: Box<State<S::Stored, A::Acc>>,
}

struct State<K, A> {
    /// Those of each key, in order; no two of them touch.
    sessions: Segments<K, Vec<Open<A>>>,
    alarms: BinaryHeap<Alarm<K>>,
    watermark: Timestamp,
}

/// A session that may still change.
struct Open<A> {
    start: Timestamp,
    end: Timestamp,
    acc: A,
    /// It has been emitted as it is.
    fired: bool,
    /// When it is looked at: its alarm in the heap.
    due: Timestamp,
}

impl<K: Key + Eq + Clone, A> State<K, A> {
    /// From where to where a session would reach that has these times.
    fn reach(&self, key: &K, mut start: Timestamp, mut end: Timestamp) -> (Timestamp, Timestamp) {
        let (first, last) = (start, end);
        let known = self.sessions.find(key).into_iter().flatten();
        for open in known.filter(|open| open.start <= last && first <= open.end) {
            (start, end) = (start.min(open.start), end.max(open.end));
        }
        (start, end)
    }

    /// Puts a session in place of those that it touches, and sets its alarm.
    fn merge<T, M: Merge<T, Acc = A>>(&mut self, key: &K, mut new: Open<A>, aggregate: &M) -> &Open<A> {
        let State { sessions, alarms, .. } = self;
        alarms.push(Alarm { due: new.due, key: key.clone() });
        let known = sessions.value(key, |known, key| known == *key, |key| (key.clone(), Vec::new()));
        let at = known.partition_point(|open| open.end < new.start);
        while known.get(at).is_some_and(|open| open.start <= new.end) {
            aggregate.merge(&mut new.acc, &known.remove(at).acc);
        }
        known.insert(at, new);
        &known[at]
    }

    /// Forgets a key that has no session.
    fn forget(&mut self, key: &K) {
        if self.sessions.find(key).is_some_and(Vec::is_empty) {
            self.sessions.remove(key);
        }
    }
}

impl<T, S, A, L> SessionWindows<T, S, A, L>
where
    T: 'static,
    S: KeySelector<T, Stored: Clone + Eq>,
    A: Merge<T>,
    L: Late<Fired<T, S, A>, T>,
{
    /// Whether a session that ends here may still change.
    fn is_over(&self, end: Timestamp) -> bool {
        end - 1 + self.lateness <= self.state.watermark
    }

    /// A record that no session is there for, or several, or one that has fired.
    #[inline(never)]
    fn join<'s>(
        &mut self,
        record: T,
        start: Timestamp,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<L::Out>>,
    ) {
        let key = S::store(self.selector.key(&record));
        let (start, end) = self.state.reach(&key, start, start + self.gap);
        if self.is_over(end) {
            self.state.forget(&key);
            self.late.late(record, ctx).into_iter().for_each(|late| out.push(late, ctx));
            return;
        }
        let SessionWindows { aggregate, state, lateness, .. } = self;
        let mut acc = aggregate.create();
        aggregate.add(&mut acc, record);
        let fired = end - 1 <= state.watermark;
        let due = if fired { end + *lateness } else { end };
        let open = state.merge(&key, Open { start, end, acc, fired, due }, aggregate);
        if fired {
            let value = aggregate.result(&open.acc);
            emit::<L, _, _, _>(key, (start, end), value, ctx, out);
        }
    }

    /// Looks at the sessions of a key whose alarm this is: they fire, wait for their new end, or go.
    fn look<'s>(
        &mut self,
        alarm: Alarm<S::Stored>,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<L::Out>>,
    ) {
        let SessionWindows { aggregate, state, lateness, .. } = self;
        let State { sessions, alarms, .. } = &mut **state;
        let Some(known) = sessions.find_mut(&alarm.key) else { return };
        let Some(at) = known.iter().position(|open| open.due == alarm.due) else { return };
        let open = &mut known[at];
        if !open.fired && open.end == alarm.due {
            open.fired = true;
            let value = aggregate.result(&open.acc);
            emit::<L, _, _, _>(alarm.key.clone(), (open.start, open.end), value, ctx, out);
        }
        let due = if open.fired { open.end + *lateness } else { open.end };
        if due > alarm.due {
            open.due = due;
            alarms.push(Alarm { due, ..alarm });
            return;
        }
        known.remove(at);
        state.forget(&alarm.key);
    }
}

impl<T, S: KeySelector<T>, A: Merge<T>, L> Due for SessionWindows<T, S, A, L> {
    fn due(&self) -> Option<Timestamp> {
        self.state.alarms.peek().map(|alarm| alarm.due)
    }
}

impl<T, S, A, L> Operator<Owned<T>> for SessionWindows<T, S, A, L>
where
    T: 'static,
    S: KeySelector<T, Stored: Clone + Eq>,
    A: Merge<T>,
    L: Late<Fired<T, S, A>, T>,
{
    type Out = Owned<L::Out>;

    #[inline(always)]
    fn process<'s>(&mut self, record: T, ctx: &mut Context<'s>, out: &mut impl Output<Owned<L::Out>>) {
        let time = ctx.timestamp().clamp(-FARTHEST, FARTHEST);
        let SessionWindows { selector, aggregate, gap, state, .. } = self;
        let key = selector.key(&record);
        let known = state.sessions.value(key, S::same, |key| (S::store(key), Vec::new()));
        if let [open] = &mut known[..]
            && !open.fired
            && open.start <= time
            && time <= open.end
        {
            // Its end may be past the alarm, which will find that out.
            open.end = open.end.max(time + *gap);
            aggregate.add(&mut open.acc, record);
            return;
        }
        self.join(record, time, ctx, out);
    }

    fn watermark<'s>(
        &mut self,
        watermark: Timestamp,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<L::Out>>,
    ) -> Flow {
        self.state.watermark = watermark;
        for _ in 0..FIRING_BUDGET {
            match self.state.alarms.peek() {
                Some(alarm) if alarm.due - 1 <= watermark => {}
                _ => return Flow::Done,
            }
            if let Some(alarm) = self.state.alarms.pop() {
                self.look(alarm, ctx, out);
            }
        }
        Flow::More
    }

    fn end<'s>(&mut self, ctx: &mut Context<'s>, _: &mut impl Output<Owned<L::Out>>) -> Flow {
        self.late.ended(ctx);
        Flow::Done
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use slotflow_runtime::testing::check;
    use slotflow_runtime::{MAX_TIMESTAMP, Routed};

    use super::super::tests::{Selector, Step, Sum, built, drive, ms, selector, steps};
    use super::super::{Aside, Dropped, WindowResult};
    use super::*;
    use crate::keyed::Assigner;

    fn sessions<L>(gap: u64, lateness_ms: Timestamp, late: L) -> WindowPlan<Session, Selector, Sum, L> {
        let (selector, windows) = (selector(), Session::with_gap(ms(gap)));
        WindowPlan { selector, assigner: Assigner::Hash, windows, lateness_ms, aggregate: Sum, late }
    }

    #[test]
    fn a_session_ends_when_nothing_came_for_a_gap() {
        let plan = sessions(5, 0, Dropped::default());
        let fired = "|6 a:3[0,8)@7 |7 b:7[6,11)@10 |10 |11 a:4[20,25)@24 |24";
        check(plan, "a:1@0 a:2@3 b:7@6 a:4@20 |6 |7 |10 |11 |24", fired);
    }

    #[test]
    fn a_record_between_two_sessions_makes_them_one() {
        let plan = sessions(5, 0, Dropped::default());
        check(plan, "a:1@0 a:2@9 a:4@5 |30", "a:7[0,14)@13 |30");
    }

    #[test]
    fn a_late_record_that_reaches_into_an_open_session_is_not_late() {
        let plan = sessions(5, 0, Dropped::default());
        check(plan, "a:1@0 a:2@10 |6 a:4@6 a:8@0 |30", "a:1[0,5)@4 |6 a:6[6,15)@14 |30");
    }

    #[test]
    fn a_session_that_may_be_late_fires_again() {
        let plan = sessions(5, 5, Dropped::default());
        let fired = "a:1[0,5)@4 |6 a:3[0,7)@6 a:11[0,9)@8 |9 |30";
        check(plan, "a:1@0 |6 a:2@2 a:8@4 |9 |30", fired);
    }

    #[test]
    fn a_gap_of_nothing_is_refused_with_the_remedy() {
        let refused = Session::with_gap(Duration::ZERO).check().unwrap_err().to_string();
        assert!(refused.contains("the gap must be a millisecond or more"), "{refused}");
    }

    #[test]
    fn the_ends_of_time_are_in_sessions() {
        let steps = [Timestamp::MIN, 0, Timestamp::MAX].map(|time| Step::Record('a', 1, time));
        let (mut values, end) = (Vec::new(), Step::Watermark(MAX_TIMESTAMP));
        drive(&mut built(sessions(5, 0, Dropped::default())), steps.into_iter().chain([end]), |result, _| {
            values.push(result.value);
        });
        assert_eq!(values, [1, 1, 1]);
    }

    /// Sessions of all records in order of time.
    fn model(gap: i64, steps: &[Step]) -> BTreeMap<(char, i64, i64), u64> {
        let mut records: Vec<_> = steps
            .iter()
            .filter_map(|step| match *step {
                Step::Record(key, n, time) => Some((key, time, n)),
                Step::Watermark(_) => None,
            })
            .collect();
        records.sort_unstable();
        let mut sessions: Vec<(char, i64, i64, u64)> = Vec::new();
        for (key, time, n) in records {
            match sessions.last_mut() {
                Some(last) if last.0 == key && time <= last.2 => (last.2, last.3) = (time + gap, last.3 + n),
                _ => sessions.push((key, time, time + gap, n)),
            }
        }
        sessions.into_iter().map(|(key, start, end, sum)| ((key, start, end), sum)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

        /// With time enough for all that is late, what has fired last are the sessions of all records, whatever
        /// their order.
        #[test]
        fn sessions_are_those_of_the_naive_model(gap in 1..8i64, steps in steps()) {
            let mut results = BTreeMap::new();
            drive(&mut built(sessions(gap as u64, 1000, Aside)), steps.clone(), |routed, time| match routed {
                Routed::Main(WindowResult { key, start, end, value }) => {
                    // A session that has fired too early is part of the one that fires for it.
                    results.retain(|(known, first, last), _| *known != key || *last < start || end < *first);
                    results.insert((key, start, end), value);
                    assert_eq!(time, end - 1);
                }
                Routed::Side((_, n)) => panic!("{n} was not late"),
            });
            prop_assert_eq!(results, model(gap, &steps));
        }

        /// Each record is in one session or late, and late only if its own session would be over.
        #[test]
        fn no_record_is_lost_between_sessions(gap in 1..8i64, steps in steps()) {
            let (mut fired, mut late) = (0, Vec::new());
            drive(&mut built(sessions(gap as u64, 0, Aside)), steps.clone(), |routed, _| match routed {
                Routed::Main(result) => fired += result.value,
                Routed::Side((_, n)) => late.push(n),
            });
            let (mut watermark, mut sum, mut may_be_late) = (Timestamp::MIN, 0, Vec::new());
            for step in &steps {
                match *step {
                    Step::Watermark(at) => watermark = at,
                    Step::Record(_, n, time) => {
                        sum += n;
                        may_be_late.extend((time + gap - 1 <= watermark).then_some(n));
                    }
                }
            }
            prop_assert_eq!(fired + late.iter().sum::<u64>(), sum);
            prop_assert!(late.iter().all(|n| may_be_late.contains(n)));
        }
    }
}
