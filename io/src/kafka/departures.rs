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

use super::source::Client;

/// How long all of them may take (derived: librdkafka waits 5 s for the answer, and closes in 0.1 s).
const LEAVE_TIMEOUT: Duration = Duration::from_secs(6);

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
        // By being closed librdkafka makes only those leave that have partitions.
        members.iter().for_each(|member| member.unsubscribe());
        let gone: Vec<_> = members.into_iter().map(|member| closed(member, until)).collect();
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

/// Closes the client of a member when it has no subscription any more, which waits for the end of a round; it is gone
/// with the other end of what is given.
fn closed(member: Arc<Client>, until: Instant) -> Receiver<Infallible> {
    let is_subscribed = || member.subscription().is_ok_and(|topics| topics.count() > 0);
    while is_subscribed() && Instant::now() < until {
        drop(member.poll(PAUSE));
    }
    member.context().until_gone()
}

fn is_late(gone: &Receiver<Infallible>, until: Instant) -> bool {
    let left = until.saturating_duration_since(Instant::now());
    gone.recv_timeout(left) == Err(RecvTimeoutError::Timeout)
}
