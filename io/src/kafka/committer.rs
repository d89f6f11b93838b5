//! The committer of a Kafka source: the group's offsets, one commit at a time.
//!
//! # How a commit goes
//!
//! 1. The job's own thread hands over offsets. They replace those that could not be stored yet.
//! 2. If no commit is under way they are sent. A second one is never sent before the first is
//!    answered, so an old commit cannot land on a new one.
//! 3. The answer is waited for, but not long: a coordinator that moves or is away must not keep the
//!    job's thread, which looks after draining too. A commit that is not answered stays under way.
//!    That of a consumer that stood still and was renewed is given up instead: should it come through after the next
//!    one, the group is a little behind until the one after that, and a restart between the two reads some again.
//! 4. An answer that says "not now" keeps its offsets, unless newer ones have come. Any other refusal
//!    fails the job.
//! 5. Offsets that are stored already are not sent again while nothing comes in, but for one time in
//!    [`REFRESH`]: brokers forget the offsets of a group that has not committed for too long.
//! 6. At the end of the job there is more time, and then the last offsets are stored or it is an error. A member leaves
//!    its group behind that ([`departures`](super::departures)).

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use slotflow_runtime::{Committer, Error, Offsets, Result};

use super::assigned::Assigned;
use super::commit::{Commit, Refusal};
use super::current::Current;
use super::departures::Departures;
use super::failure;
use super::lookup::is_passing;

/// How long the job's thread waits for one answer (a guess: a hundred times what it takes).
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);

/// The pause after "not now".
const PAUSE: Duration = Duration::from_millis(100);

/// Offsets that stay the same are stored anew after this: half of the shortest time for which brokers can
/// be told to keep them (`offsets.retention.minutes`, by default a week).
const REFRESH: Duration = Duration::from_secs(30);

/// A group that spreads partitions is asked again after this, whatever it says (a guess: a round takes less unless
/// members have to drain).
const ROUND_TIMEOUT: Duration = Duration::from_secs(1);

/// What a committer's consumer is to the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Membership {
    /// It only keeps offsets there.
    Stranger,
    /// The group gives it partitions.
    Member,
}

/// A commit that was sent.
struct UnderWay {
    commit: Commit,
    offsets: Offsets,
    /// In which round of the group.
    round: u64,
}

/// Stores offsets under a group.
pub(super) struct KafkaCommitter {
    pub client: Current,
    pub group: String,
    membership: Membership,
    /// The partitions; more may come.
    pub partitions: Assigned,
    /// How long the end of the job may wait.
    pub finish_timeout: Duration,
    under_way: Option<UnderWay>,
    /// The newest offsets that are not under way.
    unsaved: Option<Offsets>,
    /// The last offsets that the brokers have, and since when.
    stored: Option<(Offsets, Instant)>,
    /// The group's answer while it spreads partitions, in which round of it, and when.
    held: Option<(RDKafkaErrorCode, u64, Instant)>,
    /// The members that leave with this one. Dropped behind everything that has the client, as it waits for its end.
    departures: Option<Arc<Departures>>,
}

impl KafkaCommitter {
    pub fn new(
        client: Current,
        group: &str,
        membership: Membership,
        partitions: Assigned,
        finish_timeout: Duration,
    ) -> Self {
        let (group, under_way, unsaved, stored, held) = (group.into(), None, None, None, None);
        KafkaCommitter {
            client,
            group,
            membership,
            partitions,
            finish_timeout,
            under_way,
            unsaved,
            stored,
            held,
            departures: None,
        }
    }

    /// Leaves the group at the end of the job, with these.
    pub fn leaving_with(self, departures: Arc<Departures>) -> Self {
        KafkaCommitter { departures: Some(departures), ..self }
    }

