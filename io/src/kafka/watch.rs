//! Watching over a consumer that stands still in silence: then it is closed, and another one goes on.
//!
//! librdkafka has stopped fetching without a word more than once, for days. So each reader of its own partitions has a
//! thread on the I/O cores that looks, some times in [`renew_after`](super::KafkaSource::renew_after):
//!
//! 1. It asks the reader how far its partitions have come. The reader answers when it finds nothing in its queue: one
//!    that is held up, or has enough to do, does not answer, is not looked at, and is not asked again until it has.
//!    Partitions that are paused or have reached their end are left out.
//! 2. A partition that has stood at one place for so long is asked for at the brokers. If they have nothing behind that
//!    place it is only quiet. If the consumer gets no answer, a new one asks; if that gets none, the brokers are away,
//!    which takes its time.
//! 3. If there is more, a new consumer is made, and its queue given to the reader. From its next look on the reader
//!    reads from that, and orders where: at what it passed on last and not at what the group has stored, so that
//!    nothing is read twice and nothing left out. The old consumer is closed when its last user has let it go.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use slotflow_runtime::{Error, IoCores, Offset, Result, SplitId, Waker};

use super::batch::Batch;
use super::beginning::ends;
use super::counts::SourceCounts;
use super::current::Current;
use super::log::ClientLog;
use super::off_slot::OffSlot;
use super::queue::Queue;
use super::reader::Change;
use super::settings::Settings;
use super::source::Client;
use super::subscription::TopicPartition;

/// How often it looks until a partition has stood for long enough.
const LOOKS: u32 = 2;

/// Where a new consumer does not help either, this long lies between two (a guess: often enough to be seen).
const MOST_PATIENCE: Duration = Duration::from_secs(600);

/// What makes the consumers of one reader.
pub(super) struct Maker {
    pub settings: Settings,
    pub config: ClientConfig,
    /// Whose they are, in words.
    pub name: String,
    pub io: IoCores,
    pub waker: Waker,
}

impl Maker {
    /// A consumer without partitions. Called on an I/O thread, whose cores its threads have.
    pub fn consumer(&self) -> Result<BaseConsumer<ClientLog>> {
        let made = self.config.create_with_context(ClientLog::default());
        let mut consumer: BaseConsumer<ClientLog> = made.map_err(|error| self.settings.refused(&error))?;
        self.settings.authorise(&consumer)?;
        let waker = self.waker.clone();
        consumer.set_nonempty_callback(move || waker.wake());
        Ok(consumer)
    }

    /// Makes a consumer with what `begin` does to it.
    pub fn client<X: Send>(
        &self,
        begin: impl FnOnce(&BaseConsumer<ClientLog>) -> Result<X> + Send,
    ) -> Result<(Arc<Client>, X)> {
        let (client, begun) = OffSlot::make(&self.io, &self.name, || {
            let consumer = self.consumer()?;
            let begun = begin(&consumer)?;
            Ok((consumer, begun))
        })?;
        let client = Arc::new(client);
        self.settings.keep_authorised(&client, client.context(), &self.io)?;
        Ok((client, begun))
    }
}

/// The queue of a consumer, to be drained by its reader.
pub(super) fn batch(client: Arc<Client>) -> Result<Batch> {
    let queue = Queue::of_consumer(&client).ok_or_else(|| Error::bug("a Kafka consumer has no queue"))?;
    Ok(Batch::new(client, Arc::new(queue)))
}

/// How far a partition has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stand {
    pub of: TopicPartition,
    /// The next offset, of a record or of what is none; -1 where nobody knows.
    pub come: Offset,
}

/// Watches over the consumer of one reader.
pub(super) struct Watch {
    pub maker: Maker,
    pub current: Current,
    pub changes: Sender<Change>,
    pub counts: SourceCounts,
    /// How long a partition may stand still although there is more.
    pub after: Duration,
}

impl Watch {
    /// Starts the watch; it ends when what is given back is dropped.
    pub fn start(self) -> Result<Sender<Infallible>> {
        let (wanted, unwanted) = mpsc::channel();
        let io = self.maker.io.clone();
        io.spawn("slotflow-watch", move || self.look(&unwanted)).map(|_| wanted)
    }

    fn look(self, unwanted: &Receiver<Infallible>) {
        let (mut asking, mut since) = (Asking::default(), Standing::new(self.after));
        while unwanted.recv_timeout(self.after / LOOKS) == Err(RecvTimeoutError::Timeout) {
            let standing = since.standing(asking.answer(), Instant::now());
            match self.see_to(&standing) {
                Ok(Some(because)) => since.renewed(because),
                Ok(None) => {}
                Err(error) => tracing::warn!("{} may stand still: {error}", self.maker.name),
            }
            if asking.question().is_some_and(|question| self.changes.send(question).is_ok()) {
                self.maker.waker.wake();
            }
        }
    }

