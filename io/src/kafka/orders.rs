//! What a reader orders of its consumer: to read partitions from an offset, to pause some and to go on with them.
//!
//! librdkafka's calls wait for a thread of its own, which a slot must not do. So the slot gives an order, and a thread
//! on the I/O cores carries orders out, one after the other; each names the consumer that was the reader's when it was
//! given, and one that was renewed ([`watch`](super::watch)) has a thread of its own: the old one may never answer.
//!
//! Messages of a partition that is to be paused come until it is. What was fetched and not taken is thrown away by
//! librdkafka and fetched again later; what the slot takes while the order is carried out may come a second time, and
//! is left out by its offset.
//!
//! A partition goes on where the slot has come. Where librdkafka would go on is not that: it notes the end of a
//! partition as if it were a record (`rd_kafka_q_serve_rkmessages`, 2.12), and would leave out the one that comes next.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaResult;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};
use slotflow_runtime::{IoCores, Offset, Result, SplitId, Waker};

use super::counts::SourceCounts;
use super::current::Current;
use super::failure;
use super::reader::Change;
use super::source::Client;

/// After this a partition that could not be assigned is tried again (a guess: ten times what a coordinator takes).
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// After so many tries the job fails: what has not gone in this time does not go by itself.
const MOST_TRIES: u32 = 20;

/// Where a partition is read from.
#[derive(Clone, Debug)]
pub(super) struct ReadFrom {
    pub topic: Arc<str>,
    pub partition: i32,
    /// The next offset; `None` for the oldest there is.
    pub next: Option<Offset>,
}

impl ReadFrom {
    fn offset(&self) -> KafkaOffset {
        self.next.map_or(KafkaOffset::Beginning, KafkaOffset::Offset)
    }

    fn list(&self) -> KafkaResult<TopicPartitionList> {
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition_offset(&self.topic, self.partition, self.offset())?;
        Ok(list)
    }
}

/// What is to become of a partition.
struct Order {
    client: Arc<Client>,
    what: What,
    of: ReadFrom,
    tries: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Read,
    Pause,
    Resume,
}

/// Orders about the partitions of one reader. Its thread begins with the first one, as most readers give none.
pub(super) struct Orders {
    io: IoCores,
    waker: Waker,
    counts: SourceCounts,
    current: Current,
    /// Which partitions are paused.
    paused: Vec<SplitId>,
    /// Where a reader hears that one of its partitions cannot be read.
    changes: Sender<Change>,
    given: Option<Sender<Order>>,
}

impl Orders {
    pub fn new(
        io: IoCores,
        waker: Waker,
        counts: SourceCounts,
        current: Current,
        changes: Sender<Change>,
    ) -> Orders {
        Orders { io, waker, counts, current, paused: Vec::new(), changes, given: None }
    }

    /// Orders that a partition is read, besides those that are.
    pub fn read(&mut self, of: ReadFrom) -> Result<()> {
        self.order(What::Read, of)
    }

    /// Orders that a partition gives nothing for now. `false` if there is no thread to see to it.
    pub fn pause(&mut self, split: SplitId, of: ReadFrom) -> bool {
        let ordered = self.order(What::Pause, of);
        self.paused.extend(ordered.is_ok().then_some(split));
        ordered.inspect_err(|error| tracing::warn!("nothing is paused: {error}")).is_ok()
    }

    /// Orders that a partition goes on, where it says.
    pub fn resume(&mut self, split: SplitId, of: ReadFrom) {
        self.paused.retain(|paused| *paused != split);
        // There is a thread, as there was one to pause it.
        drop(self.order(What::Resume, of));
    }

    /// The reader's consumer is another one from here on: it is to read these, and to pause those that are. Its orders
    /// have a thread of their own: that of the old one may wait for it for ever, and what failed there is over.
    pub fn renew(&mut self, client: Arc<Client>, all: Vec<(SplitId, ReadFrom)>) -> Result<()> {
        self.current.set(client);
        self.given = None;
        for (split, of) in all {
            self.order(What::Read, of.clone())?;
            if self.is_paused(split) {
                self.order(What::Pause, of)?;
            }
        }
        Ok(())
    }

    pub fn is_paused(&self, split: SplitId) -> bool {
        self.paused.contains(&split)
    }

    fn order(&mut self, what: What, of: ReadFrom) -> Result<()> {
        let order = Order { client: self.current.client(), what, of, tries: 0 };
        let given = match self.given.take() {
            Some(given) => given,
            None => self.begin()?,
        };
        // The thread ends with this sender and not before.
        drop(given.send(order));
        self.given = Some(given);
        Ok(())
    }

