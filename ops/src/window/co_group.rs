//! Two connected streams by windows: co-group and window join.

use std::marker::PhantomData;

use slotflow_runtime::pipe::{Pipe, Then};
use slotflow_runtime::{Build, Cloned, Context, Operator, Output, Owned};

use super::{DefaultTrigger, Dropped, Fired, Merge, WindowPlan, WindowResult, WindowedStream, Windows};
use crate::keyed::KeySelector;
use crate::{Aggregate, Either, Map, Stream};

/// A window's records of two streams, as an aggregate.
pub struct Sides<A, B>(pub(super) PhantomData<fn() -> (A, B)>);

impl<A, B> Clone for Sides<A, B> {
    fn clone(&self) -> Self {
        Sides(PhantomData)
    }
}

impl<A: Clone + 'static, B: Clone + 'static> Aggregate<Either<A, B>> for Sides<A, B> {
    type Acc = (Vec<A>, Vec<B>);
    type Out = (Vec<A>, Vec<B>);

    fn create(&self) -> Self::Acc {
        (Vec::new(), Vec::new())
    }
    fn add(&self, (first, second): &mut Self::Acc, record: Either<A, B>) {
        match record {
            Either::First(record) => first.push(record),
            Either::Second(record) => second.push(record),
        }
    }
    fn result(&self, acc: &Self::Acc) -> Self::Out {
        acc.clone()
    }
    fn heap_bytes(&self, (first, second): &Self::Acc) -> usize {
        first.capacity() * size_of::<A>() + second.capacity() * size_of::<B>()
    }
}

impl<A: Clone + 'static, B: Clone + 'static> Merge<Either<A, B>> for Sides<A, B> {
    fn merge(&self, (first, second): &mut Self::Acc, other: &Self::Acc) {
        first.extend_from_slice(&other.0);
        second.extend_from_slice(&other.1);
    }
}

/// The windows of two streams behind a pipeline.
type Grouped<P, W, S, A, B> = Then<P, WindowPlan<W, S, Sides<A, B>, Dropped>>;

impl<'env, A, B, P, S, W> WindowedStream<'env, P, S, W>
where
    A: Clone + Send + 'static,
    B: Clone + Send + 'static,
    P: Pipe<Out = Owned<Either<A, B>>>,
    S: KeySelector<Either<A, B>, Stored: Clone + Eq>,
    W: Windows<P::Time> + DefaultTrigger,
    WindowPlan<W, S, Sides<A, B>, Dropped>:
        Build<Owned<Either<A, B>>, Out = Owned<Fired<Either<A, B>, S, Sides<A, B>>>>,
{
    /// Gives each window's records of both [connected](Stream::connect) streams, in no particular order, to a
    /// closure; one side may have none: Flink's `coGroup`. Keeps them until then, and as many copies of each as it is
    /// in windows. Late records are dropped and counted; [`co_group_split`](WindowedStream::co_group_split) keeps them.
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// # use std::time::Duration;
    /// let env = Environment::with(Config::default());
    /// let lag = Watermarks::bounded_out_of_orderness(Duration::from_millis(9));
    /// let sent = env.source(from_iterator([1i64, 2, 12])).with_timestamps(|time| *time, lag.clone());
    /// let seen = env.source(from_iterator([3i64])).with_timestamps(|time| *time, lag);
    /// let counts = Collected::new();
    /// let windows = sent.connect(seen).key_by(|_| 0).window(Tumbling::of(Duration::from_millis(10)));
    /// windows.co_group(|window| (window.start, window.value.0.len(), window.value.1.len())).sink(counts.sink());
    /// env.run("counts")?;
    /// assert_eq!(counts.take(), [(0, 2, 1), (10, 1, 0)]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn co_group<U, G>(self, group: G) -> Stream<'env, Then<Grouped<P, W, S, A, B>, Cloned<Map<G>>>>
    where
        U: 'static,
        G: FnMut(WindowResult<S::Stored, (Vec<A>, Vec<B>)>) -> U + Clone + Send + 'static,
    {
        self.windowed(Sides(PhantomData), Dropped::default()).map(group).name("co_group")
    }

    /// Joins each record of one stream with each of the other that has its key and is in the same window: Flink's
    /// window join. A pair that is in several windows comes in each; a record without a partner gives nothing. The
    /// pairs of one window leave together, so those of a key in a window must fit `edges.overflow_bytes`. Late records
    /// are dropped and counted; [`join_split`](WindowedStream::join_split) keeps them.
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// use std::time::Duration;
    ///
    /// let env = Environment::with(Config::default());
    /// let orders = env.source(from_iterator([(7, 10, "pears"), (8, 12, "figs"), (7, 99, "plums")]));
    /// let payments = env.source(from_iterator([(8, 15, 250), (7, 11, 120)]));
    /// let lag = Duration::from_millis(5);
    /// let orders = orders.with_timestamps(|order| order.1, Watermarks::bounded_out_of_orderness(lag));
    /// let payments = payments.with_timestamps(|payment| payment.1, Watermarks::bounded_out_of_orderness(lag));
    /// let paid = Collected::new();
    /// orders
    ///     .connect(payments)
    ///     .key_by(|either| match either {
    ///         Either::First(order) => order.0,
    ///         Either::Second(payment) => payment.0,
    ///     })
    ///     .window(Tumbling::of(Duration::from_millis(10)))
    ///     .join(|order, payment| (order.2, payment.2))
    ///     .sink(paid.sink());
    /// env.run("paid")?;
    /// let mut paid = paid.take();
    /// paid.sort();
    /// assert_eq!(paid, [("figs", 250), ("pears", 120)]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn join<U, G>(self, join: G) -> Stream<'env, Then<Grouped<P, W, S, A, B>, Cloned<Pairs<G>>>>
    where
        U: 'static,
        G: FnMut(&A, &B) -> U + Clone + Send + 'static,
    {
        self.windowed(Sides(PhantomData), Dropped::default()).then("join", Cloned(Pairs(join)))
    }
}

