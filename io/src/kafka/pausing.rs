//! Pausing partitions, for sources that are ahead of others in event time.
//!
//! librdkafka's call waits for a thread of its own, which a slot must not do. So the slot gives an order, and a thread
//! on the I/O cores carries it out; messages come until then. What was fetched and not taken is thrown away by
//! librdkafka and fetched again later; what the slot takes while the order is carried out may come a second time, and
//! is left out by its offset.
//!
//! A partition goes on where the slot has come. Where librdkafka would go on is not that: it notes the end of a
//! partition as if it were a record (`rd_kafka_q_serve_rkmessages`, 2.12), and would leave out the one that comes next.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaResult;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};
use slotflow_runtime::{IoCores, Offset, Result};

use super::source::Client;

/// What is to become of a partition.
struct Order {
    topic: Arc<str>,
    partition: i32,
    what: What,
}

enum What {
    Pause,
    Resume { from: KafkaOffset },
}

/// Pauses the partitions of one consumer. Its thread begins with the first order, as most sources give none.
pub(super) struct Pausing {
    client: Arc<Client>,
    io: IoCores,
    orders: Option<Sender<Order>>,
}

impl Pausing {
    pub fn new(client: Arc<Client>, io: IoCores) -> Pausing {
        Pausing { client, io, orders: None }
    }

    /// Orders that a partition gives nothing for now. `false` if there is no thread to see to it.
    pub fn pause(&mut self, topic: &Arc<str>, partition: i32) -> bool {
        self.order(Order { topic: topic.clone(), partition, what: What::Pause })
    }

    /// Orders that a partition goes on, at the record that the slot wants next; without one at the oldest.
    pub fn resume(&mut self, topic: &Arc<str>, partition: i32, next: Option<Offset>) {
        let from = next.map_or(KafkaOffset::Beginning, KafkaOffset::Offset);
        self.order(Order { topic: topic.clone(), partition, what: What::Resume { from } });
    }

    fn order(&mut self, order: Order) -> bool {
        if self.orders.is_none() {
            self.orders = self.begin().inspect_err(|error| tracing::warn!("nothing is paused: {error}")).ok();
        }
        self.orders.as_ref().is_some_and(|orders| orders.send(order).is_ok())
    }

    fn begin(&self) -> Result<Sender<Order>> {
        let (orders, received) = mpsc::channel();
        let client = self.client.clone();
        self.io.spawn("slotflow-pause", move || carry_out(&client, &received))?;
        Ok(orders)
    }
}

/// Until the reader is gone.
fn carry_out(client: &Client, orders: &Receiver<Order>) {
    for Order { topic, partition, what } in orders {
        let (done, wanted) = match what {
            What::Pause => (client.pause(&list(&topic, partition)), "paused"),
            What::Resume { from } => (resume(client, &topic, partition, from), "resumed"),
        };
        if let Err(error) = done {
            tracing::warn!("partition {partition} of {topic} cannot be {wanted}: {error}");
        }
    }
}

/// That it is moved is not waited for: the word to go on stands behind that in one queue, and to wait each time makes
/// all of it ten times slower. One that cannot be moved was not read yet, or is not any more.
fn resume(client: &Client, topic: &str, partition: i32, from: KafkaOffset) -> KafkaResult<()> {
    client.seek(topic, partition, from, Duration::ZERO)?;
    client.resume(&list(topic, partition))
}

fn list(topic: &str, partition: i32) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition(topic, partition);
    list
}
