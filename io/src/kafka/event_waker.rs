//! Waking a slot when a producer has something to say. The unsafe part of waking.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use rdkafka::bindings as native;
use rdkafka::producer::Producer as _;
use slotflow_runtime::Waker;

use super::writer::Producer;

/// Wakes a slot whenever a producer's queue becomes non-empty, as long as it lives.
pub(super) struct EventWaker {
    queue: NonNull<native::rd_kafka_queue_t>,
    /// Read by librdkafka's threads; freed after they were told to stop.
    waker: NonNull<Waker>,
    /// Outlives the queue, which `drop` frees.
    _producer: Arc<Producer>,
}

// SAFETY: a `Waker` may be used from any thread, and librdkafka's functions may be called from any.
unsafe impl Send for EventWaker {}

impl EventWaker {
    /// Wakes with `waker`.
    pub fn new(producer: Arc<Producer>, waker: Waker) -> Option<EventWaker> {
        // SAFETY: the client is alive as long as `producer`.
        let queue = unsafe { native::rd_kafka_queue_get_main(producer.client().native_ptr()) };
        let queue = NonNull::new(queue)?;
        let waker = NonNull::from(Box::leak(Box::new(waker)));
        let opaque = waker.as_ptr().cast::<c_void>();
        // SAFETY: `opaque` stays valid until `drop` has taken the callback away.
        unsafe { native::rd_kafka_queue_cb_event_enable(queue.as_ptr(), Some(wake), opaque) };
        Some(EventWaker { queue, waker, _producer: producer })
    }
}

impl Drop for EventWaker {
    fn drop(&mut self) {
        // SAFETY: the callback is called and taken away under the queue's lock, so nobody is in it
        // after the first line; then queue and waker are ours alone.
        unsafe {
            native::rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), None, ptr::null_mut());
            native::rd_kafka_queue_destroy(self.queue.as_ptr());
            drop(Box::from_raw(self.waker.as_ptr()));
        }
    }
}

/// Called by librdkafka's threads.
unsafe extern "C" fn wake(_: *mut native::rd_kafka_t, waker: *mut c_void) {
    // SAFETY: it is the waker that `new` gave, alive until the callback is taken away.
    unsafe { &*waker.cast::<Waker>() }.wake();
}
