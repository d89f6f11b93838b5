//! Session windows: as long as records of a key follow each other within a gap.
//!
//! 1. Each session waits in a heap for its end, once. A record moves the end and leaves the heap alone: when the old
//!    end comes up, the session goes back into the heap with its new one. So a session costs as many turns in the heap
//!    as it is gaps long.
//! 2. A record that reaches one session and no other is added to it, however many there are of its key and on whichever
//!    side of it the record is: it costs a look-up and a search among them. Sessions are merged only where a record
//!    joins several, or makes one fire again.

use std::collections::BinaryHeap;
use std::time::Duration;

use slotflow_runtime::{
    Build, Context, Error, EventTime, FIRING_BUDGET, Flow, Key, MIN_TIMESTAMP, Measures, Operator, Output,
    Owned, Result, SubtaskContext, Timestamp,
};

use super::late::Late;
use super::merge::Heap;
use super::processing_time::Due;
use super::shape::{FARTHEST, milliseconds};
use super::{Fired, Merge, WindowPlan, Windows, emit};
use crate::StateSize;
use crate::alarm::Alarm;
use crate::keyed::{KeySelector, Segments};

/// Windows that begin with a record and end when there was none of the key for a gap: Flink's
/// `EventTimeSessionWindows`. A session's end is its last record's time and the gap.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    pub(super) gap_ms: Timestamp,
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

/// How long nothing may come behind a record, so that its session ends.
pub trait Gap<T>: 'static {
    /// Whether it may be another one behind another record.
    const DIFFERS: bool;

    /// In milliseconds, one or more.
    fn behind(&mut self, record: &T) -> Timestamp;
}

/// The same behind each record.
pub struct FixedGap(Timestamp);

impl<T> Gap<T> for FixedGap {
    const DIFFERS: bool = false;

    #[inline(always)]
    fn behind(&mut self, _: &T) -> Timestamp {
        self.0
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
    type Operator = SessionWindows<T, S, A, L, FixedGap>;

    fn build(self, subtask: &SubtaskContext) -> Result<Self::Operator> {
        let gap = FixedGap(self.windows.gap_ms);
        self.sessions(gap, subtask)
    }
}

impl<W, S, A, L> WindowPlan<W, S, A, L> {
    /// The operator of sessions with this gap.
    pub(super) fn sessions<T, G>(
        self,
        gap: G,
        subtask: &SubtaskContext,
    ) -> Result<SessionWindows<T, S, A, L, G>>
    where
        S: KeySelector<T>,
        A: Merge<T>,
    {
        let sessions = Segments::new(self.assigner.hashes_of(subtask));
        Ok(SessionWindows {
            selector: self.selector,
            gap,
            lateness: self.lateness_ms,
            aggregate: self.aggregate,
            late: self.late,
            state: Box::new(State {
                sessions,
                open: 0,
                heap: Heap::default(),
                alarms: BinaryHeap::new(),
                watermark: MIN_TIMESTAMP,
            }),
        })
    }
}

/// The operator of [`Session`] and [`DynamicSession`](super::DynamicSession).
pub struct SessionWindows<T, S: KeySelector<T>, A: Merge<T>, L, G> {
    selector: S,
    gap: G,
    lateness: Timestamp,
    aggregate: A,
    late: L,
    /// Apart, because an operator is moved at each step, and best small.
    state: Box<State<S::Stored, A::Acc>>,
}

struct State<K, A> {
    /// Those of each key, in order; no two of them touch.
    sessions: Segments<K, Vec<Open<A>>>,
    /// How many there are.
    open: usize,
    heap: Heap,
    alarms: BinaryHeap<Alarm>,
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

/// The one session that a record of this time which reaches until `end` is in, if it is in one alone that has not
/// fired. The session's alarm may stay as it is, since its end comes no sooner.
#[inline(always)]
fn only<A>(sessions: &mut [Open<A>], time: Timestamp, end: Timestamp) -> Option<&mut Open<A>> {
    let at = sessions.partition_point(|open| open.end < time);
    let alone = sessions.get(at + 1).is_none_or(|next| end < next.start);
    sessions.get_mut(at).filter(|open| alone && !open.fired && open.start <= end)
}

/// From where to where a session would reach that has these times.
fn reach<A>(sessions: &[Open<A>], first: Timestamp, last: Timestamp) -> (Timestamp, Timestamp) {
    let touched = sessions.iter().filter(|open| open.start <= last && first <= open.end);
    touched.fold((first, last), |(start, end), open| (start.min(open.start), end.max(open.end)))
}

impl<K: Key, A> State<K, A> {
    /// Forgets a key of this hash that has no session.
    fn forget(&mut self, hash: u64) {
        self.sessions.remove_by(hash, |(_, sessions)| sessions.is_empty());
    }

