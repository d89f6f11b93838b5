//! Kafka, through librdkafka: read a topic, write a topic, and a broker inside the process for demos
//! and tests.
//!
//! A slot never waits for Kafka: it drains its consumer's queue and fills its producer's, and both are
//! made, asked, committed and closed on threads of the I/O cores. librdkafka's own threads inherit
//! those cores.
//!
//! Reading order: [`source`](KafkaSource), `subscription`, `opening`, `beginning`, [`reader`](KafkaReader),
//! `positions`, `batch`, `committer`, `orders`, `watch`;
//! [`sink`](KafkaSink), [`writer`](KafkaWriter), `produce`, `delivery`, `dead_letter`; `alike` is what both are told.

mod alike;
mod assigned;
mod batch;
mod beginning;
mod commit;
mod committer;
mod counts;
mod current;
mod dead_letter;
mod delivery;
mod departures;
mod discovery;
mod failure;
mod group;
mod header;
mod kafka_record;
mod kafka_settings;
mod log;
mod lookup;
mod marks;
mod member_id;
mod message;
mod mock;
mod oauth;
mod off_slot;
mod opening;
mod orders;
mod positions;
mod prefetch;
mod preset;
mod produce;
mod queue;
mod reader;
mod record;
mod repeats;
mod security;
mod settings;
mod sink;
mod source;
mod start;
mod subscription;
mod token;
mod topics;
mod watch;
mod writer;

pub use counts::SourceCounts;
pub use dead_letter::DeadLetter;
pub use delivery::AckLatency;
pub use header::{Header, OwnedHeader};
pub use kafka_record::KafkaRecord;
pub use kafka_settings::KafkaSettings;
pub use message::{Message, Messages, OwnedMessage};
pub use mock::MockKafka;
pub use oauth::OauthToken;
pub use preset::Preset;
pub use reader::KafkaReader;
pub use record::{IntoKafka, Keyed};
pub use sink::{Acks, KafkaSink, Partitioner};
pub use source::KafkaSource;
pub use start::{PartitionOffset, Start, Stop};
pub use topics::{fill_topic, read_topic};
pub use writer::KafkaWriter;
