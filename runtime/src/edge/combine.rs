//! Records of one step that are combined in front of an edge, so that fewer cross it.
//!
//! 1. What a record changes is kept here until the step ends, and not longer: a flush, and whatever stands between
//!    records on the edge (a watermark, a barrier, a mark, idleness, the end), lets it out first. So nothing is late,
//!    lost or overtaken for having been combined, and nothing waits for a timer.
//! 2. What is kept needs room in the rings when it is let out, so as much less is taken in.
//! 3. Where it does not pay, records pass without having been looked at: what combines says about how many, each time
//!    that it has let everything out. So nothing is kept then that they could overtake.
//! 4. In a chain that is not cut here nothing is combined.

use super::outlet::Outlet;
use super::partition::{BuildRoute, Route};
use crate::chain::Guard;
use crate::control::{Barrier, LatencyMark};
use crate::pipe::OutletPlan;
use crate::{
    Consumer, Context, Downstream, EventTime, Flow, Flush, Output, Owned, Result, SubtaskContext, Tail,
    TimeSaid, Timestamp,
};

/// What combines the records of one subtask, called on its slot's thread.
pub trait Combine: 'static {
    /// The records it takes.
    type In: 'static;
    /// What crosses the edge.
    type Out: Send + 'static;

    /// What crosses for a record by itself.
    fn alone(record: Self::In) -> Self::Out;

    /// Takes a record of this event time, and gives to `out` what has to make room for it.
    fn add(&mut self, record: Self::In, time: Timestamp, out: &mut impl FnMut(Self::Out, Timestamp));

    /// Gives everything that it keeps to `out`.
    fn release(&mut self, out: &mut impl FnMut(Self::Out, Timestamp));

    /// How many records it does not want to see, to the end of a step; asked when everything has been released.
    fn rests(&mut self) -> usize;

    /// How much it keeps, as a number of what crosses the edge. Asked between records.
    fn kept(&self) -> usize;

    /// This is said about event time, behind everything that was released.
    fn said(&mut self, said: TimeSaid);
}

/// How what combines records comes to be at one subtask.
pub trait BuildCombine<T>: Clone + Send + 'static {
    /// What crosses the edge.
    type Out: Send + 'static;
    /// What combines.
    type Combine: Combine<In = T, Out = Self::Out>;

    /// Makes it on its slot.
    ///
    /// # Errors
    /// What speaks against it; the job fails.
    fn build(self, subtask: &SubtaskContext) -> Result<Self::Combine>;
}

/// Describes an outlet that combines.
pub struct CombiningPlan<C, T, R> {
    /// The operator that the edge leads to: it is its closures that run here.
    pub operator: u32,
    /// What combines.
    pub combine: C,
    /// The outlet.
    pub outlet: OutletPlan<T, EventTime, R>,
}

impl<C: Clone, T, R: Clone> Clone for CombiningPlan<C, T, R> {
    fn clone(&self) -> Self {
        let CombiningPlan { operator, combine, outlet } = self;
        CombiningPlan { operator: *operator, combine: combine.clone(), outlet: outlet.clone() }
    }
}

impl<T, C, R> Downstream<Owned<T>> for CombiningPlan<C, C::Out, R>
where
    T: 'static,
    C: BuildCombine<T>,
    R: BuildRoute<C::Out>,
{
    type Consumer = Combining<C::Combine, R::Route>;

    fn build(self, subtask: &SubtaskContext) -> Result<Self::Consumer> {
        let CombiningPlan { operator, combine, outlet } = self;
        let (combine, outlet) = (combine.build(subtask)?, outlet.build(subtask)?);
        Ok(Combining { operator, combine, outlet, passing: 0, overflown: false })
    }
}

/// An outlet and what combines in front of it.
pub struct Combining<C: Combine, R> {
    operator: u32,
    combine: C,
    outlet: Outlet<C::Out, EventTime, R>,
    /// How many records pass before the next is combined. They are counted when the step ends: to count each of them
    /// would be half of what it costs to pass.
    passing: usize,
    /// Something found no place behind the rings; the next flush says so.
    overflown: bool,
}

