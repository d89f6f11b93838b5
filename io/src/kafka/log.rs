//! What librdkafka tells by itself: log lines and errors of whole clients, as `tracing` events.

use std::sync::{Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// Passes on what a client tells, and remembers its last error: while nobody answers, that is the
/// only hint why.
#[derive(Default)]
pub(super) struct ClientLog {
    last: Mutex<Option<(RDKafkaErrorCode, String)>>,
}

impl ClientLog {
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
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // A producer's errors are each told twice.
        if last.as_ref().is_some_and(|last| last.1 == reason) {
            return;
        }
        tracing::warn!(target: "librdkafka", "{reason}");
        // "All brokers are down" says less than the error of a broker before it.
        if code != RDKafkaErrorCode::AllBrokersDown {
            *last = Some((code, reason.into()));
        }
    }
}

impl ConsumerContext for ClientLog {}

/// A line of librdkafka's log; levels are those of syslog.
pub(super) fn log_line(level: i32, facility: &str, text: &str) {
    match level {
        ..=3 => tracing::error!(target: "librdkafka", "{facility}: {text}"),
        4 => tracing::warn!(target: "librdkafka", "{facility}: {text}"),
        5 | 6 => tracing::info!(target: "librdkafka", "{facility}: {text}"),
        _ => tracing::debug!(target: "librdkafka", "{facility}: {text}"),
    }
}
