//! One pair of subtasks: a ring of records and, beside it, a lane of control elements.
//!
//! # The protocol
//!
//! 1. The data ring holds records only. A control element is an entry `(position, control)` of the
//!    lane: it stands after `position` records, counted since the start.
//! 2. The writer publishes an entry **before** any record beyond its position. So it offers its
//!    waiting entries first, then publishes records up to the first entry that found no room.
//! 3. The reader reads the data ring's tail **first**, the lane second. A record it can see was
//!    published after every entry before it, so that entry is in the lane by then. Read the other
//!    way round, an entry could be published between the two reads and be overtaken by its records.
//! 4. The reader takes records up to the next entry's position, then the entry.
//! 5. Watermarks coalesce while they wait at one position: the last one says it all. Barriers, marks
//!    and the end never do, nor does the end of time: a reader whose other inputs are idle takes no time
//!    from it, so it must have heard what its neighbours have heard before it.
//! 6. The end is an entry. A ring whose writer is gone without it is broken, and the reader's job
//!    fails.
//! 7. Order within a pair: overflow before staging before ring. The staging buffer is the overflow:
//!    what one record expands to beyond the room waits there, in order, and the subtask takes no
//!    input until it is empty.

use std::collections::VecDeque;
use std::sync::Arc;

use rtrb::chunks::ReadChunk;
use rtrb::{Consumer, Producer, RingBuffer};

use super::moving::{publish, take};
use crate::control::Control;
use crate::metrics::RingMeter;
use crate::{Flush, Hint, LOOK_AHEAD};

/// Entries of a control lane. A step puts at most a few in; more wait with the writer.
const LANE_CAPACITY: usize = 32;

/// A control element and how many records stand before it.
#[derive(Clone, Copy, Debug)]
struct Entry {
    position: u64,
    control: Control,
}

/// Makes the two ends of a pair; `capacity` is in records and at least 1.
pub fn ring<R>(capacity: usize, meter: Arc<RingMeter>) -> (Sender<R>, Receiver<R>) {
    let (data_in, data_out) = RingBuffer::new(capacity);
    let (lane_in, lane_out) = RingBuffer::new(LANE_CAPACITY.min(capacity.max(2)));
    let sender = Sender {
        data: data_in,
        lane: lane_in,
        staged: Vec::with_capacity(capacity),
        staged_most: usize::MAX,
        waiting: VecDeque::with_capacity(4),
        published: 0,
        free: capacity,
        meter: meter.clone(),
        blocked_since_ns: 0,
        sampled_ns: 0,
        sampled_fill: 0,
    };
    (sender, Receiver { data: data_out, lane: lane_out, taken: 0, meter })
}

/// The writing end of a pair.
pub struct Sender<R> {
    data: Producer<R>,
    lane: Producer<Entry>,
    /// Records that are not published yet, oldest first.
    staged: Vec<R>,
    /// How many may be staged; beyond that they are dropped, and the job fails.
    staged_most: usize,
    /// Control elements that are not published yet, oldest first.
    waiting: VecDeque<Entry>,
    /// Records published since the start.
    published: u64,
    /// How many slots of the ring are known to be free; the reader may have freed more. To look costs a cache
    /// line's trip between two cores, so nobody looks while a record is on its way.
    free: usize,
    meter: Arc<RingMeter>,
    /// When this ring began to hold its writer up; 0 when it does not.
    blocked_since_ns: u64,
    sampled_ns: u64,
    sampled_fill: usize,
}

impl<R> Sender<R> {
    /// Lets no more than `records` wait behind a full ring in the middle of a step; by default any number may.
    #[must_use]
    pub fn with_overflow(mut self, records: usize) -> Self {
        // One more than may wait, so that the flush that follows sees that it was too much.
        self.staged_most = self.data.buffer().capacity().saturating_add(records).saturating_add(1);
        self
    }

    /// Stages a record; it is published at the end of the step. `false` once more is staged than may wait: the record
    /// is dropped, and the job has to fail.
    #[inline(always)]
    #[must_use]
    pub fn stage(&mut self, record: R) -> bool {
        if self.staged.len() == self.staged.capacity() && !self.grow() {
            return false;
        }
        self.staged.push(record);
        true
    }

    /// Makes room for more staged records, at most twice as many; `false` if no more may be staged. Only here is the
    /// bound looked at, so that it costs nothing for each record.
    #[cold]
    #[inline(never)]
    fn grow(&mut self) -> bool {
        let staged = self.staged.len();
        let more = self.staged_most.saturating_sub(staged).min(staged.max(1));
        self.staged.reserve_exact(more);
        more > 0
    }

