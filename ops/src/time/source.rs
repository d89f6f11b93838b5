//! Event time made inside a source, split by split.

use slotflow_runtime::pipe::Begin;
use slotflow_runtime::{
    Committer, Context, Error, EventTime, Family, Offsets, Output, Polled, Result, Source, SourceReader,
    SplitId, Splits, SubtaskContext, Timestamp,
};

use super::{
    Aligned, By, Ingested, IngestionTime, LOOK_AGAIN_NS, SplitTimes, TimestampAssigner, WatermarkAlignment,
    WatermarkGenerator, Watermarks,
};
use crate::Stream;

/// The records of a source.
type Item<S> = <<S as Source>::Reader as SourceReader>::Item;

impl<'env, S: Source> Stream<'env, Begin<S>> {
    /// Gives each record of the source the event time that `timestamp` reads from it, in milliseconds since the Unix
    /// epoch, and makes watermarks for each split of the source: Flink's `fromSource` with a `WatermarkStrategy`.
    ///
    /// A subtask has reached what the slowest of its splits has reached, idle ones left out; one without splits is
    /// idle at once. Said directly behind the source, because in front of an exchange the splits are still told
    /// apart: [`assign_timestamps_and_watermarks`](Stream::assign_timestamps_and_watermarks) is for later.
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// use std::time::Duration;
    ///
    /// let env = Environment::with(Config::default());
    /// let readings = env.source(from_iterator([("a", 10), ("b", 12), ("a", 9)]));
    /// let lag = Watermarks::bounded_out_of_orderness(Duration::from_millis(5));
    /// readings.with_timestamps(|(_, at)| *at, lag).sink(callback(|_| ()));
    /// env.run("readings")?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn with_timestamps<C, G>(
        self,
        timestamp: C,
        watermarks: Watermarks<G>,
    ) -> Stream<'env, Begin<TimedSource<S, By<C>, G>>>
    where
        C: for<'r, 's> FnMut(&'r <Item<S> as Family>::Of<'s>) -> Timestamp + Clone + Send + 'static,
        G: WatermarkGenerator<Item<S>>,
    {
        self.timed(By(timestamp), watermarks)
    }

    /// Gives each record the time at which the source gives it, by the host's clock: nothing is ever late, and event
    /// time goes on, to a tenth of a second, although nothing comes.
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// let env = Environment::with(Config::default());
    /// env.source(from_iterator([1, 2, 3])).with_ingestion_time().sink(callback(|_| ()));
    /// env.run("ingested")?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn with_ingestion_time(self) -> Stream<'env, Begin<TimedSource<S, Ingested, IngestionTime>>> {
        self.timed(Ingested, Watermarks::ingestion_time())
    }

    fn timed<A, G>(
        self,
        timestamps: A,
        watermarks: Watermarks<G>,
    ) -> Stream<'env, Begin<TimedSource<S, A, G>>>
    where
        A: TimestampAssigner<Item<S>>,
        G: WatermarkGenerator<Item<S>>,
    {
        let Stream { env, last, open_edge, pipe: Begin { operator, source } } = self;
        let source = TimedSource { source, timestamps, watermarks, alignment: None, whole: false };
        Stream { env, last, open_edge, pipe: Begin { operator, source } }
    }
}

/// A source whose records have event time: see [`Stream::with_timestamps`].
pub struct TimedSource<S, A, G> {
    source: S,
    timestamps: A,
    watermarks: Watermarks<G>,
    alignment: Option<WatermarkAlignment>,
    /// Each subtask's share is one split, although it has no number.
    whole: bool,
}

impl<S, A, G> TimedSource<S, A, G> {
    pub(super) fn aligned(self, group: &WatermarkAlignment) -> Self {
        TimedSource { alignment: Some(group.clone()), ..self }
    }
}

impl<S, A, G> Source for TimedSource<S, A, G>
where
    S: Source,
    A: TimestampAssigner<Item<S>>,
    G: WatermarkGenerator<Item<S>>,
{
    type Reader = TimedReader<S::Reader, A, G>;

    fn describe(&self) -> String {
        self.source.describe()
    }

    fn commits(&self) -> bool {
        self.source.commits()
    }

    fn settings(&self) -> Vec<String> {
        self.source.settings()
    }

    fn splits(&mut self) -> Result<Splits> {
        let splits = self.source.splits()?;
        self.whole = splits == Splits::PerSubtask;
        Ok(splits)
    }

    fn open(&mut self, subtask: &SubtaskContext, splits: &[SplitId]) -> Result<Self::Reader> {
        let reader = self.source.open(subtask, splits)?;
        let ids = if self.whole { vec![0] } else { splits.to_vec() };
        let times = SplitTimes::new(&self.watermarks, ids.len());
        let timestamps = self.timestamps.clone();
        let aligned = self.alignment.as_ref().map(WatermarkAlignment::join);
        Ok(TimedReader { reader, timestamps, current: Current::new(&ids), ids, state: 0, times, aligned })
    }
}

