//! The records whose requests are under way, and what stands between them.
//!
//! # The order of answers
//!
//! 1. What comes in is divided into sections. A section is closed by a boundary, which is a watermark, idleness or a
//!    barrier; in an ordered operator it is closed behind each record as well.
//! 2. Answers of the first section go on as they come. Those of a later one wait in it.
//! 3. When the first section is closed and all of it has gone on, its boundary does, and the next one is the first.
//!
//! 4. A latency mark measures the way of one record: that in front of it, with which it goes on.
//!
//! So no answer passes a watermark, and a barrier goes on when everything in front of it has: what is committed has
//! arrived.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use slotflow_runtime::{Barrier, LatencyMark, Timestamp};

use super::settings::Order;

/// What closes a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Boundary {
    Watermark(Timestamp),
    Idle,
    Barrier(Barrier),
}

/// What goes on next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next<R> {
    Record(R, Timestamp),
    Mark(LatencyMark),
    Boundary(Boundary),
    /// Nothing until an answer comes.
    Nothing,
}

struct Section<R> {
    /// How many of its records have no answer yet.
    open: usize,
    /// Records and marks.
    answered: VecDeque<Next<R>>,
    closed: bool,
    boundary: Option<Boundary>,
}

impl<R> Section<R> {
    fn new() -> Self {
        Section { open: 0, answered: VecDeque::new(), closed: false, boundary: None }
    }

    fn is_empty(&self) -> bool {
        self.open == 0 && self.answered.is_empty()
    }
}

/// A record whose answer has not come.
struct Waiting<T> {
    record: T,
    timestamp: Timestamp,
    section: u64,
    /// The attempt that counts; what others answer is ignored.
    attempt: u64,
    /// How many attempts were made.
    tries: u32,
    /// Waits for its next attempt, not for an answer.
    resting: bool,
    mark: Option<LatencyMark>,
}

/// Whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// The record at this place is to be asked for again.
    Again(usize),
    /// The attempt of the record at this place has taken too long.
    TooLate(usize),
}

/// The records of one subtask that are under way; `R` is what they become.
pub(super) struct UnderWay<T, R> {
    order: Order,
    places: Vec<Option<Waiting<T>>>,
    free: Vec<usize>,
    /// When attempts expire and pauses end. Those of attempts that no longer count are left out when their time comes,
    /// or sooner, so that there are never more than twice as many as places.
    times: BinaryHeap<Reverse<(u64, usize, u64)>>,
    attempts: u64,
    sections: VecDeque<Section<R>>,
    /// The number of the first section.
    first: u64,
    /// How many records came in and have not gone on.
    held: usize,
    /// The place of the record that came last.
    latest: usize,
}

impl<T, R> UnderWay<T, R> {
    pub(super) fn new(order: Order) -> Self {
        let (places, free, times) = (Vec::new(), Vec::new(), BinaryHeap::new());
        let sections = VecDeque::new();
        UnderWay { order, places, free, times, attempts: 0, sections, first: 0, held: 0, latest: 0 }
    }

    /// How many records came in and have not gone on.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Whether nothing is left, no boundary either.
    pub(super) fn is_empty(&self) -> bool {
        self.sections.iter().all(|section| section.is_empty() && section.boundary.is_none())
    }

    /// Takes a record in. The place is its own until it is answered.
    pub(super) fn admit(&mut self, record: T, timestamp: Timestamp) -> usize {
        let order = self.order;
        let section = self.last_open();
        section.open += 1;
        section.closed = order == Order::Ordered;
        let section = self.first + self.sections.len() as u64 - 1;
        self.held += 1;
        let (attempt, tries) = (0, 0);
        let waiting = Waiting { record, timestamp, section, attempt, tries, resting: false, mark: None };
        self.latest = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        self.places[self.latest] = Some(waiting);
        self.latest
    }

    fn last_open(&mut self) -> &mut Section<R> {
        if self.sections.back().is_none_or(|section| section.closed) {
            self.sections.push_back(Section::new());
        }
        let last = self.sections.len() - 1;
        &mut self.sections[last]
    }

    /// Closes the section that is being filled. Of two watermarks with nothing in between, the later one says it all.
    pub(super) fn close(&mut self, boundary: Boundary) {
        if let (Boundary::Watermark(_), Some(last)) = (boundary, self.sections.back_mut())
            && last.is_empty()
            && matches!(last.boundary, Some(Boundary::Watermark(_)))
        {
            last.boundary = Some(boundary);
            return;
        }
        let last = self.last_open();
        (last.closed, last.boundary) = (true, Some(boundary));
    }

    /// Begins an attempt for the record at `place`, which expires at `expires_ns`; gives its number and the record.
    pub(super) fn begin(&mut self, place: usize, expires_ns: u64) -> Option<(u64, &T)> {
        self.sweep();
        let waiting = self.places.get_mut(place)?.as_mut()?;
        self.attempts += 1;
        (waiting.attempt, waiting.resting) = (self.attempts, false);
        waiting.tries += 1;
        self.times.push(Reverse((expires_ns, place, self.attempts)));
        Some((self.attempts, &waiting.record))
    }

