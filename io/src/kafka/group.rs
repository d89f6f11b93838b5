//! Reading as a member of a consumer group: Kafka spreads the partitions over all members, in whatever process.
//!
//! # How a partition comes
//!
//! 1. Each source subtask is a member, with a thread on the I/O cores that polls its consumer's own queue. So a job
//!    that is held up stays a member: messages do not come through that queue.
//! 2. The group gives a partition. The thread looks up where it begins, for as long as that takes while brokers are
//!    away, forwards its messages into the reader's queue, tells the committer and the reader, and assigns it. One that
//!    was not there when the job began is new, and read from its oldest record where the group has no offset of it.
//!
//! # How a partition goes
//!
//! 3. The group takes a partition back. The thread tells the reader, which passes on no more of it and answers where it
//!    has come.
//! 4. The next barrier carries that offset; there is one at once, as the committer says that somebody waits for it.
//!    When everything before it has arrived, the committer stores it; until then, or for [`LET_GO_TIMEOUT`], the thread
//!    does not let go, and the group waits for it.
//! 5. It is removed from the committer's partitions and unassigned. An offset of it that is committed later is left
//!    out; when the partition comes back, so is one in front of where it came back.
//!
//! # How it ends
//!
//! 6. The reader is gone, and with it this thread. The last offsets are stored by the member as it is, and then it
//!    leaves ([`departures`](super::departures)), in the classic protocol behind the round in which it may be.
//! 7. What the group refuses for good fails the job. So does a topic that is gone while the member has partitions of
//!    it; in the classic protocol alone, as librdkafka looks for topics that are gone in no other.
//!
//! A member that was evicted lets go at once, also if that happens while it drains, which the answer to a commit tells:
//! its partitions have another reader already, which begins at the last offsets that were stored. What lies between is
//! read twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr as Native;
use slotflow_runtime::{Error, IoCores, Offsets, Result, Waker};

use super::assigned::Assigned;
use super::beginning::{Beginning, Partition, assignment};
use super::failure;
use super::log::ClientLog;
use super::lookup::{Answer, LEADERS_TIMEOUT, ask};
use super::queue::Queue;
use super::reader::Change;
use super::source::Client;
use super::start::Start;
use super::subscription::TopicPartition;

/// How long a partition may take to be drained when the group takes it back (a guess: what a container has to stop in;
/// the group gives a member `max.poll.interval.ms`, by default five minutes).
const LET_GO_TIMEOUT: Duration = Duration::from_secs(25);

/// How often the thread looks whether its reader is gone, and one that lets go whether it still need wait.
const POLL: Duration = Duration::from_millis(100);

/// How long a topic may be unknown before that counts (a guess: a broker that begins learns of all topics in less).
const GONE_AFTER: Duration = Duration::from_secs(5);

/// What a consumer does when its group gives it partitions or takes some; called by the member's thread, and by the one
/// that closes the client.
pub(super) struct Member {
    pub group: String,
    pub start: Start,
    pub timeout: Duration,
    pub assigned: Assigned,
    pub changes: Sender<Change>,
    pub waker: Waker,
    /// Where messages go; gone with the reader.
    pub queue: Weak<Queue>,
    /// The partitions that there were when the job began.
    pub at_start: Vec<TopicPartition>,
    /// Each partition that ever came keeps its number.
    pub known: Mutex<Vec<TopicPartition>>,
    /// Whether a member spreads the partitions, and not the brokers.
    pub is_classic: bool,
}

/// Starts the thread that keeps the membership, until the reader is gone.
pub(super) fn keep_membership(client: Arc<Client>, queue: Weak<Queue>, io: &IoCores) -> Result<()> {
    let poll = move || {
        while queue.strong_count() > 0 {
            if let (Some(Err(error)), Some(member)) = (client.poll(POLL), client.context().member()) {
                member.hear(&client, &error);
            }
        }
    };
    io.spawn("slotflow-group", poll).map(drop)
}

