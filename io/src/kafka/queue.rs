//! Queues of librdkafka's. The unsafe part of holding, forwarding and listening to them.
#![allow(unsafe_code)]

use std::any::Any;
use std::ffi::{CString, c_void};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use rdkafka::bindings as native;
use rdkafka::consumer::Consumer as _;
use rdkafka::producer::Producer as _;
use slotflow_runtime::Waker;

use super::source::Client;
use super::writer::Producer;

/// A queue of a client.
pub(super) struct Queue {
    queue: NonNull<native::rd_kafka_queue_t>,
    /// Outlives the queue, which `drop` frees.
    _client: Arc<dyn Any + Send + Sync>,
}

// SAFETY: librdkafka's functions on queues may be called from any thread, and at once.
unsafe impl Send for Queue {}
// SAFETY: as above; who reads from it is the reader's business.
unsafe impl Sync for Queue {}

impl Queue {
    /// The queue of a consumer, with the messages of all its partitions.
    pub fn of_consumer(client: &Arc<Client>) -> Option<Queue> {
        // SAFETY: the consumer is alive as long as `client`.
        let queue = unsafe { native::rd_kafka_queue_get_consumer(client.client().native_ptr()) };
        Some(Queue { queue: NonNull::new(queue)?, _client: client.clone() })
    }

    /// A new queue, into which partitions can be forwarded.
    pub fn apart(client: &Arc<Client>) -> Option<Queue> {
        // SAFETY: the consumer is alive as long as `client`.
        let queue = unsafe { native::rd_kafka_queue_new(client.client().native_ptr()) };
        Some(Queue { queue: NonNull::new(queue)?, _client: client.clone() })
    }

    /// The queue of a producer's events.
    pub fn of_producer(producer: &Arc<Producer>) -> Option<Queue> {
        // SAFETY: the producer is alive as long as `producer`.
        let queue = unsafe { native::rd_kafka_queue_get_main(producer.client().native_ptr()) };
        Some(Queue { queue: NonNull::new(queue)?, _client: producer.clone() })
    }

    pub fn as_ptr(&self) -> *mut native::rd_kafka_queue_t {
        self.queue.as_ptr()
    }

    /// From here on the messages of a partition of this queue's consumer come into this queue, also when it is assigned
    /// later or again.
    pub fn forward(&self, consumer: *mut native::rd_kafka_t, topic: &str, partition: i32) -> Option<()> {
        let topic = CString::new(topic).ok()?;
        // SAFETY: the consumer is that of the queue and alive, the name is a C string; the handle of the partition's
        // own queue is freed, which leaves the queue as it is.
        unsafe {
            let own = native::rd_kafka_queue_get_partition(consumer, topic.as_ptr(), partition);
            let own = NonNull::new(own)?.as_ptr();
            native::rd_kafka_queue_forward(own, self.as_ptr());
            native::rd_kafka_queue_destroy(own);
        }
        Some(())
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the queue is ours and is not used after this.
        unsafe { native::rd_kafka_queue_destroy(self.as_ptr()) };
    }
}

/// Wakes a slot whenever a queue becomes non-empty, as long as it lives.
pub(super) struct QueueWaker {
    queue: Arc<Queue>,
    /// Read by librdkafka's threads; freed after they were told to stop.
    waker: NonNull<Waker>,
}

// SAFETY: a `Waker` may be used from any thread, and librdkafka's functions may be called from any.
unsafe impl Send for QueueWaker {}

impl QueueWaker {
    /// Wakes with `waker`. A queue has only one.
    pub fn new(queue: Arc<Queue>, waker: Waker) -> QueueWaker {
        let waker = NonNull::from(Box::leak(Box::new(waker)));
        let opaque = waker.as_ptr().cast::<c_void>();
        // SAFETY: `opaque` stays valid until `drop` has taken the callback away.
        unsafe { native::rd_kafka_queue_cb_event_enable(queue.as_ptr(), Some(wake), opaque) };
        QueueWaker { queue, waker }
    }
}

impl Drop for QueueWaker {
    fn drop(&mut self) {
        // SAFETY: the callback is called and taken away under the queue's lock, so nobody is in it
        // after the first line; then the waker is ours alone.
        unsafe {
            native::rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), None, ptr::null_mut());
            drop(Box::from_raw(self.waker.as_ptr()));
        }
    }
}

/// Called by librdkafka's threads.
unsafe extern "C" fn wake(_: *mut native::rd_kafka_t, waker: *mut c_void) {
    // SAFETY: it is the waker that `new` gave, alive until the callback is taken away.
    unsafe { &*waker.cast::<Waker>() }.wake();
}
