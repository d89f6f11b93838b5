//! Draining a consumer's queue, a batch of messages at a time. The unsafe part of reading.
//!
//! `rd_kafka_consume_batch_queue` costs 82 ns a message where `BaseConsumer::poll` costs 270, and it
//! never waits. It also serves what else is in the queue: log lines and errors of the whole client go
//! to [`log`], errors of a partition come as messages.
#![allow(unsafe_code)]

use std::cell::OnceCell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;

use bytes::Bytes;
use rdkafka::bindings as native;
use rdkafka::consumer::Consumer;
use slotflow_runtime::Offset;

use super::header::Header;
use super::log::log_line;
use super::lookup::code_of;
use super::queue::Queue;
use super::source::Client;

/// The most messages in a batch: some 20 us, the lower end of a step's budget.
pub(super) const BATCH: usize = 256;

/// The messages that were taken last, and the queue they come from.
pub(super) struct Batch {
    queue: Arc<Queue>,
    messages: Box<[*mut native::rd_kafka_message_t; BATCH]>,
    length: usize,
    /// Those of the messages that somebody keeps; they live at least as long as the batch, as the others do.
    kept: Box<[OnceCell<Arc<Kept>>; BATCH]>,
    /// Outlives the messages: they are freed by `drop`, before the fields are.
    client: Arc<Client>,
}

// SAFETY: the messages belong to this batch alone, those that are kept are only read, and librdkafka's functions may be
// called from any thread.
unsafe impl Send for Batch {}

impl Batch {
    /// A batch over a queue of this consumer's; there must be only one.
    pub fn new(client: Arc<Client>, queue: Arc<Queue>) -> Batch {
        let consumer = client.client().native_ptr();
        // SAFETY: `consumer` is alive as long as `client`; the callback is a plain function.
        unsafe { native::rd_kafka_set_logger(consumer, Some(log)) };
        let messages = Box::new([ptr::null_mut(); BATCH]);
        let kept = Box::new([const { OnceCell::new() }; BATCH]);
        Batch { queue, messages, length: 0, kept, client }
    }

    /// The consumer whose messages they are.
    pub fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// Frees the last batch and takes the next one, of at most `limit` messages, without waiting.
    pub fn fill(&mut self, limit: usize) {
        self.clear();
        let (limit, messages) = (limit.min(BATCH), self.messages.as_mut_ptr());
        // SAFETY: `messages` has room for `limit` pointers, and nobody else reads from this queue.
        let taken = unsafe { native::rd_kafka_consume_batch_queue(self.queue.as_ptr(), 0, messages, limit) };
        self.length = usize::try_from(taken).unwrap_or(0);
    }

    /// The messages of the batch, in order.
    pub fn messages(&self) -> impl Iterator<Item = RawMessage<'_>> {
        let taken = self.messages[..self.length].iter().enumerate();
        taken.map(|(index, message)| RawMessage { message: *message, index, batch: self })
    }

    fn clear(&mut self) {
        let taken = std::mem::take(&mut self.length);
        for (message, kept) in self.messages[..taken].iter().zip(self.kept.iter_mut()) {
            if kept.take().is_none() {
                // SAFETY: it came from `fill`, is freed once as the length is 0 now and nobody keeps it, and every
                // `RawMessage` has borrowed `self`.
                unsafe { native::rd_kafka_message_destroy(*message) };
            }
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.clear();
    }
}

/// A message that outlives its batch.
pub(super) struct Kept {
    message: NonNull<native::rd_kafka_message_t>,
    /// Outlives the message.
    _client: Arc<Client>,
}

// SAFETY: the message is only read, and librdkafka lets any thread free it.
unsafe impl Send for Kept {}
// SAFETY: as above.
unsafe impl Sync for Kept {}

impl Drop for Kept {
    fn drop(&mut self) {
        // SAFETY: a batch that gave its message away does not free it, and nobody else has it.
        unsafe { native::rd_kafka_message_destroy(self.message.as_ptr()) };
    }
}

/// The payload of a message that is kept.
struct KeptPayload(Arc<Kept>);

impl AsRef<[u8]> for KeptPayload {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: payload and length belong together and live as long as the message.
        unsafe { bytes((*self.0.message.as_ptr()).payload, (*self.0.message.as_ptr()).len) }
            .unwrap_or_default()
    }
}

/// A message, or an error, of a batch.
#[derive(Clone, Copy)]
pub(super) struct RawMessage<'s> {
    message: *const native::rd_kafka_message_t,
    /// Its place in the batch.
    index: usize,
    batch: &'s Batch,
}

