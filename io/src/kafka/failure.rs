//! The failures of Kafka in words: what happened, where, and what helps.

use std::fmt;
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;
use slotflow_runtime::{Error, Offset, SplitId};

/// Whether a topic is to be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Read,
    Write,
}

impl Purpose {
    fn operation(self) -> &'static str {
        match self {
            Purpose::Read => "Read",
            Purpose::Write => "Write",
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.operation().to_lowercase())
    }
}

pub(super) fn unreachable(brokers: &str, waited: Duration, reason: Option<String>) -> Error {
    let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    Error::world(
        format!("no broker of {brokers} answered within {} s{reason}", waited.as_secs_f64()),
        "check the address, that the broker runs and that it can be reached from here, and whether it wants TLS or \
         SASL: the setting `security.protocol`; .connect_timeout(..) gives it longer",
    )
}

pub(super) fn not_authenticated(brokers: &str, mechanism: Option<&str>, reason: &str) -> Error {
    let mechanism = mechanism.map(|mechanism| format!(" by SASL {mechanism}")).unwrap_or_default();
    Error::world(
        format!("the brokers of {brokers} refuse the credentials{mechanism}: {reason}"),
        "check the settings `security.protocol`, `sasl.mechanism`, `sasl.username` and `sasl.password`, or what \
         .oauth_tokens(..) gives",
    )
}

pub(super) fn not_encrypted(brokers: &str, reason: &str) -> Error {
    Error::world(
        format!("no connection by TLS to {brokers}: {reason}"),
        "check that the port is one for TLS, and the settings `ssl.ca.location`, `ssl.certificate.location` and \
         `ssl.key.location`",
    )
}

pub(super) fn unknown_topic(brokers: &str, topic: &str) -> Error {
    Error::world(
        format!("topic \"{topic}\" does not exist on {brokers}"),
        "create it, or correct the name given to .topic(..)",
    )
}

pub(super) fn no_topic_fits(brokers: &str, pattern: &str) -> Error {
    Error::world(
        format!("no topic on {brokers} fits \"{pattern}\""),
        "correct the pattern given to .topics_like(..), or create the first topic; a principal sees only topics that \
         it may Describe",
    )
}

pub(super) fn topic_refused(topic: &str, purpose: Purpose) -> Error {
    Error::world(
        format!("this principal may not {purpose} topic \"{topic}\""),
        format!("allow it the operations {} and Describe on the topic", purpose.operation()),
    )
}

pub(super) fn topic_failed(topic: &str, purpose: Purpose, code: impl fmt::Display) -> Error {
    Error::world(
        format!("cannot {purpose} topic \"{topic}\": {code}"),
        "check the topic's state on the brokers",
    )
}

pub(super) fn group_refused(group: &str) -> Error {
    Error::world(
        format!("this principal may not use group \"{group}\""),
        "allow it the operation Read on the group, or read without committing: .no_commit()",
    )
}

pub(super) fn group_failed(group: &str, topic: &str, what: &str, code: impl fmt::Display) -> Error {
    Error::world(
        format!("the offsets of group \"{group}\" for topic \"{topic}\" cannot be {what}: {code}"),
        "check the group's coordinator on the brokers",
    )
}

pub(super) fn not_committed(group: &str, topic: &str, partition: SplitId) -> Error {
    Error::world(
        format!("group \"{group}\" has no offset for topic \"{topic}\", partition {partition}"),
        "begin with .starting(Start::GroupOrEarliest) or Start::GroupOrLatest",
    )
}

pub(super) fn group_in_use(group: &str, topic: &str, partition: Option<SplitId>) -> Error {
    let partition = partition.map(|partition| format!(", partition {partition}")).unwrap_or_default();
    Error::world(
        format!(
            "the offsets of group \"{group}\" for topic \"{topic}\"{partition} cannot be committed: \
             another application is subscribed in this group"
        ),
        "give this job a group of its own",
    )
}

/// What a group says for good, or librdkafka of it.
pub(super) fn membership_failed(group: &str, code: RDKafkaErrorCode, reason: &str) -> Error {
    use RDKafkaErrorCode as Code;
    let remedy = match code {
        Code::GroupAuthorizationFailed => "allow this principal the operation Read on the group",
        Code::TopicAuthorizationFailed => {
            "allow this principal the operations Read and Describe on the topic"
        }
        Code::UnknownTopicOrPartition => "check that the topic was not deleted or made anew",
        Code::InconsistentGroupProtocol | Code::UnknownProtocol => {
            "give all its members one `partition.assignment.strategy`, here cooperative-sticky unless it is set, or \
             this job a group of its own"
        }
        Code::InvalidSessionTimeout => {
            "set `session.timeout.ms` to what the brokers allow: their `group.min.session.timeout.ms` and \
             `group.max.session.timeout.ms`"
        }
        Code::FencedInstanceId | Code::UnreleasedInstanceId => {
            "another member has the same `group.instance.id`: give each process its own"
        }
        Code::UnsupportedVersion | Code::UnsupportedFeature | Code::UnsupportedAssignor => {
            "leave out the setting `group.protocol`, or use brokers that have it, from Kafka 4 on"
        }
        _ => "check the group's name and its coordinator on the brokers; a new start joins again",
    };
    Error::world(format!("no partitions come from group \"{group}\": {reason}"), remedy)
}

