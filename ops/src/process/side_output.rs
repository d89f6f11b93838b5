//! The main and the side output of an operator that has both.

use slotflow_runtime::pipe::Pipe;
use slotflow_runtime::{Owned, Routed, Routing};

use crate::{Split, Stream};

impl<'env, A, B, P> Stream<'env, P>
where
    A: Send + 'static,
    B: Send + 'static,
    P: Pipe<Out = Owned<Routed<A, B>>>,
{
    /// The main output and the side output of the last operator, one that gives [`Routed`] records: Flink's
    /// `getSideOutput`, typed. Both are streams of their own, each behind an edge, and both must end in a sink.
    ///
    /// For more than one side output let the side's records be `Routed` again, and say `side_output` of it, as
    /// `examples/order_checks.rs` does.
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// /// Sends the first record of a subtask aside.
    /// struct First(bool);
    ///
    /// impl ProcessFunction<u32> for First {
    ///     type Out = Routed<u32, String>;
    ///     fn process(&mut self, n: u32, ctx: &mut ProcessContext<'_, (), Self::Out>) {
    ///         match std::mem::take(&mut self.0) {
    ///             true => ctx.side(format!("{n} is the first")),
    ///             false => ctx.main(n),
    ///         }
    ///     }
    /// }
    ///
    /// let env = Environment::with(Config::default());
    /// let (rest, first) = env.source(from_iterator(7..10)).process(|_| First(true)).side_output();
    /// let (numbers, words) = (Collected::new(), Collected::new());
    /// rest.sink(numbers.sink());
    /// first.sink(words.sink());
    /// env.run("first")?;
    /// assert_eq!((numbers.take(), words.take()), (vec![8, 9], vec!["7 is the first".to_owned()]));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn side_output(self) -> Split<'env, A, B, P::Time> {
        self.fork::<A, B, Routing>(["main output", "side output"])
    }
}