/// See [`WindowedStream::join`].
#[derive(Clone)]
pub struct Pairs<G>(pub(super) G);

impl<K, A, B, U, G> Operator<Owned<WindowResult<K, (Vec<A>, Vec<B>)>>> for Pairs<G>
where
    K: 'static,
    A: 'static,
    B: 'static,
    U: 'static,
    G: FnMut(&A, &B) -> U + 'static,
{
    type Out = Owned<U>;

    fn process<'s>(
        &mut self,
        window: WindowResult<K, (Vec<A>, Vec<B>)>,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<U>>,
    ) {
        let (firsts, seconds) = window.value;
        let time = ctx.timestamp();
        for first in &firsts {
            for second in &seconds {
                // An operator behind may have given its records another time.
                ctx.set_timestamp(time);
                out.push((self.0)(first, second), ctx);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use slotflow_runtime::testing::check;

    use super::super::Tumbling;
    use super::*;
    use crate::keyed::{Assigner, ByValue};

    type Record = Either<u64, u64>;

    fn windows() -> impl Build<Owned<Record>, Out = Owned<WindowResult<u64, (Vec<u64>, Vec<u64>)>>> {
        let selector = ByValue::hashed(|record: &Record| match record {
            Either::First(n) | Either::Second(n) => n / 10,
        });
        let windows = Tumbling::of(Duration::from_millis(10));
        let (assigner, aggregate, late) = (Assigner::Hash, Sides(PhantomData), Dropped::default());
        WindowPlan { selector, assigner, windows, lateness_ms: 0, aggregate, late }
    }

    /// Windows, and a closure on what they give.
    #[derive(Clone)]
    struct Both<W, O>(W, O);

    impl<W: Build<Owned<Record>>, O: Operator<W::Out> + Clone + Send> Build<Owned<Record>> for Both<W, O> {
        type Out = O::Out;
        type Operator = Chained<W::Operator, O>;
        fn build(
            self,
            subtask: &slotflow_runtime::SubtaskContext,
        ) -> slotflow_runtime::Result<Self::Operator> {
            Ok(Chained(self.0.build(subtask)?, self.1))
        }
    }

    struct Chained<W, O>(W, O);

    struct Into<'a, O, Out>(&'a mut O, &'a mut Out);

    impl<F: slotflow_runtime::Family, O: Operator<F>, Out: Output<O::Out>> Output<F> for Into<'_, O, Out> {
        fn push<'s>(&mut self, record: F::Of<'s>, ctx: &mut Context<'s>) {
            self.0.process(record, ctx, self.1);
        }
    }

    impl<W: Operator<Owned<Record>>, O: Operator<W::Out>> Operator<Owned<Record>> for Chained<W, O> {
        type Out = O::Out;
        fn process<'s>(&mut self, record: Record, ctx: &mut Context<'s>, out: &mut impl Output<O::Out>) {
            self.0.process(record, ctx, &mut Into(&mut self.1, out));
        }
        fn watermark<'s>(
            &mut self,
            watermark: i64,
            ctx: &mut Context<'s>,
            out: &mut impl Output<O::Out>,
        ) -> slotflow_runtime::Flow {
            self.0.watermark(watermark, ctx, &mut Into(&mut self.1, out))
        }
    }

    #[test]
    fn each_meets_each_of_its_key_and_window() {
        let join = Pairs(|first: &u64, second: &u64| (*first, *second));
        let given = "11:13@9 11:14@9 12:13@9 12:14@9 |9 21:22@19 |19";
        check(
            Both(windows(), join),
            "1:11@1 1:21@2 2:13@3 1:12@4 2:14@8 1:15@11 |9 2:22@12 1:21@13 |19",
            given,
        );
    }
}