impl Member {
    /// What librdkafka cannot mend by trying again fails the job.
    fn hear(&self, consumer: &BaseConsumer<ClientLog>, error: &KafkaError) {
        let told = || consumer.context().last().map_or_else(|| error.to_string(), |(_, reason)| reason);
        let fatal = consumer.client().fatal_error();
        let lasts = |code: &RDKafkaErrorCode| is_lasting(*code) || self.is_of_gone_topic(consumer, *code);
        let lasting = error.rdkafka_error_code().filter(lasts).map(|code| (code, told()));
        match fatal.or(lasting) {
            Some((code, reason)) => {
                self.tell(Change::Failed(failure::membership_failed(&self.group, code, &reason)));
            }
            None => tracing::warn!("a member of Kafka group \"{}\": {error}", self.group),
        }
    }

    /// Whether a topic of which this member has partitions is not there any more: a broker that has just begun may not
    /// know of it yet, and librdkafka says so once. Only one that is found is back; who does not answer has said
    /// nothing.
    fn is_of_gone_topic(&self, consumer: &BaseConsumer<ClientLog>, code: RDKafkaErrorCode) -> bool {
        if code != RDKafkaErrorCode::UnknownTopicOrPartition {
            return false;
        }
        let until = Instant::now() + GONE_AFTER;
        let waits = || self.is_read() && Instant::now() < until;
        let ask = |topic: &str| {
            if waits() { ask(consumer.client(), topic, LEADERS_TIMEOUT) } else { Answer::Nothing }
        };
        is_gone(self.assigned.topics(), ask, waits)
    }