    /// How many records have come since the start, published or not: where a control element stands that comes now.
    fn position(&self) -> u64 {
        self.published + self.staged.len() as u64
    }

    /// How many records are staged.
    #[inline(always)]
    pub fn staged(&self) -> usize {
        self.staged.len()
    }

    /// How many more records fit. A lower bound: the reader may be making room.
    pub fn room(&mut self) -> usize {
        if self.free <= self.data.buffer().capacity() / 2 {
            self.free = self.data.slots();
        }
        self.free.saturating_sub(self.staged.len())
    }

    /// Puts a control element behind everything staged so far.
    pub fn control(&mut self, control: Control) {
        let position = self.position();
        if let Some(last) = self.waiting.back_mut()
            && last.position == position
            && last.control.is_overtaken_by(control)
        {
            last.control = control;
            return;
        }
        self.waiting.push_back(Entry { position, control });
    }

    /// Publishes what has room, control before the records behind it.
    pub fn flush(&mut self, now_ns: u64) -> Flush {
        if self.staged.is_empty() && self.waiting.is_empty() {
            return Flush::IDLE;
        }
        let before = self.staged.len() + self.waiting.len();
        self.publish_control();
        let published = self.publish_records();
        self.sample(published, now_ns);
        let after = self.staged.len() + self.waiting.len();
        self.charge(after > 0, now_ns);
        Flush { clear: after == 0, moved: after < before }
    }

    fn publish_control(&mut self) {
        while let Some(entry) = self.waiting.front() {
            if self.lane.push(*entry).is_err() {
                return;
            }
            self.waiting.pop_front();
        }
    }

    /// How many records found room.
    fn publish_records(&mut self) -> usize {
        let allowed = match self.waiting.front() {
            Some(entry) => (entry.position - self.published) as usize,
            None => self.staged.len(),
        };
        let count = allowed.min(self.staged.len());
        if count > self.free {
            self.free = self.data.slots();
        }
        let count = count.min(self.free);
        if count == 0 {
            return 0;
        }
        let Ok(chunk) = self.data.write_chunk_uninit(count) else { return 0 };
        self.published += count as u64;
        self.free -= count;
        publish(chunk, &mut self.staged);
        count
    }

    /// Charges the time the writer was held up to this ring, and starts or stops the watch.
    pub fn charge(&mut self, blocked: bool, now_ns: u64) {
        if self.blocked_since_ns != 0 {
            self.meter.add_blocked(now_ns.saturating_sub(self.blocked_since_ns));
        }
        self.blocked_since_ns = if blocked { now_ns } else { 0 };
    }

    /// Notes how full the ring was since the last sample: without what was just `published`, or a slow reader and
    /// a fast writer would look alike.
    fn sample(&mut self, published: usize, now_ns: u64) {
        if self.sampled_ns != 0 {
            self.meter.add_fill(self.sampled_fill, now_ns.saturating_sub(self.sampled_ns));
        }
        self.free = self.data.slots();
        let fill = self.data.buffer().capacity() - self.free;
        self.sampled_fill = fill.saturating_sub(published);
        self.sampled_ns = now_ns;
    }
}

impl<R> Drop for Sender<R> {
    /// What is staged was on its way, too.
    fn drop(&mut self) {
        self.meter.writer_goes(self.position());
    }
}

/// What a reader finds next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// This many records can be taken.
    Records(usize),
    /// A control element, already taken.
    Control(Control),
    /// Nothing now.
    Nothing,
    /// Nothing ever: the writer is gone without saying that it ended.
    Broken,
}

/// Whoever takes records out of a ring.
pub trait Taker<R> {
    /// Looks at records that will be taken soon, and notes something of each.
    #[inline(always)]
    fn hint(&mut self, _records: &[R], _first: Hint) {}
    /// Takes the record, with what was noted of it.
    fn take(&mut self, record: R, hint: Hint);
}

impl<R, F: FnMut(R)> Taker<R> for F {
    #[inline(always)]
    fn take(&mut self, record: R, _: Hint) {
        self(record);
    }
}

/// The reading end of a pair.
pub struct Receiver<R> {
    data: Consumer<R>,
    lane: Consumer<Entry>,
    /// Records taken since the start.
    taken: u64,
    meter: Arc<RingMeter>,
}

impl<R> Receiver<R> {
    /// Looks what is next and takes it if it is a control element. The order of the two reads is
    /// rule 3 of the protocol.
    #[allow(clippy::should_implement_trait)] // An iterator would promise an end; a ring has pauses.
    pub fn next(&mut self) -> Next {
        let gone = self.data.is_abandoned();
        let available = self.data.slots();
        let Ok(entry) = self.lane.peek().copied() else {
            return match available {
                0 if gone => Next::Broken,
                0 => Next::Nothing,
                n => self.seen(n, n),
            };
        };
        let before = (entry.position - self.taken) as usize;
        if before == 0 {
            let _taken = self.lane.pop();
            return Next::Control(entry.control);
        }
        match available.min(before) {
            0 if gone => Next::Broken,
            0 => Next::Nothing,
            n => self.seen(n, available),
        }
    }