pub(super) fn offset_gone(topic: &str, partition: SplitId, offset: Option<Offset>) -> Error {
    let offset = offset.map(|offset| format!("offset {offset}")).unwrap_or("the next offset".into());
    Error::world(
        format!("topic \"{topic}\", partition {partition}: {offset} is no longer there, or not yet"),
        "the topic's retention was shorter than the pause, or it was made anew: start with \
         .starting(Start::Earliest) or reset the group's offsets (kafka-consumer-groups --reset-offsets)",
    )
}

pub(super) fn partition_failed(topic: &str, partition: SplitId, offset: Offset, reason: &str) -> Error {
    Error::world(
        format!("topic \"{topic}\", partition {partition}, offset {offset} cannot be read: {reason}"),
        "check the partition on the brokers",
    )
}

pub(super) fn not_assigned(topic: &str, partition: i32, reason: &str) -> Error {
    Error::world(
        format!("topic \"{topic}\", partition {partition} cannot be read: it cannot be assigned: {reason}"),
        "check the partition on the brokers; a new start tries again",
    )
}

/// Compressed in a way that librdkafka was built without.
pub(super) fn not_decompressed(topic: &str, partition: SplitId, offset: Offset, reason: &str) -> Error {
    Error::world(
        format!("topic \"{topic}\", partition {partition}, offset {offset} cannot be read: {reason}"),
        "build with that compression: zstd needs slotflow's feature `kafka-zstd`",
    )
}

pub(super) fn client_failed(topic: &str, reason: &str) -> Error {
    Error::world(
        format!("the Kafka client for topic \"{topic}\" cannot go on: {reason}"),
        "start the job again; what was not acknowledged will be sent again",
    )
}

pub(super) fn too_large(topic: &str, bytes: usize, limit: Option<usize>) -> Error {
    let limit = limit.map(|limit| format!(" (now {limit} bytes)")).unwrap_or_default();
    Error::world(
        format!("a record of {bytes} bytes is too large for topic \"{topic}\""),
        format!(
            "raise the sink's setting `message.max.bytes`{limit} and the topic's `max.message.bytes`, or \
             split the record"
        ),
    )
}

pub(super) fn not_delivered(topic: &str, partition: Option<SplitId>, code: RDKafkaErrorCode) -> Error {
    let partition = partition.map(|partition| format!(", partition {partition}")).unwrap_or_default();
    let remedy = match code {
        RDKafkaErrorCode::Inconsistent => {
            "a broker took later records and may have lost this one, as it did not know the producer yet; a new start \
             sends again what was not acknowledged"
        }
        RDKafkaErrorCode::MessageTimedOut => {
            "check that the partition has a leader and enough replicas in sync; \
             the setting `message.timeout.ms` says how long a record is tried"
        }
        RDKafkaErrorCode::UnknownTopic
        | RDKafkaErrorCode::UnknownPartition
        | RDKafkaErrorCode::UnknownTopicOrPartition => "check that the topic was not deleted or made anew",
        RDKafkaErrorCode::TopicAuthorizationFailed => {
            "allow this principal the operations Write and Describe on the topic"
        }
        _ => "check the partition on the brokers; a new start sends again what was not acknowledged",
    };
    Error::world(format!("a record for topic \"{topic}\"{partition} was not delivered: {code}"), remedy)
}

pub(super) fn too_many_topics(most: usize) -> Error {
    Error::user(format!("records name more than {most} topics; write fewer topics with one sink"))
}

pub(super) fn no_mock(reason: impl fmt::Display) -> Error {
    Error::world(format!("the mock broker does not start: {reason}"), "try again")
}

#[cfg(test)]
mod tests {
    use slotflow_runtime::{Owned, Sink, Source};

    use super::super::{Acks, KafkaSink, KafkaSource, Preset, Start};
    use super::*;

    /// What `explain` prints: the settings in force, those that are fixed, and the names of others.
    #[test]
    fn every_setting_that_is_ours_is_explained() {
        let source = || KafkaSource::new("b:9092").topic("words").group("upper");
        let sink = || KafkaSink::new("b:9092").topic("WORDS");
        let sources = [
            source(),
            source().preset(Preset::Throughput),
            source().spread_by_group().setting("sasl.password", "canary"),
            KafkaSource::new("b:9092").topics_like("words-*").no_commit().prefetch_bytes(8 << 20),
        ];
        let sinks = [sink(), sink().preset(Preset::Throughput).acks(Acks::Leader).setting("linger.ms", 3)];
        let sources = sources.iter().map(|source| source.settings());
        let all = sources.chain(sinks.iter().map(Sink::<Owned<String>>::settings));
        let all: Vec<String> = all.map(|lines| lines.join("\n") + "\n").collect();
        assert_eq!(all.join("\n"), include_str!("golden/explain.txt"));
    }

