//! Asking the brokers for a topic before the start, in bounded time.

use std::thread;
use std::time::{Duration, Instant};

use rdkafka::client::Client;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::RDKafkaRespErr;
use slotflow_runtime::{Error, Result};

use super::failure::{self, Purpose};
use super::log::ClientLog;
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

/// What the brokers say about the topic.
enum Answer {
    Partitions(u32),
    Unknown,
    Refused,
    /// It will have a leader soon.
    NotYet(RDKafkaErrorCode),
    Failed(RDKafkaErrorCode),
    /// Nobody has answered yet.
    Nothing,
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
    pub fn partitions(&self, client: &Client<impl rdkafka::ClientContext>, serve: impl Fn()) -> Result<u32> {
        let Settings { brokers, topic, connect_timeout, .. } = self.settings;
        let began = Instant::now();
        let mut wait = FIRST_WAIT;
        loop {
            let left = connect_timeout.saturating_sub(began.elapsed());
            let answer = self.ask(client, wait.min(left));
            (0..EVENTS).for_each(|_| serve());
            match answer {
                Answer::Partitions(count) => return Ok(count),
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

    fn ask(&self, client: &Client<impl rdkafka::ClientContext>, wait: Duration) -> Answer {
        let Ok(metadata) = client.fetch_metadata(Some(&self.settings.topic), wait) else {
            return Answer::Nothing;
        };
        let Some(topic) = metadata.topics().first() else { return Answer::Unknown };
        match topic.error().map(RDKafkaErrorCode::from) {
            None if topic.partitions().is_empty() => Answer::NotYet(RDKafkaErrorCode::LeaderNotAvailable),
            None => Answer::Partitions(topic.partitions().len() as u32),
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                Answer::Unknown
            }
            Some(RDKafkaErrorCode::TopicAuthorizationFailed) => Answer::Refused,
            Some(code @ RDKafkaErrorCode::LeaderNotAvailable) => Answer::NotYet(code),
            Some(code) => Answer::Failed(code),
        }
    }

    /// Nobody has answered: refused credentials will not become better, a silent broker may.
    fn give_up(&self, late: bool) -> Result<()> {
        match self.log.last() {
            Some((code, reason)) if is_authentication(code) => {
                Err(failure::not_authenticated(&self.settings.brokers, &reason))
            }
            last if late => Err(self.unreachable(last.map(|(_, reason)| reason))),
            _ => Ok(()),
        }
    }

    fn unreachable(&self, reason: Option<String>) -> Error {
        failure::unreachable(&self.settings.brokers, self.settings.connect_timeout, reason)
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