    /// The group gives or takes partitions.
    pub fn rebalance(&self, consumer: &BaseConsumer<ClientLog>, what: Native, list: &TopicPartitionList) {
        let partitions = self.numbered(list);
        self.assigned.begin_round();
        if what == Native::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.take(consumer, &partitions);
        } else {
            self.let_go(consumer, &partitions);
            told(unassign(consumer, list));
        }
    }

    fn numbered(&self, list: &TopicPartitionList) -> Vec<TopicPartition> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut numbered = Vec::new();
        for it in list.elements() {
            let (topic, partition) = (it.topic(), it.partition() as u32);
            let split = known.iter().position(|known| known.is(topic, partition));
            let split = split.unwrap_or_else(|| {
                let split = known.len();
                known.push(TopicPartition { split: split as u32, topic: topic.into(), partition });
                split
            });
            numbered.push(known[split].clone());
        }
        numbered
    }

    /// Takes partitions that the group gives. Where that fails, or for nobody, it takes nothing: librdkafka waits to
    /// hear of it, and would not let the consumer be closed.
    fn take(&self, consumer: &BaseConsumer<ClientLog>, partitions: &[TopicPartition]) {
        let partitions = if self.is_read() { partitions } else { &[] };
        let taken = self.ready(consumer, partitions).and_then(|list| assign(consumer, &list));
        if let Err(error) = taken {
            self.tell(Change::Failed(error));
            drop(assign(consumer, &TopicPartitionList::new()));
        }
    }

    /// Makes everything ready for the messages of these partitions, which are to be assigned as is said.
    fn ready(
        &self,
        consumer: &BaseConsumer<ClientLog>,
        partitions: &[TopicPartition],
    ) -> Result<TopicPartitionList> {
        let was_there = |it: &TopicPartition| self.at_start.iter().any(|old| old.is(&it.topic, it.partition));
        let (old, new): (Vec<_>, Vec<_>) = partitions.iter().cloned().partition(was_there);
        let mut found = self.found(consumer, &self.start, &old)?;
        found.extend(self.found(consumer, &Start::GroupOrEarliest, &new)?);
        let list = assignment(&found)?;
        found.into_iter().try_for_each(|partition| self.expect(consumer, partition))?;
        Ok(list)
    }

    /// Where these begin: brokers may be away for as long as somebody waits.
    fn found(
        &self,
        consumer: &BaseConsumer<ClientLog>,
        start: &Start,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Partition>> {
        let (group, timeout) = (Some(&*self.group), self.timeout);
        let goes_on = &|| self.is_read();
        let beginning = Beginning { consumer, group, start, stop: None, timeout, goes_on };
        let mut found = beginning.find(partitions)?;
        // Those of a member that was evicted have another reader.
        let is_member = beginning.keep(&mut found)?;
        Ok(if is_member { found } else { Vec::new() })
    }

    /// Makes everything ready for the messages of a partition.
    fn expect(&self, consumer: &BaseConsumer<ClientLog>, partition: Partition) -> Result<()> {
        let TopicPartition { topic, partition: number, .. } = &partition.of;
        tracing::info!("{topic}-{number} comes to this member of group \"{}\"", self.group);
        let forwarded = self
            .queue
            .upgrade()
            .and_then(|queue| queue.forward(consumer.client().native_ptr(), topic, *number as i32));
        forwarded.ok_or_else(|| Error::bug(format!("{topic}-{number} has no queue")))?;
        // What is news to the group has to be stored, also if nothing comes.
        let stored = if partition.is_news { -1 } else { partition.next.unwrap_or(0) };
        self.assigned.add(partition.of.clone(), Some(stored));
        self.tell(Change::Come(partition));
        Ok(())
    }

    /// Lets partitions go that the group takes back, drained if there is time.
    fn let_go(&self, consumer: &BaseConsumer<ClientLog>, partitions: &[TopicPartition]) {
        let until = Instant::now() + LET_GO_TIMEOUT;
        let goes_on = || !consumer.assignment_lost() && !self.assigned.is_evicted() && Instant::now() < until;
        let stored = self.left_at(partitions, goes_on).is_some_and(|at| self.is_stored(&at, goes_on));
        if !stored {
            tracing::warn!(
                group = self.group,
                "partitions leave before all of them has arrived: their new reader reads some again. They have {} s; \
                 see what holds the job up, or a sink that keeps records for longer (a file sink's .roll_after(..))",
                LET_GO_TIMEOUT.as_secs()
            );
        }
        partitions.iter().for_each(|partition| self.assigned.remove(partition.split));
    }

    /// Where the reader has come in these partitions, which it passes on no more of; `None` where it does not say so.
    fn left_at(&self, partitions: &[TopicPartition], goes_on: impl Fn() -> bool) -> Option<Offsets> {
        let (answer, answers) = mpsc::channel();
        for TopicPartition { split, topic, partition } in partitions {
            tracing::info!("{topic}-{partition} leaves this member of group \"{}\"", self.group);
            self.tell(Change::Go(*split, answer.clone()));
        }
        drop(answer);
        let mut left_at = Offsets::new();
        loop {
            match answers.recv_timeout(POLL) {
                Ok((split, offset)) => left_at.extend(offset.map(|offset| (split, offset))),
                Err(RecvTimeoutError::Timeout) if goes_on() => {}
                Err(RecvTimeoutError::Timeout) => return None,
                // All are answered, or nobody is there who would pass anything on.
                Err(RecvTimeoutError::Disconnected) => return Some(left_at),
            }
        }
    }

    /// Waits until these offsets are stored.
    fn is_stored(&self, left_at: &Offsets, goes_on: impl Fn() -> bool) -> bool {
        let mut stored = self.assigned.wait_stored(left_at, Instant::now());
        while !stored && goes_on() {
            stored = self.assigned.wait_stored(left_at, Instant::now() + POLL);
        }
        stored
    }

    /// Whether the reader is there.
    fn is_read(&self) -> bool {
        self.queue.strong_count() > 0
    }

    /// In vain where the reader is gone.
    fn tell(&self, change: Change) {
        if self.changes.send(change).is_ok() {
            self.waker.wake();
        }
    }
}

/// Whether any of these topics was unknown when its brokers said something last, after asking for a while.
fn is_gone(topics: BTreeSet<Arc<str>>, ask: impl Fn(&str) -> Answer<u32>, waits: impl Fn() -> bool) -> bool {
    let mut missing: BTreeMap<Arc<str>, bool> = topics.into_iter().map(|topic| (topic, false)).collect();
    while !missing.is_empty() && waits() {
        std::thread::sleep(POLL);
        missing.retain(|topic, is_unknown| {
            let answer = ask(topic);
            *is_unknown |= matches!(answer, Answer::Unknown);
            !matches!(answer, Answer::Found(_))
        });
    }
    missing.into_values().any(|is_unknown| is_unknown)
}