    /// How much there is.
    fn size(&self) -> StateSize {
        let open = self.open * size_of::<Open<A>>() + self.alarms.capacity() * size_of::<Alarm>();
        self.sessions.size().and_bytes(open + self.heap.bytes())
    }
}

impl<T, S, A, L, G> SessionWindows<T, S, A, L, G>
where
    T: 'static,
    S: KeySelector<T, Stored: Clone + Eq>,
    A: Merge<T>,
    L: Late<Fired<T, S, A>, T>,
{
    /// A record that no session is there for, or several, or one that has fired: a session of it alone takes the place
    /// of those that it reaches.
    #[inline(never)]
    fn join<'s>(
        &mut self,
        record: T,
        (start, end): (Timestamp, Timestamp),
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<L::Out>>,
    ) {
        let SessionWindows { selector, aggregate, late, lateness, state, .. } = self;
        let State { sessions, open, heap, alarms, watermark } = &mut **state;
        // What the selector says now, should it say something else each time.
        let key = selector.key(&record);
        let hash = key.hash();
        let (known, sessions) = sessions.entry(None, key, S::same, |key| (S::store(key), Vec::new()));
        let (start, end) = reach(sessions, start, end);
        if end - 1 + *lateness <= *watermark {
            state.forget(hash);
            late.late(record, ctx).into_iter().for_each(|late| out.push(late, ctx));
            return;
        }
        let mut acc = aggregate.create();
        aggregate.add(&mut acc, record);
        let at = sessions.partition_point(|open| open.end < start);
        while sessions.get(at).is_some_and(|open| open.start <= end) {
            let merged = sessions.remove(at);
            *open -= 1;
            heap.remove(aggregate, &merged.acc);
            aggregate.merge(&mut acc, &merged.acc);
        }
        let fired = end - 1 <= *watermark;
        let due = if fired { end + *lateness } else { end };
        *open += 1;
        heap.add(aggregate, &acc);
        alarms.push(Alarm { due, hash });
        let value = fired.then(|| aggregate.result(&acc));
        sessions.insert(at, Open { start, end, acc, fired, due });
        if let Some(value) = value {
            emit::<L, _, _, _>(known.clone(), (start, end), value, ctx, out);
        }
    }

    /// Looks at the session whose alarm this is: it fires, waits for its new end, or goes.
    fn look<'s>(&mut self, alarm: Alarm, ctx: &mut Context<'s>, out: &mut impl Output<Owned<L::Out>>) {
        let SessionWindows { aggregate, state, lateness, .. } = self;
        let State { sessions, alarms, open: count, heap, .. } = &mut **state;
        let has = |open: &Open<A::Acc>| open.due == alarm.due;
        let Some((key, known)) = sessions.find_by(alarm.hash, |(_, known)| known.iter().any(has)) else {
            return;
        };
        let Some(at) = known.iter().position(has) else { return };
        let open = &mut known[at];
        if !open.fired && open.end == alarm.due {
            open.fired = true;
            let value = aggregate.result(&open.acc);
            emit::<L, _, _, _>(key.clone(), (open.start, open.end), value, ctx, out);
        }
        let due = if open.fired { open.end + *lateness } else { open.end };
        if due > alarm.due {
            open.due = due;
            alarms.push(Alarm { due, ..alarm });
            return;
        }
        heap.remove(aggregate, &known.remove(at).acc);
        *count -= 1;
        state.forget(alarm.hash);
    }
}

impl<T, S: KeySelector<T>, A: Merge<T>, L, G: Gap<T>> Due for SessionWindows<T, S, A, L, G> {
    fn due(&self) -> Option<Timestamp> {
        self.state.alarms.peek().map(|alarm| alarm.due)
    }

    fn may_come_earlier(&self) -> bool {
        G::DIFFERS
    }
}

impl<T, S, A, L, G> Operator<Owned<T>> for SessionWindows<T, S, A, L, G>
where
    T: 'static,
    S: KeySelector<T, Stored: Clone + Eq>,
    A: Merge<T>,
    L: Late<Fired<T, S, A>, T>,
    G: Gap<T>,
{
    type Out = Owned<L::Out>;

    #[inline(always)]
    fn process<'s>(&mut self, record: T, ctx: &mut Context<'s>, out: &mut impl Output<Owned<L::Out>>) {
        let time = ctx.timestamp().clamp(-FARTHEST, FARTHEST);
        let SessionWindows { selector, aggregate, gap, state, .. } = self;
        let end = time + gap.behind(&record);
        let State { sessions, heap, .. } = &mut **state;
        let known = {
            let key = selector.key(&record);
            sessions.find_by(key.hash(), |(known, _)| S::same(known, &key))
        };
        if let Some((_, known)) = known
            && let Some(open) = only(known, time, end)
        {
            // Its end may be past the alarm, which will find that out.
            (open.start, open.end) = (open.start.min(time), open.end.max(end));
            heap.change(aggregate, &mut open.acc, |acc| aggregate.add(acc, record));
            return;
        }
        self.join(record, (time, end), ctx, out);
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

    fn measure(&self, measures: &mut Measures<'_>) {
        self.state.size().tell(measures);
        self.late.measure(measures);
    }
}

#[cfg(test)]
pub(super) mod tests;
