//! The name by which a group knows a member. The unsafe part of asking for it.
#![allow(unsafe_code)]

use std::ffi::CStr;

use rdkafka::bindings as native;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::log::ClientLog;

/// Whether the coordinator has given this member an id that it has not left with. In a group of the classic protocol
/// librdkafka forgets its id as it asks to leave, and at no time before.
pub(super) fn has_id(consumer: &BaseConsumer<ClientLog>) -> bool {
    // SAFETY: the consumer is alive; the answer is null or a C string that is ours to free.
    let id = unsafe { native::rd_kafka_memberid(consumer.client().native_ptr()) };
    if id.is_null() {
        return false;
    }
    // SAFETY: as above, and it is not used behind this.
    unsafe {
        let has_id = !CStr::from_ptr(id).is_empty();
        native::rd_kafka_mem_free(consumer.client().native_ptr(), id.cast());
        has_id
    }
}
