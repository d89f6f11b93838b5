//! Feeds an operator a line of marbles and compares what it pushes.

use std::ops::Range;
use std::sync::Arc;

use super::marbles::{Element, Marble, elements, show};
use crate::config::EdgesConfig;
use crate::context::Blame;
use crate::slot::{Park, Waker};
use crate::time::{MAX_TIMESTAMP, MIN_TIMESTAMP};
use crate::{
    Arena, Build, Clock, Context, Flow, Hint, IoCores, LOOK_AHEAD, Operator, Output, Owned, SubtaskContext,
    Timestamp,
};

/// Asserts that an operator turns one line of marbles into another, however the input is cut into
/// batches.
///
/// A line is words: a record (see [`Marble`]) with `@` and its event time in milliseconds if it has
/// one, `|` and a watermark, `~` and processing time in milliseconds, which begins at 0 and at which an operator
/// that is due is called, `#` for the true end, at which the last watermark there is comes first, and `#drain` for
/// the end of a job that is drained. In the expected line a word of control stands behind what the operator
/// emits at it; an operator that fails the job ends the line with `!`, and
/// nothing may follow. The operator is described as for `Stream::then`
/// ([`Cloned`](crate::Cloned), [`With`](crate::With), or a description of its own) and built anew for
/// each way to cut: one record at a time, everything at once, and in two at each place.
///
/// ```
/// use slotflow_runtime::testing::check;
/// use slotflow_runtime::{Cloned, Context, Flow, Operator, Output, Owned};
///
/// /// Adds up, and says so at the end.
/// #[derive(Clone, Default)]
/// struct Sum(Option<u64>);
///
/// impl Operator<Owned<u64>> for Sum {
///     type Out = Owned<u64>;
///     fn process<'s>(&mut self, n: u64, _: &mut Context<'s>, _: &mut impl Output<Owned<u64>>) {
///         *self.0.get_or_insert(0) += n;
///     }
///     fn end<'s>(&mut self, ctx: &mut Context<'s>, out: &mut impl Output<Owned<u64>>) -> Flow {
///         self.0.take().into_iter().for_each(|sum| out.push(sum, ctx));
///         Flow::Done
///     }
/// }
///
/// check(Cloned(Sum::default()), "1@10 2@20 |15 3 #", "|15 6 #");
/// ```
///
/// # Panics
/// When the lines differ, naming the cut; on a word that is no marble; when the operator cannot be
/// built.
#[track_caller]
pub fn check<T: Marble, U: Marble>(build: impl Build<Owned<T>, Out = Owned<U>>, input: &str, expected: &str) {
    let input = elements(input);
    let expected: Vec<&str> = expected.split_whitespace().collect();
    for (cuts, shows) in
        all_cuts(input.len()).into_iter().flat_map(|cuts| [(cuts.clone(), false), (cuts, true)])
    {
        let operator = build.clone().build(&subtask()).expect("the operator can be built");
        let (given, watermark) = (Given::default(), MIN_TIMESTAMP);
        let given = Replay { operator, given, watermark, now_ns: 1, shows }.run(&input, &cuts);
        let shown = if shows { ", and each batch shown before" } else { "" };
        assert_eq!(given, expected, "with the input cut at {cuts:?}{shown}");
    }
}

/// Where a test's operator stands: the only subtask of an operator named `test`, with 16 key groups.
pub fn subtask() -> SubtaskContext {
    SubtaskContext {
        operator: "test".into(),
        index: 0,
        parallelism: 1,
        max_parallelism: 16,
        waker: Waker::new(Arc::new(Park::default())),
        io: IoCores::default(),
        clock: Clock::manual(),
        overflow_bytes: EdgesConfig::default().overflow_bytes,
        state_budget_bytes: None,
    }
}

/// The ways to cut: everywhere, nowhere, and once at each place.
fn all_cuts(length: usize) -> Vec<Vec<usize>> {
    let once = (1..length).map(|at| vec![at]);
    [(1..length).collect(), Vec::new()].into_iter().chain(once).collect()
}

/// What was given, as marbles.
#[derive(Default)]
struct Given(Vec<String>);

impl<U: Marble> Output<Owned<U>> for Given {
    fn push<'s>(&mut self, record: U, ctx: &mut Context<'s>) {
        assert!(!ctx.failed(), "an operator that failed went on");
        self.0.push(show(&record, ctx.timestamp()));
    }
}

struct Replay<O> {
    operator: O,
    given: Given,
    watermark: Timestamp,
    now_ns: u64,
    /// Whether records are shown before they are processed, as an inlet does.
    shows: bool,
}