    /// Lets the record at `place` wait for its next attempt.
    pub(super) fn rest(&mut self, place: usize, until_ns: u64) {
        let Some(waiting) = self.places.get_mut(place).and_then(Option::as_mut) else { return };
        self.attempts += 1;
        (waiting.attempt, waiting.resting) = (self.attempts, true);
        self.times.push(Reverse((until_ns, place, self.attempts)));
    }

    /// Most attempts are answered long before their time. What they have left is swept out each time there is twice as
    /// much as can count, so that an attempt costs as much for it as for its place in the heap.
    fn sweep(&mut self) {
        let UnderWay { places, times, .. } = self;
        if times.len() < 2 * places.len() {
            return;
        }
        times.retain(|Reverse((_, place, attempt))| {
            places[*place].as_ref().is_some_and(|waiting| waiting.attempt == *attempt)
        });
    }

    /// How often the record at `place` was asked for.
    pub(super) fn tries(&self, place: usize) -> u32 {
        self.places.get(place).and_then(Option::as_ref).map_or(0, |waiting| waiting.tries)
    }

    /// Whether this attempt is the one that counts for the record at `place`.
    pub(super) fn counts(&self, place: usize, attempt: u64) -> bool {
        let waiting = self.places.get(place).and_then(Option::as_ref);
        waiting.is_some_and(|waiting| waiting.attempt == attempt)
    }

    /// The record at `place` has become what `make` says.
    pub(super) fn answer(&mut self, place: usize, make: impl FnOnce(T) -> R) {
        let Some(waiting) = self.places.get_mut(place).and_then(Option::take) else { return };
        self.free.push(place);
        let section = &mut self.sections[(waiting.section - self.first) as usize];
        section.open -= 1;
        section.answered.push_back(Next::Record(make(waiting.record), waiting.timestamp));
        section.answered.extend(waiting.mark.map(Next::Mark));
    }

    /// Takes a mark in, unless nothing is in front of it: `false`. Of two behind one record, the first says it all.
    pub(super) fn mark(&mut self, mark: LatencyMark) -> bool {
        let waiting = self.places.get_mut(self.latest).and_then(Option::as_mut);
        let answered = self.sections.back_mut().filter(|section| !section.answered.is_empty());
        match (waiting, answered) {
            (Some(waiting), _) => drop(waiting.mark.get_or_insert(mark)),
            (None, Some(section)) => section.answered.push_back(Next::Mark(mark)),
            (None, None) => return false,
        }
        true
    }

    /// What goes on next.
    pub(super) fn next(&mut self) -> Next<R> {
        while let Some(first) = self.sections.front_mut() {
            if let Some(next) = first.answered.pop_front() {
                self.held -= usize::from(matches!(next, Next::Record(..)));
                return next;
            }
            if first.open > 0 || !first.closed {
                return Next::Nothing;
            }
            let boundary = first.boundary;
            self.sections.pop_front();
            self.first += 1;
            if let Some(boundary) = boundary {
                return Next::Boundary(boundary);
            }
        }
        Next::Nothing
    }

    /// Whether [`next`](UnderWay::next) has anything.
    pub(super) fn has_next(&self) -> bool {
        let Some(first) = self.sections.front() else { return false };
        !first.answered.is_empty() || (first.open == 0 && first.closed)
    }

    /// When the next pause or attempt is over; `u64::MAX` if there is none.
    pub(super) fn due_ns(&self) -> u64 {
        self.times.peek().map_or(u64::MAX, |Reverse((due_ns, _, _))| *due_ns)
    }

