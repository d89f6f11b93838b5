//! Two streams of different types into one operator.

use slotflow_runtime::Owned;
use slotflow_runtime::pipe::{Merge, Pipe};

use crate::Stream;

/// A record of one of two connected streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Either<A, B> {
    /// Of the stream that [`connect`](Stream::connect) was called on.
    First(A),
    /// Of the stream that it was called with.
    Second(B),
}

/// What [`Stream::connect`] gives.
pub type Connected<'env, A, B, M> = Stream<'env, Merge<Either<A, B>, M>>;

impl<'env, A: Send + 'static, P: Pipe<Out = Owned<A>>> Stream<'env, P> {
    /// Connects this stream with one of another type, so that one operator sees both: Flink's `connect`.
    ///
    /// The records come as [`Either`], those of each stream in their own order and those of both in any.
    /// Event time, end and parallelism are as with [`union`](Stream::union): always an edge, and a record
    /// takes as much of its ring as the larger of both types. What the operator may be:
    ///
    /// - two closures: [`co_map`](Stream::co_map), [`co_flat_map`](Stream::co_flat_map);
    /// - with state for each key: any keyed operator behind `key_by`;
    /// - an [`Operator`](slotflow_runtime::Operator) of your own over `Owned<Either<A, B>>`, by
    ///   [`then`](Stream::then): it has its two inputs as the two arms of a `match`;
    /// - on every subtask all of one stream, such as rules: `stream.connect(rules.broadcast())`.
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// let env = Environment::with(Config::default());
    /// let orders = env.source(from_iterator([(7, "pears"), (8, "figs")]));
    /// let payments = env.source(from_iterator([(8, 250), (7, 120)]));
    /// let paid = Collected::new();
    /// orders
    ///     .connect(payments)
    ///     .key_by(|either| match either {
    ///         Either::First((order, _)) | Either::Second((order, _)) => *order,
    ///     })
    ///     .map_with_state(|(what, cents): &mut (Option<&str>, Option<u32>), either| {
    ///         match either {
    ///             Either::First((_, fruit)) => *what = Some(fruit),
    ///             Either::Second((_, paid)) => *cents = Some(paid),
    ///         }
    ///         what.zip(*cents)
    ///     })
    ///     .filter_map(|both| both)
    ///     .sink(paid.sink());
    /// env.run("paid")?;
    /// let mut paid = paid.take();
    /// paid.sort();
    /// assert_eq!(paid, [("figs", 250), ("pears", 120)]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn connect<B, Q>(self, other: Stream<'env, Q>) -> Connected<'env, A, B, P::Time>
    where
        B: Send + 'static,
        Q: Pipe<Out = Owned<B>, Time = P::Time>,
    {
        let first = self.map(Either::First).name("first");
        first.union(other.map(Either::Second).name("second")).name("connect")
    }
}

#[cfg(test)]
mod tests {
    use slotflow_runtime::testing::Marble;

    use super::*;

    /// `1:a` is the first stream's, `2:b` the second's.
    impl<A: Marble, B: Marble> Marble for Either<A, B> {
        fn read(word: &str) -> Option<Self> {
            match word.split_once(':')? {
                ("1", record) => A::read(record).map(Either::First),
                ("2", record) => B::read(record).map(Either::Second),
                _ => None,
            }
        }
        fn show(&self) -> String {
            match self {
                Either::First(record) => format!("1:{}", record.show()),
                Either::Second(record) => format!("2:{}", record.show()),
            }
        }
    }

    #[test]
    fn a_record_tells_its_stream() {
        let records = ["1:7", "2:x"].map(|word| Either::<u64, char>::read(word).unwrap());
        assert_eq!(records, [Either::First(7), Either::Second('x')]);
        assert_eq!(records.map(|record| record.show()), ["1:7", "2:x"]);
    }
}
