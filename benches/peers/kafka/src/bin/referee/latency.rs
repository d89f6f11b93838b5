//! An open loop: record `i` is due at `i / rate`, and counts from then until it is read at the output.
//!
//! First single records go until one has come back, so that the contestant is up; then the schedule begins.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;
use peers_kafka::line::{Line, number_of};
use peers_kafka::quantiles::quantiles;
use peers_kafka::words::{Words, fail};
use rdkafka::Message;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};

use crate::parts::Parts;
use crate::topics::{TIMEOUT, assign, consumer};

/// The number of a record that only asks whether the contestant is up.
const ASKING: u64 = u64::MAX;

/// A pause between two of those, and how often at most.
const ASK_EVERY: Duration = Duration::from_millis(20);
const ASK_AT_MOST: usize = 3_000;

/// The shortest sleep of whoever sends; what is due meanwhile goes at once. A fifth of what a producer lingers, so that
/// the sender leaves the cores to the others.
const SLEEP: Duration = Duration::from_millis(1);

/// When which records are due.
struct Schedule {
    began: Instant,
    /// The same, in milliseconds since the Unix epoch.
    began_ms: f64,
    rate: u64,
    records: u64,
    warmup_ns: u64,
}

impl Schedule {
    fn of(words: &Words) -> Schedule {
        let (rate, warmup, seconds): (u64, f64, f64) =
            (words.number("rate"), words.number("warmup"), words.number("seconds"));
        let records = (rate as f64 * (warmup + seconds)) as u64;
        let began_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64() * 1e3;
        Schedule { began: Instant::now(), began_ms, rate, records, warmup_ns: (warmup * 1e9) as u64 }
    }

    fn due_ns(&self, i: u64) -> u64 {
        (u128::from(i) * 1_000_000_000 / u128::from(self.rate)) as u64
    }

    fn now_ns(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    fn wait_for(&self, i: u64) {
        let early_ns = self.due_ns(i).saturating_sub(self.now_ns());
        if early_ns > 0 {
            sleep(SLEEP.max(Duration::from_nanos(early_ns)));
        }
    }
}

pub fn run(words: &Words) -> KafkaResult<()> {
    let (input, producer) = (words.text("input"), producer(words)?);
    let reader = consumer(words)?;
    assign(&reader, words.text("output"), words.number("partitions"))?;
    await_contestant(input, &producer, &reader)?;
    let schedule = Schedule::of(words);
    let (latency, parts) = std::thread::scope(|scope| {
        let sending = scope.spawn(|| send(input, &producer, &schedule));
        let read = read(&reader, &schedule);
        sending.join().expect("nobody panics there")?;
        read
    })?;
    tell(&schedule, &latency, &parts.tell(words, schedule.began_ms)?);
    Ok(())
}

fn producer(words: &Words) -> KafkaResult<Arc<BaseProducer>> {
    words.client("producer").create_with_context(DefaultProducerContext).map(Arc::new)
}

fn await_contestant(input: &str, producer: &BaseProducer, reader: &BaseConsumer) -> KafkaResult<()> {
    for i in 0..ASK_AT_MOST {
        give(input, producer, &Line::new(i as u64, ASKING));
        producer.poll(Duration::ZERO);
        if reader.poll(ASK_EVERY).transpose()?.is_some() {
            return Ok(());
        }
    }
    fail("the contestant gives nothing")
}

/// A queue that is full is an overload of this side, and would be told as the contestant's lateness: so it is an end.
fn give(input: &str, producer: &BaseProducer, line: &Line) {
    let record = BaseRecord::to(input).key(&line.key).payload(&line.text);
    match producer.send(record) {
        Ok(()) => {}
        Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => fail("the input is too slow"),
        Err((error, _)) => fail(&format!("nothing can be sent to {input}: {error}")),
    }
}

fn send(input: &str, producer: &BaseProducer, schedule: &Schedule) -> KafkaResult<()> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Relaxed) {
                producer.poll(Duration::from_millis(5));
            }
        });
        for i in 0..schedule.records {
            schedule.wait_for(i);
            give(input, producer, &Line::new(i, schedule.due_ns(i)));
        }
        over.store(true, Relaxed);
    });
    producer.flush(TIMEOUT)
}

fn read(reader: &BaseConsumer, schedule: &Schedule) -> KafkaResult<(Histogram<u64>, Parts)> {
    let mut latency = Histogram::new_with_bounds(1, 120_000_000_000, 3).expect("the bounds are in order");
    let (mut seen, mut parts) = (0, Parts::default());
    while seen < schedule.records {
        let Some(message) = reader.poll(TIMEOUT).transpose()? else {
            fail(&format!("{seen} of {} records have come, and then none", schedule.records));
        };
        let due_ns = message.payload().and_then(number_of).unwrap_or(ASKING);
        if due_ns == ASKING {
            continue;
        }
        seen += 1;
        if due_ns >= schedule.warmup_ns {
            let now_ns = schedule.now_ns();
            latency.saturating_record(now_ns.saturating_sub(due_ns).max(1));
            let appended_ms = message.timestamp().to_millis().unwrap_or_default() as f64;
            parts.note(due_ns, appended_ms, schedule.began_ms + now_ns as f64 / 1e6);
        }
    }
    Ok((latency, parts))
}

fn tell(schedule: &Schedule, latency: &Histogram<u64>, parts: &str) {
    let Schedule { records, rate, .. } = schedule;
    println!("{{\"records\":{records},\"rate\":{rate},{},{parts}}}", quantiles(latency));
}