/// Reads one subtask's share and keeps its event time.
pub struct TimedReader<R, A, G> {
    reader: R,
    timestamps: A,
    /// By place, also those that are gone.
    ids: Vec<SplitId>,
    /// Which state of the reader's splits they are.
    state: u64,
    current: Current,
    times: SplitTimes<G>,
    aligned: Option<Aligned>,
}

impl<R, A, G> TimedReader<R, A, G>
where
    R: SourceReader,
    G: WatermarkGenerator<R::Item>,
{
    /// Splits may come and go while the source runs.
    fn follow_splits(&mut self) {
        let Some((state, splits)) = self.reader.splits_since(self.state) else { return };
        self.state = state;
        for (place, id) in self.ids.iter().enumerate() {
            self.times.set_here(place, splits.contains(id));
        }
        for id in splits {
            if !self.ids.contains(&id) {
                self.ids.push(id);
                self.times.add();
            }
        }
        self.current.learn(&self.ids);
    }
}

impl<R, A, G> SourceReader for TimedReader<R, A, G>
where
    R: SourceReader,
    A: TimestampAssigner<R::Item>,
    G: WatermarkGenerator<R::Item>,
{
    type Item = R::Item;
    type Time = EventTime;

    #[inline(always)]
    fn poll<'s>(
        &'s mut self,
        budget: usize,
        ctx: &mut Context<'s>,
        out: &mut impl Output<R::Item>,
    ) -> Result<Polled> {
        let before = (self.times.reached(), self.times.is_idle());
        self.follow_splits();
        let TimedReader { reader, timestamps, ids, current, times, aligned, .. } = self;
        if let Some(aligned) = aligned
            && aligned.must_wait(times, ids, reader)
        {
            times.pause(ctx);
            return Ok(Polled::Until(ctx.now_ns() + LOOK_AGAIN_NS));
        }
        times.resume(ctx);
        times.end(reader.ended_splits(), |split| reader.has_ended(ids[split]));
        let is_paused = |split| aligned.as_ref().is_some_and(|aligned| aligned.is_paused(split));
        times.look(ctx, |split| is_paused(split) || reader.is_behind(ids[split]));
        if (times.reached(), times.is_idle()) != before {
            // It is said before the next record.
            return Ok(Polled::Until(ctx.now_ns()));
        }
        let polled = reader.poll(budget, ctx, &mut Timing { out, timestamps, current, times })?;
        current.settle(times, ctx);
        let again_ns =
            aligned.as_ref().filter(|it| it.holds_back()).map_or(u64::MAX, |_| ctx.now_ns() + LOOK_AGAIN_NS);
        let due_ns = times.due_ns(ctx).min(again_ns);
        Ok(match polled {
            Polled::Idle if due_ns < u64::MAX => Polled::Until(due_ns),
            Polled::Until(until_ns) => Polled::Until(until_ns.min(due_ns)),
            polled => polled,
        })
    }

    fn offsets(&self) -> Offsets {
        self.reader.offsets()
    }

    fn watermark(&self) -> Option<Timestamp> {
        Some(self.times.reached())
    }

    fn idle(&self) -> bool {
        self.times.is_idle()
    }

    fn is_behind(&self, split: SplitId) -> bool {
        self.reader.is_behind(split)
    }

    fn ended_splits(&self) -> usize {
        self.reader.ended_splits()
    }

    fn has_ended(&self, split: SplitId) -> bool {
        self.reader.has_ended(split)
    }

    fn committer(&mut self) -> Option<Box<dyn Committer>> {
        self.reader.committer()
    }
}

/// The split that records come from at present.
struct Current {
    id: SplitId,
    /// Its place among those of the subtask.
    split: usize,
    /// Records have come from it since it was settled last.
    fresh: bool,
    /// The place of each split of the source, by number.
    places: Vec<Option<usize>>,
}

impl Current {
    fn new(ids: &[SplitId]) -> Current {
        let id = ids.first().copied().unwrap_or(0);
        let mut current = Current { id, split: 0, fresh: false, places: Vec::new() };
        current.learn(ids);
        current
    }

    /// These are the splits of the subtask, by place.
    fn learn(&mut self, ids: &[SplitId]) {
        self.places.resize(ids.iter().max().map_or(0, |most| *most as usize + 1), None);
        ids.iter().enumerate().for_each(|(place, id)| self.places[*id as usize] = Some(place));
    }

    fn settle<F: Family, G: WatermarkGenerator<F>>(&mut self, times: &mut SplitTimes<G>, ctx: &Context<'_>) {
        if std::mem::take(&mut self.fresh) {
            times.settle::<F>(self.split, ctx);
        }
    }

