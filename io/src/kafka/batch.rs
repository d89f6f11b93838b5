//! Draining a consumer's queue, a batch of messages at a time. The unsafe part of reading.
//!
//! `rd_kafka_consume_batch_queue` costs 82 ns a message where `BaseConsumer::poll` costs 270, and it
//! never waits. It also serves what else is in the queue: log lines and errors of the whole client go
//! to [`log`], errors of a partition come as messages.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;

use rdkafka::bindings as native;
use rdkafka::consumer::Consumer;
use slotflow_runtime::Offset;

use super::header::Header;
use super::log::log_line;
use super::lookup::code_of;
use super::source::Client;

/// The most messages in a batch: some 20 us, the lower end of a step's budget.
pub(super) const BATCH: usize = 256;

/// The messages that were taken last, and the queue they come from.
pub(super) struct Batch {
    queue: NonNull<native::rd_kafka_queue_t>,
    messages: Box<[*mut native::rd_kafka_message_t; BATCH]>,
    length: usize,
    /// Outlives the queue and the messages: both are freed by `drop`, before the fields are.
    _client: Arc<Client>,
}

// SAFETY: the queue and the messages belong to this batch alone, and librdkafka's functions may be
// called from any thread.
unsafe impl Send for Batch {}

impl Batch {
    /// A batch over the queue of a consumer; there must be only one.
    pub fn new(client: Arc<Client>) -> Option<Batch> {
        let consumer = client.client().native_ptr();
        // SAFETY: `consumer` is alive as long as `client`; the callback is a plain function.
        let queue = unsafe {
            native::rd_kafka_set_logger(consumer, Some(log));
            native::rd_kafka_queue_get_consumer(consumer)
        };
        let messages = Box::new([ptr::null_mut(); BATCH]);
        Some(Batch { queue: NonNull::new(queue)?, messages, length: 0, _client: client })
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
        let raw = |message: &*mut native::rd_kafka_message_t| RawMessage(*message, PhantomData);
        self.messages[..self.length].iter().map(raw)
    }

    fn clear(&mut self) {
        let taken = std::mem::take(&mut self.length);
        for message in &self.messages[..taken] {
            // SAFETY: it came from `fill`, is freed once as the length is 0 now, and every
            // `RawMessage` has borrowed `self`.
            unsafe { native::rd_kafka_message_destroy(*message) };
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.clear();
        // SAFETY: the queue is ours and is not used after this.
        unsafe { native::rd_kafka_queue_destroy(self.queue.as_ptr()) };
    }
}

/// A message, or an error, of a batch.
#[derive(Clone, Copy)]
pub(super) struct RawMessage<'s>(*const native::rd_kafka_message_t, PhantomData<&'s Batch>);

// Pointers are read one by one, never through a reference to the whole: a broker may send an error
// code that the Rust enum of codes does not have.
impl<'s> RawMessage<'s> {
    /// The code of the error that this is instead of a message; 0 for a message.
    #[inline]
    pub fn error(self) -> i32 {
        // SAFETY: the message lives for 's; the code is a C enum, which has the size of an `i32`.
        unsafe { ptr::addr_of!((*self.0).err).cast::<i32>().read() }
    }

    #[inline]
    pub fn payload(self) -> Option<&'s [u8]> {
        // SAFETY: payload and length belong together, and the bytes live as long as the message.
        unsafe { bytes((*self.0).payload, (*self.0).len) }
    }

    #[inline]
    pub fn key(self) -> Option<&'s [u8]> {
        // SAFETY: key and length belong together, and the bytes live as long as the message.
        unsafe { bytes((*self.0).key, (*self.0).key_len) }
    }

    #[inline]
    pub fn partition(self) -> i32 {
        // SAFETY: the message lives for 's.
        unsafe { (*self.0).partition }
    }

    #[inline]
    pub fn offset(self) -> Offset {
        // SAFETY: the message lives for 's.
        unsafe { (*self.0).offset }
    }

    /// Its headers, in order.
    pub fn headers(self) -> impl Iterator<Item = Header<'s>> {
        let mut list = ptr::null_mut();
        // SAFETY: the message lives for 's, and its headers, of which there may be none, with it.
        let error = unsafe { native::rd_kafka_message_headers(self.0, &mut list) };
        let list = if code_of(error).is_none() { list } else { ptr::null_mut() };
        // SAFETY: as above.
        (0..).map_while(move |number| unsafe { header(list, number) })
    }

    /// Milliseconds since the Unix epoch, if the message has a time.
    pub fn timestamp_ms(self) -> Option<i64> {
        // SAFETY: the message lives for 's; librdkafka allows that the kind of time is not asked for.
        let timestamp_ms = unsafe { native::rd_kafka_message_timestamp(self.0, ptr::null_mut()) };
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
