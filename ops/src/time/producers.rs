//! Watermarks that several producers have written into one split, each its own.

use std::time::Duration;

use slotflow_runtime::{Family, MAX_TIMESTAMP, MIN_TIMESTAMP, Timestamp};

use super::{WatermarkGenerator, Watermarks};

/// How often, in the time that lets a producer go, it is asked whether that is over.
const LOOKS: i64 = 4;

impl Watermarks<()> {
    /// Watermarks that came with the records, one for each producer of a split: event time is that of the producer that
    /// is behind. For a topic between two stages, whose records come from every subtask of the first one.
    ///
    /// `mark` gives the producer of a record and how far event time had come there, if the record says so. A producer
    /// of which nothing has come for `silence` while others gave something is let go, as it may be dead; if it comes
    /// back, what it gives may be late. A producer is known in a split from its first record there on. One that has
    /// come to its true end (`MAX_TIMESTAMP`) holds time where it was before until it is let go, too: the topic goes
    /// on, and the next to write to it must not be late.
    ///
    /// The clock of silence stands still while nobody reads and while nothing at all comes from the split. So an
    /// outage of any length lets nobody go: who was behind before it still is, and nothing is late because of it. And
    /// where all have stopped, time stands where the last one behind has left it.
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// use std::time::Duration;
    ///
    /// // Producer, its watermark, and the record's own time.
    /// let records = from_iterator([(1, 5, 7), (2, 3, 4), (1, 9, 12), (2, 8, 10)]);
    /// let mark = |record: &(u64, i64, i64)| Some((record.0, record.1));
    /// let marks = Watermarks::per_producer(mark, Duration::from_secs(30));
    /// let env = Environment::with(Config::default());
    /// env.source(records).with_timestamps(|record| record.2, marks).sink(callback(|_| ()));
    /// env.run("second stage")?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn per_producer<C>(mark: C, silence: Duration) -> Watermarks<PerProducer<C>> {
        let silence_ms = i64::try_from(silence.as_millis()).unwrap_or(i64::MAX).max(1);
        let (producers, reached) = (Vec::new(), MIN_TIMESTAMP);
        Watermarks::custom(PerProducer {
            mark,
            silence_ms,
            producers,
            reached,
            running_ms: 0,
            asked_ms: None,
            fed: false,
        })
    }
}

/// The least of the watermarks of all producers that are alive. See [`Watermarks::per_producer`].
#[derive(Clone, Debug)]
pub struct PerProducer<C> {
    mark: C,
    silence_ms: i64,
    /// Few: the subtasks of one operator.
    producers: Vec<Producer>,
    reached: Timestamp,
    /// A clock that stands still while nobody asks and while nothing comes.
    running_ms: i64,
    asked_ms: Option<Timestamp>,
    /// Something has come since it was asked last.
    fed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Producer {
    id: u64,
    watermark: Timestamp,
    /// When it last gave something, by the running clock; `None` since it was asked last.
    seen_ms: Option<i64>,
}

impl<C> PerProducer<C> {
    fn interval_ms(&self) -> i64 {
        (self.silence_ms / LOOKS).max(1)
    }

    /// A producer that has come to its end says nothing of time any more: whoever writes after it must not be late.
    fn note(&mut self, id: u64, watermark: Timestamp) {
        match self.producers.iter_mut().find(|known| known.id == id) {
            Some(known) => {
                let ended = watermark == MAX_TIMESTAMP;
                known.watermark = known.watermark.max(if ended { MIN_TIMESTAMP } else { watermark });
                known.seen_ms = None;
            }
            None if watermark == MAX_TIMESTAMP => {}
            None => self.producers.push(Producer { id, watermark, seen_ms: None }),
        }
    }

    /// Goes on with the clock: a pause in which nobody asked counts as one look, and a look that finds nothing at all
    /// does not count. With nothing from anybody no one is silent beside others: it is an outage, or there is nothing.
    fn tick(&mut self, now_ms: Timestamp) {
        let since = self.asked_ms.map_or(0, |asked| now_ms.saturating_sub(asked));
        if std::mem::take(&mut self.fed) {
            self.running_ms += since.clamp(0, 2 * self.interval_ms());
        }
        self.asked_ms = Some(now_ms);
    }
}

impl<F: Family, C> WatermarkGenerator<F> for PerProducer<C>
where
    C: for<'s> FnMut(&F::Of<'s>) -> Option<(u64, Timestamp)> + Clone + Send + 'static,
{
    #[inline]
    fn on_record<'s>(&mut self, record: &F::Of<'s>, _: Timestamp) {
        self.fed = true;
        if let Some((id, watermark)) = (self.mark)(record) {
            self.note(id, watermark);
        }
    }

    fn periodic(&mut self, processing_time: Timestamp) -> Timestamp {
        self.tick(processing_time);
        let (running, silence) = (self.running_ms, self.silence_ms);
        self.producers.retain_mut(|it| running - *it.seen_ms.get_or_insert(running) < silence);
        // Where all are gone, nobody knows of a later time.
        let least = self.producers.iter().map(|it| it.watermark).min();
        self.reached = self.reached.max(least.unwrap_or(MIN_TIMESTAMP));
        self.reached
    }

    fn interval(&self) -> Option<Duration> {
        Some(Duration::from_millis(self.interval_ms() as u64))
    }
}