    /// Renews the consumer if the brokers have more of one of these, which is given.
    fn see_to(&self, standing: &[Stand]) -> Result<Option<SplitId>> {
        if standing.is_empty() {
            return Ok(None);
        }
        let timeout = self.maker.settings.connect_timeout;
        let current = self.current.client();
        let (behind, new) = match behind(&current, standing, timeout) {
            Ok(behind) => (behind, None),
            Err(_) => {
                let (new, behind) = self.maker.client(|consumer| behind(consumer, standing, timeout))?;
                (behind, Some(new))
            }
        };
        let Some((Stand { of, come }, end)) = behind else { return Ok(None) };
        let client = new.map_or_else(|| self.maker.client(|_| Ok(())).map(|(client, ())| client), Ok)?;
        tracing::warn!(
            "{} stands at offset {come} of {}-{} although there is more, up to {end}: its consumer is renewed",
            self.maker.name,
            of.topic,
            of.partition,
        );
        self.counts.renewed();
        // In vain where the reader is gone.
        drop(self.changes.send(Change::Renewed(batch(client)?)));
        self.maker.waker.wake();
        Ok(Some(of.split))
    }
}

/// Asks a reader how far its partitions have come, one question at a time: one that is held up takes none, and they
/// would pile up in front of it.
struct Asking {
    answers: (Sender<Vec<Stand>>, Receiver<Vec<Stand>>),
    /// The last question has no answer yet.
    open: bool,
}

impl Default for Asking {
    fn default() -> Asking {
        Asking { answers: mpsc::channel(), open: false }
    }
}

impl Asking {
    /// What has come since it was asked; nothing from a reader that does not answer.
    fn answer(&mut self) -> Vec<Stand> {
        let answer = self.answers.1.try_recv().ok();
        self.open &= answer.is_none();
        answer.unwrap_or_default()
    }

    /// The next question, unless the last one is open.
    fn question(&mut self) -> Option<Change> {
        let was_open = std::mem::replace(&mut self.open, true);
        (!was_open).then(|| Change::Tell(self.answers.0.clone()))
    }
}

/// The first of these behind which there is more, and where that ends.
fn behind(
    consumer: &BaseConsumer<ClientLog>,
    standing: &[Stand],
    timeout: Duration,
) -> Result<Option<(Stand, Offset)>> {
    let of: Vec<TopicPartition> = standing.iter().map(|stand| stand.of.clone()).collect();
    let mut ends = standing.iter().zip(ends(consumer, &of, timeout)?);
    Ok(ends.find_map(|(stand, end)| Some((stand.clone(), end.filter(|end| *end > stand.come.max(0))?))))
}

/// Where each partition stands, and since when.
struct Standing {
    seen: HashMap<SplitId, Seen>,
    /// How long one may stand.
    after: Duration,
}

/// One partition, as it was told of last.
struct Seen {
    come: Offset,
    /// `None` where nobody has told of it lately.
    since: Option<Instant>,
    /// How long it may stand here.
    patience: Duration,
}

impl Standing {
    fn new(after: Duration) -> Standing {
        Standing { seen: HashMap::new(), after }
    }

    /// Those that have stood at one place for too long. What nobody tells of does not stand.
    fn standing(&mut self, stands: Vec<Stand>, now: Instant) -> Vec<Stand> {
        let told = |split: &SplitId| stands.iter().any(|stand| stand.of.split == *split);
        self.seen.iter_mut().filter(|(split, _)| !told(split)).for_each(|(_, seen)| seen.since = None);
        stands.into_iter().filter(|stand| self.stands_too_long(stand, now)).collect()
    }

    fn stands_too_long(&mut self, stand: &Stand, now: Instant) -> bool {
        let here = || Seen { come: stand.come, since: None, patience: self.after };
        let seen = self.seen.entry(stand.of.split).or_insert_with(here);
        if seen.come != stand.come {
            *seen = here();
        }
        now.duration_since(*seen.since.get_or_insert(now)) >= seen.patience
    }