impl<O> Replay<O> {
    fn run<T: Marble, U: Marble>(mut self, input: &[Element<'_>], cuts: &[usize]) -> Vec<String>
    where
        O: Operator<Owned<T>, Out = Owned<U>>,
    {
        for batch in batches(cuts, input.len()) {
            if self.batch(&input[batch]) {
                self.given.0.push("!".into());
                break;
            }
        }
        self.given.0
    }

    /// Feeds one batch as steps would, each as long as the time stands still; says whether the operator failed.
    fn batch<T: Marble, U: Marble>(&mut self, batch: &[Element<'_>]) -> bool
    where
        O: Operator<Owned<T>, Out = Owned<U>>,
    {
        let at_one_time = |_: &Element<'_>, next: &Element<'_>| !matches!(next, Element::Tick(_));
        batch.chunk_by(at_one_time).any(|step| self.step(step))
    }

    fn step<T: Marble, U: Marble>(&mut self, step: &[Element<'_>]) -> bool
    where
        O: Operator<Owned<T>, Out = Owned<U>>,
    {
        let (arena, blame, place) = (Arena::new(), Blame::default(), subtask());
        if let Some(Element::Tick(time)) = step.first() {
            self.now_ns = self.now_ns.max(place.clock.reads_at(*time));
        }
        let mut ctx = Context::new(&arena, &place, &blame, self.now_ns);
        ctx.set_watermark(self.watermark);
        let record = |element: &Element<'_>| matches!(element, Element::Record(..));
        for part in step.chunk_by(|one, next| record(one) && record(next)) {
            let mut hints = self.show(part, &mut ctx).map(Hint);
            for element in part {
                // As the engine does: what comes in a step that has failed is dropped.
                if !ctx.failed() {
                    self.element(*element, hints.next(), &mut ctx);
                }
            }
        }
        self.watermark = ctx.watermark();
        ctx.failed()
    }

    /// Shows the records that come next as an inlet does, if that is asked for, and says under which numbers.
    fn show<T: Marble, U: Marble>(&mut self, next: &[Element<'_>], ctx: &mut Context<'_>) -> Range<usize>
    where
        O: Operator<Owned<T>, Out = Owned<U>>,
    {
        let word = |element: &Element<'_>| match element {
            Element::Record(word, _) if self.shows => Some(read(word)),
            _ => None,
        };
        let records: Vec<T> = next.iter().filter_map(word).take(LOOK_AHEAD).collect();
        self.operator.hint(records.iter().take(1), Hint::NONE, ctx);
        if records.len() == 1 {
            return LOOK_AHEAD..LOOK_AHEAD + 1;
        }
        self.operator.hint(records.iter(), Hint(0), ctx);
        0..records.len()
    }

    fn element<T: Marble, U: Marble>(
        &mut self,
        element: Element<'_>,
        hint: Option<Hint>,
        ctx: &mut Context<'_>,
    ) where
        O: Operator<Owned<T>, Out = Owned<U>>,
    {
        match element {
            Element::Record(word, timestamp) => {
                ctx.set_timestamp(timestamp);
                self.operator.process_hinted(read(word), hint, ctx, &mut self.given);
            }
            Element::Watermark(watermark) => {
                self.reach(watermark, ctx);
                self.control(format!("|{watermark}"), ctx);
            }
            Element::Tick(time) => {
                self.tick(ctx);
                self.control(format!("~{time}"), ctx);
            }
            Element::End => {
                self.reach(MAX_TIMESTAMP, ctx);
                self.end("#", ctx);
            }
            Element::Drained => self.end("#drain", ctx),
        }
    }

    /// Event time goes on. As in a job, the operator is called while the old watermark still holds.
    fn reach<T: Marble, U: Marble>(&mut self, watermark: Timestamp, ctx: &mut Context<'_>)
    where
        O: Operator<Owned<T>, Out = Owned<U>>,
    {
        ctx.set_timestamp(MIN_TIMESTAMP);
        while !ctx.failed() && self.operator.watermark(watermark, ctx, &mut self.given) == Flow::More {}
        ctx.set_watermark(watermark);
    }

    fn tick<T: Marble, U: Marble>(&mut self, ctx: &mut Context<'_>)
    where
        O: Operator<Owned<T>, Out = Owned<U>>,
    {
        ctx.set_timestamp(MIN_TIMESTAMP);
        while !ctx.failed()
            && self.operator.due_ns() <= ctx.now_ns()
            && self.operator.tick(ctx, &mut self.given) == Flow::More
        {}
    }

    fn end<T: Marble, U: Marble>(&mut self, marble: &str, ctx: &mut Context<'_>)
    where
        O: Operator<Owned<T>, Out = Owned<U>>,
    {
        ctx.set_timestamp(MIN_TIMESTAMP);
        while !ctx.failed() && self.operator.end(ctx, &mut self.given) == Flow::More {}
        self.control(marble.into(), ctx);
    }

    /// What the chain passes on by itself, unless the operator has just failed at it.
    fn control(&mut self, marble: String, ctx: &Context<'_>) {
        if !ctx.failed() {
            self.given.0.push(marble);
        }
    }
}

fn read<T: Marble>(word: &str) -> T {
    T::read(word).unwrap_or_else(|| panic!("\"{word}\" is no such marble"))
}

/// The pieces between the cuts.
fn batches(cuts: &[usize], length: usize) -> impl Iterator<Item = Range<usize>> {
    let starts = [0].into_iter().chain(cuts.iter().copied());
    let ends = cuts.iter().copied().chain([length]);
    starts.zip(ends).map(|(start, end)| start..end).collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cloned, Error};

    /// Passes what is even; fails at what is above 100, and then goes on if it is told to.
    #[derive(Clone)]
    struct Even {
        goes_on: bool,
    }

    impl Operator<Owned<u64>> for Even {
        type Out = Owned<u64>;
        fn process<'s>(&mut self, n: u64, ctx: &mut Context<'s>, out: &mut impl Output<Owned<u64>>) {
            if n > 100 {
                ctx.fail(Error::user("too large"));
            }
            if n.is_multiple_of(2) && (self.goes_on || !ctx.failed()) {
                out.push(n, ctx);
            }
        }
    }

    #[test]
    fn records_keep_their_time_and_watermarks_their_place() {
        check(Cloned(Even { goes_on: false }), "1@5 2@6 |5 4 #", "2@6 |5 4 #");
    }

    #[test]
    fn a_failure_ends_the_line() {
        check(Cloned(Even { goes_on: false }), "2 101 4 |7 #", "2 !");
    }

    #[test]
    #[should_panic(expected = "an operator that failed went on")]
    fn going_on_after_a_failure_is_found() {
        check(Cloned(Even { goes_on: true }), "102 4", "!");
    }

    /// Says what has been reached: the watermark, processing time, the end.
    #[derive(Clone, Default)]
    struct Says {
        due_ns: u64,
        ended: bool,
    }

    impl Operator<Owned<i64>> for Says {
        type Out = Owned<i64>;
        fn process<'s>(&mut self, after: i64, ctx: &mut Context<'s>, _: &mut impl Output<Owned<i64>>) {
            self.due_ns = ctx.ns_at(ctx.processing_time() + after);
        }
        fn watermark<'s>(
            &mut self,
            watermark: i64,
            ctx: &mut Context<'s>,
            out: &mut impl Output<Owned<i64>>,
        ) -> Flow {
            out.push(watermark, ctx);
            Flow::Done
        }
        fn due_ns(&self) -> u64 {
            if self.due_ns == 0 { u64::MAX } else { self.due_ns }
        }
        fn tick<'s>(&mut self, ctx: &mut Context<'s>, out: &mut impl Output<Owned<i64>>) -> Flow {
            self.due_ns = 0;
            out.push(-ctx.processing_time(), ctx);
            Flow::Done
        }
        fn end<'s>(&mut self, ctx: &mut Context<'s>, out: &mut impl Output<Owned<i64>>) -> Flow {
            (!self.ended).then(|| out.push(0, ctx));
            self.ended = true;
            Flow::Done
        }
    }

    #[test]
    fn the_last_watermark_comes_at_the_true_end_and_not_at_a_drain() {
        check(Cloned(Says::default()), "|5 #", "5 |5 9223372036854775807 0 #");
        check(Cloned(Says::default()), "|5 #drain", "5 |5 0 #drain");
    }

    #[test]
    fn an_operator_is_called_once_its_time_has_come() {
        check(Cloned(Says::default()), "5 ~4 ~6 ~7 3 ~9 ~12 ~13", "~4 -6 ~6 ~7 ~9 -12 ~12 ~13");
    }

    #[test]
    fn every_place_is_cut() {
        assert_eq!(all_cuts(3), [vec![1, 2], vec![], vec![1], vec![2]]);
        assert_eq!(batches(&[1, 2], 3).collect::<Vec<_>>(), [0..1, 1..2, 2..3]);
    }
}
