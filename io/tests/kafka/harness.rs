//! A subtask's place without an engine: drives a reader or a writer as a slot does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use slotflow_io::kafka::{
    IntoKafka, KafkaReader, KafkaSource, KafkaWriter, Message, Messages, MockKafka, OwnedMessage,
};
use slotflow_runtime::config::EdgesConfig;
use slotflow_runtime::slot::Park;
use slotflow_runtime::{
    Acknowledged, Arena, Blame, Clock, Context, IoCores, Output, Owned, Polled, Result, SinkWriter, Source,
    SourceReader, SplitId, Splits, SubtaskContext, Waker,
};

/// A test that is still waiting after this has lost something.
const LOST: Duration = Duration::from_secs(60);

/// A place for subtask `index` of `parallelism`.
pub fn subtask(index: usize, parallelism: usize) -> SubtaskContext {
    SubtaskContext {
        operator: "test".into(),
        index,
        parallelism,
        max_parallelism: 1024,
        waker: Waker::default(),
        clock: Clock::system(),
        overflow_bytes: EdgesConfig::default().overflow_bytes,
        state_budget_bytes: None,
        io: IoCores::default(),
    }
}

/// A broker with one topic, whose lines are `p<partition>-<number>`.
pub fn kafka(topic: &str, partitions: u32, lines_each: u32) -> MockKafka {
    let kafka = MockKafka::start(&IoCores::default()).unwrap();
    kafka.create_topic(topic, partitions).unwrap();
    add_lines(&kafka, topic, partitions, 0..lines_each);
    kafka
}

/// Adds lines to every partition.
pub fn add_lines(kafka: &MockKafka, topic: &str, partitions: u32, numbers: std::ops::Range<u32>) {
    let lines = numbers.flat_map(|n| (0..partitions).map(move |p| (p, format!("p{p}-{n}"))));
    kafka.fill(topic, lines).unwrap();
}

/// The lines of a partition, as `add_lines` makes them.
pub fn lines(partition: SplitId, numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|n| format!("p{partition}-{n}")).collect()
}

/// What a reader has given so far.
#[derive(Default)]
pub struct Got(pub Vec<OwnedMessage>);

impl Output<Messages> for Got {
    fn push<'s>(&mut self, message: Message<'s>, _: &mut Context<'s>) {
        self.0.push(message.to_owned_message());
    }
}

impl Got {
    /// The lines of a partition, in the order they came.
    pub fn of(&self, partition: SplitId) -> Vec<String> {
        let own = self.0.iter().filter(|message| message.partition == partition);
        own.map(|message| String::from_utf8(message.payload.to_vec()).unwrap()).collect()
    }
}

/// A reader in its place.
pub struct Reading {
    pub reader: KafkaReader,
    pub got: Got,
    pub park: Arc<Park>,
    place: SubtaskContext,
}

impl Reading {
    /// Opens subtask `index` of `parallelism`, with the splits the engine would give it.
    pub fn open(source: KafkaSource, index: usize, parallelism: usize) -> Result<Reading> {
        Reading::open_some(source, index..index + 1, parallelism).map(|mut all| all.remove(0))
    }

    /// Opens all subtasks.
    pub fn open_all(source: KafkaSource, parallelism: usize) -> Result<Vec<Reading>> {
        Reading::open_some(source, 0..parallelism, parallelism)
    }

    fn open_some(
        mut source: KafkaSource,
        indices: std::ops::Range<usize>,
        parallelism: usize,
    ) -> Result<Vec<Reading>> {
        let Splits::Spread(numbers) = source.splits()? else { panic!("Kafka numbers its partitions") };
        let open = |index| {
            let own = |(_, number): &(SplitId, &u32)| **number as usize % parallelism == index;
            let splits: Vec<SplitId> = (0..).zip(&numbers).filter(own).map(|(split, _)| split).collect();
            let park = Arc::new(Park::default());
            let mut place = subtask(index, parallelism);
            place.waker = Waker::new(park.clone());
            Ok(Reading { reader: source.open(&place, &splits)?, got: Got::default(), park, place })
        };
        indices.map(open).collect()
    }

    /// One step.
    pub fn poll(&mut self, budget: usize) -> Result<Polled> {
        let (arena, blame) = (Arena::new(), Blame::default());
        let mut ctx = Context::new(&arena, &self.place, &blame, 1);
        self.reader.poll(budget, &mut ctx, &mut self.got)
    }

    /// Steps until the end, into something else.
    pub fn poll_into(&mut self, out: &mut impl Output<Messages>) -> Result<()> {
        wait_for(|| {
            let (arena, blame) = (Arena::new(), Blame::default());
            let mut ctx = Context::new(&arena, &self.place, &blame, 1);
            match self.reader.poll(1_000, &mut ctx, out) {
                Err(error) => Some(Err(error)),
                Ok(polled) => (polled == Polled::End).then_some(Ok(())),
            }
        })
    }

    /// Polls until there are `count` messages in all.
    pub fn read(&mut self, count: usize) -> Result<()> {
        self.poll_until(|reading, _| reading.got.0.len() >= count)
    }

    /// Polls until the end.
    pub fn read_to_end(&mut self) -> Result<()> {
        self.poll_until(|_, polled| polled == Polled::End)
    }

    /// Polls until `done`; what it waits for is bounded.
    pub fn poll_until(&mut self, mut done: impl FnMut(&Reading, Polled) -> bool) -> Result<()> {
        wait_for(|| {
            let polled = match self.poll(1_000) {
                Ok(polled) => polled,
                Err(error) => return Some(Err(error)),
            };
            done(self, polled).then_some(Ok(()))
        })
    }
}

/// Short beside what a broker's answer takes.
const BREATH: Duration = Duration::from_micros(200);

/// Asks until there is an answer, with a breath in between: the mock broker needs the core as well, and takes a member
/// of a group that answers a second late for one that is gone.
pub fn wait_for<X>(mut ask: impl FnMut() -> Option<X>) -> X {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(began.elapsed() < LOST, "nothing has come for {LOST:?}");
        std::thread::park_timeout(BREATH);
    }
}

/// Writes one record as a step does; the error is the one that would fail the job.
pub fn write<R: IntoKafka + 'static>(writer: &mut KafkaWriter, record: R) -> Result<()> {
    write_at(writer, record, 1)
}

/// As `write`, in a step that began at this time of the host's clock.
pub fn write_at<R: IntoKafka + 'static>(writer: &mut KafkaWriter, record: R, now_ns: u64) -> Result<()> {
    let (arena, blame, place) = (Arena::new(), Blame::default(), subtask(0, 1));
    let mut ctx = Context::new(&arena, &place, &blame, now_ns);
    SinkWriter::<Owned<R>>::write(writer, record, &mut ctx);
    ctx.into_error().map_or(Ok(()), Err)
}

/// Flushes until everything has been acknowledged.
pub fn flush_all(writer: &mut KafkaWriter) -> Result<()> {
    wait_for(|| match SinkWriter::<Owned<String>>::flush(writer) {
        Err(error) => Some(Err(error)),
        Ok(()) => (acknowledged(writer) == Acknowledged::Everything).then_some(Ok(())),
    })
}

/// What the writer knows to have arrived.
pub fn acknowledged(writer: &mut KafkaWriter) -> Acknowledged {
    SinkWriter::<Owned<String>>::acknowledged(writer)
}