    /// A new consumer begins because of this one; as long as that does not move it, the next one is made later and
    /// later, whatever else moves: what takes long to be fetched would else be begun again and again.
    fn renewed(&mut self, because: SplitId) {
        self.seen.values_mut().for_each(|seen| seen.since = None);
        if let Some(seen) = self.seen.get_mut(&because) {
            seen.patience = (seen.patience * 2).min(MOST_PATIENCE.max(self.after));
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::TopicPartitionList;
    use slotflow_runtime::{Arena, Blame, Clock, Context, Output, Source, SourceReader, SubtaskContext};

    use super::super::{KafkaReader, KafkaSource, Message, Messages, MockKafka};
    use super::*;

    /// A test that waits for longer has lost something.
    const LOST: Duration = Duration::from_secs(60);

    const SOON: Duration = Duration::from_millis(100);

    /// What has come, by partition.
    #[derive(Default)]
    struct Got([Vec<String>; 2]);

    impl Output<Messages> for Got {
        fn push<'s>(&mut self, message: Message<'s>, _: &mut Context<'s>) {
            let line = String::from_utf8(message.payload().to_vec()).unwrap();
            self.0[message.partition() as usize].push(line);
        }
    }

    /// The reader of a topic with two partitions, in its place.
    struct Reading {
        kafka: MockKafka,
        place: SubtaskContext,
        reader: KafkaReader,
        counts: SourceCounts,
        got: Got,
    }

    impl Reading {
        fn of_two_partitions() -> Reading {
            let kafka = MockKafka::start(&IoCores::default()).unwrap();
            kafka.create_topic("words", 2).unwrap();
            let place = SubtaskContext {
                operator: "test".into(),
                index: 0,
                parallelism: 1,
                max_parallelism: 1,
                waker: Waker::default(),
                clock: Clock::system(),
                overflow_bytes: 1 << 20,
                state_budget_bytes: None,
                io: IoCores::default(),
            };
            let mut source: KafkaSource = kafka.source().topic("words").group("g").renew_after(SOON);
            source.splits().unwrap();
            let (counts, reader) = (source.counts(), source.open(&place, &[0, 1]).unwrap());
            Reading { kafka, place, reader, counts, got: Got::default() }
        }

        fn add(&self, numbers: std::ops::Range<u32>) {
            let lines = numbers.flat_map(|n| [(0, n.to_string()), (1, n.to_string())]);
            self.kafka.fill("words", lines).unwrap();
        }

        fn poll_until(&mut self, mut done: impl FnMut(&Reading) -> bool) {
            let began = Instant::now();
            while !done(self) {
                let (arena, blame) = (Arena::new(), Blame::default());
                let mut ctx = Context::new(&arena, &self.place, &blame, 1);
                self.reader.poll(100, &mut ctx, &mut self.got).unwrap();
                assert!(began.elapsed() < LOST, "{:?} after {LOST:?}", self.got.0);
                std::thread::park_timeout(Duration::from_micros(200));
            }
        }

        /// Polls for some looks of the watch.
        fn poll_for_a_while(&mut self) {
            let began = Instant::now();
            self.poll_until(|_| began.elapsed() > 5 * SOON);
        }

        fn is_left_alone(&mut self, why: &str) {
            // What was begun before is done.
            self.poll_for_a_while();
            let renewed = self.counts.consumers_renewed();
            self.poll_for_a_while();
            assert_eq!(self.counts.consumers_renewed(), renewed, "{why}");
        }

        /// The consumer gives nothing more of these, and nobody is told.
        fn fall_silent(&self, partitions: &[i32]) {
            let mut list = TopicPartitionList::new();
            for partition in partitions {
                list.add_partition("words", *partition);
            }
            self.reader.client().pause(&list).unwrap();
        }

        fn has(&self, numbers: [u32; 2]) -> bool {
            numbers.iter().zip(&self.got.0).all(|(count, got)| got.len() >= *count as usize)
        }

        fn has_each_once(&self, numbers: [u32; 2]) {
            let expected = numbers.map(|count| (0..count).map(|n| n.to_string()).collect::<Vec<_>>());
            assert_eq!(self.got.0, expected);
        }
    }

    #[test]
    fn a_consumer_that_stands_still_is_renewed_where_the_job_has_come() {
        let mut reading = Reading::of_two_partitions();
        let mut committer = reading.reader.committer().unwrap();
        reading.add(0..5);
        reading.poll_until(|it| it.has([5, 5]));
        // What the group has stored is not where the job has come.
        committer.commit(&vec![(0, 2), (1, 2)]).unwrap();
        reading.fall_silent(&[0, 1]);
        reading.add(5..9);
        reading.poll_until(|it| it.has([9, 9]));
        reading.is_left_alone("it reads on");
        reading.has_each_once([9, 9]);
        assert!(reading.counts.consumers_renewed() >= 1);
        committer.commit(&reading.reader.offsets()).unwrap();
        committer.finish().unwrap();
        let mut again = reading.kafka.source().topic("words").group("g").starting(super::super::Start::Group);
        again.splits().unwrap();
        assert_eq!(again.open(&reading.place, &[0, 1]).unwrap().offsets(), [(0, 9), (1, 9)]);
    }

    #[test]
    fn what_is_paused_is_no_reason_and_stays_paused_in_a_new_consumer() {
        let mut reading = Reading::of_two_partitions();
        reading.add(0..3);
        reading.poll_until(|it| it.has([3, 3]));
        assert!(reading.reader.pause(1));
        reading.poll_for_a_while();
        reading.add(3..6);
        reading.poll_until(|it| it.has([6, 3]));
        reading.is_left_alone("one is quiet and the other paused");
        let renewed = reading.counts.consumers_renewed();
        reading.fall_silent(&[0]);
        reading.add(6..8);
        reading.poll_until(|it| it.has([8, 3]));
        reading.poll_for_a_while();
        reading.has_each_once([8, 3]);
        reading.reader.resume(1);
        reading.poll_until(|it| it.has([8, 8]));
        reading.has_each_once([8, 8]);
        assert!(reading.counts.consumers_renewed() > renewed);
    }

    #[test]
    fn brokers_that_are_away_are_no_reason() {
        let mut reading = Reading::of_two_partitions();
        reading.add(0..3);
        reading.poll_until(|it| it.has([3, 3]));
        reading.kafka.with(|cluster| cluster.broker_down(1)).unwrap().unwrap();
        reading.poll_for_a_while();
        reading.kafka.with(|cluster| cluster.broker_up(1)).unwrap().unwrap();
        reading.add(3..5);
        reading.poll_until(|it| it.has([5, 5]));
        reading.has_each_once([5, 5]);
    }

    const AFTER: Duration = Duration::from_secs(30);

    fn stand(split: SplitId, come: Offset) -> Stand {
        Stand { of: TopicPartition { split, topic: "words".into(), partition: split }, come }
    }

    #[test]
    fn what_stands_at_one_place_for_long_enough_is_looked_at() {
        let (mut since, began) = (Standing::new(AFTER), Instant::now());
        let mut at =
            |seconds, stands: &[Stand]| since.standing(stands.to_vec(), began + Duration::from_secs(seconds));
        assert!(at(0, &[stand(0, 5), stand(1, 7)]).is_empty());
        assert!(at(15, &[stand(0, 5), stand(1, 8)]).is_empty());
        assert_eq!(at(30, &[stand(0, 5), stand(1, 8)]), [stand(0, 5)]);
        assert_eq!(at(45, &[stand(0, 5), stand(1, 8)]), [stand(0, 5), stand(1, 8)]);
        assert!(at(60, &[]).is_empty(), "a reader that is held up tells nothing");
        assert!(at(90, &[stand(0, 5)]).is_empty(), "and nobody knows what it did meanwhile");
        assert_eq!(at(120, &[stand(0, 5)]), [stand(0, 5)]);
    }

    #[test]
    fn a_reader_that_does_not_answer_is_asked_once() {
        let mut asking = Asking::default();
        let Some(Change::Tell(tell)) = asking.question() else { panic!("it is not asked") };
        assert!(asking.answer().is_empty() && asking.question().is_none(), "questions pile up");
        tell.send(vec![stand(0, 5)]).unwrap();
        assert_eq!(asking.answer(), [stand(0, 5)]);
        assert!(asking.question().is_some(), "and again once it has answered");
    }

    #[test]
    fn a_new_consumer_that_does_not_help_has_twice_the_time() {
        let (mut since, began) = (Standing::new(AFTER), Instant::now());
        // Another one always moves.
        let found = |since: &mut Standing, come, seconds: [i64; 3]| {
            seconds.map(|seconds| {
                let now = began + Duration::from_secs(seconds as u64);
                since.standing(vec![stand(0, come), stand(1, seconds)], now).len()
            })
        };
        assert_eq!(found(&mut since, 5, [0, 29, 30]), [0, 0, 1]);
        since.renewed(0);
        assert_eq!(found(&mut since, 5, [40, 99, 100]), [0, 0, 1]);
        (0..10).for_each(|_| since.renewed(0));
        assert_eq!(found(&mut since, 5, [200, 799, 800]), [0, 0, 1], "but never more than ten minutes");
        assert_eq!(found(&mut since, 6, [801, 830, 831]), [0, 0, 1], "what moves is looked at as ever");
    }

    #[test]
    fn silence_does_not_make_it_forget_that_a_new_consumer_was_no_help() {
        let (mut since, began) = (Standing::new(AFTER), Instant::now());
        let mut at = |seconds, stands: &[Stand]| {
            let now = began + Duration::from_secs(seconds);
            let standing = since.standing(stands.to_vec(), now);
            standing.iter().for_each(|stand| since.renewed(stand.of.split));
            standing.len()
        };
        assert_eq!([at(0, &[stand(0, 5)]), at(30, &[stand(0, 5)])], [0, 1]);
        assert_eq!([at(45, &[]), at(60, &[stand(0, 5)]), at(119, &[stand(0, 5)])], [0; 3]);
        assert_eq!(at(120, &[stand(0, 5)]), 1);
    }
}
