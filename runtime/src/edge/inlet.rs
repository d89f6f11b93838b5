//! The reading end of an edge at one subtask: merges its origins, aligns their barriers and keeps
//! the lowest watermark.

use std::marker::PhantomData;

use super::ring::{Next, Receiver, Taker};
use crate::control::{Barrier, Control};
use crate::head::{Drive, Event, Head};
use crate::time::{MAX_TIMESTAMP, MIN_TIMESTAMP};
use crate::{Context, Error, Hint, Minimum, Output, Owned, Result, Time, Timestamp};

/// One origin: its ring and what it has said so far.
struct Origin<R> {
    ring: Receiver<R>,
    idle: bool,
    ended: bool,
    /// Waits at a barrier for the others; its ring is not read.
    at_barrier: bool,
}

/// Reads the rings of a subtask's origins.
pub struct Inlet<T: 'static, M: Time> {
    origins: Vec<Origin<(T, M::Stamp)>>,
    /// The origin to read first, so that none starves.
    turn: usize,
    watermark: Timestamp,
    idle: bool,
    /// The lowest watermark of the origins that count: all but the idle ones. One that has ended counts with the
    /// last that it said, the greatest there is if its input had truly ended.
    lowest: Minimum,
    /// How many origins are idle.
    idle_origins: usize,
    /// The greatest watermark that any origin has said, but for the end of time.
    greatest: Timestamp,
    /// It is to be said that all are idle.
    goes_idle: bool,
    /// The barrier that the origins in `at_barrier` wait at.
    barrier: Option<Barrier>,
    /// How many origins wait at it, and how many have ended: counted, because each of hundreds says so by itself.
    waiting: usize,
    ended: usize,
}

impl<T: 'static, M: Time> Inlet<T, M> {
    /// An inlet over the rings of all its origins; without any it ends at once.
    pub fn new(rings: Vec<Receiver<(T, M::Stamp)>>) -> Self {
        let origins =
            rings.into_iter().map(|ring| Origin { ring, idle: false, ended: false, at_barrier: false });
        let origins: Vec<_> = origins.collect();
        let lowest = Minimum::new(origins.len(), MIN_TIMESTAMP);
        Inlet {
            origins,
            turn: 0,
            watermark: MIN_TIMESTAMP,
            idle: false,
            lowest,
            idle_origins: 0,
            greatest: MIN_TIMESTAMP,
            goes_idle: false,
            barrier: None,
            waiting: 0,
            ended: 0,
        }
    }

    /// What a control element of one origin means for the subtask.
    fn control(&mut self, index: usize, control: Control) -> Option<Event> {
        let origin = &mut self.origins[index];
        match control {
            Control::Watermark(watermark) => {
                self.idle_origins -= usize::from(std::mem::replace(&mut origin.idle, false));
                self.lowest.set(index, watermark);
                if watermark != MAX_TIMESTAMP {
                    self.greatest = self.greatest.max(watermark);
                }
                self.merge_time()
            }
            Control::Idle => {
                self.idle_origins += usize::from(!std::mem::replace(&mut origin.idle, true));
                self.lowest.set(index, MAX_TIMESTAMP);
                self.merge_time()
            }
            Control::Barrier(barrier) => {
                origin.at_barrier = true;
                self.waiting += 1;
                self.barrier = Some(barrier);
                self.aligned()
            }
            Control::Mark(mark) => Some(Event::Mark(mark)),
            Control::End => {
                origin.ended = true;
                self.ended += 1;
                self.ended()
            }
        }
    }

    /// What a change of one origin means for all.
    fn merge_time(&mut self) -> Option<Event> {
        let lowest = self.lowest.value();
        if lowest == MAX_TIMESTAMP && self.idle_origins > 0 {
            return self.all_idle();
        }
        // Repeated, a watermark says that this input counts again.
        let was_idle = std::mem::replace(&mut self.idle, false);
        if lowest <= self.watermark && !was_idle {
            return None;
        }
        self.watermark = self.watermark.max(lowest);
        Some(Event::Watermark(self.watermark))
    }

    /// Those that have not ended are idle. They may go on some day, so it is not the end of time; but time comes as far
    /// as it can have come for another subtask with these origins, which has heard of them in another order. Were it
    /// less, records that wait here would be late where both ways meet: nobody waits for an idle one. (Flink's
    /// `StatusWatermarkValve` does the same.)
    fn all_idle(&mut self) -> Option<Event> {
        if self.greatest > self.watermark {
            self.goes_idle = true;
            self.watermark = self.greatest;
            return Some(Event::Watermark(self.watermark));
        }
        self.go_idle()
    }

    fn go_idle(&mut self) -> Option<Event> {
        self.goes_idle = false;
        let was_idle = std::mem::replace(&mut self.idle, true);
        (!was_idle).then_some(Event::Idle)
    }

    /// The barrier, once every origin that has not ended waits at it.
    fn aligned(&mut self) -> Option<Event> {
        let barrier = self.barrier?;
        if self.waiting + self.ended < self.origins.len() {
            return None;
        }
        self.waiting = 0;
        self.origins.iter_mut().for_each(|origin| origin.at_barrier = false);
        self.barrier = None;
        Some(Event::Barrier(barrier))
    }

    /// An origin has ended: that can be the end of all, or what a barrier waited for. Event time does not: what
    /// the end means for it was said before, unless the job is drained.
    fn ended(&mut self) -> Option<Event> {
        if self.ended == self.origins.len() {
            // Those that waited at a barrier have none behind it: it is aligned, and then comes the end.
            return Some(Event::End);
        }
        self.aligned()
    }

    /// Without any origin this is the end of nothing, and holds nobody up.
    fn without_origins(&mut self) -> Event {
        match std::mem::replace(&mut self.watermark, MAX_TIMESTAMP) {
            MAX_TIMESTAMP => Event::End,
            _ => Event::Watermark(MAX_TIMESTAMP),
        }
    }

    fn broken() -> Error {
        Error::bug("an edge was dropped without its end by the subtask that writes it")
    }
}

