//! Records that are a function of their index.

use std::sync::Arc;

use slotflow_runtime::{
    Context, Output, Owned, Place, Polled, Result, Source, SourceReader, SplitId, Splits, SubtaskContext,
    Untimed,
};

/// Records `make(0)`, `make(1)`, ... `make(count - 1)`; subtask `w` of `p` makes `w, w + p, w + 2p, ...`.
///
/// ```
/// # use slotflow::prelude::*;
/// let env = Environment::with(Config::default());
/// let squares = Collected::new();
/// env.source(generate(4, |i| i * i)).sink(squares.sink());
/// env.run("squares")?;
/// assert_eq!(squares.take(), [0, 1, 4, 9]);
/// # Ok::<(), Error>(())
/// ```
pub fn generate<T, F>(count: u64, make: F) -> Generator<F>
where
    T: 'static,
    F: FnMut(u64) -> T + Clone + Send + 'static,
{
    Generator { count, rate: 0, make, on_start: None }
}

/// See [`generate`].
#[derive(Clone)]
pub struct Generator<F> {
    count: u64,
    rate: u64,
    make: F,
    on_start: Option<OnStart>,
}

/// Nanoseconds in a second.
const NS_PER_S: u64 = 1_000_000_000;

/// Called by each subtask on its slot's thread before its first record, with the moment from which
/// its rate counts.
type OnStart = Arc<dyn Fn(Place<'_>, u64) + Send + Sync>;

impl<F> Generator<F> {
    /// Makes record `i` not before `i / records_per_s` after the start, whatever became of those
    /// before it: an open loop, so a stalled job does not slow its input down.
    pub fn rate(mut self, records_per_s: u64) -> Self {
        self.rate = records_per_s;
        self
    }

    /// Calls `hook(subtask, began_ns)` in each subtask, on its slot's thread, before its first record:
    /// for benchmarks, which begin to count there. With a rate, record `i` is due at
    /// `began_ns + i / rate` of the host's clock.
    pub fn on_start(mut self, hook: impl Fn(Place<'_>, u64) + Send + Sync + 'static) -> Self {
        self.on_start = Some(Arc::new(hook));
        self
    }
}

impl<T, F> Source for Generator<F>
where
    T: 'static,
    F: FnMut(u64) -> T + Clone + Send + 'static,
{
    type Reader = GeneratorReader<F>;

    fn describe(&self) -> String {
        "generate".into()
    }

    fn splits(&mut self) -> Result<Splits> {
        Ok(Splits::PerSubtask)
    }

    fn open(&mut self, subtask: &SubtaskContext, _: &[SplitId]) -> Result<GeneratorReader<F>> {
        let (index, stride) = (subtask.index as u64, subtask.parallelism as u64);
        let share = self.count.saturating_sub(index).div_ceil(stride);
        Ok(GeneratorReader {
            next: 0,
            share,
            index,
            stride,
            began_ns: 0,
            due: if self.rate == 0 { share } else { 0 },
            ticks: Ticks::new(index, stride, self.rate),
            make: self.make.clone(),
            on_start: self.on_start.clone(),
        })
    }
}

/// Makes one subtask's share.
pub struct GeneratorReader<F> {
    /// How many were made.
    next: u64,
    /// How many are to be made.
    share: u64,
    index: u64,
    stride: u64,
    began_ns: u64,
    /// How many of the own records were due when the clock was last looked at, or as many as were asked for.
    due: u64,
    /// When the one after those is due.
    ticks: Ticks,
    make: F,
    on_start: Option<OnStart>,
}

/// The times `first / rate`, `(first + stride) / rate`, ... without a division for each: a record that is due waits for
/// what is done until it is made.
struct Ticks {
    /// The next one is `whole_ns + part / rate` nanoseconds after the beginning.
    whole_ns: u64,
    part: u64,
    /// And the one after it so much later, in the same way.
    step_ns: u64,
    step_part: u64,
    rate: u64,
}

impl Ticks {
    fn new(first: u64, stride: u64, rate: u64) -> Self {
        let (of_second, divisor) = (u128::from(NS_PER_S), u128::from(rate.max(1)));
        let whole = |records: u64| {
            let ns = u64::try_from(u128::from(records) * of_second / divisor).unwrap_or(u64::MAX);
            (ns, (u128::from(records) * of_second % divisor) as u64)
        };
        let ((whole_ns, part), (step_ns, step_part)) = (whole(first), whole(stride));
        Ticks { whole_ns, part, step_ns, step_part, rate }
    }

    /// How many nanoseconds after the beginning; rounded up, because a nanosecond early would be too early.
    #[inline]
    fn next_ns(&self) -> u64 {
        self.whole_ns.saturating_add(u64::from(self.part > 0))
    }

    #[inline]
    fn advance(&mut self) {
        let (part, carried) = self.part.overflowing_add(self.step_part);
        let full = carried || part >= self.rate;
        self.part = if full { part.wrapping_sub(self.rate) } else { part };
        self.whole_ns = self.whole_ns.saturating_add(self.step_ns).saturating_add(u64::from(full));
    }
}

impl<F> GeneratorReader<F> {
    /// Counts what has become due, up to `most` records that were not made yet.
    #[inline]
    fn look_at_clock(&mut self, now_ns: u64, most: u64) {
        let (elapsed_ns, wanted) = (now_ns - self.began_ns, self.share.min(self.next.saturating_add(most)));
        while self.due < wanted && self.ticks.next_ns() <= elapsed_ns {
            self.due += 1;
            self.ticks.advance();
        }
    }

    #[cold]
    fn begin(&mut self, ctx: &Context<'_>) {
        self.began_ns = ctx.now_ns();
        if let Some(hook) = self.on_start.take() {
            hook(ctx.subtask(), self.began_ns);
        }
    }
}

impl<T, F> SourceReader for GeneratorReader<F>
where
    T: 'static,
    F: FnMut(u64) -> T + Send + 'static,
{
    type Item = Owned<T>;
    type Time = Untimed;

    #[inline(always)]
    fn poll<'s>(
        &'s mut self,
        budget: usize,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<T>>,
    ) -> Result<Polled> {
        if self.next == self.share {
            return Ok(Polled::End);
        }
        if self.began_ns == 0 {
            self.begin(ctx);
        }
        self.look_at_clock(ctx.now_ns(), budget as u64);
        let (first, last) = (self.next, self.due.min(self.next + budget as u64));
        if first >= last {
            return Ok(Polled::Until(self.began_ns.saturating_add(self.ticks.next_ns())));
        }
        let (index, stride) = (self.index, self.stride);
        // An index loop over locals: an iterator's state would stay in memory and keep the compiler
        // from vectorising the chain.
        for number in first..last {
            out.push((self.make)(number * stride + index), ctx);
        }
        self.next = last;
        Ok(Polled::Records((last - first) as usize))
    }
}

#[cfg(test)]
mod tests {
    use slotflow_runtime::testing::subtask;

    use super::*;

    /// How many of so many records, made at this rate, are due after so long, looking for a thousand; and whether the
    /// next one is due only later.
    fn due(count: u64, rate: u64, after_ns: u64) -> (u64, bool) {
        let mut reader = generate(count, |i| i).rate(rate).open(&subtask(), &[]).unwrap();
        reader.began_ns = 1;
        reader.look_at_clock(1 + after_ns, 1_000);
        (reader.due, reader.ticks.next_ns() > after_ns)
    }

    #[test]
    fn no_rate_and_no_time_is_too_large_to_be_counted() {
        assert_eq!(due(100, 10, 0), (1, true));
        assert_eq!(due(100, 10, 999_999_999), (10, true));
        assert_eq!(due(100, 10, 1_000_000_000), (11, true));
        assert_eq!(due(100, u64::MAX, u64::MAX - 1), (100, false));
        assert_eq!(due(u64::MAX, u64::MAX, u64::MAX - 1), (1_000, false));
        assert_eq!(due(u64::MAX, 1, 0), (1, true));
        assert_eq!(due(u64::MAX, 1, u64::MAX - 1), (1_000, false));
    }

    #[test]
    fn each_record_is_due_at_its_number_divided_by_the_rate() {
        for (first, stride, rate) in
            [(0, 1, 1), (1, 3, 7), (4, 5, 999_999_937), (2, 3, u64::MAX), (0, 1, 3_000_000_000)]
        {
            let mut ticks = Ticks::new(first, stride, rate);
            for number in (0..1_000).map(|own| first + own * stride) {
                let exact = (u128::from(number) * u128::from(NS_PER_S)).div_ceil(u128::from(rate));
                assert_eq!(u128::from(ticks.next_ns()), exact, "{number} of {rate} a second");
                ticks.advance();
            }
        }
    }
}