    fn seen(&self, next: usize, available: usize) -> Next {
        self.meter.note_seen(available);
        Next::Records(next)
    }

    /// The first record, if one is known to be there: it may stand behind a control element.
    #[inline]
    pub fn first(&self) -> Option<&R> {
        self.data.peek().ok()
    }

    /// Takes `count` records, which [`next`](Receiver::next) has promised: shows up to [`LOOK_AHEAD`] of them
    /// to `with`, unless it is one, then hands over these, and so on.
    #[inline(always)]
    pub fn take(&mut self, count: usize, with: &mut impl Taker<R>) {
        let mut left = count;
        while left > 0 {
            let part = left.min(LOOK_AHEAD);
            let Ok(chunk) = self.data.read_chunk(part) else { return };
            let Hint(first) = show(&chunk, with);
            // Counted first: if `with` panics the job ends, and nothing is taken twice.
            self.taken += part as u64;
            take(chunk, first, |record, number| with.take(record, Hint(number)));
            left -= part;
        }
    }

    /// Whether [`next`](Receiver::next) has something to say.
    #[inline]
    pub fn ready(&self) -> bool {
        !self.data.is_empty() || !self.lane.is_empty() || self.data.is_abandoned()
    }
}

impl<R> Drop for Receiver<R> {
    fn drop(&mut self) {
        self.meter.reader_goes(self.taken, self.data.slots() as u64);
    }
}