/// Hands what comes out of a ring to the chain.
struct Into<'a, 's, O, M> {
    ctx: &'a mut Context<'s>,
    out: &'a mut O,
    time: PhantomData<M>,
}

impl<T: 'static, M: Time, O: Output<Owned<T>>> Taker<(T, M::Stamp)> for Into<'_, '_, O, M> {
    #[inline(always)]
    fn hint(&mut self, records: &[(T, M::Stamp)], first: Hint) {
        self.out.hint(records.iter().map(|(record, _)| record), first, self.ctx);
    }

    #[inline(always)]
    fn take(&mut self, (record, stamp): (T, M::Stamp), hint: Hint) {
        M::restore(stamp, self.ctx);
        self.out.push_hinted(record, hint, self.ctx);
    }
}

impl<T: 'static, M: Time> Head for Inlet<T, M> {
    type Item = Owned<T>;

    #[inline(always)]
    fn drive<'s>(
        &'s mut self,
        budget: usize,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<T>>,
    ) -> Result<Drive> {
        let mut records = 0;
        let count = self.origins.len();
        if count == 0 {
            return Ok(Drive { records, event: Some(self.without_origins()) });
        }
        if self.goes_idle {
            return Ok(Drive { records, event: self.go_idle() });
        }
        for step in 0..count {
            let index = if self.turn + step < count { self.turn + step } else { self.turn + step - count };
            while records < budget {
                let origin = &mut self.origins[index];
                if origin.ended || origin.at_barrier {
                    break;
                }
                match origin.ring.next() {
                    Next::Records(available) => {
                        let taken = available.min(budget - records);
                        origin.ring.take(taken, &mut Into { ctx, out, time: PhantomData::<M> });
                        records += taken;
                    }
                    Next::Control(control) => {
                        let event = self.control(index, control).unwrap_or(Event::Noted);
                        // What it says goes on here, and not with those before it, which may all wait at a barrier.
                        self.turn = index;
                        return Ok(Drive { records, event: Some(event) });
                    }
                    Next::Nothing => break,
                    Next::Broken => return Err(Self::broken()),
                }
            }
        }
        self.turn = if self.turn + 1 == count { 0 } else { self.turn + 1 };
        Ok(Drive { records, event: None })
    }

    #[inline]
    fn foresee(&mut self, ctx: &mut Context<'_>, out: &mut impl Output<Owned<T>>) {
        let (before, from) = self.origins.split_at(self.turn);
        if let Some((record, _)) = from.iter().chain(before).find_map(|origin| origin.ring.first()) {
            out.hint(std::iter::once(record), Hint::NONE, ctx);
        }
    }

    fn ready(&self) -> bool {
        let readable = |origin: &Origin<_>| !origin.ended && !origin.at_barrier && origin.ring.ready();
        // Where the last element came from there are more: all those in front of it may wait at a barrier, and to ask
        // hundreds of them again for each element of each would take their square.
        let (before, from) = self.origins.split_at(self.turn);
        self.goes_idle || self.origins.is_empty() || from.iter().chain(before).any(readable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::ring::{Sender, ring};
    use crate::metrics::RingMeter;
    use crate::testing::subtask;
    use crate::{Arena, Blame, Family, Untimed};
    use std::sync::Arc;

    /// What it was shown, under which number, and what came.
    #[derive(Default)]
    struct Seen(Vec<(Hint, Vec<u32>)>, Vec<u32>);

    impl Output<Owned<u32>> for Seen {
        fn push<'s>(&mut self, record: u32, _: &mut Context<'s>) {
            self.1.push(record);
        }

        fn hint<'s, 'r>(&mut self, records: impl Iterator<Item = &'r u32>, first: Hint, _: &mut Context<'s>)
        where
            <Owned<u32> as Family>::Of<'s>: 'r,
        {
            self.0.push((first, records.copied().collect()));
        }
    }

    impl Seen {
        /// What a step sees, and what its drive came to.
        fn step(&mut self, inlet: &mut Inlet<u32, Untimed>) -> (usize, Option<Event>) {
            let (arena, blame, place) = (Arena::new(), Blame::default(), subtask());
            let mut ctx = Context::new(&arena, &place, &blame, 1);
            inlet.foresee(&mut ctx, self);
            let drive = inlet.drive(9, &mut ctx, self).unwrap();
            (drive.records, drive.event)
        }
    }

    #[test]
    fn the_record_that_comes_next_is_foreseen_and_stays_where_it_is() {
        let meter = || Arc::new(RingMeter::new(4));
        let (_silent, first) = ring(4, meter());
        let (mut writer, second): (Sender<(u32, ())>, _) = ring(4, meter());
        let (mut inlet, mut seen) = (Inlet::new(vec![first, second]), Seen::default());
        assert_eq!(seen.step(&mut inlet), (0, None));
        writer.control(Control::Watermark(5));
        [7, 8].into_iter().for_each(|record| assert!(writer.stage((record, ()))));
        assert!(writer.flush(1).clear);
        assert_eq!(seen.step(&mut inlet), (0, Some(Event::Noted)), "what was said first comes first");
        assert_eq!(seen.step(&mut inlet), (2, None));
        assert_eq!(seen.0, [(Hint::NONE, vec![7]), (Hint::NONE, vec![7]), (Hint(0), vec![7, 8])]);
        assert_eq!(seen.1, [7, 8]);
    }

    fn of_two() -> Inlet<u32, Untimed> {
        Inlet::new((0..2).map(|_| ring(2, Arc::new(RingMeter::new(2))).1).collect())
    }

    #[test]
    fn an_origin_that_was_idle_counts_again_from_its_next_watermark() {
        let mut inlet = of_two();
        assert_eq!(inlet.control(0, Control::Watermark(5)), None);
        assert_eq!(inlet.control(1, Control::Idle), Some(Event::Watermark(5)));
        assert_eq!(inlet.control(0, Control::Idle), Some(Event::Idle));
        assert_eq!(inlet.control(1, Control::Watermark(3)), Some(Event::Watermark(5)));
        assert_eq!(inlet.control(0, Control::Watermark(9)), None);
        assert_eq!(inlet.control(1, Control::Watermark(7)), Some(Event::Watermark(7)));
    }

    #[test]
    fn when_all_are_idle_time_has_come_as_far_as_it_can_have_for_others() {
        // Whoever hears of the second origin before the first goes idle has come to 7.
        let mut inlet = of_two();
        assert_eq!(inlet.control(0, Control::Watermark(7)), None);
        assert_eq!(inlet.control(0, Control::Watermark(MAX_TIMESTAMP)), None);
        assert_eq!(inlet.control(1, Control::Idle), Some(Event::Watermark(7)));
        assert!(inlet.ready());
        assert_eq!(inlet.go_idle(), Some(Event::Idle));
        assert_eq!(inlet.control(1, Control::Watermark(9)), Some(Event::Watermark(9)));
    }

    #[test]
    fn an_end_completes_a_barrier() {
        let mut inlet = of_two();
        assert_eq!(inlet.control(0, Control::Barrier(Barrier { id: 1 })), None);
        assert_eq!(inlet.control(1, Control::End), Some(Event::Barrier(Barrier { id: 1 })));
    }

    #[test]
    fn barriers_are_aligned_one_after_the_other_while_origins_end() {
        let barrier = |id| Control::Barrier(Barrier { id });
        let aligned = |id| Some(Event::Barrier(Barrier { id }));
        let mut inlet =
            Inlet::<u32, Untimed>::new((0..3).map(|_| ring(2, Arc::new(RingMeter::new(2))).1).collect());
        let said =
            [(0, 1, None), (2, 1, None), (1, 1, aligned(1)), (2, 2, None), (0, 2, None), (1, 2, aligned(2))];
        said.into_iter()
            .for_each(|(origin, id, event)| assert_eq!(inlet.control(origin, barrier(id)), event));
        assert_eq!(inlet.control(1, Control::End), None);
        assert_eq!(inlet.control(2, barrier(3)), None);
        assert_eq!(inlet.control(0, barrier(3)), aligned(3));
        assert_eq!(inlet.control(0, Control::End), None);
        assert_eq!(inlet.control(2, barrier(4)), aligned(4));
        assert_eq!(inlet.control(2, Control::End), Some(Event::End));
    }

    #[test]
    fn an_origin_whose_input_has_ended_holds_nobody_up() {
        let mut inlet = of_two();
        assert_eq!(inlet.control(0, Control::Watermark(MAX_TIMESTAMP)), None);
        assert_eq!(inlet.control(0, Control::End), None);
        assert_eq!(inlet.control(1, Control::Watermark(5)), Some(Event::Watermark(5)));
        assert_eq!(
            inlet.control(1, Control::Watermark(MAX_TIMESTAMP)),
            Some(Event::Watermark(MAX_TIMESTAMP))
        );
        assert_eq!(inlet.control(1, Control::End), Some(Event::End));
    }

    #[test]
    fn an_origin_that_was_drained_holds_event_time() {
        let mut inlet = of_two();
        assert_eq!(inlet.control(0, Control::Watermark(3)), None);
        assert_eq!(inlet.control(1, Control::Watermark(5)), Some(Event::Watermark(3)));
        assert_eq!(inlet.control(0, Control::End), None);
        assert_eq!(inlet.control(1, Control::Watermark(9)), None);
        assert_eq!(inlet.control(1, Control::End), Some(Event::End));
    }

    #[test]
    fn time_does_not_end_while_an_origin_is_idle() {
        let mut inlet = of_two();
        assert_eq!(inlet.control(0, Control::Watermark(MAX_TIMESTAMP)), None);
        assert_eq!(inlet.control(1, Control::Idle), Some(Event::Idle));
        assert_eq!(inlet.control(1, Control::Watermark(5)), Some(Event::Watermark(5)));
        assert_eq!(inlet.control(1, Control::Idle), Some(Event::Idle));
        assert_eq!(
            inlet.control(1, Control::Watermark(MAX_TIMESTAMP)),
            Some(Event::Watermark(MAX_TIMESTAMP))
        );
    }

    #[test]
    fn without_origins_time_ends_at_once() {
        let mut inlet = Inlet::<u32, Untimed>::new(Vec::new());
        assert_eq!(inlet.without_origins(), Event::Watermark(MAX_TIMESTAMP));
        assert_eq!(inlet.without_origins(), Event::End);
    }
}