impl<C: Combine, R: Route<C::Out>> Combining<C, R> {
    /// Lets out everything that is kept.
    #[inline]
    fn release(&mut self) {
        if self.passing > 0 {
            return;
        }
        let Combining { combine, outlet, overflown, passing, .. } = self;
        combine.release(&mut |record, time| *overflown |= !outlet.stage(record, time));
        *passing = combine.rests();
    }

    /// Out of line: where records pass, what combines them would take registers from the loop.
    #[inline(never)]
    fn combine(&mut self, record: C::In, ctx: &mut Context<'_>) {
        // Behind a failure nothing is combined, as no operator sees another record.
        if ctx.failed() {
            return;
        }
        let Combining { operator, combine, outlet, overflown, .. } = self;
        let guard = Guard::new(operator, ctx);
        combine.add(record, ctx.timestamp(), &mut |record, time| *overflown |= !outlet.stage(record, time));
        guard.clear(ctx);
        if *overflown {
            outlet.overflows(ctx);
        }
    }
}

impl<C: Combine, R: Route<C::Out>> Output<Owned<C::In>> for Combining<C, R> {
    #[inline(always)]
    fn push<'s>(&mut self, record: C::In, ctx: &mut Context<'s>) {
        if self.passing > 0 {
            return self.outlet.push(C::alone(record), ctx);
        }
        self.combine(record, ctx);
    }
}

impl<C: Combine, R: Route<C::Out>> Tail for Combining<C, R> {
    /// All that is kept may have to go into one ring.
    fn room(&mut self) -> usize {
        self.outlet.room().saturating_sub(self.combine.kept())
    }

    fn flush(&mut self, now_ns: u64) -> Result<Flush> {
        match self.passing {
            0 => self.release(),
            passing => self.passing = passing.saturating_sub(self.outlet.staged()),
        }
        if self.overflown {
            return Err(self.outlet.exceeded());
        }
        self.outlet.flush(now_ns)
    }

    fn barrier(&mut self, barrier: Barrier) {
        self.release();
        self.outlet.barrier(barrier);
    }

    fn mark(&mut self, mark: LatencyMark, now_ns: u64) {
        self.release();
        self.outlet.mark(mark, now_ns);
    }

    fn forward_watermark(&mut self, watermark: Timestamp) {
        self.release();
        self.combine.said(TimeSaid::Watermark(watermark));
        self.outlet.forward_watermark(watermark);
    }

    fn forward_idle(&mut self) {
        self.release();
        self.combine.said(TimeSaid::Idle);
        self.outlet.forward_idle();
    }

    fn close(&mut self) {
        self.release();
        self.outlet.close();
    }

    fn finished(&mut self) -> bool {
        self.outlet.finished()
    }

    fn charge_blocked(&mut self, now_ns: u64) {
        self.outlet.charge_blocked(now_ns);
    }

    fn is_polled(&self) -> bool {
        self.outlet.is_polled()
    }
}

impl<C: Combine, R: Route<C::Out>> Consumer<Owned<C::In>> for Combining<C, R> {
    fn watermark(&mut self, watermark: Timestamp, _: &mut Context<'_>) -> Flow {
        self.forward_watermark(watermark);
        Flow::Done
    }