#[cfg(test)]
mod tests {
    use slotflow_runtime::Owned;

    use super::*;

    type Record = (u64, Timestamp);

    fn mark(record: &Record) -> Option<Record> {
        (record.0 != 0).then_some(*record)
    }

    /// What event time is after these records at these processing times; one of producer 0 says nothing.
    fn times(steps: &[(Timestamp, &[Record])]) -> Vec<Timestamp> {
        let mut made = Watermarks::per_producer(mark, Duration::from_millis(100)).generator;
        steps.iter().map(|(now_ms, records)| step(&mut made, *now_ms, records)).collect()
    }

    fn step(
        made: &mut impl WatermarkGenerator<Owned<Record>>,
        now_ms: Timestamp,
        records: &[Record],
    ) -> Timestamp {
        records.iter().for_each(|record| made.on_record(record, 0));
        made.periodic(now_ms)
    }

    #[test]
    fn event_time_is_that_of_the_producer_that_is_behind() {
        let steps: [(Timestamp, &[Record]); 4] =
            [(0, &[(1, 50), (0, 999)]), (1, &[(2, 60)]), (2, &[(1, 70), (1, 65)]), (3, &[(2, 90)])];
        assert_eq!(times(&steps), [50, 50, 60, 70]);
    }

    #[test]
    fn a_producer_that_is_dead_is_let_go_and_time_does_not_go_back_when_it_returns() {
        let steps: [(Timestamp, &[Record]); 6] = [
            (0, &[(1, 50), (2, 10)]),
            (40, &[(1, 60)]),
            (80, &[(1, 70)]),
            (99, &[(0, 0)]),
            (100, &[(0, 0)]),
            (101, &[(2, 11)]),
        ];
        assert_eq!(times(&steps), [10, 10, 10, 10, 70, 70]);
    }

    #[test]
    fn an_outage_that_is_longer_than_silence_lets_nobody_go() {
        let outage = (1..=20).map(|look| (25 * look, &[] as &[Record]));
        let before: [(Timestamp, &[Record]); 2] = [(0, &[(1, 50), (2, 10)]), (20, &[(1, 60)])];
        let after: [(Timestamp, &[Record]); 3] = [(510, &[(1, 90)]), (511, &[(2, 55)]), (512, &[(2, 95)])];
        let steps: Vec<_> = before.into_iter().chain(outage).chain(after).collect();
        assert_eq!(times(&steps)[21..], [10, 10, 55, 90], "who was behind still is, and is not late");
        let alone: [(Timestamp, &[Record]); 4] =
            [(510, &[(1, 90)]), (560, &[(1, 91)]), (579, &[(1, 92)]), (580, &[(1, 93)])];
        let steps: Vec<_> = steps[..22].iter().copied().chain(alone).collect();
        assert_eq!(
            times(&steps)[22..],
            [10, 10, 10, 93],
            "one that does not come back is let go beside others"
        );
    }

    #[test]
    fn the_end_of_a_producer_is_not_that_of_time() {
        const END: Timestamp = MAX_TIMESTAMP;
        let steps: [(Timestamp, &[Record]); 4] =
            [(0, &[(1, 50)]), (40, &[(1, END), (3, END)]), (80, &[(2, 60)]), (120, &[(2, 70)])];
        assert_eq!(times(&steps), [50, 50, 50, 50], "whoever comes next is in time");
        let later: [(Timestamp, &[Record]); 2] = [(160, &[(2, 80)]), (200, &[(2, 90)])];
        assert_eq!(times(&[&steps[..], &later[..]].concat())[5], 90, "and the one that has ended is let go");
    }

    #[test]
    fn time_in_which_nobody_asks_lets_nobody_go() {
        let steps: [(Timestamp, &[Record]); 4] =
            [(0, &[(1, 50), (2, 10)]), (100_000, &[(1, 60)]), (100_001, &[(2, 55)]), (99_000, &[(2, 60)])];
        assert_eq!(times(&steps), [10, 10, 55, 60], "and a clock that goes back harms nobody");
        let strangers: [(Timestamp, &[Record]); 3] = [(0, &[(1, 50)]), (60, &[(0, 0)]), (120, &[(0, 0)])];
        assert_eq!(times(&strangers), [50; 3], "all are gone: time stands");
        assert_eq!(times(&[(0, &[])]), [MIN_TIMESTAMP]);
    }
}
