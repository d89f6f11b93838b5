//! Sets late records apart, for streams without windows.

use slotflow_runtime::pipe::Pipe;
use slotflow_runtime::{Cloned, Context, EventTime, MIN_TIMESTAMP, Operator, Output, Owned, Routed, Routing};

use crate::Stream;
use crate::split::Split;

impl<'env, T, P> Stream<'env, P>
where
    T: Send + 'static,
    P: Pipe<Out = Owned<T>, Time = EventTime>,
{
    /// Divides the stream: records that come behind a watermark which had reached their event time go to the second
    /// stream, the late ones, the others to the first. Nothing is dropped, and the late ones are counted as what the
    /// operator `late` takes in.
    ///
    /// In the first stream nothing is late any more. In the second one all is: it is for logs and corrections, and no
    /// watermark says when it is complete.
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// let env = Environment::with(Config::default());
    /// let times = env.source(from_iterator([1_i64, 5, 3, 6])).with_timestamps(|at| *at, Watermarks::monotonous());
    /// let (in_time, late) = times.split_late();
    /// let (seen, missed) = (Collected::new(), Collected::new());
    /// in_time.sink(seen.sink());
    /// late.sink(missed.sink());
    /// env.run("times")?;
    /// assert_eq!(seen.take().len() + missed.take().len(), 4);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// A stream without event time has none:
    ///
    /// ```compile_fail
    /// # use slotflow::prelude::*;
    /// let env = Environment::with(Config::default());
    /// let (in_time, late) = env.source(from_iterator([1, 5, 3, 6])).split_late();
    /// ```
    pub fn split_late(self) -> Split<'env, T, T, EventTime> {
        self.then("split_late", Cloned(SplitLate)).fork::<T, T, Routing>(["in time", "late"])
    }
}

/// See [`Stream::split_late`].
#[derive(Clone)]
pub struct SplitLate;

impl<T: 'static> Operator<Owned<T>> for SplitLate {
    type Out = Owned<Routed<T, T>>;

    #[inline(always)]
    fn process<'s>(&mut self, record: T, ctx: &mut Context<'s>, out: &mut impl Output<Self::Out>) {
        // What has no event time, as what is emitted at the end, is not late.
        let timestamp = ctx.timestamp();
        let late = timestamp != MIN_TIMESTAMP && timestamp <= ctx.watermark();
        out.push(if late { Routed::Side(record) } else { Routed::Main(record) }, ctx);
    }
}

#[cfg(test)]
mod tests {
    use slotflow_runtime::testing::{Marble, check};

    use super::*;

    /// `main:7` and `late:7`.
    #[derive(Debug)]
    struct Apart(Routed<u64, u64>);

    impl Marble for Apart {
        fn read(word: &str) -> Option<Self> {
            let (way, record) = word.split_once(':')?;
            let record = record.parse().ok()?;
            Some(Apart(if way == "late" { Routed::Side(record) } else { Routed::Main(record) }))
        }
        fn show(&self) -> String {
            match self.0 {
                Routed::Main(record) => format!("main:{record}"),
                Routed::Side(record) => format!("late:{record}"),
            }
        }
    }

    /// The operator, with a way to write what it gives.
    #[derive(Clone)]
    struct Shown;

    impl Operator<Owned<u64>> for Shown {
        type Out = Owned<Apart>;
        fn process<'s>(&mut self, record: u64, ctx: &mut Context<'s>, out: &mut impl Output<Owned<Apart>>) {
            SplitLate.process(record, ctx, &mut Showing(out));
        }
    }

    struct Showing<'a, O>(&'a mut O);

    impl<O: Output<Owned<Apart>>> Output<Owned<Routed<u64, u64>>> for Showing<'_, O> {
        fn push<'s>(&mut self, record: Routed<u64, u64>, ctx: &mut Context<'s>) {
            self.0.push(Apart(record), ctx);
        }
    }

    #[test]
    fn what_a_watermark_has_reached_is_late_at_the_same_millisecond_and_not_after_it() {
        let (given, expected) =
            ("0 1@5 |5 2@5 3@6 4@4 |9 5@9 6@10 7 #", "main:0 main:1@5 |5 late:2@5 main:3@6 late:4@4 |9");
        check(Cloned(Shown), given, &format!("{expected} late:5@9 main:6@10 main:7 #"));
    }
}