    /// Goes on until everything is stored, the time is over or the coordinator says "not now".
    fn go_on(&mut self, until: Instant) -> Result<Option<RDKafkaErrorCode>> {
        if let Some(code) = self.must_wait() {
            return Ok(Some(code));
        }
        loop {
            if let Some(offsets) = self.unsaved.take_if(|_| self.under_way.is_none()) {
                let list = self.list(&offsets)?;
                if list.count() == 0 {
                    return Ok(None);
                }
                let round = self.partitions.round();
                let sent = Commit::send(&self.client.client(), &list);
                let commit = sent.map_err(|code| self.failed((None, code)))?;
                self.under_way = Some(UnderWay { commit, offsets, round });
            }
            let Some(sent) = self.under_way.take() else { return Ok(None) };
            match sent.commit.answer(until.saturating_duration_since(Instant::now())) {
                None if !sent.commit.is_by(&self.client.client()) => {
                    self.unsaved.get_or_insert(sent.offsets);
                }
                None => {
                    self.under_way = Some(sent);
                    return Ok(Some(RDKafkaErrorCode::OperationTimedOut));
                }
                Some(Ok(())) => {
                    self.partitions.note_stored(&sent.offsets);
                    self.stored = Some((sent.offsets, Instant::now()));
                }
                Some(Err((_, code))) if self.may_pass(code) => {
                    self.hold(code, sent);
                    return Ok(Some(code));
                }
                Some(Err(refusal)) => return Err(self.failed(refusal)),
            }
        }
    }

