//! Handing records to a producer: its topics, headers, and the call itself. The unsafe part of writing.
//!
//! The binding's `send` makes a C string of the topic's name for each record and looks the topic up by it. Here a
//! topic is looked up once, when a record first names it.
#![allow(unsafe_code)]

use std::ffi::{CString, c_void};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use rdkafka::Message as _;
use rdkafka::bindings::{self as native, rd_kafka_vtype_t as Kind};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::BorrowedMessage;
use rdkafka::producer::Producer as _;
use slotflow_runtime::{Error, Result};

use super::failure::too_many_topics;
use super::header::Header;
use super::lookup::code_of;
use super::record::IntoKafka;
use super::writer::Producer;

/// The most topics that the records of one subtask may name (a guess: each costs some kilobytes here, and
/// partitions on the brokers).
const MOST_TOPICS: usize = 1024;

/// Lets the topic's partitioner choose: librdkafka's `RD_KAFKA_PARTITION_UA`.
const ANY_PARTITION: i32 = -1;

/// The topics that one producer writes; the first is the sink's own.
pub(super) struct Topics {
    /// Few, as a rule one; looked through in order.
    topics: Vec<(Box<str>, NonNull<native::rd_kafka_topic_t>)>,
    /// Outlives the topics, which `drop` frees.
    producer: Arc<Producer>,
}

// SAFETY: the topics belong to this value alone, and librdkafka's functions may be called from any thread.
unsafe impl Send for Topics {}

impl Topics {
    pub fn new(producer: Arc<Producer>, own: &str) -> Result<Topics> {
        let mut topics = Topics { topics: Vec::new(), producer };
        topics.find(own)?;
        Ok(topics)
    }

    /// The number of a topic.
    #[inline]
    pub fn find(&mut self, name: &str) -> Result<usize> {
        match self.topics.iter().position(|(known, _)| **known == *name) {
            Some(number) => Ok(number),
            None => self.add(name),
        }
    }

    pub fn name(&self, number: usize) -> &str {
        &self.topics[number].0
    }

    #[cold]
    fn add(&mut self, name: &str) -> Result<usize> {
        if self.topics.len() == MOST_TOPICS {
            return Err(too_many_topics(MOST_TOPICS));
        }
        let c_name = CString::new(name).map_err(|_| not_a_topic(name))?;
        // SAFETY: the client is alive, the name is a C string, and without a configuration there is the client's.
        let topic = unsafe {
            native::rd_kafka_topic_new(self.producer.client().native_ptr(), c_name.as_ptr(), ptr::null_mut())
        };
        self.topics.push((name.into(), NonNull::new(topic).ok_or_else(|| not_a_topic(name))?));
        Ok(self.topics.len() - 1)
    }

    /// Hands a record for the topic of that number over, which librdkafka copies; `opaque` comes back with its
    /// delivery report.
    #[inline]
    pub fn send(
        &self,
        topic: usize,
        record: &impl IntoKafka,
        opaque: usize,
    ) -> std::result::Result<(), RDKafkaErrorCode> {
        let partition = record.partition().map_or(Ok(ANY_PARTITION), number)?;
        let (key, key_length) = parts(record.key());
        let (payload, length) = parts((!record.is_tombstone()).then(|| record.payload()));
        let mut headers = Headers::of(record.headers());
        // SAFETY: each kind is followed by what librdkafka reads for it; pointers and lengths belong together and
        // live during the call; the headers are given up below when they were accepted, and only then.
        let error = unsafe {
            native::rd_kafka_producev(
                self.producer.client().native_ptr(),
                Kind::RD_KAFKA_VTYPE_RKT,
                self.topics[topic].1.as_ptr(),
                Kind::RD_KAFKA_VTYPE_PARTITION,
                partition,
                Kind::RD_KAFKA_VTYPE_MSGFLAGS,
                native::RD_KAFKA_MSG_F_COPY,
                Kind::RD_KAFKA_VTYPE_VALUE,
                payload,
                length,
                Kind::RD_KAFKA_VTYPE_KEY,
                key,
                key_length,
                Kind::RD_KAFKA_VTYPE_OPAQUE,
                opaque as *mut c_void,
                Kind::RD_KAFKA_VTYPE_TIMESTAMP,
                record.timestamp_ms().unwrap_or(0),
                Kind::RD_KAFKA_VTYPE_HEADERS,
                headers.0,
                Kind::RD_KAFKA_VTYPE_END,
            )
        };
        let refused = code_of(error);
        if refused.is_none() {
            headers.0 = ptr::null_mut();
        }
        refused.map_or(Ok(()), Err)
    }
}

impl Drop for Topics {
    fn drop(&mut self) {
        for (_, topic) in &self.topics {
            // SAFETY: it came from `add` and is not used after this.
            unsafe { native::rd_kafka_topic_destroy(topic.as_ptr()) };
        }
    }
}

fn not_a_topic(name: &str) -> Error {
    Error::user(format!("a record names the topic {name:?}, which cannot be one; correct its `topic`"))
}

/// A partition of a topic that a producer writes: the topic's handle, which is one and the same while the producer's
/// writer holds it, and the number.
pub(super) type Place = (usize, i32);

/// Where a record that has come back was sent.
#[inline]
pub(super) fn place(message: &BorrowedMessage<'_>) -> Place {
    // SAFETY: the message is alive as long as it is borrowed; the handle is only compared.
    let topic = unsafe { (*message.ptr()).rkt as usize };
    (topic, message.partition())
}

/// A partition's number as librdkafka has it. One that is too large for it is one that no topic has: it must not turn
/// into `ANY_PARTITION`, nor into another one that a dead letter would name.
fn number(partition: u32) -> std::result::Result<i32, RDKafkaErrorCode> {
    i32::try_from(partition).map_err(|_| RDKafkaErrorCode::UnknownPartition)
}

/// What librdkafka wants: no pointer at all for what is not there, and one for what is empty.
fn parts(bytes: Option<&[u8]>) -> (*const c_void, usize) {
    bytes.map_or((ptr::null(), 0), |bytes| (bytes.as_ptr().cast(), bytes.len()))
}

/// The headers of a record on its way, as librdkafka keeps them; null where there are none.
struct Headers(*mut native::rd_kafka_headers_t);

impl Headers {
    /// Copies headers; without any nothing is made.
    #[inline]
    fn of<'a>(headers: impl Iterator<Item = Header<'a>>) -> Headers {
        let mut list = Headers(ptr::null_mut());
        headers.for_each(|header| list.add(header));
        list
    }

    fn add(&mut self, Header { name, value }: Header<'_>) {
        let (data, length) = parts(value);
        // SAFETY: the list is ours and freed by `drop`; name and value are copied.
        unsafe {
            if self.0.is_null() {
                self.0 = native::rd_kafka_headers_new(4);
            }
            let (name, name_length) = (name.as_ptr().cast(), name.len() as isize);
            native::rd_kafka_header_add(self.0, name, name_length, data, length as isize);
        }
    }
}

impl Drop for Headers {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: it was not given up, and is not used after this.
            unsafe { native::rd_kafka_headers_destroy(self.0) };
        }
    }
}
