//! A producer, and how many of its records are under way.

use std::ffi::{CString, c_void};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use peers_kafka::words::Words;
use rdkafka::ClientContext;
use rdkafka::bindings as native;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

/// Lets the partitioner choose.
const ANY_PARTITION: i32 = -1;

/// Reports are asked for after so many records, as slotflow does once in a step.
const SERVE_EVERY: u64 = 256;

pub struct Writer {
    producer: BaseProducer<Arrived>,
    topic: *mut native::rd_kafka_topic_t,
    name: String,
    /// Which of two stretches between commits it is, and what has been sent in each.
    stretch: usize,
    sent: [u64; 2],
}

impl Writer {
    pub fn new(words: &Words) -> Writer {
        let config = words.client("producer");
        let producer: BaseProducer<Arrived> =
            config.create_with_context(Arrived::default()).expect("the settings are right");
        let name = words.text("output").to_string();
        let c_name = CString::new(name.as_str()).expect("a topic's name has no zero");
        let client = producer.client().native_ptr();
        // SAFETY: the client is alive, the name is a C string; the topic is freed by `drop`, before the client.
        let topic = unsafe { native::rd_kafka_topic_new(client, c_name.as_ptr(), std::ptr::null_mut()) };
        Writer { producer, topic, name, stretch: 0, sent: [0; 2] }
    }

    /// Sends a record by librdkafka's own call; waits while its queue is full.
    pub fn produce(&mut self, key: &[u8], text: &[u8]) {
        self.sent[self.stretch] += 1;
        // SAFETY: pointers and lengths belong together and live during the call, which copies.
        let refused = || unsafe {
            let text_start = text.as_ptr().cast_mut().cast::<c_void>();
            let (copy, opaque) = (native::RD_KAFKA_MSG_F_COPY, self.stretch as *mut c_void);
            native::rd_kafka_produce(
                self.topic,
                ANY_PARTITION,
                copy,
                text_start,
                text.len(),
                key.as_ptr().cast(),
                key.len(),
                opaque,
            ) != 0
        };
        while refused() {
            // SAFETY: it reads what the call above has left for this thread.
            let why = unsafe { native::rd_kafka_last_error() };
            self.wait_for_room(RDKafkaErrorCode::from(why));
        }
    }

    /// Sends a record as the binding does it.
    pub fn send(&mut self, key: &[u8], text: &[u8]) {
        self.sent[self.stretch] += 1;
        let mut record = BaseRecord::with_opaque_to(&self.name, self.stretch).key(key).payload(text);
        while let Err((error, again)) = self.producer.send(record) {
            let KafkaError::MessageProduction(code) = error else { panic!("{error}") };
            self.wait_for_room(code);
            record = again;
        }
    }

    fn wait_for_room(&self, code: RDKafkaErrorCode) {
        assert_eq!(code, RDKafkaErrorCode::QueueFull, "a record is refused");
        self.producer.poll(Duration::from_millis(1));
    }

    pub fn serve(&self) {
        self.producer.poll(Duration::ZERO);
    }

    pub fn serve_now_and_then(&self) {
        if self.sent[self.stretch].is_multiple_of(SERVE_EVERY) {
            self.serve();
        }
    }

    /// Begins another stretch; nothing of the one that had its place may be under way.
    pub fn begin_stretch(&mut self) {
        self.stretch ^= 1;
    }

    /// Whether everything of the stretch before this one has arrived.
    pub fn former_has_arrived(&self) -> bool {
        self.has_arrived(self.stretch ^ 1)
    }

    fn has_arrived(&self, stretch: usize) -> bool {
        self.producer.context().arrived[stretch].load(Relaxed) == self.sent[stretch]
    }

    /// Waits until everything has arrived.
    pub fn flush(&self) {
        while !(self.has_arrived(0) && self.has_arrived(1)) {
            self.producer.poll(Duration::from_millis(1));
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // SAFETY: it came from `rd_kafka_topic_new` and is not used after this.
        unsafe { native::rd_kafka_topic_destroy(self.topic) };
    }
}

/// What has arrived of each stretch.
#[derive(Default)]
struct Arrived {
    arrived: [AtomicU64; 2],
}

impl ClientContext for Arrived {}

impl ProducerContext for Arrived {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, stretch: usize) {
        assert!(result.is_ok(), "a record was not delivered");
        self.arrived[stretch].fetch_add(1, Relaxed);
    }
}
