//! The end of a source's members: the job is not over before they have left their group.
//!
//! A member that is only gone keeps its partitions for `session.timeout.ms`, in which nobody reads them; and a process
//! may end as soon as its job is over. So whoever holds the last of a source's committers when the job ends waits until
//! all members have left. None leaves before all have stored their offsets: a group that spreads partitions may refuse
//! commits. A member with a name of its own (`group.instance.id`) does not leave, as Kafka has it.

use std::convert::Infallible;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;

use super::member_id::has_id;
use super::source::Client;

/// How long all of them may take (derived: librdkafka waits 5 s for the answer, and closes in 0.1 s).
const LEAVE_TIMEOUT: Duration = Duration::from_secs(6);

/// How long one that is in a round of its group stays in it, also when nobody waits any more: others may have to drain
/// (a guess: what a member of ours has for that, and some more).
const ROUND_TIMEOUT: Duration = Duration::from_secs(30);

/// Between two looks whether one has left (a guess: what a broker takes to answer).
const PAUSE: Duration = Duration::from_millis(5);

/// The members of one source that leave; whoever drops it last waits until they have.
#[derive(Default)]
pub(super) struct Departures(Mutex<Vec<Arc<Client>>>);

impl Departures {
    /// One leaves when the others do.
    pub fn add(&self, client: Arc<Client>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(client);
    }
}

impl Drop for Departures {
    fn drop(&mut self) {
        let until = Instant::now() + LEAVE_TIMEOUT;
        let members = std::mem::take(self.0.get_mut().unwrap_or_else(PoisonError::into_inner));
        let gone: Vec<_> = members.into_iter().map(begin_leaving).collect();
        let late = gone.iter().filter(|gone| is_late(gone, until)).count();
        if late > 0 {
            tracing::warn!(
                "{late} members of a Kafka group may not have left it within {} s: then their partitions are read \
                 again after `session.timeout.ms`",
                LEAVE_TIMEOUT.as_secs()
            );
        }
    }
}

/// Has a member leave and closes its client; it is gone with the other end of what is given. On a thread of its own, as
/// librdkafka answers when it can, and not by a time.
fn begin_leaving(member: Arc<Client>) -> Receiver<Infallible> {
    let (gone, io) = (member.context().until_gone(), member.io().clone());
    if let Err(error) = io.spawn("slotflow-leave", move || leave(&member, Instant::now() + ROUND_TIMEOUT)) {
        tracing::warn!("a member of a Kafka group is closed without leaving: {error}");
    }
    gone
}

/// Has a member leave. By being closed librdkafka makes only those leave that have partitions; by this it asks to leave
/// when the round is over in which it is, and not at all if it is closed before.
fn leave(member: &Client, until: Instant) {
    member.unsubscribe();
    while is_in(member) && Instant::now() < until {
        drop(member.poll(PAUSE));
    }
}

/// Whether a member has yet to ask to leave. Where the brokers spread partitions it has an id of its own for good, and
/// leaves at once.
fn is_in(member: &Client) -> bool {
    let is_classic = member.context().member().is_none_or(|member| member.is_classic);
    is_classic && has_id(member)
}

fn is_late(gone: &Receiver<Infallible>, until: Instant) -> bool {
    let left = until.saturating_duration_since(Instant::now());
    gone.recv_timeout(left) == Err(RecvTimeoutError::Timeout)
}

#[cfg(test)]
mod tests {
    use rdkafka::ClientConfig;
    use rdkafka::consumer::BaseConsumer;
    use rdkafka::types::{RDKafkaApiKey as Api, RDKafkaRespErr as Native};
    use slotflow_runtime::IoCores;

    use super::super::MockKafka;
    use super::super::group::Member;
    use super::super::log::ClientLog;
    use super::super::off_slot::OffSlot;
    use super::*;

    /// A member without a reader, which takes no partition.
    fn member(kafka: &MockKafka) -> Client {
        let mut config = ClientConfig::new();
        config.set("group.id", "g").set("bootstrap.servers", kafka.bootstrap());
        config.set("heartbeat.interval.ms", "50").set("session.timeout.ms", "5000");
        let client: BaseConsumer<ClientLog> = config.create_with_context(ClientLog::default()).unwrap();
        let joined = client.context().join(Member::of_a_test().0);
        joined.unwrap();
        client.subscribe(&["words"]).unwrap();
        OffSlot::make(&IoCores::default(), "a member", || Ok((client, ()))).unwrap().0
    }

    #[test]
    fn a_member_in_a_round_of_its_group_leaves_behind_it() {
        let kafka = MockKafka::start(&IoCores::default()).unwrap();
        kafka.create_topic("words", 1).unwrap();
        let (member, began) = (member(&kafka), Instant::now());
        let until = began + Duration::from_secs(60);
        while !has_id(&member) {
            assert!(Instant::now() < until, "it does not join");
            drop(member.poll(PAUSE));
        }
        // The broker holds the round open for some seconds, in which the member waits for its part.
        let again = [Native::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS];
        kafka.with(move |cluster| cluster.request_errors(Api::Heartbeat, &again)).unwrap();
        (0..20).for_each(|_| drop(member.poll(Duration::from_millis(50))));
        leave(&member, until);
        assert!(!has_id(&member), "it has not asked to leave");
    }
}