    /// Each message says what happened; the remedy stands behind the semicolon.
    #[test]
    fn every_failure_has_its_golden_text() {
        use RDKafkaErrorCode as Code;
        let texts = [
            unreachable("b:9092", Duration::from_millis(1_500), Some("Connection refused".into())),
            not_authenticated("b:9092", Some("PLAIN"), "bad password"),
            not_authenticated("b:9092", None, "bad password"),
            not_encrypted("b:9092", "self-signed certificate"),
            unknown_topic("b:9092", "words"),
            no_topic_fits("b:9092", "words-*"),
            topic_refused("words", Purpose::Read),
            topic_refused("WORDS", Purpose::Write),
            topic_failed("words", Purpose::Read, "no leader"),
            group_refused("upper"),
            group_failed("upper", "words", "committed", "timed out"),
            not_committed("upper", "words", 3),
            group_in_use("upper", "words", Some(3)),
            membership_failed("upper", Code::GroupAuthorizationFailed, "JoinGroup failed: no"),
            membership_failed("upper", Code::TopicAuthorizationFailed, "words: no"),
            membership_failed("upper", Code::UnknownTopicOrPartition, "words: no"),
            membership_failed("upper", Code::InconsistentGroupProtocol, "JoinGroup failed: no"),
            membership_failed("upper", Code::InvalidSessionTimeout, "JoinGroup failed: no"),
            membership_failed("upper", Code::FencedInstanceId, "Fatal error: fenced"),
            membership_failed("upper", Code::UnsupportedVersion, "Fatal error: no"),
            membership_failed("upper", Code::InvalidGroupId, "JoinGroup failed: no"),
            offset_gone("words", 3, Some(17)),
            offset_gone("words", 3, None),
            partition_failed("words", 3, 17, "bad checksum"),
            not_assigned("words", 3, "timed out"),
            not_decompressed("words", 3, 17, "codec 0x4: not implemented"),
            client_failed("WORDS", "fenced"),
            too_large("WORDS", 2_000_000, Some(1_000_000)),
            not_delivered("WORDS", Some(3), RDKafkaErrorCode::MessageTimedOut),
            not_delivered("WORDS", None, RDKafkaErrorCode::UnknownTopic),
            not_delivered("WORDS", Some(3), RDKafkaErrorCode::TopicAuthorizationFailed),
            not_delivered("WORDS", Some(3), RDKafkaErrorCode::InvalidMessage),
            not_delivered("WORDS", Some(3), RDKafkaErrorCode::Inconsistent),
            too_many_topics(1024),
            no_mock("Too many open files"),
        ];
        let texts: String = texts.iter().map(|error| format!("{error}\n")).collect();
        assert_eq!(texts, include_str!("golden/failures.txt"));
    }

    fn of_sources(sources: impl IntoIterator<Item = KafkaSource>) -> String {
        sources.into_iter().map(|mut source| format!("{}\n", source.splits().unwrap_err())).collect()
    }

    fn of_sinks(sinks: impl IntoIterator<Item = KafkaSink>) -> String {
        let check = |mut sink| Sink::<Owned<String>>::check(&mut sink);
        sinks.into_iter().map(|sink| format!("{}\n", check(sink).unwrap_err())).collect()
    }

    /// What a source or a sink has against its own settings, before a broker is asked.
    #[test]
    fn every_contradiction_has_its_golden_text() {
        let (soon, no_token) = (Duration::from_secs(1), || Err("none".into()));
        let source = || KafkaSource::new("b:9092").topic("words").group("g");
        let member = || source().spread_by_group();
        let mut texts = of_sources([
            KafkaSource::new(" ").topic("words").group("g"),
            source().connect_timeout(Duration::ZERO),
            source().setting("group.id", "h"),
            source().oauth_tokens(no_token),
            source().setting("sasl.mechanism", "OAUTHBEARER").setting("security.protocol", "sasl_ssl"),
            source().setting("sasl.mechanism", "PLAIN"),
            KafkaSource::new("b:9092").group("g"),
            source().topic("two words"),
            source().topics(["words", "words"]),
            KafkaSource::new("b:9092").topic("words"),
            KafkaSource::new("b:9092").topic("words").no_commit().starting(Start::Group),
            source().discover_every(Duration::ZERO),
            source().discover_every(soon).bounded(),
            member().no_commit(),
            member().bounded(),
            member().discover_every(soon),
            member().starting(Start::Earliest),
        ]);
        let sink = || KafkaSink::new("b:9092").topic("WORDS");
        texts += &of_sinks([
            KafkaSink::new("").topic("WORDS"),
            sink().connect_timeout(Duration::ZERO),
            sink().setting("acks", 0),
            sink().oauth_tokens(no_token),
            sink().setting("sasl.mechanism", "OAUTHBEARER").setting("security.protocol", "sasl_ssl"),
            sink().setting("sasl.mechanism", "PLAIN"),
            KafkaSink::new("b:9092"),
            sink().topic("a/b"),
        ]);
        assert_eq!(texts, include_str!("golden/contradictions.txt"));
    }
}
