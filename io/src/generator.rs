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
            rate: self.rate,
            began_ns: 0,
            due: if self.rate == 0 { share } else { 0 },
            next_due_ns: 0,
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
    rate: u64,
    began_ns: u64,
    /// How many of the own records were due when the clock was last looked at.
    due: u64,
    /// When the one after those is due.
    next_due_ns: u64,
    make: F,
    on_start: Option<OnStart>,
}

impl<F> GeneratorReader<F> {
    /// Counts what has become due. Divides only when something has.
    fn look_at_clock(&mut self, now_ns: u64) {
        if now_ns < self.next_due_ns || self.rate == 0 {
            return;
        }
        let elapsed_ns = u128::from(now_ns - self.began_ns);
        let (rate, most) = (u128::from(self.rate), u64::MAX - self.stride);
        // Record i is due at i / rate, so at time t all of 0 ..= t * rate are.
        let all = (elapsed_ns * rate / 1_000_000_000).min(u128::from(most)) as u64 + 1;
        let own = (all + (self.stride - 1)).saturating_sub(self.index) / self.stride;
        self.due = own.min(self.share);
        let next = u128::from(self.due) * u128::from(self.stride) + u128::from(self.index);
        // Rounded up: a nanosecond early would find nothing.
        let after_ns = u64::try_from((next * 1_000_000_000).div_ceil(rate)).unwrap_or(u64::MAX);
        self.next_due_ns = self.began_ns.saturating_add(after_ns);
    }

    #[cold]
    fn begin(&mut self, ctx: &Context<'_>) {
        self.began_ns = ctx.now_ns();
        self.next_due_ns = self.began_ns;
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
        self.look_at_clock(ctx.now_ns());
        let (first, last) = (self.next, self.due.min(self.next + budget as u64));
        if first >= last {
            return Ok(Polled::Until(self.next_due_ns));
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

    /// How many of so many records, made at this rate, are due after so long; and whether another will be.
    fn due(count: u64, rate: u64, after_ns: u64) -> (u64, bool) {
        let mut reader = generate(count, |i| i).rate(rate).open(&subtask(), &[]).unwrap();
        (reader.began_ns, reader.next_due_ns) = (1, 1);
        reader.look_at_clock(1 + after_ns);
        (reader.due, reader.next_due_ns > 1 + after_ns)
    }

    #[test]
    fn no_rate_and_no_time_is_too_large_to_be_counted() {
        assert_eq!(due(100, 10, 0), (1, true));
        assert_eq!(due(100, 10, 999_999_999), (10, true));
        assert_eq!(due(100, 10, 1_000_000_000), (11, true));
        assert_eq!(due(100, u64::MAX, u64::MAX - 1), (100, false));
        assert_eq!(due(u64::MAX, u64::MAX, u64::MAX - 1).0, u64::MAX);
        assert_eq!(due(u64::MAX, 1, 0), (1, true));
    }
}