    /// One whose time has come.
    pub(super) fn due(&mut self, now_ns: u64) -> Option<Due> {
        while self.due_ns() <= now_ns {
            let Reverse((_, place, attempt)) = self.times.pop()?;
            let waiting = self.places.get(place).and_then(Option::as_ref);
            if let Some(waiting) = waiting.filter(|waiting| waiting.attempt == attempt) {
                return Some(if waiting.resting { Due::Again(place) } else { Due::TooLate(place) });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that can go on now.
    fn all(under_way: &mut UnderWay<u32, u32>) -> String {
        let mut text = Vec::new();
        loop {
            let has_next = under_way.has_next();
            let next = under_way.next();
            // A section without a boundary may be closed, and then there was nothing to say.
            assert!(has_next || next == Next::Nothing);
            match next {
                Next::Record(record, at) => text.push(format!("{record}@{at}")),
                Next::Mark(mark) => text.push(format!("mark {}", mark.sent_ns)),
                Next::Boundary(Boundary::Watermark(at)) => text.push(format!("|{at}")),
                Next::Boundary(Boundary::Barrier(barrier)) => text.push(format!("#{}", barrier.id)),
                Next::Boundary(Boundary::Idle) => text.push("idle".into()),
                Next::Nothing => return text.join(" "),
            }
        }
    }

    fn answer(under_way: &mut UnderWay<u32, u32>, place: usize) -> String {
        under_way.answer(place, |record| record * 10);
        all(under_way)
    }

    #[test]
    fn unordered_answers_go_on_as_they_come_but_never_past_a_watermark() {
        let mut under_way = UnderWay::new(Order::Unordered);
        let [a, b] = [1, 2].map(|n| under_way.admit(n, i64::from(n)));
        under_way.close(Boundary::Watermark(2));
        let c = under_way.admit(3, 3);
        assert_eq!(answer(&mut under_way, c), "");
        assert_eq!(answer(&mut under_way, b), "20@2");
        assert_eq!(under_way.held(), 2);
        assert_eq!(answer(&mut under_way, a), "10@1 |2 30@3");
        assert!(under_way.is_empty() && under_way.held() == 0);
    }

    #[test]
    fn ordered_answers_go_on_in_the_order_of_their_records() {
        let mut under_way = UnderWay::new(Order::Ordered);
        let [a, b, c] = [1, 2, 3].map(|n| under_way.admit(n, 0));
        under_way.close(Boundary::Barrier(Barrier { id: 1 }));
        assert_eq!(answer(&mut under_way, c), "");
        assert_eq!(answer(&mut under_way, a), "10@0");
        assert_eq!(answer(&mut under_way, b), "20@0 30@0 #1");
        assert!(under_way.is_empty());
    }

    #[test]
    fn watermarks_coalesce_behind_a_record_that_is_late_and_barriers_do_not() {
        let mut under_way = UnderWay::new(Order::Unordered);
        let late = under_way.admit(1, 0);
        (0..1000).for_each(|at| under_way.close(Boundary::Watermark(at)));
        (1..3).for_each(|id| under_way.close(Boundary::Barrier(Barrier { id })));
        under_way.close(Boundary::Idle);
        assert_eq!(under_way.sections.len(), 5);
        assert_eq!(answer(&mut under_way, late), "10@0 |0 |999 #1 #2 idle");
    }

    #[test]
    fn a_mark_goes_on_with_the_record_in_front_of_it_whose_way_it_measures() {
        let mark = |sent_ns| LatencyMark { sent_ns };
        for order in [Order::Ordered, Order::Unordered] {
            let mut under_way = UnderWay::new(order);
            assert!(!under_way.mark(mark(1)), "there is nothing in front of it");
            let [a, b] = [1, 2].map(|n| under_way.admit(n, 0));
            assert!(under_way.mark(mark(2)) && under_way.mark(mark(3)));
            assert_eq!(answer(&mut under_way, a), "10@0", "{order:?}");
            assert_eq!(answer(&mut under_way, b), "20@0 mark 2", "{order:?}");
            assert!(!under_way.mark(mark(4)) && under_way.is_empty());
            let [c, d] = [3, 4].map(|n| under_way.admit(n, 0));
            under_way.answer(d, |record| record * 10);
            assert!(under_way.mark(mark(5)), "its record has an answer, and has not gone on");
            let all = answer(&mut under_way, c);
            assert_eq!(all, if order == Order::Ordered { "30@0 40@0 mark 5" } else { "40@0 mark 5 30@0" });
        }
    }

    #[test]
    fn only_the_last_attempt_counts_and_times_of_others_are_forgotten() {
        let mut under_way = UnderWay::<u32, u32>::new(Order::Unordered);
        let place = under_way.admit(1, 0);
        let (first, _) = under_way.begin(place, 100).unwrap();
        assert!(under_way.counts(place, first));
        under_way.rest(place, 50);
        assert!(!under_way.counts(place, first));
        assert_eq!((under_way.due(49), under_way.due(50)), (None, Some(Due::Again(place))));
        let (second, _) = under_way.begin(place, 200).unwrap();
        assert!(under_way.counts(place, second));
        assert_eq!((under_way.tries(place), under_way.due(199)), (2, None));
        assert_eq!(under_way.due(200), Some(Due::TooLate(place)));
        assert_eq!(under_way.due_ns(), u64::MAX);
    }

    #[test]
    fn what_is_answered_leaves_no_time_behind_while_what_is_not_keeps_its_own() {
        let mut under_way = UnderWay::<u32, u32>::new(Order::Unordered);
        let slow = under_way.admit(0, 0);
        under_way.begin(slow, 500).unwrap();
        for n in 1..1000 {
            let [a, b] = [n, n].map(|n| under_way.admit(n, 0));
            for place in [a, b] {
                under_way.begin(place, 1000 + u64::from(n)).unwrap();
                answer(&mut under_way, place);
            }
        }
        assert!(under_way.times.len() <= 2 * under_way.places.len() && under_way.places.len() == 3);
        assert_eq!((under_way.due(499), under_way.due(500)), (None, Some(Due::TooLate(slow))));
    }

    #[test]
    fn a_place_is_used_again_and_late_answers_do_not_reach_its_next_record() {
        let mut under_way = UnderWay::<u32, u32>::new(Order::Unordered);
        let place = under_way.admit(1, 0);
        let (old, _) = under_way.begin(place, 100).unwrap();
        assert_eq!(answer(&mut under_way, place), "10@0");
        assert_eq!(under_way.admit(2, 0), place);
        let (new, _) = under_way.begin(place, 300).unwrap();
        assert_eq!((under_way.counts(place, old), under_way.counts(place, new)), (false, true));
        assert_eq!(under_way.due(250), None);
    }
}
