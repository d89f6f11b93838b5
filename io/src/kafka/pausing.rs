//! Pausing partitions, for sources that are ahead of others in event time.
//!
//! librdkafka's call waits for a thread of its own, which a slot must not do. So the slot gives an order, and a thread
//! on the I/O cores carries it out; messages come until then. What was fetched and not taken is thrown away by
//! librdkafka and fetched again later; what the slot takes while the order is carried out may come a second time, and
//! is left out by its offset.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;
use slotflow_runtime::{IoCores, Result};

use super::source::Client;

/// What is to become of a partition.
struct Order {
    topic: Arc<str>,
    partition: i32,
    paused: bool,
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
        self.order(Order { topic: topic.clone(), partition, paused: true })
    }

    /// Orders that a partition goes on.
    pub fn resume(&mut self, topic: &Arc<str>, partition: i32) {
        self.order(Order { topic: topic.clone(), partition, paused: false });
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
    for Order { topic, partition, paused } in orders {
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition(&topic, partition);
        let done = if paused { client.pause(&list) } else { client.resume(&list) };
        if let Err(error) = done {
            let what = if paused { "paused" } else { "resumed" };
            tracing::warn!("partition {partition} of {topic} cannot be {what}: {error}");
        }
    }
}