    /// Whether the split that the reader has named is one of this subtask.
    fn find(&mut self, id: SplitId) -> bool {
        let place = self.places.get(id as usize).copied().flatten();
        (self.id, self.split) = (id, place.unwrap_or(self.split));
        place.is_some()
    }
}

/// Gives records their time on their way out of a reader.
struct Timing<'a, O, A, G> {
    out: &'a mut O,
    timestamps: &'a mut A,
    current: &'a mut Current,
    times: &'a mut SplitTimes<G>,
}

impl<F, O, A, G> Output<F> for Timing<'_, O, A, G>
where
    F: Family,
    O: Output<F>,
    A: TimestampAssigner<F>,
    G: WatermarkGenerator<F>,
{
    #[inline(always)]
    fn push<'s>(&mut self, record: F::Of<'s>, ctx: &mut Context<'s>) {
        let split = ctx.split();
        if split != self.current.id || !self.current.fresh {
            self.begin::<F>(split, ctx);
        }
        if ctx.failed() {
            return;
        }
        let timestamp = self.timestamps.timestamp(&record, ctx);
        ctx.set_timestamp(timestamp);
        self.times.on_record::<F>(self.current.split, &record, timestamp);
        self.out.push(record, ctx);
    }
}

impl<O, A, G> Timing<'_, O, A, G> {
    /// The first record of a split in a row.
    fn begin<F: Family>(&mut self, split: SplitId, ctx: &mut Context<'_>)
    where
        G: WatermarkGenerator<F>,
    {
        self.current.settle(self.times, ctx);
        if !self.current.find(split) {
            let text = format!(
                "the source gave a record of split {split}, which is not among the splits that its reader was opened \
                 with: it has to call `set_split` with one of those before it pushes"
            );
            return ctx.fail(Error::user(text));
        }
        self.current.fresh = true;
    }
}

#[cfg(test)]
mod tests {
    use slotflow_runtime::testing::subtask;
    use slotflow_runtime::{Arena, Blame, Owned, Untimed};

    use super::*;

    /// Gives each number as a record of the split in front of it, all at once.
    struct Changing {
        state: u64,
        splits: Vec<SplitId>,
        next: Vec<(SplitId, i64)>,
    }

    impl SourceReader for Changing {
        type Item = Owned<i64>;
        type Time = Untimed;

        fn poll<'s>(
            &'s mut self,
            _: usize,
            ctx: &mut Context<'s>,
            out: &mut impl Output<Owned<i64>>,
        ) -> Result<Polled> {
            let given = self.next.len();
            for (split, number) in self.next.drain(..) {
                ctx.set_split(split);
                out.push(number, ctx);
            }
            Ok(Polled::Records(given))
        }

        fn splits_since(&self, state: u64) -> Option<(u64, Vec<SplitId>)> {
            (self.state != state).then(|| (self.state, self.splits.clone()))
        }
    }

    struct Nowhere;

    impl Output<Owned<i64>> for Nowhere {
        fn push<'s>(&mut self, _: i64, _: &mut Context<'s>) {}
    }

    #[test]
    fn splits_come_and_go_while_a_source_runs() {
        let watermarks = Watermarks::monotonous();
        let reader = Changing { state: 0, splits: vec![0], next: Vec::new() };
        let (times, ids) = (SplitTimes::new::<Owned<i64>>(&watermarks, 1), vec![0]);
        let (timestamps, current) = (By(|number: &i64| *number), Current::new(&ids));
        let mut timed = TimedReader { reader, timestamps, ids, state: 0, current, times, aligned: None };
        let mut give = |state, splits: &[SplitId], next: &[(SplitId, i64)]| {
            timed.reader = Changing { state, splits: splits.to_vec(), next: next.to_vec() };
            let (arena, blame, place) = (Arena::new(), Blame::default(), subtask());
            // The first poll may only tell that time or idleness has changed.
            for now_ns in [1, 2] {
                let mut ctx = Context::new(&arena, &place, &blame, now_ns);
                timed.poll(10, &mut ctx, &mut Nowhere).unwrap();
                assert!(ctx.into_error().is_none(), "a split that was told of is no stranger");
            }
            (timed.watermark(), timed.idle())
        };
        assert_eq!(give(0, &[0], &[(0, 50)]), (Some(49), false));
        assert_eq!(give(1, &[0, 7], &[(0, 90)]), (Some(49), false), "the new one holds time");
        assert_eq!(give(1, &[0, 7], &[(7, 60)]), (Some(59), false));
        assert_eq!(give(2, &[7], &[(7, 100)]), (Some(99), false), "the one that is gone does not");
        assert_eq!(give(3, &[], &[]), (Some(99), true));
        assert_eq!(give(4, &[0], &[(0, 120)]), (Some(119), false), "it is back");
    }
}
