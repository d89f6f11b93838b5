//! What librdkafka tells by itself: log lines and errors of whole clients, as `tracing` events.

use std::convert::Infallible;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, OnceLock, PoisonError};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, TopicPartitionList};
use slotflow_runtime::{Error, Result};

use super::group::Member;
use super::repeats::worth_saying;

/// Passes on what a client tells, and remembers its last error: while nobody answers, that is the
/// only hint why.
#[derive(Default)]
pub(super) struct ClientLog {
    last: Mutex<Option<(RDKafkaErrorCode, String)>>,
    /// What a consumer does when its group gives it partitions or takes some.
    member: OnceLock<Member>,
    /// Dropped with the client, which ends what was begun for it.
    alive: Mutex<Vec<Sender<Infallible>>>,
}

impl ClientLog {
    /// From here on the consumer is a member of a group.
    pub fn join(&self, member: Member) -> Result<()> {
        self.member.set(member).map_err(|_| Error::bug("a Kafka consumer joins its group twice"))
    }

    /// What it does as a member of its group, if it is one.
    pub fn member(&self) -> Option<&Member> {
        self.member.get()
    }

    /// Disconnected once the client is gone.
    pub fn until_gone(&self) -> Receiver<Infallible> {
        let (alive, gone) = mpsc::channel();
        self.alive.lock().unwrap_or_else(PoisonError::into_inner).push(alive);
        gone
    }

    /// The client's last error and its text.
    pub fn last(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for ClientLog {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        log_line(level as i32, facility, text);
    }

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        if code == RDKafkaErrorCode::PartitionEOF {
            return; // Asked for, by readers that stop at the end.
        }
        if let Some(repeats) = worth_saying(reason) {
            tracing::warn!(target: "librdkafka", repeats, "{reason}");
        }
        // "All brokers are down" says less than the error of a broker before it.
        if code != RDKafkaErrorCode::AllBrokersDown {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((code, reason.into()));
        }
    }
}

impl ConsumerContext for ClientLog {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<ClientLog>,
        what: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        if let Some(member) = self.member() {
            member.rebalance(consumer, what, partitions);
        }
    }
}

/// A line of librdkafka's log; levels are those of syslog. Warnings and errors that repeat are told now and then.
pub(super) fn log_line(level: i32, facility: &str, text: &str) {
    match (level, if level <= 4 { worth_saying(text) } else { Some(0) }) {
        (_, None) => {}
        (..=3, Some(repeats)) => tracing::error!(target: "librdkafka", repeats, "{facility}: {text}"),
        (4, Some(repeats)) => tracing::warn!(target: "librdkafka", repeats, "{facility}: {text}"),
        (5 | 6, _) => tracing::info!(target: "librdkafka", "{facility}: {text}"),
        _ => tracing::debug!(target: "librdkafka", "{facility}: {text}"),
    }
}