// Pointers are read one by one, never through a reference to the whole: a broker may send an error
// code that the Rust enum of codes does not have.
impl<'s> RawMessage<'s> {
    /// The code of the error that this is instead of a message; 0 for a message.
    #[inline]
    pub fn error(self) -> i32 {
        // SAFETY: the message lives for 's; the code is a C enum, which has the size of an `i32`.
        unsafe { ptr::addr_of!((*self.message).err).cast::<i32>().read() }
    }

    #[inline]
    pub fn payload(self) -> Option<&'s [u8]> {
        // SAFETY: payload and length belong together, and the bytes live as long as the message.
        unsafe { bytes((*self.message).payload, (*self.message).len) }
    }

    #[inline]
    pub fn key(self) -> Option<&'s [u8]> {
        // SAFETY: key and length belong together, and the bytes live as long as the message.
        unsafe { bytes((*self.message).key, (*self.message).key_len) }
    }

    /// The payload, for as long as it is held: not copied, so it holds the whole fetch buffer, too.
    pub fn kept_payload(self) -> Bytes {
        let Some(message) = NonNull::new(self.message.cast_mut()) else { return Bytes::new() };
        let keep = || Arc::new(Kept { message, _client: self.batch.client.clone() });
        Bytes::from_owner(KeptPayload(self.batch.kept[self.index].get_or_init(keep).clone()))
    }

    /// Tells topics apart, among messages that live.
    #[inline]
    pub fn topic_handle(self) -> usize {
        // SAFETY: the message lives for 's.
        unsafe { (*self.message).rkt as usize }
    }

    /// The name of the topic; empty for what is told of no topic.
    pub fn topic(self) -> &'s str {
        // SAFETY: the message lives for 's and holds its topic, if it has one, whose name ends in 0.
        unsafe {
            let topic = (*self.message).rkt;
            let name =
                NonNull::new(topic).map(|topic| CStr::from_ptr(native::rd_kafka_topic_name(topic.as_ptr())));
            name.and_then(|name| name.to_str().ok()).unwrap_or_default()
        }
    }

    #[inline]
    pub fn partition(self) -> i32 {
        // SAFETY: the message lives for 's.
        unsafe { (*self.message).partition }
    }

    #[inline]
    pub fn offset(self) -> Offset {
        // SAFETY: the message lives for 's.
        unsafe { (*self.message).offset }
    }

    /// Its headers, in order.
    pub fn headers(self) -> impl Iterator<Item = Header<'s>> {
        let mut list = ptr::null_mut();
        // SAFETY: the message lives for 's, and its headers, of which there may be none, with it.
        let error = unsafe { native::rd_kafka_message_headers(self.message, &mut list) };
        let list = if code_of(error).is_none() { list } else { ptr::null_mut() };
        // SAFETY: as above.
        (0..).map_while(move |number| unsafe { header(list, number) })
    }

    /// Milliseconds since the Unix epoch, if the message has a time.
    pub fn timestamp_ms(self) -> Option<i64> {
        // SAFETY: the message lives for 's; librdkafka allows that the kind of time is not asked for.
        let timestamp_ms = unsafe { native::rd_kafka_message_timestamp(self.message, ptr::null_mut()) };
        (timestamp_ms >= 0).then_some(timestamp_ms)
    }
}

/// The header of that number, if there are so many.
///
/// # Safety
/// `list` is null, or a list of headers that lives for 's.
unsafe fn header<'s>(list: *const native::rd_kafka_headers_t, number: usize) -> Option<Header<'s>> {
    let (mut name, mut value, mut length) = (ptr::null(), ptr::null(), 0);
    if list.is_null() {
        return None;
    }
    // SAFETY: the list is alive; name and value belong to it, and the name ends in 0.
    unsafe {
        let error = native::rd_kafka_header_get_all(list, number, &mut name, &mut value, &mut length);
        let name = (code_of(error).is_none()).then(|| CStr::from_ptr(name))?;
        Some(Header { name: name.to_str().unwrap_or("\u{fffd}"), value: bytes(value, length) })
    }
}

/// # Safety
/// `data` is null or points to `length` bytes that live for 's.
#[inline]
unsafe fn bytes<'s>(data: *const c_void, length: usize) -> Option<&'s [u8]> {
    // SAFETY: promised by the caller.
    (!data.is_null()).then(|| unsafe { slice::from_raw_parts(data.cast(), length) })
}

/// Receives the log lines that `fill` comes across.
unsafe extern "C" fn log(
    _: *const native::rd_kafka_t,
    level: c_int,
    facility: *const c_char,
    text: *const c_char,
) {
    // SAFETY: librdkafka gives two strings that end in 0 and live during the call.
    let (facility, text) = unsafe { (CStr::from_ptr(facility), CStr::from_ptr(text)) };
    log_line(level, facility.to_string_lossy().trim(), text.to_string_lossy().trim());
}