/// Shows all the records of `chunk`, and says under which number the first is known. One by itself is not shown: it
/// comes at once, and what is noted of it would only be in its way.
#[inline(always)]
fn show<R>(chunk: &ReadChunk<'_, R>, with: &mut impl Taker<R>) -> Hint {
    if chunk.len() == 1 {
        return Hint::NONE;
    }
    let (first, second) = chunk.as_slices();
    with.hint(first, Hint(0));
    if !second.is_empty() {
        with.hint(second, Hint(first.len()));
    }
    Hint(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MAX_TIMESTAMP;
    use crate::control::Barrier;

    fn pair(capacity: usize) -> (Sender<u32>, Receiver<u32>) {
        ring(capacity, Arc::new(RingMeter::new(capacity)))
    }

    fn all(receiver: &mut Receiver<u32>) -> String {
        let mut text = String::new();
        loop {
            match receiver.next() {
                Next::Records(n) => receiver.take(n, &mut |record| text += &format!("{record} ")),
                Next::Control(Control::Watermark(at)) => text += &format!("|{at} "),
                Next::Control(Control::Barrier(barrier)) => text += &format!("#{} ", barrier.id),
                Next::Control(other) => text += &format!("{other:?} "),
                Next::Nothing => return text.trim_end().into(),
                Next::Broken => return text + "broken",
            }
        }
    }

    #[test]
    fn control_stands_where_it_was_put() {
        let (mut sender, mut receiver) = pair(8);
        assert!(sender.stage(1));
        sender.control(Control::Barrier(Barrier { id: 1 }));
        assert!(sender.stage(2));
        sender.control(Control::End);
        assert!(sender.flush(1).clear);
        assert_eq!(all(&mut receiver), "1 #1 2 End");
    }

    #[test]
    fn watermarks_coalesce_and_barriers_do_not() {
        let (mut sender, mut receiver) = pair(8);
        for at in 0..100 {
            sender.control(Control::Watermark(at));
        }
        for id in 1..4 {
            sender.control(Control::Barrier(Barrier { id }));
        }
        assert!(sender.flush(1).clear);
        assert_eq!(all(&mut receiver), "|99 #1 #2 #3");
    }

    #[test]
    fn the_end_of_time_does_not_hide_the_watermark_before_it() {
        let (mut sender, mut receiver) = pair(8);
        [5, 7, MAX_TIMESTAMP].into_iter().for_each(|at| sender.control(Control::Watermark(at)));
        assert!(sender.flush(1).clear);
        assert_eq!(all(&mut receiver), format!("|7 |{MAX_TIMESTAMP}"));
    }

    #[test]
    fn a_full_lane_holds_back_the_records_behind_it() {
        let (mut sender, mut receiver) = pair(2);
        for id in 0..10 {
            sender.control(Control::Barrier(Barrier { id }));
            assert!(sender.stage(id as u32));
        }
        let mut seen = String::new();
        for _ in 0..20 {
            let _some = sender.flush(1);
            seen = seen + " " + &all(&mut receiver);
        }
        let expected: Vec<_> = (0..10).map(|id| format!("#{id} {id}")).collect();
        assert_eq!(seen.split_whitespace().collect::<Vec<_>>().join(" "), expected.join(" "));
    }

    #[test]
    fn a_dropped_writer_without_an_end_is_broken() {
        let (mut sender, mut receiver) = pair(2);
        assert!(sender.stage(1));
        assert!(sender.flush(1).clear);
        drop(sender);
        assert_eq!(all(&mut receiver), "1 broken");
    }

    #[test]
    fn what_was_not_taken_is_counted_whoever_goes_first() {
        for reader_first in [true, false] {
            let meter = Arc::new(RingMeter::new(4));
            let (mut sender, mut receiver) = ring(4, meter.clone());
            (0..3).for_each(|record| assert!(sender.stage(record)));
            assert!(sender.flush(1).clear);
            assert_eq!(receiver.next(), Next::Records(3));
            receiver.take(1, &mut |_| {});
            let mut receiver = Some(receiver);
            if reader_first {
                drop(receiver.take());
                assert_eq!(meter.unread(), 2, "the writer may send more");
            }
            (3..7).for_each(|record| assert!(sender.stage(record)));
            assert!(!sender.flush(2).clear, "two find room, and two wait");
            drop(sender);
            assert_eq!(meter.unread(), if reader_first { 6 } else { 0 }, "the reader may take more");
            drop(receiver);
            assert_eq!(meter.unread(), 6);
        }
    }

    /// Notes what it is shown, and with which numbers records come.
    #[derive(Default)]
    struct Shown(Vec<(usize, usize)>, Vec<usize>);

    impl Taker<u32> for Shown {
        fn hint(&mut self, records: &[u32], Hint(first): Hint) {
            self.0.push((first, records.len()));
        }

        fn take(&mut self, _: u32, Hint(number): Hint) {
            self.1.push(number);
        }
    }

    #[test]
    fn records_are_shown_ahead_but_not_one_by_itself() {
        let (mut sender, mut receiver) = pair(4);
        let mut shown = Shown::default();
        for count in [1, 2, 3] {
            (0..count).for_each(|record| assert!(sender.stage(record)));
            assert!(sender.flush(1).clear);
            assert_eq!(receiver.next(), Next::Records(count as usize));
            receiver.take(count as usize, &mut shown);
        }
        // The last three go over the ring's end.
        assert_eq!(shown.0, [(0, 2), (0, 1), (1, 2)]);
        assert_eq!(shown.1, [LOOK_AHEAD, 0, 1, 0, 1, 2], "nothing is noted under the first");
    }

    #[test]
    fn blocked_time_is_charged_to_the_ring() {
        let meter = Arc::new(RingMeter::new(1));
        let (mut sender, mut receiver) = ring(1, meter.clone());
        assert!(sender.stage(1));
        assert!(sender.stage(2));
        assert_eq!(sender.flush(10), Flush { clear: false, moved: true });
        assert_eq!(sender.flush(15), Flush { clear: false, moved: false });
        assert_eq!(all(&mut receiver), "1");
        assert!(sender.flush(30).clear);
        assert_eq!(meter.snapshot().blocked_ns, 20);
    }

    /// Rounds of the race below: the window is some nanoseconds wide, and this many tries have hit it
    /// every time.
    const RACES: u64 = 300_000;

    #[test]
    fn no_record_overtakes_control_between_two_threads() {
        let (mut sender, mut receiver) = pair(2);
        let writer = std::thread::spawn(move || {
            for id in 0..RACES {
                sender.control(Control::Barrier(Barrier { id }));
                assert!(sender.stage(id as u32));
                while !sender.flush(1).clear {
                    std::thread::yield_now();
                }
            }
            sender.control(Control::End);
            while !sender.flush(1).clear {
                std::thread::yield_now();
            }
        });
        let (mut barriers, mut records) = (0, 0);
        loop {
            match receiver.next() {
                Next::Control(Control::Barrier(barrier)) => {
                    assert_eq!((barrier.id, records), (barriers, barriers), "control came late");
                    barriers += 1;
                }
                Next::Records(count) => {
                    receiver.take(count, &mut |_| records += 1);
                    assert!(records <= barriers, "record {records} overtook barrier {barriers}");
                }
                Next::Nothing => std::hint::spin_loop(),
                other => break assert_eq!(other, Next::Control(Control::End)),
            }
        }
        assert_eq!((barriers, records), (RACES, RACES));
        writer.join().unwrap();
    }
}
