//! Looking for new partitions while a source runs.
//!
//! # How a partition comes to its reader
//!
//! 1. One thread a source, on the I/O cores, asks the brokers in every period. Where nobody answers it asks again in
//!    the next.
//! 2. A partition that is new is numbered behind those known, and belongs to the subtask to which its number would have
//!    sent it at the start. It is read from its oldest record, as everything in it was written after the start.
//! 3. The committer hears of it, then the reader, whose slot is woken and orders that it is assigned to the consumer
//!    ([`orders`](super::orders)). So no message of it can be in a batch before the reader has been told, and one that
//!    cannot be assigned is tried again.
//! 4. The thread ends when all readers are gone. Until then it holds their clients.

use std::convert::Infallible;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use rdkafka::consumer::Consumer;
use slotflow_runtime::{IoCores, Result, Waker};

use super::assigned::Assigned;
use super::beginning::Partition;
use super::current::Current;
use super::reader::Change;
use super::subscription::{Subscription, TopicPartition, new_among};

/// What is looked for, and what is known.
pub(super) struct Discovery {
    pub subscription: Subscription,
    pub period: Duration,
    /// How long one answer may take.
    pub timeout: Duration,
    /// What is read already.
    pub known: Vec<TopicPartition>,
}

/// The subtasks of a source, as far as they have been opened.
pub(super) struct Members {
    all: Vec<Member>,
    /// Each reader has one, and nobody else once the search has begun.
    wanted: Sender<Infallible>,
    unwanted: Receiver<Infallible>,
}

impl Default for Members {
    fn default() -> Members {
        let (wanted, unwanted) = mpsc::channel();
        Members { all: Vec::new(), wanted, unwanted }
    }
}

impl Members {
    /// One more subtask; what is given lives as long as it wants partitions.
    pub fn add(
        &mut self,
        client: Current,
        assigned: Assigned,
        changes: Sender<Change>,
        waker: Waker,
    ) -> Sender<Infallible> {
        self.all.push(Member { client, assigned, changes, waker });
        self.wanted.clone()
    }

    pub fn count(&self) -> usize {
        self.all.len()
    }
}

/// One subtask of the source, as seen from here.
struct Member {
    client: Current,
    assigned: Assigned,
    changes: Sender<Change>,
    waker: Waker,
}

impl Member {
    /// Gives it a partition; in vain where its reader is gone.
    fn give(&self, of: TopicPartition) {
        self.assigned.add(of.clone(), None);
        if self.changes.send(Change::Come(Partition::whole(&of))).is_ok() {
            self.waker.wake();
        }
    }
}

impl Discovery {
    /// Starts the thread, once all subtasks are there.
    pub fn start(self, members: Members, io: &IoCores) -> Result<()> {
        let Members { all, unwanted, .. } = members;
        io.spawn("slotflow-discovery", move || self.run(&all, &unwanted)).map(drop)
    }

    fn run(mut self, members: &[Member], unwanted: &Receiver<Infallible>) {
        while unwanted.recv_timeout(self.period) == Err(RecvTimeoutError::Timeout) {
            let client = members[0].client.client();
            let found = self.subscription.find_now(client.client(), self.timeout);
            let Some(topics) = found else { continue };
            for partition in new_among(&topics, &self.known) {
                self.known.push(partition.clone());
                let member = &members[partition.partition as usize % members.len()];
                tracing::info!("{}-{} is new and read from here on", partition.topic, partition.partition);
                member.give(partition);
            }
        }
    }
}