/// Whether a group, or brokers that are asked for it, will say so again: the others are tried again by librdkafka.
fn is_lasting(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::GroupAuthorizationFailed
            | Code::TopicAuthorizationFailed
            | Code::InconsistentGroupProtocol
            | Code::UnknownProtocol
            | Code::InvalidGroupId
            | Code::InvalidSessionTimeout
    )
}

fn assign(consumer: &BaseConsumer<ClientLog>, list: &TopicPartitionList) -> Result<()> {
    let assigned = match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_assign(list),
        _ => consumer.assign(list),
    };
    assigned.map_err(|error| Error::bug(format!("partitions of a group are not assigned: {error}")))
}

fn unassign(consumer: &BaseConsumer<ClientLog>, list: &TopicPartitionList) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_unassign(&held(consumer, list)?),
        _ => consumer.unassign(),
    }
}

/// Those of these partitions that were taken: of others librdkafka refuses to hear, and then waits for ever.
fn held(consumer: &BaseConsumer<ClientLog>, list: &TopicPartitionList) -> KafkaResult<TopicPartitionList> {
    let (taken, mut held) = (consumer.assignment()?, TopicPartitionList::new());
    for it in list.elements().iter().filter(|it| taken.find_partition(it.topic(), it.partition()).is_some()) {
        held.add_partition(it.topic(), it.partition());
    }
    Ok(held)
}

fn told(outcome: KafkaResult<()>) {
    if let Err(error) = outcome {
        tracing::warn!("partitions that leave a member of a Kafka group: {error}");
    }
}

#[cfg(test)]
impl Member {
    /// A member of group "g" without a queue, whose reader has what is given besides.
    pub(super) fn of_a_test() -> (Member, mpsc::Receiver<Change>) {
        let (changes, heard) = mpsc::channel();
        let member = Member {
            group: "g".into(),
            start: Start::default(),
            timeout: Duration::from_secs(1),
            assigned: Assigned::default(),
            changes,
            waker: Waker::default(),
            queue: Weak::new(),
            at_start: Vec::new(),
            known: Mutex::default(),
            is_classic: true,
        };
        (member, heard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_does_not_say_where_it_stands_is_not_one_that_has_nothing() {
        let (member, heard) = Member::of_a_test();
        let began = Instant::now();
        let partitions =
            [0, 1].map(|split| TopicPartition { split, topic: "words".into(), partition: split });
        assert_eq!(member.left_at(&partitions, || false), None, "it has not answered");
        let answering = std::thread::spawn(move || {
            // The first two have waited for too long.
            for change in heard.iter().skip(2).take(2) {
                let Change::Go(split, answer) = change else { panic!("it goes") };
                answer.send((split, Some(7))).unwrap();
            }
        });
        let patient = || began.elapsed() < Duration::from_secs(60);
        assert_eq!(member.left_at(&partitions, patient), Some(vec![(0, 7), (1, 7)]));
        answering.join().unwrap();
        assert_eq!(member.left_at(&partitions, patient), Some(vec![]), "nobody is there to read on");
    }

    #[test]
    fn a_topic_is_gone_that_was_unknown_and_not_found_since_whoever_is_silent() {
        type Said = fn() -> Answer<u32>;
        let gone = |answers: &[Said]| {
            let asked = std::cell::Cell::new(0);
            let ask = |_: &str| answers[asked.replace(asked.get() + 1)]();
            is_gone(["words".into()].into(), ask, || asked.get() < answers.len())
        };
        let (unknown, silent): (Said, Said) = (|| Answer::Unknown, || Answer::Nothing);
        assert!(gone(&[unknown, silent, unknown]), "silence is no answer");
        assert!(!gone(&[unknown, silent, || Answer::Found(4)]), "it is back");
        assert!(!gone(&[silent, silent]), "the brokers are away");
        assert!(!is_gone(BTreeSet::new(), |_| Answer::Unknown, || true), "it has none");
    }
}
