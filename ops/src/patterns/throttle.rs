//! At most so many records of a key in a while.

use std::time::Duration;

use slotflow_runtime::pipe::{Pipe, Then};
use slotflow_runtime::{Owned, Routed, Timestamp};

use crate::{
    KeySelector, KeyedProcessFunction, KeyedStream, Open, ProcessContext, ProcessPlan, State,
    StateDescriptor, StateDescriptors, Stream, Ttl, ValueState,
};

impl<'env, T, P, S> KeyedStream<'env, P, S>
where
    T: Send + 'static,
    P: Pipe<Out = Owned<T>>,
    S: KeySelector<T, Stored: State>,
{
    /// Passes at most `records` of each key in a stretch of processing time that is `per` long, in whole milliseconds
    /// (less than one counts as one), and begins with the first one passed; what is too many goes to the
    /// [side output](Stream::side_output).
    ///
    /// Nothing is held back: to delay records instead, say so with backpressure or with timers of your own.
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// use std::time::Duration;
    ///
    /// let env = Environment::with(Config::default());
    /// let calls = env.source(from_iterator([('a', 1), ('b', 2), ('a', 3), ('a', 4)]));
    /// let limited = calls.key_by(|call| call.0).throttle(2, Duration::from_secs(3600));
    /// let (passed, refused) = limited.side_output();
    /// let (all, rest) = (Collected::new(), Collected::new());
    /// passed.sink(all.sink());
    /// refused.sink(rest.sink());
    /// env.run("calls")?;
    /// assert_eq!((all.take().len(), rest.take()), (3, vec![('a', 4)]));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn throttle(
        self,
        records: u64,
        per: Duration,
    ) -> Stream<'env, Then<P, ProcessPlan<S, impl Open<Throttle> + use<T, P, S>>>> {
        self.process(Throttle::of(records, per)).name("throttle")
    }
}

/// See [`KeyedStream::throttle`].
pub struct Throttle {
    records: u64,
    per_ms: Timestamp,
    /// When the stretch began, and how many were passed in it.
    passed: ValueState<(Timestamp, u64)>,
}

impl Throttle {
    fn of(records: u64, per: Duration) -> impl Open<Throttle> + use<> {
        let per = per.max(Duration::from_millis(1));
        let passed = StateDescriptor::new("passed").ttl(Ttl::processing_time(per));
        let per_ms = Timestamp::try_from(per.as_millis()).unwrap_or(Timestamp::MAX);
        move |states: &mut StateDescriptors<'_>| Throttle {
            records,
            per_ms,
            passed: states.value(passed.clone()),
        }
    }
}

impl<K, T: 'static> KeyedProcessFunction<K, T> for Throttle {
    type Out = Routed<T, T>;

    #[inline(always)]
    fn process(&mut self, record: T, ctx: &mut ProcessContext<'_, K, Self::Out>) {
        let now = ctx.processing_time();
        let (began, passed) = self.passed.value_or(ctx, || (now, 0));
        if now - *began >= self.per_ms {
            (*began, *passed) = (now, 0);
        }
        *passed += 1;
        match *passed <= self.records {
            true => ctx.main(record),
            false => ctx.side(record),
        }
    }
}

#[cfg(test)]
mod tests {
    use slotflow_runtime::testing::Harness;

    use super::*;
    use crate::keyed_process;

    #[test]
    fn each_key_has_its_own_stretch_and_number() {
        let open = Throttle::of(2, Duration::from_millis(10));
        let mut harness = Harness::new(keyed_process(|it: &(char, u64)| it.0, open)).unwrap();
        for (time, record) in [(0, ('a', 1)), (3, ('a', 2)), (5, ('b', 3)), (9, ('a', 4)), (10, ('a', 5))] {
            harness.processing_time(time).unwrap();
            harness.push(record).unwrap();
        }
        use Routed::{Main, Side};
        let given = [Main(('a', 1)), Main(('a', 2)), Main(('b', 3)), Side(('a', 4)), Main(('a', 5))];
        assert_eq!(harness.take(), given);
    }

    #[test]
    fn a_stretch_is_a_millisecond_at_least() {
        let open = Throttle::of(1, Duration::from_nanos(1));
        let mut harness = Harness::new(keyed_process(|it: &(char, u64)| it.0, open)).unwrap();
        for (time, record) in [(0, ('a', 1)), (0, ('a', 2)), (1, ('a', 3))] {
            harness.processing_time(time).unwrap();
            harness.push(record).unwrap();
        }
        assert_eq!(harness.take(), [Routed::Main(('a', 1)), Routed::Side(('a', 2)), Routed::Main(('a', 3))]);
    }
}