    fn end(&mut self, _: &mut Context<'_>) -> Flow {
        Flow::Done
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::control::Control;
    use crate::edge::Spread;
    use crate::edge::overflow::Overflow;
    use crate::edge::ring::{Next, Receiver, ring};
    use crate::metrics::RingMeter;
    use crate::testing::subtask;
    use crate::{Arena, Blame};

    type Stamped = (u64, [u8; 8]);

    /// Says something between records.
    type Say = fn(&mut Combining<Even, Spread>);

    /// Adds up what is even; what is odd crosses as it is. So many records pass behind each release.
    #[derive(Default)]
    struct Even(u64, Vec<TimeSaid>, usize);

    impl Combine for Even {
        type In = u64;
        type Out = u64;

        fn alone(n: u64) -> u64 {
            n
        }
        fn add(&mut self, n: u64, time: Timestamp, out: &mut impl FnMut(u64, Timestamp)) {
            if n.is_multiple_of(2) {
                self.0 += n;
            } else {
                out(n, time);
            }
        }
        fn release(&mut self, out: &mut impl FnMut(u64, Timestamp)) {
            let sum = std::mem::take(&mut self.0);
            (sum > 0).then(|| out(sum, 7));
        }
        fn rests(&mut self) -> usize {
            assert_eq!(self.0, 0, "it is asked behind the release");
            self.2
        }
        fn kept(&self) -> usize {
            usize::from(self.0 > 0)
        }
        fn said(&mut self, said: TimeSaid) {
            assert_eq!(self.0, 0, "it is released first");
            self.1.push(said);
        }
    }

    fn combining(bytes: usize) -> (Combining<Even, Spread>, Receiver<Stamped>) {
        let (sender, receiver) = ring(8, Arc::new(RingMeter::new(8)));
        let outlet = Outlet::new(vec![sender], Spread::To(0), Overflow::of(bytes));
        (Combining { operator: 0, combine: Even::default(), outlet, passing: 0, overflown: false }, receiver)
    }

    /// Pushes records of the time 5; the error if the step has failed.
    fn push(combining: &mut Combining<Even, Spread>, records: &[u64]) -> Result<()> {
        let (arena, place, blame) = (Arena::new(), subtask(), Blame::default());
        let mut ctx = Context::new(&arena, &place, &blame, 1);
        ctx.set_timestamp(5);
        records.iter().for_each(|n| combining.push(*n, &mut ctx));
        ctx.into_error().map_or(Ok(()), Err)
    }

    /// What the reader sees, a record by its value and time.
    fn read(receiver: &mut Receiver<Stamped>) -> Vec<std::result::Result<(u64, Timestamp), Control>> {
        let mut seen = Vec::new();
        loop {
            match receiver.next() {
                Next::Records(available) => receiver.take(available, &mut |(n, time): Stamped| {
                    seen.push(Ok((n, Timestamp::from_ne_bytes(time))));
                }),
                Next::Control(control) => seen.push(Err(control)),
                Next::Nothing | Next::Broken => return seen,
            }
        }
    }

    #[test]
    fn what_is_kept_goes_out_with_the_step_and_in_front_of_whatever_is_said() {
        let controls: [(Say, Control); 5] = [
            (|it| it.barrier(Barrier { id: 3 }), Control::Barrier(Barrier { id: 3 })),
            (|it| it.mark(LatencyMark { sent_ns: 1 }, 2), Control::Mark(LatencyMark { sent_ns: 1 })),
            (|it| it.forward_watermark(4), Control::Watermark(4)),
            (|it| it.forward_idle(), Control::Idle),
            (|it| it.close(), Control::End),
        ];
        for (say, control) in controls {
            let (mut combining, mut receiver) = combining(1024);
            push(&mut combining, &[2, 1, 4]).unwrap();
            say(&mut combining);
            push(&mut combining, &[8]).unwrap();
            assert!(combining.flush(1).unwrap().clear);
            assert_eq!(read(&mut receiver), [Ok((1, 5)), Ok((6, 7)), Err(control), Ok((8, 7))]);
        }
    }

    #[test]
    fn what_rests_is_passed_by_the_steps_of_as_many_records_as_it_says() {
        let (mut combining, mut receiver) = combining(1024);
        combining.combine.2 = 3;
        for step in [&[2u64, 4][..], &[2, 4], &[], &[6, 8], &[2, 2]] {
            push(&mut combining, step).unwrap();
            assert!(combining.flush(1).unwrap().clear);
        }
        assert_eq!(read(&mut receiver), [(6, 7), (2, 5), (4, 5), (6, 5), (8, 5), (4, 7)].map(Ok));
    }

    #[test]
    fn what_is_kept_needs_room() {
        let (mut combining, _receiver) = combining(1024);
        assert_eq!(combining.room(), 8);
        push(&mut combining, &[2, 4, 3]).unwrap();
        assert_eq!(combining.room(), 6);
    }

    #[test]
    fn what_does_not_fit_behind_the_rings_fails_the_step() {
        let (mut by_push, _receiver) = combining(2 * size_of::<Stamped>());
        let failed = push(&mut by_push, &[1; 100]).unwrap_err().to_string();
        assert!(failed.contains("edges.overflow_bytes"), "{failed}");
        let (mut by_release, _receiver) = combining(0);
        push(&mut by_release, &[2, 1, 1, 1, 1, 1, 1, 1, 1]).unwrap();
        by_release.close();
        assert!(by_release.flush(1).is_err());
    }
}
