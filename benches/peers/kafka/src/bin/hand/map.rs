//! `map`: Kafka, upper case, Kafka, with offsets committed behind what has arrived.

use std::time::{Duration, Instant};

use peers_kafka::stop::Stop;
use peers_kafka::words::Words;
use rdkafka::consumer::CommitMode;

use super::PATIENCE;
use super::reader::{Reader, Taken};
use super::writer::Writer;

pub fn run(words: &Words) {
    let (stop, reader) = (Stop::listen(), Reader::new(words));
    let (mut copier, mut due) = (Copier::new(words), Instant::now());
    let every = Duration::from_millis(words.number("commit.interval.ms"));
    while !stop.is_said() {
        reader.take(PATIENCE, |message| copier.copy(message));
        copier.writer.serve();
        if due.elapsed() >= every && copier.commit(&reader) {
            due = Instant::now();
        }
    }
    copier.writer.flush();
    reader.commit(&copier.next, CommitMode::Sync);
}

struct Copier {
    writer: Writer,
    text: Vec<u8>,
    /// The offset behind what was read, by partition: now, and when this stretch of the writer's began.
    next: Vec<i64>,
    former: Vec<i64>,
}

impl Copier {
    fn new(words: &Words) -> Copier {
        let next = vec![0; words.number("partitions")];
        Copier { writer: Writer::new(words), text: Vec::new(), former: next.clone(), next }
    }

    fn copy(&mut self, message: Taken<'_>) {
        self.text.clear();
        self.text.extend_from_slice(message.text());
        self.text.make_ascii_uppercase();
        self.writer.produce(message.key(), &self.text);
        let (partition, offset) = message.place();
        self.next[partition] = offset + 1;
    }

    /// Commits what lies before this stretch, if it has arrived, and begins another one.
    fn commit(&mut self, reader: &Reader) -> bool {
        if !self.writer.former_has_arrived() {
            return false;
        }
        reader.commit(&self.former, CommitMode::Async);
        self.former.copy_from_slice(&self.next);
        self.writer.begin_stretch();
        true
    }
}