    fn begin(&self) -> Result<Sender<Order>> {
        let (given, orders) = mpsc::channel();
        let (counts, changes, waker) = (self.counts.clone(), self.changes.clone(), self.waker.clone());
        let carry_out = CarryOut { counts, changes, waker, again: Vec::new() };
        self.io.spawn("slotflow-order", move || carry_out.all(&orders))?;
        Ok(given)
    }
}

/// The thread that carries orders out.
struct CarryOut {
    counts: SourceCounts,
    changes: Sender<Change>,
    waker: Waker,
    /// Partitions that could not be assigned, to be tried again.
    again: Vec<Order>,
}

impl CarryOut {
    /// Until the reader is gone.
    fn all(mut self, orders: &Receiver<Order>) {
        loop {
            let next = match self.again.is_empty() {
                true => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
                false => orders.recv_timeout(TRY_AGAIN),
            };
            match next {
                Ok(order) => self.one(order),
                Err(RecvTimeoutError::Timeout) => {
                    std::mem::take(&mut self.again).into_iter().for_each(|order| self.one(order));
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn one(&mut self, order: Order) {
        let Order { client, what, of, .. } = &order;
        let done = match what {
            What::Read => of.list().and_then(|list| client.incremental_assign(&list)),
            What::Pause => of.list().and_then(|list| client.pause(&list)),
            What::Resume => resume(client, of),
        };
        let Err(error) = done else { return };
        let ReadFrom { topic, partition, .. } = of;
        if *what == What::Read {
            self.not_assigned(order, &error.to_string());
        } else {
            tracing::warn!(partition, "partition of {topic}, which is to {what:?}: {error}");
        }
    }

    /// It is tried again, or fails the job.
    fn not_assigned(&mut self, order: Order, reason: &str) {
        let ReadFrom { topic, partition, .. } = &order.of;
        self.counts.not_assigned();
        tracing::warn!(partition, tries = order.tries, "partition of {topic} cannot be assigned: {reason}");
        if order.tries < MOST_TRIES {
            self.again.push(Order { tries: order.tries + 1, ..order });
        } else if self.changes.send(Change::Failed(failure::not_assigned(topic, *partition, reason))).is_ok()
        {
            self.waker.wake();
        }
    }
}

/// That it is moved is not waited for: the word to go on stands behind that in one queue, and to wait each time makes
/// all of it ten times slower. One that cannot be moved was not read yet, or is not any more.
fn resume(client: &Client, of: &ReadFrom) -> KafkaResult<()> {
    client.seek(&of.topic, of.partition, of.offset(), Duration::ZERO)?;
    client.resume(&of.list()?)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use rdkafka::ClientConfig;

    use super::super::off_slot::OffSlot;
    use super::*;

    fn client() -> Arc<Client> {
        let make = || {
            let client = ClientConfig::new().set("group.id", "g").create_with_context(Default::default());
            Ok((client.unwrap(), ()))
        };
        let (client, ()) = OffSlot::make(&IoCores::default(), "test", make).unwrap();
        Arc::new(client)
    }

    #[test]
    fn a_consumer_that_never_answers_does_not_hold_up_the_one_after_it() {
        let (io, (stuck, unserved)) = (IoCores::default(), mpsc::channel());
        let (current, counts) = (Current::new(client()), SourceCounts::default());
        let mut orders = Orders::new(io, Waker::default(), counts, current, mpsc::channel().0);
        orders.given = Some(stuck);
        let (new, of) = (client(), ReadFrom { topic: "words".into(), partition: 3, next: Some(7) });
        orders.renew(new.clone(), vec![(3, of)]).unwrap();
        assert!(unserved.try_recv().is_err(), "it is given to a thread that waits for the old consumer");
        let began = Instant::now();
        while new.assignment().unwrap().count() == 0 {
            assert!(began.elapsed() < Duration::from_secs(60), "the new consumer reads nothing");
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_cannot_be_assigned_is_tried_again_counted_and_fails_in_the_end() {
        let (counts, (changes, heard)) = (SourceCounts::default(), mpsc::channel());
        let mut carried =
            CarryOut { counts: counts.clone(), changes, waker: Waker::default(), again: Vec::new() };
        // No log has such an offset, so that librdkafka refuses.
        let of = ReadFrom { topic: "words".into(), partition: 3, next: Some(-7) };
        carried.one(Order { client: client(), what: What::Read, of, tries: 0 });
        for _ in 0..MOST_TRIES {
            assert!(heard.try_recv().is_err());
            let order = carried.again.pop().unwrap();
            carried.one(order);
        }
        let Ok(Change::Failed(error)) = heard.try_recv() else { panic!("it is given up in silence") };
        assert!(error.to_string().starts_with("topic \"words\", partition 3 cannot be read: it cannot be"));
        assert_eq!((carried.again.len(), counts.assignments_failed()), (0, u64::from(MOST_TRIES) + 1));
    }
}
