//! The first record of each key.

use slotflow_runtime::Owned;
use slotflow_runtime::pipe::{Pipe, Then};

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
    /// Passes the first record of each key, and the next one once none was passed for as long as `ttl`. Without a
    /// time to live every key there ever was would be remembered.
    ///
    /// "First" is the first to arrive. [`Ttl::renewed_by_reads`] counts the time from the last record of the key
    /// instead, passed or not.
    ///
    /// ```
    /// # use slotflow::{prelude::*, testing::collect};
    /// use std::time::Duration;
    /// use slotflow::Ttl;
    ///
    /// let ttl = Ttl::processing_time(Duration::from_secs(3600));
    /// let once = collect([3, 1, 3, 1, 2], |numbers| numbers.key_by(|n| *n).distinct(ttl))?;
    /// assert_eq!(once, [3, 1, 2]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn distinct(
        self,
        ttl: Ttl,
    ) -> Stream<'env, Then<P, ProcessPlan<S, impl Open<Distinct> + use<T, P, S>>>> {
        let open = move |states: &mut StateDescriptors<'_>| Distinct {
            seen: states.value(StateDescriptor::new("seen").ttl(ttl)),
        };
        self.process(open).name("distinct")
    }
}

/// See [`KeyedStream::distinct`].
pub struct Distinct {
    seen: ValueState<()>,
}

impl<K, T: 'static> KeyedProcessFunction<K, T> for Distinct {
    type Out = T;

    #[inline(always)]
    fn process(&mut self, record: T, ctx: &mut ProcessContext<'_, K, T>) {
        if self.seen.value(ctx).is_none() {
            self.seen.set(ctx, ());
            ctx.push(record);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use std::collections::HashMap;

    use proptest::prelude::*;
    use slotflow_runtime::MIN_TIMESTAMP;
    use slotflow_runtime::testing::Harness;

    use super::*;
    use crate::keyed_process;

    fn passed(ttl: Ttl) -> Vec<i64> {
        let open = move |states: &mut StateDescriptors<'_>| Distinct {
            seen: states.value(StateDescriptor::new("seen").ttl(ttl)),
        };
        let mut harness = Harness::new(keyed_process(|_: &u64| 7u64, open)).unwrap();
        for time in [0, 9, 10, 18, 15, 28, 29] {
            harness.push_at(time as u64, time).unwrap();
            harness.watermark(time - 8).unwrap();
        }
        harness.take_timed().into_iter().map(|it| it.1).collect()
    }

    #[test]
    fn a_key_is_new_once_its_time_is_over() {
        let ttl = Ttl::event_time(Duration::from_millis(10));
        assert_eq!(passed(ttl), [0, 10, 28]);
        assert_eq!(passed(ttl.renewed_by_reads()), [0, 28]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// A record passes if none of its key has for a time to live; renewed by reads, if none has come for so long.
        #[test]
        fn those_pass_that_do_in_the_naive_model(
            lives in 1..20i64, by_reads in any::<bool>(),
            steps in prop::collection::vec((0..4u64, -6..1i64, 0..4i64, 0..6u8), 0..300),
        ) {
            let ttl = Ttl::event_time(Duration::from_millis(lives as u64));
            let ttl = if by_reads { ttl.renewed_by_reads() } else { ttl };
            let open = move |states: &mut StateDescriptors<'_>| Distinct {
                seen: states.value(StateDescriptor::new("seen").ttl(ttl)),
            };
            let mut harness = Harness::new(keyed_process(|it: &(u64, i64)| it.0, open)).unwrap();
            let (mut now, mut watermark, mut counts) = (0, MIN_TIMESTAMP, HashMap::<u64, i64>::new());
            let mut expected = Vec::new();
            for (key, behind, gap, kind) in steps {
                now += gap;
                if kind == 0 {
                    watermark = watermark.max(now - 5);
                    harness.watermark(watermark).unwrap();
                    continue;
                }
                let record = (key, now + behind);
                harness.push_at(record, record.1).unwrap();
                let at = record.1.max(watermark);
                let passes = counts.get(&key).is_none_or(|since| at - since >= lives);
                expected.extend(passes.then_some(record));
                if passes || by_reads {
                    let before = counts.get(&key).copied().filter(|_| !passes).unwrap_or(MIN_TIMESTAMP);
                    counts.insert(key, at.max(before));
                }
            }
            prop_assert_eq!(harness.take(), expected);
        }
    }
}
