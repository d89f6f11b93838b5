//! Looking for new partitions while a source runs.
//!
//! # How a partition comes to its reader
//!
//! 1. One thread a source, on the I/O cores, asks the brokers in every period. Where nobody answers it asks again in
//!    the next.
//! 2. A partition that is new is numbered behind those known, and belongs to the subtask to which its number would have
//!    sent it at the start. It is read from its oldest record, as everything in it was written after the start.
//! 3. The committer hears of it, then the reader, whose slot is woken; then it is assigned to the consumer. So no
//!    message of it can be in a batch before the reader has been told, and the reader looks behind each batch.
//! 4. The thread ends when all readers are gone. Until then it holds their clients.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use rdkafka::consumer::Consumer;
use slotflow_runtime::{Error, IoCores, Result, Waker};

use super::assigned::Assigned;
use super::beginning::{Partition, assignment};
use super::reader::{Arrivals, Change};
use super::source::Client;
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
    /// One more subtask, and what its reader needs.
    pub fn add(&mut self, client: Arc<Client>, assigned: Assigned, waker: Waker) -> Arrivals {
        let (sender, changes) = mpsc::channel();
        self.all.push(Member { client, assigned, changes: sender, waker });
        Arrivals { changes, _wanted: Some(self.wanted.clone()), _waker: None }
    }

    pub fn count(&self) -> usize {
        self.all.len()
    }
}

/// One subtask of the source, as seen from here.
struct Member {
    client: Arc<Client>,
    assigned: Assigned,
    changes: Sender<Change>,
    waker: Waker,
}

impl Member {
    /// Gives it a partition; in vain where its reader is gone.
    fn give(&self, of: TopicPartition) -> Result<()> {
        let partition = Partition { of, next: None, end: None };
        self.assigned.add(partition.of.clone(), None);
        let list = assignment(std::slice::from_ref(&partition))?;
        if self.changes.send(Change::Come(partition)).is_ok() {
            self.waker.wake();
            let assigned = self.client.incremental_assign(&list);
            assigned.map_err(|error| Error::bug(format!("not assigned: {error}")))?;
        }
        Ok(())
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
            let Some(topics) = self.subscription.find_now(client, self.timeout) else { continue };
            for partition in new_among(&topics, &self.known) {
                self.known.push(partition.clone());
                let member = &members[partition.partition as usize % members.len()];
                tracing::info!("{}-{} is new and read from here on", partition.topic, partition.partition);
                if let Err(error) = member.give(partition) {
                    tracing::error!("a new partition is not read before the next start: {error}");
                }
            }
        }
    }
}
