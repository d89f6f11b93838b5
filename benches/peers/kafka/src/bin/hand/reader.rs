//! A consumer and its queue, from which messages are taken in batches.

use std::ptr;
use std::slice;
use std::time::Duration;

use peers_kafka::words::Words;
use rdkafka::bindings as native;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Message, Offset, TopicPartitionList};

/// As many as slotflow takes at once.
const BATCH: usize = 256;

pub struct Reader {
    consumer: BaseConsumer,
    queue: *mut native::rd_kafka_queue_t,
    topic: String,
}

impl Reader {
    /// Reads all partitions of the input from their beginning.
    pub fn new(words: &Words) -> Reader {
        let mut config = words.client("consumer");
        config.set("group.id", words.text("group")).set("enable.auto.commit", "false");
        let consumer: BaseConsumer = config.create().expect("the settings are right");
        let topic = words.text("input").to_string();
        let mut assigned = TopicPartitionList::new();
        for partition in 0..words.number("partitions") {
            assigned.add_partition_offset(&topic, partition, Offset::Beginning).expect("it is an offset");
        }
        consumer.assign(&assigned).expect("the partitions can be assigned");
        // SAFETY: the consumer is alive; the queue is freed by `drop`, before it.
        let queue = unsafe { native::rd_kafka_queue_get_consumer(consumer.client().native_ptr()) };
        Reader { consumer, queue, topic }
    }

    /// Shows the messages that there are, a batch at most; waits for one while there is none.
    pub fn take(&self, patience: Duration, mut each: impl FnMut(Taken<'_>)) {
        let mut messages = [ptr::null_mut(); BATCH];
        let taken = self.fill(&mut messages, patience);
        for message in &messages[..taken] {
            // SAFETY: it was just taken, is alive until the next line, and freed once.
            let message = unsafe { &mut **message };
            if message.err == native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                each(Taken(message));
            }
            // SAFETY: as above.
            unsafe { native::rd_kafka_message_destroy(message) };
        }
    }

    fn fill(&self, messages: &mut [*mut native::rd_kafka_message_t; BATCH], patience: Duration) -> usize {
        // SAFETY: there is room for so many messages, and nobody else reads from this queue.
        let taken =
            unsafe { native::rd_kafka_consume_batch_queue(self.queue, 0, messages.as_mut_ptr(), BATCH) };
        if taken != 0 {
            return usize::try_from(taken).expect("a queue can be read");
        }
        // A batch would be waited for until it is full.
        // SAFETY: as above.
        messages[0] = unsafe { native::rd_kafka_consume_queue(self.queue, patience.as_millis() as i32) };
        usize::from(!messages[0].is_null())
    }

    /// Shows the key of one message, as the binding gives it.
    pub fn poll<T>(&self, patience: Duration, each: impl FnOnce(Option<&[u8]>) -> Option<T>) -> Option<T> {
        let message = self.consumer.poll(patience)?.expect("the topic can be read");
        each(message.key())
    }

    /// Commits the offsets behind what was read.
    pub fn commit(&self, next: &[i64], mode: CommitMode) {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in (0..).zip(next).filter(|(_, offset)| **offset > 0) {
            list.add_partition_offset(&self.topic, partition, Offset::Offset(*offset))
                .expect("it is an offset");
        }
        if list.count() > 0 {
            self.consumer.commit(&list, mode).expect("offsets can be committed");
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // SAFETY: it came from `rd_kafka_queue_get_consumer` and is not used after this.
        unsafe { native::rd_kafka_queue_destroy(self.queue) };
    }
}

/// A message of a batch.
pub struct Taken<'a>(&'a native::rd_kafka_message_t);

impl Taken<'_> {
    pub fn key(&self) -> &[u8] {
        bytes(self.0.key.cast(), self.0.key_len)
    }

    pub fn text(&self) -> &[u8] {
        bytes(self.0.payload.cast(), self.0.len)
    }

    pub fn place(&self) -> (usize, i64) {
        (self.0.partition as usize, self.0.offset)
    }
}

fn bytes<'a>(data: *const u8, length: usize) -> &'a [u8] {
    // SAFETY: pointer and length are of one message, which outlives what is made of it here.
    if data.is_null() { &[] } else { unsafe { slice::from_raw_parts(data, length) } }
}