    /// Goes on until everything is stored.
    fn store(&mut self) -> Result<()> {
        let until = Instant::now() + self.finish_timeout;
        while let Some(code) = self.go_on(until)? {
            if Instant::now() >= until {
                return Err(failure::group_failed(&self.group, &self.partitions.topic(), "committed", code));
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Keeps the offsets of a commit that was refused for now.
    fn hold(&mut self, code: RDKafkaErrorCode, sent: UnderWay) {
        if is_evicted(code) {
            self.partitions.note_evicted(sent.round);
        }
        self.held = is_of_membership(code).then(|| (code, self.partitions.round(), Instant::now()));
        self.unsaved.get_or_insert(sent.offsets);
    }

    /// Whether the group still spreads partitions, as far as is known here: to ask again and again meanwhile makes it
    /// evict the member.
    fn must_wait(&self) -> Option<RDKafkaErrorCode> {
        let (code, round, since) = self.held?;
        (round == self.partitions.round() && since.elapsed() < ROUND_TIMEOUT).then_some(code)
    }

    /// Whether a refusal may be over the next time. A group that spreads partitions refuses while it does so.
    fn may_pass(&self, code: RDKafkaErrorCode) -> bool {
        is_passing(code) || self.membership == Membership::Member && is_of_membership(code)
    }

    /// Whether these offsets are on their way to the brokers, or there since not too long ago.
    fn knows(&self, offsets: &Offsets) -> bool {
        match (&self.unsaved, &self.under_way, &self.stored) {
            (Some(newest), _, _) | (None, Some(UnderWay { offsets: newest, .. }), _) => newest == offsets,
            (None, None, Some((newest, since))) => newest == offsets && since.elapsed() < REFRESH,
            (None, None, None) => false,
        }
    }

    fn list(&self, offsets: &Offsets) -> Result<TopicPartitionList> {
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        for (split, offset) in offsets {
            // What was let go meanwhile belongs to somebody else.
            let Some(of) = self.partitions.to_store(*split, *offset) else { continue };
            let added = list.add_partition_offset(&of.topic, of.partition as i32, Offset::Offset(*offset));
            added.map_err(|error| Error::bug(format!("offset {offset} is not one: {error}")))?;
        }
        Ok(list)
    }

    fn failed(&self, (partition, code): Refusal) -> Error {
        use RDKafkaErrorCode as Code;
        match code {
            Code::GroupAuthorizationFailed => failure::group_refused(&self.group),
            code if is_of_membership(code) => {
                failure::group_in_use(&self.group, &self.partitions.topic(), partition)
            }
            _ => failure::group_failed(&self.group, &self.partitions.topic(), "committed", code),
        }
    }
}

/// What a group says to somebody whom it does not know as a member.
pub(super) fn is_of_membership(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::UnknownMemberId | Code::IllegalGeneration | Code::RebalanceInProgress | Code::StaleMemberEpoch
    )
}

/// What a group says to one that it has gone on without.
pub(super) fn is_evicted(code: RDKafkaErrorCode) -> bool {
    matches!(code, RDKafkaErrorCode::UnknownMemberId | RDKafkaErrorCode::IllegalGeneration)
}

impl Committer for KafkaCommitter {
    fn commit(&mut self, offsets: &Offsets) -> Result<()> {
        if !self.knows(offsets) {
            self.unsaved = Some(offsets.clone());
        }
        if let Some(code) = self.go_on(Instant::now() + ANSWER_TIMEOUT)? {
            let (group, topic) = (&self.group, &*self.partitions.topic());
            tracing::warn!(group, topic, "offsets are not committed yet, which is tried again: {code}");
        }
        Ok(())
    }

    fn is_awaited(&self) -> bool {
        // While the group spreads partitions nothing can be stored, and a barrier would be for nothing.
        self.partitions.is_awaited() && self.must_wait().is_none()
    }

    fn finish(&mut self) -> Result<()> {
        if let Some(departures) = &self.departures {
            departures.add(self.client.client());
        }
        self.store()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::TryRecvError;

    use rdkafka::ClientConfig;
    use rdkafka::consumer::{BaseConsumer, Consumer};
    use rdkafka::types::{RDKafkaApiKey as Api, RDKafkaRespErr as Native};
    use slotflow_runtime::IoCores;

    use super::super::MockKafka;
    use super::super::log::ClientLog;
    use super::super::off_slot::OffSlot;
    use super::super::subscription::TopicPartition;
    use super::*;

    fn member(kafka: &MockKafka, partitions: &Assigned) -> KafkaCommitter {
        let mut config = ClientConfig::new();
        config.set("group.id", "g").set("bootstrap.servers", kafka.bootstrap());
        let client = || {
            let client: BaseConsumer<ClientLog> = config.create_with_context(ClientLog::default()).unwrap();
            Ok((client, ()))
        };
        let (client, ()) = OffSlot::make(&IoCores::default(), "a member", client).unwrap();
        let (current, timeout) = (Current::new(client.into()), Duration::from_secs(60));
        KafkaCommitter::new(current, "g", Membership::Member, partitions.clone(), timeout)
    }

    #[test]
    fn the_end_of_a_job_waits_until_all_its_members_have_left() {
        let kafka = MockKafka::start(&IoCores::default()).unwrap();
        kafka.create_topic("words", 1).unwrap();
        let all = Arc::<Departures>::default();
        let mut members = [0, 1].map(|_| member(&kafka, &Assigned::default()).leaving_with(all.clone()));
        drop(all);
        let gone = members.each_ref().map(|member| member.client.client().context().until_gone());
        members.iter_mut().for_each(|member| member.finish().unwrap());
        drop(members);
        let gone = gone.map(|gone| gone.try_recv().unwrap_err());
        assert_eq!(gone, [TryRecvError::Disconnected; 2], "their clients are not closed");
    }

    #[test]
    fn nothing_is_awaited_while_a_group_spreads_partitions_as_far_as_is_known() {
        let kafka = MockKafka::start(&IoCores::default()).unwrap();
        kafka.create_topic("words", 1).unwrap();
        let partitions = Assigned::default();
        partitions.add(TopicPartition { split: 0, topic: "words".into(), partition: 0 }, Some(1));
        let mut committer = member(&kafka, &partitions);
        let (waits, left_at, until) =
            (partitions.clone(), vec![(0, 5)], Instant::now() + Duration::from_secs(60));
        let waiting = std::thread::spawn(move || waits.wait_stored(&left_at, until));
        while !committer.is_awaited() {
            assert!(Instant::now() < until, "nobody waits");
            std::thread::yield_now();
        }
        committer.held = Some((RDKafkaErrorCode::RebalanceInProgress, partitions.round(), until));
        assert!(!committer.is_awaited(), "a barrier would be for nothing");
        partitions.begin_round();
        assert!(committer.is_awaited(), "the next round may store");
        partitions.note_stored(&vec![(0, 5)]);
        assert!(waiting.join().unwrap());
    }

    #[test]
    fn who_lets_go_hears_of_a_commit_that_a_group_refuses_to_strangers() {
        let kafka = MockKafka::start(&IoCores::default()).unwrap();
        kafka.create_topic("words", 1).unwrap();
        let partitions = Assigned::default();
        partitions.add(TopicPartition { split: 0, topic: "words".into(), partition: 0 }, Some(1));
        let mut committer = member(&kafka, &partitions);
        let refused = [Native::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID];
        kafka.with(move |cluster| cluster.request_errors(Api::OffsetCommit, &refused)).unwrap();
        let (left_at, begins) = (vec![(0, 5)], Instant::now());
        while committer.must_wait().is_none() {
            committer.commit(&left_at).unwrap();
            assert!(begins.elapsed() < committer.finish_timeout, "nobody answers");
        }
        let wait_begins = Instant::now();
        assert!(!partitions.wait_stored(&left_at, wait_begins + committer.finish_timeout));
        assert!(wait_begins.elapsed() < committer.finish_timeout, "it need not wait");
    }
}
