//! Asking the brokers for a topic before the start, in bounded time.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::client::Client;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::metadata::MetadataTopic;
use rdkafka::types::RDKafkaRespErr;
use slotflow_runtime::{Error, Result};

use super::failure::{self, Purpose};
use super::log::ClientLog;
use super::security::mechanism;
use super::settings::Settings;

/// The first wait for an answer; each further one is twice as long, up to the connect timeout.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The pause between two questions.
const PAUSE: Duration = Duration::from_millis(50);

/// How often a client is polled after an answer: each time serves one event, and a client on its way to
/// its first answer has few.
const EVENTS: usize = 100;

/// How long a topic may be unknown before that counts: one that was just made is not known to every
/// broker at once (a guess: they learn of it within some milliseconds).
const UNKNOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a client asks for leaders before it goes on: librdkafka's own time between two looks for those it lacks.
pub(super) const LEADERS_TIMEOUT: Duration = Duration::from_secs(1);

/// What the brokers say about topics.
pub(super) enum Answer<X> {
    Found(X),
    Unknown,
    Refused,
    /// It will have a leader soon.
    NotYet(RDKafkaErrorCode),
    Failed(RDKafkaErrorCode),
    /// Nobody has answered yet.
    Nothing,
}

impl<X> Answer<X> {
    pub fn found(self) -> Option<X> {
        match self {
            Answer::Found(found) => Some(found),
            _ => None,
        }
    }
}

/// A client on its way to its first answer.
pub(super) struct Lookup<'a> {
    pub settings: &'a Settings,
    pub purpose: Purpose,
    pub log: &'a ClientLog,
}

impl Lookup<'_> {
    /// How many partitions the topic has. `serve` polls the client, so that it tells its errors.
    ///
    /// # Errors
    /// Nobody answers within the connect timeout, the credentials are refused, the topic does not
    /// exist or must not be used.
    pub fn partitions(
        &self,
        topic: &str,
        client: &Client<impl rdkafka::ClientContext>,
        serve: impl Fn(),
    ) -> Result<u32> {
        self.until_answered(topic, serve, |wait| ask(client, topic, wait))
    }

    /// The topics whose names are wanted, and how many partitions each has, in the order of the names.
    ///
    /// # Errors
    /// As of [`partitions`](Lookup::partitions), of the first topic with one.
    pub fn topics(
        &self,
        client: &Client<impl rdkafka::ClientContext>,
        serve: impl Fn(),
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Vec<(Arc<str>, u32)>> {
        self.until_answered("*", serve, |wait| ask_all(client, &wanted, wait))
    }

    fn until_answered<X>(
        &self,
        topic: &str,
        serve: impl Fn(),
        ask: impl Fn(Duration) -> Answer<X>,
    ) -> Result<X> {
        let Settings { brokers, connect_timeout, .. } = self.settings;
        let began = Instant::now();
        let mut wait = FIRST_WAIT;
        loop {
            let left = connect_timeout.saturating_sub(began.elapsed());
            let answer = ask(wait.min(left));
            (0..EVENTS).for_each(|_| serve());
            match answer {
                Answer::Found(found) => return Ok(found),
                Answer::Refused => return Err(failure::topic_refused(topic, self.purpose)),
                Answer::Failed(code) => return Err(failure::topic_failed(topic, self.purpose, code)),
                Answer::Unknown if began.elapsed() >= UNKNOWN_TIMEOUT.min(*connect_timeout) => {
                    return Err(failure::unknown_topic(brokers, topic));
                }
                Answer::NotYet(code) if began.elapsed() >= *connect_timeout => {
                    return Err(failure::topic_failed(topic, self.purpose, code));
                }
                Answer::Nothing => self.give_up(began.elapsed() >= *connect_timeout)?,
                Answer::Unknown | Answer::NotYet(_) => {}
            }
            wait *= 2;
            thread::sleep(PAUSE);
        }
    }

    /// Nobody has answered: refused credentials will not become better, a silent broker may.
    fn give_up(&self, late: bool) -> Result<()> {
        let brokers = &self.settings.brokers;
        match self.log.last() {
            Some((code, reason)) if is_authentication(code) => {
                Err(failure::not_authenticated(brokers, mechanism(self.settings), &reason))
            }
            Some((RDKafkaErrorCode::SSL, reason)) if late => Err(failure::not_encrypted(brokers, &reason)),
            last if late => Err(self.unreachable(last.map(|(_, reason)| reason))),
            _ => Ok(()),
        }
    }

    fn unreachable(&self, reason: Option<String>) -> Error {
        failure::unreachable(&self.settings.brokers, self.settings.connect_timeout, reason)
    }
}

pub(super) fn ask(client: &Client<impl rdkafka::ClientContext>, topic: &str, wait: Duration) -> Answer<u32> {
    match client.fetch_metadata(Some(topic), wait) {
        Err(_) => Answer::Nothing,
        Ok(metadata) => metadata.topics().first().map_or(Answer::Unknown, answer_of),
    }
}

pub(super) fn ask_all(
    client: &Client<impl rdkafka::ClientContext>,
    wanted: impl Fn(&str) -> bool,
    wait: Duration,
) -> Answer<Vec<(Arc<str>, u32)>> {
    let Ok(metadata) = client.fetch_metadata(None, wait) else { return Answer::Nothing };
    let mut found = Vec::new();
    for topic in metadata.topics().iter().filter(|topic| wanted(topic.name())) {
        match answer_of(topic) {
            Answer::Found(count) => found.push((topic.name().into(), count)),
            Answer::Unknown => {}
            Answer::Refused => return Answer::Refused,
            Answer::NotYet(code) => return Answer::NotYet(code),
            Answer::Failed(code) => return Answer::Failed(code),
            Answer::Nothing => return Answer::Nothing,
        }
    }
    found.sort_unstable();
    Answer::Found(found)
}

/// What the brokers say of one topic.
fn answer_of(topic: &MetadataTopic) -> Answer<u32> {
    match topic.error().map(RDKafkaErrorCode::from) {
        None if topic.partitions().is_empty() => Answer::NotYet(RDKafkaErrorCode::LeaderNotAvailable),
        None => Answer::Found(topic.partitions().len() as u32),
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => Answer::Unknown,
        Some(RDKafkaErrorCode::TopicAuthorizationFailed) => Answer::Refused,
        Some(code @ RDKafkaErrorCode::LeaderNotAvailable) => Answer::NotYet(code),
        Some(code) => Answer::Failed(code),
    }
}

fn is_authentication(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::Authentication
            | RDKafkaErrorCode::SaslAuthenticationFailed
            | RDKafkaErrorCode::UnsupportedSASLMechanism
    )
}

/// Whether a code means that brokers are away or busy for now, and asking again may help.
pub(super) fn is_passing(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::TimedOutQueue
            | Code::RequestTimedOut
            | Code::NetworkException
            | Code::WaitingForCoordinator
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
    )
}

/// The code of a native answer.
pub(super) fn code_of(error: RDKafkaRespErr) -> Option<RDKafkaErrorCode> {
    (error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| error.into())
}
