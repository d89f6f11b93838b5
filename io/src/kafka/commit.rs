//! One commit under way, with a bounded wait for its answer. The unsafe part of committing.
//!
//! `Consumer::commit` waits as long as it takes, a minute and more while the group's coordinator is
//! away. Here the answer comes to a queue of its own, which can be asked for a while and asked again.
#![allow(unsafe_code)]

use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::bindings as native;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use slotflow_runtime::SplitId;

use super::log::ClientLog;
use super::lookup::code_of;
use super::source::Client;

/// Why a commit was refused: of which partition, if not of all.
pub(super) type Refusal = (Option<SplitId>, RDKafkaErrorCode);

/// Where the answer to a commit comes; to be gone before the consumer.
struct Answers(NonNull<native::rd_kafka_queue_t>);

// SAFETY: the queue belongs to one commit alone, and librdkafka's functions may be called from any
// thread.
unsafe impl Send for Answers {}

/// A commit that was sent.
pub(super) struct Commit {
    answers: Answers,
    /// Outlives the queue of the answers.
    client: Arc<Client>,
}

impl Commit {
    /// Sends a commit of these offsets, the next ones to read.
    pub fn send(client: &Arc<Client>, offsets: &TopicPartitionList) -> Result<Commit, RDKafkaErrorCode> {
        Ok(Commit { answers: Answers::of(client, offsets)?, client: client.clone() })
    }

    /// Whether this consumer has sent it.
    pub fn is_by(&self, client: &Arc<Client>) -> bool {
        Arc::ptr_eq(&self.client, client)
    }

    /// Waits for the answer; `None` when there is none yet. After an answer there is no other.
    pub fn answer(&self, wait: Duration) -> Option<Result<(), Refusal>> {
        self.answers.next(wait)
    }
}

/// Commits these offsets; without an answer within this time it is refused as timed out, and may come through later.
pub(super) fn commit_within(
    consumer: &BaseConsumer<ClientLog>,
    offsets: &TopicPartitionList,
    wait: Duration,
) -> Result<(), RDKafkaErrorCode> {
    let answer = Answers::of(consumer, offsets)?.next(wait);
    answer.unwrap_or(Err((None, RDKafkaErrorCode::OperationTimedOut))).map_err(|(_, code)| code)
}

impl Answers {
    /// Sends a commit.
    fn of(
        consumer: &BaseConsumer<ClientLog>,
        offsets: &TopicPartitionList,
    ) -> Result<Answers, RDKafkaErrorCode> {
        let consumer = consumer.client().native_ptr();
        // SAFETY: the consumer is alive.
        let queue = unsafe { native::rd_kafka_queue_new(consumer) };
        let answers = Answers(NonNull::new(queue).ok_or(RDKafkaErrorCode::CriticalSystemResource)?);
        // SAFETY: the offsets are copied by the call, and without a callback its argument is unused.
        let error =
            unsafe { native::rd_kafka_commit_queue(consumer, offsets.ptr(), queue, None, ptr::null_mut()) };
        code_of(error).map_or(Ok(answers), Err)
    }

    fn next(&self, wait: Duration) -> Option<Result<(), Refusal>> {
        let wait_ms = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the queue is alive; the event is freed below.
        let event = unsafe { native::rd_kafka_queue_poll(self.0.as_ptr(), wait_ms) };
        let event = NonNull::new(event)?;
        // SAFETY: the event is alive until the next line but one.
        let refusal = unsafe { refusal(event) };
        // SAFETY: the event is ours and is not used after this.
        unsafe { native::rd_kafka_event_destroy(event.as_ptr()) };
        Some(refusal.map_or(Ok(()), Err))
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        // SAFETY: the queue is ours; librdkafka drops an answer that comes later.
        unsafe { native::rd_kafka_queue_destroy(self.0.as_ptr()) };
    }
}

/// The first thing in an answer that is not well: a partition's error, or that of the whole.
///
/// # Safety
/// The event is alive.
unsafe fn refusal(event: NonNull<native::rd_kafka_event_t>) -> Option<Refusal> {
    // SAFETY: promised by the caller; the list belongs to the event.
    let (error, list) = unsafe {
        let list = native::rd_kafka_event_topic_partition_list(event.as_ptr());
        (native::rd_kafka_event_error(event.as_ptr()), list.as_ref())
    };
    let partitions = match list {
        // SAFETY: the list has `cnt` elements.
        Some(list) if list.cnt > 0 => unsafe { slice::from_raw_parts(list.elems, list.cnt as usize) },
        _ => &[],
    };
    let of_partition = |it: &native::rd_kafka_topic_partition_t| {
        code_of(it.err).map(|code| (Some(it.partition as SplitId), code))
    };
    partitions.iter().find_map(of_partition).or_else(|| code_of(error).map(|code| (None, code)))
}
